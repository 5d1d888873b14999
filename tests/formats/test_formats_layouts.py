"""On-disk layouts: round trips, independent decoders written from the layouts' description, the public package."""

from __future__ import annotations

import pytest
import torch

from hopwell.formats.blocks import FORMATS, INT4_G128, MXFP4, NVFP4, quantize
from hopwell.formats.layouts import (
    from_module,
    to_compressed_tensors,
    to_modelopt,
)

TABLE = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
MODELOPT = ("nvfp4", "mxfp4", "fp8_block", "fp8_channel")


@pytest.fixture
def w() -> torch.Tensor:
    torch.manual_seed(2)
    return torch.randn(160, 256) * torch.logspace(-2, 1, 256)


def decode_nibbles(packed: torch.Tensor) -> torch.Tensor:
    """e2m1 byte by byte, in plain Python."""
    rows = []
    for row in packed.tolist():
        nibbles = [n for byte in row for n in (byte & 15, byte >> 4)]
        rows.append([(-1) ** (n >> 3) * TABLE[n & 7] for n in nibbles])
    return torch.tensor(rows)


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("layout", ["modelopt", "compressed-tensors"])
def test_written_modules_read_back_bit_for_bit(w: torch.Tensor, name: str, layout: str) -> None:
    q = quantize(w, FORMATS[name])
    if layout == "modelopt" and name not in MODELOPT:
        with pytest.raises(ValueError, match="no layout"):
            to_modelopt(q)
        return
    tensors = to_modelopt(q) if layout == "modelopt" else to_compressed_tensors(q)
    back = from_module(tensors, (160, 256))
    assert not isinstance(back, torch.Tensor)
    assert back.format is q.format and torch.equal(back.elements, q.elements) and torch.equal(back.scale, q.scale)
    # the reciprocal of a reciprocal may differ in the last bit
    torch.testing.assert_close(back.tensor_scale, q.tensor_scale, rtol=2e-7, atol=0)
    layout_bytes = sum(t.nbytes for suffix, t in tensors.items() if suffix != "weight_shape")
    assert layout_bytes == q.format.nbytes((160, 256))


def test_modelopt_nvfp4_by_hand(w: torch.Tensor) -> None:
    q = quantize(w, NVFP4)
    t = to_modelopt(q)
    assert t["weight"].dtype == torch.uint8 and t["weight"].shape == (160, 128)
    assert t["weight_scale"].dtype == torch.float8_e4m3fn and t["weight_scale"].shape == (160, 16)
    assert t["weight_scale_2"].shape == () and t["weight_scale_2"].item() == pytest.approx(w.abs().max().item() / 2688)
    value = (
        decode_nibbles(t["weight"]).unflatten(1, (16, 16))
        * (t["weight_scale"].float() * t["weight_scale_2"])[..., None]
    )
    assert torch.equal(value.flatten(1), q.dequantize())


def test_compressed_tensors_nvfp4_by_its_own_package(w: torch.Tensor) -> None:
    base = pytest.importorskip("compressed_tensors.compressors.nvfp4.base")
    from compressed_tensors.quantization.quant_scheme import NVFP4A16, QuantizationScheme

    scheme = QuantizationScheme(targets=["Linear"], **NVFP4A16)
    q = quantize(w, NVFP4)
    ours = to_compressed_tensors(q)
    theirs = base.NVFP4PackedCompressor.decompress(dict(ours), scheme)["weight"]
    # their product is element * (scale / global scale), ours element * (scale * tensor scale): one rounding apart
    torch.testing.assert_close(theirs.float(), q.dequantize().to(theirs.dtype).float(), rtol=2**-7, atol=0)
    again = base.NVFP4PackedCompressor.compress(
        {
            "weight": q.dequantize(),
            "weight_scale": q.scale,
            "weight_global_scale": ours["weight_global_scale"],
        },
        scheme,
    )
    assert torch.equal(again["weight_packed"] & 0x77, ours["weight_packed"] & 0x77)  # codes, but for the sign of zero
    assert torch.equal(again["weight_scale"].float(), ours["weight_scale"].float())
    back = from_module({**again, "weight_global_scale": ours["weight_global_scale"]}, (160, 256))
    assert not isinstance(back, torch.Tensor) and torch.equal(back.elements, q.elements)


def test_compressed_tensors_mxfp4_and_int4_by_its_own_package(w: torch.Tensor) -> None:
    pytest.importorskip("compressed_tensors")
    from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
    from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
    from compressed_tensors.quantization.quant_scheme import MXFP4A16, PRESET_SCHEMES, QuantizationScheme

    q = quantize(w, MXFP4)
    scheme = QuantizationScheme(targets=["Linear"], **MXFP4A16)
    theirs = MXFP4PackedCompressor.decompress(to_compressed_tensors(q), scheme)["weight"]
    assert torch.equal(theirs.float(), q.dequantize())
    q = quantize(w, INT4_G128)
    scheme = QuantizationScheme(targets=["Linear"], **PRESET_SCHEMES["W4A16"])
    ours = to_compressed_tensors(q)
    theirs = PackedQuantizationCompressor.decompress(dict(ours), scheme)["weight"]
    assert torch.equal(theirs.float(), q.dequantize(theirs.dtype).float())
    packed = PackedQuantizationCompressor.compress({"weight": q.dequantize(), "weight_scale": q.scale}, scheme)
    assert torch.equal(packed["weight_packed"], ours["weight_packed"])


def test_int4_with_zero_points_by_hand(w: torch.Tensor) -> None:
    q = quantize(w, INT4_G128)
    zero = torch.randint(-8, 8, (160, 2))
    words = torch.zeros(20, 2, dtype=torch.int64)
    for row in range(160):
        words[row // 8] |= (zero[row] + 8) << (4 * (row % 8))
    words = torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)
    value = from_module({**to_compressed_tensors(q), "weight_zero_point": words}, (160, 256))
    assert isinstance(value, torch.Tensor)
    expected = (q.elements.unflatten(1, (2, 128)) - zero[..., None]) * q.scale[..., None]
    assert torch.equal(value, expected.flatten(1))


def test_faults_name_the_tensor(w: torch.Tensor) -> None:
    t = to_modelopt(quantize(w, NVFP4))
    with pytest.raises(ValueError, match="weight_scale_2 is missing"):
        from_module({k: v for k, v in t.items() if k != "weight_scale_2"}, (160, 256))
    with pytest.raises(ValueError, match=r"weight_scale has shape \[160, 15\]"):
        from_module({**t, "weight_scale": t["weight_scale"][:, :15]}, (160, 256))
