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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hopwell.errors import HopwellError
from hopwell.model.activations import use_activations
from hopwell.model.batch import ForwardBatch
from hopwell.model.config import ModelConfig
from hopwell.model.decode import Decoder, unsuited
from hopwell.model.latent_cache import use_cache
from hopwell.model.random_weights import random_transformer
from hopwell.model.shape_classes import GRAPH_SIZES, LOGIT_ROWS, eager_batches
from hopwell.model.shipped import cut
from hopwell.model.transformer import Transformer
from hopwell.ops import tokens_triton
from hopwell.ops.aot import Launch, build_stub, machine_code, record

MAX_ROWS = 2048
Progress = Callable[[int, int, str], None]
"""Called with kernels done, kernels in all, and the name of the one just compiled."""


class WarmError(HopwellError):
    """Kernels could not be compiled ahead of time."""


def launches(
    values: Mapping[str, Any],
    arch: int = 90,
    cache_dtype: str = "auto",
    sizes: Sequence[int] = GRAPH_SIZES,
    max_rows: int = MAX_ROWS,
    activations: str | None = None,
) -> list[Launch]:
    """The distinct kernels that an engine launches for the model of a config.json.

    Args:
        values: the config's contents. Layers of a kind are alike: one of each is enough.
        arch: compute capability, 90 or 100.
        sizes: rows of captured steps.
        max_rows: rows of the longest step.
        activations: as `use_activations` has them; for "auto" the kernels of both formats.
    """
    if activations == "auto":
        both = [launches(values, arch, cache_dtype, sizes, max_rows, one) for one in ("fp8", "bf16")]
        return list(dict.fromkeys(both[0] + both[1]))
    dense = min(values.get("first_k_dense_replace", 0), 1)
    model = random_transformer(ModelConfig.from_dict(cut(values, dense + 1, dense)), "meta")
    if unsuited(model) is not None:
        return []
    use_cache(model, "auto")
    use_activations(model, activations)
    if cache_dtype == "fp8":
        _fp8_on_meta(model)
    decoder = Decoder.of(model)
    latent = model.new_latent(64)

    def meta(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    def small(rows: int) -> None:
        ids, table = meta(rows), meta(rows, 32, dtype=torch.int32)
        hidden = decoder.forward(ids, ids, table, latent)
        tokens_triton.argmax(decoder.logits(hidden))
        if model.mtp is not None:
            decoder.draft(hidden, ids, ids, table, latent)

    def long(query_lens: list[int], seq_lens: list[int]) -> None:
        rows = sum(query_lens)
        table = meta(len(query_lens), -(-max(seq_lens) // 64), dtype=torch.int32)
        batch = ForwardBatch(meta(rows), meta(rows), query_lens, seq_lens, table)
        hidden = decoder.forward_long(batch, latent)
        for count in LOGIT_ROWS:
            model.logits(hidden[:count])
        if model.mtp is not None:
            decoder.draft_long(hidden, batch, latent)

    found: dict[Launch, None] = {}
    for rows in sizes:
        found |= dict.fromkeys(record(lambda rows=rows: small(rows), arch))
    for query_lens, seq_lens in eager_batches(model.config, max_rows):
        found |= dict.fromkeys(record(lambda q=query_lens, s=seq_lens: long(q, s), arch))
    return list(found)


def _fp8_on_meta(model: Transformer) -> None:
    """As `use_cache` for an FP8 cache, with scales of no matter."""
    from hopwell.ops.attention import CacheScales

    for attention in model.attentions:
        attention.cache_scales = CacheScales(1.0, 1.0, model.config.kv_lora_rank)
    model.cache_dtype = torch.float8_e4m3fn


class Warming:
    """Processes that compile a model's kernels, while the caller does something else.

    Example:
        with Warming(config, arch=90) as warming:
            ...  # load weights
            warming.wait()
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        arch: int,
        cache_dtype: str = "auto",
        max_rows: int = MAX_ROWS,
        processes: int | None = None,
        sizes: Sequence[int] = GRAPH_SIZES,
        activations: str | None = None,
    ) -> None:
        """
        Args:
            values: the contents of config.json.
            processes: compilers at once; None: one a core, 16 at most.
        """
        self.marker = _marker(values, arch, cache_dtype, max_rows, sizes, activations)
        self.full = self.marker.exists()
        """Everything was compiled before: nothing is started."""
        count = 0 if self.full else processes or min(16, len(os.sched_getaffinity(0)))
        environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"CUDA_VISIBLE_DEVICES": ""}
        self._workers = []
        for index in range(count):
            worker = subprocess.Popen(
                [sys.executable, "-m", "hopwell.model.warm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, env=environment,
            )  # fmt: skip
            assert worker.stdin is not None
            task = [dict(values), arch, cache_dtype, sizes, max_rows, activations, index, count]
            worker.stdin.write(json.dumps(task))
            worker.stdin.close()
            self._workers.append(worker)

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
    for path in sorted([*(here.parent / "ops").glob("*.py"), *here.glob("*.py")]):
        digest.update(path.read_bytes())
    return cache_folder() / f"hopwell-{digest.hexdigest()[:16]}"


def _compile_share() -> None:
    """A worker: every n-th kernel; a line each, with the number of all kernels and the name."""
    values, arch, cache_dtype, sizes, max_rows, activations, index, count = json.loads(sys.stdin.read())
    torch.set_num_threads(1)
    todo = launches(values, arch, cache_dtype, sizes, max_rows, activations)
    print(len(todo), "-", flush=True)
    # the slowest to compile are those with the most constants: dealt out in turn, each worker gets its part of them
    firsts = {tuple(kind for _, kind in launch.signature): launch for launch in reversed(todo)}
    for launch in sorted(todo, key=lambda each: (-len(each.constants), each.kernel.__name__))[index::count]:
        built = machine_code(launch, arch)
        if launch is firsts[tuple(kind for _, kind in launch.signature)]:
            build_stub(built)
        print(len(todo), launch.kernel.__name__, flush=True)


if __name__ == "__main__":
    _compile_share()
