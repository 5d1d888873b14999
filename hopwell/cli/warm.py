"""`hopwell warm`: compiles a model's kernels before it is served."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from hopwell.cli import options as opt
from hopwell.errors import HopwellError

if TYPE_CHECKING:
    from hopwell.ops.device import Device


def warm(
    model: Annotated[str | None, typer.Argument(help="A folder, a shipped name or a hub name; default: nano.")] = None,
    cache_dtype: Annotated[str, typer.Option(help="Of the latent cache: auto, bfloat16 or fp8.")] = "auto",
    activations: Annotated[str | None, typer.Option(help="Before FP8 weights: fp8, bf16 or auto.")] = None,
    four_bits: Annotated[str, typer.Option(help="Weights of four bits: packed or expanded.")] = "packed",
    max_batch_tokens: Annotated[int, typer.Option(min=1, help="Rows of the longest step.")] = 4096,
    arch: Annotated[int | None, typer.Option(help="90 (Hopper), 100 (Blackwell); default: this GPU's.")] = None,
    tp: opt.Tp = 1,
    dp_attention: opt.DpAttention = False,
    processes: Annotated[int | None, typer.Option(min=1, help="Compilers at once; default: one a core.")] = None,
) -> None:
    """Compile every kernel that a model can launch into Triton's cache, so that its first start is as fast as others.

    It needs neither a GPU nor weights: the cache (TRITON_CACHE_DIR) may be filled on one machine for another.
    """
    from hopwell.cli.progress import kernel_progress
    from hopwell.model.config import ModelConfig
    from hopwell.model.settings import ModelSettings
    from hopwell.model.sharding import share
    from hopwell.model.shipped import find_config
    from hopwell.model.warm import Warming, cache_folder
    from hopwell.parallel.layout import Layout

    config = ModelConfig.from_dict(find_config(model))
    layout = Layout.of(tp, dp_attention=dp_attention)
    share(config, layout)
    started = time.perf_counter()
    settings = ModelSettings(cache_dtype=cache_dtype, activations=activations, four_bits=four_bits)
    with Warming(config.raw, _target(arch), settings, max_batch_tokens, processes=processes, layout=layout) as warming:
        if warming.full:
            print(f"all kernels are there already: {cache_folder()}")
            return
        with kernel_progress(aloud=True) as progress:
            count = warming.wait(progress)
    print(f"{count} kernels in {time.perf_counter() - started:.1f} s: {cache_folder()}")


def _target(arch: int | None) -> Device:
    """What to compile for: a GPU of an architecture, or this one.

    Raises:
        HopwellError: there is no GPU, or one that the kernels are not for.
    """
    import torch

    from hopwell.ops.device import Device, has_kernels

    if arch is not None and arch < 90:
        raise HopwellError(f"--arch is {arch}; the kernels are for 90 (Hopper) and 100 (Blackwell)")
    if arch is not None:
        return Device.of_arch(arch)
    if not torch.cuda.is_available():
        raise HopwellError("PyTorch sees no GPU to compile for; say which with --arch 90 or --arch 100")
    device = torch.device("cuda", 0)
    if not has_kernels(device):
        raise HopwellError(f"the kernels are for Hopper and Blackwell GPUs, not for {torch.cuda.get_device_name()}")
    return Device.of(device)
