"""Chat templates: the checkpoint's own, rendered in a child process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hopwell.bounded import Bounded, BoundedError, Limits
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import read_json, read_text
from hopwell.errors import HopwellError

RESERVED = ("messages", "tools", "add_generation_prompt", "bos_token", "eos_token")
SWITCHES = ("thinking", "enable_thinking")
"""Names that templates have for whether to think."""
LIMITS = Limits(seconds=10.0, memory=512 << 20)
"""Of one conversation's text; the largest that fits a context takes less than a second and 100 MB."""
SYNTAX = ("TemplateSyntaxError", "TemplateAssertionError")
DEFAULT, FOR_TOOLS = "default", "tool_use"
"""Templates that are used where a checkpoint has several: the second where there are tools."""


class TemplateError(HopwellError):
    """A conversation that the template refuses, or a template that cannot be read.

    Attributes:
        field: the part of a request at fault.
    """

    def __init__(self, message: str, field: str = "messages") -> None:
        super().__init__(message)
        self.field = field


class NoTemplateError(TemplateError):
    """The checkpoint comes without a chat template: it is no chat model, or its text is made by a program."""


class ChatTemplate:
    """Renders conversations as the model was trained on them. A template is a program that came with the weights: it
    is compiled and run in a child, within `LIMITS`, when it is first needed."""

    def __init__(
        self,
        source: str,
        bos_token: str = "",
        eos_token: str = "",
        with_tools: ChatTemplate | None = None,
        file: Path | None = None,
    ) -> None:
        """
        Args:
            with_tools: another template for conversations with tools.
            file: where a user's own template is, for what is said of it.
        """
        self.file = file
        self.source, self.bos_token, self.eos_token, self.with_tools = source, bos_token, eos_token, with_tools
        setup = {"source": source, "bos_token": bos_token, "eos_token": eos_token}
        self._child = Bounded("hopwell.chat.sandbox:renderer", setup, LIMITS)

    @classmethod
    def open(cls, folder: Path, file: Path | None = None) -> ChatTemplate:
        """Reads `file`, or else `chat_template.jinja`, or `chat_template` of tokenizer_config.json; of several the
        default, and that for tools.

        Raises:
            TemplateError: there is none, or a file cannot be read.
        """
        path, own = folder / "tokenizer_config.json", folder / "chat_template.jinja"
        try:
            config = read_json(path)
            tokens = _token(config.get("bos_token")), _token(config.get("eos_token"))
            if file is not None:
                return cls(read_text(file, remedy="convert it"), *tokens, file=file)
            named = _named(path, config.get("chat_template"))
            for more in sorted((folder / "additional_chat_templates").glob("*.jinja")):
                named[more.stem] = read_text(more)
            if own.exists():
                named[DEFAULT] = read_text(own)
        except CheckpointError as error:
            raise TemplateError(str(error)) from None
        if not named:
            raise NoTemplateError(f"{path} has no chat_template, and there is no {own.name}; this is no chat model")
        if DEFAULT not in named:
            raise TemplateError(
                f"{path}: chat_template has no {DEFAULT!r} among {', '.join(sorted(named))}; name one so"
            )
        tools = named.get(FOR_TOOLS)
        return cls(named[DEFAULT], *tokens, with_tools=None if tools is None else cls(tools, *tokens))

    def warm(self) -> None:
        """Starts the child in the background, so that the first conversation does not wait for it."""
        self._child.warm()

    @cached_property
    def variables(self) -> frozenset[str]:
        """Names that the template looks up, such as V3.1's `thinking`; those of Jinja itself left out.

        Raises:
            TemplateError: the template is not Jinja.
        """
        more = frozenset[str]() if self.with_tools is None else self.with_tools.variables
        return frozenset(self._run(None, "chat_template")) | more

    @property
    def settings(self) -> frozenset[str]:
        """The variables that a caller may set."""
        return self.variables - set(RESERVED)

    @property
    def reads_tools(self) -> bool:
        """Whether it has a place for tools: R1's and V3.1's have none."""
        return "tools" in self.variables

    @property
    def thinking_switch(self) -> str | None:
        """The variable that says whether to think, if there is one."""
        return next((name for name in SWITCHES if name in self.settings), None)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of a conversation, up to where the assistant begins to speak. It waits for the child: not for a
        loop that others wait for.

        Args:
            variables: more that the template may look at, such as V3.1's `thinking`.

        Raises:
            TemplateError: the template refuses the conversation; one line with its reason.
        """
        variables = variables or {}
        if unknown := set(variables) - self.settings:
            name, known = min(unknown), ", ".join(sorted(self.settings)) or "none"
            field = f"chat_template_kwargs.{name}"
            raise TemplateError(f"{field} is no variable of this model's chat template; it has: {known}", field)
        template = self.with_tools if tools and self.with_tools is not None else self
        values = {"messages": messages, "tools": tools, "add_generation_prompt": add_generation_prompt, **variables}
        return template._run(values, "the chat template refuses this conversation")

    def _run(self, values: dict[str, Any] | None, what: str) -> Any:
        try:
            return self._child(values)
        except BoundedError as error:
            reason = str(error).strip().partition("\n")[0] or error.type
            if error.kind == "raised" and error.type in SYNTAX:
                if self.file is None:
                    raise TemplateError(f"chat_template: {reason}; fetch the file again") from None
                raise TemplateError(f"{self.file}: {reason.rstrip('.')}; mend it, or give another") from None
            raise TemplateError(f"{what}: {reason}") from None
        except (TypeError, ValueError) as error:  # a caller's messages, in Python
            raise TemplateError(f"a conversation must be what JSON can hold: {error}") from None


def _named(path: Path, found: Any) -> dict[str, str]:
    """Templates by name: one is the default, several come as a list of names and templates.

    Raises:
        TemplateError: it is something else.
    """
    if found is None:
        return {}
    entries = [{"name": DEFAULT, "template": found}] if isinstance(found, str) else found
    try:
        named = {str(entry["name"]): entry["template"] for entry in entries}
    except (TypeError, KeyError, IndexError):
        named = {"": None}
    if not all(isinstance(template, str) for template in named.values()):
        raise TemplateError(f"{path}: chat_template is neither text nor a list of names and templates; fetch it again")
    return named


def _token(entry: Any) -> str:
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else ""
