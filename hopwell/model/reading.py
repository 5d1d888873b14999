"""Typed fields out of a config.json, with an error that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hopwell.errors import HopwellError


class ConfigError(HopwellError):
    """A field of config.json is missing, of the wrong type or out of range; the message names it."""


class FieldReader:
    """Takes fields of an object. Of each, `default` stands for null and for a field that is missing, `null` for null
    alone: where implementations disagree about what a missing field means, none is guessed."""

    def __init__(self, values: Mapping[str, Any], prefix: str = "", file: str = "config.json") -> None:
        self.values, self.prefix, self.file = values, prefix, file

    def integer(self, name: str, low: int, high: int, default: int | None = None, null: int | None = None) -> int:
        """A whole number within limits."""
        value = self._value(name, default, null)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.fault(name, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """A number within limits."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.fault(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def boolean(self, name: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self.fault(name, "true or false")
        return value

    def token_ids(self, name: str) -> tuple[int, ...]:
        """A token id, a list of them, or none."""
        value = self.values.get(name)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if any(isinstance(i, bool) or not isinstance(i, int) or i < 0 for i in ids):
            raise self.fault(name, "a token id or a list of them")
        return tuple(ids)

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of several words."""
        value = self._value(name, default)
        if value not in choices:
            raise self.fault(name, f"one of {', '.join(choices)}")
        return value

    def expect(self, name: str, *allowed: Any) -> None:
        """Refuses all but null, nothing, and what is allowed."""
        value = self.values.get(name)
        if value is not None and value not in allowed:
            only = " or ".join(map(repr, allowed))
            raise self.fault(name, f"{only}, the only value that is computed here" if only != "None" else "none")

    def fault(self, name: str, expected: str) -> ConfigError:
        """The one line that says what a field holds, and what it may."""
        found = _short(self.values[name]) if name in self.values else "missing"
        return ConfigError(f"{self.file}: {self.prefix}{name} is {found}, expected {expected}")

    def _value(self, name: str, default: Any, null: Any = None) -> Any:
        value = self.values.get(name)
        return value if value is not None else null if null is not None and name in self.values else default


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."
