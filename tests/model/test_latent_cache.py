"""The FP8 latent cache: what its codes stand for, scales that cannot saturate, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hopwell.bench.models import bench_config
from hopwell.engine.llm import LLM
from hopwell.engine.loading import load_model
from hopwell.engine.request import SamplingParams
from hopwell.model.batch import ForwardBatch
from hopwell.model.latent_cache import CacheFormatError, bounding_scales, page_bytes, with_cache
from hopwell.model.random_weights import random_transformer
from hopwell.model.transformer import Transformer
from hopwell.ops.paging import CacheScales
from hopwell.ops.router import RouterConfig


@pytest.fixture
def model() -> Transformer:
    config = replace(
        bench_config("r1-tp8", layers=2), vocab_size=160, hidden_size=256, intermediate_size=128,
        moe_intermediate_size=128, n_routed_experts=8, num_attention_heads=2, q_lora_rank=128, kv_lora_rank=128,
        max_position_embeddings=256, weight_block_size=None, router=RouterConfig(2, 4, 2, "sigmoid", True, 2.5),
        first_k_dense_replace=2,  # a router would turn the smallest difference into another expert
    )  # fmt: skip
    return random_transformer(config, "cpu", seed=8)


def run(model: Transformer, length: int = 150) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states of a prompt and the cache it left."""
    pages = -(-length // 64)
    latent = model.new_latent(pages)
    tokens = torch.arange(length) * 11 % 160
    table = torch.arange(pages, dtype=torch.int32).flip(0).unsqueeze(0)
    return model.forward(ForwardBatch(tokens, torch.arange(length), [length], [length], table), latent), latent


def test_codes_stand_for_values_within_half_a_step() -> None:
    scales = CacheScales(0.25, 3.0, rank=6)
    rows = torch.randn(40, 10, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0] * 6 + [50.0] * 4)
    got = scales.decode(scales.encode(rows), torch.float32)
    step = torch.tensor([0.25] * 6 + [3.0] * 4)
    assert ((got - rows).abs() <= torch.maximum(rows.abs() / 16, step / 1024)).all()  # 2^-4 of a value, or 2^-10
    assert scales.decode(scales.encode(torch.full((1, 10), 1e5)), torch.float32).unique().tolist() == [112.0, 1344.0]


def test_an_fp8_cache_gives_nearly_the_same_in_half_the_bytes(model: Transformer) -> None:
    want, plain = run(model)
    coded = with_cache(model, "fp8")
    got, latent = run(coded)
    assert latent.dtype == torch.float8_e4m3fn and latent.nbytes * 2 == plain.nbytes
    assert page_bytes(coded, 64) == 2 * 64 * 192
    # e4m3 errs by 2.6 % of a value in the mean; attention averages it, the residual dilutes it
    assert ((got.float() - want.float()).norm() / want.float().norm()).item() < 0.05
    for layer, attention in enumerate(coded.attentions):
        assert attention.cache_scales is not None
        rows = attention.cache_scales.decode(latent[layer], torch.float32)
        assert ((rows - plain[layer].float()).norm() / plain[layer].float().norm()).item() < 0.06
    again, _ = run(model)  # as it was
    assert torch.equal(again, want)


def test_scales_from_the_weights_cannot_saturate(model: Transformer) -> None:
    """Inputs chosen against the bound: all of a row's length along one key's weights, or in one latent's channel."""
    layer = model.layers[1]
    scales = bounding_scales(layer.attention, layer.input_norm)
    key = layer.attention.qkv_a.dequantize(torch.float32)[-64:] * layer.input_norm
    unit = key[7] / key[7].norm()
    assert abs(float(key[7] @ unit)) * 256**0.5 <= scales.rope * 448
    assert float(layer.attention.kv_a_norm.abs().max()) * 128**0.5 <= scales.latent * 448 * 1.0001


def test_calibrated_scales_are_taken(model: Transformer) -> None:
    given = [CacheScales(0.02, 0.1, 128), CacheScales(0.03, 0.2, 128)]
    coded = with_cache(model, "fp8", given)
    assert [a.cache_scales for a in coded.attentions] == given
    run(coded)


def test_what_cannot_be_is_named(model: Transformer) -> None:
    with pytest.raises(CacheFormatError, match="'int3'; known: auto, bfloat16, fp8"):
        with_cache(model, "int3")
    with pytest.raises(CacheFormatError, match="1 cache scales for 2 layers"):
        with_cache(model, "fp8", [CacheScales(1.0, 1.0)])
    with pytest.raises(CacheFormatError, match="only fp8 has scales"):
        with_cache(model, "bfloat16", [CacheScales(1.0, 1.0)] * 2)


@pytest.mark.slow
def test_nano_answers_from_an_fp8_cache() -> None:
    loaded = load_model(device="cpu")
    llm = LLM(loaded, cache_dtype="fp8", cache_tokens=4096)
    try:
        assert llm.engine.runner.latent.dtype == torch.float8_e4m3fn
        greedy = SamplingParams(temperature=0.0)
        assert "408" in llm.chat([{"role": "user", "content": "What is 12 * 34?"}], greedy).text
    finally:
        llm.close()
    with pytest.raises(CacheFormatError, match="cache_dtype is 'fp9'"):
        LLM(loaded, cache_dtype="fp9")
