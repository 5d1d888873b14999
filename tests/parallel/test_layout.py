"""Layouts as users give them, and what of a model each rank holds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.reader import Checkpoint
from hopwell.engine.device import own_gpu
from hopwell.formats.blocks import BlockFormat
from hopwell.formats.draw import draw_four_bits
from hopwell.formats.fp8 import BLOCK
from hopwell.formats.matrices import Fp8Block, Plain
from hopwell.formats.packed import PACKABLE
from hopwell.model import NANO, schema
from hopwell.model.config import ModelConfig
from hopwell.model.loading import Loader
from hopwell.model.sharding import Shard, cut, share
from hopwell.model.shipped import find_config
from hopwell.ops.weight import Weight
from hopwell.parallel.layout import Layout, LayoutError


class Nobody:
    """An exchange that nobody is at the other end of."""

    def sum(self, share: torch.Tensor) -> torch.Tensor:
        raise AssertionError

    def gather(self, part: torch.Tensor, width: int) -> torch.Tensor:
        raise AssertionError


@given(st.integers(1, 64), st.integers(0, 200_000))
def test_spans_cover_everything_once(tp: int, length: int) -> None:
    spans = [Layout(tp, rank=rank).span(length) for rank in range(tp)]
    assert spans[0].start == 0 and spans[-1].stop == length
    assert all(a.stop == b.start for a, b in pairwise(spans))
    sizes = [span.stop - span.start for span in spans]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("tp", "ep"), [(0, 1), (65, 1), (2, 4), (4, 2), (1, 2), (2, 0)])
def test_layouts_that_cannot_be_are_refused(tp: int, ep: int) -> None:
    with pytest.raises(LayoutError, match=r"^--(tp|ep) is"):
        Layout.of(tp, ep)


def test_names_are_the_fields() -> None:
    assert [Layout.of(*each).name for each in ((1, 1), (8, 1), (8, 8))] == ["one rank", "TP8", "TP8 EP8"]
    assert [Layout.of(8, ep, True).name for ep in (1, 8)] == ["TP8 DP attention", "TP8 EP8 DP attention"]
    assert Layout.of(4, 4, True).options == "--tp 4 --ep 4 --dp-attention" and Layout.of(2).options == "--tp 2"
    with pytest.raises(LayoutError, match=r"^--dp-attention .*; give --tp too"):
        Layout.of(1, 1, True)


def test_what_does_not_divide_is_named_with_what_would_do() -> None:
    config = ModelConfig.from_dict(find_config("deepseek-r1"))
    assert share(config, Layout(8)).num_attention_heads == 16
    assert share(config, Layout(8)).moe_intermediate_size == 256
    assert share(config, Layout(8, True)).moe_intermediate_size == 2048
    odd = replace(config, num_attention_heads=127)
    whole = share(odd, Layout(8, dp_attention=True))
    assert (whole.num_attention_heads, whole.moe_intermediate_size, whole.intermediate_size) == (127, 256, 2304)
    with pytest.raises(LayoutError, match=r"num_attention_heads is 127"):
        share(odd, Layout(8))
    with pytest.raises(LayoutError, match=r"num_attention_heads is 128, which 3 ranks cannot share; --tp may be 1, 2"):
        share(config, Layout(3))


@pytest.mark.parametrize("dp_attention", [False, True])
@pytest.mark.parametrize("ep", [False, True])
@pytest.mark.parametrize("tp", [2, 4])
def test_shares_put_together_are_the_model(tp: int, ep: bool, dp_attention: bool) -> None:
    """Every tensor of nano, as the ranks have it, joined along the side that the schema cuts."""
    checkpoint = Checkpoint.open(NANO)
    config = ModelConfig.from_dict(checkpoint.config)

    def loader(layout: Layout) -> tuple[Loader, WeightSource]:
        source = WeightSource(checkpoint)
        for name in schema.unread(config):
            source.skip(name)
        return Loader(source, config, torch.device("cpu"), torch.float32, shard=Shard(layout, Nobody())), source

    whole, _ = loader(Layout())
    ranks = [loader(Layout(tp, ep, rank, dp_attention)) for rank in range(tp)]
    last = config.num_hidden_layers
    for row, layer in ((schema.HEAD, 0), (schema.Q_B, 1), (schema.O, 1), (schema.KV_A, 1), (schema.KV_B, 1)):
        parts = [each.stored(row, layer).data for each, _ in ranks]
        whole_here = row.cut is None or (dp_attention and row is not schema.HEAD)
        joined = parts[0] if whole_here else torch.cat(parts, dim=row.cut or 0)
        assert torch.equal(joined, whole.stored(row, layer).data), row.pattern
    experts = [each.experts(last) for each, _ in ranks]
    expected = whole.experts(last)
    if ep:
        assert torch.equal(torch.cat([e.gate_up.data for e in experts]), expected.gate_up.data)
        assert [e.first for e in experts] == [rank * config.n_routed_experts // tp for rank in range(tp)]
    else:
        halves = [e.gate_up.data.chunk(2, dim=1) for e in experts]
        gate, up = (torch.cat([each[i] for each in halves], dim=1) for i in range(2))
        assert torch.equal(torch.cat((gate, up), dim=1), expected.gate_up.data)
        assert torch.equal(torch.cat([e.down.data for e in experts], dim=2), expected.down.data)


def test_every_tensor_is_accounted_for_on_every_rank() -> None:
    checkpoint = Checkpoint.open(NANO)
    config = ModelConfig.from_dict(checkpoint.config)
    for layout in (Layout(2, rank=1), Layout(4, True, 3)):
        source = WeightSource(checkpoint)
        for name in schema.unread(config):
            source.skip(name)
        Loader(source, config, torch.device("cpu"), torch.float32, shard=Shard(layout, Nobody())).transformer()
        source.finish()


def test_a_cut_inside_a_block_is_refused_by_name() -> None:
    row = schema.EXPERT.down
    weight = Weight(Fp8Block(torch.zeros(256, 2 * BLOCK).to(torch.float8_e4m3fn), torch.ones(2, 2)))
    half = cut(weight, row, Layout(2, rank=1))
    assert half.shape == (256, BLOCK) and half.scale is not None and half.scale.shape == (2, 1)
    with pytest.raises(LayoutError, match=r"experts\.\{expert\}\.down_proj.*TP4 cuts its 256 columns.*--ep 4"):
        cut(weight, row, Layout(4, rank=1))
    assert cut(weight, row, Layout(4, True, 1)) is weight
    plain = Weight(Plain(torch.arange(12.0).view(2, 6)))
    assert torch.equal(cut(plain, row, Layout(4, rank=1)).data, plain.data[:, 1:3])


@pytest.mark.parametrize("kind", PACKABLE, ids=lambda kind: str(kind.name))
def test_four_bits_are_cut_between_their_groups(kind: BlockFormat) -> None:
    """Parts put together are the whole, by rows and by columns; within a group nothing is cut."""
    whole = draw_four_bits(kind, (256, 512), 0.02, 1, "cpu")
    for row, dim in ((schema.EXPERT.gate, 0), (schema.EXPERT.down, 1)):
        assert row.cut == dim
        parts = [cut(Weight(whole), row, Layout(4, rank=rank)).stored for rank in range(4)]
        assert all(type(part) is type(whole) and part.format is kind for part in parts)
        assert torch.equal(torch.cat([part.dequantize() for part in parts], dim=dim), whole.dequantize())
    narrow = draw_four_bits(kind, (64, 3 * kind.columns), 0.02, 1, "cpu")
    with pytest.raises(LayoutError, match=rf"inside a block of {kind.name}"):
        cut(Weight(narrow), schema.EXPERT.down, Layout(2, rank=1))


def test_experts_too_few_to_share_out_are_refused() -> None:
    config = ModelConfig.from_dict(find_config(None))
    few = replace(config, n_routed_experts=2)
    with pytest.raises(LayoutError, match="fewer than the 4 ranks"):
        share(few, Layout(4, True))


def test_gpus_refuse_what_has_not_run_on_them() -> None:
    layout = Layout(2, True)
    with pytest.raises(LayoutError, match=rf"^{layout.options} is for CPUs as yet; on GPUs leave --ep out"):
        own_gpu(torch.device("cuda"), layout)
    assert own_gpu(torch.device("cpu"), layout) == torch.device("cpu")
