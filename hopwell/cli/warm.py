"""`hopwell warm`: compiles a model's kernels before it is served."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer


def warm(
    model: Annotated[str | None, typer.Argument(help="A folder or shipped config; default: nano.")] = None,
    cache_dtype: Annotated[str, typer.Option(help="Of the latent cache: auto, bfloat16 or fp8.")] = "auto",
    activations: Annotated[str | None, typer.Option(help="Before FP8 weights: fp8, bf16 or auto.")] = None,
    max_batch_tokens: Annotated[int, typer.Option(min=1, help="Rows of the longest step.")] = 2048,
    arch: Annotated[int | None, typer.Option(help="90 (Hopper), 100 (Blackwell); default: this GPU's.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Compilers at once; default: one a core.")] = None,
) -> None:
    """Compile every kernel that a model can launch into Triton's cache, so that its first start is as fast as others.

    It needs neither a GPU nor weights: the cache (TRITON_CACHE_DIR) may be filled on one machine for another.
    """
    from hopwell.cli.progress import kernel_progress
    from hopwell.engine.loading import NANO
    from hopwell.model.config import ModelConfig
    from hopwell.model.shipped import shipped_config
    from hopwell.model.warm import Warming, cache_folder

    values = shipped_config(model) if model is not None else None
    if values is None:
        values = dict(ModelConfig.from_file(Path(model) if model is not None else NANO).raw)
    started = time.perf_counter()
    with Warming(
        values, arch or _this_gpu(), cache_dtype, max_batch_tokens, processes, activations=activations
    ) as warming:
        if warming.full:
            print(f"all kernels are there already: {cache_folder()}")
            return
        with kernel_progress() as progress:
            count = warming.wait(progress)
    print(f"{count} kernels in {time.perf_counter() - started:.1f} s: {cache_folder()}")


def _this_gpu() -> int:
    """This GPU's compute capability.

    Raises:
        HopwellError: there is no GPU, or one that the kernels are not for.
    """
    import torch

    from hopwell.errors import HopwellError
    from hopwell.ops.linear import has_kernels

    if not torch.cuda.is_available():
        raise HopwellError("PyTorch sees no GPU to compile for; say which with --arch 90 or --arch 100")
    if not has_kernels(torch.device("cuda", 0)):
        raise HopwellError(f"the kernels are for Hopper and Blackwell GPUs, not for {torch.cuda.get_device_name()}")
    major, minor = torch.cuda.get_device_capability()
    return 10 * major + minor
