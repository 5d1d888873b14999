"""The audit of shard headers finds, all at once, what a load would stop at; and no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny import linear_shapes, random_tensors, tiny_config, write_checkpoint
from torch import Tensor

from hopwell.checkpoint.audit import audit_values, by_module, kind_of
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.reader import INDEX, Checkpoint
from hopwell.formats.blocks import FORMATS, quantize
from hopwell.formats.fp8 import quantize_fp8_block
from hopwell.formats.layouts import to_compressed_tensors, to_modelopt
from hopwell.model.config import ModelConfig
from hopwell.model.inventory import header_faults
from hopwell.model.loading import load_transformer

CONFIG = tiny_config("r1", num_hidden_layers=2, hidden_size=128, moe_intermediate_size=128, q_lora_rank=64)
DOWN = "model.layers.1.mlp.experts.3.down_proj"


def found(folder: Path, config: dict[str, Any] = CONFIG) -> list[tuple[str, str]]:
    faults = header_faults(Checkpoint.open(folder), ModelConfig.from_dict(config))
    assert all("\n" not in fault.text for fault in faults)
    return [(fault.kind, fault.name) for fault in faults]


def fp8(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same checkpoint with its linears in FP8 blocks."""
    stored = dict(tensors)
    for name in linear_shapes(CONFIG):
        stored[f"{name}.weight"], stored[f"{name}.weight_scale_inv"] = quantize_fp8_block(stored[f"{name}.weight"])
    return stored


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return random_tensors(CONFIG, dtype=torch.bfloat16)


def drop(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(start)}


WHOLE: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "plain": dict,
    "fp8": fp8,
    "without MTP": lambda t: drop(t, "model.layers.2."),
    "without MTP's copies": lambda t: drop(drop(t, "model.layers.2.embed"), "model.layers.2.shared_head.head"),
    "with an MTP copy of another shape": lambda t: t | {"model.layers.2.embed_tokens.weight": torch.ones(3)},
    "with buffers": lambda t: t | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)},
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_checkpoint_has_no_fault(case: str, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "m", CONFIG, WHOLE[case](tensors))
    assert found(folder) == []
    load_transformer(Checkpoint.open(folder), dtype=torch.float32)


BROKEN: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], list[tuple[str, str]]]] = {
    "a tensor is missing": (lambda t: drop(t, f"{DOWN}.weight"), [("missing", f"{DOWN}.weight")]),
    "a scale is missing": (
        lambda t: drop(fp8(t), f"{DOWN}.weight_scale_inv"),
        [("missing", f"{DOWN}.weight_scale_inv")],
    ),
    "a tensor is surplus": (lambda t: t | {"model.extra.weight": torch.ones(2)}, [("surplus", "model.extra.weight")]),
    "a scale is surplus": (
        lambda t: t | {f"{DOWN}.weight_scale_inv": torch.ones(1, 1)},
        [("surplus", f"{DOWN}.weight_scale_inv")],
    ),
    "an expert is surplus": (
        lambda t: t | {"model.layers.1.mlp.experts.16.up_proj.weight": torch.ones(128, 128)},
        [("surplus", "model.layers.1.mlp.experts.16.up_proj.weight")],
    ),
    "a shape is wrong": (lambda t: t | {f"{DOWN}.weight": torch.ones(128, 64)}, [("shape", f"{DOWN}.weight")]),
    "a scale's shape is wrong": (
        lambda t: fp8(t) | {f"{DOWN}.weight_scale_inv": torch.ones(2, 1)},
        [("shape", f"{DOWN}.weight_scale_inv")],
    ),
    "a norm's shape is wrong": (lambda t: t | {"model.norm.weight": torch.ones(64)}, [("shape", "model.norm.weight")]),
    "a dtype is wrong": (
        lambda t: t | {f"{DOWN}.weight": torch.ones(128, 128, dtype=torch.int64)},
        [("dtype", f"{DOWN}.weight")],
    ),
    "a scale's dtype is wrong": (
        lambda t: fp8(t) | {f"{DOWN}.weight_scale_inv": torch.ones(1, 1, dtype=torch.bfloat16)},
        [("dtype", f"{DOWN}.weight_scale_inv")],
    ),
    "an embedding is quantised": (
        lambda t: t | {"model.embed_tokens.weight": torch.ones(128, 128).to(torch.float8_e4m3fn)},
        [("dtype", "model.embed_tokens.weight")],
    ),
    "several at once": (
        lambda t: drop(t, f"{DOWN}.weight") | {"zz": torch.ones(1), "model.norm.weight": torch.ones(3)},
        [("missing", f"{DOWN}.weight"), ("shape", "model.norm.weight"), ("surplus", "zz")],
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_fault_is_found_and_a_load_stops_at_one(case: str, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    breaks, faults = BROKEN[case]
    folder = write_checkpoint(tmp_path / "m", CONFIG, breaks(tensors))
    assert found(folder) == faults
    with pytest.raises(CheckpointError) as caught:
        load_transformer(Checkpoint.open(folder), dtype=torch.float32)
    assert any(name.rpartition(".")[0] in str(caught.value) for _, name in faults) and "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["nvfp4", "mxfp4", "int4_g32", "fp8_channel", "fp8_block"])
@pytest.mark.parametrize("layout", [to_modelopt, to_compressed_tensors])
def test_other_layouts_are_known(
    form: str, layout: Callable[..., Any], tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    if layout is to_modelopt and form.startswith("int4"):
        pytest.skip("ModelOpt has no layout for INT4")
    module = layout(quantize(tensors[f"{DOWN}.weight"], FORMATS[form]))
    stored = drop(tensors, f"{DOWN}.weight") | {f"{DOWN}.{suffix}": t.contiguous() for suffix, t in module.items()}
    folder = write_checkpoint(tmp_path / "m", CONFIG, stored)
    assert found(folder) == []
    load_transformer(Checkpoint.open(folder), dtype=torch.float32)
    modules = by_module(Checkpoint.open(folder).tensors.values())
    assert kind_of(modules[DOWN]) == ("other" if form == "fp8_channel" else form)
    codes = "weight_packed" if "weight_packed" in module else "weight"
    (folder / "model.safetensors").unlink()
    save_file(stored | {f"{DOWN}.{codes}": module[codes][:64].clone()}, folder / "model.safetensors")
    assert ("shape", f"{DOWN}.{codes}") in found(folder)


def test_where_the_index_has_it_is_told(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "m", CONFIG, drop(tensors, f"{DOWN}.weight"))
    (folder / INDEX).write_text(json.dumps({"weight_map": {f"{DOWN}.weight": "gone.safetensors"}}))
    (fault,) = header_faults(Checkpoint.open(folder), ModelConfig.from_dict(CONFIG))
    assert fault.text == "is missing: the index has it in gone.safetensors, which is not here"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0, -1.0])
def test_every_value_can_be_checked(bad: float, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    stored = fp8(tensors)
    folder = write_checkpoint(tmp_path / "whole", CONFIG, stored)
    steps: list[tuple[int, int, str]] = []
    assert audit_values(Checkpoint.open(folder), lambda *step: steps.append(step)) == []
    assert steps[-1][0] == steps[-1][1] == Checkpoint.open(folder).total_bytes
    scale = stored[f"{DOWN}.weight_scale_inv"].clone()
    scale[0, 0] = bad
    embedding = stored["model.embed_tokens.weight"].clone()
    embedding[3, 5] = bad
    codes = stored[f"{DOWN}.weight"].clone()
    codes.view(torch.uint8)[7, 9] = 0xFF
    broken = stored | {f"{DOWN}.weight_scale_inv": scale, "model.embed_tokens.weight": embedding}
    faults = audit_values(Checkpoint.open(write_checkpoint(tmp_path / "m", CONFIG, broken | {f"{DOWN}.weight": codes})))
    texts = {fault.name: fault.text for fault in faults}
    assert texts.pop(f"{DOWN}.weight_scale_inv").startswith(f"is {bad} at [0, 0], expected finite and above 0")
    assert texts.pop(f"{DOWN}.weight").startswith("is nan at [7, 9], expected finite, in model.safetensors")
    if bad in (0.0, -1.0):
        assert not texts
    else:
        assert texts == {"model.embed_tokens.weight": f"is {bad} at [3, 5], expected finite, in model.safetensors"}


def test_what_other_tools_write_in_its_place_is_named(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    router = "model.layers.1.mlp.gate"
    packed = drop(tensors, f"{router}.weight") | {f"{router}.qweight": torch.ones(16, 128, dtype=torch.int32)}
    fused = {name: t for name, t in tensors.items() if "layers.1.mlp.experts." not in name}
    fused["model.layers.1.mlp.experts.gate_up_proj"] = torch.ones(16, 2, 2)
    for case, (stored, says) in enumerate(
        ((packed, "gate.qweight is there, and this matrix is"), (fused, "are fused"))
    ):
        folder = write_checkpoint(tmp_path / str(case), CONFIG, stored)
        faults = header_faults(Checkpoint.open(folder), ModelConfig.from_dict(CONFIG))
        assert any(fault.kind == "missing" and says in fault.text for fault in faults)
        with pytest.raises(CheckpointError, match=says):
            load_transformer(Checkpoint.open(folder), dtype=torch.float32)
