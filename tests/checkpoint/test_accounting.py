"""Strict accounting over a checkpoint of a few tensors."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.reader import Checkpoint
from hopwell.formats.fp8 import dequantize_fp8_block, quantize_fp8_block


def source(folder: Path, **tensors: torch.Tensor) -> WeightSource:
    (folder / "config.json").write_text("{}")
    save_file({name.replace("__", "."): tensor for name, tensor in tensors.items()}, folder / "model.safetensors")
    return WeightSource(Checkpoint.open(folder))


def test_each_tensor_is_taken_once(tmp_path: Path) -> None:
    codes, scale = quantize_fp8_block(torch.randn(576, 300))
    weights = source(
        tmp_path, norm__weight=torch.ones(7), q__weight=codes, q__weight_scale_inv=scale, kv__weight=torch.ones(2, 3)
    )
    steps: list[tuple[int, int, str]] = []
    weights = WeightSource(weights.checkpoint, lambda *step: steps.append(step))
    assert weights.take("norm.weight", (7,)).tolist() == [1.0] * 7
    q = weights.take_linear("q", (576, 300))
    assert q.is_fp8 and q.scale is not None
    assert torch.equal(q.dequantize(torch.float32), dequantize_fp8_block(codes, scale, torch.float32))
    with pytest.raises(CheckpointError, match=r"kv.weight is not part of the model"):
        weights.finish()
    weights.skip("kv.weight")
    weights.skip("never.there")
    weights.finish()
    total = weights.checkpoint.total_bytes
    assert steps[-1] == (total, total, "kv.weight") and [done for done, _, _ in steps] == sorted(s[0] for s in steps)
    with pytest.raises(CheckpointError, match=r"norm.weight is needed twice"):
        weights.take("norm.weight", (7,))


def test_faults_name_the_tensor(tmp_path: Path) -> None:
    weights = source(tmp_path, a=torch.ones(2, 3), b=torch.ones(2, dtype=torch.int64), c=torch.tensor([1.0, math.nan]))
    for name, shape, message in (
        ("x", (1,), r"tensor x is missing; fetch the missing shard"),
        ("a", (3, 2), r"model.safetensors: tensor a has shape \[2, 3\], expected \[3, 2\]"),
        ("b", (2,), r"tensor b is int64, expected bfloat16 or float32 or float16"),
        ("c", (2,), r"tensor c holds NaN or infinity"),
    ):
        with pytest.raises(CheckpointError, match=message) as caught:
            weights.take(name, shape)
        assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="tensor a and 2 more are not part of the model"):
        weights.finish()


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_scales_that_no_weight_can_have_are_refused(tmp_path: Path, bad: float) -> None:
    codes, scale = quantize_fp8_block(torch.randn(300, 300))
    scale[1, 2] = bad
    weights = source(tmp_path, q__weight=codes, q__weight_scale_inv=scale)
    with pytest.raises(CheckpointError, match=r"tensor q.weight_scale_inv (is .* at \[1, 2\]|holds NaN or infinity)"):
        weights.take_linear("q", (300, 300))


def test_scales_must_be_there_and_fit(tmp_path: Path) -> None:
    codes, scale = quantize_fp8_block(torch.randn(300, 300))
    with pytest.raises(CheckpointError, match=r"q.weight_scale_inv is missing"):
        source(tmp_path, q__weight=codes).take_linear("q", (300, 300))
    with pytest.raises(CheckpointError, match=r"q.weight_scale_inv has shape \[2, 3\], expected \[3, 3\]"):
        source(tmp_path, q__weight=codes, q__weight_scale_inv=scale[:2].clone()).take_linear("q", (300, 300))
    weights = source(tmp_path, q__weight=torch.ones(300, 300), q__weight_scale_inv=scale)
    with pytest.raises(CheckpointError, match=r"q.weight_scale_inv does not go with a weight in float32"):
        weights.take_linear("q", (300, 300))
