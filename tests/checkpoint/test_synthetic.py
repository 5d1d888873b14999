"""Synthetic weights: the same bytes for a seed, the wanted deviations, shards as the library writes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tiny import tiny_config

from hopwell.checkpoint.draw import draw_codes, draw_scales, draw_values
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.reader import INDEX, Checkpoint
from hopwell.checkpoint.shards import split, write_shards
from hopwell.checkpoint.synthetic import SyntheticWeights, pieces
from hopwell.formats.fp8 import dequantize_fp8_block
from hopwell.model.config import ModelConfig
from hopwell.model.inventory import inventory
from hopwell.model.schema import SWIGLU_DEVIATION

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
WIDE = {"hidden_size": 512, "intermediate_size": 512, "num_hidden_layers": 2, "vocab_size": 1000}


def weights(seed: int = 0, **overrides: Any) -> SyntheticWeights:
    config = tiny_config("r1", **{"quantization_config": FP8} | WIDE | overrides)
    return SyntheticWeights(config, inventory(ModelConfig.from_dict(config)), seed)


def write(folder: Path, source: SyntheticWeights, **options: Any) -> Path:
    folder.mkdir()
    write_shards(folder, source, **options)
    (folder / "config.json").write_text(json.dumps(source.config))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_seed_fixes_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = files(write(tmp_path / "a", weights(7)))
    monkeypatch.setattr("hopwell.checkpoint.shards.THREADS", 1)
    assert files(write(tmp_path / "b", weights(7))) == first
    assert files(write(tmp_path / "c", weights(8))) != first


def test_the_bytes_of_a_seed_are_the_same_on_every_machine() -> None:
    """Values written down when the format was fixed: another numpy or torch must not change them."""
    source = weights(7)
    digest = hashlib.sha256()
    for name in ("model.embed_tokens.weight", "model.layers.1.mlp.experts.3.down_proj.weight", "model.norm.weight"):
        digest.update(source.read(name).view(torch.uint8).numpy().tobytes())
    digest.update(source.read("model.layers.0.self_attn.o_proj.weight_scale_inv").numpy().tobytes())
    assert digest.hexdigest() == "b31ae3add2024f2693874072990560f642013d31b782fb7e590a84ff84c887ce"


def test_pieces_are_cut_and_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopwell.checkpoint.synthetic.PIECE_BYTES", 1000)
    source = weights()
    assert len(list(pieces(source.specs.values()))) > 1000
    checkpoint = Checkpoint.open(write(tmp_path / "a", source))
    for name in source.tensors:
        assert torch.equal(checkpoint.read(name).view(torch.uint8), source.read(name).view(torch.uint8)), name


def test_shards_are_what_the_library_reads(tmp_path: Path) -> None:
    source = weights()
    folder = write(tmp_path / "a", source, shard_bytes=1_000_000)
    index = json.loads((folder / INDEX).read_text())
    assert index["metadata"]["total_size"] == source.total_bytes
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 3 and shards[0].name == f"model-00001-of-{len(shards):05}.safetensors"
    seen = {}
    for shard in shards:
        with safe_open(shard, "pt") as file:
            seen |= {name: (shard.name, file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert {name: shard for name, (shard, _) in seen.items()} == index["weight_map"]
    assert {name: shape for name, (_, shape) in seen.items()} == {n: list(s.shape) for n, s in source.specs.items()}
    checkpoint = Checkpoint.open(folder)
    assert not checkpoint.warnings and checkpoint.total_bytes == source.total_bytes


def test_shards_hold_what_fits() -> None:
    specs = list(weights().specs.values())
    shards = list(split(specs, 500_000))
    assert [spec for shard in shards for spec in shard] == specs
    for shard in shards:
        assert len(shard) == 1 or sum(spec.nbytes for spec in shard) <= 500_000


def deviation(source: SyntheticWeights, name: str) -> float:
    data = source.read(f"{name}.weight")
    scale = source.read(f"{name}.weight_scale_inv") if data.dtype == torch.float8_e4m3fn else None
    values = data.double() if scale is None else dequantize_fp8_block(data, scale, torch.float32).double()
    assert abs(values.mean()) < 4 * values.std() / values.numel() ** 0.5
    return values.std().item()


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("gain", [7168**-0.5, 0.125, 1.0, 3.3])
def test_codes_times_scales_have_the_wanted_deviation(gain: float, power_of_two: bool) -> None:
    codes = draw_codes(1_000_001, 1, gain, power_of_two)
    scales = draw_scales(1_000_000, 2, gain, power_of_two)
    assert len(codes) == 1_000_001 and codes.float().abs().max() <= 448
    product = codes.double().square().mean().sqrt() * scales.double().square().mean().sqrt()
    # stretched codes are rounded once more, by up to a sixteenth each
    assert product.item() == pytest.approx(gain, rel=15e-3 if power_of_two else 3e-3)
    assert abs(codes.double().mean()) < 4e-3 * codes.double().std()
    values = draw_values(1_000_000, 3, gain, mean=10 * gain, dtype=torch.float32).double()
    assert values.std().item() == pytest.approx(gain, rel=3e-3)
    assert values.mean().item() == pytest.approx(10 * gain, rel=1e-3)


@pytest.mark.parametrize("scale_fmt", [None, "ue8m0"])
def test_matrices_have_unit_gain(scale_fmt: str | None) -> None:
    source = weights(quantization_config=FP8 | {"scale_fmt": scale_fmt})
    for name, width, gain in (
        ("model.layers.0.self_attn.o_proj", 64, 1.0),
        ("model.layers.0.mlp.gate_proj", 512, 1.0),
        ("model.layers.0.mlp.down_proj", 512, 1 / SWIGLU_DEVIATION),
        ("lm_head", 512, 1.0),
        ("model.layers.1.mlp.gate", 512, 1.0),
    ):
        assert deviation(source, name) == pytest.approx(gain * width**-0.5, rel=0.2), name
    assert deviation(source, "model.embed_tokens") == pytest.approx(1.0, rel=0.01)
    norm = source.read("model.norm.weight").double()
    assert norm.mean() == pytest.approx(1.0, abs=0.02) and norm.std() == pytest.approx(0.1, rel=0.2)
    scale = source.read("model.layers.0.mlp.gate_proj.weight_scale_inv")
    codes = source.read("model.layers.0.mlp.gate_proj.weight").float()
    assert codes.isfinite().all() and codes.abs().max() <= 448
    if scale_fmt:
        assert torch.equal(torch.log2(scale), torch.log2(scale).round())
    else:
        assert scale.unique().numel() > 1, "a scale put to the wrong block must show"


def test_swiglu_takes_what_the_down_projection_makes_up_for() -> None:
    a, b = torch.randn(2, 4_000_000, generator=torch.Generator().manual_seed(0))
    assert (torch.nn.functional.silu(a) * b).std().item() == pytest.approx(SWIGLU_DEVIATION, rel=3e-3)


def test_mtp_holds_copies_of_embedding_and_head() -> None:
    source = weights()
    assert torch.equal(source.read("model.layers.2.embed_tokens.weight"), source.read("model.embed_tokens.weight"))
    assert torch.equal(source.read("model.layers.2.shared_head.head.weight"), source.read("lm_head.weight"))
    assert not torch.equal(source.read("model.embed_tokens.weight"), source.read("lm_head.weight"))
    one, two = (source.read(f"model.layers.1.mlp.experts.{e}.up_proj.weight").view(torch.uint8) for e in (0, 1))
    assert not torch.equal(one, two)


def test_memory_is_bounded_by_pieces_not_by_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Largest amount drawn and not yet written, of a tensor far larger than that."""
    monkeypatch.setattr("hopwell.checkpoint.synthetic.PIECE_BYTES", 1 << 16)
    source = weights(vocab_size=40_000)
    made = written = most = 0
    make = source.make

    def count(piece: Any) -> torch.Tensor:
        nonlocal made
        data = make(piece)
        made += data.nbytes
        return data

    def progress(done: int, total: int, name: str) -> None:
        nonlocal written, most
        most, written = max(most, made - written), done

    source.make = count  # type: ignore[method-assign]
    write(tmp_path / "a", source, progress=progress)
    largest = max(spec.nbytes for spec in source.specs.values())
    assert written == source.total_bytes and most <= 20 << 16 < largest


def test_an_unknown_name_is_refused() -> None:
    source = weights()
    assert source.hint("x") == ""
    with pytest.raises(CheckpointError, match="tensor x is missing"):
        source.read("x")
