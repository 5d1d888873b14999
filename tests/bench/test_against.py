"""`hopwell bench against`: any engine is measured one way, and both sides become rows beside the limit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

from hopwell.bench import against, models, side
from hopwell.bench.peer_vllm import speculation
from hopwell.bench.plots import plot_limit
from hopwell.errors import HopwellError
from hopwell.limits.ceilings import Ceilings
from hopwell.model import NANO
from hopwell.planner.work import distinct_experts

LIMIT = Ceilings("test", 4e12, 4e12, 8e14, 1e15)
PROMPT = {"prompts": 8, "tokens": 2048}


def test_any_engine_is_measured_by_the_difference_of_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def generate(prompts: list[list[int]], tokens: int) -> None:
        clock[0] += 1e-3 * sum(map(len, prompts)) + 0.5 * tokens

    monkeypatch.setattr(side.time, "perf_counter", lambda: clock[0])
    task = {"decode": [[1, 100], [300, 500]], "steps": 8, "prefill": [[2, 50]]}
    found = side.measure(generate, task, vocabulary=64)
    assert [row["ms_per_step"] for row in found["decode"]] == pytest.approx([500.0, 500.0])
    assert found["prefill"][0]["tokens_per_s"] == pytest.approx(100 / 0.6)
    assert side.answer(task, 1) == 1024 and side.answer(task, 300) == 8  # small batches answer at more length
    assert side.lead_in(1, 100) == 2 and side.lead_in(300, 500) == 11
    assert side.longest(task) == 100 + 2 + 1024 + 8 and side.cache_tokens(task) == 300 * 591 and side.most(task) == 300


def test_both_sides_become_rows_with_ratio_and_limit(tmp_path: Path) -> None:
    step = {"batch": 8, "context": 1024, "mj_per_token": 10.0}
    ours = {"ready_s": 5.0, "ready_cold_s": 20.0, "decode": [{**step, "ms_per_step": 1.0}],
            "prefill": [{**PROMPT, "tokens_per_s": 3e5}]}  # fmt: skip
    theirs = {"ready_s": 100.0, "decode": [{**step, "ms_per_step": 1.5, "mj_per_token": 25.0}],
              "prefill": [{**PROMPT, "tokens_per_s": 2e5}]}  # fmt: skip
    rows = against.compare(ours, theirs, models.bench_config("r1-tp8", 8), LIMIT)
    assert [row["ratio"] for row in rows] == pytest.approx([1.5, 2.5, 1.5, 20.0, 5.0])
    assert 0 < rows[0]["percent_of_limit"] < 100 and rows[0]["limit"] < 1.0
    assert all(row["theirs"] is None for row in against.compare(ours, None, models.bench_config("r1-tp8", 8), None))
    png = plot_limit([{"engine": "hopwell", **rows[0]}, {"engine": "vllm", **rows[0], "batch": 16}], tmp_path / "p.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(HopwellError, match="nothing to plot"):
        plot_limit([{"batch": 1}], tmp_path / "q.png")


def test_over_several_gpus_the_limit_is_of_ones_share() -> None:
    """Four GPUs together read little more than one: the norms, what makes latents, and the router each reads whole."""
    config = models.bench_config("r1-slice", 4)
    step = {"batch": 8, "context": 1024, "mj_per_token": None, "ms_per_step": 1.0}
    ours = {"ready_s": None, "ready_cold_s": None, "decode": [step], "prefill": [{**PROMPT, "tokens_per_s": 1e5}]}
    one, four = (against.compare(ours, None, config, LIMIT, gpus=gpus) for gpus in (1, 4))
    assert 3.5 < one[0]["limit"] / four[0]["limit"] < 4.0 and 3.0 < four[1]["limit"] / one[1]["limit"] < 4.0


@pytest.mark.slow
def test_a_side_that_fails_is_named() -> None:
    task = json.dumps({"decode": [[1, 64]], "steps": 1, "prefill": [[1, 64]]})
    with pytest.raises(HopwellError, match=r"hopwell has failed: .*/nowhere: no such folder"):
        against.run_side([sys.executable, "-m", "hopwell.bench.own_side", "/nowhere", task], {})


def test_what_is_printed_after_a_result_is_no_result() -> None:
    """A peer's workers may have a last word."""
    code = """print('{"engine": "x", "ready_s": 1.0}'); print('destroyed'); print('{"not": "it"}')"""
    assert against.run_side([sys.executable, "-c", code], {}) == {"engine": "x", "ready_s": 1.0}
    with pytest.raises(HopwellError, match="vllm has failed: it wrote nothing"):
        against.run_side([sys.executable, "-c", "print('destroyed')"], {})


def test_a_fault_is_told_though_warnings_follow_it() -> None:
    code = "import sys; print('[rank0]: KeyError: 7\\nlong shutdown: a warning', file=sys.stderr); sys.exit(1)"
    with pytest.raises(HopwellError, match=r"vllm has failed: \[rank0\]: KeyError: 7$"):
        against.run_side([sys.executable, "-c", code], {})


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_side_that_is_cut_off_says_what_it_was_at() -> None:
    code = """
import os, signal, sys, time
print('loading shards', file=sys.stderr, flush=True)
time.sleep(0.5)
os.kill(os.getppid(), signal.SIGINT)
time.sleep(0.5)
"""
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        against.run_side([sys.executable, "-c", code], {}, said.append)
    assert said == ["  cut off; the last line it wrote: loading shards"]


def test_spread_tokens_touch_what_chance_gives() -> None:
    config = models.bench_config("r1-tp8")
    experts = config.n_routed_experts, config.router.top_k
    assert distinct_experts(*experts, 1) == pytest.approx(8)
    assert distinct_experts(*experts, 128) == pytest.approx(256 * (1 - (1 - 8 / 256) ** 128))


def test_drafts_are_measured_by_the_token_and_told_to_the_peer() -> None:
    """A sequence that gains 1.8 tokens a step is held to a step's bytes by 1.8; nano drafts here as it is served."""
    config = models.bench_config("r1-tp8", 8, mtp=True)
    step = {"batch": 1, "context": 1024, "mj_per_token": None, "ms_per_step": 1.0}
    ours = {"ready_s": None, "ready_cold_s": None, "decode": [step], "prefill": []}
    (plain,) = against.compare(ours, None, config, LIMIT)
    (drafted,) = against.compare(ours, None, config, LIMIT, drafts=1, acceptance=1.8)
    assert drafted["what"] == "decode, ms a token of each" and 1.0 < 1.8 * drafted["limit"] / plain["limit"] < 2.0
    assert speculation({}) is None
    told = speculation({"drafts": 3, "acceptance": 2.5})
    assert told is not None and told["num_speculative_tokens"] == 3 and told["synthetic_acceptance_length"] == 2.5


@pytest.mark.slow
def test_nano_with_drafts_over_two_ranks_through_the_bench() -> None:
    command = [sys.executable, "-m", "hopwell", "bench", "against", str(NANO), "--device", "cpu", "--once",
               "--batch", "64", "--context", "16", "--steps", "8", "--prompts", "1x64"]  # fmt: skip
    drafts = ("--drafts", "1", "--forced-acceptance", "1.5", "--gpus", "2")
    run = subprocess.run([*command, *drafts], capture_output=True, text=True)
    assert run.returncode == 0 and "decode, ms a token of each" in " ".join(run.stdout.split()), run.stderr
    run = subprocess.run([*command, "--drafts", "1"], capture_output=True, text=True)
    assert run.returncode == 2 and "--forced-acceptance" in run.stderr
