"""Latency classes by name: what they promise, and what a reasoning model can and cannot do within them."""

from __future__ import annotations

from hopwell.planner.model import PlanError
from hopwell.planner.question import CLASSES, parse_number
from hopwell.planner.search import Answer
from hopwell.planner.uncertainty import figures

WHOLE = {"speech": 50.0, "recommendation": 8.0}
"""ms in which services of a kind want something whole: a frame of speech, a ranking."""
DEFAULT = "server"


def promises(name: str | None, ttft: str | None, tpot: str | None) -> tuple[float, float]:
    """ms to the first token and between tokens: a class's, unless given apart.

    Raises:
        PlanError: the class is unknown, or a time is none.
    """
    if name is not None and name not in CLASSES and name not in WHOLE:
        raise PlanError(f"--class: {name!r} is not known; give one of {', '.join([*CLASSES, *WHOLE])}")
    first, between = CLASSES["interactive" if name in WHOLE else name or DEFAULT]
    if name in WHOLE:
        between = 50.0
    if ttft is not None:
        first = parse_number(ttft, "--ttft", "ms", 1, 1e7)
    if tpot is not None:
        between = parse_number(tpot, "--tpot", "ms", 0.01, 1e6)
    return first, between


def what_is_possible(name: str, answer: Answer) -> list[str]:
    """For classes that want a whole result in so many ms, what the best option makes of them."""
    if name not in WHOLE:
        return []
    option, within = answer.options[0], WHOLE[name]
    between, first = option.tpot_ms.p50, option.ttft_ms.p50
    tokens = within / between
    lines = [f"class {name}: {figures(within)} ms for a whole result"]
    if first > within:
        lines.append(f"the first token alone takes {figures(first)} ms here: no result of this model comes in time,")
        lines.append("and it thinks before it answers; a small model, or an answer computed ahead, must serve the call")
    if tokens >= 1:
        lines.append(
            f"once it speaks, {figures(within)} ms hold {figures(tokens)} tokens, faster than speech (about 5 tokens a "
            "second): its answer can be streamed to a voice"
        )
    else:
        lines.append(f"one token takes {figures(between)} ms: not even one comes within {figures(within)} ms")
    return lines
