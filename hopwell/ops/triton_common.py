"""What every Triton kernel here shares: rounding that is right in the interpreter too, products, launches.

The kernels run three ways from one source: compiled on a GPU, compiled ahead of time on any machine
(`ops/compile/aot.py`), and interpreted on a CPU (TRITON_INTERPRET=1), which is how CI checks their results.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import torch
import triton
import triton.language as tl
from triton import knobs

from hopwell.ops.device import Device

# hazard: the interpreter (Triton 3.6) computes bf16 on raw bits, truncates float32 to bf16 and drops the carry when it
# rounds to e4m3; the helpers below take another way there, with the results a GPU gives
INTERPRET = tl.constexpr(bool(knobs.runtime.interpret))


@triton.jit
def wait_for_inputs():
    """Programmatic dependent launch: what earlier kernels wrote is visible after this call.

    hazard: only constants (weights, scales, tables) may be read before it, nothing may be written before it, and every
    program must call it, or a later kernel in the chain could start before an earlier one has finished.
    """
    if not INTERPRET:
        tl.extra.cuda.gdc_wait()  # pyright: ignore[reportAttributeAccessIssue]


@triton.jit
def let_next_start():
    """Lets the next kernel's programs take free multiprocessors; they still wait for this kernel's results.

    Before `wait_for_inputs` it lets them start while the kernel before this one runs: of use where the next kernel
    first reads constants, and right, because this kernel ends after the one it waits for.
    """
    if not INTERPRET:
        tl.extra.cuda.gdc_launch_dependents()  # pyright: ignore[reportAttributeAccessIssue]


@triton.jit
def to_bf16(x):
    """float32 to bf16, to nearest, ties to even."""
    if INTERPRET:
        bits = x.to(tl.uint32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        x = bits.to(tl.float32, bitcast=True)
    return x.to(tl.bfloat16)


@triton.jit
def to_e4m3(x):
    """float32 to e4m3, to nearest, ties to even, saturating at 448."""
    x = tl.minimum(tl.maximum(x, -448.0), 448.0)
    if INTERPRET:
        bits = x.to(tl.uint32, bitcast=True)
        normal = ((bits + 0x7FFFF + ((bits >> 20) & 1)) & 0xFFF00000).to(tl.float32, bitcast=True)
        subnormal = (x + 24576.0) - 24576.0  # float32's unit at 24576 is e4m3's smallest step, 2^-9
        x = tl.where(tl.abs(x) < 0.015625, subnormal, normal)
    return x.to(tl.float8e4nv)


@triton.jit
def quantize_groups(x):
    """Rounds each row of x [groups, 128] to e4m3 under one scale: codes [groups, 128] and float32 scales [groups].

    The scale puts the row's largest magnitude, at least 1e-4, at 448 (DeepSeek-V3's inference code, `act_quant`).
    """
    scale = tl.maximum(tl.max(tl.abs(x), axis=1), 1e-4) * (1.0 / 448.0)
    divisor = tl.broadcast_to(scale[:, None], x.shape)
    if INTERPRET:  # it has no fused multiply-add
        return to_e4m3(tl.div_rn(x, divisor)), scale
    # the quotient rounded to nearest, by one division a row (Markstein, 1990): what remains is exact in one step
    inverse = tl.broadcast_to(tl.div_rn(tl.full(scale.shape, 1.0, tl.float32), scale)[:, None], x.shape)
    quotient = x * inverse
    for _ in tl.static_range(2):
        quotient = tl.fma(tl.fma(-quotient, divisor, x), inverse, quotient)
    return to_e4m3(quotient), scale


@triton.jit
def matmul(a, b, acc):
    """acc + a @ b with a float32 accumulator; acc None starts from zero."""
    if INTERPRET:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, acc)


@triton.jit
def widen(codes):
    """e4m3 to bf16, exactly. By float32: straight from float16, where codes go first, takes a slow unit's instruction a
    value (F2F on sm_90)."""
    return codes.to(tl.float32).to(tl.bfloat16)


@triton.jit
def multiply(w, x, acc, ROWS_FIRST: tl.constexpr):
    """acc plus the product of weights w [out, k] and rows x [tokens, k]: [tokens, out] if ROWS_FIRST, else
    [out, tokens]. acc None starts from zero.

    The side that comes first is the matrix unit's long one. Few tokens go second, where it may be as narrow as 8. Many
    go first: a thread then holds 2 tokens of a tile instead of up to 32, each with a scale to load in every step.
    """
    if ROWS_FIRST:
        return matmul(x, tl.trans(w), acc)
    else:
        return matmul(w, tl.trans(x), acc)


@triton.jit
def zero_product(BN: tl.constexpr, BT: tl.constexpr, ROWS_FIRST: tl.constexpr):
    """A product of `multiply` that nothing was added to yet, of BN weights' rows and BT tokens."""
    if ROWS_FIRST:
        return tl.zeros((BT, BN), tl.float32)
    else:
        return tl.zeros((BN, BT), tl.float32)


@triton.jit
def for_tokens(values, ROWS_FIRST: tl.constexpr):
    """Values [tokens] as a factor of `multiply`'s product."""
    if ROWS_FIRST:
        return values[:, None]
    else:
        return values[None, :]


@triton.jit
def store_product(out, product, rows, columns, valid, N: tl.constexpr, ROWS_FIRST: tl.constexpr):
    """Writes a product of `multiply` to `out` [..., N], float32 or bf16: to its rows [tokens] where they are valid, and
    its columns [weights' rows] below N."""
    rows = rows.to(tl.int64) * N
    if ROWS_FIRST:
        at = out + rows[:, None] + columns[None, :]
        keep = valid[:, None] & (columns < N)[None, :]
    else:
        at = out + rows[None, :] + columns[:, None]
        keep = (columns < N)[:, None] & valid[None, :]
    if out.dtype.element_ty == tl.bfloat16:
        product = to_bf16(product)
    tl.store(at, product, mask=keep)


@triton.jit
def inverse_rms(sumsq, rows, mask, WIDTH: tl.constexpr, CHUNKS: tl.constexpr, CHUNKS_P2: tl.constexpr, eps):
    """1 / rms of each row from the sums of squares of its chunks, sumsq [tokens, CHUNKS] float32."""
    c = tl.arange(0, CHUNKS_P2)
    parts = tl.load(sumsq + rows[:, None] * CHUNKS + c[None, :], mask=mask[:, None] & (c[None, :] < CHUNKS), other=0.0)
    return tl.rsqrt(tl.sum(parts, axis=1) / WIDTH + eps)


Launcher = Callable[[Any, tuple[int, ...], tuple[Any, ...], dict[str, Any], dict[str, Any]], None]
"""Takes a kernel, its grid, arguments, constants and options (num_warps, num_stages, launch_pdl, maxnreg)."""

launcher: ContextVar[Launcher | None] = ContextVar("launcher", default=None)
"""What takes launches in place of the GPU: `ops/compile/aot.py` records them."""


def launch_device(device: torch.device) -> Device:
    """What a launch on `device` is for."""
    return Device.of(device, bool(knobs.runtime.interpret))


def launch(
    kernel: Any,
    grid: tuple[int, ...],
    *args: Any,
    warps: int = 4,
    stages: int = 1,
    registers: int | None = None,
    **constants: Any,
) -> None:
    """Runs a kernel after those already on the stream, its start overlapped with the previous one's end.

    Args:
        registers: of a thread at most, so that more programs share a multiprocessor; None: as the compiler likes.
    """
    options = {"num_warps": warps, "num_stages": stages, "launch_pdl": True, "maxnreg": registers}
    if (take := launcher.get()) is not None:
        take(kernel, grid, args, constants, options)
    elif INTERPRET:
        kernel[grid](*args, **constants)
    else:
        kernel[grid](*args, **constants, **options)
