"""Thinking, content and tool calls are the same however the text is cut, and nothing is lost: every format."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from reply_streams import FORMATS, cut, meaning, noise, parse, reply, written

from hopwell.chat.calls import DEEPSEEK, KIMI
from hopwell.chat.dsml import CALLS, CALLS_END, INVOKE, INVOKE_END, PARAMETER, PARAMETER_END
from hopwell.chat.formats import detect, reply_format
from hopwell.chat.reply import ReplyParser
from hopwell.errors import HopwellError

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text(encoding="utf-8"))
SECTION, SECTION_END, CALL, SEP, CALL_END = (
    DEEPSEEK.section, DEEPSEEK.section_end, DEEPSEEK.call, DEEPSEEK.separator, DEEPSEEK.call_end
)  # fmt: skip


def begins_inside(format: str, text: str) -> bool:
    """Whether the prompt of such a reply ends inside the thinking."""
    return "</think>" in text and format != "deepseek_r1_0528"


def streams(format: str, count: int) -> list[str]:
    """Replies: those recorded, and made ones, a fifth of them broken off somewhere."""
    random = Random(f"streams {format}")
    texts = list(RECORDED.get(format, ()))
    while len(texts) < count:
        text = written(reply(random), format)
        texts.append(text[: random.randrange(len(text) + 1)] if random.random() < 0.2 else text)
    return texts


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.slow
def test_every_split_point(format: str) -> None:
    for text in streams(format, 60):
        inside = begins_inside(format, text)
        whole = parse([text], inside, format=format)
        assert parse(text, inside, format=format) == whole, "letter by letter"
        for at in range(1, len(text)):
            assert parse([text[:at], text[at:]], inside, format=format) == whole, (at, text)


@pytest.mark.parametrize("format", FORMATS)
def test_what_was_meant_comes_back(format: str) -> None:
    random = Random(f"meant {format}")
    for _ in range(1000):
        meant = reply(random)
        text = written(meant, format)
        assert meaning(parse(cut(random, text), begins_inside(format, text), format=format)) == meant, text


@pytest.mark.parametrize("format", FORMATS)
def test_noise_crashes_nothing_and_loses_nothing(format: str) -> None:
    random = Random(f"noise {format}")
    for _ in range(2000):
        text, words = noise(random, format)
        inside, tools = random.random() < 0.5, random.random() < 0.8
        whole = parse([text], inside, tools, format)
        assert parse(cut(random, text), inside, tools, format) == whole, text
        told = "".join(name + said for _, _, name, said in whole)
        assert all(word in told for word in words), (text, whole)


def test_recorded_calls_of_nano() -> None:
    called = [text for text in RECORDED["deepseek_r1"] if SECTION in text]
    assert len(called) >= 5
    for text in called:
        said = meaning(parse([text]))
        assert [name for name, _ in said.calls] == ["calculator"] and said.calls[0][1]["expression"]
        assert said.thinking and not said.content


def test_malformed_calls_are_content_as_written() -> None:
    good = f"{CALL}function{SEP}f\n```json\n{{}}\n```{CALL_END}"
    for bad in (
        f"{CALL}function{SEP}no fence, no line{CALL_END}", f"{CALL}no separator{CALL_END}", f"{CALL}{SEP}{{}}{CALL_END}"
    ):  # fmt: skip
        events = parse([f"</think>{SECTION}{bad}\n{good}{SECTION_END}"])
        assert events == [("content", 0, "", bad), ("call", 0, "f", ""), ("arguments", 0, "", "{}")]
    broken = f"{CALL}function{SEP}cut o"
    assert parse([f"</think>{SECTION}nonsense {broken}"]) == [("content", 0, "", f"nonsense{broken}")]


def test_missing_ends_are_made_up_for() -> None:
    one, two = f'{CALL}function{SEP}f\n```json\n{{"a": 1}}', f'{CALL}g{SEP}{{"b": 2}}'
    events = parse([f"</think>{SECTION}{one}\n```\n{two}{SECTION_END}after"])
    assert [event[2:] for event in events] == [("f", ""), ("", '{"a": 1}'), ("g", ""), ("", '{"b": 2}'), ("", "after")]


def test_marks_are_text_where_no_tools_are_offered() -> None:
    text = f"{SECTION}{CALL}function{SEP}f\n```json\n{{}}\n```{CALL_END}{SECTION_END}"
    assert parse([f"</think>{text}"], tools=False) == [("content", 0, "", text)]


def test_arguments_of_v32_are_json_whatever_the_model_wrote() -> None:
    def call(inner: str) -> str:
        return f'</think>\n\n{CALLS}\n{INVOKE} name="f">\n{inner}{INVOKE_END}\n{CALLS_END}'

    def parameter(string: str, value: str) -> str:
        return f'{PARAMETER} name="k" string="{string}">{value}{PARAMETER_END}\n'

    for string, value, expected in (
        ("true", ' "q"\n<b>\\ ', ' "q"\n<b>\\ '),
        ("true", "7", "7"),
        ("false", " 7 ", 7),
        ("false", '{"a": [1, null]}', {"a": [1, None]}),
        ("false", "not json", "not json"),
        ("false", "NaN", "NaN"),
        ("false", "", ""),
    ):
        assert meaning(parse([call(parameter(string, value))], format="deepseek_v32")).calls == [("f", {"k": expected})]
    assert meaning(parse([call("")], format="deepseek_v32")).calls == [("f", {})]
    assert meaning(parse([call('{"k": 1}\n')], format="deepseek_v32")).calls == [("f", {"k": 1})]
    stray = meaning(parse([call("stray " + parameter("maybe", "x") + parameter("true", "y"))], format="deepseek_v32"))
    assert stray.calls == [("f", {"k": "y"})]
    assert stray.content == f'stray{PARAMETER} name="k" string="maybe">x{PARAMETER_END}'


def test_strings_of_v32_stream() -> None:
    parser = ReplyParser(False, True, "deepseek_v32")
    parser.push(f'{CALLS}\n{INVOKE} name="write">\n{PARAMETER} name="text" string="true">')
    assert "".join(event.text for letter in 'ab"c' for event in parser.push(letter)) == 'ab\\"c'


def test_kimi_keeps_its_ids_and_may_forget_to_end_its_thinking() -> None:
    text = f"hm {KIMI.section}{KIMI.call}functions.a.b:12{KIMI.separator}{{}}{KIMI.call_end}{KIMI.section_end}"
    parser = ReplyParser(True, True, "kimi_k2")
    events = parser.push(text) + parser.finish()
    assert [(event.kind, event.name, event.call_id) for event in events][1] == ("call", "a.b", "functions.a.b:12")
    assert meaning(parse([text], format="kimi_k2")).thinking == "hm "


def test_quoted_marks_in_thinking_are_thinking() -> None:
    text = f"I write {SECTION} now</think>ok"
    assert parse([text]) == [("reasoning", 0, "", f"I write {SECTION} now"), ("content", 0, "", "ok")]


def test_thinking_may_begin_in_the_answer() -> None:
    expected = [("reasoning", 0, "", "hm"), ("content", 0, "", "yes")]
    assert parse("<think>\nhm\n</think>\n\nyes", thinking=False) == expected
    assert parse("<thin air", thinking=False) == [("content", 0, "", "<thin air")]


def test_formats_are_chosen_by_name_or_found() -> None:
    with pytest.raises(HopwellError, match=r"'r1' is unknown; known: deepseek_r1, .*kimi_k2"):
        ReplyParser(True, True, "r1")
    none, every = (lambda token: False), (lambda token: True)
    assert detect(f"x {SECTION} ```json", none) == "deepseek_r1"
    assert detect(f"x {SECTION} y", lambda token: "DSML" in token) == "deepseek_v31"
    assert detect("", lambda token: token == "｜DSML｜") == "deepseek_v32"
    assert detect("", lambda token: token == SECTION) == "deepseek_r1"
    assert detect("", every) == "kimi_k2"
    assert detect("", none) is None
    assert reply_format("deepseek_v3").begin == SECTION
