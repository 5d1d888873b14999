"""Values from a caller's Python, held to the types that their names have, as JSON's are by the server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, get_type_hints

import msgspec

SHOWN = 80
"""Characters of a wrong value that a message shows."""


def misfit(types: type | Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first value that is not of its type, and what to say of it.

    Args:
        types: by name, or a class whose fields have them. A bool is no number, and a float no integer.
    """
    hints = types if isinstance(types, Mapping) else _hints(types)
    for name, value in values.items():
        if not _fits(value, hints[name]):
            return name, f"{name} is {shown(value)}; give {_words(hints[name])}"
    return None


def fields_of(value: Any) -> dict[str, Any]:
    """A dataclass's fields that are not its class's defaults, by name."""
    return {
        name: given for name, field in value.__dataclass_fields__.items()
        if (given := getattr(value, name)) is not field.default
    }  # fmt: skip


def shown(value: Any) -> str:
    """A wrong value for a message, in one line."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, kind: Any) -> bool:
    try:
        made = msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    # what a dict or a set was made into is no such thing yet
    return made is value or isinstance(made, list) or made == value


def _words(kind: Any) -> str:
    """A type as it is written."""
    text = kind.__name__ if isinstance(kind, type) else str(kind)
    text = re.sub(r"\b(\w+\.)+", "", text)  # modules
    for formal, usual in (("Sequence", "list"), ("Mapping", "dict"), (" | ", " or ")):
        text = text.replace(formal, usual)
    return text
