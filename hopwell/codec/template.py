"""Chat templates: the checkpoint's own, in a sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2 import meta
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hopwell.errors import HopwellError

RESERVED = ("messages", "tools", "add_generation_prompt", "bos_token", "eos_token")
MAX_REPEAT = 1 << 20
"""Characters or items that a product in a template may have."""


class TemplateError(HopwellError):
    """A conversation that the template refuses, or a template that cannot be read."""


class NoTemplateError(TemplateError):
    """The checkpoint comes without a chat template: it is no chat model, or its text is made by a program."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja without a way out: what is unsafe is an error even where its value would not be used, and no product
    fills the memory."""

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


class ChatTemplate:
    """Renders conversations as the model was trained on them."""

    def __init__(self, source: str, bos_token: str = "", eos_token: str = "") -> None:
        """
        Raises:
            TemplateError: the template is not Jinja.
        """
        environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
        try:
            self._template = environment.from_string(source)
            self.variables = frozenset(meta.find_undeclared_variables(environment.parse(source)))
            """Names that the template looks up, such as V3.1's `thinking`."""
        except jinja2.TemplateError as error:
            raise TemplateError(f"chat_template: {error}; fetch the file again") from None
        self.source, self.bos_token, self.eos_token = source, bos_token, eos_token

    @classmethod
    def open(cls, folder: Path) -> ChatTemplate:
        """Reads `chat_template.jinja`, or `chat_template` of tokenizer_config.json.

        Raises:
            TemplateError: there is none, or it is malformed.
        """
        path = folder / "tokenizer_config.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TemplateError(f"{path}: {error}; fetch the file again") from None
        if not isinstance(config, dict):
            raise TemplateError(f"{path}: expected a JSON object; fetch the file again")
        jinja = folder / "chat_template.jinja"
        source = jinja.read_text(encoding="utf-8") if jinja.exists() else config.get("chat_template")
        if not isinstance(source, str):
            raise NoTemplateError(f"{path} has no chat_template, and there is no {jinja.name}; this is no chat model")
        return cls(source, _token(config.get("bos_token")), _token(config.get("eos_token")))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of a conversation, up to where the assistant begins to speak.

        Args:
            variables: more that the template may look at, such as V3.1's `thinking`.

        Raises:
            TemplateError: the template refuses the conversation; one line with its reason.
        """
        variables = variables or {}
        if taken := set(variables) & set(RESERVED):
            raise TemplateError(f"chat_template_kwargs must not set {min(taken)}")
        try:
            return self._template.render(
                messages=messages,
                tools=tools,
                add_generation_prompt=add_generation_prompt,
                bos_token=self.bos_token,
                eos_token=self.eos_token,
                **variables,
            )
        except Exception as error:  # a template is a program that came with the weights: it may raise anything
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise TemplateError(f"the chat template refuses this conversation: {reason}") from None


def _token(entry: Any) -> str:
    return (entry.get("content") if isinstance(entry, dict) else entry) or ""


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
