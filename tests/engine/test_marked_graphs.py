"""Measured steps of the chain of kernels: the same bits as unmeasured ones, every op marked, experts counted.

Without a GPU the kernels run in Triton's interpreter, one by one where a graph would be replayed, by a host's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from hopwell.bench.engine import step_costs
from hopwell.bench.models import bench_config
from hopwell.engine.device_recorder import DeviceRecorder
from hopwell.engine.graphs import GraphedModel
from hopwell.engine.marked_graphs import WHOLE, MarkedGraphs
from hopwell.engine.meter import StepMeter
from hopwell.limits.cost import OpCost
from hopwell.limits.marks import GAPS, Mark
from hopwell.limits.meter import Pace, Rates
from hopwell.model.batch import ForwardBatch
from hopwell.model.fused import FusedTransformer
from hopwell.model.op_costs import OpCosts
from hopwell.model.random_weights import random_transformer
from hopwell.model.routed import remembering
from hopwell.model.transformer import Dense
from hopwell.ops.router import RouterConfig

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ATTENTION = ["input norm", "qkv_a", "latent", "q_b", "absorb", "decode", "merge", "o", "post norm"]
NETWORK = {True: ["router", "select", "up", "silu", "down"], False: ["up", "silu", "down"]}
PAGES = 6


class Both:
    """A model with graphs, and the same one measured."""

    def __init__(self) -> None:
        config = replace(
            bench_config("r1-tp8", layers=2), vocab_size=160, hidden_size=256, intermediate_size=128,
            moe_intermediate_size=128, n_routed_experts=8, num_attention_heads=2, q_lora_rank=128, kv_lora_rank=128,
            max_position_embeddings=256, weight_block_size=None, router=RouterConfig(2, 4, 2, "sigmoid", True, 2.5),
            num_nextn_predict_layers=1,
        )  # fmt: skip
        self.transformer = replace(random_transformer(config, DEVICE, seed=5), absorbed=True)
        self.recorder = DeviceRecorder(DEVICE, config.n_routed_experts + 16)
        self.plain = GraphedModel(self.transformer, sizes=(3,), max_rows=6)
        self.marked: MarkedGraphs = self.plain.marked(self.recorder)
        self.latent = self.plain.new_latent(PAGES)


@pytest.fixture(scope="module")
def both(small_gpu: None) -> Both:
    return Both()


def batch(query_lens: list[int], seq_lens: list[int]) -> ForwardBatch:
    positions = torch.cat([torch.arange(s - q, s) for q, s in zip(query_lens, seq_lens, strict=True)])
    table = torch.tensor([[3, 1], [2, 4]], dtype=torch.int32)[: len(query_lens)]
    tokens = torch.arange(len(positions)) * 7 % 160
    return ForwardBatch(tokens.to(DEVICE), positions.to(DEVICE), query_lens, seq_lens, table.to(DEVICE))


def recorded(both: Both, run: Callable[[], object]) -> list[Mark]:
    """The marks of what runs, after the device has done it; their seconds are checked."""
    both.recorder.start()
    run()
    both.recorder.stop()
    seconds = both.recorder.seconds()
    assert len(seconds) == len(both.recorder.marks) and all(each >= 0 for each in seconds)
    return both.recorder.marks


def ops(marks: list[Mark], layer: int | None) -> list[str]:
    return [mark.op for mark in marks if mark.layer == layer]


def test_a_measured_step_is_the_same_bits_and_marks_every_op(both: Both) -> None:
    step = batch([1, 1], [70, 3])
    both.latent.normal_(generator=torch.Generator(DEVICE).manual_seed(6))
    before = both.latent.clone()
    want = [each.clone() for each in both.plain.step(step, both.latent)]
    rows = both.latent.clone()
    both.latent.copy_(before)
    got: list[Tensor] = []
    marks = recorded(both, lambda: got.extend(both.marked.step(step, both.latent)))
    assert all(torch.equal(mine, other) for mine, other in zip(got, want, strict=True))
    assert torch.equal(both.latent, rows)
    for number, layer in enumerate(both.transformer.layers):
        assert ops(marks, number) == ATTENTION + NETWORK[not isinstance(layer.network, Dense)]
    assert ops(marks, None) == [GAPS, "embedding", "final norm", "logits"]
    assert all(mark.lengths == ([1, 1], [70, 3]) for mark in marks)

    want_draft = both.plain.draft(got[0].clone(), step, both.latent).clone()
    draft: list[Tensor] = []
    marks = recorded(both, lambda: draft.append(both.marked.draft(got[0].clone(), step, both.latent)))
    assert torch.equal(draft[0], want_draft)
    assert ops(marks, 2) == ["projection", *ATTENTION, *NETWORK[True], "final norm"]


@pytest.mark.slow
def test_the_experts_that_were_chosen_are_counted(both: Both) -> None:
    step, (model, routers) = batch([1, 1], [70, 3]), remembering(both.transformer)
    FusedTransformer(model).step(step.tokens, step.positions, step.page_table, both.latent.clone())
    marks = recorded(both, lambda: both.marked.step(step, both.latent))
    (mark,) = (mark for mark in marks if mark.layer == 1 and mark.op == "up")
    ((ids,),) = (router.chosen for router in routers)
    assert (mark.chosen.pairs, mark.chosen.distinct) == (ids.numel(), ids.unique().numel())


@pytest.mark.slow
def test_costs_are_those_of_the_benches(both: Both) -> None:
    """Added up from the model's config by other code: `bench engine`'s limit."""
    step, costs = batch([1, 1], [70, 3]), OpCosts(both.transformer)
    marks = recorded(both, lambda: both.marked.step(step, both.latent))
    (up,) = (mark for mark in marks if mark.layer == 1 and mark.op == "up")
    want = step_costs(both.transformer.config, [1, 1], [70, 3], up.chosen.distinct - 1)
    each = [(mark.op, cost) for mark in marks if (cost := costs.of(mark)) is not None]
    got = sum(
        (cost for op, cost in each if op not in ("embedding", "final norm", "select", "silu", "latent")), OpCost(0, 0)
    )
    whole = sum(want, OpCost(0, 0))
    # the query's own norm is counted here alone, and w_uv's rows in the order in which they are multiplied
    assert got.flops == pytest.approx(whole.flops, rel=1e-3)
    assert got.bytes == pytest.approx(whole.bytes, rel=2e-3)
    assert {op for op, _ in each} >= {"absorb", "decode", "merge", "up", "down", "logits", "router"}


@pytest.mark.slow
def test_what_no_twin_holds_is_one_op(both: Both) -> None:
    """A second replay of the graph, whose events tell one time alone."""
    step = batch([1, 1], [70, 3])

    def twice() -> None:
        both.marked.step(step, both.latent)
        both.marked.step(step, both.latent)

    marks = recorded(both, twice)
    assert [mark.op for mark in marks].count("decode") == 2 and ops(marks, None)[-1] == WHOLE


def test_a_long_step_is_marked_kernel_by_kernel(both: Both) -> None:
    """On the same rows, filled up alike, so that bits are the same."""
    long, costs = batch([1, 4], [70, 5]), OpCosts(both.transformer)
    before = both.latent.clone()
    want, rows = both.plain.step(long, both.latent)[1].clone(), both.latent.clone()
    both.latent.copy_(before)
    got: list[Tensor] = []
    marks = recorded(both, lambda: got.append(both.marked.step(long, both.latent)[1]))
    assert torch.equal(got[0], want) and torch.equal(both.latent, rows)
    for number, layer in enumerate(both.transformer.layers):
        kind = NETWORK[not isinstance(layer.network, Dense)]
        assert ops(marks, number) == ["input norm", "qkv_a", "latent", "q_b", "attention", "o", "post norm", *kind]
    assert (marks[-1].op, marks[-1].rows) == ("logits", 5)
    (up,) = (mark for mark in marks if mark.layer == 1 and mark.op == "up")
    assert up.chosen.pairs == 5 * 3 and costs.of(up) is not None


@pytest.mark.slow
def test_logits_of_some_rows_are_an_op_of_their_own(both: Both) -> None:
    step, some = batch([2], [4]), torch.tensor([1], device=DEVICE)
    want = both.plain.step(step, both.latent, some)[1]
    got: list[Tensor] = []
    marks = recorded(both, lambda: got.append(both.marked.step(step, both.latent, some)[1]))
    assert torch.equal(got[0], want)
    assert (marks[-1].op, marks[-1].rows) == ("logits", 1)
    assert both.marked.step(step, both.latent, some[:0])[1].shape == (0, 160)


@pytest.mark.slow
def test_a_step_meter_makes_rows_of_it(both: Both) -> None:
    meter = StepMeter(both.transformer, Rates("test", 1e12, {"": 1e14}), both.recorder)
    meter.pace = Pace(share=1e9, least=1)
    assert meter.begin()
    both.marked.step(batch([1, 1], [70, 3]), both.latent)
    both.recorder.stop()
    whole = sum(both.recorder.seconds())
    meter.end(2 * whole)
    rows = meter.report().rows
    assert sum(row.us for row in rows) == pytest.approx(2e6 * whole)
    assert {row.op for row in rows if row.layer == 1 and row.percent} >= {"qkv_a", "decode", "up", "down", "o"}


def test_without_the_kernels_plain_pytorch_is_measured(both: Both) -> None:
    both.plain.by_kernels = False
    try:
        step = batch([1, 1], [70, 3])
        marks = recorded(both, lambda: both.marked.step(step, both.latent))
        assert "attention" in ops(marks, 1) and "experts" in ops(marks, 1)
    finally:
        both.plain.by_kernels = True
