"""What conversations in Python consist of, and what to say where one does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from hopwell.chat.template import TemplateError


class _Called(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    function: _Called


class _System(msgspec.Struct, tag_field="role", tag="system"):
    content: str


class _User(msgspec.Struct, tag_field="role", tag="user"):
    content: str


class _Tool(msgspec.Struct, tag_field="role", tag="tool"):
    content: str


class _Assistant(msgspec.Struct, tag_field="role", tag="assistant"):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None

    def __post_init__(self) -> None:
        if self.content is None and not self.tool_calls:
            raise ValueError("An assistant's message has neither content nor tool_calls")


class _Named(msgspec.Struct):
    name: str


class _Offered(msgspec.Struct):
    type: Literal["function"]
    function: _Named


_PARTS = {
    "messages": Annotated[list[_System | _User | _Assistant | _Tool], msgspec.Meta(min_length=1)],
    "tools": list[_Offered] | None,
    "variables": dict[str, Any] | None,
}
_REMEDY = {
    "messages": "give a list of messages as OpenAI's API has them: role (system, user, assistant or tool) and content",
    "tools": "give a list of tools as OpenAI's API has them",
    "variables": "give a dict",
}


def check_conversation(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> None:
    """
    Raises:
        TemplateError: one of them is not what OpenAI's API has there, content being text; the message says where.
    """
    for name, value in (("messages", messages), ("tools", tools), ("variables", variables)):
        try:
            msgspec.convert(value, _PARTS[name])
        except msgspec.ValidationError as error:
            said = str(error)
            where = said.replace("`$", f"`{name}") if "`$" in said else f"{said} - at `{name}`"
            raise TemplateError(f"{where}; {_REMEDY[name]}", name) from None
