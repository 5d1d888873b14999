"""Several ranks are one engine: the same tokens, whatever happens; and where one is lost, all end, and say which."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from shared_names import shared_names

from hopwell.engine import loading
from hopwell.engine.llm import LLM
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.request import SamplingParams
from hopwell.ops.exchange import GroupExchange
from hopwell.parallel import memory
from hopwell.parallel.launch import Ranks
from hopwell.parallel.layout import LayoutError
from hopwell.parallel.memory import RankLost

QUESTIONS = (
    "What is 12 * 34?", "Solve 3x + 5 = 20.", "What is 19 - 25?", "Sort 5, 3, 9, 1.",
    "Is 91 a prime number?", "What is 144 / 12?", "Hello!", "What is 20% of 150?",
)  # fmt: skip
SETTINGS: dict[str, Any] = {"max_seqs": 6, "max_batch_tokens": 64}
ROOMS = ((1, 8192), (0, 512), (2, 512))
"""Drafts and tokens of the cache: in the last two pages run out."""
HEADS = [
    ("shared", 2, 1, ROOMS[-1:]),
    pytest.param("shared", 2, 1, ROOMS[:2], marks=pytest.mark.slow),
    pytest.param("gloo", 4, 4, ROOMS[1:2], marks=pytest.mark.slow),
]
SEQUENCES = [("shared", 4, 4, ROOMS[-1:]), ("gloo", 2, 2, ROOMS[:2]), ("gloo", 4, 1, ROOMS[:1])]
"""Exchanges, ranks, those of the experts, rooms, where ranks share heads and where each attends for its own: between
them each pair of these. Ranks that start cost more than what they are asked."""
Share = Callable[..., LoadedModel]
"""Loads nano over so many ranks; of them those of the experts, and whether each attends for its own."""


@pytest.fixture(scope="module")
def alone() -> LoadedModel:
    return load_model(device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def expected(alone: LoadedModel) -> Callable[..., tuple[list[list[int]], int]]:
    """One process's session; the same settings are not computed again."""
    known: dict[str, tuple[list[list[int]], int]] = {}

    def of(**settings: Any) -> tuple[list[list[int]], int]:
        key = repr(sorted(settings.items()))
        if key not in known:
            known[key] = session(alone, **settings)
        return known[key]

    return of


@pytest.fixture
def exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through memory, or through a process group with what rank 0 computes broadcast, as between GPUs."""
    monkeypatch.setattr(loading, "GLOO", request.param == "gloo")


@pytest.fixture(scope="module")
def shared_by() -> Iterator[Share]:
    """Loads a layout, unless it is that of the test before: ranks take seconds to start."""
    latest: dict[tuple[object, ...], LoadedModel] = {}

    def load(tp: int, ep: int = 1, dp_attention: bool = False) -> LoadedModel:
        key = (loading.GLOO, tp, ep, dp_attention)
        if key not in latest:
            leave()
            latest[key] = load_model(device="cpu", dtype="float32", tp=tp, ep=ep, dp_attention=dp_attention)
        return latest[key]

    def leave() -> None:
        while latest:
            latest.popitem()[1].close()

    yield load
    leave()


def session(loaded: LoadedModel, **settings: Any) -> tuple[list[list[int]], int]:
    """Everything that an engine does with its pages: prefixes that are known, pages that run out, answers that are
    left, several answers of a prompt, log-probabilities, drawn tokens. Returns all tokens, and how many were known."""
    llm = LLM(loaded, **SETTINGS | settings)
    greedy, few = (SamplingParams(temperature=0.0, max_tokens=n, ignore_eos=True) for n in (52, 8))  # past a page's end
    prompts = [llm.render([{"role": "user", "content": question}]) for question in QUESTIONS]
    asked = [greedy] * 6 + [few] * 2
    found = [completion.answers[0].tokens for completion in llm.generate(prompts, asked)]
    if len(llm.engine.pools) == 1:
        assert (llm.engine.metrics.preemptions > 0) == (settings["cache_tokens"] < 1024)
    known = llm.generate([prompts[0] + found[0] + prompts[1]], few)[0]
    assert known.cached_tokens or llm.engine.metrics.cache_evicted_pages
    found.append(known.answers[0].tokens)
    for output in llm.stream(prompts[3], greedy):  # left before its end
        if output.outputs and output.outputs[0].tokens:
            break
    drawn = SamplingParams(temperature=0.8, seed=7, n=2, max_tokens=12, logprobs=2, prompt_logprobs=1)
    for answer in llm.generate([prompts[4]], drawn)[0].answers:
        found.append(answer.tokens)
        assert answer.logprobs is not None and len(answer.logprobs) == len(answer.tokens)
    llm.engine.check()
    llm.close()
    return found, known.cached_tokens


@pytest.mark.parametrize(("exchange", "tp", "ep", "rooms"), HEADS, indirect=["exchange"])
def test_tokens_are_those_of_one_process(
    shared_by: Share, expected: Callable[..., Any], exchange: None, tp: int, ep: int, rooms: tuple[tuple[int, int], ...]
) -> None:
    loaded = shared_by(tp, ep)
    for drafts, tokens in rooms:
        settings = {"drafts": drafts, "cache_tokens": tokens}
        assert session(loaded, **settings) == expected(**settings), f"{drafts} drafts, {tokens} tokens"


@pytest.mark.slow
@pytest.mark.parametrize(("exchange", "tp", "ep", "rooms"), SEQUENCES, indirect=["exchange"])
def test_tokens_are_those_of_one_process_where_ranks_attend_for_their_own(
    shared_by: Share, expected: Callable[..., Any], exchange: None, tp: int, ep: int, rooms: tuple[tuple[int, int], ...]
) -> None:
    """As many pages a rank as one process has: what is given up is not the same then."""
    loaded = shared_by(tp, ep, dp_attention=True)
    for drafts, tokens in rooms:
        settings = {"drafts": drafts, "cache_tokens": tokens}
        wanted, known = expected(**settings)
        found = session(loaded, **settings | {"cache_tokens": tp * tokens})
        assert found[0] == wanted, f"{drafts} drafts, {tokens} tokens"
        assert tokens < 8192 or found[1] == known


@pytest.mark.slow
def test_each_rank_has_pages_for_its_own_sequences(shared_by: Share, alone: LoadedModel) -> None:
    """Two long ones go to two ranks, and together they fill both caches."""
    greedy = SamplingParams(temperature=0.0, max_tokens=100, ignore_eos=True)
    prompts = [[5 + i] * 150 for i in range(2)]
    loaded = shared_by(2, dp_attention=True)
    llm = LLM(loaded, cache_tokens=640, max_seqs=2, max_batch_tokens=64)
    assert llm.engine.model_len == 320 and llm.engine.runner.latent.shape[1] == 5 + 1
    found = [done.answers[0].tokens for done in llm.generate(prompts, greedy)]
    assert [pool.available for pool in llm.engine.pools] == [5, 5] and not llm.engine.metrics.preemptions
    assert all(pool.prefix.idle >= 3 for pool in llm.engine.pools)
    llm.close()
    free = LLM(loaded, max_seqs=2, max_model_len=640)
    assert free.engine.metrics.pages_total == 20 and len(free.engine.pools) == 2
    free.close()
    whole = LLM(alone, max_seqs=2)
    assert found == [done.answers[0].tokens for done in whole.generate(prompts, greedy)]
    whole.close()


@pytest.mark.slow
@pytest.mark.parametrize("dp_attention", [False, True])
@pytest.mark.parametrize(
    ("exchange", "several"),
    [
        ("shared", [{"cache_dtype": "fp8"}]),
        ("gloo", [{"batch_invariant": False}, {"overlap": True, "drafts": 0}]),
    ],
    indirect=["exchange"],
)
def test_settings_hold_on_all_ranks(
    shared_by: Share, expected: Callable[..., Any], several: list[dict[str, Any]], exchange: None, dp_attention: bool
) -> None:
    loaded = shared_by(2, 1, dp_attention)
    assert isinstance(loaded.model.exchange, GroupExchange) is loading.GLOO
    for settings in several:
        assert session(loaded, cache_tokens=4096, **settings) == expected(cache_tokens=4096, **settings), settings


@pytest.mark.slow
def test_two_engines_stand_on_the_same_ranks(shared_by: Share, alone: LoadedModel) -> None:
    prompts = [[5, 6, 7], [8, 9]]
    params = SamplingParams(temperature=0.0, max_tokens=8, ignore_eos=True)
    loaded = shared_by(2)
    one, two = LLM(loaded, cache_tokens=512, max_seqs=2), LLM(loaded, cache_tokens=1024, max_seqs=2, drafts=0)
    found = [one.generate(prompts[0], params), two.generate(prompts[1], params), one.generate(prompts[1], params)]
    one.close()
    found.append(two.generate(prompts[0], params))
    two.close()
    whole = LLM(alone, cache_tokens=512, max_seqs=2)
    expected = [whole.generate(prompt, params)[0].answers[0].tokens for prompt in prompts]
    whole.close()
    assert [each[0].answers[0].tokens for each in found] == [expected[i] for i in (0, 1, 1, 0)]


def test_a_model_that_does_not_divide_starts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "Ranks", lambda *args, **fields: pytest.fail("a rank was started"))
    with pytest.raises(LayoutError, match="which 7 ranks cannot share"):
        load_model(device="cpu", tp=7)


class Watched(Ranks):
    """Ranks whose processes a test can get at."""

    latest: Watched

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        Watched.latest = self

    def process(self, rank: int) -> subprocess.Popen[bytes]:
        return self._children[rank].process

    def gone(self) -> bool:
        return all(child.process.poll() is not None for child in self._children.values())


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "Ranks", Watched)


def test_a_rank_that_does_not_come_to_the_group_is_named(watched: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "GLOO", True)
    real = loading.open_exchange

    def open_exchange(*args: Any) -> Any:
        Watched.latest.process(1).kill()
        return real(*args)

    monkeypatch.setattr(loading, "open_exchange", open_exchange)
    with pytest.raises(RankLost, match=r"rank 1 \(process \d+\) has died: signal 9"):
        load_model(device="cpu", dtype="float32", tp=2)
    assert Watched.latest.gone()


@pytest.mark.parametrize("victim", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_rank_killed_while_it_loads_is_named(watched: None, monkeypatch: pytest.MonkeyPatch, victim: int) -> None:
    real = loading.load_weights

    def load(*args: Any, **more: Any) -> Any:
        Watched.latest.process(victim).kill()
        return real(*args, **more)

    monkeypatch.setattr(loading, "load_weights", load)
    began = time.monotonic()
    with pytest.raises(RankLost, match=rf"rank {victim} \(process \d+\) has died: signal 9"):
        load_model(device="cpu", dtype="float32", tp=victim + 1, ep=victim + 1)
    assert time.monotonic() - began < 120 and Watched.latest.gone()


@pytest.mark.slow
@pytest.mark.parametrize(("exchange", "dp_attention"), [("shared", True), ("gloo", False)], indirect=["exchange"])
def test_a_rank_killed_in_a_step_ends_it_at_once(watched: None, exchange: None, dp_attention: bool) -> None:
    shared = shared_names()
    llm = LLM(device="cpu", dtype="float32", tp=2, dp_attention=dp_attention, cache_tokens=4096)
    killed = threading.Timer(0.5, Watched.latest.process(1).kill)
    killed.start()
    with pytest.raises(RankLost, match=r"rank 1 \(process \d+\) has died: signal 9"):
        while True:
            llm.generate([3, 4, 5], SamplingParams(max_tokens=200, ignore_eos=True))
    with suppress(RankLost):
        llm.close()
    Watched.latest.close()
    assert Watched.latest.gone()
    assert shared_names() <= shared


@pytest.mark.slow
def test_a_rank_killed_between_steps_ends_the_next(watched: None) -> None:
    llm = LLM(device="cpu", dtype="float32", tp=2, cache_tokens=4096)
    Watched.latest.process(1).kill()
    deadline = time.monotonic() + 60
    while not llm.engine.has_work() and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(RankLost, match="signal 9"):
        llm.engine.step()
    Watched.latest.close()


@pytest.mark.slow
def test_a_rank_that_stands_still_is_named_with_what_it_does_not_do(
    watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has no rows, since ranks attend for their own."""
    llm = LLM(device="cpu", dtype="float32", tp=2, dp_attention=True, cache_tokens=4096)
    llm.generate([3], SamplingParams(max_tokens=1))
    monkeypatch.setattr(memory.SharedBlock.wait, "__defaults__", (1.0,))
    os.kill(Watched.latest.process(1).pid, signal.SIGSTOP)
    with pytest.raises(RankLost, match=r"in call \d+ \(step\); rank 1 hangs: round \d+ of rank 0's exchanges"):
        llm.generate([3, 4, 5], SamplingParams(max_tokens=200, ignore_eos=True))
    Watched.latest.close()
    assert Watched.latest.gone()


@pytest.mark.slow
def test_a_fault_of_one_rank_is_told_by_rank_0(watched: None) -> None:
    """The ranks are out of step: nothing can go on."""
    llm = LLM(device="cpu", dtype="float32", tp=2, cache_tokens=4096)
    llm.engine.runner.model._send(b"")  # type: ignore[attr-defined]
    with pytest.raises(RankLost, match=r"rank 1 \(process \d+\) has failed"):
        llm.generate([3, 4, 5], SamplingParams(max_tokens=20, ignore_eos=True))
    Watched.latest.close()
