"""Compiles recorded kernel launches ahead of time, for Hopper and Blackwell, on a machine without a GPU.

Ops run on meta tensors at real shapes; each launch is recorded in place of being made, and what was recorded is
compiled to machine code. The report holds what bounds a kernel's speed before it ever runs: registers, spilled bytes,
shared memory, and how many instructions feed the matrix unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from triton import knobs

from hopwell.ops import triton_common
from hopwell.ops.device import HOPPER, Device, target


@dataclass(frozen=True)
class Launch:
    """One kernel as the JIT would specialise it: argument types, constants and options."""

    kernel: Any
    signature: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, Any], ...]
    aligned: tuple[int, ...]
    """Indices of pointers and integers that are multiples of 16."""
    warps: int
    stages: int
    registers: int | None = None
    """Of a thread at most."""


def record(run: Callable[[], object], device: Device = HOPPER) -> list[Launch]:
    """The distinct launches that `run` would make on a device; none is executed."""
    launches: dict[Launch, None] = {}

    def take(
        kernel: Any, grid: tuple[int, ...], args: tuple[Any, ...], constants: dict[str, Any], options: dict[str, Any]
    ) -> None:
        launches[_specialise(kernel, args, constants, options)] = None

    tokens = triton_common.launcher.set(take), target.set(replace(device, interpreted=bool(knobs.runtime.interpret)))
    try:
        run()
    finally:
        triton_common.launcher.reset(tokens[0])
        target.reset(tokens[1])
    return list(launches)


def _specialise(kernel: Any, args: tuple[Any, ...], constants: dict[str, Any], options: dict[str, Any]) -> Launch:
    from triton._utils import canonicalize_ptr_dtype

    fixed = dict(constants)
    types: dict[str, str] = {}
    aligned = []
    general = {kernel.arg_names[i] if isinstance(i, int) else i for i in kernel.do_not_specialize}
    for index, (name, value) in enumerate(zip(kernel.arg_names, args, strict=False)):
        if isinstance(value, Tensor):
            types[name] = canonicalize_ptr_dtype(value.dtype, False)
            aligned.append(index)
        elif value is None or (type(value) is int and value == 1 and name not in general):
            fixed[name] = value
        elif isinstance(value, int):
            types[name] = "i32"
            if value % 16 == 0 and name not in general:
                aligned.append(index)
        else:
            types[name] = "fp32"
    signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    return Launch(
        kernel, tuple(signature.items()), tuple(fixed.items()), tuple(aligned), options["num_warps"],
        options["num_stages"], options["maxnreg"],
    )  # fmt: skip


def machine_code(launch: Launch, arch: int) -> Any:
    """Machine code for compute capability `arch` (90: sm_90a, 100: sm_100a), from Triton's cache or put into it under
    the key that a launch on such a device looks for."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.experimental.gluon._runtime import GluonASTSource

    attributes: dict[tuple[int, ...], list[Any]] = {(i,): [["tt.divisibility", 16]] for i in launch.aligned}
    words = {name: value for name, value in launch.constants if isinstance(value, str)}
    for index, (name, _) in enumerate(launch.signature):
        if name in words:  # the JIT takes a word for the marks of an argument (Triton 3.6): D is divisible by 16
            attributes[(index,)] = [["tt.divisibility", 16]] if "D" in words[name] else []
    kind = GluonASTSource if launch.kernel.is_gluon() else ASTSource
    source = kind(launch.kernel, dict(launch.signature), dict(launch.constants), attributes)
    options = {"num_warps": launch.warps, "num_stages": launch.stages, "launch_pdl": True, "maxnreg": launch.registers}
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)


def build_stub(built: Any) -> bool:
    """Builds the C code that hands a kernel's arguments to the driver, which Triton does at the first launch otherwise.
    Kernels with the same types of arguments share it.

    Args:
        built: as `machine_code` returns it.

    Returns:
        Whether it is in Triton's cache now: not without a driver to link against, or a C compiler.
    """
    from triton.backends.nvidia.driver import CudaLauncher

    try:
        CudaLauncher(built.src, built.metadata)
    except Exception:  # only time is lost: Triton tries again at the launch, and says what is missing
        return False
    return True
