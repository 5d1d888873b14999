"""Replies of every format: made from known parts, or from pieces at random."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from hopwell.chat.calls import DEEPSEEK, KIMI, Marks
from hopwell.chat.dsml import CALLS, CALLS_END, INVOKE, INVOKE_END, PARAMETER, PARAMETER_END
from hopwell.chat.reply import THINK, THINK_END, Event, ReplyParser

FORMATS = ("deepseek_r1", "deepseek_r1_0528", "deepseek_v31", "deepseek_v32", "kimi_k2")
MARKS = {
    **dict.fromkeys(FORMATS[:3], tuple(getattr(DEEPSEEK, name) for name in Marks.__slots__)),
    "deepseek_v32": (CALLS, CALLS_END, INVOKE, INVOKE_END, PARAMETER, PARAMETER_END),
    "kimi_k2": tuple(getattr(KIMI, name) for name in Marks.__slots__),
}
STRANGE = (
    "你好，世界", "日本語のテキスト", "한국어", "😀👩‍👩‍👧", "🇩🇪", "e\u0301a\u030a", "עברית", "नमस्ते", "a\u200db",
    "\ufeffx", "½·²",
    "<", "</", "<t", "<thin", "</thin", "<｜", "<｜tool", "<｜tool▁call", "<｜tool▁calls▁beg", "<|", "<|tool_call",
    "<|tool_calls_section_", "<｜DSML", "</｜DSML｜", "｜DSML｜", "｜", "`", "``", "'", "&lt;", "{", "}",
    "[1]", "if a < b > c:",
    "function", "json", 'name="x"', "\\frac{1}{2}", "\\boxed{7}",
)  # fmt: skip
PLAIN = ("so", "the", "sum", "is", "7", "then", "check", "it:", "42", "therefore", "answer", "x", "=", "y.")


@dataclass
class Reply:
    """What a model meant to say."""

    thinking: str | None
    content: str
    calls: list[tuple[str, dict[str, Any]]]


def words(random: Random, most: int) -> str:
    """A text with line feeds inside, but no space around it."""
    parts = [random.choice(STRANGE if random.random() < 0.4 else PLAIN) for _ in range(random.randrange(1, most))]
    return "".join(part + random.choice((" ", " ", "\n", "\n\n", "")) for part in parts).strip()


def value(random: Random, depth: int = 2) -> Any:
    """Any JSON value."""
    roll = random.random()
    if roll < 0.5 or not depth:
        return random.choice((words(random, 6), 'say "hi"\n\tback\\slash', "", " spaced ", "7", "true"))
    if roll < 0.7:
        return random.choice((0, -17, 3.25, 1e30, True, False, None))
    if roll < 0.85:
        return [value(random, depth - 1) for _ in range(random.randrange(3))]
    return {words(random, 3) or "k": value(random, depth - 1) for _ in range(random.randrange(3))}


def reply(random: Random) -> Reply:
    """A reply with or without thinking, content and calls."""
    calls = []
    if random.random() < 0.7:
        for _ in range(random.randrange(1, 4)):
            names = random.sample(("city", "x", "größe", "数", "a-b", "query text"), random.randrange(4))
            calls.append(
                (random.choice(("get_weather", "f", "run-2", "wetter_für")), {n: value(random) for n in names})
            )
    thinking = None if random.random() < 0.3 else words(random, 8)
    return Reply(thinking, words(random, 8) if random.random() < 0.8 or not calls else "", calls)


def written(reply: Reply, format: str) -> str:
    """The reply as a model of this format writes it when the prompt has begun the thinking (or ended it)."""
    text = "" if reply.thinking is None else f"{reply.thinking}\n{THINK_END}\n\n"
    if format == "deepseek_r1_0528" and reply.thinking is not None:
        text = f"{THINK}\n{text}"
    text += reply.content
    if not reply.calls:
        return text
    if format == "deepseek_v32":
        return f"{text}\n\n{CALLS}\n" + "".join(map(_invoke, reply.calls)) + CALLS_END
    marks = KIMI if format == "kimi_k2" else DEEPSEEK
    joint = "\n" if format in ("deepseek_r1", "deepseek_r1_0528") else ""
    return (
        text + marks.section + joint.join(_call(i, *c, format) for i, c in enumerate(reply.calls)) + marks.section_end
    )


def _call(number: int, name: str, arguments: dict[str, Any], format: str) -> str:
    body = json.dumps(arguments, ensure_ascii=False)
    if format == "kimi_k2":
        return f"{KIMI.call}functions.{name}:{number}{KIMI.separator}{body}{KIMI.call_end}"
    if format == "deepseek_v31":
        return f"{DEEPSEEK.call}{name}{DEEPSEEK.separator}{body}{DEEPSEEK.call_end}"
    return f"{DEEPSEEK.call}function{DEEPSEEK.separator}{name}\n```json\n{body}\n```{DEEPSEEK.call_end}"


def _invoke(call: tuple[str, dict[str, Any]]) -> str:
    name, arguments = call
    lines = [
        f'{PARAMETER} name="{key}" string="{str(isinstance(v, str)).lower()}">'
        f"{v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)}{PARAMETER_END}\n"
        for key, v in arguments.items()
    ]
    return f'{INVOKE} name="{name}">\n' + "".join(lines) + f"{INVOKE_END}\n"


def noise(random: Random, format: str) -> tuple[str, list[str]]:
    """A stream of marks, halves of marks and words in any order, and the words, each of them once."""
    pieces, found = [], []
    marks = (*MARKS[format], THINK, THINK_END)
    for number in range(random.randrange(1, 30)):
        roll = random.random()
        if roll < 0.35:
            pieces.append(random.choice(marks))
        elif roll < 0.45:
            mark = random.choice(marks)
            pieces.append(mark[: random.randrange(1, len(mark))])
        elif roll < 0.6:
            pieces.append(random.choice(STRANGE))
        elif roll < 0.75:
            key = f"k{number}k"
            found.append(key)
            pieces.append(
                random.choice((f' name="{key}">', f' name="{key}" string="true">', f' name="{key}" string="false">',
                               f"functions.{key}:3", f"{key}\n```json\n", f"function{DEEPSEEK.separator}{key}\n"))
            )  # fmt: skip
        else:
            word = f"w{number}w" + random.choice(("", "é", "数", "😀"))
            found.append(word)
            pieces.append(word + random.choice((" ", "\n", "", "```", '"', "}")))
    return "".join(pieces), found


def cut(random: Random, text: str) -> list[str]:
    """The text in pieces of a few characters."""
    pieces = []
    while text:
        size = random.choice((1, 1, 2, 3, 5, 8, 40))
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def merged(events: Iterable[Event]) -> list[tuple[str, int, str, str]]:
    """Events with neighbours of one kind joined, without the random ids."""
    result: list[tuple[str, int, str, str]] = []
    for event in events:
        if result and event.kind != "call" and result[-1][:2] == (event.kind, event.index):
            result[-1] = (*result[-1][:3], result[-1][3] + event.text)
        else:
            result.append((event.kind, event.index, event.name, event.text))
    return result


def parse(
    pieces: Iterable[str], thinking: bool = True, tools: bool = True, format: str = "deepseek_r1"
) -> list[tuple[str, int, str, str]]:
    """What the parser makes of a reply in pieces."""
    parser = ReplyParser(thinking, tools, format)
    events = [event for piece in pieces for event in parser.push(piece)]
    return merged(events + parser.finish())


def meaning(events: list[tuple[str, int, str, str]]) -> Reply:
    """The reply that events tell of."""
    thinking = [text for kind, _, _, text in events if kind == "reasoning"]
    content = "".join(text for kind, _, _, text in events if kind == "content")
    arguments: dict[int, str] = {}
    for kind, index, _, text in events:
        if kind == "arguments":
            arguments[index] = arguments.get(index, "") + text
    calls = [(name, json.loads(arguments[index])) for kind, index, name, _ in events if kind == "call"]
    return Reply("".join(thinking) if thinking else None, content, calls)
