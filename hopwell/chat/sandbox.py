"""Jinja without a way out, as it runs in the child process of `chat.template`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import meta
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hopwell.chat.free import free_names

MAX_REPEAT = 1 << 20
"""Characters or items that a product in a template may have."""


def renderer(setup: dict[str, str]) -> Callable[[dict[str, Any] | None], Any]:
    """What the child runs: a template's text, or for None the names that it looks up.

    The template is compiled in the first call, whose limits then hold for that too: Jinja computes constants.

    Args:
        setup: `source` of the template, and what it is always told: `bos_token`, `eos_token`.
    """
    found: list[Callable[[dict[str, Any] | None], Any]] = []

    def call(values: dict[str, Any] | None) -> Any:
        if not found:
            found.append(_compiled(**setup))
        return found[0](values)

    return call


def _compiled(source: str, **tokens: str) -> Callable[[dict[str, Any] | None], Any]:
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    try:
        template = environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise type(error)(f"line {error.lineno}: {error.message}", error.lineno) from None
    tree = environment.parse(source)
    names = meta.find_undeclared_variables(tree) & free_names(tree) - environment.globals.keys()
    return lambda values: sorted(names) if values is None else template.render(**values, **tokens)


class _Sandbox(ImmutableSandboxedEnvironment):
    """What is unsafe is an error even where its value would not be used, and so is a product that is too long."""

    intercepted_binops = frozenset(("*", "**"))

    def unsafe_undefined(self, obj: Any, attribute: str) -> NoReturn:
        raise SecurityError(f"access to attribute {attribute!r} of {type(obj).__name__!r} object is unsafe")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise SecurityError("powers are not allowed")
        for sequence, times in ((left, right), (right, left)):
            if (
                isinstance(times, int)
                and isinstance(sequence, str | list | tuple)
                and times * len(sequence) > MAX_REPEAT
            ):
                raise SecurityError(f"a product of more than {MAX_REPEAT:,} items is not allowed")
        return super().call_binop(context, operator, left, right)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Unlike Jinja's own, without HTML escapes, which no model was trained on."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
