"""The popular claims: every number that we measured stands in a result, and the page is what the command prints."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hopwell.cli import app
from hopwell.limits.prices import read_prices
from hopwell.planner.article import Claim, Speed, claims, document, speeds
from hopwell.planner.article_report import as_json, markdown
from hopwell.planner.uncertainty import Band

ROOT = Path(__file__).parents[2]
PRICES = read_prices()
Answers = tuple[list[Claim], list[Speed]]


@pytest.fixture(scope="module")
def answers() -> Answers:
    return claims(PRICES), speeds(PRICES)


def found(name: str, place: str) -> Any:
    """What stands at a place of a result: `rows.3.ms`."""
    value = json.loads((ROOT / "benchmarks" / "results" / name).read_text(encoding="utf-8"))
    for key in place.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def test_what_we_measured_stands_in_a_result() -> None:
    quotes = [quote for entry in document()["claim"] for quote in entry.get("quotes", [])]
    assert len(quotes) >= 20
    for name, place, number, *unit in quotes:
        measured = found(name, place) / (unit[0] if unit else 1)
        assert abs(number / measured - 1) < 2e-3, (name, place, measured)
    for entry in document()["claim"]:
        named = [f"{{{i}}}" for i in range(len(entry.get("quotes", [])))]
        assert all(name in entry["measured"] for name in named) and ("quotes" in entry) == ("measured" in entry)


def test_the_page_is_what_the_command_prints(answers: Answers) -> None:
    page = (ROOT / "docs" / "b200-vs-h100.md").read_text(encoding="utf-8")
    told = "hopwell plan article --markdown > docs/b200-vs-h100.md"
    assert page == markdown(*answers), f"the planner or a fact has changed; write it anew: {told}"


def test_every_figure_is_a_band_and_b200_is_never_slower_alike(answers: Answers) -> None:
    for claim in answers[0]:
        assert claim.known and claim.fact
        for name, value in claim.planner.figures.items():
            if isinstance(value, Band):
                assert 0 < value.p10 < value.p50 < value.p90, (claim.what, name)
                assert value.p50 > 1 or "kB" in name or "%" in claim.said, (claim.what, name)
    for slow, fast in pairwise(answers[1]):
        assert slow.marketed_gpu and fast.marketed_gpu and slow.marketed_gpu.p50 < fast.marketed_gpu.p50
    by_name = {claim.what: claim.planner for claim in answers[0]}
    power = by_name["tokens at equal power, B200 over H100"].figures
    assert isinstance(power["like"], Band) and power["like"].p90 < 25.3


@pytest.mark.slow
def test_the_command_stands_beside_models(answers: Answers) -> None:
    run = CliRunner()
    done = run.invoke(app, ["plan", "article", "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout) == json.loads(json.dumps(as_json(*answers)))
    assert "TOPS a watt" in run.invoke(app, ["plan", "article"]).stdout
    help_text = " ".join(run.invoke(app, ["plan", "--help"]).stdout.split())
    assert "model" in help_text and "hopwell plan article" in help_text
    assert run.invoke(app, ["plan", "v2-lite", "--gpus", "h200", "--precisions", "bf16"]).exit_code == 0
