"""The planner's constants of Hopwell's own kernels, fitted on kernels timed alone on one H200.

python -m benchmarks.planner_fit_own >> hopwell/planner/kernels.toml
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.planner_fit import show
from hopwell.bench.fit import Points, fit_roofline
from hopwell.limits.catalogue import find_gpu
from hopwell.planner import work

RESULTS = Path(__file__).with_name("results")
LAYER, TRIED = "layer-r1-tp8-h200-20261126.json", "tried-h200-20261126.json"
HEADS, HIDDEN, WIDTH = 16, 7168, 256
"""Of `r1-tp8`."""
LINEARS = {"qkv_a": (HIDDEN, 2112), "q_b": (1536, HEADS * 192), "o": (HEADS * 128, HIDDEN)}
DISTINCT = {1: 8.0, 8: 57.7, 32: 163.7, 128: 252.6}
"""Of the routed experts, as the result of whole steps has them."""
FORMS = {(128, "64 rows, by hand", "bf16"), (16, "rows, 3 stages", "bf16"), (16, "by hand", "fp8")}
"""The attention kernels that serve."""


def rows(name: str) -> list[dict[str, Any]]:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))["rows"]


def linears() -> Points:
    """FP8 products of a layer at few rows, and the best form of each at many. bf16's are not fitted: the small ones
    that were timed alone stay in L2, and FP8's shares of the rates serve better."""
    found = [
        (*work.linear(row["batch"], *LINEARS[row["op"]], "fp8"), row["us"])
        for row in rows(LAYER)
        if row["op"] in LINEARS
    ]
    best: dict[tuple[int, int, int], float] = defaultdict(float)
    for row in rows(TRIED):
        if row["what"] == "FP8 product":
            size = row["tokens"], row["in"], row["out"]
            best[size] = max(best[size], row["tflops"])
    return found + [
        (*work.linear(*size, "fp8"), 2 * size[0] * size[1] * size[2] / rate / 1e6) for size, rate in best.items()
    ]


def experts() -> Points:
    """Both products of a decode step's experts, shared one included, and of a prompt through the full width."""
    times: dict[int, float] = defaultdict(float)
    for row in rows(LAYER):
        if row["op"] in ("experts up", "silu, mul, quantise", "experts down"):
            times[row["batch"]] += row["us"]
    found = [
        (*work.routed_experts(batch, HIDDEN, WIDTH, 9, DISTINCT[batch] + 1, "fp8"), us) for batch, us in times.items()
    ]
    prompt = sum(r["us"] / 3 for r in rows(TRIED) if r.get("kernel") in ("_up", "_down") and "by kernel" in r["what"])
    return [*found, (*work.routed_experts(16384, HIDDEN, 2048, 9, 257, "fp8"), prompt)]


def decode_attention(cache: str) -> Points:
    """A step's attention alone."""
    return [
        (*work.absorbed_attention(row["batch"], 1, row["context"], row["heads"], 512, 64, cache), row["us"])
        for row in rows(TRIED)
        if row["what"] == "attention" and row["cache"] == cache and (row["heads"], row["form"], cache) in FORMS
    ]


def prompt_attention() -> Points:
    """Whole prompts, in the cut that serves; their keys and values are rebuilt elsewhere."""
    found = []
    for row in rows(TRIED):
        plain = row["what"] == "prompt attention, plain Triton"
        if plain or (row["what"] == "prompt attention" and row["queries, keys, warps, stages"] == "(128, 64, 8, 3)"):
            tokens, heads, prompts = row["tokens"], row["heads"], row.get("sequences", 1)
            moved, flops = work.prompt_attention(tokens, tokens, heads, 512, 64, 128, "bf16")
            flops -= 2 * tokens * heads * 512 * 256
            found.append((moved * prompts, flops * prompts, row["us"]))
    return found


def families() -> Iterator[tuple[str, str, Points]]:
    yield "linear", "fp8", linears()
    for family in ("experts_cut", "experts_whole"):
        yield family, "fp8", experts()
    for cache in ("bf16", "fp8"):
        yield "decode_attention", cache, decode_attention(cache)
    yield "prompt_attention", "bf16", prompt_attention()


def main() -> None:
    gpu = find_gpu("H200")
    for family, form, points in families():
        rate = "bf16" if family.endswith("attention") else form
        source = f"benchmarks/results/{LAYER}, {TRIED}"
        tag = {
            "family": family,
            "kernels": "hopwell",
            "format": form,
            "arch": "hopper",
            "gpu": "H200",
            "source": source,
        }
        show(tag, fit_roofline(points, gpu, rate))


if __name__ == "__main__":
    main()
