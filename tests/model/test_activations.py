"""How rows enter FP8 products: by name, by cost, and what of it cannot be honoured."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hopwell.engine.llm import LLM
from hopwell.engine.loading import load_model
from hopwell.engine.request import SamplingParams
from hopwell.formats.fp8 import dequantize_fp8_block, quantize_fp8_block, round_to_e4m3
from hopwell.formats.matrices import Fp8Block, Plain
from hopwell.limits.catalogue import find_gpu
from hopwell.model.activations import CLASSES, MARGIN, ActivationsError, products, with_activations
from hopwell.model.config import ModelConfig
from hopwell.model.random_weights import random_transformer
from hopwell.model.shipped import shipped_config
from hopwell.model.transformer import MoE, Transformer
from hopwell.ops import moe
from hopwell.ops.linear import linear
from hopwell.ops.moe_experts import Experts
from hopwell.ops.weight import NEVER, Weight


def r1_tp8() -> Transformer:
    values = shipped_config("r1-tp8")
    assert values is not None
    config = replace(ModelConfig.from_dict({**values, "num_nextn_predict_layers": 0}), num_hidden_layers=4)
    return random_transformer(config, "meta")


@pytest.mark.parametrize("width", [128, 300])
def test_rows_are_rounded_in_groups_of_128(width: int) -> None:
    """Against float64: half a step of e4m3, 2^-4 of a value, or half its smallest step where the group is larger."""
    x = torch.randn(5, width, generator=torch.Generator().manual_seed(width)) * torch.logspace(-3, 2, width)
    x[3] = 0
    got = round_to_e4m3(x).double()
    for first in range(0, width, 128):
        group, rounded = x[:, first : first + 128].double(), got[:, first : first + 128]
        scale = group.abs().amax(-1, keepdim=True).clamp_min(1e-4) / 448
        assert ((rounded - group).abs() <= (group.abs() * 2.0**-4).clamp_min(scale * 2.0**-10) * 1.0001).all()
        codes = (rounded / scale).float()
        assert (codes - codes.to(torch.float8_e4m3fn).float()).abs().max() < 1e-3


def test_a_plain_product_rounds_from_so_many_rows_on() -> None:
    g = torch.Generator().manual_seed(1)
    data, scale = quantize_fp8_block(torch.randn(70, 200, generator=g))
    weight = Weight(Fp8Block(data, scale), rounds_from=3)
    exact = dequantize_fp8_block(data, scale, torch.float64)
    x = torch.randn(3, 200, generator=g)
    assert torch.allclose(linear(x[:2], weight).double(), x[:2].double() @ exact.T, atol=1e-4)
    assert torch.allclose(linear(x, weight).double(), round_to_e4m3(x).double() @ exact.T, atol=1e-4)
    assert weight.takes_fp8(3) and not weight.takes_fp8(2) and not Weight(Plain(data.float())).takes_fp8(3)


def test_experts_go_by_the_rows_of_the_step_one_by_one_and_fused() -> None:
    """An expert gets fewer rows than the step has; both layouts round alike."""
    g = torch.Generator().manual_seed(2)
    gate_up, down = torch.randn(4, 128, 96, generator=g) * 0.1, torch.randn(4, 96, 64, generator=g) * 0.1
    experts = Experts(Weight(Plain(gate_up)), Weight(Plain(down)))
    x, shares = torch.randn(6, 96, generator=g), torch.rand(6, 2, generator=g)
    ids = torch.stack([torch.randperm(4, generator=g)[:2] for _ in range(6)])
    plain = moe.moe(x, ids, shares, experts)
    experts = Experts(replace(experts.gate_up, rounds_from=6), replace(experts.down, rounds_from=6))
    rounded = moe.moe(x, ids, shares, experts)
    assert not torch.allclose(rounded, plain, rtol=1e-3)
    want = torch.zeros_like(x, dtype=torch.float64)
    for token in range(6):
        for slot in range(2):
            e = int(ids[token, slot])
            gate, up = (round_to_e4m3(x[token : token + 1]).double() @ gate_up[e].double().T).chunk(2, -1)
            inner = round_to_e4m3((torch.nn.functional.silu(gate) * up).float())
            want[token] += shares[token, slot] * (inner.double() @ down[e].double().T)[0]
    assert ((rounded - want).norm() / want.norm()).item() < 0.01  # a value may fall on the other side of a tie
    experts = experts.fuse()
    fused = moe.moe(x, ids, shares, experts)
    assert experts.fused is not None
    assert ((fused - want).norm() / want.norm()).item() < 0.01


@pytest.mark.parametrize(("gpu", "dense"), [("H100", 65), ("H200", 33), ("B200", 65)])
def test_auto_follows_the_cost_of_each_op(gpu: str, dense: int) -> None:
    model = r1_tp8()
    model = with_activations(model, "auto", gpu=find_gpu(gpu))
    a, network = model.layers[0].attention, model.layers[-1].network
    assert isinstance(network, MoE) and network.shared is not None
    assert {w.rounds_from for w in (a.qkv_a, a.q_b, a.o)} == {dense}
    every = (network.experts.gate_up, network.experts.down, network.shared.gate_up, network.shared.down)
    assert {w.rounds_from for w in every} == {129}  # 4 rows an expert at 128 tokens: weights dominate
    for weight, costs in products(model):
        for rows in range(1, 129):
            cost = costs(rows, "bf16")
            if not weight.takes_fp8(rows):  # in bf16 the matrix unit takes half the time of the bytes at most
                seconds = cost.bytes / find_gpu(gpu).bandwidth
                assert MARGIN * cost.flops / find_gpu(gpu).bf16 <= seconds * 1.0001


def test_a_class_of_kernels_has_one_format() -> None:
    pytest.importorskip("triton")
    from hopwell.model.shape_classes import LOGIT_ROWS, LONG

    assert tuple(first for first, _ in CLASSES) == LOGIT_ROWS[:-1]
    assert CLASSES[-1][1] + 1 == LONG


def test_what_cannot_be_honoured_is_named() -> None:
    model = r1_tp8()
    with pytest.raises(ActivationsError, match="'int8'; known: fp8, bf16, auto"):
        with_activations(model, "int8")
    with pytest.raises(ActivationsError, match="'auto', which follows the batch"):
        with_activations(model, "auto", batch_invariant=True, gpu=find_gpu("H100"))
    plain = random_transformer(replace(model.config, weight_block_size=None), "meta")
    with pytest.raises(ActivationsError, match="'fp8', but the model's weights are not in FP8"):
        with_activations(plain, "fp8")
    with_activations(plain, "auto")


@pytest.mark.slow
def test_nano_answers_in_every_format() -> None:
    loaded = load_model(device="cpu")
    question, greedy = [{"role": "user", "content": "What is 12 + 34?"}], SamplingParams(temperature=0.0)
    for name in (None, "fp8", "bf16", "auto"):
        llm = LLM(loaded, activations=name, cache_tokens=4096)
        assert "46" in llm.chat(question, greedy).text
        wanted = {None: {None}, "fp8": {0}}.get(name, {NEVER})  # without an FP8 unit nothing is gained by rounding
        assert {w.rounds_from for w, _ in products(llm.engine.runner.model)} == wanted
        llm.close()
    with pytest.raises(ActivationsError, match="activations is 'fp9'"):
        LLM(loaded, activations="fp9")
