"""`hopwell bench whole`: a whole model over the GPUs that hold it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from hopwell.cli.bench_against import prompt_shape
from hopwell.cli.bench_gpu import Activations, CacheDtype, checked_acceptance, measured_ceilings, needs_gpu
from hopwell.cli.result import Out, write_result
from hopwell.errors import HopwellError
from hopwell.interrupts import importing

CASES = ["1024:1,8,32,128", "8192:1,8", "32768:1,8"]
DRAFTED = ["1024:1,8,32:1:1.8", "1024:1,8,32:3:2.5"]


def whole(
    model: Annotated[str, typer.Argument(help="A checkpoint's folder, or a shipped config: its weights are drawn.")],
    gpus: Annotated[int, typer.Option(min=1, help="Tensor-parallel ranks.")] = 1,
    dp_attention: Annotated[
        bool, typer.Option("--dp-attention", help="Each GPU attends for, and caches, sequences of its own.")
    ] = False,
    format: Annotated[str | None, typer.Option(help="Of a config's networks: nvfp4, mxfp4, int4_g128, ...")] = None,
    attention: Annotated[str | None, typer.Option(help="With --format: bf16 or fp8.  [default: bf16]")] = None,
    layers: Annotated[int | None, typer.Option(min=2, help="Cut a config to this depth.")] = None,
    case: Annotated[
        list[str] | None, typer.Option(help="See above; repeatable. Default: 1k, 8k, 32k, and drafts.")
    ] = None,
    prompts: Annotated[list[str] | None, typer.Option(help="As 8x2048; may be repeated; none: no prompts.")] = None,
    cache_dtype: CacheDtype = "auto",
    activations: Activations = None,
    ops: Annotated[bool, typer.Option("--ops", help="Of decode steps also each op: time, share, limit.")] = False,
    out: Out = None,
) -> None:
    """A whole model as it is served, on NVIDIA GPUs: decode steps with and without drafts, prompts, energy of all GPUs,
    and the tokens that fit beside it. Each beside the least time that one GPU's share takes.

    --case is CONTEXT:BATCH,BATCH, as 8192:1,8, or with drafts CONTEXT:BATCH,BATCH:DRAFTS:ACCEPTANCE, as 1024:1:3:2.5.
    """
    from hopwell.cli.progress import byte_progress, kernel_progress
    from hopwell.cli.tables import print_rows, rounded

    with importing():
        from hopwell.engine.config import EngineConfig
        from hopwell.engine.loading import load_model

    needs_gpu()
    from hopwell.bench.whole import Whole

    shapes = [prompt_shape(text) for text in (["8x2048", "1x16384"] if prompts is None else prompts) if text != "none"]
    cases = [parsed(text) for text in case or []]
    packed = {} if format is None else {"four_bits": "packed"}
    settings: dict[str, Any] = {"cache_dtype": cache_dtype, "activations": activations, **packed}
    ceilings = measured_ceilings()
    with (
        checkpoint_of(model, format, attention, layers) as folder,
        kernel_progress() as on_compile,
        byte_progress("Loading", "Loaded") as progress,
    ):
        longest = max((count * tokens for count, tokens in shapes), default=1)
        compiled = {**settings, "max_batch_tokens": max(longest, EngineConfig().max_batch_tokens)}
        loaded = load_model(
            folder, "cuda", "bfloat16", progress, on_compile, settings=compiled, tp=gpus, dp_attention=dp_attention
        )
    steps: list[dict[str, Any]] = []
    prefill: list[dict[str, Any]] = []
    meta: dict[str, Any] = {"gpus": gpus, "dp_attention": dp_attention, "format": format, "attention": attention}
    meta["ceilings"] = asdict(ceilings)
    target = out

    def keep() -> None:  # after each row: what is measured is not lost with what follows
        nonlocal target
        if target is not None:
            target = write_result(target, "whole", steps, prompts=prefill, **meta)

    try:
        bench = Whole(model, loaded, ceilings, settings, lambda text: print(text, file=sys.stderr, flush=True))
        room = bench.room()
        meta |= room | {"phases": loaded.phases}
        print_rows([{**room, **{f"{name} s": f"{took:.1f}" for name, took in loaded.phases.items()}}])
        if shapes:
            prefill += [asdict(row) for row in bench.prompts(shapes)]
            print_rows([rounded(row) for row in prefill])
            keep()
        usual = CASES + (DRAFTED if loaded.model.has_mtp else [])
        told: list[dict[str, Any]] = []

        def on_ops(rows: list[Any]) -> None:
            told.extend(asdict(row) for row in rows)
            print_rows([rounded(asdict(row)) for row in rows])

        if ops:
            meta["ops"] = told
        for row in bench.steps(cases or [parsed(text) for text in usual], on_ops if ops else None):
            steps.append(asdict(row))
            print_rows([rounded(steps[-1])])
            keep()
    finally:
        loaded.close()


def parsed(text: str) -> Any:
    """A `bench.whole.Case` as users write it.

    Raises:
        HopwellError: it is none.
    """
    from hopwell.bench.whole import Case

    try:
        context, batches, *drafted = text.split(":")
        drafts, acceptance = (int(drafted[0]), float(drafted[1])) if drafted else (0, None)
        return Case(int(context), tuple(map(int, batches.split(","))), drafts, checked_acceptance(drafts, acceptance))
    except (ValueError, IndexError):
        form = "CONTEXT:BATCH,BATCH[:DRAFTS:ACCEPTANCE], as 1024:1,8:1:1.8"
        raise HopwellError(f"--case {text!r}: give {form}") from None


@contextmanager
def checkpoint_of(model: str, format: str | None, attention: str | None, layers: int | None) -> Iterator[Path]:
    """A checkpoint's folder as it is, or one of a config whose weights are drawn when it is loaded.

    Raises:
        HopwellError: options that only a config can have, or that go together.
    """
    from hopwell.model.four_bits import FourBits
    from hopwell.model.shipped import find_config, truncate
    from hopwell.model.synthesis import synthesise

    if Path(model).is_dir():
        if format is not None or attention is not None or layers is not None:
            raise HopwellError(f"{model} has its format and depth; leave out --format, --attention and --layers")
        yield Path(model)
        return
    four_bits = FourBits.asked(format, attention)
    with tempfile.TemporaryDirectory(prefix="hopwell-") as room:
        values = truncate(find_config(model), layers, None if layers is None else 1)
        synthesise(values, Path(room) / "model", 0, four_bits=four_bits, at_load=True)
        yield Path(room) / "model"
