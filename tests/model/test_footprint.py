"""Sizes of the released models, from their configs alone, against published totals and independent sums."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from hopwell.limits.catalogue import catalogue
from hopwell.model.config import ModelConfig
from hopwell.model.footprint import fits, latent_bytes, weight_bytes
from hopwell.model.inventory import inventory
from hopwell.model.random_weights import random_transformer
from hopwell.model.report import ModelReport, inspect_model
from hopwell.model.shipped import shipped_config, shipped_names


@cache
def report_of(name: str) -> ModelReport:
    """Of a shipped config, which takes a second for 90,000 tensors."""
    return inspect_model(name)


def test_r1_is_what_was_released() -> None:
    """91,991 tensors in 688,574,839,360 bytes (the index of deepseek-ai/DeepSeek-R1), 671.03 B parameters and MTP."""
    report = report_of("deepseek-r1")
    assert (report.tensors, report.bytes) == (91_991, 688_574_839_360)
    attention = 7168 * 1536 + 1536 * 24576 + 7168 * 576 + 512 * 32768 + 16384 * 7168
    expert = 3 * 7168 * 2048
    norms = 61 * (2 * 7168 + 1536 + 512) + 7168
    moe = 257 * expert + 256 * 7168 + 256
    total = 61 * attention + 3 * 3 * 7168 * 18432 + 58 * moe + 2 * 129_280 * 7168 + norms
    assert report.parameters == total and round(total / 1e9, 2) == 671.03
    assert report.mtp_parameters == attention + moe + 2 * 7168 * 7168 + 5 * 7168 + 1536 + 512
    unread = 58 * 248 * expert + (129_280 - 1) * 7168
    assert report.active == total - unread and 36.5e9 < report.active < 37e9
    assert report.faults is None


@pytest.mark.parametrize(
    ("name", "billions", "latents"),
    [("deepseek-r1", 671.03, 62 * 1152), ("kimi-k2", 1026.4, 61 * 1152), ("deepseek-v2-lite", 15.706, 27 * 1152)],
)
@pytest.mark.slow
def test_sizes_of_the_family(name: str, billions: float, latents: int) -> None:
    report = report_of(name)
    assert report.parameters / 1e9 == pytest.approx(billions, rel=1e-4)
    assert report.latents == {"bf16": latents, "fp8": latents // 2}


@pytest.mark.slow
def test_presets_are_the_sizes_that_the_design_names() -> None:
    share = report_of("r1-tp8")
    assert 85e9 < share.bytes < 90e9 and "16 heads" in share.architecture
    assert report_of("r1-slice").architecture.startswith("deepseek_v3, 4 layers (1 dense, 3 with experts)")
    for name in shipped_names():
        assert report_of(name).tensors > 100


def nbytes(value: Any) -> int:
    """All tensors within a model's objects."""
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, list | tuple):
        return sum(map(nbytes, value))
    fields = getattr(value, "__dataclass_fields__", {})
    return sum(nbytes(getattr(value, name)) for name in fields if name not in ("config", "rope_table", "joined"))


@pytest.mark.parametrize("name", ["r1-slice", "r1-tp8", "v2-lite", "kimi-k2"])
def test_loaded_bytes_are_those_of_the_model_on_a_gpu(name: str) -> None:
    values = shipped_config(name)
    assert values is not None
    config = ModelConfig.from_dict({**values, "num_hidden_layers": 3, "num_nextn_predict_layers": 0})
    model = random_transformer(config, "meta")
    expected = nbytes(model)
    assert weight_bytes(inventory(config)).total == expected


def test_what_fits_where() -> None:
    config = ModelConfig.from_dict(shipped_config("deepseek-r1") or {})
    weights = weight_bytes(inventory(config))
    table = {(fit.gpu, fit.count): fit for fit in fits(config, weights, catalogue().values())}
    assert table["H100", 8].tensor_parallel is None and table["B200", 2].tensor_parallel is None
    assert all(table["B200", count].tensor_parallel is None for count in (1, 2))
    h200 = table["H200", 8]
    assert h200.tensor_parallel is not None and h200.data_parallel is not None
    gpu = catalogue()["H200"]
    room = gpu.usable - weights.tensor_parallel(8)
    assert h200.tensor_parallel == room // 71_424 and 0.5e6 < h200.tensor_parallel < 1e6
    assert h200.data_parallel > 4 * h200.tensor_parallel, "latents that are not repeated on every GPU go further"
    attention = 62 * 2 * (1536 * 24576 + 512 * 32768 + 16384 * 7168) // 2
    more = weights.data_parallel(8) - weights.tensor_parallel(8)
    assert more == pytest.approx(7 / 8 * weights.attention, rel=1e-6)
    assert attention < weights.attention < 1.2 * attention, "FP8, but for what latents are absorbed by"
    fp8 = fits(config, weights, [gpu], [8], itemsize=1)[0].tensor_parallel
    assert fp8 == room // 35_712
    assert weights.tensor_parallel(1) == weights.data_parallel(1) == weights.total
    odd = replace(config, num_attention_heads=6)
    assert fits(odd, weights, [catalogue()["GB300"]], [4])[0].tensor_parallel is None, "six heads among four GPUs"


def test_converted_checkpoints_count_as_they_are_loaded() -> None:
    config = ModelConfig.from_dict(tiny.tiny_config("r1"))
    specs = inventory(config)
    plain = weight_bytes(specs).total
    assert plain == sum(
        (4 if len(s.shape) == 1 or s.name.endswith("mlp.gate.weight") else 2) * s.numel
        for s in specs
        if s.part != "mtp_copies"
    )
    fp8 = weight_bytes(specs, {spec.module: "fp8_block" for spec in specs if len(spec.shape) == 2}).total
    assert 0.5 * plain < fp8 < 0.75 * plain
    assert weight_bytes(specs, {spec.module: "other" for spec in specs}).total == plain
    labels = {spec.module: "nvfp4" for spec in specs if len(spec.shape) == 2}
    assert weight_bytes(specs, labels).total == plain, "expanded, unless they are to stay packed"
    wide = inventory(replace(config, hidden_size=256, intermediate_size=256, moe_intermediate_size=256))
    packed, expanded = (weight_bytes(wide, labels, packed).total for packed in (True, False))
    assert packed < 0.75 * expanded  # what is 128 wide or held in bf16 in any case is expanded
    assert latent_bytes(config) == 4 * 40 * 2
    assert torch.bfloat16 in {spec.dtype for spec in specs}
