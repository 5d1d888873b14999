"""What this CPU's matrix products can do, and how PyTorch reaches them: oneDNN in bf16, FBGEMM in float16."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

SUMMED_AT_ONCE = 1024
"""Inputs that the CPU's bf16 product adds up in one order for any number of rows; above, a lone row differs."""


def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has a bf16 matrix unit that PyTorch uses."""
    # hazard: internal ops of PyTorch, here and wherever `mkldnn` is named
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def cpu_packs_float16() -> bool:
    """Whether this PyTorch multiplies float32 rows with packed float16 matrices: FBGEMM does, on x86 from AVX2 on."""
    return torch.backends.quantized.engine in ("x86", "fbgemm")


@cache
def rows_alike() -> int | None:
    """Rows of which a float16 product is to have a multiple, so that each has the same bits in any batch: 3 with AVX2,
    whose kernels for one and two rows add up in an order of their own, 1 with AVX-512. None: no number helps."""
    random = torch.Generator().manual_seed(0)
    packed = pack_float16(torch.randn(16, 256, generator=random))
    rows = torch.randn(256, 256, generator=random)
    whole = _float16_product(rows, packed)

    def alike(step: int) -> bool:
        return all(torch.equal(_float16_product(rows[:n], packed), whole[:n]) for n in range(step, 256, step))

    return next((step for step in (1, 3) if alike(step)), None)


def by_bf16(x: Tensor, packed: Tensor) -> Tensor:
    """bf16 rows [rows, in] with a matrix that `linear.prepare` packed for oneDNN."""
    # hazard: the CPU library sums a long row in another order when it is alone, and a token must not depend on that
    alone = x.shape[0] == 1 and x.shape[1] > SUMMED_AT_ONCE
    out = torch.ops.mkldnn._linear_pointwise(x.repeat(2, 1) if alone else x, packed, None, "none", [], "")
    return out[:1] if alone else out


PackedFloat16 = Tensor | torch.ScriptObject
"""A matrix in FBGEMM's own order, as one of two ops has it: `_calls_fbgemm` says which."""


def pack_float16(matrix: Tensor) -> PackedFloat16:
    """A matrix [out, in] for `by_float16`, rounded to float16."""
    if torch.get_num_threads() == 1 and _calls_fbgemm():
        return torch.fbgemm_pack_gemm_matrix_fp16(matrix.float())
    return torch.ops.quantized.linear_prepack_fp16(matrix.float(), None)


def by_float16(x: Tensor, packed: PackedFloat16) -> Tensor:
    """float32 rows with a packed float16 matrix, summed in float32; rows are added where bits hang on their number."""
    count = x.shape[0]
    missing = -count % (rows_alike() or 1)
    if not missing:
        return _float16_product(x, packed)
    return _float16_product(torch.constant_pad_nd(x, (0, 0, 0, missing)), packed)[:count]


def _float16_product(x: Tensor, packed: PackedFloat16) -> Tensor:
    if isinstance(packed, Tensor):
        return torch.fbgemm_linear_fp16_weight_fp32_activation(x, packed, None)
    return _quantized_product()(x, packed)


@cache
def _calls_fbgemm() -> bool:
    """Whether PyTorch has FBGEMM's product as an op that takes a packed matrix for a tensor, and no bias: it uses one
    thread, and a call from Python is some 15 microseconds shorter, for none looks through objects. Same bits.

    hazard: PyTorch calls this op deprecated, and says so once, in a warning."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            packed = torch.fbgemm_pack_gemm_matrix_fp16(torch.ones(16, 16))
            torch.fbgemm_linear_fp16_weight_fp32_activation(torch.ones(1, 16), packed, None)
    except (AttributeError, TypeError, RuntimeError):
        return False
    return True


@cache
def _quantized_product() -> Callable[[Tensor, torch.ScriptObject], Tensor]:
    # below Python: on the way there PyTorch looks through the arguments of each call for stand-ins of objects
    return torch.ops.quantized.linear_dynamic_fp16.default._op
