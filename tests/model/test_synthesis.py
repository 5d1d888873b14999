"""Synthetic checkpoints load here and in `transformers`, with the same logits, and their routers spread tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from parity import transformers
from safetensors.torch import save_file
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.reader import Checkpoint
from hopwell.checkpoint.synthetic import SyntheticWeights
from hopwell.engine.llm import LLM
from hopwell.engine.loading import load_model
from hopwell.engine.request import SamplingParams
from hopwell.formats.fp8 import dequantize_fp8_block
from hopwell.model.batch import ForwardBatch
from hopwell.model.config import ConfigError, ModelConfig
from hopwell.model.four_bits import FourBits
from hopwell.model.inventory import inventory
from hopwell.model.loading import load_transformer
from hopwell.model.probe import SEQUENCES, probe
from hopwell.model.random_weights import random_transformer
from hopwell.model.routed import remembering
from hopwell.model.sharding import Shard
from hopwell.model.synthesis import drawn_at_load, synthesise
from hopwell.model.transformer import MoE, Transformer
from hopwell.ops.exchange import GroupExchange
from hopwell.parallel.layout import Layout

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
TOLERANCE = 2e-4  # max abs difference of logits whose spread is near 1, as tests/parity.py has it


def logits(model: Transformer, tokens: Tensor) -> Tensor:
    """Every position's logits of one sequence."""
    length, pages = len(tokens), -(-len(tokens) // 64)
    table = torch.arange(pages, dtype=torch.int32).view(1, -1)
    batch = ForwardBatch(tokens, torch.arange(length), [length], [length], table)
    return model.logits(model.forward(batch, model.new_latent(pages)))


def expanded(folder: Path, to: Path) -> Path:
    """The same checkpoint with plain float32 values in place of FP8 blocks."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.safetensors*"))
    source = Checkpoint.open(folder)
    tensors = {}
    for name in source.tensors:
        if not name.endswith("_scale_inv"):
            tensors[name] = source.read(name)
        else:
            weight = name.removesuffix("_scale_inv")
            tensors[weight] = dequantize_fp8_block(source.read(weight), source.read(name), torch.float32)
    config = dict(source.config)
    del config["quantization_config"]
    save_file(tensors, to / "model.safetensors", metadata={"format": "pt"})
    (to / "config.json").write_text(json.dumps(config))
    return to


@pytest.mark.parametrize("kind", ["r1", "v2-lite", "r1 in FP8", "v3.1 in FP8"])
def test_logits_equal_those_of_transformers(kind: str, tmp_path: Path) -> None:
    values = tiny.tiny_config(kind.split()[0] if kind != "v3.1 in FP8" else "r1", num_nextn_predict_layers=0)
    if "FP8" in kind:
        values |= {"quantization_config": FP8 | ({"scale_fmt": "ue8m0"} if kind.startswith("v3.1") else {})}
    folder = tmp_path / "m"
    synthesise(values, folder, seed=4)
    tokens = torch.randint(values["vocab_size"], (90,), generator=torch.Generator().manual_seed(0))
    got = logits(load_transformer(Checkpoint.open(folder), dtype=torch.float32), tokens)
    plain = expanded(folder, tmp_path / "plain") if "FP8" in kind else folder
    ways = {"attn_implementation": "eager", "experts_implementation": "eager"}
    peer = transformers().AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32, **ways).eval()
    with torch.no_grad():
        want = peer(tokens.unsqueeze(0)).logits[0]
    assert 0.7 < want.std() < 1.4, "activations neither vanish nor explode"
    assert (got - want).abs().max() <= TOLERANCE


def test_every_tensor_of_a_synthetic_checkpoint_is_used(tmp_path: Path) -> None:
    """The loader's strict accounting, MTP layer included, on FP8 with ragged last blocks."""
    synthesise(tiny.tiny_config("r1", quantization_config=FP8, kv_lora_rank=200), tmp_path / "m", seed=1)
    model = load_transformer(Checkpoint.open(tmp_path / "m"), dtype=torch.float32)
    assert model.has_mtp


@pytest.mark.parametrize("name", ["r1", *(pytest.param(n, marks=pytest.mark.slow) for n in ("v2-lite", "kimi-k2"))])
@pytest.mark.slow
def test_activations_keep_their_size_through_many_layers(name: str) -> None:
    values = tiny.tiny_config(name, num_hidden_layers=30, hidden_size=128, num_nextn_predict_layers=0)
    config = ModelConfig.from_dict(values)
    rows = probe(SyntheticWeights(values, inventory(config), seed=2), layers=30)
    assert len(rows) == 29 and 1 < rows[0].rms < rows[-1].rms < 12
    model = load_transformer(SyntheticWeights(values, inventory(config), seed=2), dtype=torch.float32)
    out = logits(model, torch.randint(128, (64,), generator=torch.Generator().manual_seed(1)))
    assert out.isfinite().all() and 0.7 < out.std() < 1.4


def test_the_probe_measures_what_the_model_routes(tmp_path: Path) -> None:
    """The probe's second router against the same tokens through the loaded model."""
    values = tiny.tiny_config("r1", n_routed_experts=64, num_experts_per_tok=2, num_hidden_layers=3)
    config = ModelConfig.from_dict(values)
    weights = SyntheticWeights(values, inventory(config), seed=9)
    rows = probe(weights, layers=2, seed=3)
    assert [row.layer for row in rows] == [1, 2]
    model = load_transformer(weights, dtype=torch.bfloat16)
    tokens = torch.randint(128, (SEQUENCES * 128,), generator=torch.Generator().manual_seed(3))
    model, routers = remembering(model)
    for sequence in tokens.view(SEQUENCES, 128):
        logits(model, sequence)
    for row, into in zip(rows, (router.chosen for router in routers), strict=True):
        distinct = sum(ids.unique().numel() for ids in into) / SEQUENCES
        load = torch.cat(into).flatten().bincount(minlength=64).max().item() * 64 / (SEQUENCES * 128 * 2)
        assert row.distinct == pytest.approx(distinct, rel=0.02) and row.max_load == pytest.approx(load, rel=0.05)


def test_what_is_even_is_known_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A router that chooses by token number alone touches what the formula says, and loads all alike."""
    values = tiny.tiny_config("r1", n_routed_experts=16, num_experts_per_tok=4, n_group=1, topk_group=1)

    def in_turn(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        ids = (4 * torch.arange(len(x))[:, None] + torch.arange(4)) % 16
        return ids, torch.full(ids.shape, 0.25)

    monkeypatch.setattr("hopwell.model.probe.route", in_turn)
    (row,) = probe(SyntheticWeights(values, inventory(ModelConfig.from_dict(values)), 0), layers=1)
    assert row.distinct == 16 and row.max_load == 1.0
    assert row.expected_distinct == pytest.approx(16 * (1 - 0.75**128)) and 1.02 < row.expected_max_load < 1.2


def test_a_model_without_experts_has_nothing_to_measure() -> None:
    values = tiny.tiny_config("r1", first_k_dense_replace=3)
    assert probe(SyntheticWeights(values, inventory(ModelConfig.from_dict(values)), 0), layers=2) == []


def test_formats_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    values = tiny.tiny_config("r1", quantization_config={"quant_method": "modelopt", "quant_algo": "NVFP4"})
    with pytest.raises(ConfigError, match="quant_method is 'modelopt'; FP8 blocks"):
        synthesise(values, tmp_path / "m", seed=0)
    assert list(tmp_path.iterdir()) == []


def test_weights_may_be_made_as_they_are_asked_for() -> None:
    values = tiny.tiny_config("r1", quantization_config=FP8)
    source = WeightSource(SyntheticWeights(values, inventory(ModelConfig.from_dict(values)), 0))
    weight = source.take_linear("model.layers.0.mlp.up_proj", (96, 64))
    assert weight.is_fp8 and weight.dequantize(torch.float32).isfinite().all()


def test_an_engine_serves_it(tmp_path: Path) -> None:
    """With nano's tokenizer beside the weights, where the vocabulary has room for it."""
    synthesise(tiny.tiny_config("r1", vocab_size=1100), tmp_path / "m", seed=0)
    llm = LLM(tmp_path / "m", max_seqs=2)
    one, two = llm.generate(["hello", "what is 2 + 2?"], SamplingParams(temperature=0.0, max_tokens=5, ignore_eos=True))
    assert len(one.answers[0].tokens) == len(two.answers[0].tokens) == 5
    assert llm.tokenizer.decode([1050, 1099]).split() == ["t1050", "t1099"], "ids beyond nano's have text of their own"
    assert llm.tokenizer.encode("what is") == LLM().tokenizer.encode("what is")
    llm.close()
    synthesise(tiny.tiny_config("r1"), tmp_path / "small", seed=0)
    assert not (tmp_path / "small" / "tokenizer.json").exists()


@pytest.mark.parametrize("four_bits", [None, FourBits.of("nvfp4", "fp8")])
def test_weights_drawn_at_load_are_those_that_would_be_written(tmp_path: Path, four_bits: FourBits | None) -> None:
    values = tiny.tiny_config("r1", vocab_size=1100, hidden_size=128, moe_intermediate_size=128, intermediate_size=128)
    for name, at_load in (("written", False), ("drawn", True)):
        report = synthesise(values, tmp_path / name, 7, four_bits=four_bits, at_load=at_load)
        assert report["at_load"] == at_load
    assert not list((tmp_path / "drawn").glob("*.safetensors"))
    written, drawn = (load_model(tmp_path / name, "cpu", "float32") for name in ("written", "drawn"))
    tokens = torch.arange(70) % 50
    assert torch.equal(logits(written.model, tokens), logits(drawn.model, tokens))
    assert drawn_at_load(tmp_path / "written") is None and drawn_at_load(tmp_path) is None
    with pytest.raises(CheckpointError, match=r"drawn: holds no .*drawn where it is served"):
        Checkpoint.open(tmp_path / "drawn")


@pytest.mark.parametrize("change", [{"seed": "x"}, {"seed": -5}, {"four_bits": "foo"}, {"four_bits": ["nvfp4", 3]}])
def test_a_strange_report_beside_no_weights_is_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    synthesise(tiny.tiny_config("r1"), tmp_path / "m", 0, at_load=True)
    report = tmp_path / "m" / "hopwell_synth.json"
    report.write_text(json.dumps(json.loads(report.read_text()) | change))
    with pytest.raises(CheckpointError, match=r"hopwell_synth\.json: four_bits or seed is not as it was written"):
        drawn_at_load(tmp_path / "m")


def test_ranks_draw_shares_of_one_model() -> None:
    """What ranks have alike is the same on each, and what they have cut is not."""
    config = ModelConfig.from_dict(tiny.tiny_config("r1", vocab_size=101))
    first, second = (
        random_transformer(config, "cpu", 5, shard=Shard(Layout(2, rank=rank), GroupExchange())) for rank in range(2)
    )
    whole = random_transformer(config, "cpu", 5)
    assert torch.equal(first.embedding, second.embedding) and torch.equal(first.embedding, whole.embedding)
    assert [len(each.head.data) for each in (first, second)] == [50, 51]
    for one, other, all_of_it in zip(first.layers, second.layers, whole.layers, strict=True):
        assert torch.equal(one.attention.qkv_a.data, other.attention.qkv_a.data)
        assert not torch.equal(one.attention.o.data, other.attention.o.data)
        assert one.attention.o.data.shape[1] * 2 == all_of_it.attention.o.data.shape[1]
        deviation, wanted = (each.attention.o.data.float().std().item() for each in (one, all_of_it))
        assert deviation == pytest.approx(wanted, rel=0.1), "shares are summed: each has the whole's deviation"
        if isinstance(one.network, MoE) and isinstance(other.network, MoE):
            assert torch.equal(one.network.gate, other.network.gate)


@pytest.mark.gpu
def test_weights_drawn_on_a_gpu(tmp_path: Path) -> None:
    values = tiny.tiny_config("r1", quantization_config=FP8, hidden_size=256, moe_intermediate_size=128)
    first, second = (synthesise(values, tmp_path / name, seed=3, device="cuda", probed=2) for name in ("a", "b"))
    assert first == second and len(first["routing"]) == 2
    for name in Checkpoint.open(tmp_path / "a").tensors:
        a, b = (Checkpoint.open(tmp_path / folder).read(name).view(torch.uint8) for folder in ("a", "b"))
        assert torch.equal(a, b), name
    assert load_transformer(Checkpoint.open(tmp_path / "a"), device="cuda").has_mtp
