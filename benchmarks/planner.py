"""The planner beside what was measured: public rows of R1 and K2.5, and our own results.

    pip download --no-deps aiconfigurator-core==0.12.0
    python -m benchmarks.planner aiconfigurator_core-0.12.0-*.whl --out benchmarks/results

Constants were fitted on kernels alone (planner_fit.py, planner_fit_own.py), so every row here is a test.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.planner_rows import Pair, predict, public
from hopwell.cli.tables import print_rows
from hopwell.limits.catalogue import find_gpu
from hopwell.limits.prices import read_prices
from hopwell.planner.asked import parse_gpus
from hopwell.planner.calibration import line
from hopwell.planner.engines import find_engine
from hopwell.planner.kernels import architecture
from hopwell.planner.layout import Layout
from hopwell.planner.model import Model, read_model
from hopwell.planner.question import Question
from hopwell.planner.search import search
from hopwell.planner.serving import Load
from hopwell.planner.step import Machine, total
from hopwell.planner.uncertainty import Z, step_error

RESULTS = Path(__file__).with_name("results")
OWN = (
    "engine-r1-tp8-h200-20261126.json", "whole-r1-tp8-h200-20261126.json", "against-r1-tp8-h200-20261126c.json",
    "against-r1-slice-h200-20261126b.json", "against-v2-lite-h200-20261126c.json", "engine-v2-lite-h100-20261125.json",
)  # fmt: skip
CURRENT = "2026"
Group = Callable[[Pair], tuple[Any, ...]]


def percent(values: Iterable[float]) -> float:
    return round(100 * mean(values), 1)


def errors(name: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Mean relative errors of a set, the middle one with its sign, how many are at most 15 %, and what percentage lies
    within P10 to P90."""
    inside = 0
    for pair in pairs:
        sigma = step_error(pair.machine, pair.point, 0)
        inside += abs(1 + pair.tpot) <= 2.718281828 ** (Z * sigma) and 1 + pair.tpot >= 2.718281828 ** (-Z * sigma)
    return {
        "set": name,
        "n": len(pairs),
        "tpot_error": percent(abs(pair.tpot) for pair in pairs),
        "tpot_bias": round(100 * median(pair.tpot for pair in pairs), 1),
        "within_15_percent": sum(abs(pair.tpot) <= 0.15 for pair in pairs),
        "tokens_error": percent(abs(pair.tokens) for pair in pairs),
        "ttft_error": percent(abs(pair.ttft) for pair in pairs),
        "inside_p10_p90": round(100 * inside / len(pairs)),
    }


def grouped(pairs: Iterable[Pair], key: Group) -> dict[tuple[Any, ...], list[Pair]]:
    found: dict[tuple[Any, ...], list[Pair]] = defaultdict(list)
    for pair in pairs:
        found[key(pair)].append(pair)
    return dict(sorted(found.items()))


def by_engine(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """A row for every model, GPU, engine and precision, dates before 2026 apart."""
    sets = grouped(pairs, lambda p: (p.row.model, p.row.gpu, p.row.engine, p.row.precision, p.row.date >= CURRENT))
    return [errors(f"{' '.join(key[:4])}, {'2026' if key[4] else '2025'}", members) for key, members in sets.items()]


def after_three(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Time to the first token once two constants of each configuration (the host's time, and a factor on the rest) are
    fitted to three of its rows: few and many users with short prompts, few with long ones; tested on the others."""
    off = []
    for members in grouped(pairs, lambda p: (p.row.config, p.row.date)).values():
        members = sorted(members, key=lambda p: (p.row.input, p.row.users))
        short = [p for p in members if p.row.input < 4096]
        long = [p for p in members if p.row.input >= 4096]
        if len(short) < 3 or not long or len(members) < 6:
            continue
        three = [short[0], short[-1], long[0]]
        host, factor = line([(_rest(p), p.row.ttft_ms) for p in three])
        off += [abs((host + factor * _rest(p)) / p.row.ttft_ms - 1) for p in members if p not in three]
    return {"n": len(off), "ttft_error": percent(off), "ttft_median": round(100 * median(off), 1)}


def _rest(pair: Pair) -> float:
    """ms to the first token beside the host's."""
    return pair.point.ttft_ms - pair.machine.engine.first_us[architecture(pair.machine.gpu)] / 1e3


def ranking(pairs: Iterable[Pair]) -> dict[str, Any]:
    """GPU and precision against another at equal lengths and users: is the better one, by tokens a GPU, known?"""
    right = wrong = 0
    misses = []
    for key, members in grouped(pairs, lambda p: (p.row.input, p.row.output, p.row.users, p.row.engine)).items():
        kinds = grouped(members, lambda p: (p.row.gpu, p.row.precision))
        best = {kind: max(found, key=lambda p: p.row.tokens_per_s) for kind, found in kinds.items()}
        for (one, a), (other, b) in combinations(best.items(), 2):
            measured, predicted = a.row.tokens_per_s / b.row.tokens_per_s, a.predicted_tokens / b.predicted_tokens
            if (measured > 1) == (predicted > 1):
                right += 1
            else:
                wrong += 1
                misses.append(f"{one} {other} {key}: measured {measured:.2f}, predicted {predicted:.2f}")
    return {"pairs": right + wrong, "right": right, "misses": misses}


def own_models() -> dict[str, Model]:
    """Those of our own results; `r1-tp8` is one GPU's share."""
    r1 = read_model("deepseek-r1")
    share = replace(r1, num_attention_heads=16, intermediate_size=2304, moe_intermediate_size=256, vocab_size=16160)
    slice_ = replace(r1, num_hidden_layers=4, first_k_dense_replace=1)
    return {"r1-tp8": share, "r1-slice": slice_, "v2-lite": read_model("v2-lite")}


def own(name: str) -> dict[str, Any]:
    """One of our results beside the planner: mean error of a step, by model."""
    result = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    gpu = find_gpu("H100" if "H100" in result["device"] else "H200")
    if "ours" in result:
        layers = 8 if "tp8" in name else None
        steps = [
            (result["checkpoint"], layers, r["batch"], r["context"], r["ms_per_step"]) for r in result["ours"]["decode"]
        ]
    else:
        steps = [
            (r["model"], r["layers"], r["batch"], r["context"], r["ms"])
            for r in result["rows"]
            if "ms" in r and "batch" in r and r.get("cache_dtype", "auto") == "auto" and not r.get("activations")
        ]
    off = []
    for label, layers, batch, context, ms in steps:
        model = own_models()[label]
        if layers and layers != model.num_hidden_layers:
            model = replace(model, num_hidden_layers=layers, first_k_dense_replace=1)
        engine = find_engine("hopwell")
        machine = Machine(model, engine.precisions[model.stored], Layout(1, 1, 1, 1), gpu, engine)
        off.append(total(machine.decode(batch, context)) / 1e3 / ms - 1)
    return {
        "result": name, "model": steps[0][0], "gpu": gpu.name, "n": len(off),
        "step_error": percent(map(abs, off)), "bias": round(100 * median(off), 1),
    }  # fmt: skip


WIDE = (
    ("decode", "H100", "fp8", 64, 256, 2048, 2785, "SGLang, 96 H100, EP72"),
    ("prompts", "H100", "fp8", 32, 8, 2048, 6818, "SGLang, 96 H100, EP32"),
    ("decode", "GB200", "nvfp4", 64, 1408, 2048, 13386, "SGLang, GB200, EP48, FP8 attention"),
    ("prompts", "GB200", "nvfp4", 4, 4, 4096, 26156, "SGLang, GB200, FP8 attention"),
)
"""Published for attention by sequence over many GPUs: what, GPU, format, GPUs here, sequences a GPU, context, tokens a
second and GPU, by whom. Our number of GPUs is the nearest power of two."""


def wide() -> list[dict[str, Any]]:
    """Published wide layouts beside the planner, which knows no overlap of two batches."""
    rows = []
    for kind, name, form, gpus, sequences, context, measured, source in WIDE:
        gpu, engine = find_gpu(name), find_engine("sglang")
        precision = engine.precision(form, gpu)
        machine = Machine(read_model("deepseek-r1"), precision, Layout(1, gpus, 1, gpus), gpu, engine)
        if kind == "decode":
            rate = sequences / total(machine.decode(sequences * gpus, context)) * 1e6
        else:
            rate = sequences * context / total(machine.prompt(context, prompts=sequences)) * 1e6
        row = {"what": kind, "gpu": name, "gpus": gpus, "measured": measured, "predicted": round(rate)}
        rows.append({**row, "error": round(100 * (rate / measured - 1)), "source": source})
    return rows


def speed() -> dict[str, float]:
    """One question over six GPUs: in this process, and from the start of one, the least of five since others may run
    on the machine; its CPU time, too."""
    asked = Question(
        read_model("deepseek-r1"), parse_gpus("h100,h200,b200,b300,gb200,gb300"), Load(1000, 1000), 2000, 30, rate=10
    )
    begin = time.process_time()
    points = search(asked, read_prices()).points
    used = time.process_time() - begin
    command = [sys.executable, "-m", "hopwell", "plan", "deepseek-r1", "--rate", "10", "--tpot", "30ms"]
    runs = []
    for _ in range(5):
        begin, before = time.perf_counter(), os.times()
        subprocess.run(command, check=True, capture_output=True)
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        runs.append((time.perf_counter() - begin, cpu))
    return {
        "points": points, "cpu_seconds": round(used, 2), "cpu_seconds_for_20000": round(used / points * 20_000, 2),
        "command_seconds": round(min(wall for wall, _ in runs), 2),
        "command_cpu_seconds": round(min(cpu for _, cpu in runs), 2), "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="aiconfigurator_core-0.12.0-*.whl")
    parser.add_argument("--out", type=Path, help="folder for planner-DATE.json")
    given = parser.parse_args()
    every = list(map(predict, public(given.wheel)))
    pairs = [pair for pair in every if pair is not None]
    r1 = [p for p in pairs if p.row.model == "deepseek-r1"]
    timed = [p for p in r1 if p.row.gpu != "B300" and p.row.date >= CURRENT]
    whole = [errors("R1 on H200 and B200, 2026", timed), errors("R1, all", r1)]
    kimi = [p for p in pairs if p.row.model == "kimi-k2"]
    whole.append(errors("Kimi-K2.5, all", kimi))
    rows = by_engine(pairs)
    summary = {
        "name": "planner",
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "source": "silicon_sample.csv of aiconfigurator-core 0.12.0 (Apache-2.0; rows of InferenceX); own results",
        "left_out": len(every) - len(pairs),
        "whole": whole,
        "rows": rows,
        "ttft_after_three": after_three(timed),
        "ranking": ranking(p for p in r1 if p.row.gpu != "B300" and p.row.date >= CURRENT),
        "own": [own(name) for name in OWN],
        "wide": wide(),
        "speed": speed(),
    }
    for part in ("whole", "rows", "own", "wide"):
        print_rows(summary[part])
    print({key: summary[key] for key in ("left_out", "ttft_after_three", "ranking", "speed")})
    if given.out:
        from hopwell.cli.result import as_text

        given.out.mkdir(parents=True, exist_ok=True)
        path = given.out / f"planner-{datetime.now(UTC):%Y%m%d}.json"
        path.write_text(as_text(summary) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
