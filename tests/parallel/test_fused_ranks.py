"""The chain of kernels over ranks, by processes that interpret it: what one rank with the whole model gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fused_rank import FUSED_ROWS, batches_of, model_of, steps
from tiny import random_tensors, tiny_config, write_checkpoint

from hopwell.ops.exchange_triton import EMPTY, Inboxes

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("fused_rank.py")
WIDTHS = {"hidden_size": 256, "intermediate_size": 256, "moe_intermediate_size": 128, "num_attention_heads": 4}


@pytest.mark.usefixtures("small_gpu")
@pytest.mark.slow
def test_a_step_over_ranks_is_a_step(tmp_path: Path) -> None:
    """Bits are equal on all ranks, and close to the whole model's: sums of parts round otherwise than of wholes."""
    (first, second), want = computed(tmp_path, "tp")
    for ours, others, whole in zip(first, second, want, strict=True):
        assert torch.equal(ours, others)
        assert (ours - whole).abs().max() <= 0.02 * whole.abs().max()


@pytest.mark.usefixtures("small_gpu")
@pytest.mark.slow
def test_ranks_that_attend_for_their_own_give_what_one_gives(tmp_path: Path) -> None:
    """Replayed steps and long ones, of both ranks' rows or of one's; each rank has its half of the latents."""
    (first, second), want = computed(tmp_path, "dp")
    for ours, others, whole in zip(first[:-1], second[:-1], want[:-1], strict=True):
        assert torch.equal(ours, others)
        assert (ours - whole).abs().max() <= 0.02 * whole.abs().max()
    latents = torch.cat((first[-1], second[-1]), dim=1)
    assert (latents - want[-1]).abs().max() <= 0.02 * want[-1].abs().max()


def computed(tmp_path: Path, kind: str) -> tuple[list[list[torch.Tensor]], list[torch.Tensor]]:
    """What two ranks leave, and what one process with the whole model does."""
    world = 2
    heads = {"qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "kv_lora_rank": 128}
    # every token visits every expert: a choice that falls on the other side of a tie would be no fault
    experts = {"n_routed_experts": 4, "num_experts_per_tok": 4, "n_group": 1, "topk_group": 1}
    config = tiny_config("r1", **WIDTHS, **heads, **experts, q_lora_rank=128, num_hidden_layers=2)
    folder = write_checkpoint(tmp_path / "model", config, random_tensors(config, dtype=torch.bfloat16))
    count = world * Inboxes.values(world, FUSED_ROWS, config["hidden_size"])
    (folder / "inboxes").write_bytes(torch.full((count,), EMPTY, dtype=torch.int16).numpy().tobytes())
    (folder / "meeting").touch()
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": places}
    with subprocess.Popen([sys.executable, str(SCRIPT), str(folder), str(world), kind], env=environment) as ranks:
        try:
            want = (batches_of if kind == "dp" else steps)(model_of(folder, None))
            assert ranks.wait(600) == 0
        finally:
            ranks.terminate()
    return [torch.load(folder / f"{rank}.pt") for rank in range(world)], want
