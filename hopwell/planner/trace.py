"""Requests as they came: traces of Mooncake (JSON lines) and Azure (CSV), in their own columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from hopwell.planner.model import PlanError
from hopwell.planner.simulate import Arrival

MOST_BYTES = 256 << 20
COLUMNS = {"TIMESTAMP": "timestamp", "ContextTokens": "input_length", "GeneratedTokens": "output_length"}
"""Azure's names of Mooncake's."""


def read_trace(path: Path, rate: float | None = None) -> list[Arrival]:
    """Arrivals in order of time, the first at 0.

    Args:
        path: .jsonl with `timestamp` (ms), `input_length` and `output_length`, or .csv with `TIMESTAMP` (a date and
            time, or seconds), `ContextTokens` and `GeneratedTokens`.
        rate: requests a second that they are stretched or pressed to; None: as they came.

    Raises:
        PlanError: it cannot be read, or a line is none; the message names it.
    """
    found: list[Arrival] = []
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PlanError(f"--trace {path}: is larger than {MOST_BYTES >> 20} MiB; give a part of it")
        for number, line in _lines(path):
            try:
                found.append(_arrival(line))
            except (KeyError, TypeError, ValueError, OverflowError):
                raise PlanError(
                    f"--trace {path}: line {number} has no timestamp, input_length and output_length above 0"
                ) from None
    except (OSError, UnicodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PlanError(f"--trace {path}: cannot be read: {reason}") from None
    found.sort()
    if len(found) < 2 or found[-1].us <= found[0].us:
        raise PlanError(f"--trace {path}: holds no two requests of different times")
    stretch = 1.0 if rate is None else rate_of(found) / rate
    return [each._replace(us=(each.us - found[0].us) * stretch) for each in found]


def rate_of(trace: list[Arrival]) -> float:
    """Requests a second, the mean."""
    return (len(trace) - 1) / (trace[-1].us - trace[0].us) * 1e6


def means(trace: list[Arrival]) -> dict[str, str]:
    """Tokens in and out, as options of a question; a planner's answers have two tokens at least."""
    sums = sum(each.input for each in trace), sum(each.output for each in trace)
    return {"input": f"{max(1.0, sums[0] / len(trace)):.0f}", "output": f"{max(2.0, sums[1] / len(trace)):.0f}"}


def _lines(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix.lower() == ".csv":
            for number, row in enumerate(csv.DictReader(file), 2):
                yield number, {COLUMNS.get(name, name): value for name, value in row.items()}
            return
        for number, text in enumerate(file, 1):
            if text.strip():
                try:
                    yield number, json.loads(text)
                except (ValueError, RecursionError):
                    yield number, {}


def _arrival(line: dict[str, object]) -> Arrival:
    given = line["timestamp"]
    if isinstance(given, str):
        try:
            us = 1e6 * float(given)
        except ValueError:
            at = datetime.fromisoformat(given[:26])  # Azure's have seven digits of a second
            us = 1e6 * at.replace(tzinfo=at.tzinfo or UTC).timestamp()
    else:
        us = 1e3 * float(given)  # type: ignore[arg-type]
    tokens = float(line["input_length"]), float(line["output_length"])  # type: ignore[arg-type]
    if not all(1 <= count < 1e9 for count in tokens) or not -1e18 < us < 1e18:
        raise ValueError
    return Arrival(us, *tokens)
