"""Checkpoints with residual columns: what is written is what loads, to the bit, and nobody reads half of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_precision_convert import FRESH, SEQUENCES
from tiny import linear_shapes, random_tensors, tiny_config, write_checkpoint
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.audit import audit, audit_values, by_module, kind_of
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.fingerprint import REPORT
from hopwell.checkpoint.reader import Checkpoint
from hopwell.errors import HopwellError
from hopwell.formats.elements import decode_e2m1, unpack_nibbles
from hopwell.model.config import ModelConfig
from hopwell.model.inventory import inventory
from hopwell.model.loading import load_transformer
from hopwell.quantization.convert import Conversion
from hopwell.quantization.divergence import Yardstick
from hopwell.quantization.hessian import PrecisionError
from hopwell.quantization.plan import Goal, Settings, with_columns
from hopwell.quantization.search import SOURCE
from hopwell.quantization.verify import verify

CONFIG = tiny_config("r1", num_hidden_layers=2, n_routed_experts=4, n_group=2, topk_group=1, num_experts_per_tok=2)
MAIN = {name: shape for name, shape in linear_shapes(CONFIG).items() if int(name.split(".")[2]) < 2}
MODULE = "model.layers.1.self_attn.o_proj"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tensors = random_tensors(CONFIG, dtype=torch.bfloat16)
    return write_checkpoint(tmp_path_factory.mktemp("source"), CONFIG, tensors)


def convert(source: Path, out: Path, goal: Goal, *formats: str, **settings: Any) -> dict[str, Any]:
    settings = {"writer": "hopwell", "formats": formats or ("nvfp4",)} | settings
    return Conversion(source, out, Settings(goal, **settings), SEQUENCES, lambda line: None).run()


@pytest.fixture(scope="module")
def columns(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("columns") / "out"
    convert(source, out, Goal(format="nvfp4+20%"))
    return out


def tensors_of(folder: Path) -> dict[str, Tensor]:
    return {name: t for shard in folder.glob("*.safetensors") for name, t in load_file(shard).items()}


def without(columns: Path, out: Path, *names: str, **config: Any) -> Path:
    """A copy of a conversion, without its fingerprints, which would notice first, and without some tensors."""
    out.mkdir()
    for path in columns.glob("*.safetensors"):
        save_file({k: t for k, t in load_file(path).items() if k not in names}, out / path.name)
    described = json.loads((columns / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(described | config))
    return out


def test_what_loads_is_what_the_files_say(source: Path, columns: Path) -> None:
    tensors, loading = tensors_of(columns), WeightSource(Checkpoint.open(columns))
    report = json.loads((columns / REPORT).read_text())
    counted = 0
    for module, shape in MAIN.items():
        t = {k.rpartition(".")[2]: v for k, v in tensors.items() if k.startswith(module + ".")}
        second = 1 / t["weight_global_scale"].item()
        value, low = (
            decode_e2m1(unpack_nibbles(t[prefix + "weight_packed"]))
            * (t[prefix + "weight_scale"].float() * second).repeat_interleave(16, 1)
            for prefix in ("", "residual_")
        )
        value[:, t["residual_columns"].long()] += low
        got = loading.take_linear(module, shape).dequantize(torch.float32)
        torch.testing.assert_close(got, value, rtol=1e-6, atol=1e-9)
        counted += sum(v.nbytes for k, v in t.items() if k != "input_global_scale")
    assert counted == report["linear_bytes"]
    assert set(report["sha256"]) == set(tensors)
    assert all(
        a < b
        for g in report["groups"]
        for d in g["formats"].values()
        for a, b in zip(*(d[k] for k in ("after", "before")), strict=True)
    )
    assert verify(columns, source, FRESH).fingerprints == len(tensors)


@pytest.mark.slow
def test_where_no_column_helps_scales_are_written_twice(source: Path, tmp_path: Path) -> None:
    """FP8's blocks keep the scales that they have without columns: the same tensor, under two names in one file."""
    offered = with_columns(("fp8_block",))
    report = convert(source, tmp_path / "out", Goal(bits=9.0), *offered)
    assert all(set(group["formats"]) == set(offered) for group in report["groups"])
    assert verify(tmp_path / "out", source, FRESH).fingerprints == len(report["sha256"])


@pytest.mark.slow
def test_chosen_and_loaded_weights_are_the_same_bits(source: Path, tmp_path: Path) -> None:
    """Rows of 48 values, which end within a block, stay as the source has them."""
    label = "int4_g32+20%"
    conversion = Conversion(
        source, tmp_path / "out", Settings(Goal(format=label), "hopwell"), SEQUENCES, lambda _: None
    )
    rows = conversion.prepare()
    assert {label in row.formats for row in rows} == {True, False}
    chosen = conversion.losses.model({row.name: label if label in row.formats else SOURCE for row in rows}, rows)
    conversion.run()
    loaded = load_transformer(Checkpoint.open(tmp_path / "out"), "cpu", torch.float32)
    for ours, theirs in zip(chosen.layers, loaded.layers, strict=True):
        assert torch.equal(ours.attention.o.data, theirs.attention.o.data)
        assert torch.equal(ours.attention.w_uk, theirs.attention.w_uk)
    assert Yardstick(chosen, FRESH).measure(loaded).worst == 0


@pytest.mark.slow
def test_more_columns_leave_less_error(source: Path, columns: Path, tmp_path: Path) -> None:
    reference = load_transformer(Checkpoint.open(source), "cpu", torch.float32)
    kls = []
    for label, out in (("nvfp4", tmp_path / "none"), ("nvfp4+20%", columns), ("nvfp4+90%", tmp_path / "most")):
        if out is not columns:
            convert(source, out, Goal(format=label))
        kls.append(
            Yardstick(reference, FRESH).measure(load_transformer(Checkpoint.open(out), "cpu", torch.float32)).mean
        )
    assert kls[0] > 1.2 * kls[1] > 2 * kls[2]


@pytest.mark.slow
def test_an_allocation_takes_them_where_they_pay(source: Path, tmp_path: Path) -> None:
    formats = with_columns(("nvfp4",))
    assert formats == ("nvfp4", "nvfp4+5%", "nvfp4+10%", "nvfp4+20%")
    report = convert(source, tmp_path / "with", Goal(bits=5.2), *formats)
    plain = convert(source, tmp_path / "without", Goal(bits=5.2), "nvfp4")
    chosen = {g["chosen"] for g in report["groups"]}
    assert any("+" in label for label in chosen) and len(chosen) > 1
    assert report["bits_per_weight"] <= 5.205 and plain["bits_per_weight"] <= 5.205
    assert report["predicted_loss"] < 0.8 * plain["predicted_loss"]
    config = json.loads((tmp_path / "with/config.json").read_text())["quantization_config"]
    described = {m: g["chosen"] for g in report["groups"] for m in g["modules"] if g["chosen"] != "source"}
    assert config["quant_method"] == "hopwell" and config["formats"] == described
    plainly = convert(source, tmp_path / "rounded", Goal(format="nvfp4+10%"), compensate=False)
    assert all(a <= b for g in plainly["groups"] for d in g["formats"].values()
               for a, b in zip(d["after"], d["before"], strict=True))  # fmt: skip


def test_other_readers_refuse(columns: Path) -> None:
    described = json.loads((columns / "config.json").read_text())["quantization_config"]
    transformers = pytest.importorskip("transformers.quantizers.auto")
    with pytest.raises(ValueError, match="hopwell"):
        transformers.AutoQuantizationConfig.from_dict(described)
    compressed = pytest.importorskip("compressed_tensors.quantization")
    with pytest.raises(ValueError, match="config_groups"):
        compressed.QuantizationConfig.model_validate(described)


def test_half_of_it_is_never_read(columns: Path, tmp_path: Path) -> None:
    config = json.loads((columns / "config.json").read_text())
    lost = [f"{MODULE}.residual_{s}" for s in ("columns", "weight_packed", "weight_scale")]
    for case, (names, message) in enumerate((
        (lost, f"{MODULE}.residual_columns is missing, which config.json tells of"),
        (lost[:1], f"{MODULE}.residual_columns is missing"),
        (lost[1:2], f"tensor {MODULE}.residual_weight is missing"),
        (lost[2:], f"tensor {MODULE}.residual_weight_scale is missing"),
    )):  # fmt: skip
        folder = without(columns, tmp_path / str(case), *names)
        with pytest.raises(CheckpointError, match=message):
            WeightSource(Checkpoint.open(folder)).take_linear(MODULE, MAIN[MODULE])
    specs = inventory(ModelConfig.from_dict(config))
    found = audit(Checkpoint.open(tmp_path / "0"), specs)
    assert [(f.kind, f.name) for f in found] == [("missing", f"{MODULE}.residual_columns")]
    newer = config["quantization_config"] | {"formats": {MODULE: "nvfp9"}}
    folder = without(columns, tmp_path / "newer", quantization_config=newer)
    with pytest.raises(HopwellError, match=r"config\.json: .*'nvfp9' is unknown.*a newer Hopwell"):
        load_transformer(Checkpoint.open(folder), "cpu", torch.float32)


def test_inspection_knows_the_tensors(columns: Path) -> None:
    checkpoint = Checkpoint.open(columns)
    specs = inventory(ModelConfig.from_dict(checkpoint.config))
    assert audit(checkpoint, specs) == [] and audit_values(checkpoint) == []
    assert kind_of(by_module(checkpoint.tensors.values())[MODULE]) == "other"


def test_layouts_without_a_place_for_them_are_refused(source: Path, columns: Path, tmp_path: Path) -> None:
    for writer in ("modelopt", "compressed-tensors"):
        with pytest.raises(PrecisionError, match=f"{writer} has no layout for residual columns.*--layout hopwell"):
            convert(source, tmp_path / "a", Goal(bits=5.0), "nvfp4+10%", writer=writer)
    with pytest.raises(PrecisionError, match="converted by Hopwell already"):
        convert(columns, tmp_path / "b", Goal(format="nvfp4"))
