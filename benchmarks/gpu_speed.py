"""How fast is everything on this GPU? Decode steps, prompts, cache formats, forms of attention, tilings, the start."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.forms import FORMS, FORMS_32, FORMS_128, attention_error, caches
from benchmarks.gpu_checks import Rows
from benchmarks.layer import layer_rows
from benchmarks.prefill import prefill_rows
from hopwell.bench.against import sides
from hopwell.bench.engine import StepRow, decode_rows
from hopwell.bench.models import bench_config
from hopwell.bench.timing import capture, graph_seconds
from hopwell.errors import HopwellError
from hopwell.formats.fp8 import scale_shape
from hopwell.formats.matrices import Fp8Block
from hopwell.limits.ceilings import Ceilings
from hopwell.model.latent_cache import page_bytes
from hopwell.model.random_weights import random_transformer
from hopwell.model.settings import ModelSettings
from hopwell.ops import attention, attention_decode_triton, linear, quantize_triton
from hopwell.ops.attention_choice import DecodeVariant
from hopwell.ops.linear_choice import Tiling
from hopwell.ops.linear_triton import product
from hopwell.ops.paging import CacheScales
from hopwell.ops.sizes import PAGE
from hopwell.ops.weight import Weight

BATCHES = (1, 8, 32, 128)
TILINGS = (Tiling(128, 128, 1, 8, 3), Tiling(128, 128, 1, 8, 4), Tiling(128, 64, 1, 4, 3), Tiling(128, 64, 1, 4, 4),
           Tiling(64, 128, 1, 4, 3))  # fmt: skip
"""Cuts of a product with many tokens; the first is the one in use. FP8's scales hold for 128 rows of weights: no
program has more."""


def decode() -> Rows:
    """Decode steps of the three models that one GPU holds, at contexts of 1k and 8k, with joules."""
    limit, rows = Ceilings.measure(), []
    for name, layers, batches, contexts in (
        ("r1-tp8", 8, (*BATCHES, 256), (1024, 8192)),
        ("v2-lite", None, BATCHES, (1024, 8192)),
        ("r1-slice", None, BATCHES, (1024, 8192)),
    ):
        rows += _fitting(name, layers, batches, contexts, limit)
    return rows


def whole() -> Rows:
    """All 61 layers of r1-tp8: decode at three contexts, and a prompt of 16k tokens."""
    limit = Ceilings.measure()
    rows = _fitting("r1-tp8", None, BATCHES, (1024, 8192, 32768), limit)
    if rows and "skipped" not in rows[0]:
        rows += [asdict(row) for row in prefill_rows("r1-tp8", limit, ((1, 16384),))]
    return rows


def _fitting(name: str, layers: int | None, batches: Sequence[int], contexts: Sequence[int], limit: Ceilings) -> Rows:
    """Rows of what memory holds; of the rest, how much was missing."""
    config = bench_config(name, layers)
    model = random_transformer(config, "meta")
    weights = sum(w.numel() * w.element_size() for w in _tensors(model))
    free = torch.cuda.mem_get_info()[0] - (6 << 30)  # activations, graphs, and what a bench holds twice
    rows: Rows = []
    for context in contexts:
        need = {b: weights + b * -(-context // PAGE) * page_bytes(model, PAGE) for b in batches}
        fitting = [b for b in batches if need[b] <= free]
        if fitting:
            found: list[StepRow] = list(decode_rows(name, fitting, [context], limit, layers, energy=True))
            rows += [asdict(row) for row in found]
        for b in set(batches) - set(fitting):
            rows.append({"model": name, "batch": b, "context": context,
                         "skipped": f"needs {need[b] / 1e9:.0f} GB, {free / 1e9:.0f} are free"})  # fmt: skip
        torch.cuda.empty_cache()
    return rows


def _tensors(part: Any) -> list[torch.Tensor]:
    """Every tensor in a tree of dataclasses and lists, but for experts as they are joined: the same memory."""
    if isinstance(part, torch.Tensor):
        return [part]
    if isinstance(part, list | tuple):
        return [tensor for each in part for tensor in _tensors(each)]
    if hasattr(part, "__dataclass_fields__"):
        fields = part.__dataclass_fields__.keys() - {"joined"}
        return [tensor for name in fields for tensor in _tensors(getattr(part, name))]
    return []


def prefill() -> Rows:
    """8 prompts of 2048 tokens and one of 16k, on the three models."""
    limit, rows = Ceilings.measure(), []
    for name, layers in (("r1-tp8", 8), ("r1-slice", None), ("v2-lite", None)):
        rows += [asdict(row) for row in prefill_rows(name, limit, layers=layers)]
        torch.cuda.empty_cache()
    return rows


def layer() -> Rows:
    """Every kernel of an MoE layer beside its limit, and their sum, for the three models."""
    limit, rows = Ceilings.measure(), []
    for name in ("r1-tp8", "r1-slice", "v2-lite"):
        rows += layer_rows(name, list(BATCHES), [1024], limit, 8 if name == "r1-tp8" else 4)
        torch.cuda.empty_cache()
    return rows


def cache() -> Rows:
    """Whole steps from an FP8 cache beside a bf16 one."""
    limit, rows = Ceilings.measure(), []
    for cache_dtype in ("bfloat16", "fp8"):
        settings = ModelSettings(cache_dtype=cache_dtype)
        found = decode_rows("r1-tp8", [1, 32, 128], [1024, 8192], limit, 8, True, settings=settings)
        rows += [asdict(row) for row in found]
        torch.cuda.empty_cache()
    return rows


def forms() -> Rows:
    """Attention alone in each of its forms: microseconds, percent of the limit, and whether it is right."""
    limit, rows = Ceilings.measure(), []
    for heads, every in ((16, FORMS), (32, FORMS_32), (128, FORMS_128)):
        for name, how in every.items():
            for fp8 in caches(how):
                try:
                    wrong = attention_error(heads, 8192, how, fp8, 1)
                    for batch, context in ((1, 1024), (8, 8192), (32, 8192), (128, 1024), (128, 8192)):
                        cost = attention.cost([1] * batch, [context] * batch, heads, cache_bytes=1 if fp8 else 2)
                        seconds = _attention_seconds(heads, how, fp8, batch, context)
                        rows.append({"heads": heads, "form": name, "cache": "fp8" if fp8 else "bf16", "batch": batch,
                                     "context": context, "us": 1e6 * seconds, "error": wrong,
                                     "gb_per_s": cost.bytes / seconds / 1e9,
                                     "percent_of_limit": 100 * limit.floor_of([cost]) / seconds})  # fmt: skip
                except Exception as fault:  # a form may not fit this GPU: the others count
                    rows.append({"heads": heads, "form": name, "fp8": fp8, "failed": repr(fault)[:200]})
    return rows


def _attention_seconds(heads: int, how: DecodeVariant, fp8: bool, batch: int, context: int) -> float:
    pages = -(-context // PAGE)
    copies = max(1, (1 << 30) // (batch * pages * PAGE * 576 * (1 if fp8 else 2)))  # more than the caches hold
    latents = torch.randn(min(copies, 8), batch * pages, PAGE, 576, device="cuda", dtype=torch.bfloat16)
    scales = CacheScales(0.01, 0.02) if fp8 else None
    latents = scales.encode(latents) if scales is not None else latents
    queries = torch.randn(batch, heads, 576, device="cuda", dtype=torch.bfloat16)
    table = torch.randperm(batch * pages, device="cuda").int().view(batch, pages)
    positions = torch.full((batch,), context - 1, device="cuda")

    def run() -> None:
        for latent in latents:
            attention_decode_triton.decode(queries, latent, table, positions, 0.1, scales, how=how)

    return graph_seconds(capture(run), rounds=3, seconds=0.02) / len(latents)


def tilings() -> Rows:
    """The FP8 product of many tokens in several cuts."""
    rows: Rows = []
    for tokens in (2048, 16384):
        for width_in, width_out in ((7168, 4096), (7168, 512), (2048, 7168), (1536, 24576)):
            x = quantize_triton.quantize(torch.randn(tokens, width_in, device="cuda").bfloat16())
            data = torch.randn(width_out, width_in, device="cuda").to(torch.float8_e4m3fn)
            scale = torch.rand(scale_shape(data.shape), device="cuda") + 0.5
            weight = Weight(Fp8Block(data, scale))
            first = product(x, weight, cut=TILINGS[0], dtype=torch.bfloat16)[0]
            for cut in TILINGS:
                try:
                    off = (product(x, weight, cut=cut, dtype=torch.bfloat16)[0] - first).float().norm() / first.norm()
                    run = capture(lambda x=x, w=weight, c=cut: product(x, w, cut=c, dtype=torch.bfloat16))
                    seconds = graph_seconds(run, rounds=3, seconds=0.02)
                    rate = linear.cost(tokens, width_in, width_out).flops / seconds / 1e12
                    rows.append({"tokens": tokens, "in": width_in, "out": width_out, "cut": str(cut),
                                 "us": 1e6 * seconds, "differs": off.item(), "tflops": rate})  # fmt: skip
                except Exception as fault:  # a cut may not fit this GPU: the others count
                    rows.append({"cut": str(cut), "failed": repr(fault)[:200]})
    return rows


def start() -> Rows:
    """Seconds from nothing to ready, by phase, on r1-tp8 with 8 layers: an empty kernel cache, then a full one."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "r1-tp8"
        _run([sys.executable, "-m", "hopwell", "synth", "r1-tp8", str(checkpoint), "--layers", "8", "--dense", "1",
              "--no-mtp", "--device", "cuda"])  # fmt: skip
        task = {"decode": [[1, 64], [128, 64]], "steps": 8, "prefill": [[1, 64]]}
        ours, _ = sides(checkpoint, task, None, say=lambda _: None)
    return [
        {"kernel_cache": "empty", "ready_s": ours["ready_cold_s"], "phases": ours["phases_cold"]},
        {"kernel_cache": "full", "ready_s": ours["ready_s"], "phases": ours["phases"],
         "kernel_fault": ours["kernel_fault"], "compiled_after_ready": ours["compiled_after_ready"]},
    ]  # fmt: skip


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HopwellError(f"{' '.join(command[:5])} failed: {done.stderr.strip()[-500:]}")
