"""Messages as a template needs them, so that no call and no result of a tool gets lost on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hopwell.chat.template import ChatTemplate, TemplateError

TEXT, CALL, RESULT = "text7081", "7082", "result7083"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a template shows of a turn that calls tools."""

    null: bool
    """The calls, where content is null."""
    empty: bool
    """The calls, where content is an empty string."""
    beside: bool
    """Both, where there is text beside the calls."""
    results: bool
    """What a tool has answered."""

    @classmethod
    def by(cls, template: ChatTemplate) -> Shown:
        """Tried on a small conversation. R1's first template shows calls only beside null, others fail at null."""
        null, empty, both = _tried(template, None), _tried(template, ""), _tried(template, TEXT)
        beside = CALL in both and TEXT in both
        return cls(CALL in null, CALL in empty, beside, any(RESULT in text for text in (null, empty, both)))


def _tried(template: ChatTemplate, content: str | None) -> str:
    call = {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": f'{{"x": {CALL}}}'}}
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0", "content": RESULT},
    ]
    tool = {"type": "function", "function": {"name": "f", "description": "", "parameters": {"type": "object"}}}
    try:
        return template.render(turns, tools=[tool])
    except TemplateError:
        return ""


def in_order_of_calls(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The messages, with the results behind a turn in the order of its calls: most templates show no ids, and a model
    takes the first result for the first call's. Where ids are missing, twice there
    or of an earlier turn's calls, nothing moves."""
    ordered, place = list(messages), 0
    while place < len(ordered):
        calls = ordered[place].get("tool_calls") or ()
        ids = [str(call.get("id")) for call in calls if isinstance(call, Mapping)]
        place += 1
        end = place
        while end < len(ordered) and ordered[end]["role"] == "tool":
            end += 1
        results = {str(message.get("tool_call_id")): message for message in ordered[place:end]}
        if len(set(ids)) == len(ids) and len(results) == end - place and results.keys() <= set(ids):
            ordered[place:end] = [results[id] for id in ids if id in results]
        place = end
    return ordered


def _check_results(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuses a tool's result that is of none of the calls before it, which a model would take for another call's.

    Raises:
        TemplateError: there is one; the message names its field. Where calls have no ids, or the calls' turns are left
            out as litellm's proxy does, nothing can be said.
    """
    made: set[str] = set()
    for place, message in enumerate(messages):
        for call in message.get("tool_calls") or ():
            if not isinstance(call, Mapping) or call.get("id") is None:
                return
            made.add(str(call["id"]))
        named = message.get("tool_call_id") if message["role"] == "tool" else None
        if named is not None and made and str(named) not in made:
            raise TemplateError(
                f"messages.{place}.tool_call_id: {named!r} is the id of no call before it; give the turn of its call"
            )


def as_shown(messages: Sequence[Mapping[str, Any]], shown: Shown) -> list[Mapping[str, Any]]:
    """The messages, with content beside calls null, empty or a turn of its own, as the template shows them.

    Raises:
        TemplateError: it shows no calls or no results, and there are some, or a result is of no call; the message names
            the turn.
    """
    if shown.results:
        _check_results(messages)
    turns: list[Mapping[str, Any]] = []
    for place, message in enumerate(in_order_of_calls(messages)):
        if message["role"] == "tool" and not shown.results:
            raise TemplateError(f"messages.{place}: the chat template of this model has no place for a tool's result")
        if not message.get("tool_calls"):
            turns.append(message)
            continue
        if not (shown.null or shown.empty or shown.beside):
            raise TemplateError(f"messages.{place}: the chat template of this model has no place for tool calls")
        if message.get("content"):
            if shown.beside:
                turns.append(message)
                continue
            turns.append({name: value for name, value in message.items() if name != "tool_calls"})
        turns.append({**message, "content": None if shown.null else ""})
    return turns
