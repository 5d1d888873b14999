"""One way to measure any engine: what a decode step, a prompt and the start take, seen from its `generate`.

A step's time is the difference between longer and shorter answers, so that prompts, scheduling and the first token
cancel out. Prompts that need several steps are read while earlier ones are answered already; the shorter answers are
long enough for all of them to be answered at once. This file needs nothing but Python, for it also runs in a peer's own
environment.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from hopwell.limits.power import all_joules

MEASURED = "measured: "
"""How a line begins that tells of a measurement, among all that an engine writes."""
Generate = Callable[[list[list[int]], int], object]
"""Answers prompts, all at once, greedily, with exactly so many tokens each."""


def measure(generate: Generate, task: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    """Decode steps and prompts.

    Args:
        task: `decode` ([batch, context] pairs), `steps` (tokens of a long answer, at least), `prefill` ([prompts,
            tokens] pairs) and `gpus`, over which it runs.

    Returns:
        `decode`: batch, context, ms_per_step (with drafts: a token of each sequence), mj_per_token; `prefill`: prompts,
        tokens, tokens_per_s.
    """
    rng = random.Random(0)

    def timed(count: int, length: int, tokens: int) -> tuple[float, float]:
        prompts = [[rng.randrange(10, vocabulary - 10) for _ in range(length)] for _ in range(count)]
        joules, began = used(), time.perf_counter()
        generate(prompts, tokens)
        return time.perf_counter() - began, used() - joules

    def used() -> float:
        return all_joules(task.get("gpus", 1)) or 0.0

    def tell(found: str) -> None:
        print(MEASURED + found, file=sys.stderr, flush=True)

    timed(4, 64, 8)
    decode: list[dict[str, Any]] = []
    for batch, context in task["decode"]:
        steps, lead = answer(task, batch), lead_in(batch, context)
        # the first may compile what prompts and answers together need
        long = min(timed(batch, context, lead + steps) for _ in range(2))
        short = min(timed(batch, context, lead) for _ in range(2 if batch * context <= ONCE_ABOVE else 1))
        joules = long[1] - short[1]
        decode.append({"batch": batch, "context": context, "ms_per_step": 1e3 * (long[0] - short[0]) / steps,
                       "mj_per_token": 1e3 * joules / steps / batch if joules > 0 else None})  # fmt: skip
        tell(f"step at batch {batch}, context {context}: {decode[-1]['ms_per_step']:.3f} ms")
    prefill = []
    for prompts, tokens in task["prefill"]:
        seconds = min(timed(prompts, tokens, 1)[0] for _ in range(3))
        prefill.append({"prompts": prompts, "tokens": tokens, "tokens_per_s": prompts * tokens / seconds})
        tell(f"{prompts} prompts of {tokens} tokens: {prefill[-1]['tokens_per_s']:,.0f} tokens/s")
    return {"decode": decode, "prefill": prefill}


ONCE_ABOVE = 1 << 17
"""Tokens of all prompts above which short answers are timed once: prompts take most of the time."""
STEP_TOKENS = 16384
"""Tokens of prompts that either engine reads in a step."""


def lead_in(batch: int, context: int) -> int:
    """Tokens of a short answer: as many as the prompts need steps, and one."""
    return 1 + -(-batch * context // STEP_TOKENS)


def answer(task: dict[str, Any], batch: int) -> int:
    """Tokens of a long answer: for small batches more, for the energy counter ticks slowly."""
    return max(task["steps"], min(1024, 2048 // batch))


def longest(task: dict[str, Any]) -> int:
    """Tokens that the longest sequence of a task has."""
    decoding = [context + lead_in(batch, context) + answer(task, batch) + 8 for batch, context in task["decode"]]
    return max([80, *decoding, *(t + 8 for _, t in task["prefill"])])


def cache_tokens(task: dict[str, Any]) -> int:
    """Tokens that the cache must hold at once, in pages of 64."""
    decoding = [
        batch * (context + lead_in(batch, context) + answer(task, batch) + 72) for batch, context in task["decode"]
    ]
    return max([4096, *decoding, *(p * (t + 72) for p, t in task["prefill"])])


def most(task: dict[str, Any]) -> int:
    """Sequences at once."""
    return max([4, *(batch for batch, _ in task["decode"]), *(prompts for prompts, _ in task["prefill"])])


def read_task(arguments: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """A checkpoint's folder and a task, as `bench/against.py` gives them to either side."""
    return arguments[0], json.loads(arguments[1])
