"""The planner's constants, fitted on kernel tables alone: four numbers a family, never an end-to-end figure.

    pip install pyarrow; pip download --no-deps aiconfigurator-core==0.12.0
    python -m benchmarks.planner_fit aiconfigurator_core-0.12.0-*.whl > kernels.toml

The tables are NVIDIA's (AIConfigurator, Apache-2.0); what is kept are the fits.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hopwell.bench.fit import Points, fit_roofline, minimise
from hopwell.limits.catalogue import find_gpu
from hopwell.planner import work

SYSTEMS = {"hopper": ("h200_sxm", "H200"), "blackwell": ("b200_sxm", "B200")}
DATA = "aiconfigurator_core/systems/data"
SGLANG, TRTLLM = "sglang/0.5.14", "trtllm/1.3.0rc20"
FORMATS = {"fp8_block": "fp8", "bfloat16": "bf16", "nvfp4": "nvfp4", "int4_wo": "int4"}
Row = Mapping[str, Any]


def table(wheel: zipfile.ZipFile, name: str) -> Iterator[Row]:
    """Rows of one Parquet file of the wheel."""
    import pyarrow.parquet as parquet

    yield from parquet.read_table(io.BytesIO(wheel.read(f"{DATA}/{name}.parquet"))).to_pylist()


def linears(rows: Iterable[Row], weights: str) -> Points:
    """Products of the family's sizes."""
    found = []
    for row in rows:
        m, n, k = row["m"], row["n"], row["k"]
        if FORMATS.get(row["gemm_dtype"]) == weights and m <= 16384 and 512 <= n <= 25000 and 512 <= k <= 18432:
            found.append((*work.linear(m, k, n, weights), row["latency"] * 1e3))
    return found


def decode_attention(rows: Iterable[Row], cache: str) -> Points:
    """One new token of each sequence; `step` rows are cached before it."""
    return [
        (*work.absorbed_attention(r["batch_size"], 1, r["isl"] + r["step"], r["num_heads"], 512, 64, cache), us)
        for r in rows
        if FORMATS.get(r["kv_cache_dtype"], r["kv_cache_dtype"]) == cache and r["num_heads"] >= 8
        for us in [r["latency"] * 1e3]
    ]


def context_attention(rows: Iterable[Row], cache: str) -> Points:
    """Whole prompts, without the rebuilding of keys and values, which the tables time apart."""
    found = []
    for r in rows:
        if FORMATS.get(r["kv_cache_dtype"], r["kv_cache_dtype"]) == cache and r["num_heads"] >= 8 and r["isl"] >= 64:
            heads, tokens = r["num_heads"], r["isl"]
            moved, flops = work.prompt_attention(tokens, tokens, heads, 512, 64, 128, cache)
            flops -= 2 * tokens * heads * 512 * 256
            found.append((moved * r["batch_size"], flops * r["batch_size"], r["latency"] * 1e3))
    return found


def experts(rows: Iterable[Row], weights: str, shared_out: bool, count: int = 256) -> Points:
    """Experts cut by width, or shared out whole; tokens are those of all ranks."""
    found = []
    for r in rows:
        wanted = (FORMATS.get(r["moe_dtype"]), r["num_experts"], r["distribution"]) == (
            weights,
            count,
            "power_law_1.01",
        )
        tp, ep, tokens, top_k = r["moe_tp_size"], r["moe_ep_size"], r["num_tokens"], r["topk"]
        if not wanted or (ep > 1) != shared_out or (ep > 1 and tp > 1) or tokens > 16384 or max(tp, ep) > 16:
            continue
        if r["hidden_size"] == (2048 if weights == "bf16" else 7168):
            distinct = work.distinct_experts(count, top_k, tokens) / ep
            here = work.arrivals(tokens, top_k, ep)
            each = tokens * top_k / ep / here
            cost = work.routed_experts(here, r["hidden_size"], r["inter_size"] / tp, each, distinct, weights)
            found.append((*cost, r["latency"] * 1e3))
    return found


def exchange(rows: Iterable[Row], gpus: int, op: str) -> Points:
    """Sums and gathers: bytes of the whole, the tables count elements."""
    return [
        (2.0 * r["message_size"], 0.0, r["latency"] * (1e3 if r["latency"] < 50 else 1))
        for r in rows
        if r["num_gpus"] == gpus and r["op_name"] == op and (op != "all_reduce" or r["backend"].endswith("graph"))
        if 2048 <= r["message_size"] <= 1 << 26
    ]


def power(x: np.ndarray, points: np.ndarray) -> np.ndarray:
    """log us of (log launch, log bytes in a microsecond, exponent)."""
    return np.log(np.exp(x[0]) + (points[:, 0] / np.exp(x[1])) ** x[2])


def fit_power(points: Points) -> dict[str, float]:
    """Launch, bytes in a microsecond and exponent of an exchange."""
    data = np.array(points)
    truth = np.log(data[:, 2])

    def error(x: np.ndarray) -> float:
        return float(np.mean(np.abs(power(x, data) - truth)) + 10 * max(0, x[2] - 1))

    x = minimise(error, [1.0, 10.0, 0.8])
    off = np.expm1(power(x, data) - truth)
    found = {"launch_us": float(np.exp(x[0])), "bytes_per_us": float(np.exp(x[1])), "exponent": float(x[2])}
    return {**found, "error": float(np.mean(np.abs(off))), "points": len(data)}


def fits(wheel: zipfile.ZipFile) -> Iterator[tuple[dict[str, str], dict[str, float]]]:
    """Every family of every architecture: what it is, and its constants."""
    for arch, (system, name) in SYSTEMS.items():
        gpu = find_gpu(name)
        gemm = list(table(wheel, f"{system}/gemm/{SGLANG}/gemm_perf"))
        moe = list(table(wheel, f"{system}/moe/{SGLANG}/moe_perf"))
        decode = list(table(wheel, f"{system}/mla/{SGLANG}/generation_mla_perf"))
        context = list(table(wheel, f"{system}/mla/{SGLANG}/context_mla_perf"))
        for weights in FORMATS.values():
            kinds = {
                "linear": linears(gemm, weights),
                "experts_cut": experts(moe, weights, False, 384 if weights == "int4" else 256),
                "experts_whole": experts(moe, weights, True, 384 if weights == "int4" else 256),
            }
            for family, points in kinds.items():
                if points:
                    tag = {
                        "family": family,
                        "format": weights,
                        "arch": arch,
                        "gpu": name,
                        "source": f"{system}, {SGLANG}",
                    }
                    yield tag, fit_roofline(points, gpu, weights)
        for cache in ("bf16", "fp8"):
            tag = {"format": cache, "arch": arch, "gpu": name, "source": f"{system}, {SGLANG}"}
            yield {"family": "decode_attention", **tag}, fit_roofline(decode_attention(decode, cache), gpu, "bf16")
            yield {"family": "prompt_attention", **tag}, fit_roofline(context_attention(context, cache), gpu, "bf16")
        trt = {kind: list(table(wheel, f"{system}/mla/{TRTLLM}/{kind}_mla_perf")) for kind in ("generation", "context")}
        for cache in ("bf16", "fp8"):
            tag = {"kernels": "trtllm", "format": cache, "arch": arch, "gpu": name, "source": f"{system}, {TRTLLM}"}
            points = decode_attention(trt["generation"], cache)
            yield {"family": "decode_attention", **tag}, fit_roofline(points, gpu, "bf16")
            yield (
                {"family": "prompt_attention", **tag},
                fit_roofline(context_attention(trt["context"], cache), gpu, "bf16"),
            )
        sums = list(table(wheel, f"{system}/comm/{SGLANG}/custom_allreduce_perf"))
        gathers = list(table(wheel, f"{system}/comm/nccl/2.29.2/nccl_perf"))
        for gpus in (2, 4, 8):
            tag = {"arch": arch, "gpu": name, "format": str(gpus)}
            yield (
                {"family": "sum", **tag, "source": f"{system}, {SGLANG}"},
                fit_power(exchange(sums, gpus, "all_reduce")),
            )
            for op in ("all_gather", "reduce_scatter"):
                if points := exchange(gathers, gpus, op):
                    yield {"family": op, **tag, "source": f"{system}, nccl/2.29.2"}, fit_power(points)


def show(tag: Mapping[str, str], constants: Mapping[str, float]) -> None:
    """One entry of kernels.toml."""
    print("[[kernel]]")
    print("\n".join(f'{key} = "{value}"' for key, value in tag.items()))
    print("\n".join(f"{key} = {value:.4g}" for key, value in constants.items()), end="\n\n", flush=True)


HEADER = """# Constants of kernels: four numbers a family, fitted on kernels timed alone, never on a server's figures.
#
#   family, format, arch  which kernel: of weights, of the cache for attention, of GPUs for exchanges
#   kernels               whose; public: SGLang's and NCCL's, which others' engines are taken to equal
#   gpu                   timed on
#   launch_us, bandwidth, math, p   us = launch + ((bytes / (bandwidth * B))^p + (flops / (math * F))^p)^(1/p), B and F
#                         the catalogue's rates; experts above 1: tokens choose fewer than chance would have it
#   bytes_per_us, exponent          us = launch + (bytes / bytes_per_us)^exponent
#   error                 mean relative error of the fit over `points`
#
# Made by benchmarks/planner_fit.py from the tables of AIConfigurator 0.12 (NVIDIA, Apache-2.0), then
# benchmarks/planner_fit_own.py, on 2026-11-29.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="aiconfigurator_core-0.12.0-*.whl")
    print(HEADER)
    with zipfile.ZipFile(parser.parse_args().wheel) as wheel:
        for tag, constants in fits(wheel):
            show(tag, constants)


if __name__ == "__main__":
    main()
