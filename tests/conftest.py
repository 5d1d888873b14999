"""Without a GPU the Triton kernels run in their interpreter; it must be chosen before anything imports Triton.

Tests compute with one thread: several pytest workers with several threads each wait for one another most of the time.
"""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
    torch.set_num_threads(1)
