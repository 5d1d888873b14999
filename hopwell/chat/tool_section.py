"""A section that tells a model of its tools, for templates that have none, in the form its family knows.

R1 and V3 know the list that DeepSeek-V2.5's model card has; how to write a call is told in words of our own. V3.1's
card gives both, and is kept to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hopwell.chat.calls import DEEPSEEK as M

FENCED = ("deepseek_r1", "deepseek_r1_0528", "deepseek_v3")
NO_PARAMETERS = {"type": "object", "properties": {}}
R1_CALLS = (
    "To call functions, end your answer with all of the calls, written exactly like this, FUNCTION_NAME and the JSON"
    " object of its arguments being yours, and write nothing after them:\n"
    f"{M.section}{M.call}function{M.separator}FUNCTION_NAME\n```json\n"
    '{"ARGUMENT_NAME": "value"}'
    f"\n```{M.call_end}{M.section_end}\nSeveral calls stand between the outermost marks, each on a line of its own."
)
V31_CALLS = (
    "IMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
    f"{M.section}{M.call}tool_call_name{M.separator}tool_call_arguments{M.call_end}"
    f"{{additional_tool_calls}}{M.section_end}\n\n"
    "Where:\n"
    "- `tool_call_name` must be an exact match to one of the available tools\n"
    "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
    "- For multiple tool calls, chain them directly without separators or spaces"
)


def tool_section(format: str | None, tools: Sequence[Mapping[str, Any]]) -> str | None:
    """What to put after the system prompt, or None where the format has no section that we know.

    Args:
        format: a key of `FORMATS`.
        tools: as OpenAI's API has them.
    """
    functions = [tool["function"] for tool in tools]
    if format == "deepseek_v31":
        return "\n\n".join(["## Tools\nYou have access to the following tools:", *map(_v31, functions), V31_CALLS])
    if format in FENCED:
        head = "## Tools\n\n### Function\n\nYou have the following functions available:\n\n"
        return head + "".join(map(_r1, functions)) + "\n" + R1_CALLS
    return None


def with_section(messages: Sequence[Mapping[str, Any]], section: str) -> list[Mapping[str, Any]]:
    """The conversation with a section after its last system prompt, or in place of one."""
    at = max((i for i, message in enumerate(messages) if message["role"] == "system"), default=None)
    if at is None:
        return [{"role": "system", "content": f"\n\n{section}"}, *messages]
    told = {**messages[at], "content": f"{messages[at]['content']}\n\n{section}"}
    return [*messages[:at], told, *messages[at + 1 :]]


def _r1(function: Mapping[str, Any]) -> str:
    known = {name: function[name] for name in ("name", "description", "parameters") if function.get(name) is not None}
    return f"- `{function['name']}`:\n```json\n{json.dumps(known, ensure_ascii=False, indent=4)}\n```\n"


def _v31(function: Mapping[str, Any]) -> str:
    parameters = json.dumps(function.get("parameters") or NO_PARAMETERS, ensure_ascii=False)
    return f"### {function['name']}\nDescription: {function.get('description') or ''}\n\nParameters: {parameters}"
