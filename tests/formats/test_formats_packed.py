"""The kernels' order of small elements: unpacked, a checkpoint's own bytes; dequantised, its values."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hopwell.formats.blocks import FORMATS, INT4_G32, MXFP4, NVFP4, quantize
from hopwell.formats.layouts import packed as from_checkpoint
from hopwell.formats.layouts import to_compressed_tensors
from hopwell.formats.matrices import Int4Zeros, Matrix, Mxfp4, Nvfp4, Plain, combine
from hopwell.formats.packed import PACKABLE, PAIRS, Packed, pack, why_not

SHAPES = [(64, 128), (128, 384), (70, 256), (1, 128), (200, 640)]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stored(label: str, shape: tuple[int, int], seed: int = 0) -> Matrix:
    """A matrix whose scales vary widely, with every code in it."""
    values = randn(*shape, seed=seed) * torch.logspace(-2, 1, shape[0]).unsqueeze(1)
    return from_checkpoint(to_compressed_tensors(quantize(values, FORMATS[label])), shape)


def with_zero_points(group: int, shape: tuple[int, int]) -> Int4Zeros:
    matrix = stored(f"int4_g{group}", shape)
    zero_points = torch.randint(-8, 8, (shape[0], shape[1] // group), generator=torch.Generator().manual_seed(1))
    return Int4Zeros(matrix.data, matrix.scale, zero_points.to(torch.int8), shape[1])  # type: ignore[arg-type]


def same(first: Matrix, second: Matrix) -> bool:
    """To the byte."""

    def facts(matrix: Matrix) -> list[tuple]:
        return [(t.dtype, t.shape, t.contiguous().flatten().view(torch.uint8).tolist()) for t in matrix.tensors()]

    return type(first) is type(second) and facts(first) == facts(second)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("label", [each.name for each in PACKABLE])
def test_packed_and_unpacked_it_is_the_checkpoint_s(label: str, shape: tuple[int, int]) -> None:
    matrix = stored(label, shape)
    found = pack(matrix)
    assert found.shape == matrix.shape and found.format is FORMATS[label]
    assert same(found.unpacked(), matrix)
    assert torch.equal(found.dequantize(), matrix.dequantize())
    assert torch.equal(found.dequantize(torch.bfloat16), matrix.dequantize(torch.bfloat16))


@pytest.mark.parametrize("group", [32, 128])
def test_zero_points_are_kept(group: int) -> None:
    matrix = with_zero_points(group, (70, 256))
    found = pack(matrix)
    assert same(found.unpacked(), matrix)
    assert torch.equal(found.dequantize(), matrix.dequantize())


@pytest.mark.parametrize("label", [each.name for each in PACKABLE])
def test_a_fused_matrix_gives_each_part_s_bytes(label: str) -> None:
    """Gate and up of other tensor scales, as one matrix, in a stack of experts."""
    parts = [stored(label, (128, 256), seed) for seed in range(4)]
    fused = [combine([pack(parts[i]), pack(parts[i + 1])], torch.cat) for i in (0, 2)]
    stack = combine(fused, torch.stack)
    assert stack.shape == (2, 256, 256)
    for expert in range(2):
        one = stack.map(lambda t, expert=expert: t[expert])
        for part in range(2):
            assert same(one.unpacked(128 * part, 128), parts[2 * expert + part])
    want = torch.stack([torch.cat([parts[i].dequantize(), parts[i + 1].dequantize()]) for i in (0, 2)])
    assert torch.equal(stack.dequantize(), want)


@pytest.mark.parametrize("label", [each.name for each in PACKABLE])
def test_memory_is_that_of_the_bits(label: str) -> None:
    """0.1 % beside elements and scales: a factor a row."""
    shape = (256, 4096)
    factors = 4 * shape[0]
    assert pack(stored(label, shape)).nbytes == FORMATS[label].nbytes(shape) + factors - 4 * (label == "nvfp4")


def test_every_code_and_every_scale() -> None:
    codes = torch.arange(256, dtype=torch.uint8).repeat(64).view(64, 256)
    scales = torch.arange(1, 0x7F, dtype=torch.uint8).repeat(17)[: 64 * 32].view(64, 32).view(torch.float8_e4m3fn)
    matrix = Nvfp4(codes, scales, torch.tensor(0.37))
    assert same(pack(matrix).unpacked(), matrix)
    assert torch.equal(pack(matrix).dequantize(), matrix.dequantize())
    exponents = (torch.arange(64 * 16) % 121 + 60).to(torch.uint8).view(64, 16)
    matrix = Mxfp4(codes, exponents)
    assert same(pack(matrix).unpacked(), matrix)


def test_pieces_of_a_word_share_no_bit() -> None:
    for pairs in PAIRS.values():
        used = 0
        for piece in (piece for pieces in pairs for piece in pieces):
            source = ((piece.mask >> piece.turn) | (piece.mask << (32 - piece.turn))) & 0xFFFFFFFF
            assert used & source == 0
            used |= source
        assert used == 0xFFFFFFFF


def test_what_cannot_be_packed_says_why() -> None:
    assert why_not(Plain(randn(2, 2))) == "is in no format of four bits"
    assert "96 values" in str(why_not(stored("mxfp4", (64, 96))))
    wide = Mxfp4(torch.zeros(64, 64, dtype=torch.uint8), torch.tensor([[1, 240, 1, 1]] * 64, dtype=torch.uint8))
    assert "more than bf16 holds" in str(why_not(wide))
    matrix = stored("int4_g32", (64, 128))
    matrix.scales = matrix.scales.float() + 1e-6  # type: ignore[attr-defined]
    assert why_not(matrix) == "has scales that bf16 does not hold"
    with pytest.raises(ValueError, match="bf16 does not hold"):
        pack(matrix)
    assert INT4_G32 in PACKABLE and NVFP4 in PACKABLE and MXFP4 in PACKABLE
    assert isinstance(pack(stored("nvfp4", (64, 128))), Packed)
