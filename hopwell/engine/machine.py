"""What this machine has and can run, one check a line, each that fails with a remedy: what `hopwell doctor` prints."""

from __future__ import annotations

import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from hopwell.errors import HopwellError
from hopwell.limits.catalogue import RESERVE, recognise
from hopwell.model.config import ModelConfig
from hopwell.model.footprint import latent_bytes, weight_bytes
from hopwell.model.inventory import inventory
from hopwell.model.schema import MTP_PARTS
from hopwell.model.shipped import find_config, shipped_names
from hopwell.ops.alike import rows_are_summed_alike
from hopwell.ops.cpu import cpu_multiplies_bf16, cpu_packs_float16
from hopwell.ops.device import triton_release, why_no_triton
from hopwell.system import cores, memory_bytes

PYTHON, TORCH = (3, 11), (2, 11)
FP8_FROM = (8, 9)
"""Compute capability from which the matrix units know e4m3."""
BF16_FROM = (8, 0)
CONTEXT = 4096
"""Tokens of latents that must fit beside the weights for a model to count as fitting."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    group: str
    """machine, gpu, kernels or models."""
    name: str
    ok: bool
    found: str
    remedy: str | None = None


def examine(on_compile: Callable[[int, int, str], None] | None = None) -> list[Check]:
    """All checks; the one named "nano" says whether anything can run at all.

    Args:
        on_compile: as `load_model` has it: on a GPU nano's kernels are compiled when they are first wanted.
    """
    memory = memory_bytes()
    return [*_software(), *_hardware(memory), *_gpus(), *_kernels(), _nano(on_compile), *_models(memory)]


def _software() -> Iterator[Check]:
    found = sys.version_info[:2]
    yield Check("machine", "Python", found >= PYTHON, platform.python_version(), _newer("Python", PYTHON, found))
    numbers = torch.__version__.split("+")[0].split(".")
    version = (int(numbers[0]), int(numbers[1]))
    yield Check("machine", "PyTorch", version >= TORCH, torch.__version__, _newer("torch", TORCH, version))
    triton, remedy = triton_release(), why_no_triton()
    release = "not installed: no GPU kernels" if triton is None else f"{triton[0]}.{triton[1]}"
    yield Check("machine", "triton", remedy is None, release, remedy)
    package = "nvidia-ml-py"
    try:
        yield Check("machine", package, True, metadata.version(package))
    except metadata.PackageNotFoundError:
        yield Check("machine", package, False, "not installed: no energy readings", f"pip install {package}")


def _newer(name: str, wanted: tuple[int, int], found: tuple[int, int]) -> str | None:
    return None if found >= wanted else f"install {name} {wanted[0]}.{wanted[1]} or newer"


def _hardware(memory: int) -> Iterator[Check]:
    bf16, float16 = cpu_multiplies_bf16(), cpu_packs_float16()
    plain = f"no bf16 products: float32 is used{', with matrices in float16' if float16 else ''}"
    alike = float16 and rows_are_summed_alike(torch.float16)
    slower = "slower, and answers may depend on the batch" if not alike else "slower"
    yield Check(
        "machine", "CPU", bf16, f"{cores()} cores, {'bf16 products' if bf16 else plain}",
        None if bf16 else f"{slower}; CPUs with AVX512-BF16 or AMX have them",
    )  # fmt: skip
    yield Check("machine", "memory", True, f"{memory / 1e9:.1f} GB")
    for name, place in (("disk here", Path.cwd()), ("disk for hub models", _hub_cache())):
        yield Check("machine", name, True, f"{shutil.disk_usage(place).free / 1e9:.1f} GB free at {place}")


def _hub_cache() -> Path:
    """Where hub models are put, or the nearest folder above that exists."""
    from huggingface_hub.constants import HF_HUB_CACHE

    path = Path(HF_HUB_CACHE).absolute()
    return next(p for p in (path, *path.parents) if p.exists())


def _gpus() -> Iterator[Check]:
    if not torch.cuda.is_available():
        yield Check("gpu", "GPU", False, *_why_no_gpu())
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        known = recognise(properties.name)
        found = (
            f"{properties.name}, {properties.total_memory / 1e9:.1f} GB, compute capability "
            f"{properties.major}.{properties.minor}, driver {_driver()}, CUDA {torch.version.cuda}"
            + (f", {known.name} in the catalogue" if known else ", not in the catalogue")
        )
        new = (properties.major, properties.minor) >= BF16_FROM
        remedy = None if new else "its matrix units do not know bf16; GPUs from Ampere on do"
        yield Check("gpu", f"GPU {index}", new, found, remedy)


def _why_no_gpu() -> tuple[str, str]:
    driver = Path("/proc/driver/nvidia/version").exists()
    if torch.version.cuda is None:
        found = "there is an NVIDIA driver, but PyTorch is a CPU build" if driver else "none; PyTorch is a CPU build"
        return found, "on a machine with an NVIDIA GPU install a CUDA build of PyTorch (pytorch.org)"
    if not driver:
        return (
            f"no NVIDIA driver (PyTorch is built for CUDA {torch.version.cuda})",
            "install the driver, or use the CPU",
        )
    return "PyTorch cannot use it", f"update the NVIDIA driver: this PyTorch wants CUDA {torch.version.cuda}"


def _driver() -> str:
    try:
        import pynvml

        pynvml.nvmlInit()
        return pynvml.nvmlSystemGetDriverVersion()
    except Exception:  # no package, no library, or no permission: all the same here
        return "unknown"


def _kernels() -> Iterator[Check]:
    yield Check("kernels", "CPU, bf16, float16 or float32", True, "all models, prefill and decode")
    capability = _capability()
    for name, least, what in (
        ("GPU, bf16", BF16_FROM, "attention, norms, router, CUDA graphs"),
        ("GPU, FP8", FP8_FROM, "linears and experts of FP8 checkpoints, FP8 latents"),
    ):
        if capability is None:
            yield Check("kernels", name, False, "no GPU", "see GPU above")
        elif why_no_triton() is not None:
            yield Check("kernels", name, False, "Triton does not compile them", "see triton above")
        elif capability < least:
            found = f"compute capability {capability[0]}.{capability[1]}"
            yield Check("kernels", name, False, found, f"needs {least[0]}.{least[1]}; FP8 weights are expanded instead")
        else:
            yield Check("kernels", name, True, what)


def _capability() -> tuple[int, int] | None:
    return torch.cuda.get_device_capability() if torch.cuda.is_available() else None


def _nano(on_compile: Callable[[int, int, str], None] | None) -> Check:
    """Loads the embedded model and lets it say a word."""
    from hopwell.engine.llm import LLM
    from hopwell.engine.request import SamplingParams

    started = time.perf_counter()
    try:
        llm = LLM(on_compile=on_compile, max_seqs=1, cache_tokens=1024)
        answer = llm.chat([{"role": "user", "content": "1 + 1"}], SamplingParams(temperature=0.0, max_tokens=4))
        llm.close()
    except (HopwellError, RuntimeError, OSError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        return Check(
            "models", "nano", False, f"cannot run: {reason}", "install hopwell again; if that fails, report it"
        )
    device, seconds = llm.loaded.model.device, time.perf_counter() - started
    found = f"runs on {device}: {len(answer.answers[0].tokens)} tokens, {seconds:.1f} s with loading"
    return Check("models", "nano", True, found)


def _models(memory: int) -> Iterator[Check]:
    """Shipped configs that one GPU, or else the CPU's memory, holds."""
    gpu = 0
    if torch.cuda.is_available():
        gpu = max(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))
    for name in shipped_names():
        config = ModelConfig.from_dict(find_config(name))
        specs = inventory(config)
        latents = CONTEXT * latent_bytes(config)
        on_gpu = weight_bytes(specs).total + latents
        # a CPU computes with plain values
        itemsize = 2 if cpu_multiplies_bf16() else 4
        plain = sum(s.numel for s in specs if not s.is_scale and s.part != MTP_PARTS[1])
        on_cpu = itemsize * plain + latents
        if on_gpu <= gpu * (1 - RESERVE):
            yield Check("models", name, True, f"fits on one GPU: {on_gpu / 1e9:.1f} GB")
        elif on_cpu <= memory * (1 - RESERVE):
            yield Check("models", name, True, f"fits in the CPU's memory: {on_cpu / 1e9:.1f} GB")
        else:
            found = f"needs {on_gpu / 1e9:,.0f} GB on a GPU, {on_cpu / 1e9:,.0f} GB on a CPU"
            yield Check("models", name, False, found, f"GPUs that hold it: hopwell inspect {name}")
