"""`hopwell plan`: a table and a card, JSON, Markdown, and faults in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import hopwell, refused

SMALL = ("--gpus", "h200,b200", "--rate", "5")


def test_a_question_is_answered_on_a_screen() -> None:
    ran = hopwell("plan", "deepseek-r1", *SMALL, "--tpot", "30ms")
    assert ran.code == 0 and not ran.err
    assert re.search(r"1 +\d+ x B200", ran.out) and re.search(r"\d+ x H200", ran.out)
    for label in ("answer", "memory", "evidence", "public row", "rival", "start"):
        assert re.search(rf"^{label} ", ran.out, re.M), label


def test_json_and_markdown_say_the_same() -> None:
    document = json.loads(hopwell("plan", "v2-lite", *SMALL, "--json", "--input", "512", "--output", "256").out)
    assert document["question"]["input"] == 512 and document["options"][0]["gpus"] >= 1
    page = hopwell("plan", "v2-lite", *SMALL, "--markdown", "--input", "512", "--output", "256").out
    assert page.startswith("# Plan for v2-lite") and f"| {document['options'][0]['gpus']} x " in page


def test_classes_say_what_cannot_be() -> None:
    assert "no result of this model comes in time" in hopwell("plan", "r1", *SMALL, "--class", "speech").out
    assert "not even one comes" in hopwell("plan", "r1", *SMALL, "--class", "recommendation").out
    assert "each further one within 15 ms" in hopwell("plan", "r1", *SMALL, "--class", "interactive").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--gpus", "h300"), "nearest are"),
        (("--tpot", "fast"), "--tpot is 'fast'; give it as 30ms or 2s"),
        (("--tpot", "0.1ms", "--gpus", "h200"), "the best reachable is"),
        (("--rate", "1", "--users", "2"), "--rate and --users exclude each other"),
        (("--input", "163k"), "reads 163,840 at most"),
        (("--class", "gold"), "--class: 'gold' is not known; give one of interactive"),
        (("--engines", "ollama"), "--engines: 'ollama' is not known; give hopwell or"),
        (("--gpus", "l40s"), "no price of L40S is known"),
    ],
)
def test_faults_name_the_option_and_the_remedy(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused("plan", "deepseek-r1", *arguments)


@pytest.mark.parametrize("option", ["--rate", "--users"])
def test_no_load_is_endless(option: str) -> None:
    ran = hopwell("plan", "nano", option, "inf")
    assert ran.code == 2 and f"Invalid value for '{option}'" in ran.err, ran


@pytest.mark.parametrize("command", [("plan", "nano"), ("plan", "article"), ("upgrade", "--have", "8xh100")])
def test_json_and_markdown_are_not_both_given(command: tuple[str, ...]) -> None:
    assert "--json and --markdown were given; give one" in refused(*command, "--json", "--markdown")


def test_prices_of_ones_own_change_the_ranking(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("[gpu.H200]\nrent = 0.01\n", encoding="utf-8")
    ran = hopwell("plan", "deepseek-r1", *SMALL, "--prices", mine, "--json")
    document = json.loads(ran.out)
    assert document["options"][0]["gpu"] == "H200" and document["prices"]["files"][-1] == str(mine)
    assert "model_type" in refused("plan", _config(tmp_path, {"model_type": "qwen3"}))


def _config(folder: Path, values: dict[str, str]) -> Path:
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder / "config.json"


@pytest.mark.slow
def test_tails_at_a_rate_and_of_a_trace(tmp_path: Path) -> None:
    ran = hopwell("plan", "deepseek-r1", *SMALL, "--tails")
    assert ran.code == 0 and "p99 to first" in ran.out and re.search(r"^tails +p50, p95, p99: ", ran.out, re.M)
    page = hopwell("plan", "deepseek-r1", *SMALL, "--tails", "--markdown").out
    assert "| p99 to first |" in page and "| tails | p50, p95, p99: " in page
    trace = tmp_path / "trace.jsonl"
    lines = [{"timestamp": 250 * i, "input_length": 900 + i, "output_length": 400} for i in range(201)]
    trace.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    ask = ("plan", "deepseek-r1", "--gpus", "b200", "--trace", trace, "--json")
    document = json.loads(hopwell(*ask).out)
    assert (document["question"]["rate"], document["question"]["input"]) == (4.0, 1000)
    assert document["options"][0]["tails"]["requests"] >= 1 and document["options"][0]["tails"]["kept"] > 0.9
    assert json.loads(hopwell(*ask, "--rate", "8").out)["question"]["rate"] == 8
    assert "--trace has lengths of its own" in refused(*ask, "--output", "1k")
    assert "--tails needs --rate or --trace" in refused("plan", "deepseek-r1", "--gpus", "b200", "--tails")
