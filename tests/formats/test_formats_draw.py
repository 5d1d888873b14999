"""Random four-bit matrices in the kernels' order: what is drawn has the wanted deviation, and differs by its seed."""

import pytest
import torch

from hopwell.formats.blocks import BlockFormat
from hopwell.formats.draw import draw_four_bits, draw_packed
from hopwell.formats.packed import PACKABLE, pack

SHAPE = (192, 1024)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("kind", PACKABLE, ids=lambda kind: str(kind.name))
def test_drawn_words_are_those_of_packed_matrices(kind: BlockFormat, zeros: bool) -> None:
    zeros &= kind.elements == "int4"
    deviation = 2.0**-6 if kind.scales == "e8m0" else 0.02
    drawn = draw_packed(kind, SHAPE, deviation, 5, "cpu", zeros)
    peer = pack(draw_four_bits(kind, SHAPE, deviation, 5, "cpu", zeros))
    assert (drawn.data.shape, drawn.scales.shape, drawn.factors.shape, drawn.zeros) == (
        peer.data.shape, peer.scales.shape, peer.factors.shape, peer.zeros)  # fmt: skip
    ours, theirs = drawn.dequantize(), peer.dequantize()
    assert set(ours.unique().tolist()) == set(theirs.unique().tolist())
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.02)
    assert torch.equal(drawn.dequantize(), draw_packed(kind, SHAPE, deviation, 5, "cpu", zeros).dequantize())
    assert not torch.equal(ours, draw_packed(kind, SHAPE, deviation, 6, "cpu", zeros).dequantize())
    rows = ours[:, :256].float()
    assert (rows @ rows.T).fill_diagonal_(0).abs().max() < 0.5 * rows.square().sum(1).max(), "rows repeat"
