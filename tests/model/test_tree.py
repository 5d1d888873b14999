"""Models taken apart and put together again: the same tensors in one buffer, what shared memory still shares it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import torch
from tiny import tiny_config
from torch import Tensor

from benchmarks.bits import logits
from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.synthetic import SyntheticWeights
from hopwell.formats.mixed import Mixed
from hopwell.formats.packed import Packed
from hopwell.model.config import ModelConfig
from hopwell.model.four_bits import FourBits
from hopwell.model.inventory import inventory
from hopwell.model.loading import Loader, load_transformer
from hopwell.model.snapshot import VERSION
from hopwell.model.transformer import MoE, Transformer
from hopwell.model.tree import ALIGNMENT, Apart, tensors, together
from hopwell.ops.cpu import cpu_packs_float16
from hopwell.ops.weight import Weight

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
WIDE = {"hidden_size": 128, "intermediate_size": 256, "moe_intermediate_size": 128}
TREE = "b7290c873994c7c7"
"""Of what a model consists of once it is loaded."""


def source(kind: str, **overrides: Any) -> SyntheticWeights:
    values = tiny_config(kind, **overrides)
    return SyntheticWeights(values, inventory(ModelConfig.from_dict(values)), seed=3)


def as_on_a_gpu(weights: SyntheticWeights) -> Transformer:
    """Formats kept, experts joined, four bits packed, as where kernels are."""
    loader = Loader(WeightSource(weights), ModelConfig.from_dict(weights.config), torch.device("cpu"), torch.bfloat16)
    loader.keeps_formats = loader.packs = loader.joins_experts = True
    return loader.transformer()


def in_four_bits(*formats: str) -> SyntheticWeights:
    """Experts in these formats in turn, all else in the first."""
    values = tiny_config("r1", **WIDE)
    each = [FourBits.of(name, "fp8") for name in formats]
    specs = [
        spec
        for index, one in enumerate(each)
        for spec in one.specs(values)
        if int((spec.name + ".experts.0.").split(".experts.")[1].split(".")[0]) % len(each) == index
    ]
    return SyntheticWeights(each[0].described(values), specs, seed=3)


def again(model: Transformer) -> Transformer:
    """Through JSON and a buffer."""
    apart = Apart(model)
    buffer, place = torch.full((apart.nbytes,), 0xEE, dtype=torch.uint8), 0
    for run in apart.runs:
        buffer[place : place + len(run)] = run
        place += -(-len(run) // ALIGNMENT) * ALIGNMENT
    assert place == apart.nbytes
    return together(json.loads(json.dumps(apart.tree)), buffer, model.config)


def all_tensors(part: Any) -> Iterator[Tensor]:
    """Every tensor but those of CPU libraries."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, list | tuple):
        for each in part:
            yield from all_tensors(each)
    elif is_dataclass(part):
        for field in fields(part):
            if field.name != "packed":
                yield from all_tensors(getattr(part, field.name))


def check(model: Transformer) -> Transformer:
    found = again(model)
    before, after = list(all_tensors(model)), list(all_tensors(found))
    assert len(before) == len(after) > 30
    for one, two in zip(before, after, strict=True):
        assert one.dtype == two.dtype and one.stride() == two.stride()
        assert torch.equal(one.contiguous().view(torch.uint8), two.contiguous().view(torch.uint8))
    return found


@pytest.mark.parametrize("kind", ["r1", "v2-lite", "kimi-k2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_logits_keep_their_bits(kind: str, dtype: torch.dtype) -> None:
    if dtype == torch.float16 and not cpu_packs_float16():
        pytest.skip("PyTorch packs no float16 on this CPU")
    model = load_transformer(source(kind), "cpu", dtype)
    for one, two in zip(logits(model), logits(check(model)), strict=True):
        assert torch.equal(one, two)


def test_matrices_of_cpu_libraries_are_made_again() -> None:
    if not cpu_packs_float16():
        pytest.skip("PyTorch packs no float16 on this CPU")
    model = check(load_transformer(source("r1"), "cpu", torch.float16))
    assert model.head.packed is not None and model.layers[0].attention.merged is not None


@pytest.mark.parametrize(
    ("weights", "stack"),
    [
        (source("r1", quantization_config=FP8, **WIDE), None),
        (in_four_bits("nvfp4"), Packed),
        (in_four_bits("mxfp4", "nvfp4"), Mixed),
    ],
)
def test_what_a_gpu_holds(weights: SyntheticWeights, stack: type | None) -> None:
    model = as_on_a_gpu(weights)
    found = check(model)
    networks = [layer.network for layer in found.layers if isinstance(layer.network, MoE)]
    for network in networks:
        assert network.joined is not None
        own, joined = network.experts.gate_up.stored, network.joined.experts.gate_up.stored
        assert next(own.tensors()).data_ptr() == next(joined.tensors()).data_ptr()
        assert stack is None or isinstance(own, stack)
    memories = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in all_tensors(model)}
    assert Apart(model).nbytes - sum(memories.values()) < ALIGNMENT * len(memories)


def test_every_tensor_has_a_name_and_an_aligned_memory() -> None:
    apart = Apart(load_transformer(source("r1"), "cpu", torch.float32))
    found = dict(tensors(apart.tree))
    assert found["embedding"] == 0
    assert {"layers.2.network.experts.down.stored.data", "mtp.layer.attention.o.stored.data", "rope_table"} <= set(
        found
    )
    assert not any(start % ALIGNMENT for start in found.values())


def test_what_is_no_part_of_a_model_is_refused() -> None:
    model = load_transformer(source("r1"), "cpu", torch.float32)
    with pytest.raises(TypeError, match="object is no part of a model"):
        Apart(replace(model, head=Weight(object())))  # type: ignore[arg-type]


def test_a_tree_that_does_not_fit_is_refused() -> None:
    apart = Apart(load_transformer(source("r1"), "cpu", torch.float32))
    config = ModelConfig.from_dict(tiny_config("r1"))
    whole = torch.zeros(apart.nbytes, dtype=torch.uint8)
    place = {"dtype": "F32", "shape": [4], "stride": [1], "start": 0}
    for change, fault in (
        ({"start": 2}, ValueError),
        ({"start": apart.nbytes}, RuntimeError),
        ({"start": -4}, RuntimeError),
        ({"shape": [1 << 62]}, RuntimeError),
        ({"stride": [-1]}, RuntimeError),
        ({"dtype": "F7"}, KeyError),
    ):
        with pytest.raises(fault):
            together(apart.tree | {"embedding": place | change}, whole, config)
    for tree, fault in (({"type": "Popen"}, KeyError), ({"type": "Dense"}, TypeError), ({"format": "x"}, KeyError)):
        with pytest.raises(fault):
            together(tree, whole, config)


def test_what_a_loaded_model_consists_of_has_a_version() -> None:
    """A change here, or of the order of values within a matrix, makes snapshots of before useless: raise `VERSION`, and
    write the new digest down."""
    found = [
        Apart(load_transformer(source("r1"), "cpu", torch.float32)).tree,
        Apart(as_on_a_gpu(in_four_bits("mxfp4", "nvfp4"))).tree,
    ]
    text = json.dumps(found, sort_keys=True).replace('"prepared": true', '"prepared": false')  # as a CPU has libraries
    assert (VERSION, hashlib.sha256(text.encode()).hexdigest()[:16]) == (2, TREE)
