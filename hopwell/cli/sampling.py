"""Options that `chat` and `generate` share: where the model runs, and how its tokens are chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hopwell.engine.core import SamplingParams
    from hopwell.engine.llm import LLM

PANEL = "Sampling (default: as the model's authors recommend)"
Temperature = Annotated[float | None, typer.Option(help="0 takes the best token each time.", rich_help_panel=PANEL)]
TopP = Annotated[float | None, typer.Option(help="Fewest tokens that reach this probability.", rich_help_panel=PANEL)]
TopK = Annotated[int | None, typer.Option(help="This many tokens; 0: all.", rich_help_panel=PANEL)]
MinP = Annotated[float | None, typer.Option(help="Tokens this probable beside the best.", rich_help_panel=PANEL)]
Seed = Annotated[int | None, typer.Option(help="Same seed, same answer.", rich_help_panel=PANEL)]
Stop = Annotated[list[str] | None, typer.Option(help="Text that ends an answer; repeatable.", rich_help_panel=PANEL)]
MaxTokens = Annotated[int | None, typer.Option(help="Of an answer; default: to the end of the context.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Dtype = Annotated[str, typer.Option(help="auto, bfloat16 or float32.")]
Drafts = Annotated[int | None, typer.Option(help="Tokens that the MTP layer proposes a step, 0 to 3. [default: 1]")]
Activations = Annotated[
    str | None, typer.Option(help="Before FP8 weights: fp8, bf16, or auto (by op and batch). [default: the device's]")
]
System = Annotated[str | None, typer.Option(help="System prompt.")]
Thinking = Annotated[
    bool | None, typer.Option("--thinking/--no-thinking", help="For templates with a switch, such as V3.1's.")
]


def given(**options: Any) -> dict[str, Any]:
    """The options that were given, checked as far as they can be without a model.

    Raises:
        RequestError: a value is out of range; the message names it.
    """
    from hopwell.engine.core import SamplingParams

    found = {name: value for name, value in options.items() if value is not None}
    SamplingParams(**found)
    return found


def load(model: str | None, device: str, dtype: str, drafts: int | None, **settings: Any) -> LLM:
    """The model behind an engine, with a bar if it takes long.

    Raises:
        HopwellError: it cannot be loaded, or a setting not honoured.
    """
    from hopwell.cli.progress import byte_progress, kernel_progress
    from hopwell.engine.llm import LLM

    if drafts is not None:
        settings["drafts"] = drafts
    with kernel_progress() as on_compile, byte_progress("Loading", "Loaded") as progress:
        return LLM(model, device=device, dtype=dtype, progress=progress, on_compile=on_compile, **settings)


def params_of(llm: LLM, options: dict[str, Any]) -> SamplingParams:
    """The authors' settings with those that were given."""
    return replace(llm.default_params, **options)


def template_variables(llm: LLM, thinking: bool | None) -> dict[str, Any]:
    """What the template is told of `--thinking`.

    Raises:
        HopwellError: it has no such switch.
    """
    from hopwell.errors import HopwellError

    if thinking is None:
        return {}
    for name in ("thinking", "enable_thinking"):
        if name in llm.loaded.template.variables:
            return {name: thinking}
    option = "--thinking" if thinking else "--no-thinking"
    raise HopwellError(f"{option}: the chat template of {llm.loaded.name} has no switch for it; leave it out")
