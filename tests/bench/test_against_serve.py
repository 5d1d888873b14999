"""Both sides through HTTP: what is asked is the same for both, and a ratio above 1 is in our favour."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hopwell.bench import against_serve
from hopwell.bench.against_serve import Loads, beside, serve_sides, vocabulary_of
from hopwell.bench.serve import Load, _body
from hopwell.errors import HopwellError
from hopwell.model import NANO


@pytest.mark.slow
def test_our_side_answers_callers_and_arrivals_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against_serve, "ARRIVALS", 3.0)
    loads = Loads(vocabulary_of(NANO), 20, 8, concurrency=[3], rates=[4], clients=2)
    rows = serve_sides(NANO, loads, None, ["--device", "cpu"], say=lambda line: None)
    assert [(row["engine"], row["concurrency"], row["rate"]) for row in rows] == [
        ("hopwell", 3, None),
        ("hopwell", None, 4),
    ]
    assert all((row["mean_isl"], row["mean_osl"], row["failed"]) == (20, 8, 0) for row in rows)
    assert rows[0]["requests"] == 9 and rows[1]["requests"] == 12


def test_a_ratio_above_1_is_in_our_favour() -> None:
    numbers = {"output_tokens_per_s": 100, "ttft_p50_ms": 10, "ttft_p99_ms": 20, "tpot_p50_ms": 5, "itl_p99_ms": 8}
    theirs = {"output_tokens_per_s": 50, "ttft_p50_ms": 20, "ttft_p99_ms": 10, "tpot_p50_ms": 10, "itl_p99_ms": 8}
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
