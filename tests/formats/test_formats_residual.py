"""Residual columns on disk: round trips, a decoder written from their description, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hopwell.formats.blocks import FORMATS, INT4_G128, NVFP4, Quantized, quantize
from hopwell.formats.layouts import from_module, to_compressed_tensors
from hopwell.formats.residual import HighLow, column_count, high_low_bytes, parse_label, residual_format
from hopwell.formats.stored import stored_suffixes

TABLE = [0, 0.5, 1, 1.5, 2, 3, 4, 6]


def two_levels(w: Tensor, name: str, percent: float = 20.0) -> HighLow:
    high = quantize(w, FORMATS[name])
    columns = torch.randperm(w.shape[1], generator=torch.Generator().manual_seed(1))
    columns = columns[: column_count(high.format, w.shape, percent)].sort().values
    rest, fmt = (w - high.dequantize())[:, columns], residual_format(high.format)
    return HighLow(high, quantize(rest, fmt, tensor_scale=high.tensor_scale), columns.to(torch.int32))


def matrix(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(2)) * torch.logspace(-2, 1, columns)


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("rows", [3, 160])
@pytest.mark.parametrize("percent", [5, 20, 100])
def test_written_columns_read_back_bit_for_bit(name: str, rows: int, percent: int) -> None:
    """FP8 of 200 columns has ragged blocks, and residuals of a width that is none of its blocks'."""
    w = matrix(rows, 200 if FORMATS[name].bits == 8 else 256)
    q = two_levels(w, name, percent)
    tensors = to_compressed_tensors(q)
    assert set(tensors) <= set(stored_suffixes())
    back = from_module(tensors, (rows, w.shape[1]))
    assert isinstance(back, HighLow) and torch.equal(back.columns, q.columns)
    for ours, theirs in ((q.high, back.high), (q.low, back.low)):
        assert ours.format is theirs.format
        assert torch.equal(ours.elements, theirs.elements) and torch.equal(ours.scale, theirs.scale)
        torch.testing.assert_close(theirs.tensor_scale, ours.tensor_scale, rtol=2e-7, atol=0)
    assert torch.equal(back.low.tensor_scale, back.high.tensor_scale)
    assert sum(t.nbytes for suffix, t in tensors.items() if "shape" not in suffix) == q.nbytes


def test_nvfp4_columns_by_hand() -> None:
    w = matrix(8, 64)
    q = two_levels(w, "nvfp4")
    t = to_compressed_tensors(q)

    def decode(prefix: str) -> list[list[float]]:
        scales = (t[prefix + "weight_scale"].float() / t["weight_global_scale"]).tolist()
        rows = [[n for byte in row for n in (byte & 15, byte >> 4)] for row in t[prefix + "weight_packed"].tolist()]
        return [[(-1) ** (n >> 3) * TABLE[n & 7] * scale[i // 16] for i, n in enumerate(row)]
                for row, scale in zip(rows, scales, strict=True)]  # fmt: skip

    value, low = decode(""), decode("residual_")
    for row, added in zip(value, low, strict=True):
        for place, column in enumerate(t["residual_columns"].tolist()):
            row[column] += added[place]
    torch.testing.assert_close(torch.tensor(value), q.dequantize(), rtol=1e-5, atol=1e-7)
    assert (q.dequantize() - w).norm() < (q.high.dequantize() - w).norm()


def test_labels_say_format_and_bytes() -> None:
    assert parse_label("nvfp4") == (NVFP4, 0.0) and parse_label("int4_g128+7.5%") == (INT4_G128, 7.5)
    for label, message in (
        ("fp3", "'fp3' is unknown; known: nvfp4"), ("fp3+5%", "'fp3' is unknown"), ("nvfp4+", "in percent, as nvfp4"),
        ("nvfp4+5", "in percent"), ("nvfp4+x%", "in percent"), ("nvfp4+0%", "in percent"), ("nvfp4+nan%", "in percent"),
        ("nvfp4+10%+5%", "in percent"), ("nvfp4+101%", "in percent"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            parse_label(label)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"fp8_channel"}))  # its residual's scales are no block's
def test_columns_take_about_the_bytes_that_were_asked_for(name: str) -> None:
    fmt, shape = FORMATS[name], (512, 2048)
    for percent in (5, 10, 20):
        count = column_count(fmt, shape, percent)
        taken = high_low_bytes(fmt, shape, count) / fmt.nbytes(shape) - 1
        a_block = (32 if fmt.bits == 4 else 16) / shape[1]
        assert abs(taken - percent / 100) < 1.5 * a_block
    assert column_count(fmt, (512, 128), 0.1) == (16 if name not in ("mxfp4", "int4_g32", "int4_g128") else 32)
    assert column_count(fmt, (4, 128), 100) <= 128


def test_faults_name_the_tensor() -> None:
    w = matrix(8, 256)
    t, shape = to_compressed_tensors(two_levels(w, "nvfp4")), (8, 256)
    columns = t["residual_columns"]
    for change, message in (
        ({"residual_columns": None}, "residual_columns is missing"),
        ({"residual_weight_packed": None}, "residual_weight is missing"),
        ({"residual_weight_scale": None}, "residual_weight_scale is missing"),
        ({"residual_columns": columns.long()}, "residual_columns is int64, expected int32"),
        ({"residual_columns": columns.flip(0)}, "ascending"),
        ({"residual_columns": columns.clone().fill_(7)}, "ascending"),
        ({"residual_columns": columns - columns[0] - 1}, "ascending"),
        ({"residual_columns": columns + 256 - columns[-1]}, "below 256"),
        ({"residual_columns": columns[:-16]}, "residual_weight_packed has shape"),
        ({"weight_packed": None}, "weight is missing"),
    ):
        with pytest.raises(ValueError, match=message):
            from_module({k: v for k, v in (t | change).items() if v is not None}, shape)
    int4 = to_compressed_tensors(two_levels(w, "int4_g128"))
    with pytest.raises(ValueError, match="the residual is int4_g32, which does not go with nvfp4"):
        residual = {k: v for k, v in int4.items() if k.startswith("residual_")}
        from_module({k: v for k, v in t.items() if not k.startswith("residual_")} | residual, shape)
    with pytest.raises(ValueError, match="do not go with zero points"):
        from_module(int4 | {"weight_zero_point": torch.zeros(1, 2, dtype=torch.int32)}, shape)
    assert isinstance(from_module({k: v for k, v in t.items() if not k.startswith("residual_")}, shape), Quantized)
