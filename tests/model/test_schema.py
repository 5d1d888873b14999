"""The family's tensors, held to digests that were written down: of their names, and of what a model becomes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny import tiny_config
from torch import Tensor

from hopwell.checkpoint.reader import Checkpoint
from hopwell.checkpoint.synthetic import SyntheticWeights
from hopwell.model import NANO, schema
from hopwell.model.config import ModelConfig
from hopwell.model.inventory import inventory
from hopwell.model.loading import load_transformer
from hopwell.model.random_weights import random_transformer
from hopwell.model.shipped import find_config, tensor_parallel_share
from hopwell.model.transformer import Dense, Layer, Transformer

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}


def config_of(name: str) -> dict[str, Any]:
    """A shipped config, or `tiny` and `tiny-fp8` of a kind."""
    form, _, kind = name.partition(" ")
    if not kind:
        return find_config(name)
    return tiny_config(kind, quantization_config=FP8) if form == "tiny-fp8" else tiny_config(kind)


INVENTORIES = {
    "nano": (619, "9403868040b846e6dec4bbd90d8600046fb0c2ee4ed943bdbffc47fe7eaf9a86"),
    "deepseek-r1": (91_991, "1a04a9f168ef7f30ee1edbe8e493b545f1ac1ad0eb981254dcf0a499effd8615"),
    "deepseek-v2-lite": (5_291, "f5a3fece0631273260e2858026176ffe20001c3b6bdcdebbaf72dfdaf871e86a"),
    "kimi-k2": (139_583, "ae8b838d50b4dbcedb24b502775edd2ef3642621691f8415afe51d97dbab5e33"),
    "tiny r1": (207, "aff7df27e43b2d63db5b84adaa1b4bacc94ec9218a7ae8be7f72aebd97ff3b75"),
    "tiny v2-lite": (131, "39174b526c1e909c2c4751de96e8d19a1f76fb3f4cc12403af71c83193dc79b3"),
    "tiny kimi-k2": (187, "7c7a59de89c6ecaa6e1dc29210795095e31fa247f7def2280a935c1e0a8edbcf"),
}


@pytest.mark.parametrize("name", INVENTORIES)
@pytest.mark.slow
def test_names_shapes_and_order_are_those_of_the_released_checkpoints(name: str) -> None:
    specs = inventory(ModelConfig.from_dict(config_of(name)))
    text = "\n".join(f"{spec.name} {list(spec.shape)} {spec.dtype} {spec.part}" for spec in specs)
    assert (len(specs), hashlib.sha256(text.encode()).hexdigest()) == INVENTORIES[name]


def test_every_tensor_has_a_row_and_a_layer() -> None:
    config = ModelConfig.from_dict(tiny_config("r1"))
    specs = list(schema.tensors(config))
    assert {schema.row_of(spec.name) for spec in specs} == set(schema.ROWS) - {schema.Q}
    for spec in specs:
        row, layer = schema.row_of(spec.name), schema.layer_of(spec.name)
        assert (layer is None) == (row in (schema.EMBEDDING, schema.FINAL_NORM, schema.HEAD))
        assert row.shape(config) == spec.shape and row.name(layer or 0, 0).startswith("model.layers.") == (
            layer is not None
        )
        assert spec.quantisable == (len(spec.shape) == 2 and "fp8_block" in row.kind.formats)
    assert all(row.part in schema.PARTS and set(row.kind.formats) <= {*schema.ANY} for row in schema.ROWS)
    for name in ("model.layers.0.self_attn.w_proj.weight", "model.layers.x.mlp.gate.weight", "layers"):
        with pytest.raises(KeyError):
            schema.row_of(name)
    assert schema.layer_of("model.layers_3.mlp") is schema.layer_of("model.layers.weight") is None


@pytest.mark.parametrize("name", ["deepseek-r1", "deepseek-v2-lite", "tiny r1"])
def test_what_gpus_cut_is_what_a_share_of_the_config_has(name: str) -> None:
    """All but the embedding, which each GPU has whole: a config knows one vocabulary."""
    values = config_of(name)
    whole, share = (ModelConfig.from_dict(v) for v in (values, tensor_parallel_share(values, 4)))
    for row in schema.ROWS:
        shape = list(row.shape(whole))
        if row.cut is not None:
            shape[row.cut] //= 4
        if schema.TOKENS not in row.sides:
            assert tuple(shape) == row.shape(share), row.pattern
    cut = {row for row in schema.ROWS if row.cut is not None}
    attention = {schema.Q, schema.Q_B, schema.KV_B, schema.O}
    networks = {row for network in (schema.DENSE, schema.SHARED, schema.EXPERT) for row in network}
    assert cut == attention | networks | {schema.HEAD, schema.MTP_HEAD}
    assert {row for row in schema.ROWS if row.by_expert} == set(schema.EXPERT)


def weights_of(model: Transformer) -> Iterator[Tensor]:
    """Every weight of a model as values, in an order that does not hang on how objects hold them."""

    def layer_of(layer: Layer) -> Iterator[Tensor]:
        a, network = layer.attention, layer.network
        yield from (layer.input_norm, a.qkv_a.dequantize(torch.float32))
        if a.q_b is not None and a.q_a_norm is not None:
            yield from (a.q_a_norm, a.q_b.dequantize(torch.float32))
        yield from (a.kv_a_norm, a.w_uk, a.w_uv, a.o.dequantize(torch.float32), layer.post_norm)
        dense = network if isinstance(network, Dense) else network.shared
        if not isinstance(network, Dense):
            yield network.gate
            if network.bias is not None:
                yield network.bias
            for stack in (network.experts.gate_up, network.experts.down):
                yield stack.dequantize(torch.float32)
        if dense is not None:
            yield from (dense.gate_up.dequantize(torch.float32), dense.down.dequantize(torch.float32))

    yield from (model.embedding, model.final_norm, model.head.dequantize(torch.float32))
    for layer in model.layers:
        yield from layer_of(layer)
    if model.mtp is not None:
        mtp = model.mtp
        yield from (mtp.embedding_norm, mtp.hidden_norm, mtp.projection.dequantize(torch.float32), mtp.final_norm)
        yield from layer_of(mtp.layer)


def digest(model: Transformer) -> str:
    found = hashlib.sha256()
    for tensor in weights_of(model):
        found.update(f"{list(tensor.shape)} {tensor.dtype} ".encode())
        found.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:24]


LOADED = {
    "nano": "32bdba3e1cb6c9713e10554b",
    "tiny r1": "ae88246d34d4505efad5cda3",
    "tiny-fp8 r1": "04efdebe4d81e2dcf610e7da",
    "tiny v2-lite": "0d0cc7fa44fd86d1adf2db0c",
    "tiny-fp8 v2-lite": "e9ea264e8447905131b30ea7",
    "tiny kimi-k2": "76a49bdb91470a970014acc6",
    "tiny-fp8 kimi-k2": "29d94f1addf44efc0854d84a",
}


@pytest.mark.parametrize("name", LOADED)
def test_a_load_makes_the_same_weights_of_a_checkpoint(name: str) -> None:
    """Of nano's files, and of synthetic ones: their bytes follow from the seed on every machine."""
    values = config_of(name)
    specs = inventory(ModelConfig.from_dict(values))
    source = Checkpoint.open(NANO) if name == "nano" else SyntheticWeights(values, specs, seed=7)
    assert digest(load_transformer(source, dtype=torch.float32)) == LOADED[name]


DRAWN = {
    "nano": "1033ada796a66fa6806e7dd0",
    "tiny r1": "b0b9eec50d373706b8a52843",
    "tiny-fp8 v2-lite": "645f35f55af74f3f69ff8fb9",
    "tiny-fp8 kimi-k2": "38b03c470bcd37d12dd73ce1",
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_draws_the_same_model(name: str) -> None:
    assert digest(random_transformer(ModelConfig.from_dict(config_of(name)), "cpu", seed=5)) == DRAWN[name]
