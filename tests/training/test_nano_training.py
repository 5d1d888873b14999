"""Training computes what inference computes: the same logits and drafts from the same weights, in float32."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import tiny_config

from hopwell.checkpoint.reader import Checkpoint
from hopwell.model.batch import ForwardBatch
from hopwell.model.config import ModelConfig
from hopwell.model.loading import load_transformer
from hopwell.ops.router import RouterConfig, select_experts
from training.nano import export, network
from training.nano.optimizer import orthogonalize

ROOT = Path(__file__).parents[2]

CPU = torch.device("cpu")
SMALL = {
    "kv_lora_rank": 64,
    "num_hidden_layers": 3,
    "hidden_size": 128,
    "moe_intermediate_size": 128,
    "n_routed_experts": 8,
}


@pytest.fixture
def trained() -> tuple[dict, ModelConfig, network.Parameters, torch.Tensor]:
    """A small model with every parameter away from its initial value, at what bf16 can hold."""
    values = tiny_config("r1", **SMALL)
    c = ModelConfig.from_dict(values)
    g = torch.Generator().manual_seed(3)
    p = network.initial(c, 3, CPU)
    for name, value in p.items():
        if name in ("o", "dense_down", "moe_down", "head"):
            value = torch.randn(value.shape, generator=g) * value.shape[-1] ** -0.5
        elif name.endswith("norm"):
            value = value + 0.2 * torch.randn(value.shape, generator=g)
        p[name] = value.bfloat16().float()
    return values, c, p, 0.1 * torch.randn(3, c.n_routed_experts, generator=g)


def batch(tokens: torch.Tensor) -> ForwardBatch:
    size = len(tokens)
    pages = torch.arange(-(-size // 64), dtype=torch.int32).unsqueeze(0)
    return ForwardBatch(tokens, torch.arange(size), [size], [size], pages)


def test_forward_and_draft_match_the_transformer(trained, tmp_path: Path) -> None:
    values, c, p, bias = trained
    export.write(tmp_path, p, bias, values, fp8=False)
    model = load_transformer(Checkpoint.open(tmp_path), "cpu", torch.float32)
    g = torch.Generator().manual_seed(4)
    tokens, following = torch.randint(c.vocab_size, (2, 90), generator=g)
    latent = model.new_latent(2)
    hidden = model.forward(batch(tokens), latent)
    drafted = model.logits(model.draft(hidden, batch(following), latent))

    net, blocks = network.Network(c, compiled=False), [network.Block(slice(0, 90), 90)]
    rope = network.rope_table(c, 90, CPU)
    x, layers, routing = net.hidden(p, bias, tokens, rope, blocks)
    logits = torch.nn.functional.linear(network.rms_norm(x, p["final_norm"], c.rms_norm_eps), p["head"])
    x = net.draft_hidden(p, layers, bias, x, following, rope, blocks, routing)
    drafts = torch.nn.functional.linear(network.rms_norm(x, p["mtp_norm"], c.rms_norm_eps), p["head"])
    assert (logits - model.logits(hidden)).abs().max() < 1e-4
    assert (drafts - drafted).abs().max() < 1e-4
    assert len(routing) == 3 and network.loads(routing, torch.ones(90)).sum(-1).eq(90 * c.router.top_k).all()


def test_experts_are_chosen_as_the_router_does(trained) -> None:
    c = trained[1]
    g = torch.Generator().manual_seed(5)
    logits, bias = torch.randn(400, c.n_routed_experts, generator=g), torch.randn(c.n_routed_experts, generator=g)
    chosen = network.choose(logits.sigmoid(), bias, c)
    ids, _ = select_experts(logits, bias, c.router)
    assert isinstance(c.router, RouterConfig)
    assert torch.equal(chosen, torch.zeros_like(chosen).scatter(1, ids, 1.0))


@pytest.mark.parametrize("fp8", [False, True])
def test_a_checkpoint_can_be_trained_on(trained, tmp_path: Path, fp8: bool) -> None:
    values, _, p, bias = trained
    export.write(tmp_path, p, bias, values, fp8)
    again, again_bias = export.load_checkpoint(tmp_path, CPU)
    assert torch.equal(bias, again_bias) and again.keys() == p.keys()
    for name, value in p.items():
        if fp8 and name in network.FP8:  # e4m3 keeps 3 bits of mantissa: at most 1/16 off within a block's range
            assert ((again[name] - value).abs() <= value.abs() / 16 + value.abs().max() / 448).all()
        else:
            assert torch.equal(again[name], value)


def test_saved_parts_come_back(trained, tmp_path: Path) -> None:
    _, _, p, bias = trained
    export.save_parts(tmp_path, p, bias)
    again, again_bias = export.load_parts(tmp_path, CPU)
    assert torch.equal(bias, again_bias) and all(torch.equal(again[name], p[name]) for name in p)


def test_balance_loss_is_least_when_experts_share_alike(trained) -> None:
    """All alike: 1 a sequence, since f_i sums to the number of experts and P_i to 1; all on one: that number."""
    c = trained[1]
    experts, blocks, real = c.n_routed_experts, [network.Block(slice(0, 64), 32)], torch.ones(64)
    even = torch.full((64, experts), 0.5)
    rotating = torch.nn.functional.one_hot(torch.arange(64) % experts, experts).float()
    assert network.balance_loss([network.Routing(even, rotating)], blocks, real, 1) == pytest.approx(1.0)
    one = torch.zeros(64, experts)
    one[:, 0] = 1.0
    assert network.balance_loss([network.Routing(one, one)], blocks, real, 1) == pytest.approx(experts)


def test_orthogonalize_brings_singular_values_near_one() -> None:
    g = torch.Generator().manual_seed(6)
    for shape in ((2, 96, 64), (64, 96)):
        singular = torch.linalg.svdvals(orthogonalize(torch.randn(shape, generator=g)).float())
        assert singular.min() > 0.5 and singular.max() < 1.3


def test_shipped_config_keeps_every_part_of_r1() -> None:
    r1 = json.loads((ROOT / "hopwell/model/configs/deepseek-r1.json").read_text(encoding="utf-8"))
    nano = json.loads((ROOT / "hopwell/model/nano/config.json").read_text(encoding="utf-8"))
    same = ("model_type", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "scoring_func")
    same += ("topk_method", "norm_topk_prob", "num_nextn_predict_layers", "n_shared_experts", "rope_theta")
    assert {key: nano[key] for key in same} == {key: r1[key] for key in same}
    assert nano["q_lora_rank"] and nano["n_group"] > 1 and nano["topk_group"] < nano["n_group"]
    assert nano["rope_scaling"]["type"] == "yarn"
    assert nano["quantization_config"]["weight_block_size"] == r1["quantization_config"]["weight_block_size"]
