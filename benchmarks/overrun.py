"""A kernel that writes past its tensor's end: what a memory checker has to find before its silence means anything."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def _overrun(x):
    tl.store(x + tl.arange(0, 1024), 1.0)


if __name__ == "__main__":
    _overrun[(1,)](torch.empty(1000, device="cuda"))
    torch.cuda.synchronize()
