"""Whether a token's bits can depend on its batch: what batch-invariant mode on a CPU rests on."""

from __future__ import annotations

import os

import torch

from hopwell.ops import cpu, cpu_float32
from hopwell.ops.process import VARIABLES


def rows_are_summed_alike(matrices: torch.dtype) -> bool:
    """Whether this CPU adds up a row in one order whatever shares its step, for matrices of a dtype.

    In bf16 it does so where it has the instructions, unless the library may use AMX; in float16 where two short checks
    find it so; in float32 no promise is made.
    """
    if matrices == torch.float16:
        return cpu.cpu_packs_float16() and cpu.rows_alike() is not None and cpu_float32.alike()
    # hazard: with AMX the CPU library cuts a long sum by the number of rows (seen with PyTorch 2.11 on a Xeon, 640
    # inputs and more), and a token must not depend on its batch
    limit = "ONEDNN_MAX_CPU_ISA"
    without_amx = os.environ.get(limit) == VARIABLES[limit] or not torch.cpu._is_amx_tile_supported()
    return matrices == torch.bfloat16 and cpu.cpu_multiplies_bf16() and without_amx
