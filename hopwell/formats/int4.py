"""INT4 whose groups of columns share a scale and maybe a zero point; AWQ's, GPTQ's and W4AFP8's layouts of it.

AWQ and GPTQ have a matrix turned over, [in, out], in elements q from 0 to 15; with the scale s and the zero point z of
a group of inputs a value is (q - z) s. In memory an element is q - 8 and a zero point z - 8 (`Int4`, `Int4Zeros`).

AWQ (Lin et al., 2023, arXiv 2306.00978; AutoAWQ's version `gemm`): a word has eight outputs of one input, the even ones
of them before the odd ones: 0, 2, 4, 6, 1, 3, 5, 7 from the lowest bits up. Zero points lie likewise.

GPTQ (Frantar et al., 2022, arXiv 2210.17323; AutoGPTQ, GPTQModel): a word has eight inputs of one output, in order.
Zero points have eight outputs in a word, in order; each is stored less one, but for the format `gptq_v2`. `g_idx` has
the group of each input: with activation order (`desc_act`) any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hopwell.formats.blocks import FORMATS
from hopwell.formats.elements import unpack_int4_words, unpack_nibbles
from hopwell.formats.labels import Label
from hopwell.formats.matrices import Int4, Int4Zeros, Matrix, Plain
from hopwell.formats.stored import blocks_of, by_inputs

FORMAT_FIELDS = {"awq": ("version", "format", "checkpoint_format"), "gptq": ("checkpoint_format", "format")}
"""Where a config tells the layout's version: the field's names, of which tools write one or several."""
AWQ_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where in a word AWQ has each of eight outputs."""
ZERO_OFFSETS = {"gptq": 1, "gptq_v2": 0}
"""What a zero point is more than what is stored of it, by GPTQ's format."""


@dataclass(frozen=True, slots=True)
class Described:
    """What config.json alone tells of AWQ's and GPTQ's tensors."""

    group: int | None = None
    """Columns of a group; None: it does not say, or all of them."""
    zero_offset: int | None = None
    """What GPTQ's zero points are more than what is stored; None: it is no GPTQ that it describes."""
    symmetric: bool = False
    """All zero points of GPTQ are in the middle. Scales may be negative then, as AutoRound's are."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Described:
        """Of a config.json's contents, which `model/quantization.py` has approved, or of none."""
        found = config.get("quantization_config") or {}
        method = found.get("quant_method")
        if method not in FORMAT_FIELDS:
            return cls()
        group = found.get("group_size")
        group = group if isinstance(group, int) and group > 0 else None
        if method == "awq":
            return cls(group)
        return cls(group, ZERO_OFFSETS.get(format_of(found)), bool(found.get("sym", True)))


def format_of(described: Mapping[str, Any]) -> str:
    """AWQ's or GPTQ's version of a `quantization_config`, in small letters; `gemm` or `gptq` where it has none."""
    method = described["quant_method"]
    told = next((described[name] for name in FORMAT_FIELDS[method] if described.get(name)), None)
    return str(told or {"awq": "gemm", "gptq": "gptq"}[method]).lower()


def from_qweight(
    tensors: Mapping[str, Tensor], shape: tuple[int, int], described: Described
) -> Int4 | Int4Zeros | Plain:
    """The matrix [out, in] of a module in AWQ's or GPTQ's layout, by suffix, shapes and dtypes being right.

    Raises:
        ValueError: zero points or group indices are none, or nobody says how zero points are stored.
    """
    out, columns = shape
    codes, scales = tensors["qweight"], tensors["scales"].t().contiguous()
    if codes.shape == by_inputs(shape):
        words, zeros = _turned_over(codes, out), _nibbles(tensors["qzeros"])[..., AWQ_PLACES].flatten(-2)[:, :out]
    else:
        words, zeros = codes.t().contiguous(), _gptq_zeros(tensors["qzeros"], described.zero_offset)[:, :out]
    centred = zeros.t().contiguous().to(torch.int8) - 8
    index = tensors.get("g_idx")
    check_index("g_idx", index, scales.shape[1])
    return int4_matrix(words, scales, centred if centred.any() else None, columns, index)


def from_signed(data: Tensor, scales: Tensor, columns: int) -> Int4 | Int4Zeros | Plain:
    """The matrix [out, columns] of two's complement, two elements a byte, int8 [out, columns / 2], the even column's in
    the low bits (W4AFP8, as SGLang and vLLM load it)."""
    codes = torch.nn.functional.pad(data.view(torch.uint8) ^ 0x88, (0, -data.shape[1] % 4))
    return int4_matrix(codes.contiguous().view(torch.int32), scales, None, columns)


def int4_matrix(
    words: Tensor, scales: Tensor, zeros: Tensor | None, columns: int, index: Tensor | None = None
) -> Int4 | Int4Zeros | Plain:
    """Elements whose groups of columns share scales, in blocks of 32 or 128 if groups consist of those, else as values.

    Args:
        words: int32 [out, ceil(columns / 8)], as `Int4` has them.
        scales: [out, groups].
        zeros: int8 [out, groups], from -8 to 7; None: none.
        index: the group of each column; None: groups in order, all of one size.
    """
    count = scales.shape[1]
    size, ragged = divmod(columns, count)
    in_order = torch.arange(columns, device=words.device) // max(size, 1)
    equal = not ragged and (index is None or torch.equal(index.long(), in_order))
    label = blocks_of(size) if equal else Label.OTHER
    if label == Label.OTHER:
        groups = in_order if index is None else index.long()
        elements = unpack_int4_words(words, columns)
        elements = elements if zeros is None else elements - zeros.float()[:, groups]
        return Plain(elements * scales.float()[:, groups])
    times = size // FORMATS[label].columns
    scales = scales.repeat_interleave(times, dim=1) if times > 1 else scales
    if zeros is None:
        return Int4(words, scales, columns)
    return Int4Zeros(words, scales, zeros.repeat_interleave(times, dim=1) if times > 1 else zeros, columns)


def with_bf16_scales(matrix: Matrix) -> Matrix:
    """INT4 with its scales in bf16, as kernels read them: a value moves by 2^-8 of itself at most. Others unchanged."""
    if not isinstance(matrix, Int4 | Int4Zeros):
        return matrix
    return replace(matrix, scales=matrix.scales.bfloat16())


def check_index(name: str, index: Tensor | None, count: int) -> None:
    """Refuses groups that there are no scales of.

    Raises:
        ValueError: the message begins with `name`.
    """
    if index is not None and (int(index.min()) < 0 or int(index.max()) >= count):
        raise ValueError(f"{name} must be from 0 to {count - 1}, as there are scales")


def zero_fault(words: Tensor, offset: int) -> str | None:
    """What is wrong with GPTQ's zero points, as the end of a sentence that begins with them; None: nothing."""
    beyond = _nibbles(words).flatten(-2) + offset > 15
    if not beyond.any():
        return None
    group, output = beyond.nonzero()[0].tolist()
    return (
        f"has 15 for output {output} of group {group}, a zero point that the format 'gptq' has no code for"
        " (some read 0, some 16): have it written as 'gptq_v2'"
    )


def _nibbles(words: Tensor) -> Tensor:
    """The eight elements of each word, from the lowest bits up: uint8 [..., words, 8]."""
    return unpack_nibbles(words.contiguous().view(torch.uint8)).unflatten(-1, (-1, 8))


def _turned_over(words: Tensor, out: int) -> Tensor:
    """AWQ's codes [in, out / 8] as `Int4` has them: int32 [out, in / 8].

    Eight inputs of eight outputs at a time become eight outputs of eight inputs: blocks of four by four, two by two and
    single ones change places across the diagonal (Warren, Hacker's Delight, 7-3).
    """
    padded = torch.nn.functional.pad(words, (0, 0, 0, -len(words) % 8))
    eight = list(padded.unflatten(0, (-1, 8)).transpose(0, 1).contiguous())
    for span, mask in ((4, 0x0000FFFF), (2, 0x00FF00FF), (1, 0x0F0F0F0F)):
        for first in (i for i in range(8) if not i & span):
            low, high = eight[first], eight[first + span]
            other = ((low >> 4 * span) ^ high) & mask
            high ^= other
            low ^= other << 4 * span
    return torch.stack([eight[place] for place in AWQ_PLACES], -1).flatten(1).t()[:out].contiguous()


def _gptq_zeros(words: Tensor, offset: int | None) -> Tensor:
    """Zero points, uint8 [groups, outputs] from 0 to 15."""
    if offset is None:
        raise ValueError(
            "qzeros may mean two things: config.json must say quant_method 'gptq' and its checkpoint_format"
        )
    if (fault := zero_fault(words, offset)) is not None:
        raise ValueError(f"qzeros {fault}")
    return _nibbles(words).flatten(-2) + offset
