"""Models in AWQ's, GPTQ's and W4AFP8's layouts: served with the same values' tokens, cut for ranks, told in bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import hopwell, refused
from int4_checkpoints import WIDTHS, described, write_pair
from safetensors.torch import load_file, save_file
from tiny import tiny_config
from tiny_tokenizer import write_tokenizer
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.audit import by_module, kind_of
from hopwell.checkpoint.reader import Checkpoint
from hopwell.engine.fitting import SPARE_BYTES, check_room
from hopwell.formats.packed import Packed
from hopwell.model.config import ModelConfig
from hopwell.model.footprint import weight_bytes
from hopwell.model.inventory import inventory
from hopwell.model.loading import Loader, load_transformer
from hopwell.model.quantization import read_quantization
from hopwell.model.random_weights import random_transformer
from hopwell.model.report import inspect_model
from hopwell.model.sharding import Shard
from hopwell.model.shipped import shipped_config
from hopwell.model.transformer import MoE, Transformer
from hopwell.ops.weight import Weight
from hopwell.parallel.layout import Layout, LayoutError

CONFIG = tiny_config("r1", **WIDTHS)
LATENT = "self_attn.kv_a_proj_with_mqa"
DOWN = "model.layers.1.mlp.experts.3.down_proj"
KINDS: dict[str, dict[str, Any]] = {
    "awq": described("awq"),
    "awq with plain modules": described("awq", 64, modules_to_not_convert=["self_attn", "model.layers.0."]),
    "gptq": described("gptq"),
    "gptq of 32, asymmetric": described("gptq", 32, sym=False),
    "gptq by activation order": described("gptq", 64, sym=False, desc_act=True),
    "w4afp8": described("w4afp8"),
    "gptq_v2": described("gptq", 128, sym=False, checkpoint_format="gptq_v2"),
}


def pair(folder: Path, quantization: dict[str, Any]) -> tuple[Path, Path]:
    plain = [name.strip(".") for name in quantization.get("modules_to_not_convert", ())]
    return write_pair(folder, CONFIG, quantization, plain)


def values(model: Transformer) -> list[Tensor]:
    """Of all matrices."""
    found = [model.head.dequantize(torch.float32)]
    for layer in model.layers:
        network, attention = layer.network, layer.attention
        weights = [attention.qkv_a, attention.o, *([attention.q_b] if attention.q_b is not None else [])]
        weights += [network.experts.gate_up, network.experts.down] if isinstance(network, MoE) else [network.gate_up]
        found += [weight.dequantize(torch.float32) for weight in weights]
        found += [attention.w_uk.float(), attention.w_uv.float()]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_those_of_the_values(kind: str, tmp_path: Path) -> None:
    told: list[Any] = []
    for folder in pair(tmp_path, KINDS[kind]):
        write_tokenizer(folder)
        asked = ("--raw", "--max-tokens", "12", "--temperature", "0", "--dtype", "float32", "--json", "4+5=", "so")
        ran = hopwell("generate", "-m", folder, *asked)
        assert ran.code == 0, ran
        told.append([json.loads(line)["text"] for line in ran.out.splitlines()])
    assert told[0] == told[1] and len(told[0]) == 2 and all(told[0])
    one, two = (load_transformer(Checkpoint.open(tmp_path / name), dtype=torch.float32) for name in ("int4", "values"))
    assert all(torch.equal(a, b) for a, b in zip(values(one), values(two), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_inspect_finds_nothing_wrong_and_counts_the_bytes(kind: str, tmp_path: Path) -> None:
    """As stored; loaded, expanded or packed; and the same of the config alone."""
    quantization = KINDS[kind]
    folder, _ = pair(tmp_path, quantization)
    assert hopwell("inspect", folder, "--read").code == 0
    reports = [inspect_model(str(folder), packed=packed) for packed in (False, True)]
    assert reports[0].bytes == sum(t.nbytes for t in load_file(folder / "model.safetensors").values())
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "config.json").write_text((folder / "config.json").read_text())
    for packed, report in zip((False, True), reports, strict=True):
        assert inspect_model(str(alone), packed=packed).weights == report.weights
    expanded, kept = (report.weights.routed for report in reports)
    assert kept == expanded if quantization.get("desc_act") else kept < 0.36 * expanded


def loader(folder: Path, shard: Shard | None = None) -> Loader:
    """On a CPU as on a GPU, where kernels are and matrices stay packed."""
    checkpoint = Checkpoint.open(folder)
    found = Loader(
        WeightSource(checkpoint), ModelConfig.from_dict(checkpoint.config), torch.device("cpu"), torch.bfloat16,
        shard=shard,
    )  # fmt: skip
    found.keeps_formats = found.packs = found.joins_experts = True
    return found


@pytest.mark.parametrize("kind", [name for name in KINDS if "order" not in name])
def test_it_stays_packed_for_kernels(kind: str, tmp_path: Path) -> None:
    """With float16 scales rounded to bf16: each value within 2^-8 of itself."""
    folder, plain = pair(tmp_path, KINDS[kind])
    model, told = loader(folder).transformer(), read_quantization({"quantization_config": KINDS[kind]})
    network, whole = (
        each.layers[1].network for each in (model, load_transformer(Checkpoint.open(plain), dtype=torch.float32))
    )
    assert isinstance(network, MoE) and isinstance(whole, MoE) and network.joined is not None
    for mine, theirs in ((network.experts.gate_up, whole.experts.gate_up), (network.experts.down, whole.experts.down)):
        assert isinstance(mine.stored, Packed) and mine.stored.zeros == told.zero_points
        found, wanted = mine.dequantize(torch.float32), theirs.dequantize(torch.float32)
        assert bool(((found - wanted).abs() <= 2**-8 * wanted.abs()).all())
    experts, shared = network.joined.experts, network.shared
    own = [shared.gate_up, shared.down] if shared is not None and network.joined.shared else []
    routed = nbytes(experts.gate_up, experts.down) - nbytes(*own)
    assert routed == inspect_model(str(folder), packed=True).weights.routed


def nbytes(*weights: Weight) -> int:
    return sum(weight.stored.nbytes for weight in weights)


def test_what_is_joined_with_plain_values_counts_as_expanded(tmp_path: Path) -> None:
    """AutoAWQ leaves the latent's down projection plain, which loads join with the query's."""
    folder, _ = pair(tmp_path, described("awq", 32, modules_to_not_convert=[LATENT]))
    model = loader(folder).transformer()
    held = [weight for layer in model.layers for weight in (layer.attention.qkv_a, layer.attention.o)]
    held += [layer.attention.q_b for layer in model.layers if layer.attention.q_b is not None]
    assert not any(isinstance(layer.attention.qkv_a.stored, Packed) for layer in model.layers)
    checkpoint = Checkpoint.open(folder)
    config = ModelConfig.from_dict(checkpoint.config)
    layouts = {name: str(kind_of(module)) for name, module in by_module(checkpoint.tensors.values()).items()}
    specs = [spec for spec in inventory(config) if spec.part == "attention" and "kv_b" not in spec.name]
    assert weight_bytes(specs, layouts, True, config.quantization).total == nbytes(*held) - padding(*held)


def padding(*weights: Weight) -> int:
    """Bytes by which strips of 64 rows are filled up."""
    return sum(
        int(weight.stored.nbytes - 4 * rows - (weight.stored.nbytes - 4 * rows) * rows / (-(-rows // 64) * 64))
        for weight in weights
        if isinstance(weight.stored, Packed) and (rows := weight.shape[0])
    )


def test_experts_by_activation_order_are_expanded(tmp_path: Path) -> None:
    folder, plain = pair(tmp_path, KINDS["gptq by activation order"])
    network = loader(folder).transformer().layers[1].network
    whole = load_transformer(Checkpoint.open(plain), dtype=torch.bfloat16).layers[1].network
    assert isinstance(network, MoE) and isinstance(whole, MoE)
    assert torch.equal(network.experts.down.dequantize(torch.bfloat16), whole.experts.down.dequantize(torch.bfloat16))


@pytest.mark.parametrize(("kind", "packs"), [("gptq of 32, asymmetric", True), ("gptq by activation order", False)])
def test_packed_is_a_remedy_where_it_helps(kind: str, packs: bool, tmp_path: Path) -> None:
    folder, _ = pair(tmp_path, KINDS[kind])
    checkpoint = Checkpoint.open(folder)
    config = ModelConfig.from_dict(checkpoint.config)
    with pytest.raises(LayoutError, match="the weights take") as refusal:
        check_room(checkpoint, config, Layout(1), False, SPARE_BYTES + 1_200_000)
    assert ("--four-bits packed" in str(refusal.value)) == packs, refusal.value


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "w4afp8"])  # whose FP8 has no blocks to cut here
@pytest.mark.parametrize("packed", [False, True])
def test_ranks_shares_are_cuts_of_the_values(kind: str, packed: bool, tmp_path: Path) -> None:
    """In groups where it stays packed: of 128, two ranks would cut an expert's 128 columns within one."""
    folder, plain = pair(tmp_path, KINDS[kind])
    if packed and KINDS[kind]["group_size"] == 128:
        with pytest.raises(LayoutError, match="TP2 cuts its 128 columns at 64, inside a block of int4_g128; give"):
            loader(folder, Shard(Layout(2))).transformer()
        return
    for rank in range(2):
        shard = Shard(Layout(2, rank=rank))
        found = loader(folder, shard)
        found.packs = packed
        whole = Loader(
            WeightSource(Checkpoint.open(plain)), found.whole, torch.device("cpu"), torch.float32, shard=shard
        ).transformer()
        one, two = found.transformer().layers[1].network, whole.layers[1].network
        assert isinstance(one, MoE) and isinstance(two, MoE)
        for mine, theirs in ((one.experts.gate_up, two.experts.gate_up), (one.experts.down, two.experts.down)):
            found_values, wanted = mine.dequantize(torch.float32), theirs.dequantize(torch.float32)
            assert bool(((found_values - wanted).abs() <= 2**-8 * wanted.abs()).all())


@pytest.mark.parametrize(("kind", "suffix", "value", "text"), [
    ("awq", "scales", float("nan"), "scales is nan at [0, 0], expected finite and above 0"),
    ("awq", "scales", 0.0, "scales is 0.0 at [0, 0], expected finite and above 0"),
    ("awq", "scales", -1.0, "scales is -1.0 at [0, 0], expected finite and above 0"),
    ("gptq_v2", "scales", -1.0, "scales is -1.0 at [0, 0], expected finite and above 0"),
    ("gptq", "scales", 0.0, "scales is 0.0 at [0, 0], expected finite and not 0"),
    ("gptq", "scales", float("inf"), "scales is inf at [0, 0], expected finite and not 0"),
    ("gptq", "g_idx", 9, "g_idx must be from 0 to 0"),
    ("gptq of 32, asymmetric", "qzeros", -1, "qzeros has 15 for output 0 of group 0"),
])  # fmt: skip
def test_bad_values_are_named(kind: str, suffix: str, value: float, text: str, tmp_path: Path) -> None:
    folder, _ = pair(tmp_path, KINDS[kind])
    write_tokenizer(folder)
    tensors = load_file(folder / "model.safetensors")
    tensors[f"{DOWN}.{suffix}"].flatten()[0] = value
    save_file(tensors, folder / "model.safetensors")
    told = refused("generate", "-m", folder, "--raw", "x")
    assert DOWN in told and text in told
    if suffix != "g_idx":  # which is judged beside the scales
        ran = hopwell("inspect", folder, "--read")
        assert ran.code == 1 and f"{DOWN}.{text}" in ran.out, ran


def test_negative_scales_of_symmetric_gptq_are_autoround_s(tmp_path: Path) -> None:
    folder, _ = pair(tmp_path, KINDS["gptq"])
    tensors = load_file(folder / "model.safetensors")
    shape = (128, 128)
    before = WeightSource(Checkpoint.open(folder)).take_linear(DOWN, shape).dequantize(torch.float32)
    tensors[f"{DOWN}.scales"].neg_()
    save_file(tensors, folder / "model.safetensors")
    assert torch.equal(
        WeightSource(Checkpoint.open(folder)).take_linear(DOWN, shape).dequantize(torch.float32), -before
    )


@pytest.mark.parametrize(("kind", "suffix", "change", "text"), [
    ("awq", "qzeros", None, "qzeros is missing"),
    ("awq", "scales", lambda t: torch.ones(3, 128).half(), "scales has shape [3, 128], expected [1, 128]"),
    ("gptq", "qweight", lambda t: t.to(torch.int64), "qweight is int64, expected int32"),
])  # fmt: skip
def test_inspect_and_loads_say_the_same(kind: str, suffix: str, change: Any, text: str, tmp_path: Path) -> None:
    folder, _ = pair(tmp_path, KINDS[kind])
    write_tokenizer(folder)
    tensors = load_file(folder / "model.safetensors")
    found = tensors.pop(f"{DOWN}.{suffix}")
    tensors |= {} if change is None else {f"{DOWN}.{suffix}": change(found)}
    save_file(tensors, folder / "model.safetensors")
    ran = hopwell("inspect", folder)
    assert ran.code == 1 and any(f"{DOWN}.{text}" in line for line in ran.out.splitlines()), ran
    assert f"{DOWN}.{text}" in refused("generate", "-m", folder, "--raw", "x")


def test_a_module_that_is_plain_beside_quantised_ones_is_fused_with_them(tmp_path: Path) -> None:
    """Gate in INT4 and up plain, as one matrix."""
    quantization = described("awq", 64, modules_to_not_convert=["up_proj"])
    folder, plain = write_pair(tmp_path, CONFIG, quantization, ["up_proj"])
    one, two = (load_transformer(Checkpoint.open(each), dtype=torch.float32) for each in (folder, plain))
    assert all(torch.equal(a, b) for a, b in zip(values(one), values(two), strict=True))
    network = loader(folder).transformer().layers[1].network
    assert isinstance(network, MoE) and not isinstance(network.experts.gate_up.stored, Packed)


def test_modules_by_name() -> None:
    awq = read_quantization({"quantization_config": described("awq", modules_to_not_convert=["mlp.gate", LATENT])})
    gptq = described("gptq", 64, modules_in_block_to_quantize=[["self_attn.o_proj"], ["mlp.down_proj"]])
    chosen = read_quantization({"quantization_config": gptq})
    dynamic = {r"-:.*self_attn.*": {}, r"-:model\.layers\.0\..*": {}}
    skipping = read_quantization({"quantization_config": described("gptq", 32, sym=False, dynamic=dynamic)})
    layer, g128, g32 = "model.layers.1.", "int4_g128", "int4_g32"
    for found, module, label in (
        (awq, "lm_head", None), (awq, layer + "mlp.gate_proj", g128), (awq, layer + LATENT, None),
        (awq, layer + "mlp.gate", None), (awq, layer + "self_attn.o_proj", g128),
        (chosen, layer + "self_attn.o_proj", g32), (chosen, layer + "self_attn.q_b_proj", None),
        (skipping, layer + "self_attn.o_proj", None), (skipping, "model.layers.0.mlp.up_proj", None),
        (skipping, DOWN, g32),
    ):  # fmt: skip
        assert found.format_of(module) == label, module
    assert awq.zero_points and skipping.zero_points and not chosen.zero_points


@pytest.mark.parametrize(("quantization", "low", "high"), [
    (described("awq", modules_to_not_convert=["model.layers.61", LATENT]), 0.36e12, 0.40e12),
    (described("gptq", 32, modules_to_not_convert=["model.layers.61"]), 0.40e12, 0.44e12),
    (described("w4afp8"), 0.34e12, 0.38e12),
])  # fmt: skip
@pytest.mark.slow
def test_r1_is_told_by_its_config_alone(quantization: dict[str, Any], low: float, high: float, tmp_path: Path) -> None:
    config = shipped_config("deepseek-r1")
    assert config is not None
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": quantization}))
    report = inspect_model(str(tmp_path), packed=True)
    assert low < report.bytes < high and low < report.weights.total < high
    assert inspect_model(str(tmp_path)).weights.total > 1.3e12


@pytest.mark.slow
def test_kimi_k2_thinking_is_told_by_its_config_alone(tmp_path: Path) -> None:
    """Routed experts in INT4 of 32 by compressed-tensors, all else in bf16: 594 GB on the hub."""
    config = shipped_config("kimi-k2")
    assert config is not None
    weights = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True, "actorder": None}
    plain = ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*"]
    quantization = {
        "quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": plain,
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": quantization}))
    report = inspect_model(str(tmp_path), packed=True)
    assert 0.58e12 < report.bytes < 0.61e12
    formats = {part.part: set(part.formats) for part in report.parts}
    assert formats["routed_experts"] == {"I32", "BF16"} and formats["dense"] == formats["attention"] == {"BF16"}


@pytest.mark.parametrize(("quantization", "zeros"), [
    (described("awq"), True), (described("gptq"), False), (described("gptq", sym=False), True),
    (described("gptq", desc_act=True), None), (described("gptq", desc_act=True, static_groups=True), False),
])  # fmt: skip
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_drawn_models_are_held_as_loaded_ones(quantization: dict[str, Any], zeros: bool | None, device: str) -> None:
    """On the meta device they tell which kernels are compiled ahead."""
    config = ModelConfig.from_dict(CONFIG | {"quantization_config": quantization})
    network = random_transformer(config, device, packed=True).layers[1].network
    assert isinstance(network, MoE)
    stored = network.experts.down.stored
    assert (stored.zeros if isinstance(stored, Packed) else None) == zeros
