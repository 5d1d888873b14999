"""Matrices in memory: whatever is packed how, the shape is that of the values, and the values are the format's."""

from __future__ import annotations

import pytest
import torch

from hopwell.formats.blocks import FORMATS, FP8_BLOCK, quantize
from hopwell.formats.fp8 import dequantize_fp8_block, quantize_fp8_block
from hopwell.formats.layouts import from_module, packed, to_compressed_tensors, to_modelopt
from hopwell.formats.matrices import Fp8Block, Int4, Matrix, Nvfp4, Plain, Residual, combine
from hopwell.formats.plain import BF16, PlainFormat
from hopwell.formats.residual import HighLow, residual_format

W = torch.randn(96, 256, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("label", FORMATS)
@pytest.mark.parametrize("write", [to_modelopt, to_compressed_tensors])
def test_every_format_is_a_weight_without_being_expanded(label: str, write) -> None:
    quantized = quantize(W, FORMATS[label])
    if write is to_modelopt and label.startswith("int4"):
        return  # ModelOpt has no layout for it
    stored = packed(write(quantized), (96, 256))
    assert stored.format is FORMATS[label] and stored.shape == (96, 256)
    assert stored.nbytes == FORMATS[label].nbytes((96, 256))
    assert not isinstance(stored, Plain) and stored.data.nbytes == FORMATS[label].bits * 96 * 256 // 8
    for dtype in (torch.float32, torch.bfloat16):
        assert torch.equal(stored.dequantize(dtype), quantized.dequantize(dtype))


@pytest.mark.parametrize("label", ["nvfp4", "mxfp4", "int4_g32", "int4_g128", "fp8_channel"])
def test_residual_columns_too(label: str) -> None:
    columns = torch.arange(0, 256, 8, dtype=torch.int32)
    high = quantize(W, FORMATS[label])
    left = (W - high.dequantize())[:, columns.long()]
    low = quantize(left, residual_format(high.format), tensor_scale=high.tensor_scale)
    both = HighLow(high, low, columns)
    tensors = to_compressed_tensors(both)
    stored = packed(tensors, (96, 256))
    assert isinstance(stored, Residual) and stored.shape == (96, 256) and stored.format is high.format
    assert torch.equal(stored.dequantize(), both.dequantize())
    found = from_module(tensors, (96, 256))
    assert isinstance(found, HighLow)
    assert torch.equal(stored.dequantize(torch.bfloat16), found.dequantize(torch.bfloat16))


def test_what_has_no_packed_form_here_is_plain() -> None:
    scaled = {"weight": W.to(torch.float8_e4m3fn), "weight_scale": torch.tensor(0.5)}
    stored = packed(scaled, (96, 256))
    assert isinstance(stored, Plain) and torch.equal(stored.data, W.to(torch.float8_e4m3fn).float() * 0.5)
    assert packed({"weight": W}, (96, 256)).format == PlainFormat(torch.float32)
    with pytest.raises(ValueError, match="weight_scale is missing"):
        packed({"weight_packed": torch.zeros(96, 128, dtype=torch.uint8)}, (96, 256))


def test_stacks_and_slices_keep_data_and_scales_together() -> None:
    several = [Fp8Block(*quantize_fp8_block(W[:, :128] * n)) for n in (1, 2, 3)]
    stack = combine(several, torch.stack)
    assert stack.shape == (3, 96, 128) and stack.format is FP8_BLOCK
    one = stack.map(lambda tensor: tensor[1])
    assert torch.equal(one.dequantize(torch.bfloat16), dequantize_fp8_block(one.data, one.scale, torch.bfloat16))
    assert torch.equal(one.dequantize(), several[1].dequantize())
    assert combine([Plain(W.bfloat16())] * 2, torch.cat).format == BF16


def test_a_move_takes_all_tensors_along() -> None:
    tensors = to_modelopt(quantize(W, FORMATS["nvfp4"]))
    stored = packed(tensors, (96, 256)).map(lambda tensor: tensor.to("meta"))
    assert isinstance(stored, Nvfp4) and all(t.is_meta for t in stored.tensors()) and len(list(stored.tensors())) == 3
    ragged = Int4(torch.zeros(4, 2, dtype=torch.int32), torch.ones(4, 1), 10)
    assert ragged.shape == (4, 10) and ragged.map(lambda t: t.to("meta")).shape == (4, 10)
    with pytest.raises(NotImplementedError):
        _ = Matrix(W).format
