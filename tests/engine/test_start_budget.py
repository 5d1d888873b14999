"""What is said of a start that took longer than it should."""

from __future__ import annotations

import logging

import pytest

from hopwell.engine.loading import load_model
from hopwell.engine.start import Limit, over_budget, phase_lines

LIMITS = {"weights": Limit(12_000_000_000, 3e9, "from the files as they lay")}


def test_a_start_within_its_budget() -> None:
    assert over_budget(10.0, 9.9, {"weights": 8.0}, LIMITS, False) is None


def test_the_phase_that_is_most_above_its_limit_comes_first_and_no_more_than_explain_it() -> None:
    phases = {"imports": 2.0, "weights": 9.0, "kernels": 14.0}
    told = over_budget(20.0, 26.0, phases, LIMITS, False)
    assert told == "20 s, passed by 6.00 s: kernels 14.00 s (hopwell warm MODEL, once)"
    told = over_budget(8.0, 26.0, phases, LIMITS, False) or ""
    assert told.index("kernels") < told.index("weights 9.00 s, 5.00 s more than at least (hopwell pack")
    assert "imports" not in told
    assert "hopwell pack" not in (over_budget(8.0, 26.0, phases, LIMITS, True) or "")


def test_what_no_phase_of_the_engine_took_is_told_too() -> None:
    assert over_budget(1.0, 3.0, {"imports": 0.5}, {}, False) == "1 s, passed by 2.00 s: processes 2.50 s"


def test_a_budget_that_bytes_alone_pass() -> None:
    told = over_budget(3.0, 4.5, {"weights": 4.1}, LIMITS, True) or ""
    assert "the rest is bytes: weights 12 GB at 3.00 GB/s from the files as they lay, 4.00 s" in told


def test_phases_in_a_row() -> None:
    told = phase_lines({"open": 0.1, "weights": 5.0}, LIMITS)
    assert told == "open 0.10 s, weights 5.00 s (at least 12 GB at 3.00 GB/s from the files as they lay, 4.00 s)"


def test_a_load_measures_its_limit_and_warns_before_it_reads(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        loaded = load_model(device="cpu", start_budget=1e-9)
    assert "weights alone take longer than 1e-09 s" in caplog.text
    limit = loaded.limits["weights"]
    assert limit.nbytes == 24_959_372 and limit.seconds > 0 and loaded.phases["rates"] > 0
    loaded.engine(loaded.config(max_seqs=1, meter=True))
    assert loaded.phases["ceilings"] > 0 and 0 <= loaded.phases["cache"] < 30
    assert not load_model(device="cpu").limits
