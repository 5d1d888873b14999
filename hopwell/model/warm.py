"""Fills Triton's kernel cache ahead of time: every kernel that a model can launch, compiled by several processes.

The cache is Triton's own, on disk, keyed by a kernel's source, types, constants and target; a later start finds the
machine code there. Which kernels those are is found by running the forward pass on the meta device, which needs no
GPU and no weights: kernels may be compiled on one machine and used on another.
"""

from __future__ import annotations

import hashlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hopwell.errors import HopwellError
from hopwell.model.batch import ForwardBatch
from hopwell.model.build import one_of_a_kind
from hopwell.model.config import ModelConfig
from hopwell.model.forward_choice import unsuited
from hopwell.model.fused import FusedTransformer
from hopwell.model.random_weights import random_transformer
from hopwell.model.settings import ModelSettings
from hopwell.model.shape_classes import GRAPH_SIZES, LOGIT_ROWS, eager_batches
from hopwell.model.sharding import Shard
from hopwell.model.shipped import truncate
from hopwell.ops import drafts_triton, tokens_triton
from hopwell.ops.compile.aot import Launch, build_stub, machine_code, record
from hopwell.ops.device import HOPPER, Device
from hopwell.ops.exchange_triton import Inboxes, sum_and_norm
from hopwell.ops.paging import CacheScales
from hopwell.ops.rows import Normed
from hopwell.parallel.layout import ONE_RANK, Layout
from hopwell.system import cores

MAX_ROWS = 4096
Progress = Callable[[int, int, str], None]
"""Called with kernels done, kernels in all, and the name of the one just compiled."""


class WarmError(HopwellError):
    """Kernels could not be compiled ahead of time."""


def launches(
    values: Mapping[str, Any],
    device: Device = HOPPER,
    settings: ModelSettings | None = None,
    max_rows: int = MAX_ROWS,
    sizes: Sequence[int] = GRAPH_SIZES,
    layout: Layout = ONE_RANK,
) -> list[Launch]:
    """The distinct kernels that an engine launches for the model of a config.json, all its ranks together.

    Args:
        values: the config's contents, of the whole model. Layers of a kind are alike: one of each is enough.
        device: that they are for; its multiprocessors decide how work is cut.
        settings: with activations in "auto" the kernels of both formats; of scales it matters only whether there are.
        max_rows: rows of the longest step.
        sizes: rows of captured steps.

    Raises:
        LayoutError: the ranks cannot share the model.
    """
    settings = settings or ModelSettings()
    if settings.activations == "auto":
        each = [replace(settings, activations=name) for name in ("fp8", "bf16")]
        some = (launches(values, device, one, max_rows, sizes, layout) for one in each)
        return list(dict.fromkeys(chain.from_iterable(some)))
    dense = min(values.get("first_k_dense_replace", 0), 1)
    config = ModelConfig.from_dict(truncate(values, dense + 2, dense))
    packed = settings.four_bits == "packed"
    shard = Shard(layout, Unheard(layout.world, config.hidden_size)) if layout.world > 1 else None
    model = random_transformer(config, "meta", packed=packed, numbers=one_of_a_kind(values), shard=shard)
    if unsuited(model) is not None:
        return []
    if settings.cache_dtype == "fp8":
        settings = replace(
            settings, cache_scales=[CacheScales(1.0, 1.0, model.config.kv_lora_rank)] * len(model.attentions)
        )
    model = settings.of(model)
    fused = FusedTransformer(model)
    # where attention is data parallel, a long step's rows are shared out by what pages say, and these say nothing
    fused_long = FusedTransformer(replace(model, layout=ONE_RANK, exchange=None)) if layout.dp_attention else fused
    latent = model.new_latent(64 * layout.pools)

    def meta(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    def small(rows: int) -> None:
        ids, table = meta(rows), meta(rows, 32, dtype=torch.int32)
        hidden = fused.forward(ids, ids, table, latent)
        tokens_triton.argmax(fused.logits(hidden))
        if model.mtp is not None:
            fused.draft(hidden[:rows], ids, ids, table, latent)

    def long(query_lens: list[int], seq_lens: list[int]) -> None:
        rows = sum(query_lens)
        table = meta(len(query_lens), -(-max(seq_lens) // 64), dtype=torch.int32)
        batch = ForwardBatch(meta(rows), meta(rows), query_lens, seq_lens, table)
        hidden = fused_long.forward_long(batch, latent)
        for count in LOGIT_ROWS:
            model.logits(hidden[:count])
        if model.mtp is not None:
            fused_long.draft_long(hidden, batch, latent)

    found: dict[Launch, None] = {}
    if model.mtp is not None:
        found |= dict.fromkeys(record(lambda: drafts_triton.run_once(torch.device("meta")), device))
    for rows in sizes:
        found |= dict.fromkeys(record(lambda rows=rows: small(rows), device))
    # the others' part of a long step, where attention is data parallel, is a row of each at least
    rest = [[]] if layout.pools == 1 else [[], [1] * (layout.pools - 1)]
    for query_lens, seq_lens in eager_batches(model.config, max_rows, device, fused.packs_experts):
        for more in rest:
            found |= dict.fromkeys(record(lambda q=query_lens + more, s=seq_lens + more: long(q, s), device))
    return list(dict.fromkeys(each for launch in found for each in _of_ranks(launch, layout.world)))


def _of_ranks(launch: Launch, world: int) -> list[Launch]:
    """Rank 0's launch as every rank makes it."""
    constants = dict(launch.constants)
    if "WORLD" not in constants:
        return [launch]
    return [replace(launch, constants=tuple({**constants, "RANK": rank}.items())) for rank in range(world)]


class Unheard:
    """What rank 0 launches for an exchange (`FusedExchange`), on the meta device; nobody hears it."""

    def __init__(self, world: int, width: int) -> None:
        peers = torch.empty(world, dtype=torch.int64, device="meta")
        self._inboxes = Inboxes(peers, 0, world, GRAPH_SIZES[-1], width)

    def sum(self, share: Tensor) -> Tensor:
        return share

    def gather(self, part: Tensor, width: int) -> Tensor:
        return part.new_empty(len(part), width)

    def gather_rows(self, own: Tensor, counts: Sequence[int]) -> Tensor:
        return own.new_empty(sum(counts), own.shape[1])

    def sum_rows(self, share: Tensor, counts: Sequence[int]) -> Tensor:
        return share[: counts[0]]

    def add_norm(
        self, residual: Tensor, weight: Tensor, parts: Tensor, shares: Tensor | None, turn: int, fp8: bool, values: bool
    ) -> tuple[Tensor, Normed]:
        return sum_and_norm(residual, weight, parts, shares, turn, fp8, values, self._inboxes, self.sum)


class Warming:
    """Processes that compile a model's kernels, while the caller does something else.

    Example:
        with Warming(config, HOPPER) as warming:
            ...  # load weights
            warming.wait()
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        device: Device,
        settings: ModelSettings | None = None,
        max_rows: int = MAX_ROWS,
        sizes: Sequence[int] = GRAPH_SIZES,
        processes: int | None = None,
        layout: Layout = ONE_RANK,
    ) -> None:
        """
        Args:
            values, settings, max_rows, sizes, layout: as `launches` has them.
            processes: compilers at once; None: one a core, 16 at most.
        """
        asked = asdict(settings or ModelSettings())
        self.marker = _marker(values, device.capability, device.multiprocessors, asked, max_rows, sizes, asdict(layout))
        self.full = self.marker.exists()
        """Everything was compiled before: nothing is started."""
        count = 0 if self.full else processes or min(16, cores())
        environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"CUDA_VISIBLE_DEVICES": ""}
        self._workers = []
        for index in range(count):
            # in a file: a pipe takes 64 KB, less than some configs have, and each would wait for the last one's imports
            with tempfile.TemporaryFile("w+") as task:
                told = [dict(values), asdict(device), asked, max_rows, sizes, asdict(layout), index, count]
                json.dump(told, task)
                task.seek(0)
                self._workers.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "hopwell.model.warm"], stdin=task, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True, env=environment,
                    )
                )  # fmt: skip

    def wait(self, progress: Progress | None = None) -> int:
        """Until all is compiled; returns the number of kernels, 0 if there was nothing to do.

        Raises:
            WarmError: a compiler failed; the message holds the last line it wrote.
        """
        if not self._workers:
            return 0
        total = done = 0
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.stdout, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    line = key.fileobj.readline()  # type: ignore[union-attr]
                    if not line:
                        selector.unregister(key.fileobj)
                        continue
                    count, name = line.split(maxsplit=1)
                    total, done = int(count), done + (name.strip() != "-")
                    if progress is not None:
                        progress(done, total, name.strip())
        for worker in self._workers:
            errors = worker.stderr.read() if worker.stderr is not None else ""
            if worker.wait() != 0:
                raise WarmError(f"kernels could not be compiled: {(errors.strip().splitlines() or ['no message'])[-1]}")
        self.marker.parent.mkdir(parents=True, exist_ok=True)
        self.marker.write_text(f"{done} kernels\n", encoding="utf-8")
        self._workers = []
        return done

    def close(self) -> None:
        """Ends what still compiles."""
        for worker in self._workers:
            worker.kill()
            worker.wait()
        self._workers = []

    def __enter__(self) -> Warming:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cache_folder() -> Path:
    """Where Triton keeps machine code."""
    from triton import knobs

    return Path(knobs.cache.dir)


def _marker(values: Mapping[str, Any], *settings: object) -> Path:
    """A file in the cache that says that all kernels of a model, device and version of this package are there."""
    import triton

    digest = hashlib.sha256(f"{triton.__version__} {settings}".encode())
    digest.update(json.dumps(dict(values), sort_keys=True).encode())
    here = Path(__file__).parent
    for path in sorted([*(here.parent / "ops").rglob("*.py"), *here.glob("*.py")]):
        digest.update(path.read_bytes())
    return cache_folder() / f"hopwell-{digest.hexdigest()[:16]}"


def _compile_share() -> None:
    """A worker: every n-th kernel; a line each, with the number of all kernels and the name."""
    values, named, settings, max_rows, sizes, layout, index, count = json.loads(sys.stdin.read())
    device = Device(**named)
    torch.set_num_threads(1)
    todo = launches(values, device, ModelSettings(**settings), max_rows, sizes, Layout(**layout))
    print(len(todo), "-", flush=True)
    # the slowest to compile are those with the most constants: dealt out in turn, each worker gets its part of them
    firsts = {tuple(kind for _, kind in launch.signature): launch for launch in reversed(todo)}
    for launch in sorted(todo, key=lambda each: (-len(each.constants), each.kernel.__name__))[index::count]:
        built = machine_code(launch, device.capability)
        if launch is firsts[tuple(kind for _, kind in launch.signature)]:
            build_stub(built)
        print(len(todo), launch.kernel.__name__, flush=True)


if __name__ == "__main__":
    _compile_share()
