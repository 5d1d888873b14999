"""Nano for the precision benches: its linears with real inputs, starving experts, and accuracy by task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.precision_data import LinearCase
from hopwell.checkpoint.reader import Checkpoint
from hopwell.engine.llm import LLM
from hopwell.formats.blocks import NVFP4, quantize
from hopwell.model.config import ModelConfig
from hopwell.quantization.compensate import compensate
from hopwell.quantization.layerwise import LinearGroup, Walk
from training.nano.scoring import measure
from training.nano.text import worked_problems


def groups(folder: Path, sequences: Sequence[Sequence[int]]) -> list[LinearGroup]:
    """Every group of linears of a checkpoint's decoder layers with the inputs it gets on `sequences`."""
    checkpoint = Checkpoint.open(folder)
    config = ModelConfig.from_dict(checkpoint.config)
    walk = Walk(checkpoint, config, sequences)
    hidden = walk.embed()
    return [group for index in range(config.num_hidden_layers) for group in walk.layer(index, hidden)]


@torch.inference_mode()
def nano_cases(folder: Path, calibration: int = 65_536, held_out: int = 16_384, every: int = 1) -> list[LinearCase]:
    """Nano's linears, each with inputs from its training mix, to be judged on held-out problems.

    Args:
        every: takes each `every`-th expert only.
    """
    fitted = groups(folder, worked_problems(folder, calibration))
    judged = groups(folder, worked_problems(folder, held_out, held_out=True, seed=1))
    cases = []
    for group, fresh in zip(fitted, judged, strict=True):
        if group.part == "routed_experts" and int(group.name.split("experts.")[1].split(".")[0]) % every:
            continue
        for name, matrix in zip(group.names, group.matrices, strict=True):
            cases.append(LinearCase(name, matrix, group.inputs, fresh.inputs.held_out))
    return cases


@torch.inference_mode()
def starving(folder: Path, tokens: int = 65_536 // 16, held_out: int = 16_384) -> dict[str, Any]:
    """Experts calibrated on few tokens: NVFP4 with the mixed Hessian and the guard, judged on fresh problems.

    Returns:
        How many expert matrices there are, how many got no token, and the smallest and mean reduction of squared error.
    """
    fitted = groups(folder, worked_problems(folder, tokens))
    judged = groups(folder, worked_problems(folder, held_out, held_out=True, seed=1))
    reductions, finite, unrouted, fewest = [], True, 0, tokens
    for group, fresh in zip(fitted, judged, strict=True):
        if group.part != "routed_experts":
            continue
        unrouted += group.tokens == 0
        fewest = min(fewest, group.tokens)
        for matrix in group.matrices:
            done = compensate(matrix, group.inputs, NVFP4).quantized
            finite &= bool(done.scale.isfinite().all() and (done.scale > 0).all() and done.tensor_scale > 0)
            plain = fresh.inputs.judge.error(quantize(matrix, NVFP4).dequantize() - matrix)
            reductions.append(1 - fresh.inputs.judge.error(done.dequantize() - matrix) / plain)
    return {
        "calibration_tokens": tokens,
        "expert_matrices": len(reductions),
        "groups_without_tokens": unrouted,
        "fewest_tokens": fewest,
        "worst_reduction": min(reductions),
        "mean_reduction": sum(reductions) / len(reductions),
        "all_scales_finite": finite,
    }


def task_rows(reference: Path, model: Path, problems: int, seed: int) -> list[dict[str, Any]]:
    """Accuracy of both on the same held-out problems, a row a task, and the difference in points."""
    reports = []
    for folder in (reference, model):
        llm = LLM(folder)
        reports.append(measure(llm, problems, seed))
        llm.close()
    return [
        {"task": a.task, "problems": problems, "reference": a.accuracy, "model": b.accuracy,
         "points": round(100 * (b.accuracy - a.accuracy), 2)}
        for a, b in zip(reports[0].rows, reports[1].rows, strict=True)
    ]  # fmt: skip
