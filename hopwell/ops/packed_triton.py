"""What the kernels for packed elements of four bits share: words become bf16 values in registers, on their way to the
matrix unit.

`formats/packed.py` has the order of the words. A thread's words are its part of the matrix instruction's operand, so
that nothing but the words passes through shared memory; joins, transposes and reshapes below move no data, they tell
the compiler which value is where. A pair of codes takes about two moves of bits and one product with its scale, which
is exact in bf16 for NVFP4 and MXFP4; INT4's is rounded once, as a matrix expanded to bf16 is.
"""

from __future__ import annotations

import triton
import triton.language as tl

from hopwell.formats.packed import PAIRS, PLACE, STEP, STRIP, WORDS
from hopwell.ops.triton_common import INTERPRET, multiply, to_bf16, zero_product

_STRIP, _STEP, _WORDS = tl.constexpr(STRIP), tl.constexpr(STEP), tl.constexpr(WORDS)
(_FIRST,), (_SECOND,), (_THIRD,), _LAST = PAIRS["e2m1"]
VALUE = tl.constexpr(_FIRST.mask)
TURN_1, TURN_2 = tl.constexpr(_SECOND.turn), tl.constexpr(_THIRD.turn)
LAST = tl.constexpr(sum(piece.mask >> piece.turn for piece in _LAST))
TO_PLACE = tl.constexpr(sum(1 << piece.turn for piece in _LAST))
INT4, INT4_ONES = tl.constexpr(0x000F000F), tl.constexpr(0x43004300)
NVFP4_SCALE, NVFP4_ONES = tl.constexpr(0x00FF00FF << PLACE["e4m3"]), tl.constexpr(0x70007000)
MXFP4_SCALE = tl.constexpr(0x00FF00FF << PLACE["e8m0"])


@triton.jit
def _turned(words, LEFT: tl.constexpr):
    """uint32 words turned left."""
    return (words << LEFT) | (words >> (32 - LEFT))


@triton.jit
def _masked_or(words, MASK: tl.constexpr, ONES: tl.constexpr):
    """Words' bits of MASK, and ONES: one instruction.

    hazard: ptxas makes two of it, since an instruction holds one constant; here MASK comes in a register.
    """
    if INTERPRET or ONES == 0:
        return (words & MASK) | ONES
    else:
        mask = tl.full(words.shape, MASK, tl.uint32)
        return tl.inline_asm_elementwise(
            f"lop3.b32 $0, $1, $2, {ONES}, 0xEA;", "=r,r,r", [words, mask], tl.uint32, True, 1
        )  # pyright: ignore


@triton.jit
def _bf16(bits):
    """The low 16 bits as a bf16 value; in the interpreter, which takes subnormal ones for others, as float32."""
    if INTERPRET:
        return (bits.to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    else:
        return bits.to(tl.uint16).to(tl.bfloat16, bitcast=True)


@triton.jit
def _halves(words):
    """The two bf16 values of each uint32 word, the low half's first: a last dimension of 2 more."""
    return tl.join(_bf16(words & 0xFFFF), _bf16(words >> 16))


@triton.jit
def _elements(words, E2M1: tl.constexpr):
    """The codes of words [rows, 16] as bf16 values [rows, 16, 2, 2, 2]: halves, then the pair's low and high bit.

    e2m1 comes out 2^-126 of its size, INT4 as 128 + 8 + its value.
    """
    if E2M1:
        first, second = words & VALUE, _turned(words, TURN_1) & VALUE
        third = _turned(words, TURN_2) & VALUE
        fourth = ((words & LAST) * TO_PLACE) & VALUE
    else:
        first = _masked_or(words, INT4, INT4_ONES)
        second = _masked_or(words >> 4, INT4, INT4_ONES)
        third = _masked_or(words >> 8, INT4, INT4_ONES)
        fourth = _masked_or(words >> 12, INT4, INT4_ONES)
    return tl.join(tl.join(_halves(first), _halves(second)), tl.join(_halves(third), _halves(fourth)))


@triton.jit
def _four_a_word(words, MASK: tl.constexpr, ONES: tl.constexpr, BN: tl.constexpr, GROUPS: tl.constexpr):
    """Scales of 8 bits, words [BN, GROUPS / 4], as bf16 values [BN, GROUPS]."""
    both = tl.join(_halves(_masked_or(words, MASK, ONES)), _halves(_masked_or(_turned(words, 8), MASK, ONES)))
    return tl.permute(both, (0, 1, 3, 2)).reshape(BN, GROUPS)


@triton.jit
def decode(words, scales, BN: tl.constexpr, FORMAT: tl.constexpr, ZEROS: tl.constexpr):
    """The bf16 values [BN, 128] of a step of weights (float32 in the interpreter), but for their rows' factors.

    words int32 [BN, 16]; scales int32, from where `scale_places` says.
    """
    E2M1: tl.constexpr = FORMAT == "nvfp4" or FORMAT == "mxfp4"
    GROUPS: tl.constexpr = 8 if FORMAT == "nvfp4" else 1 if FORMAT == "int4_g128" else 4  # pyright: ignore
    scales = scales.to(tl.uint32, bitcast=True)
    elements = _elements(words.to(tl.uint32, bitcast=True), E2M1)
    # row, (thread, c), half, low and high bit of the pair -> row, c, high, low, thread, half
    elements = tl.permute(elements.reshape(BN, 4, 4, 2, 2, 2), (0, 2, 5, 4, 1, 3)).reshape(BN, GROUPS, 128 // GROUPS)
    if FORMAT == "nvfp4":
        scale = _four_a_word(scales, NVFP4_SCALE, NVFP4_ONES, BN, GROUPS)
    elif FORMAT == "mxfp4":
        scale = _four_a_word(scales, MXFP4_SCALE, 0, BN, GROUPS)
    elif ZEROS:
        scale = _bf16(scales >> 16)
    elif GROUPS == 1:  # a word for two rows that one thread multiplies, 8 apart
        scale = tl.permute(_halves(scales).reshape(BN // 16, 8, 2), (0, 2, 1)).reshape(BN, 1)
    else:
        scale = _halves(scales).reshape(BN, GROUPS)
    if not E2M1:
        if ZEROS:
            elements -= _bf16(scales & 0xFFFF)[:, :, None]
        else:
            elements -= tl.full((1, 1, 1), 136.0, elements.dtype)
    values = elements * scale[:, :, None]
    if INTERPRET:
        values = to_bf16(values)
    return values.reshape(BN, 128)


@triton.jit
def word_places(w, first, N: tl.constexpr, BN: tl.constexpr, STEPS: tl.constexpr):
    """Where the words of weights' rows `first` to `first` + BN lie in their first step, 16 of each; rows past the
    matrix have its last strip's."""
    LAST: tl.constexpr = (N - 1) // _STRIP
    rows = first + tl.arange(0, BN)
    at = tl.minimum(rows // _STRIP, LAST) * (STEPS * _WORDS) + rows % _STRIP * 16
    return w + at[:, None] + tl.arange(0, 16)[None, :]


@triton.jit
def scale_places(
    w_scales, first, N: tl.constexpr, BN: tl.constexpr, STEPS: tl.constexpr, SCALES: tl.constexpr
):  # fmt: skip
    """Where the scales of weights' rows `first` to `first` + BN lie in their first step; rows past the matrix have its
    last strip's. SCALES: words of scales in a tile of 64 rows."""
    LAST: tl.constexpr = (N - 1) // _STRIP
    if SCALES >= _STRIP:
        EACH: tl.constexpr = SCALES // _STRIP
        rows = first + tl.arange(0, BN)
        at = tl.minimum(rows // _STRIP, LAST) * (STEPS * SCALES) + rows % _STRIP * EACH
        return w_scales + at[:, None] + tl.arange(0, EACH)[None, :]
    else:
        word = tl.arange(0, BN // 2)
        return w_scales + tl.minimum(first // _STRIP + word // SCALES, LAST) * (STEPS * SCALES) + word % SCALES


@triton.jit
def packed_product(
    w, w_scales, x_at, valid, first, begin, end,
    N: tl.constexpr, STEPS: tl.constexpr, BN: tl.constexpr, BT: tl.constexpr, FORMAT: tl.constexpr,
    ZEROS: tl.constexpr, SCALES: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Steps `begin` to `end` of the weights' rows `first` to `first` + BN times rows of values at x_at [BT, 128], bf16.

    UNROLL: steps a turn of the loop; two save a fifth of its instructions.

    Returns float32 [BN, BT], of rows past the matrix what does not matter.
    """
    w_at = word_places(w, first, N, BN, STEPS) + begin * _WORDS
    s_at = scale_places(w_scales, first, N, BN, STEPS, SCALES) + begin * SCALES
    x_at += begin * 128
    acc = zero_product(BN, BT, False)
    for _ in tl.range(begin, end, loop_unroll_factor=UNROLL):
        words, scales = tl.load(w_at), tl.load(s_at)
        x_tile = tl.load(x_at, mask=valid[:, None], other=0.0)
        acc = multiply(decode(words, scales, BN, FORMAT, ZEROS), x_tile, acc, False)
        w_at += _WORDS
        s_at += SCALES
        x_at += 128
    return acc
