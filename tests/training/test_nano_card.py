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
PROSE = CARD.replace("\n", " ")
"""However its lines are broken."""


def test_card_quotes_its_result() -> None:
    result, other = (_result(rf"benchmarks/results/nano{which}-\d+\.json") for which in ("", "-beside-former"))
    assert all(f"seed {each['seed']}" in CARD for each in (result, other))
    rows = {(row["task"], row["wording"]): row for row in result["rows"]}
    beside = {(row["model"], row["task"], row["wording"]): row for row in other["rows"]}
    assert set(rows) == {(task, wording) for task in TASKS for wording in (KNOWN, UNSEEN)} | {("outside", OUTSIDE)}
    for task in TASKS:
        known, unseen = (
            f"| {row['right']} / {row['problems']} | {row['accuracy'] * 100:.1f} % |"
            for row in (rows[task, KNOWN], rows[task, UNSEEN])
        )
        both = " {}, {} |".format(*(beside[model, task, UNSEEN]["right"] for model in other["models"]))
        pattern = rf"^\| {task} \|[^|]+{re.escape(known)}[^|]+{re.escape(unseen + both)}$"
        assert re.search(pattern, CARD, re.MULTILINE), task
        assert rows[task, KNOWN]["accuracy"] >= rows[task, KNOWN]["required"]
    declined = rows["outside", OUTSIDE]
    assert f"{declined['right']} of {declined['problems']} questions that nano cannot answer" in CARD
    for wording in (KNOWN, UNSEEN):
        counts = [(row["right"], row["problems"]) for (_, found), row in rows.items() if found == wording]
        right, count = map(sum, zip(*counts, strict=True))
        assert f"| {right} / {count} | {right / count * 100:.2f} %" in CARD
    now, then = other["models"]
    known, before, outside, former = (
        sum(row["right"] for (name, _, found), row in beside.items() if (name, found) == (model, wording))
        for wording in (KNOWN, OUTSIDE)
        for model in (now, then)
    )
    assert f"had {known} of 480 problems of the other run, the fourth's {before};" in PROSE
    assert f"of its 300 questions outside {outside} and {former} were declined" in PROSE
    measured = result["models"]["nano"]
    assert f"**{measured['mtp_acceptance'] * 100:.2f} %**" in CARD and measured["mtp_acceptance"] >= 0.7
    assert ", ".join(f"{load:.2f}" for load in measured["imbalance"]) in CARD


def _result(pattern: str) -> dict[str, Any]:
    """The one file of a pattern that the card names."""
    (name,) = set(re.findall(pattern, CARD))
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


def test_card_quotes_its_visitors() -> None:
    """Each kind's verdicts, also of the weights before, and every reply that was not right."""
    rows = _result(r"benchmarks/results/visitors-nano-\d+\.json")["rows"]
    (name,) = re.findall(r"visitors-nano-former-\d+\.json", CARD)
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
        assert f"{run['steps']:,} steps" in PROSE or f"{run['steps']} steps" in PROSE
        assert f"({run['train_seconds']:.0f} s, {run['tokens'] / 1e6:.0f} M tokens" in PROSE
    assert f"{sum(run['train_seconds'] for run in runs) / 3600:.2f} GPU-hours" in PROSE
    for evaluation in runs[0]["evaluations"]:
        shares = evaluation["accuracy"].values()
        assert f"{sum(shares) / len(shares) * 100:.2f} % in {evaluation['weights'].replace('fp8', 'FP8')}" in PROSE


def test_card_tells_of_the_files() -> None:
    size = (NANO / "model.safetensors").stat().st_size
    assert f"{size:,} bytes" in CARD and size < 32e6
    config = json.loads((NANO / "config.json").read_text(encoding="utf-8"))
    assert f"{config['max_position_embeddings']:,} tokens" in CARD and f"{config['vocab_size']:,}, byte-level" in CARD
