"""The bench beside transformers: the same answers from the same weights, and rows that say which was how fast."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.peer_transformers import transformers_generate
from benchmarks.speed import Peer, bench_speed, best_in_turns, questions
from hopwell import LLM, SamplingParams
from hopwell.errors import HopwellError
from hopwell.model import NANO


@pytest.mark.slow
def test_the_peer_writes_the_same_tokens() -> None:
    llm = LLM(device="cpu", dtype="float32", max_seqs=3, max_model_len=256)
    prompts = questions(3, llm.tokenizer)
    peer = transformers_generate(NANO, torch.float32)(torch.tensor(prompts), 40)
    ours = llm.generate(prompts, SamplingParams(temperature=0.0, max_tokens=40, ignore_eos=True))
    assert peer[:, len(prompts[0]) :].tolist() == [completion.answers[0].tokens for completion in ours]


def test_rows() -> None:
    rows = bench_speed(None, [1, 2], 4, [0, 1], peer=False, repeats=1)
    assert [(row["drafts"], row["batch"]) for row in rows] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert all(row["tokens_per_s"] > 0 and row["times_peer"] is None for row in rows)
    assert rows[0]["acceptance_length"] == 1.0 < rows[-1]["acceptance_length"]


@pytest.mark.slow
def test_the_peer_has_a_process_that_nothing_was_set_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers again and again, ends with the context, and a fault of its own is one line."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    with Peer(NANO) as peer:
        peer.generate("float32", 1, [[0, 5, 6]], 2)  # it has begun: before, its environment may read as empty
        environment = Path(f"/proc/{peer.process.pid}/environ")
        if environment.exists():
            names = dict(one.split("=", 1) for one in environment.read_text().split("\0") if "=" in one)
            assert "OMP_WAIT_POLICY" not in names and names["ONEDNN_MAX_CPU_ISA"] == "AVX2", "a user's own limit stays"
        peer.generate("bfloat16", 1, [[0, 5, 6]], 2)
        with pytest.raises(HopwellError, match="process of transformers has failed"):
            peer.generate("float9", 1, [[0, 5, 6]], 2)
    assert peer.process.poll() is not None


def test_systems_take_turns() -> None:
    order: list[str] = []
    best = best_in_turns({name: lambda name=name: order.append(name) for name in "ab"}, repeats=2)
    assert order == ["a", "b"] * 3 and set(best) == {"a", "b"} and all(time < 1 for time in best.values())
