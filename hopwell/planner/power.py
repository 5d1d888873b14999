"""Watts of a GPU while it serves, and what they come to at the meter.

`idle + (tdp - idle) * (slope * bandwidth's share + math's share)`, at most the board's limit. Two slopes: Hopper's
from our own steps on one H200 (419 W at 41 % of the bandwidth, 609 at 62, 691 at 73), Blackwell's from ML.ENERGY's R1
and V3.1 on 8 B200 (482 W at batch 8 to 891 at 128).
"""

from __future__ import annotations

from hopwell.limits.catalogue import Gpu
from hopwell.planner.kernels import architecture
from hopwell.planner.serving import Point
from hopwell.planner.step import Machine

IDLE = {"hopper": 100.0, "blackwell": 250.0}
"""W while a model is served and little is asked of it."""
SLOPE = {"hopper": 1.33, "blackwell": 2.3}
PROMPTS = 0.9
"""Of the limit, while prompts are computed."""
ERROR = 0.15
"""Relative."""


def board_watts(machine: Machine, point: Point) -> float:
    """Mean W of one GPU of a replica at a point of load."""
    gpu = machine.gpu
    arch = architecture(gpu)
    moved = sum(op.moved for op in point.decode) / point.decode_us * 1e6
    flops = sum(op.flops for op in point.decode) / point.decode_us * 1e6
    share = SLOPE[arch] * moved / gpu.bandwidth + flops / (gpu.fp8 or gpu.bf16)
    idle = min(IDLE[arch], gpu.tdp / 2)
    decode = idle + (gpu.tdp - idle) * min(1.0, share)
    return point.busy_prompts * PROMPTS * gpu.tdp + (1 - point.busy_prompts) * decode


def prompt_watts(gpu: Gpu) -> float:
    """Mean W of a GPU that computes prompts alone, busy for four fifths of the time."""
    return 0.8 * PROMPTS * gpu.tdp + 0.2 * IDLE[architecture(gpu)]
