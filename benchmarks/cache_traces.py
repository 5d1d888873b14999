"""Requests to replay through caches: traces of real services, and prompts made of templates."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from itertools import accumulate, count
from pathlib import Path

from hopwell.errors import HopwellError
from hopwell.ops.sizes import PAGE

TEMPLATES, TEMPLATE_TOKENS, QUESTION_TOKENS = 200, 4096, 44
TEMPLATE_REQUESTS = 40_000
ZIPF = 1.0
"""How much more often than the second template the first is used: 2 to this power."""


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """One prompt: its length in tokens and the chained ids of its blocks, the last one perhaps not full."""

    tokens: int
    blocks: list[int]
    answer: int = 0
    """Tokens of the answer."""


def read_trace(path: Path) -> list[TraceRequest]:
    """Reads a trace in Mooncake's format, one JSON object a line with `input_length` and `hash_ids`, and perhaps
    `output_length`.

    Raises:
        HopwellError: a line is not such an object, or there is none; the message names it.
    """
    requests = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    entry = json.loads(line)
                    answer = entry.get("output_length", 0)
                    requests.append(TraceRequest(entry["input_length"], entry["hash_ids"], answer))
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise HopwellError(
                        f"{path}, line {number}: {error!r}; expected input_length and hash_ids"
                    ) from None
    except OSError as error:
        raise HopwellError(f"{path}: {error.strerror}; give a trace in Mooncake's format") from None
    if not requests:
        raise HopwellError(f"{path} holds no request; give a trace in Mooncake's format")
    return requests


def template_requests(seed: int = 0) -> list[TraceRequest]:
    """Prompts of one of 200 templates, drawn by Zipf's law, and a question that is never asked again, in pages."""
    r = random.Random(seed)
    length = TEMPLATE_TOKENS // PAGE
    weights = [*accumulate((rank + 1) ** -ZIPF for rank in range(TEMPLATES))]
    questions = count(TEMPLATES * length)
    requests = []
    for first in r.choices(range(TEMPLATES), cum_weights=weights, k=TEMPLATE_REQUESTS):
        blocks = [*range(first * length, (first + 1) * length), next(questions)]
        requests.append(TraceRequest(TEMPLATE_TOKENS + QUESTION_TOKENS, blocks, QUESTION_TOKENS))
    return requests
