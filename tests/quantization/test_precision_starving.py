"""Experts that few calibration tokens reach, or none, are converted all the same, and none ends worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import random_tensors, tiny_config, write_checkpoint

from hopwell.checkpoint.fingerprint import REPORT
from hopwell.checkpoint.reader import Checkpoint
from hopwell.model.loading import load_transformer
from hopwell.quantization.convert import Conversion
from hopwell.quantization.plan import Goal, Settings
from hopwell.quantization.verify import verify

pytestmark = pytest.mark.slow  # a conversion that all of it looks at
UNROUTED = (0, 5, 6)
FORMATS = ("nvfp4", "mxfp4", "int4_g32")
SEQUENCES = [torch.randint(0, 128, (160,), generator=torch.Generator().manual_seed(i)).tolist() for i in range(16)]
FRESH = [torch.randint(0, 128, (160,), generator=torch.Generator().manual_seed(90 + i)).tolist() for i in range(4)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose router never takes three of the experts."""
    few = {"n_routed_experts": 8, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2}
    config = tiny_config("r1", num_hidden_layers=2, num_nextn_predict_layers=0, **few)
    tensors = random_tensors(config, dtype=torch.bfloat16)
    tensors["model.layers.1.mlp.gate.e_score_correction_bias"][list(UNROUTED)] = -100.0
    return write_checkpoint(tmp_path_factory.mktemp("source"), config, tensors)


@pytest.fixture(scope="module")
def converted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("converted") / "out"
    settings = Settings(Goal(bits=4.5), "compressed-tensors", FORMATS)
    Conversion(source, out, settings, SEQUENCES, lambda line: None).run()
    return out


def routed(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """Groups of each routed expert."""
    found: dict[int, list[dict[str, Any]]] = {}
    for group in json.loads((folder / REPORT).read_text())["groups"]:
        if group["part"] == "routed_experts":
            found.setdefault(int(group["name"].split("experts.")[1].split(".")[0]), []).append(group)
    return found


def test_no_expert_ends_worse_than_plain_rounding(converted: Path) -> None:
    experts = routed(converted)
    assert {e for e, groups in experts.items() if any(g["tokens"] == 0 for g in groups)} == set(UNROUTED)
    for groups in experts.values():
        for done in (done for group in groups for done in group["formats"].values()):
            assert all(0 < a <= b < 1 for a, b in zip(done["after"], done["before"], strict=True))


def test_experts_without_tokens_are_compensated_by_the_layers_statistics(converted: Path) -> None:
    for expert in UNROUTED:
        done = [done for group in routed(converted)[expert] for done in group["formats"].values()]
        assert len(done) == 2 * len(FORMATS)
        assert all(sum(d["after"]) < 0.9 * sum(d["before"]) for d in done)
        assert all(group["input_peak"] > 0 for group in routed(converted)[expert])


def test_all_scales_are_finite_and_positive(source: Path, converted: Path) -> None:
    scales = {
        name: tensor.float()
        for shard in converted.glob("*.safetensors")
        for name, tensor in load_file(shard).items()
        if "_scale" in name
    }
    for expert in UNROUTED:
        assert any(f"experts.{expert}." in name for name in scales)
    assert all(scale.isfinite().all() and (scale.abs() > 0).all() for scale in scales.values())
    load_transformer(Checkpoint.open(converted), "cpu", torch.float32)
    assert verify(converted, source, FRESH).divergence.mean < 0.5
