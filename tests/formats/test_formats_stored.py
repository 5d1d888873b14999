"""What is no known layout is refused by tensor and dtype: by `inspect`, by a load, by a conversion and by `verify`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands import hopwell, refused
from tiny import linear_shapes, random_tensors, tiny_config, write_checkpoint
from torch import Tensor

from hopwell.checkpoint.reader import Checkpoint
from hopwell.formats.blocks import FORMATS, quantize
from hopwell.formats.layouts import from_module, to_compressed_tensors, to_modelopt
from hopwell.formats.stored import ACTIVATION_SUFFIXES, stored_suffixes
from hopwell.model.loading import load_transformer

CONFIG = tiny_config("r1", num_hidden_layers=2, hidden_size=128, moe_intermediate_size=128, q_lora_rank=128)
DOWN = "model.layers.1.mlp.experts.3.down_proj"
OTHER_DTYPES = (
    torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool, torch.float64,
    torch.float8_e5m2, torch.float8_e8m0fnu,
)  # fmt: skip


def module(layout: str, name: str) -> dict[str, Tensor]:
    q = quantize(torch.randn(128, 128, generator=torch.Generator().manual_seed(1)), FORMATS[name])
    return to_modelopt(q) if layout == "modelopt" else to_compressed_tensors(q)


PLAIN = {"weight": torch.randn(128, 128).bfloat16()}
FP8 = module("modelopt", "fp8_block")
INT8 = {"weight": torch.ones(128, 128, dtype=torch.int8), "weight_scale": torch.ones(128, 1)}
MODULES: dict[str, tuple[dict[str, Tensor], str, str]] = {
    "INT8 by channel": (INT8, "weight", "is int8, expected bfloat16"),
    "INT8 by tensor": (INT8 | {"weight_scale": torch.ones(())}, "weight", "is int8, expected bfloat16"),
    "FP8 of the other kind": (
        {k: t.to(torch.float8_e5m2) if k == "weight" else t for k, t in FP8.items()},
        "weight", "is float8_e5m2, expected bfloat16",
    ),
    "a scale beside bf16": (PLAIN | {"weight_scale": torch.ones(128, 1)}, "weight_scale", "weight in bfloat16"),
    "an FP8 scale beside bf16": (
        PLAIN | {"weight_scale_inv": torch.ones(1, 1)}, "weight_scale_inv", "weight in bfloat16",
    ),
    "a second scale beside bf16": (PLAIN | {"weight_scale_2": torch.ones(())}, "weight_scale_2", "weight in bfloat16"),
    "an activation scale beside bf16": (PLAIN | {"input_scale": torch.ones(())}, "input_scale", "weight in bfloat16"),
    "a zero point beside bf16": (
        PLAIN | {"weight_zero_point": torch.zeros(16, 1, dtype=torch.int32)}, "weight_zero_point", "weight in bfloat16",
    ),
    "two scales beside FP8": (FP8 | {"weight_scale": torch.ones(128, 1)}, "weight_scale_inv", "does not go with FP8"),
    "MXFP8": (
        {"weight": FP8["weight"], "weight_scale": torch.full((128, 4), 127, dtype=torch.uint8)},
        "weight_scale", "is uint8, expected float32",
    ),
    "a scale a column": (
        {"weight": FP8["weight"], "weight_scale": torch.ones(1, 128)}, "weight_scale", "has shape [1, 128]",
    ),
    "codes and values": (module("compressed-tensors", "nvfp4") | PLAIN, "weight", "does not go with"),
    "NVFP4 with a zero point": (
        module("modelopt", "nvfp4") | {"weight_zero_point": torch.zeros(16, 8, dtype=torch.int32)},
        "weight_zero_point", "does not go with ModelOpt's NVFP4",
    ),
    "scales of NVFP4 in float32": (
        {k: t.float() if k == "weight_scale" else t for k, t in module("modelopt", "nvfp4").items()},
        "weight_scale", "is float32, expected float8_e4m3fn",
    ),
    "a tensor scale a row": (
        module("modelopt", "nvfp4") | {"weight_scale_2": torch.ones(128)}, "weight_scale_2", "has shape [128]",
    ),
    "eight bits in words": (
        module("compressed-tensors", "int4_g32") | {"weight_packed": torch.zeros(128, 32, dtype=torch.int32)},
        "weight_packed", "has shape [128, 32], expected [128, 16]",
    ),
    "groups that columns do not fill": (
        module("compressed-tensors", "int4_g32") | {"weight_scale": torch.ones(128, 3)}, "weight_scale", "shape",
    ),
    "zero points in bytes": (
        module("compressed-tensors", "int4_g32") | {"weight_zero_point": torch.zeros(128, 4, dtype=torch.int8)},
        "weight_zero_point", "is int8, expected int32",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return random_tensors(CONFIG, dtype=torch.bfloat16)


def written(folder: Path, tensors: dict[str, Tensor], change: dict[str, Tensor]) -> Path:
    stored = {name: t for name, t in tensors.items() if name != f"{DOWN}.weight"}
    return write_checkpoint(folder, CONFIG, stored | {f"{DOWN}.{s}": t.contiguous() for s, t in change.items()})


@pytest.mark.parametrize("case", MODULES)
def test_inspect_and_loads_say_the_same(case: str, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    change, suffix, text = MODULES[case]
    folder = written(tmp_path / "m", tensors, change)
    ran = hopwell("inspect", folder)
    assert ran.code == 1 and any(
        line.startswith(f"fault: tensor {DOWN}.{suffix} ") and text in line for line in ran.out.splitlines()
    ), ran
    found = refused("generate", "-m", folder, "--raw", "x")
    assert "tokenizer.json" in found  # read before the weights
    for told in (
        refused("quantize", folder, tmp_path / "q", "--calibration", __file__),
        refused("verify", folder, "--against", folder, "--data", __file__),
    ):
        assert f"tensor {DOWN}.{suffix} " in told and text in told, told
    assert not (tmp_path / "q").exists()


@pytest.mark.parametrize("dtype", OTHER_DTYPES, ids=str)
def test_no_other_dtype_passes_with_any_companions(dtype: torch.dtype) -> None:
    """Every dtype of safetensors, alone and with each known suffix beside it, is values of that dtype or an error."""
    weight = torch.ones(128, 128).to(dtype)
    known = [s for s in (*stored_suffixes(), *ACTIVATION_SUFFIXES) if s not in ("weight", "weight_packed")]
    for companion in (None, *known):
        for other in (torch.float32, torch.uint8, torch.float8_e4m3fn):
            found = {"weight": weight} | ({} if companion is None else {companion: torch.ones(128, 1).to(other)})
            with pytest.raises(ValueError, match="weight"):
                from_module(found, (128, 128))


@pytest.mark.parametrize("layout", ["modelopt", "compressed-tensors"])
@pytest.mark.parametrize("bad", [float("inf"), float("nan"), 0.0])
def test_scales_that_nobody_reads_may_be_anything(
    layout: str, bad: float, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    name = "input_scale" if layout == "modelopt" else "input_global_scale"
    folder = written(tmp_path / "m", tensors, module(layout, "nvfp4") | {name: torch.tensor([bad])})
    ran = hopwell("inspect", folder, "--read")
    assert ran.code == 0, ran
    load_transformer(Checkpoint.open(folder), "cpu", torch.float32)


def test_group_indices_out_of_range_are_told() -> None:
    stored = module("compressed-tensors", "int4_g32") | {"weight_g_idx": torch.full((128,), 4, dtype=torch.int32)}
    with pytest.raises(ValueError, match="weight_g_idx must be from 0 to 3"):
        from_module(stored, (128, 128))


def test_the_names_of_linears_are_those_of_the_model() -> None:
    assert DOWN in linear_shapes(CONFIG)
