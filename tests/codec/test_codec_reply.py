"""Thinking, content and tool calls are the same however the text is cut, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopwell.codec.reply import CALL, CALL_END, CALL_SEP, CALLS, CALLS_END, Event, ReplyParser


def call(name: str) -> str:
    return f'{CALL}function{CALL_SEP}{name}\n```json\n{{"a": "x``` < y"}}\n```{CALL_END}'


SAMPLES = [
    "",
    "only thinking",
    "thought</think>answer",
    "thought\n</think>\n\nanswer </think> again\n",
    f"thought</think>\n\nHere: {CALLS}{call('f')}\n{call('g')}{CALLS_END}",
    f'thought</think>{CALLS}{CALL}f{CALL_SEP}{{}}{CALL_END}{CALL}g{CALL_SEP}{{"b": 1}}{CALL_END}{CALLS_END}',
    f'thought</think>{CALLS}{CALL}function{CALL_SEP}f\n```json\n{{"cut',
    f"thought</think>{CALLS}nonsense{CALL}x",
    "a <tool </thin < b</think><｜tool▁cal is no mark",
]


def merged(events: Iterator[Event]) -> list[tuple[str, int, str, str]]:
    """Events with neighbours of one kind joined, without the random ids."""
    result: list[tuple[str, int, str, str]] = []
    for event in events:
        if result and event.kind != "call" and result[-1][:2] == (event.kind, event.index):
            result[-1] = (*result[-1][:3], result[-1][3] + event.text)
        else:
            result.append((event.kind, event.index, event.name, event.text))
    return result


def parse(pieces: list[str], thinking: bool = True, tools: bool = True) -> list[tuple[str, int, str, str]]:
    parser = ReplyParser(thinking, tools)
    events = [event for piece in pieces for event in parser.push(piece)]
    return merged(iter(events + parser.finish()))


@pytest.mark.parametrize("text", SAMPLES)
@pytest.mark.parametrize("tools", [False, True])
def test_every_cut_in_two_and_letter_by_letter(text: str, tools: bool) -> None:
    whole = parse([text], tools=tools)
    assert parse(list(text), tools=tools) == whole
    for cut in range(len(text)):
        assert parse([text[:cut], text[cut:]], tools=tools) == whole


@given(st.lists(st.sampled_from([*"ab< \n`", "</think>", CALLS, CALLS_END, CALL, CALL_SEP, CALL_END, "function"])))
def test_any_text_parses_the_same_in_pieces(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert parse(pieces) == parse([text]) == parse(list(text))


def test_calls_of_both_formats() -> None:
    assert parse([SAMPLES[4]]) == [
        ("reasoning", 0, "", "thought"),
        ("content", 0, "", "Here:"),
        ("call", 0, "f", ""),
        ("arguments", 0, "", '{"a": "x``` < y"}'),
        ("call", 1, "g", ""),
        ("arguments", 1, "", '{"a": "x``` < y"}'),
    ]
    newer = parse([SAMPLES[5]])
    assert [(kind, name or json.loads(text)) for kind, _, name, text in newer[1:]] == [
        ("call", "f"),
        ("arguments", {}),
        ("call", "g"),
        ("arguments", {"b": 1}),
    ]


def test_what_is_no_call_is_content() -> None:
    assert parse([f"</think>{CALLS}nonsense{CALL}x"]) == [("content", 0, "", f"nonsense{CALL}x")]
    marks = f"{CALLS}{call('f')}{CALLS_END}"
    assert parse([f"</think>{marks}"], tools=False) == [("content", 0, "", marks)]


def test_thinking_may_begin_in_the_answer() -> None:
    expected = [("reasoning", 0, "", "hm"), ("content", 0, "", "yes")]
    assert parse(list("<think>\nhm\n</think>\n\nyes"), thinking=False) == expected
    assert parse(list("<thin air"), thinking=False) == [("content", 0, "", "<thin air")]
