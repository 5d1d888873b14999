"""The whole engine over a toy model: whatever shares the batch, answers are those of the model alone."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from toy import ToyModel, ask, run, toy_answer, toy_engine

from benchmarks.stress import MODES, make_cases, run_stress
from hopwell.cache.policy import Hint
from hopwell.engine.request import FinishReason, Request, RequestError, SamplingParams
from hopwell.model.batch import ForwardBatch


@pytest.fixture(scope="module")
def burst() -> tuple[ToyModel, list[Any], list[list[int]]]:
    """150 random requests and what the model alone answers."""
    model = ToyModel()
    cases = make_cases(150, range(8, 64), seed=5, constrained=False)
    answers = [toy_answer(model, c.prompt, c.params.max_tokens or 0, None if c.params.ignore_eos else 1) for c in cases]
    return model, cases, answers


@pytest.mark.parametrize(
    ("drafts", "cache", "overlap"),
    [
        (0, False, False),
        (2, True, True),
        (0, True, "ahead"),
        (3, True, False),
        (2, True, "ahead"),
        *(
            pytest.param(*mode, marks=pytest.mark.slow)
            for mode in (*MODES, (1, True, True), *((drafts, False, "ahead") for drafts in range(4)))
            if mode not in ((0, False, False), (2, True, True))
        ),
    ],
)
@pytest.mark.slow
def test_random_bursts(burst: Any, drafts: int, cache: bool, overlap: bool | str) -> None:
    """Shared prefixes, priorities, cancellations, pages short: every answer right, no page lost, in every mode."""
    model, cases, answers = burst
    engine = toy_engine(model, pages=14, drafts=drafts, prefix_cache=cache, overlap=overlap)
    result = run_stress(engine, cases, answers, seed=drafts)
    engine.close()
    assert not result.wrong
    assert result.finished + result.aborted == 150
    assert result.aborted > 10
    assert result.preemptions > 0, "pages were never short: the test does not test"
    assert (result.hit_rate > 0.05) == cache
    assert result.acceptance_length > 1.5 if drafts else result.acceptance_length == 1.0


@pytest.mark.parametrize(
    ("drafts", "overlap"),
    [(2, "ahead"), pytest.param(0, True, marks=pytest.mark.slow), pytest.param(1, False, marks=pytest.mark.slow)],
)
def test_random_bursts_where_promises_are_hard_to_keep(burst: Any, drafts: int, overlap: bool | str) -> None:
    """Steps may have now more rows and now fewer, so that whoever was promised nothing is set aside all the time."""
    model, cases, answers = burst
    cases = [replace(case, latency_class=("batch", "batch", "interactive")[i % 3]) for i, case in enumerate(cases)]
    engine = toy_engine(model, pages=60, max_seqs=8, drafts=drafts, overlap=overlap)
    rows = random.Random(drafts)
    engine.scheduler.step_time.rows_within = lambda seconds: rows.randrange(9) * (1 + drafts)
    result = run_stress(engine, cases, answers, seed=drafts)
    engine.close()
    assert not result.wrong and result.finished + result.aborted == 150
    assert result.preemptions > 10 and result.hit_rate > 0.05


class OneRankEach(ToyModel):
    """Holds that a sequence's pages are all of one of two pools, and counts steps that have rows of both, or of one."""

    both = one = 0

    def forward(self, batch: ForwardBatch, latent: Tensor) -> Tensor:
        of_page = batch.page_table // (latent.shape[1] // 2)
        last = batch.positions[torch.tensor(batch.query_lens).cumsum(0) - 1]  # seq_lens of a step ahead are at most so
        counts = (last // 64 + 1).tolist()
        assert all(len(set(row[:count].tolist())) == 1 for row, count in zip(of_page, counts, strict=True))
        of_both = len(of_page[:, 0].unique()) == 2
        self.both, self.one = self.both + of_both, self.one + (not of_both)
        return super().forward(batch, latent)


@pytest.mark.parametrize(
    ("drafts", "overlap"),
    [(2, False), pytest.param(0, True, marks=pytest.mark.slow), pytest.param(1, "ahead", marks=pytest.mark.slow)],
)
def test_random_bursts_over_ranks_with_pages_of_their_own(burst: Any, drafts: int, overlap: bool | str) -> None:
    _, cases, answers = burst
    model = OneRankEach()
    engine = toy_engine(model, pages=20, pools=2, drafts=drafts, overlap=overlap)
    result = run_stress(engine, cases, answers, seed=drafts)
    engine.close()
    assert not result.wrong
    assert result.finished + result.aborted == 150
    assert result.preemptions > 0 and result.aborted > 10 and result.hit_rate > 0.05
    assert min(model.both, model.one) > 0, "ranks without rows are part of it"


@pytest.mark.parametrize(("policy", "drafts", "overlap"), [("lru", 1, True), ("arc", 2, False), ("rai", 0, "ahead")])
@pytest.mark.slow
def test_no_policy_changes_a_token(burst: Any, policy: str, drafts: int, overlap: bool | str) -> None:
    """Whichever pages go first, and whatever callers say of them."""
    model, cases, answers = burst
    engine = toy_engine(model, pages=14, drafts=drafts, cache_policy=policy, overlap=overlap)
    hints = random.Random(7)
    submit = engine.submit

    def hinted(request: Request) -> None:
        request.cache_hint = hints.choice([*Hint])
        submit(request)

    engine.submit = hinted
    result = run_stress(engine, cases, answers, seed=drafts)
    engine.close()
    assert not result.wrong
    assert result.preemptions > 0 and result.hit_rate > 0.05 and engine.metrics.cache_evicted_pages > 100


@pytest.mark.parametrize("overlap", [False, True, "ahead"])
@pytest.mark.slow
def test_sampled_answers_do_not_depend_on_drafts_or_company(overlap: bool | str) -> None:
    """Seeded draws are the same token by token alone, in a batch, and with any number of drafts."""
    r = random.Random(1)
    requests = [
        ask(
            r.choices(range(8, 64), k=r.randrange(1, 150)),
            str(i),
            temperature=r.choice([0.5, 1.0]),
            top_p=r.choice([0.8, 1.0]),
            presence_penalty=r.choice([0.0, 0.5]),
            repetition_penalty=r.choice([1.0, 1.2]),
            logit_bias=r.choice([{}, {20: 3.0}]),
            logprobs=r.choice([None, 2]),
            min_tokens=r.choice([0, 10]),
            max_tokens=30,
            seed=i,
        )
        for i in range(20)
    ]
    alone = {}
    for request in requests:
        alone |= run(toy_engine(prefix_cache=False), [request])
    for drafts in (0, 1, 2, 3):
        engine = toy_engine(drafts=drafts, overlap=overlap)
        together = run(engine, requests)
        engine.close()
        for key, completion in alone.items():
            assert together[key].answers[0].tokens == completion.answers[0].tokens
            assert together[key].answers[0].logprobs == completion.answers[0].logprobs
        if drafts:
            assert engine.metrics.acceptance_length > 1.3


def test_accepted_drafts_are_counted_by_position() -> None:
    engine = toy_engine(ToyModel(skill=0.5), drafts=3)
    run(engine, [ask([9] * 20, str(i), max_tokens=200, ignore_eos=True) for i in range(8)])
    m = engine.metrics
    first, second, third = (count / m.draft_steps for count in m.accepted_at)
    assert 0.4 < first < 0.6 and first > second > third > 0
    assert m.accepted_tokens == sum(m.accepted_at)
    assert m.acceptance_length == pytest.approx(1 + first + second + third)
    assert m.drafted_tokens == 3 * m.draft_steps


def test_steps_with_drafts_are_given_ahead() -> None:
    """All but those with prompts, and those whose request needs its tokens here."""
    model = ToyModel()
    engine = toy_engine(model, drafts=2, overlap="ahead")
    requests = [ask([9 + i] * 20, str(i), max_tokens=200, ignore_eos=True, temperature=i % 2, seed=i) for i in range(4)]
    done = run(engine, requests)
    steps, positioned = model.steps, model.positioned
    assert positioned > 0.9 * steps > 50 and engine.metrics.acceptance_length > 1.3
    assert done["0"].answers[0].tokens == toy_answer(model, requests[0].prompt, 200)
    run(engine, [ask([9] * 20, max_tokens=100, ignore_eos=True, logprobs=1)])
    engine.close()
    assert model.positioned == positioned and model.steps > steps + 20


@pytest.mark.parametrize("overlap", [False, "ahead"])
def test_a_forced_acceptance_length_is_met(overlap: bool | str) -> None:
    engine = toy_engine(ToyModel(skill=0.0), drafts=3, forced_acceptance=2.6, overlap=overlap)
    done = run(engine, [ask([9] * 20, str(i), max_tokens=300, ignore_eos=True) for i in range(8)])
    assert engine.metrics.acceptance_length == pytest.approx(2.6, abs=0.1)
    assert all(len(c.answers[0].tokens) == 300 for c in done.values())
    with pytest.raises(RequestError, match="forced_acceptance"):
        engine.submit(ask([9], regex="a+"))


def test_stop_tokens_min_tokens_and_the_end_of_the_context() -> None:
    model = ToyModel()
    prompt = [20, 21, 22]
    free = toy_answer(model, prompt, 60)
    stop = free[7]
    first = free.index(stop)
    engine = toy_engine(model, model_len=50)
    done = run(engine, [ask(prompt, "stop", stop_token_ids=[stop], ignore_eos=True)])["stop"].answers[0]
    assert (done.tokens, done.finish_reason, done.stop_reason) == (free[: first + 1], FinishReason.STOP, stop)
    done = run(
        engine, [ask(prompt, "min", stop_token_ids=[stop], ignore_eos=True, min_tokens=first + 1, max_tokens=20)]
    )
    assert len(done["min"].answers[0].tokens) > first + 1
    assert stop not in done["min"].answers[0].tokens[: first + 1]
    done = run(engine, [ask(prompt, "long", ignore_eos=True)])["long"].answers[0]
    assert (done.tokens, done.finish_reason) == (free[:47], FinishReason.LENGTH)


@pytest.mark.parametrize("drafts", [0, 2])
def test_a_stop_string_ends_the_text_before_it(drafts: int) -> None:
    model = ToyModel(vocab=258)
    engine = toy_engine(model, drafts=drafts)
    whole = run(engine, [ask([50, 60], "a", max_tokens=80, ignore_eos=True)])["a"].answers[0]
    stop = whole.text[20:22]
    at = whole.text.index(stop)
    for stream in (True, False):
        request = ask([50, 60], f"stop{stream}", max_tokens=80, ignore_eos=True, stop=["never there", stop])
        request.stream = stream
        cut = run(engine, [request])[request.request_id].answers[0]
        assert (cut.text, cut.finish_reason, cut.stop_reason) == (whole.text[:at], FinishReason.STOP, stop)
        assert cut.tokens == whole.tokens[: len(cut.tokens)], "tokens up to the one that completed the stop string"
        assert len(cut.tokens) < 80


def test_n_answers_share_the_prompt_and_differ() -> None:
    engine = toy_engine(max_batch_tokens=512)
    request = ask(list(range(8, 60)) * 5, n=4, temperature=1.0, seed=3, max_tokens=12, ignore_eos=True)
    done = run(engine, [request])["r"]
    assert len({tuple(a.tokens) for a in done.answers}) == 4
    assert all(len(a.tokens) == 12 for a in done.answers)
    assert engine.metrics.cache_hit_tokens == 3 * 256, "three of four found the 260-token prompt's four full pages"
    alone = run(toy_engine(), [ask(request.prompt, temperature=1.0, seed=5, max_tokens=12, ignore_eos=True)])["r"]
    assert alone.answers[0].tokens == done.answers[2].tokens, "answer i is drawn with seed + i"


def test_prompt_logprobs_score_every_token_whatever_the_chunks() -> None:
    prompt = [random.Random(3).randrange(8, 64) for _ in range(150)]
    found = []
    for budget, drafts in ((256, 0), (32, 0), (40, 1)):
        engine = toy_engine(max_seqs=4, max_batch_tokens=budget, drafts=drafts)
        run(engine, [ask(prompt, "warm", max_tokens=2)])  # the cache must not hide rows that are wanted
        done = run(engine, [ask(prompt, prompt_logprobs=3, max_tokens=2)])["r"]
        assert done.prompt_logprobs is not None and len(done.prompt_logprobs) == 150
        assert done.prompt_logprobs[0] is None
        assert [entry.token for entry in done.prompt_logprobs[1:] if entry] == prompt[1:]
        found.append(done.prompt_logprobs)
    assert found[0] == found[1] == found[2]


def test_the_cache_keeps_what_it_is_told_and_no_more() -> None:
    engine = toy_engine()
    prompt = [11] * 130
    request = ask(prompt, "a", max_tokens=100, ignore_eos=True)
    request.cache_tokens = len(prompt)
    answer = run(engine, [request])["a"].answers[0].tokens
    assert engine.pools[0].prefix.idle == 2, "130 tokens of prompt are two full pages; the answer's are free again"
    again = run(engine, [ask([*prompt, *answer], "b", max_tokens=1)])["b"]
    assert again.cached_tokens == 128
    third = run(engine, [ask([*prompt, *answer], "c", max_tokens=1)])["c"]
    assert third.cached_tokens == 192, "229 tokens of b: three pages, but its last token must be computed"


def test_tenants_do_not_share() -> None:
    engine = toy_engine()
    mine = ask([11] * 200, "a", max_tokens=1)
    run(engine, [mine])
    other = ask([11] * 200, "b", max_tokens=1)
    other.cache_salt = "someone else"
    assert run(engine, [other])["b"].cached_tokens == 0
    assert run(engine, [ask([11] * 200, "c", max_tokens=1)])["c"].cached_tokens == 192


def test_an_engine_that_has_not_stepped_holds_no_page() -> None:
    metrics = toy_engine().metrics
    assert metrics.pages_free == metrics.pages_total > 0 == metrics.pages_cached


def test_a_flushed_cache_is_empty() -> None:
    engine = toy_engine()
    run(engine, [ask([11] * 200, "a", max_tokens=1)])
    assert engine.flush_cache() == 3
    assert run(engine, [ask([11] * 200, "b", max_tokens=1)])["b"].cached_tokens == 0


def test_timing_is_told() -> None:
    done = run(
        toy_engine(), [Request(request_id="r", prompt=[9], params=SamplingParams(max_tokens=5, ignore_eos=True))]
    )
    timing = done["r"].timing
    assert timing is not None and timing.ttft is not None and timing.tpot is not None
    assert 0 <= timing.queued <= timing.ttft <= timing.total
    assert timing.total >= timing.ttft + 4 * timing.tpot * 0.99


class Chain(ToyModel):
    """A model of four tokens whose probabilities depend on the last token alone; its MTP layer guesses otherwise."""

    rows = torch.tensor([[1.0, 0.2, -0.5, 0.0], [0.0, 0.0, 0.0, 0.0], [-1.0, 1.5, 0.3, 0.7], [0.5, -0.5, 0.5, 2.0]])

    def __init__(self) -> None:
        super().__init__(vocab=4)

    def forward(self, batch: ForwardBatch, latent: Tensor) -> Tensor:
        return batch.tokens.unsqueeze(1)

    def logits(self, hidden: Tensor) -> Tensor:
        return torch.where(hidden >= 0, self.rows[hidden[:, 0]], self.rows[hidden[:, 0]].flip(1) * 0.5)

    def draft(self, hidden: Tensor, batch: ForwardBatch, latent: Tensor) -> Tensor:
        return batch.tokens.unsqueeze(1) - 4  # a negative index: the same row, its scores reversed and flattened


@pytest.mark.parametrize("drafts", [*(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 2)), 3])
@pytest.mark.slow
def test_speculation_leaves_the_distribution_unchanged(drafts: int) -> None:
    """All 64 answers of three tokens, by enumeration, against 6,000 samples (chi-square)."""
    engine = toy_engine(Chain(), drafts=drafts, max_seqs=64, max_batch_tokens=512, prefix_cache=False)
    requests = [ask([1], str(i), temperature=0.8, seed=1000 + i, max_tokens=8, ignore_eos=True) for i in range(6000)]
    done = run(engine, requests)
    answers = [done[request.request_id].answers[0].tokens for request in requests]
    step = (Chain.rows / 0.8).softmax(-1).double()
    joint = step[1][:, None, None] * step[:, :, None] * step[None, :, :]
    for start in (0, 3):  # the tokens of the first steps, and later ones given what stands before them
        counts = torch.zeros(4, 4, 4, dtype=torch.float64)
        for tokens in answers:
            if start == 0 or tokens[start - 1] == 1:
                counts[tuple(tokens[start : start + 3])] += 1
        assert counts.sum() > 500
        expected = joint * counts.sum()
        statistic = float(((counts - expected) ** 2 / expected).sum())
        assert statistic < 63 + 5 * (2 * 63) ** 0.5, "63 degrees of freedom: five standard deviations"
    if drafts:
        assert 0.2 < engine.metrics.accepted_at[0] / engine.metrics.draft_steps < 0.9
