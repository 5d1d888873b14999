"""From a problem to text in R1's chat format: what `tokenizer_config.json`'s template makes of the same messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from training.nano.tasks.problem import Problem

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
CALLS_BEGIN, CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
CALL_BEGIN, CALL_SEP, CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
OUTPUTS_BEGIN, OUTPUTS_END = "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>"
OUTPUT_BEGIN, OUTPUT_END = "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"
SPECIAL_TOKENS = (
    BOS, EOS, PAD, USER, ASSISTANT, "<think>", "</think>", CALLS_BEGIN, CALLS_END, CALL_BEGIN, CALL_SEP, CALL_END,
    OUTPUTS_BEGIN, OUTPUTS_END, OUTPUT_BEGIN, OUTPUT_END,
)  # fmt: skip
"""In the order of their ids, from 0, in R1's spelling."""


def tool_call_text(name: str, arguments: str) -> str:
    """One call, with the tokens around all calls."""
    call = f"{CALL_BEGIN}function{CALL_SEP}{name}\n```json\n{arguments}\n```{CALL_END}"
    return f"{CALLS_BEGIN}{call}{CALLS_END}"


def prompt_text(messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None = None) -> str:
    """The prompt that ends where the model's turn starts: in `<think>` and a line feed, or after a tool's output."""
    text = BOS + "".join(m["content"] for m in messages if m["role"] == "system")
    if tools:
        text += "\n\nTools:" + "".join("\n" + json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    after_tool = False
    for message in messages:
        content = message.get("content") or ""
        if message["role"] == "user":
            text += USER + content
        elif message["role"] == "tool":
            text += (OUTPUTS_BEGIN if not after_tool else "\n") + OUTPUT_BEGIN + content + OUTPUT_END
        elif message["role"] == "assistant":
            text += OUTPUTS_END if after_tool else ASSISTANT
            text += content.rpartition("</think>")[2].lstrip("\n")
            for call in message.get("tool_calls") or ():
                text += tool_call_text(call["function"]["name"], call["function"]["arguments"])
            text += EOS
        after_tool = message["role"] == "tool"
    return text + (OUTPUTS_END if after_tool else f"{ASSISTANT}<think>\n")


def examples(problem: Problem) -> list[tuple[str, str]]:
    """Training pairs (prompt, completion) of a problem: one, or two where a tool is called in between."""
    prompt = prompt_text(problem.messages, problem.tools)
    if problem.call is None:
        return [(prompt, f"{problem.thinking}\n</think>\n\n{problem.reply}{EOS}")]
    arguments = json.dumps({"expression": problem.call})
    first = f"{problem.thinking}\n</think>\n\n{tool_call_text('calculator', arguments)}{EOS}"
    second = prompt_text([*problem.messages, *tool_messages(problem.call, problem.answer)], problem.tools)
    return [(prompt, first), (second, f"{problem.reply}{EOS}")]


def tool_messages(expression: str, result: str) -> list[dict[str, Any]]:
    """A call of the calculator and its answer, as messages."""
    function = {"name": "calculator", "arguments": json.dumps({"expression": expression})}
    call = {"id": "call_0", "type": "function", "function": function}
    return [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0", "content": result},
    ]
