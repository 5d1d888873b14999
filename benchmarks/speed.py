"""Tokens per second of the engine, beside `transformers` on the same weights in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from typing import Annotated, Any, TypeVar

import torch
import typer

from benchmarks import ROOT, script
from benchmarks.options import Checkpoint
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.describe import precision
from hopwell.engine.llm import LLM
from hopwell.engine.loading import load_model
from hopwell.engine.request import SamplingParams
from hopwell.engine.tokenizer import Tokenizer
from hopwell.errors import HopwellError
from hopwell.ops.process import VARIABLES

Key = TypeVar("Key")
Setting = tuple[str, str, int, int]
"""System, dtype, threads, drafts."""
QUESTION = "<｜begin▁of▁sentence｜><｜User｜>Compute {} * {}.<｜Assistant｜><think>\n"
"""In R1's own format: on random tokens the MTP layer would have nothing to go by."""


def bench_speed(
    model: str | Path | None, batches: list[int], tokens: int, drafts: list[int], peer: bool, repeats: int = 3
) -> list[dict[str, Any]]:
    """Greedy decoding, the best of several runs each; the systems take turns, so that a busy machine harms all alike.

    Args:
        batches: prompts answered at once.
        tokens: of each answer.
        drafts: one row for each number of drafts.
        peer: also run `transformers`' own generate, in each of its dtypes and with one thread and as many as there are
            cores; of a batch its best row counts.

    Returns:
        Rows of system, batch, tokens per second (prefill included), how many times the best peer's that is, and
        acceptance length.

    Raises:
        HopwellError: transformers is not installed, or its process failed.
    """
    loaded = load_model(model)
    params = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)
    asked = {batch: questions(batch, loaded.tokenizer) for batch in batches}
    longest = max(len(prompts[0]) for prompts in asked.values()) + tokens
    engines = {
        count: LLM(
            loaded,
            config=loaded.config(max_seqs=max(batches), drafts=count, prefix_cache=False, max_model_len=longest),
        )
        for count in drafts
    }
    runs: dict[tuple[Setting, int], Callable[[], object]] = {}
    for batch, prompts in asked.items():
        for count, llm in engines.items():
            runs[("hopwell", precision(loaded.model), torch.get_num_threads(), count), batch] = partial(
                llm.generate, prompts, params
            )
    with ExitStack() as stack:
        if peer:
            other = stack.enter_context(Peer(loaded.path))
            for batch, prompts in asked.items():
                for dtype, threads in product(("float32", "bfloat16"), sorted({1, os.cpu_count() or 1})):
                    run = partial(other.generate, dtype, threads, prompts, tokens)
                    runs[("transformers", dtype, threads, 0), batch] = run
        seconds = best_in_turns(runs, repeats)
    rows = []
    for (setting, batch), taken in seconds.items():
        system, dtype, threads, count = setting
        row: dict[str, Any] = {"system": system, "dtype": dtype, "threads": threads, "drafts": count, "batch": batch}
        row["tokens_per_s"] = round(batch * tokens / taken, 1)
        peers = [t for (other, size), t in seconds.items() if size == batch and other[0] == "transformers"]
        row["times_peer"] = round(min(peers) / taken, 2) if peers else None
        length = engines[count].engine.metrics.acceptance_length if system == "hopwell" else None
        rows.append(row | {"acceptance_length": None if length is None else round(length, 2)})
    for llm in engines.values():
        llm.close()
    return sorted(rows, key=lambda row: (row["system"], row["drafts"], row["batch"], -row["tokens_per_s"]))


def questions(count: int, tokenizer: Tokenizer) -> list[list[int]]:
    """Tokens of `count` multiplications, the same ones each time and all of one length, for peers that cannot pad."""
    random = Random(count)
    found: list[list[int]] = []
    while len(found) < count:
        prompt = tokenizer.encode(
            QUESTION.format(random.randrange(100, 1000), random.randrange(10, 100)), special=False
        )
        if not found or len(prompt) == len(found[0]):
            found.append(prompt)
    return found


def best_in_turns(runs: dict[Key, Callable[[], object]], repeats: int) -> dict[Key, float]:
    """The shortest time of each run in seconds, after one that warms up; they take turns."""
    best = dict.fromkeys(runs, float("inf"))
    for run in runs.values():
        run()
    for _ in range(repeats):
        for key, run in runs.items():
            started = time.perf_counter()
            run()
            best[key] = min(best[key], time.perf_counter() - started)
    return best


class Peer:
    """`transformers` in a process that generates when it is asked to; leaving the context ends it."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: the checkpoint's folder.

        Raises:
            HopwellError: transformers is not installed.
        """
        if importlib.util.find_spec("transformers") is None:
            raise HopwellError("transformers is not installed; pip install transformers, or leave --peer out")
        environment = {name: value for name, value in os.environ.items() if VARIABLES.get(name) != value}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [environment.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("peer_transformers.py")), str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()  # closes its stdin, at which it ends

    def generate(self, dtype: str, threads: int, prompts: list[list[int]], tokens: int) -> None:
        """Waits until each of `prompts`, all of one length, has got `tokens` greedy tokens.

        Raises:
            HopwellError: the process has failed; its own message is on stderr.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        task = {"dtype": dtype, "threads": threads, "prompts": prompts, "tokens": tokens}
        try:
            print(json.dumps(task), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer != "done\n":
            raise HopwellError("the process of transformers has failed; its message stands above")


def main(
    model: Checkpoint = None,
    batch: Annotated[list[int] | None, typer.Option(help="Prompts answered at once; may be repeated.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Of each answer.")] = 128,
    drafts: Annotated[list[int] | None, typer.Option(help="Of the MTP layer; may be repeated.")] = None,
    peer: Annotated[bool, typer.Option("--peer", help="Also run transformers' generate on the same weights.")] = False,
    out: Out = None,
) -> None:
    """Tokens per second of greedy decoding, at several batch sizes."""
    rows = bench_speed(model, batch or [1, 8, 16], tokens, drafts or [0, 1], peer)
    print_rows(rows)
    if out is not None:
        write_result(out, "speed", rows, tokens=tokens)


if __name__ == "__main__":
    script(main)
