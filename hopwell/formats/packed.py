"""Small elements in the order in which kernels read them: packed in memory, and unpacked to the checkpoint's own bytes.

A matrix is cut into strips of 64 rows and steps of 128 columns. A strip's steps follow each other, and of a step its
rows: what a program reads is one run of memory. Of a row's 128 values each of four neighbouring threads multiplies 32,
two at a time (the operand of a matrix instruction in registers, PTX ISA, `wgmma`, figure for .bf16 A), and finds them
in four words that lie together: value 32 c + 16 q + 8 p + 2 t + h is in word 4 t + c, one of its pair (q, p) by h.

Within a word a pair's codes lie where few moves of bits make two bf16 values of them (`PAIRS`). Block scales of a step
lie together too, and are stored so that one mask makes two bf16 values of a word. What a power of two is missing then,
and what scales all values of a row, is that row's factor in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from hopwell.formats.blocks import INT4_G32, INT4_G128, MXFP4, NVFP4, BlockFormat
from hopwell.formats.elements import E8M0_BIAS, decode_e2m1, unpack_nibbles
from hopwell.formats.matrices import Int4, Int4Zeros, Matrix, Mxfp4, Nvfp4, Scaled

STRIP, STEP = 64, 128
"""Rows and columns of a tile whose words lie together."""
WORDS = STRIP * STEP // 8
"""Of a tile's codes."""
PACKABLE = (NVFP4, MXFP4, INT4_G32, INT4_G128)
NVFP4_SHIFT = 7
"""Scales and codes in the kernels' form make values of 2^-7 of their size."""
NVFP4_EXPONENT = 22
"""Of the scale 1.0, of 5 bits: the largest that keeps 448 below bf16's end."""
MXFP4_PEAK = 250
"""The biased exponent that a matrix's largest scale gets: with codes it makes values of 2^-3 of their size."""
MXFP4_SPAN = 120
"""Powers of two between a matrix's scales that bf16 holds exactly beside e2m1."""


PLACE = {"e4m3": 4, "e8m0": 7}
"""Of a scale's 8 bits in half of a word: where a bf16 has them, up to a constant exponent. A second pair lies 8 bits
further right, as the word is turned."""


SCALE_BITS = {"e4m3": 8, "e8m0": 8, "bf16": 16}


class Piece(NamedTuple):
    """Bits of a pair of codes: where they are wanted, and how far left a word is turned for that."""

    mask: int
    turn: int


PAIRS = {
    "e2m1": (
        (Piece(0x81C081C0, 0),),
        (Piece(0x81C081C0, 10),),
        (Piece(0x81C081C0, 13),),
        (Piece(0x80008000, 12), Piece(0x01800180, 7), Piece(0x00400040, 2)),
    ),
    "int4": tuple((Piece(0x000F000F, 32 - 4 * pair if pair else 0),) for pair in range(4)),
}
"""A word's four pairs by kind of element. e2m1's sign, exponent and mantissa are wanted at a bf16's bits 15 and 8 to 6;
int4 counts from 0 to 15, at the end of a bf16's mantissa. No two pieces share a bit. A search found e2m1's turns: those
of the last pair's pieces are also shifts, and one product with the sum of their powers of two makes all three, for what
else it makes never meets what is wanted."""


@dataclass(slots=True)
class Packed(Matrix):
    """A matrix [out, in], or a stack of them, as kernels read it. `data`: int32 [..., strips, steps * 1024]."""

    scales: Tensor
    """int32 [..., strips, steps * words]. Where a row has one scale a step, a word has those of two rows 8 apart, which
    one thread multiplies."""
    factors: Tensor
    """float32 [..., out, 1]."""
    kind: BlockFormat
    zeros: bool = False
    """INT4 with zero points: a group's word holds its scale and, below, 128 + 8 + its zero point, both in bf16."""

    @classmethod
    def empty(
        cls, kind: BlockFormat, shape: tuple[int, ...], device: torch.device | str, zeros: bool = False
    ) -> Packed:
        """Unwritten, of a matrix or a stack [..., out, in]."""
        *stack, out, width = shape
        strips, steps = -(-out // STRIP), width // STEP
        words = (
            (STRIP * STEP // kind.columns) if zeros else (STRIP * STEP * SCALE_BITS[kind.scales]) // kind.columns // 32
        )
        return cls(
            torch.empty(*stack, strips, steps * WORDS, dtype=torch.int32, device=device),
            torch.empty(*stack, strips, steps * words, dtype=torch.int32, device=device),
            torch.empty(*stack, out, 1, device=device),
            kind,
            zeros,
        )

    @property
    def format(self) -> BlockFormat:
        return self.kind

    @property
    def scale(self) -> Tensor:
        return self.scales

    @property
    def shape(self) -> torch.Size:
        return torch.Size((*self.factors.shape[:-1], self.data.shape[-1] // WORDS * STEP))

    @property
    def scale_words(self) -> int:
        """Words of block scales in a tile."""
        return self.scales.shape[-1] * WORDS // self.data.shape[-1]

    @property
    def groups(self) -> int:
        """Block scales of a row and step."""
        return STEP // self.kind.columns

    def unpacked(self, first: int = 0, rows: int | None = None) -> Scaled | Int4Zeros:
        """A matrix's own tensors, as the checkpoint has them; of a fused one, those of some of its rows.

        Raises:
            ValueError: the rows are of several matrices.
        """
        some = slice(first, self.shape[0] if rows is None else first + rows)
        codes, factors = self._codes()[some], self.factors[some]
        if bool((factors != factors[0]).any()):
            raise ValueError(f"rows {some.start} to {some.stop - 1} are of several matrices")
        factor = factors[0, 0]
        if self.kind is NVFP4:
            return Nvfp4(codes, self._block_scales()[some].to(torch.float8_e4m3fn), factor * 2.0**-NVFP4_SHIFT)
        if self.kind is MXFP4:
            scales = self._block_scales()[some] * factor
            return Mxfp4(codes, (scales.view(torch.int32) >> 23).to(torch.uint8))
        words, scales = codes.contiguous().view(torch.int32), self._block_scales()[some].bfloat16()
        if self.zeros:
            return Int4Zeros(words, scales, self._zero_points()[some].to(torch.int8), self.shape[-1])
        return Int4(words, scales, self.shape[-1])

    def strip_rows(self, first: int, last: int) -> Packed:
        """Rows `first` to `last` - 1 of a matrix; `first` begins a strip."""
        some = slice(first // STRIP, -(-last // STRIP))
        return Packed(self.data[some], self.scales[some], self.factors[first:last], self.kind, self.zeros)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        if self.data.dim() > 2:
            return torch.stack([self.at(index).dequantize(dtype) for index in range(len(self.data))])
        codes = unpack_nibbles(self._codes())
        elements = decode_e2m1(codes) if self.kind.elements == "e2m1" else codes.float() - 8.0
        if self.zeros:
            elements -= self._zero_points().repeat_interleave(self.kind.columns, dim=1)
        # as `Quantized` has it, the product of both scales comes first
        factors = self.factors * 2.0**-NVFP4_SHIFT if self.kind is NVFP4 else self.factors
        scales = self._block_scales() * factors
        return (elements * scales.repeat_interleave(self.kind.columns, dim=1)).to(dtype)

    def _codes(self) -> Tensor:
        """Two a byte, as checkpoints have them: uint8 [out, in / 2]."""
        words, found = self.data.long() & 0xFFFFFFFF, []
        for pieces in PAIRS[self.kind.elements]:
            pair = torch.zeros_like(words)
            for piece in pieces:
                pair |= _turned(words, piece.turn) & piece.mask
            if self.kind.elements == "e2m1":
                pair = ((pair >> 12) & 0x00080008) | ((pair >> 6) & 0x00070007)
            found.append(((pair & 15) | (pair >> 12)).to(torch.uint8))
        strips, steps = self.data.shape[0], self.data.shape[1] // WORDS
        each = torch.stack(found, dim=-1).view(strips, steps, STRIP, 4, 4, 4)
        return each.permute(0, 2, 1, 4, 5, 3).reshape(strips * STRIP, -1)[: self.shape[0]]

    def _block_scales(self) -> Tensor:
        """Of each group, before the factor: float32 [out, in / columns]."""
        kind, out = self.kind, self.shape[0]
        if self.zeros:
            return (_untiled(self.scales, self.groups)[:out] & ~0xFFFF).view(torch.float32)
        if self.groups == 1:
            halves = self.scales.view(torch.bfloat16).view(len(self.scales), -1, STRIP // 16, 8, 2)
            return halves.permute(0, 2, 4, 3, 1).reshape(len(halves) * STRIP, -1)[:out].float()
        if kind.elements == "int4":
            return _untiled(self.scales, self.groups // 2)[:out].contiguous().view(torch.bfloat16).float()
        words = _untiled(self.scales, self.groups // 4)[:out].long() & 0xFFFFFFFF
        place = PLACE[kind.scales]
        each = [(_turned(words, 8 * pair) >> (16 * half + place)) & 0xFF for pair in (0, 1) for half in (0, 1)]
        bits = torch.stack(each, dim=-1).flatten(1).int()
        if kind is NVFP4:
            return ((((bits >> 3) + 127 - NVFP4_EXPONENT) << 23) | ((bits & 7) << 20)).view(torch.float32)
        return ((bits + 124 - MXFP4_PEAK) << 23).view(torch.float32)

    def _zero_points(self) -> Tensor:
        """float32 [out, groups]."""
        words = _untiled(self.scales, self.groups)[: self.shape[0]]
        return (words & 0x7F).float() - 8.0


def why_not(matrix: Matrix) -> str | None:
    """What keeps a matrix from being packed, as the end of a sentence that begins with it; None: nothing."""
    if not isinstance(matrix, Scaled | Int4Zeros) or matrix.format not in PACKABLE:
        return "is in no format of four bits"
    if matrix.shape[-1] % STEP:
        return f"has rows of {matrix.shape[-1]} values, no multiple of {STEP}"
    scales = matrix.scales
    if isinstance(matrix, Nvfp4):
        return None if bool((scales.float() > 0).all()) else "has scales that are not above 0"
    if isinstance(matrix, Mxfp4):
        low, high = (int(bound) for bound in scales.aminmax())
        if low == 0 or high > MXFP4_PEAK or high - low > MXFP4_SPAN:
            return f"has scales from 2^{low - E8M0_BIAS} to 2^{high - E8M0_BIAS}, more than bf16 holds exactly"
    elif not torch.equal(scales.float(), scales.bfloat16().float()):
        return "has scales that bf16 does not hold"
    return None


def pack(matrix: Matrix) -> Packed:
    """A matrix [out, in] of `PACKABLE` as kernels read it.

    Raises:
        ValueError: it cannot be; the message says why.
    """
    if (reason := why_not(matrix)) is not None:
        raise ValueError(f"the matrix {reason}")
    assert isinstance(matrix, Scaled | Int4Zeros)
    kind = matrix.format
    assert isinstance(kind, BlockFormat)
    codes = matrix.data.contiguous().view(torch.uint8)
    data, zeros, factor, steps = _words(codes, kind.elements), False, torch.ones(()), matrix.shape[1] // STEP
    if isinstance(matrix, Nvfp4):
        scales = _tiled(_placed(_five_bits(matrix.scales), kind), steps)
        factor = matrix.tensor_scale.float().reshape(()) * 2.0**NVFP4_SHIFT
    elif isinstance(matrix, Mxfp4):
        peak = int(matrix.scales.max())
        scales = _tiled(_placed(matrix.scales.long() + (MXFP4_PEAK - peak), kind), steps)
        factor = torch.tensor(2.0 ** (peak - E8M0_BIAS + 3))
    elif isinstance(matrix, Int4Zeros):
        zeros, high = True, matrix.scales.bfloat16().view(torch.int16).int() << 16
        scales = _tiled(high | (0x4300 + 8 + matrix.zero_points.int()), steps)
    else:
        scales = matrix.scales.bfloat16().contiguous()
        scales = _tiled_pairs(scales) if kind is INT4_G128 else _tiled(scales.view(torch.int32), steps)
    factors = factor.to(data.device).expand(matrix.shape[0], 1).contiguous()
    return Packed(data, scales, factors, kind, zeros)


def _words(codes: Tensor, elements: str) -> Tensor:
    """Codes of two a byte, uint8 [out, in / 2], as `Packed.data`."""
    padded = torch.nn.functional.pad(codes, (0, 0, 0, -codes.shape[0] % STRIP))
    strips, steps = padded.shape[0] // STRIP, padded.shape[1] // (STEP // 2)
    # of a byte: strip, row, step, c, pair, t
    each = padded.view(strips, STRIP, steps, 4, 4, 4).permute(0, 2, 1, 5, 3, 4)
    words = torch.zeros(each.shape[:-1], dtype=torch.int32, device=codes.device)
    for pair, table in enumerate(_tables(elements)):
        words |= table.to(codes.device)[each[..., pair].int()]
    return words.view(strips, -1)


@lru_cache
def _tables(elements: str) -> list[Tensor]:
    """For each pair of a word, what a byte of two codes adds to it: int32 [256]."""
    byte = torch.arange(256)
    low, high = byte & 15, byte >> 4
    if elements == "e2m1":
        low, high = (((code & 8) << 12) | ((code & 7) << 6) for code in (low, high))
    wanted = low | (high << 16)
    found = []
    for pieces in PAIRS[elements]:
        turned = [_turned(wanted & piece.mask, 32 - piece.turn) for piece in pieces]
        found.append(_int32(torch.stack(turned).sum(0)))
    return found


def _five_bits(scales: Tensor) -> Tensor:
    """e4m3 scales with an exponent of 5 bits, so that none is subnormal: int64, 8 bits."""
    mantissa, exponent = torch.frexp(scales.float())  # mantissa in [1/2, 1)
    return ((exponent.long() - 1 + NVFP4_EXPONENT) << 3) | (mantissa * 16 - 8).long()


def _placed(codes: Tensor, kind: BlockFormat) -> Tensor:
    """Scales of 8 bits [out, groups], four a word: int32 [out, groups / 4]."""
    each = codes.unflatten(1, (-1, 2, 2)) << PLACE[kind.scales]
    first, second = (each[:, :, pair, 0] | (each[:, :, pair, 1] << 16) for pair in (0, 1))
    return _int32(first | _turned(second, 24))


def _tiled(rows: Tensor, steps: int) -> Tensor:
    """[out, steps * n] -> [strips, steps * 64 * n]; the last strip is filled up with copies of its last row."""
    missing = -rows.shape[0] % STRIP
    if missing:
        rows = torch.cat((rows, rows[-1:].expand(missing, -1)))
    return rows.view(-1, STRIP, steps, rows.shape[1] // steps).transpose(1, 2).reshape(rows.shape[0] // STRIP, -1)


def _tiled_pairs(scales: Tensor) -> Tensor:
    """bf16 scales [out, steps], two rows' in a word: int32 [strips, steps * 32]."""
    rows = _tiled(scales, scales.shape[1]).view(-1, scales.shape[1], STRIP // 16, 2, 8)
    return rows.transpose(3, 4).reshape(len(rows), -1).view(torch.int32)


def _untiled(tiles: Tensor, count: int) -> Tensor:
    """Undoes `_tiled` of `count` values a row and step: [strips * 64, steps * count]."""
    return tiles.view(len(tiles), -1, STRIP, count).transpose(1, 2).reshape(len(tiles) * STRIP, -1)


def _turned(words: Tensor, turn: int) -> Tensor:
    """Words of 32 bits, as int64, turned left."""
    return ((words << turn) | (words >> (32 - turn))) & 0xFFFFFFFF


def _int32(words: Tensor) -> Tensor:
    """Words of 32 bits that int64 holds, as int32."""
    return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)
