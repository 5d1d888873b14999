"""Draws follow the distribution that the parameters define, and depend on nothing but seed and position."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hopwell.engine.logprobs import token_logprobs
from hopwell.engine.request import RequestError, SamplingParams
from hopwell.engine.sampler import Sampler
from hopwell.ops.random import uniform

DRAWS = 40_000


def distribution(logits: list[float], p: SamplingParams) -> list[float]:
    """Probabilities by the definitions, in float64: temperature, then top-k, then top-p, then min-p."""
    scaled = [x / p.temperature for x in logits]
    top = max(scaled)
    weights = [math.exp(x - top) for x in scaled]
    order = sorted(range(len(weights)), key=lambda i: -weights[i])
    if p.top_k:
        order = order[: p.top_k]
    total = sum(weights[i] for i in order)
    kept, reached = [], 0.0
    for i in order:
        if kept and reached >= p.top_p * total:
            break
        kept.append(i)
        reached += weights[i]
    kept = [i for i in kept if weights[i] >= p.min_p * weights[order[0]]]
    total = sum(weights[i] for i in kept)
    return [weights[i] / total if i in kept else 0.0 for i in range(len(weights))]


def assert_follows(counts: np.ndarray, probabilities: list[float]) -> None:
    """Pearson's chi-square below its 1 - 1e-6 quantile (Wilson-Hilferty), and nothing impossible drawn."""
    p = np.array(probabilities)
    n = counts.sum()
    assert counts[p == 0].sum() == 0, "an excluded token was drawn"
    expected = n * p[p > 0]
    statistic = float(((counts[p > 0] - expected) ** 2 / expected).sum())
    free = int((p > 0).sum()) - 1
    if free:
        limit = free * (1 - 2 / (9 * free) + 4.75 * math.sqrt(2 / (9 * free))) ** 3
        assert statistic < limit, f"chi-square {statistic:.1f} with {free} degrees of freedom"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.6},
        {"temperature": 2.5},
        {"top_k": 3},
        {"top_p": 0.7},
        {"min_p": 0.2},
        {"temperature": 0.6, "top_p": 0.95},
        {"temperature": 1.3, "top_k": 5, "top_p": 0.8, "min_p": 0.1},
        {"top_k": 1},
        {"top_p": 1e-6},
    ],
)
def test_draws_follow_the_distribution(settings: dict[str, Any]) -> None:
    params = SamplingParams(**settings)
    logits = [2.0, 1.5, 1.5, 0.3, -0.5, -1.0, 0.9, -4.0]
    sampler = Sampler(2)
    sampler.admit(1, params, seed=1234)
    rows = torch.tensor(logits).expand(DRAWS, -1)
    draws = sampler.draw(rows, np.full(DRAWS, 1), np.arange(DRAWS))
    counts = np.bincount(draws.tokens, minlength=len(logits))
    assert_follows(counts, distribution(logits, params))


def test_seeds_are_independent_of_each_other() -> None:
    """The joint distribution of two seeds' draws at one position is the product, and of one seed's at two."""
    logits = torch.tensor([1.0, 0.0, 0.5, -0.5])
    single = np.array(distribution(logits.tolist(), SamplingParams()))
    sampler = Sampler(2)
    sampler.admit(0, SamplingParams(), seed=0)
    sampler.admit(1, SamplingParams(), seed=1)
    rows, places = logits.expand(DRAWS, -1), np.arange(DRAWS)
    a = sampler.draw(rows, np.zeros(DRAWS, np.int64), places).tokens
    b = sampler.draw(rows, np.ones(DRAWS, np.int64), places).tokens
    joint = list(np.outer(single, single).ravel())
    assert_follows(np.bincount(a * 4 + b, minlength=16), joint)
    assert_follows(np.bincount(a[::2] * 4 + a[1::2], minlength=16), joint)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12))
def test_a_row_draws_the_same_in_any_batch(seed: int, rows: int) -> None:
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, 50, generator=g).bfloat16().float()  # bfloat16: ties
    sampler = Sampler(rows)
    options = [
        SamplingParams(temperature=0.0),
        SamplingParams(),
        SamplingParams(temperature=0.7, top_p=0.9),
        SamplingParams(top_k=4, min_p=0.05),
    ]
    for slot in range(rows):
        sampler.admit(slot, options[(seed + slot) % 4], seed + slot)
    slots, places = np.arange(rows), np.arange(rows) * 7
    together = sampler.draw(logits.clone(), slots, places).tokens
    for i in range(rows):
        alone = sampler.draw(logits[i : i + 1].clone(), slots[i : i + 1], places[i : i + 1]).tokens
        assert alone[0] == together[i]


@pytest.mark.parametrize("temperature", [0.0, 5e-324, 1e-40, 1e-30, 1e-6, 1e-5])
@pytest.mark.parametrize("top_p", [1.0, 0.5])
def test_the_coldest_draw_is_the_best_token(temperature: float, top_p: float) -> None:
    """Divided by a number so small, logits would all be infinite, and the first of them be taken."""
    sampler = Sampler(1)
    sampler.admit(0, SamplingParams(temperature=temperature, top_p=top_p), seed=3)
    logits = torch.tensor([[3.0, 90.0, -80.0, 89.0]])
    draws = sampler.draw(logits, np.zeros(1, np.int64), np.array([5]))
    assert draws.tokens.tolist() == [1] and draws.best.tolist() == [90.0]


def test_noise_is_uniform_and_never_zero_or_one() -> None:
    values = uniform(torch.tensor(5), torch.arange(300)[:, None], torch.arange(1000))
    assert values.min() > 0 and values.max() < 1
    counts = torch.histc(values, 100, 0, 1).numpy()
    assert_follows(counts, [0.01] * 100)


def test_logprobs_are_of_the_whole_distribution() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0, 0.0], [0.0, 0.0, 5.0, 1.0]])
    found = [*token_logprobs(logits[:1], np.array([2]), 2), *token_logprobs(logits[1:], np.array([2]), 0)]
    want = logits.double().log_softmax(-1)
    assert found[0].logprob == pytest.approx(want[0, 2].item(), abs=1e-6)
    assert found[0].rank == 2
    assert [token for token, _ in found[0].top] == [1, 2]
    assert found[0].top[0][1] == pytest.approx(want[0, 1].item(), abs=1e-6)
    assert (found[1].rank, found[1].top) == (1, [])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("top_k", -1),
        ("top_k", 2.5),
        ("min_p", 1.1),
        ("presence_penalty", 3.0),
        ("frequency_penalty", -3.0),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", 5e-324),
        ("logit_bias", {3: float("inf")}),
        ("max_tokens", 0),
        ("min_tokens", -1),
        ("n", 0),
        ("logprobs", 21),
        ("prompt_logprobs", -1),
        ("stop", "word"),
        ("stop", [""]),
    ],
)
def test_a_bad_value_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(RequestError, match=field) as caught:
        SamplingParams(**{field: value})
    assert caught.value.field == field


def test_two_constraints_cannot_be_combined() -> None:
    with pytest.raises(RequestError, match="json_schema and regex"):
        SamplingParams(json_schema={}, regex="a")
