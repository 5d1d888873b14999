"""The model card says what was measured, and what the files are."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from hopwell.model import NANO
from training.nano.scoring import KNOWN, OUTSIDE, UNSEEN
from training.nano.tasks import TASKS

ROOT = Path(__file__).parents[2]
CARD = (NANO / "README.md").read_text(encoding="utf-8")


def test_card_quotes_its_result() -> None:
    result, former = (_result(r"benchmarks/results/nano-\d+\.json", which) for which in (0, 1))
    assert f"seed {result['seed']}," in CARD and former["date"] < result["date"]
    rows = {(row["task"], row["wording"]): row for row in result["rows"]}
    before = {(row["task"], row["wording"]): row["right"] for row in former["rows"]}
    assert set(rows) == set(before)
    assert set(rows) == {(task, wording) for task in TASKS for wording in (KNOWN, UNSEEN)} | {("outside", OUTSIDE)}
    for task in TASKS:
        known, unseen = (
            f"| {row['right']} / {row['problems']} | {row['accuracy'] * 100:.1f} % |"
            for row in (rows[task, KNOWN], rows[task, UNSEEN])
        )
        then = f" {before[task, KNOWN]}, {before[task, UNSEEN]} |"
        pattern = rf"^\| {task} \|[^|]+{re.escape(known)}[^|]+{re.escape(unseen + then)}$"
        assert re.search(pattern, CARD, re.MULTILINE), task
        assert rows[task, KNOWN]["accuracy"] >= rows[task, KNOWN]["required"]
    declined = rows["outside", OUTSIDE]
    assert f"{declined['right']} of {declined['problems']} questions that nano cannot answer" in CARD
    for wording in (KNOWN, UNSEEN):
        counts = [(row["right"], row["problems"]) for (_, found), row in rows.items() if found == wording]
        right, count = map(sum, zip(*counts, strict=True))
        assert f"| {right} / {count} | {right / count * 100:.2f} %" in CARD
    measured = result["models"]["nano"]
    assert f"**{measured['mtp_acceptance'] * 100:.2f} %**" in CARD and measured["mtp_acceptance"] >= 0.7
    assert ", ".join(f"{load:.2f}" for load in measured["imbalance"]) in CARD


def _result(pattern: str, which: int = 0) -> dict[str, Any]:
    """The first, or another, of the files of a pattern that the card names."""
    return json.loads((ROOT / re.findall(pattern, CARD)[which]).read_text(encoding="utf-8"))


def test_card_compares_tasks_that_grew_on_the_same_problems() -> None:
    now, former = (_result(rf"benchmarks/results/nano-{which}-\d+\.json") for which in ("grown", "former"))
    assert f"seed {now['seed']}\n" in CARD and now["seed"] == former["seed"]
    rights, before = ({(row["task"], row["wording"]): row for row in each["rows"]} for each in (now, former))
    assert {key: row["problems"] for key, row in rights.items()} == {
        key: row["problems"] for key, row in before.items()
    }
    for task in {task for task, wording in rights if wording == KNOWN}:
        cells = [each[task, wording]["right"] for wording in (KNOWN, UNSEEN) for each in (rights, before)]
        assert f"| {task} | {' | '.join(map(str, cells))} |\n" in CARD
    declined, then = rights["outside", OUTSIDE], before["outside", OUTSIDE]["right"]
    assert f"Of {declined['problems']} questions outside {declined['right']} were declined" in CARD
    assert f"were {then}.\n" in CARD


def test_card_quotes_its_visitors() -> None:
    """Each kind's verdicts, also of the weights before, and every reply that was not right."""
    rows = _result(r"benchmarks/results/visitors-nano-\d+\.json")["rows"]
    name = re.findall(r"visitors-nano-\d+\.json", CARD)[1]
    former = json.loads((ROOT / "benchmarks/results" / name).read_text(encoding="utf-8"))["rows"]
    asked = json.loads((ROOT / "training/nano/visitors.json").read_text(encoding="utf-8"))
    assert [{key: row[key] for key in entry} for row, entry in zip(rows, asked, strict=True)] == asked
    for kind in {entry["kind"] for entry in asked}:
        columns = ("right", "WRONG") if kind.startswith("decline: ") else ("right", "declined", "WRONG")
        now, then = (Counter(row["verdict"] for row in each if row["kind"] == kind) for each in (rows, former))
        cells = [now.total(), *(now[column] for column in columns), ", ".join(str(then[column]) for column in columns)]
        assert f"| {kind.removeprefix('decline: ')} | {' | '.join(map(str, cells))} |\n" in CARD
    for row in rows:
        listed = f"| {row['question']} | " in CARD.replace(r"\*", "*").partition("## 240 visitors")[2]
        assert listed == (row["verdict"] != "right"), row["question"]


def test_card_answers_every_stranger() -> None:
    asked = json.loads((ROOT / "training/nano/strangers.json").read_text(encoding="utf-8"))
    for entry in asked:
        question = " / ".join(entry["turns"]).replace("*", r"\*")
        assert f"| {question} |" in CARD
    verdicts = re.findall(r"\| (right|declined|WRONG) \|$", CARD.partition("## 240 visitors")[0], re.MULTILINE)
    assert len(verdicts) == len(asked) and verdicts.count("WRONG") <= 5


def test_card_tells_of_the_training() -> None:
    runs = json.loads((ROOT / "training" / "nano" / "log.json").read_text(encoding="utf-8"))
    for run in runs:
        assert f"{run['steps']:,} steps" in CARD or f"{run['steps']} steps" in CARD
        assert f"({run['train_seconds']:.0f} s, {run['tokens'] / 1e6:.0f} M tokens" in CARD
    assert f"{sum(run['train_seconds'] for run in runs) / 3600:.2f} GPU-hours" in CARD
    for evaluation in runs[0]["evaluations"]:
        shares = evaluation["accuracy"].values()
        assert f"{sum(shares) / len(shares) * 100:.2f} % in {evaluation['weights'].replace('fp8', 'FP8')}" in CARD


def test_card_tells_of_the_files() -> None:
    size = (NANO / "model.safetensors").stat().st_size
    assert f"{size:,} bytes" in CARD and size < 32e6
    config = json.loads((NANO / "config.json").read_text(encoding="utf-8"))
    assert f"{config['max_position_embeddings']:,} tokens" in CARD and f"{config['vocab_size']:,}, byte-level" in CARD
