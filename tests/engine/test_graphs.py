"""Replayed steps against the model they stand for: padding, several tokens of a sequence, and what is not replayed."""

from __future__ import annotations

import weakref
from dataclasses import replace

import pytest
import torch
from toy import ask, run, toy_engine

pytest.importorskip("triton")

from hopwell.bench.models import bench_config
from hopwell.engine.captured_step import CapturedStep
from hopwell.engine.graphs import GraphedModel
from hopwell.engine.runnable import close_model
from hopwell.model.batch import ForwardBatch
from hopwell.model.random_weights import random_transformer
from hopwell.ops.router import RouterConfig

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ON_GPU = pytest.mark.skipif(DEVICE == "cpu", reason="half a minute of the interpreter, for the same statement")
TOLERANCE = 20**0.5 * 2.0**-8
"""Both sides round every intermediate to bf16, at other places; two layers hold about 20 such roundings."""


@pytest.fixture(scope="module")
def model(small_gpu: None) -> GraphedModel:
    config = replace(
        bench_config("r1-tp8", layers=2), vocab_size=160, hidden_size=256, intermediate_size=128,
        moe_intermediate_size=128, n_routed_experts=8, num_attention_heads=2, q_lora_rank=128, kv_lora_rank=128,
        max_position_embeddings=256, weight_block_size=None, router=RouterConfig(2, 4, 2, "sigmoid", True, 2.5),
        num_nextn_predict_layers=1,
    )  # fmt: skip
    transformer = replace(random_transformer(config, DEVICE, seed=5), absorbed=True)
    return GraphedModel(transformer, sizes=(3,), max_rows=6)


@pytest.fixture(scope="module")
def captured(model: GraphedModel) -> torch.Tensor:
    """The cache that the steps were captured over: making one runs each of them."""
    latent = model.new_latent(6)
    assert latent.count_nonzero() == 0
    return latent


def batch(query_lens: list[int], seq_lens: list[int]) -> ForwardBatch:
    positions = torch.cat([torch.arange(s - q, s) for q, s in zip(query_lens, seq_lens, strict=True)])
    table = torch.tensor([[3, 1], [2, 4]], dtype=torch.int32)[: len(query_lens)]
    tokens = torch.arange(len(positions)) * 7 % 160
    return ForwardBatch(tokens.to(DEVICE), positions.to(DEVICE), query_lens, seq_lens, table.to(DEVICE))


@pytest.mark.parametrize(
    ("query_lens", "seq_lens"),
    [
        pytest.param([1, 1], [70, 3], id="padded"),
        pytest.param([3], [66], id="chunk", marks=pytest.mark.slow),
        pytest.param([1, 2], [1, 4], id="mixed"),
    ],
)
@pytest.mark.slow
def test_a_replayed_step_is_the_forward_pass(
    model: GraphedModel, captured: torch.Tensor, query_lens: list[int], seq_lens: list[int]
) -> None:
    latent = captured
    latent.normal_(generator=torch.Generator(DEVICE).manual_seed(6))
    expected_latent = latent.clone()
    step = batch(query_lens, seq_lens)
    want = model.model.forward(step, expected_latent)
    got, scores = model.step(step, latent)
    some, wanted = torch.tensor([len(got) - 1], device=DEVICE), model.model.logits(want)
    for found, rows in ((scores, wanted), (model.step(step, latent, some)[1], wanted[some])):
        assert ((found - rows).norm() / rows.norm()).item() <= TOLERANCE
    assert model.step(step, latent, some[:0])[1].shape == (0, 160)
    assert ((got.float() - want.float()).norm() / want.float().norm()).item() <= TOLERANCE
    assert ((latent.float() - expected_latent.float()).norm() / expected_latent.float().norm()).item() <= TOLERANCE
    for page in (0, 5):  # nobody's
        assert torch.equal(latent[:, page], expected_latent[:, page])

    planned = replace(step, seq_lens=[length + 2 for length in seq_lens])  # where only positions say how long
    assert model.takes_positions(len(got)) and torch.equal(model.step(planned, latent)[0], got)

    following = replace(step, tokens=step.tokens.roll(-1))
    want, got = (m.draft(want, following, x) for m, x in ((model.model, expected_latent), (model, latent)))
    assert ((got.float() - want.float()).norm() / want.float().norm()).item() <= TOLERANCE
    assert ((latent.float() - expected_latent.float()).norm() / expected_latent.float().norm()).item() <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(("drafts", "forced", "temperature"), [pytest.param(2, 1.8, 0.0, marks=ON_GPU), (1, 1.5, 1.0)])
def test_drafts_are_verified_on_the_device_as_here(
    model: GraphedModel, drafts: int, forced: float, temperature: float
) -> None:
    """Steps given before the tokens of the one before are known draw the same tokens, and as many of them."""
    requests = [
        ask([9 + i, 30], str(i), max_tokens=3 + i, ignore_eos=True, temperature=temperature, seed=i) for i in range(2)
    ]
    found = []
    for overlap in (False, "ahead"):
        settings = {"drafts": drafts, "forced_acceptance": forced, "overlap": overlap, "max_batch_tokens": 6}
        engine = toy_engine(model, pages=6, model_len=256, vocab=160, max_seqs=2, **settings)
        done = run(engine, requests)
        found.append(([done[r.request_id].answers[0].tokens for r in requests], engine.metrics.accepted_at))
        engine.close()
    assert found[0] == found[1]
    assert [len(tokens) for tokens in found[0][0]] == [3, 4]


@pytest.mark.slow
def test_a_long_batch_and_a_strange_cache_run_as_ever(model: GraphedModel, captured: torch.Tensor) -> None:
    latent = captured
    latent.normal_(generator=torch.Generator(DEVICE).manual_seed(6))
    long = batch([1, 4], [70, 5])
    want = model.model.forward(long, latent.clone()).float()
    for mine in (latent, latent.clone()):
        assert ((model.step(long, mine)[0].float() - want).norm() / want.norm()).item() <= TOLERANCE
    short, other = batch([1], [2]), model.model.new_latent(6)
    want = model.model.forward(short, other.clone()).float()
    assert ((model.step(short, other)[0].float() - want).norm() / want.norm()).item() <= TOLERANCE


@pytest.mark.slow
def test_in_batch_invariant_mode_a_row_depends_on_its_own_sequence_alone(model: GraphedModel) -> None:
    """A prompt of 5 tokens: in one step or in two, alone or beside another, the same bits in cache and logits."""
    exact = GraphedModel(model.model, sizes=(3, 8), batch_invariant=True)
    assert exact.sizes == (3,)

    def prefill(cuts: list[int], beside: bool) -> tuple[torch.Tensor, torch.Tensor]:
        latent, at, hidden = exact.new_latent(6), 0, []
        for size in cuts:
            lens = ([size, 1], [at + size, 1]) if beside else ([size], [at + size])
            step = batch(*lens)
            step.tokens[:size] = (torch.arange(at, at + size) * 13 % 160).to(DEVICE)
            hidden.append(exact.step(step, latent)[0][:size].clone())  # valid until the next replay
            at += size
        return exact.logits(torch.cat(hidden)), latent[:2, 3, :5]

    logits, rows = prefill([5], beside=False)
    other_logits, other_rows = prefill([2, 3], beside=True)
    assert logits.shape == (5, 160) and rows.count_nonzero() > 0
    assert torch.equal(other_logits, logits) and torch.equal(other_rows, rows)


def test_a_step_holds_the_pages_it_was_given_last_whether_or_not_they_were_sent_again() -> None:
    """Of most steps no page changes, and then their numbers stay where they are."""
    size, width = 4, 6
    packed = torch.zeros(2 * size + size * width // 2, dtype=torch.int64, device=DEVICE)
    table, none = torch.zeros(size, width, dtype=torch.int32, device=DEVICE), torch.empty(0, device=DEVICE)
    step = CapturedStep(size, packed, table, None, lambda: None, none, None)
    generator = torch.Generator().manual_seed(torch.initial_seed() % 2**32)
    pages = torch.zeros(size, width, dtype=torch.int32)
    for turn in range(200):
        rows, columns = (int(torch.randint(1, n + 1, (1,), generator=generator)) for n in (size, width))
        if turn % 3 == 0:  # one sequence takes another page
            row, column = int(torch.randint(rows, (1,), generator=generator)), columns - 1
            pages[row, column] = int(torch.randint(1, 1000, (1,), generator=generator))
        tokens, positions = (torch.randint(0, 100, (rows,), generator=generator) for _ in range(2))
        given = tokens.to(DEVICE) if turn % 2 else tokens  # drawn on the device, or known here
        places = positions.to(DEVICE) if turn % 4 == 3 else positions
        step.fill(given, places, pages[:rows, :columns].numpy())
        filled = [*range(rows), *[rows - 1] * (size - rows)]
        assert torch.equal(packed[:size].cpu(), tokens[filled])
        assert torch.equal(packed[size : 2 * size].cpu(), positions[filled])
        assert torch.equal(table[:, :columns].cpu(), pages[filled, :columns])


def test_a_closed_model_holds_no_step() -> None:
    """What its graphs have captured, a process group among it, waits for their end."""
    config = replace(bench_config("r1-tp8", layers=2), vocab_size=32, max_position_embeddings=256)
    graphed = GraphedModel(random_transformer(config, "meta"), sizes=(1,), max_rows=1)
    graphed._steps[1] = CapturedStep(1, *[torch.empty(1, 1)] * 3, lambda: None, torch.empty(1), None)
    gone = weakref.ref(graphed._steps[1].replay)
    close_model(graphed)
    assert gone() is None
