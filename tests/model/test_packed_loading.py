"""Checkpoints in four bits, loaded to stay packed as on a GPU: the values of an expanded load, the bytes on disk."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import tiny_config
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.synthetic import SyntheticWeights
from hopwell.formats.layouts import packed as from_checkpoint
from hopwell.formats.matrices import Matrix
from hopwell.formats.mixed import Mixed
from hopwell.formats.packed import PACKABLE, Packed
from hopwell.model import schema
from hopwell.model.config import ModelConfig
from hopwell.model.four_bits import FourBits
from hopwell.model.loading import Loader
from hopwell.model.transformer import Dense, MoE, Transformer

WIDTHS = {"hidden_size": 128, "intermediate_size": 256, "moe_intermediate_size": 128, "num_nextn_predict_layers": 0}


def written(*formats: str, attention: str = "bf16") -> SyntheticWeights:
    """A checkpoint whose experts are in these formats in turn, and all else as in the first."""
    values: dict[str, Any] = tiny_config("r1", **WIDTHS)
    each = [FourBits.of(name, attention) for name in formats]
    found = [{spec.name: spec for spec in one.specs(values)} for one in each]

    def wanted(name: str) -> int:
        parts = name.split(".")
        return int(parts[parts.index("experts") + 1]) % len(formats) if "experts" in parts else 0

    specs = [spec for index, one in enumerate(found) for name, spec in one.items() if wanted(name) == index]
    return SyntheticWeights(each[0].described(values), specs, seed=1)


def load(checkpoint: SyntheticWeights, packed: bool) -> Transformer:
    """On a CPU as on a GPU, where kernels are."""
    config = ModelConfig.from_dict(checkpoint.config)
    loader = Loader(WeightSource(checkpoint), config, torch.device("cpu"), torch.bfloat16)
    loader.keeps_formats, loader.packs, loader.joins_experts = packed, packed, packed
    return loader.transformer()


def own_bytes(checkpoint: SyntheticWeights, module: str, shape: tuple[int, int]) -> list[Tensor]:
    scales = ("input_scale", "input_global_scale")
    tensors = {
        name.rpartition(".")[2]: checkpoint.read(name) for name in checkpoint.specs if name.rpartition(".")[0] == module
    }
    return raw(from_checkpoint({suffix: t for suffix, t in tensors.items() if suffix not in scales}, shape))


def raw(matrix: Matrix) -> list[Tensor]:
    return [t.contiguous().flatten().view(torch.uint8) for t in matrix.tensors()]


@pytest.mark.parametrize("name", [str(each.name) for each in PACKABLE])
def test_values_are_those_of_an_expanded_load_and_bytes_the_checkpoint_s(name: str) -> None:
    checkpoint = written(name, attention="fp8")
    model, plain = load(checkpoint, True), load(checkpoint, False)
    assert model.layers[0].attention.o.is_fp8
    for layer, other in zip(model.layers, plain.layers, strict=True):
        one, two = layer.network, other.network
        pairs = []
        if isinstance(one, Dense) and isinstance(two, Dense):
            pairs = [(one.gate_up, two.gate_up), (one.down, two.down)]
        elif isinstance(one, MoE) and isinstance(two, MoE):
            pairs = [(one.experts.gate_up, two.experts.gate_up), (one.experts.down, two.experts.down)]
            assert one.joined is not None and one.joined.shared == model.config.n_shared_experts
        for mine, theirs in pairs:
            assert isinstance(mine.stored, Packed)
            assert torch.equal(mine.dequantize(torch.bfloat16), theirs.dequantize(torch.bfloat16))
            assert mine.stored.nbytes < 0.35 * theirs.stored.nbytes
    layer, width, hidden = model.config.first_k_dense_replace, 128, 128
    network = model.layers[layer].network
    assert isinstance(network, MoE)
    fused = network.experts.gate_up.stored.at(1)
    for first, row in ((0, schema.EXPERT.gate), (width, schema.EXPERT.up)):
        got = raw(fused.unpacked(first, width))  # type: ignore[attr-defined]
        want = own_bytes(checkpoint, row.module(layer, 1), (width, hidden))
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_experts_of_a_layer_in_two_formats_stay_packed() -> None:
    checkpoint = written("int4_g32", "mxfp4")
    model, plain = load(checkpoint, True), load(checkpoint, False)
    layer = model.config.first_k_dense_replace
    one, two = model.layers[layer].network, plain.layers[layer].network
    assert isinstance(one, MoE) and isinstance(two, MoE)
    for mine, theirs in ((one.experts.gate_up, two.experts.gate_up), (one.experts.down, two.experts.down)):
        assert isinstance(mine.stored, Mixed) and mine.shape == theirs.shape
        assert {str(part.kind.name) for part in mine.stored.parts} == {"int4_g32", "mxfp4"}
        assert torch.equal(mine.dequantize(torch.bfloat16), theirs.dequantize(torch.bfloat16))
    assert one.joined is not None and one.joined.shared == 0 and one.shared is not None
