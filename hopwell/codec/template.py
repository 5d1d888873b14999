"""Chat templates: the checkpoint's own, in a sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hopwell.errors import HopwellError

RESERVED = ("messages", "tools", "add_generation_prompt", "bos_token", "eos_token")


class TemplateError(HopwellError):
    """A conversation that the template refuses, or a template that cannot be read."""


class ChatTemplate:
    """Renders conversations as the model was trained on them."""

    def __init__(self, source: str, bos_token: str = "", eos_token: str = "") -> None:
        """
        Raises:
            TemplateError: the template is not Jinja.
        """
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
        try:
            self._template = environment.from_string(source)
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
        jinja = folder / "chat_template.jinja"
        source = jinja.read_text(encoding="utf-8") if jinja.exists() else config.get("chat_template")
        if not isinstance(source, str):
            raise TemplateError(f"{path} has no chat_template, and there is no {jinja.name}; this is no chat model")
        return cls(source, _token(config.get("bos_token")), _token(config.get("eos_token")))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """The text of a conversation, up to where the assistant begins to speak.

        Args:
            variables: more that the template may look at, such as V3.1's `thinking`.

        Raises:
            TemplateError: the template refuses the conversation; one line with its reason.
        """
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
        except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
            raise TemplateError(f"the chat template refuses this conversation: {str(error).splitlines()[0]}") from None


def _token(entry: Any) -> str:
    return (entry.get("content") if isinstance(entry, dict) else entry) or ""


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
