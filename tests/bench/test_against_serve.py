"""Both sides through HTTP: what is asked is the same for both, and a ratio above 1 is in our favour."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hopwell.bench import against_serve
from hopwell.bench.against_serve import Case, Loads, beside, serve_sides, vocabulary_of
from hopwell.bench.serve import Load, _body
from hopwell.cli.bench_against import lengths
from hopwell.errors import HopwellError
from hopwell.model import NANO


@pytest.mark.slow
def test_our_side_answers_callers_and_arrivals_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against_serve, "ARRIVALS", 3.0)
    loads = Loads(vocabulary_of(NANO), [Case(20, 8, [3], [4]), Case(30, 4, [2])], clients=2)
    rows = serve_sides(NANO, loads, None, ["--device", "cpu"], say=lambda line: None)
    assert [(row["engine"], row["concurrency"], row["rate"], row["requests"]) for row in rows] == [
        ("hopwell", 3, None, 9),
        ("hopwell", None, 4, 12),
        ("hopwell", 2, None, 8),
    ]
    assert [(row["mean_isl"], row["mean_osl"], row["failed"]) for row in rows] == [(20, 8, 0), (20, 8, 0), (30, 4, 0)]
    assert [line["load"] for line in beside(rows)][::5] == [
        "20 in, 8 out, callers 3", "20 in, 8 out, rate 4", "30 in, 4 out, callers 2"
    ]  # fmt: skip


def test_a_ratio_above_1_is_in_our_favour() -> None:
    numbers = {"mean_isl": 9.0, "mean_osl": 9.0}
    numbers |= {"output_tokens_per_s": 100, "ttft_p50_ms": 10, "ttft_p99_ms": 20, "tpot_p50_ms": 5, "itl_p99_ms": 8}
    theirs = numbers | {
        "output_tokens_per_s": 50,
        "ttft_p50_ms": 20,
        "ttft_p99_ms": 10,
        "tpot_p50_ms": 10,
        "itl_p99_ms": 8,
    }
    level = {"concurrency": 8.0, "rate": None}
    lines = beside([{"engine": "hopwell", **level, **numbers}, {"engine": "vllm", **level, **theirs}])
    assert [(line["load"], line["ratio"]) for line in lines] == [("callers 8", ratio) for ratio in (2, 2, 0.5, 2, 1)]


def test_prompts_of_ids_have_the_length_that_was_asked_and_repeat_with_their_seed() -> None:
    load = Load(input_words=33, output_tokens=5, spread=0.0, vocabulary=300)
    first, again = (_body(load, "m", random.Random(7)) for _ in range(2))
    assert first == again and len(first["prompt"]) == 33 and all(10 <= token < 300 for token in first["prompt"])


def test_a_checkpoint_without_a_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(HopwellError, match=r"config\.json"):
        vocabulary_of(tmp_path)


@pytest.mark.parametrize("text", ["", "4096", "4096:128", "4096:1:2", "0:2:2", "a:2:2", "1:2:3:4"])
def test_lengths_that_are_none_are_refused_by_name(text: str) -> None:
    with pytest.raises(HopwellError, match=f"--case {text}: give"):
        lengths(text)
