"""The cost of each marked op: FLOPs against PyTorch's own counter while the model runs, bytes against its weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch
from torch.utils.flop_counter import FlopCounterMode

from hopwell.formats.matrices import Plain
from hopwell.limits.cost import OpCost
from hopwell.limits.marks import Lengths, Mark, Recorder
from hopwell.model.batch import ForwardBatch
from hopwell.model.config import ModelConfig
from hopwell.model.op_costs import OpCosts
from hopwell.model.random_weights import random_transformer
from hopwell.model.routed import remembering
from hopwell.model.transformer import MoE, Transformer
from hopwell.ops import norm
from hopwell.ops.moe_experts import Experts
from hopwell.ops.weight import Weight

KINDS = ("r1", "v2-lite", "kimi-k2")


class Counting(Recorder):
    """Reads PyTorch's counter at each mark."""

    def __init__(self, counter: FlopCounterMode) -> None:
        self._counter, self.counted, self._before = counter, list[int](), 0
        super().__init__()

    def mark(self, op: str, rows: int | None = None) -> None:
        super().mark(op, rows)
        now = self._counter.get_total_flops()
        self.counted.append(now - self._before)
        self._before = now


def model_of(kind: str, **overrides: Any) -> Transformer:
    config = ModelConfig.from_dict(tiny.tiny_config(kind, **overrides))
    return random_transformer(config, "cpu")


def batch_of(config: ModelConfig, query_lens: list[int], seq_lens: list[int]) -> ForwardBatch:
    width = max(-(-length // 64) for length in seq_lens)
    pages = torch.arange(len(seq_lens) * width, dtype=torch.int32).view(len(seq_lens), width)
    positions = torch.cat([torch.arange(s - q, s) for q, s in zip(query_lens, seq_lens, strict=True)])
    tokens = torch.randint(config.vocab_size, (len(positions),))
    return ForwardBatch(tokens, positions, query_lens, seq_lens, pages)


def played(model: Transformer, batch: ForwardBatch) -> tuple[list[Mark], list[int]]:
    """A step's marks and the FLOPs that PyTorch counted for each; with an MTP layer its draft too."""
    counter = FlopCounterMode(display=False)
    marks = Counting(counter)
    marked, latent = model.marked(marks), model.new_latent(int(batch.page_table.max()) + 1)
    with counter:
        hidden, _ = marked.step(batch, latent)
        if model.has_mtp:
            marked.draft(hidden, batch, latent)
    return marks.marks, marks.counted


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("absorbed", [True, False])
def test_flops_are_those_that_pytorch_counts(kind: str, absorbed: bool) -> None:
    """16 sequences of one query each, whose tokens fill their pages: nothing is padded that the cost leaves out."""
    torch.manual_seed(0)
    model = model_of(kind)
    model = replace(model, absorbed=absorbed)
    c, count = model.config, 16
    batch = batch_of(c, [1] * count, [128] * count)
    marks, counted = played(model, batch)
    costs = OpCosts(model)
    seen = set()
    for mark, flops in zip(marks, counted, strict=True):
        cost = costs.of(mark)
        want = 0 if cost is None else cost.flops
        if "norm" in mark.op:
            assert flops == 0, "PyTorch counts products alone"
            continue
        if mark.op == "q_b" and c.q_lora_rank:
            want -= norm.cost(count, c.q_lora_rank).flops
        if mark.op == "projection":
            want -= norm.cost(2 * count, c.hidden_size).flops
        if mark.op == "attention" and absorbed:  # whole rows are mixed, their keys too, on a CPU
            want += 2 * c.num_attention_heads * c.qk_rope_head_dim * 128 * count
        assert flops == want, mark
        seen.add(mark.op)
    assert {"qkv_a", "attention", "o", "router", "experts", "shared", "dense", "logits"} <= seen
    assert ("q_b" in seen, "projection" in seen) == (c.q_lora_rank is not None, model.has_mtp)


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_are_the_weights_that_are_touched_and_the_rows(kind: str) -> None:
    torch.manual_seed(1)
    model = model_of(kind)
    batch, size = batch_of(model.config, [1, 1, 5], [3, 70, 5]), model.dtype.itemsize
    marks, _ = played(model, batch)
    costs = OpCosts(model)
    remembered, routers = remembering(model)
    remembered.forward(batch, model.new_latent(8))
    chosen = iter(routers)
    for mark in marks:
        cost = costs.of(mark)
        if mark.layer is None or mark.layer >= len(model.layers) or cost is None:
            continue
        layer = model.layers[mark.layer]
        if mark.op in ("qkv_a", "o"):
            weight = getattr(layer.attention, mark.op)
            assert cost.bytes == weight.stored.nbytes + size * 7 * sum(weight.shape)
        if mark.op == "experts":
            assert isinstance(layer.network, MoE)
            experts, ids = layer.network.experts, next(chosen).chosen[0]
            one = (experts.gate_up.stored.nbytes + experts.down.stored.nbytes) // experts.count
            assert cost.bytes == one * ids.unique().numel() + 2 * size * 7 * model.config.hidden_size
            assert ids.unique().numel() < experts.count, "a step that touches all of them would prove nothing"
        if mark.op == "attention":
            assert cost.bytes > 78 * model.config.latent_dim * costs.cache_bytes


def test_of_experts_elsewhere_nothing_is_counted() -> None:
    """A rank that has experts 4 to 7 of 16 moves and computes only what falls on those."""
    model = model_of("r1")
    whole = model.layers[1].network
    assert isinstance(whole, MoE)
    cut = (Weight(Plain(weight.data[4:8])) for weight in (whole.experts.gate_up, whole.experts.down))
    part = replace(whole, experts=Experts(*cut, first=4))
    mark = Mark(1, "experts", Lengths((1, 1), (1, 1)), None, torch.tensor([[0, 4, 5, 15], [4, 9, 7, 2]]))

    def cost(network: MoE) -> OpCost:
        layers = [replace(layer, network=network) if i == 1 else layer for i, layer in enumerate(model.layers)]
        found = OpCosts(replace(model, layers=layers)).of(mark)
        assert found is not None
        return found

    rows = 2 * model.dtype.itemsize * 2 * model.config.hidden_size
    assert cost(part).flops * 8 == cost(whole).flops * 4, "of 8 pairs of a token and an expert 4"
    assert (cost(part).bytes - rows) * 7 == (cost(whole).bytes - rows) * 3, "of 7 experts 3"
