"""The formats of replies by name, and which one a checkpoint writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from hopwell.chat.calls import DEEPSEEK, KIMI, section
from hopwell.chat.dsml import CALLS, TOKEN, dsml
from hopwell.chat.source import Source, Steps
from hopwell.errors import HopwellError


@dataclass(frozen=True, slots=True)
class Format:
    """How a model writes tool calls. Thinking is `<think>` ... `</think>` in all of them."""

    begin: str
    """The mark of the first call."""
    calls: Callable[[Source, Iterator[int]], Steps[None]]
    """Reads a section of calls after that mark; the iterator numbers them."""
    ends_thinking: bool = False
    """The mark ends the thinking too, where `</think>` is missing. Not in DeepSeek's formats: their prompts spell the
    mark out, and the model quotes it in its thinking."""


SECTIONS = Format(DEEPSEEK.section, partial(section, marks=DEEPSEEK))
FORMATS = {
    **dict.fromkeys(("deepseek_r1", "deepseek_r1_0528", "deepseek_v3", "deepseek_v31"), SECTIONS),
    "deepseek_v32": Format(CALLS, dsml),
    "kimi_k2": Format(KIMI.section, partial(section, marks=KIMI), ends_thinking=True),
}
"""R1-0528 calls as R1 does; its prompt does not begin the thinking, which the parser sees for itself."""


def reply_format(name: str) -> Format:
    """A format by name.

    Raises:
        HopwellError: the name is unknown; the message lists those known.
    """
    if name not in FORMATS:
        raise HopwellError(f"reply format {name!r} is unknown; known: {', '.join(FORMATS)}")
    return FORMATS[name]


def detect(template: str, has_token: Callable[[str], bool]) -> str | None:
    """The name of the format that a checkpoint writes, or None if it calls no tools.

    Args:
        template: source of its chat template; empty if it has none.
        has_token: whether a text is one token of its vocabulary.
    """
    if KIMI.section in template or has_token(KIMI.section):
        return "kimi_k2"
    if DEEPSEEK.section in template:
        return "deepseek_r1" if "```json" in template else "deepseek_v31"
    if TOKEN in template or has_token(TOKEN):
        return "deepseek_v32"
    return "deepseek_r1" if has_token(DEEPSEEK.section) else None
