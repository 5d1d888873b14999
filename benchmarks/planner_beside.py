"""The planner beside AIConfigurator 0.12, on identical rows: what was measured, what each says.

    pip install --target FOLDER aiconfigurator==0.12.0
    python -m benchmarks.planner_beside aiconfigurator_core-0.12.0-*.whl FOLDER --out benchmarks/results

Both are given the model, the GPUs, the layout, the precision, the mean lengths and the users of a row, and nothing that
was measured. AIConfigurator is asked twice: with the settings that it chooses itself, and with the cache's format of
the engine's recipe, which the planner's profiles hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.planner import CURRENT, percent
from benchmarks.planner_rows import Pair, predict, public
from hopwell.cli.tables import print_rows

PATHS = {
    ("deepseek-r1", "fp8"): "deepseek-ai/DeepSeek-V3",
    ("deepseek-r1", "nvfp4"): "nvidia/DeepSeek-V3.1-NVFP4",
    ("kimi-k2", "nvfp4"): "nvidia/Kimi-K2.5-NVFP4",
    ("kimi-k2", "int4"): "moonshotai/Kimi-K2.5",
}
"""Checkpoints as AIConfigurator knows them."""
CACHES = {"bf16": "bfloat16", "fp8": "fp8"}
WAYS = {"aiconfigurator": False, "the same, its cache given": True}
Answer = dict[str, Any]
Errors = tuple[float, float, float]
"""Relative: of ms between tokens, of output tokens a second and GPU, of ms to the first."""


def question(pair: Pair, cache: bool) -> dict[str, Any]:
    """A row as arguments of its `cli_estimate`, with or without the cache's format."""
    row = pair.row
    asked = {
        "model_path": PATHS[row.model, row.precision],
        "system_name": f"{row.gpu.lower()}_sxm",
        "backend_name": row.engine,
        "isl": round(row.load.input),
        "osl": round(row.load.output),
        "batch_size": ceil(row.users / row.layout.dp),
        "tp_size": row.layout.tp,
        "attention_dp_size": row.layout.dp,
        "moe_tp_size": row.layout.expert_cut,
        "moe_ep_size": row.layout.expert_whole,
    }
    if cache:
        asked["kvcache_quant_mode"] = CACHES[pair.machine.precision.cache]
    return asked


def ask(pairs: Sequence[Pair], cache: bool, folder: Path) -> list[Answer]:
    """Its answers, from a process that sees `folder` and not this package."""
    script = Path(__file__).with_name("peer_aiconfigurator.py")
    asked = json.dumps([question(pair, cache) for pair in pairs])
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, str(script)], input=asked, capture_output=True, text=True, check=True, env=environment
    )
    return json.loads(done.stdout)


def theirs(pair: Pair, answer: Answer) -> Errors:
    """Tokens a second follow from its times as the row's do from those measured."""
    row, output = pair.row, pair.row.load.output
    made = row.users * output / (answer["ttft_ms"] + output * answer["tpot_ms"]) * 1e3 / row.layout.gpus
    return answer["tpot_ms"] / row.tpot_ms - 1, made / row.tokens_per_s - 1, answer["ttft_ms"] / row.ttft_ms - 1


def rows_of(name: str, members: Sequence[tuple[Pair, Sequence[Answer]]]) -> list[dict[str, Any]]:
    """Mean errors of the planner and of each way to ask AIConfigurator, on the rows that it answers every time."""
    both = [(pair, answers) for pair, answers in members if all("tpot_ms" in answer for answer in answers)]
    sets = {"planner": [(pair.tpot, pair.tokens, pair.ttft) for pair, _ in both]}
    sets |= {way: [theirs(pair, answers[i]) for pair, answers in both] for i, way in enumerate(WAYS)}
    return [
        {
            "set": name,
            "n": len(both),
            "by": way,
            "tpot_error": percent(abs(tpot) for tpot, _, _ in found),
            "tpot_bias": round(100 * median(tpot for tpot, _, _ in found), 1),
            "tokens_error": percent(abs(tokens) for _, tokens, _ in found),
            "ttft_error": percent(abs(ttft) for _, _, ttft in found),
        }
        for way, found in sets.items()
        if found
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="aiconfigurator_core-0.12.0-*.whl")
    parser.add_argument("folder", type=Path, help="where aiconfigurator 0.12.0 is installed")
    parser.add_argument("--out", type=Path, help="folder for planner-beside-aiconfigurator-DATE.json")
    given = parser.parse_args()
    pairs = [pair for pair in map(predict, public(given.wheel)) if pair is not None]
    answers = list(zip(*(ask(pairs, way, given.folder) for way in WAYS.values()), strict=True))
    every = list(zip(pairs, answers, strict=True))
    r1 = [member for member in every if member[0].row.model == "deepseek-r1"]
    timed = [m for m in r1 if m[0].row.gpu != "B300" and m[0].row.date >= CURRENT]
    kimi = [member for member in every if member[0].row.model == "kimi-k2"]
    whole = [("R1 on H200 and B200, 2026", timed), ("R1, all", r1), ("Kimi-K2.5, all", kimi)]
    sets: dict[str, list[tuple[Pair, Sequence[Answer]]]] = {}
    for pair, answered in every:
        row = pair.row
        year = "2026" if row.date >= CURRENT else "2025"
        sets.setdefault(f"{row.model} {row.gpu} {row.engine} {row.precision}, {year}", []).append((pair, answered))
    flat = [answer for answered in answers for answer in answered]
    summary = {
        "name": "planner-beside-aiconfigurator",
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "peer": "aiconfigurator 0.12.0, cli_estimate, mode agg, database mode SILICON, no MTP",
        "source": "silicon_sample.csv of aiconfigurator-core 0.12.0 (Apache-2.0; rows of InferenceX)",
        "whole": [row for name, members in whole for row in rows_of(name, members)],
        "rows": [row for name in sorted(sets) for row in rows_of(name, sets[name])],
        "refused": len([answer for answer in flat if "fault" in answer]),
        "faults": sorted({answer["fault"].partition(" at ")[0] for answer in flat if "fault" in answer}),
        "over_its_memory": sum(answer.get("over_memory", False) for answer in flat) // len(WAYS),
        "with_watts": sum(answer.get("watts") is not None for answer in flat),
        "its_seconds_a_row": round(median(answer["seconds"] for answer in flat if "seconds" in answer), 2),
    }
    for part in ("whole", "rows"):
        print_rows(summary[part])
    print({key: summary[key] for key in ("refused", "faults", "over_its_memory", "with_watts", "its_seconds_a_row")})
    if given.out:
        from hopwell.cli.result import as_text

        path = given.out / f"planner-beside-aiconfigurator-{datetime.now(UTC):%Y%m%d}.json"
        path.write_text(as_text(summary) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
