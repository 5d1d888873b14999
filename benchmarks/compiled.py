"""What the compiler makes of a kernel's launch: registers, shared memory, matrix instructions."""

from __future__ import annotations

import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopwell.ops.compile.aot import Launch, machine_code

CUOBJDUMP = "backends/nvidia/bin/cuobjdump"


@dataclass(frozen=True)
class Compiled:
    """What the compiler made of a launch."""

    kernel: str
    arch: int
    constants: dict[str, Any]
    warps: int
    stages: int
    registers: int
    stack_bytes: int
    """Local memory a thread; above zero when registers were spilled."""
    shared_bytes: int
    matrix_instructions: int
    """wgmma (Hopper), tcgen05.mma (Blackwell) or mma.sync instructions."""
    operand_rows: int
    """Of the tallest operand in shared memory. hazard: above 256 Triton 3.6 gives wrong results
    (`attention_decode_triton._combine_heads`)."""


def compile_launch(launch: Launch, arch: int) -> Compiled:
    """A launch's machine code, measured."""
    import triton

    built = machine_code(launch, arch)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(built.asm["cubin"])
        file.flush()
        tool = Path(str(triton.__file__)).parent / CUOBJDUMP
        usage = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    registers, stack = (int(re.search(rf"{key}:(\d+)", usage)[1]) for key in ("REG", "STACK"))  # type: ignore[index]
    matrix = len(re.findall(r"wgmma\.mma_async|tcgen05\.mma|mma\.sync", built.asm["ptx"]))
    constants = {k: v for k, v in launch.constants if isinstance(v, int | str)}
    return Compiled(
        launch.kernel.__name__, arch, constants, launch.warps, launch.stages, registers, stack,
        built.metadata.shared, matrix, _operand_rows(built.asm["ttgir"]),
    )  # fmt: skip


def _operand_rows(ttgir: str) -> int:
    """The most rows of a swizzled tensor in shared memory: its extent across the lines that lie together."""
    layouts = dict(re.findall(r"(#\w+) = #ttg\.nvmma_shared<\{.*?transposed = (true|false)", ttgir))
    found = re.findall(r"ttg\.local_alloc.*?-> !ttg\.memdesc<(?:\d+x)*(\d+)x(\d+)x[a-z]\w*, (#\w+),", ttgir)
    sizes = [int(n) if layouts[layout] == "true" else int(m) for m, n, layout in found if layout in layouts]
    return max(sizes, default=0)


def compile_all(launches: list[Launch], archs: list[int], threads: int = 2) -> list[Compiled]:
    """Every launch for every architecture, in order."""
    jobs = [(launch, arch) for launch in launches for arch in archs]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda job: compile_launch(*job), jobs))
