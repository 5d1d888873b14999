"""Options that several commands have: where the model runs, how tokens are chosen; and what comes of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopwell.cli.help import in_energy, in_layout, in_model
from hopwell.errors import HopwellError
from hopwell.interrupts import importing

if TYPE_CHECKING:
    from hopwell.engine.llm import LLM

in_sampling = partial(typer.Option, rich_help_panel="Sampling (default: as the model's authors recommend)")
Temperature = Annotated[float | None, in_sampling(help="0 takes the best token each time.")]
TopP = Annotated[float | None, in_sampling(help="Fewest tokens that reach this probability.")]
TopK = Annotated[int | None, in_sampling(help="This many tokens; 0: all.")]
MinP = Annotated[float | None, in_sampling(help="Tokens this probable beside the best.")]
Seed = Annotated[int | None, in_sampling(help="Same seed, same answer.")]
Stop = Annotated[list[str] | None, in_sampling(help="Text that ends an answer; repeatable.")]
MaxTokens = Annotated[int | None, typer.Option(help="Of an answer; default: to the end of the context.")]
Device = Annotated[str, in_model(help="auto, cpu, cuda, cuda:1, ...")]
Dtype = Annotated[str, in_model(help="auto, bfloat16, float16 (matrices, on a CPU) or float32.")]
Drafts = Annotated[
    str | None, in_model(metavar="0-3|auto", help="Of the MTP layer, a step; auto: as many as pay. [default: 1]")
]
FixedDrafts = Annotated[int, typer.Option(min=0, max=3, help="Of the MTP layer, a step.")]
Activations = Annotated[
    str | None, in_model(help="Before FP8 weights: fp8, bf16, or auto (by op and batch). [default: the device's]")
]
Tp = Annotated[int, in_layout("--tp", min=1, help="Ranks that share every layer.")]
Ep = Annotated[int, in_layout("--ep", min=1, help="1, or as --tp: each rank has whole routed experts.")]
DpAttention = Annotated[
    bool, in_layout("--dp-attention", help="Each rank attends for, and caches, sequences of its own.")
]
Gpus = Annotated[
    int | None,
    in_layout("--gpus", min=1, help="Choose the layout over so many GPUs of this host, or processes of a CPU."),
]
FourBits = Annotated[
    str | None, in_model(help="Weights of four bits on a GPU: packed, or expanded to bf16. [default: packed]")
]
Grams = Annotated[float | None, in_energy(min=0, help="CO2 of a kilowatt-hour, for requests' energy.")]
Price = Annotated[float | None, in_energy(min=0, help="Of a kilowatt-hour, in any currency, likewise.")]
ChatTemplate = Annotated[Path | None, in_model(help="Jinja file in place of the checkpoint's chat template.")]
System = Annotated[str | None, typer.Option(help="System prompt.")]
Thinking = Annotated[
    bool | None, typer.Option("--thinking/--no-thinking", help="For templates with a switch, such as V3.1's.")
]


def given(**options: Any) -> dict[str, Any]:
    """The options that were given, checked as far as they can be without a model.

    Raises:
        RequestError: a value is out of range; the message names it.
    """
    from hopwell.engine.request import SamplingParams

    found = {name: value for name, value in options.items() if value is not None}
    SamplingParams(**found)
    return found


def needs_energy(energy: bool | None, grams: float | None, price: float | None) -> bool | None:
    """Whether joules are to be counted: as was said, and in any case where there are factors for them.

    Raises:
        HopwellError: factors were given, and joules refused.
    """
    if grams is None and price is None:
        return energy
    if energy is False:
        raise HopwellError("--grams-per-kwh and --price-per-kwh need joules; leave --no-energy out")
    return True


def check_counter(device: str) -> None:
    """Tells before a model is loaded, and before any fault that could be mended.

    Raises:
        HopwellError: the device has no counter of joules.
    """
    from hopwell.engine.device import pick_device
    from hopwell.engine.energy import NO_COUNTER, find_counter

    if find_counter([pick_device(device)]) is None:
        raise HopwellError(f"{NO_COUNTER}; leave out --energy, --grams-per-kwh and --price-per-kwh")


def check_gpus(ctx: typer.Context, gpus: int | None, *others: str) -> None:
    """
    Args:
        others: parameters, beside those of a layout, that exclude `--gpus` too.

    Raises:
        HopwellError: `--gpus` was given, and one of them.
    """
    if gpus is None:
        return

    names = ("tp", "ep", "dp_attention", *others)
    sources = {name: ctx.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        told = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise HopwellError(f"--gpus {gpus} chooses how the model lies; leave {told} out, or --gpus")


def draft_setting(text: str) -> int | str:
    """What --drafts says, as `EngineConfig` and `engine_config` take it.

    Raises:
        HopwellError: it is neither a number nor auto.
    """
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise HopwellError(f"--drafts is {text!r}; give 0 to 3, or auto") from None


def load(model: str | None, device: str, dtype: str, gpus: int | None, drafts: str | None, **settings: Any) -> LLM:
    """The model behind an engine, with a bar if it takes long.

    Args:
        gpus: chooses `tp`, `ep` and `dp_attention`, and says why.
        settings: as `LLM` takes them.

    Raises:
        HopwellError: it cannot be loaded, or a setting not honoured.
    """
    from hopwell.cli.progress import byte_progress, kernel_progress

    with importing():
        from hopwell.engine.llm import LLM

    if drafts is not None:
        settings["drafts"] = draft_setting(drafts)
    if settings.get("four_bits") is None:
        settings.pop("four_bits", None)
    if gpus is not None:
        from hopwell.cli.console import note
        from hopwell.cli.gpus import Asked
        from hopwell.cli.layouts import choose_here

        chosen = choose_here(Asked.of(model, gpus, device, dtype, settings))
        settings |= {"tp": chosen.tp, "ep": chosen.ep, "dp_attention": chosen.dp_attention}
        note(f"layout: {chosen.why}")
    with kernel_progress() as on_compile, byte_progress("Loading", "Loaded") as progress:
        return LLM(model, device=device, dtype=dtype, progress=progress, on_compile=on_compile, **settings)


def template_variables(llm: LLM, thinking: bool | None) -> dict[str, Any]:
    """What the template is told of `--thinking`.

    Raises:
        HopwellError: it has no such switch.
    """
    if thinking is None:
        return {}
    if (switch := llm.loaded.template.thinking_switch) is not None:
        return {switch: thinking}
    option = "--thinking" if thinking else "--no-thinking"
    raise HopwellError(f"{option}: the chat template of {llm.loaded.name} has no switch for it; leave it out")
