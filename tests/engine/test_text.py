"""Text that is final: stop strings found at every cut, whole characters only."""

from __future__ import annotations

import itertools
from random import Random

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tiny_tokenizer import byte_tokenizer
from tokenizers import Regex, normalizers, pre_tokenizers

from hopwell.engine.reading import Reader
from hopwell.engine.request import FinishReason, Request, RequestError, RequestOutput, SamplingParams, SequenceOutput
from hopwell.engine.text import StopStrings, TextStream
from hopwell.engine.tokenizer import StreamDecoder, Tokenizer
from hopwell.model import NANO


def expected(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The text before the first stop string to be complete; of those complete at once, the one that starts first."""
    for end in range(len(text) + 1):
        found = [(text.index(stop, 0, end), stop) for stop in stops if stop in text[:end]]
        if found:
            at, stop = min(found)
            return text[:at], stop
    return text, None


@given(
    st.text("ab", max_size=12),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(0, 12)),
)
def test_any_cut_gives_the_same(text: str, stops: list[str], cuts: list[int]) -> None:
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    stream, shown = StopStrings(stops), ""
    hit = None
    for start, end in zip([0, *ends], ends, strict=False):
        part, hit = stream.push(text[start:end])
        shown += part
        if hit is not None:
            break
        assert not any(stop in shown for stop in stops), "part of a stop string was shown"
    if hit is None:
        shown += stream.flush()
    assert (shown, hit) == expected(text, stops)


def test_every_cut_in_four_gives_the_same() -> None:
    text, stops = "one END two", ["END", "E!"]
    for cuts in itertools.combinations(range(1, len(text)), 3):
        parts = [text[a:b] for a, b in zip((0, *cuts), (*cuts, len(text)), strict=True)]
        stream, shown = StopStrings(stops), ""
        for part in parts:
            piece, hit = stream.push(part)
            shown += piece
            if hit:
                break
        assert (shown, hit) == ("one ", "END")


@given(st.text(max_size=20))
def test_tokens_one_by_one_give_whole_characters(text: str) -> None:
    tokenizer = byte_tokenizer()
    stream = TextStream(StreamDecoder(tokenizer), [])
    tokens = tokenizer.encode(text).ids
    parts = [stream.push([token])[0] for token in tokens]
    assert "".join(parts) + stream.flush()[0] == text
    assert not any("�" in part for part in parts) or "�" in text


def test_broken_utf8_ends_as_replacement_characters() -> None:
    tokenizer = byte_tokenizer()
    half = tokenizer.encode("é").ids[:1]
    stream = TextStream(StreamDecoder(tokenizer), [])
    assert stream.push([*tokenizer.encode("a").ids, *half]) == ("a", None)
    assert stream.flush() == ("�", None)


def test_an_answer_whose_end_completes_a_stop_string_has_stopped() -> None:
    """Cut off in the middle of a character by `max_tokens`: what it ends with is the string that was to stop it."""
    tokenizer = Tokenizer(byte_tokenizer(), {})
    tokens = tokenizer.encode("aé", special=False)[:-1]
    request = Request(request_id="r", prompt=[5], params=SamplingParams(stop=["�"], max_tokens=len(tokens)))
    part = SequenceOutput(0, tokens, finish_reason=FinishReason.LENGTH)
    assert Reader(request, tokenizer).read(RequestOutput("r", [part], finished=True)) == []
    assert (part.text, part.stop_reason, part.finish_reason) == ("a", "�", FinishReason.STOP)


TEXTS = (
    "你好，世界",
    "日本語",
    "한국어",
    "😀👩‍👩‍👧🇩🇪",
    "e\u0301a\u030a",
    "עברית",
    "नमस्ते",
    "½·²",
    "\u200b\ufeff",
    "plain",
    "\x00\r\n",
)


@pytest.fixture(scope="module", params=["bytes", "nano"])
def tokenizer(request: pytest.FixtureRequest) -> tokenizers.Tokenizer:
    path = str(NANO / "tokenizer.json")
    return byte_tokenizer() if request.param == "bytes" else tokenizers.Tokenizer.from_file(path)


def test_no_cut_breaks_a_character(tokenizer: tokenizers.Tokenizer) -> None:
    """Cut anywhere, what is shown is the start of the whole text, and all of it at the end."""
    for text in (*TEXTS, "".join(TEXTS)):
        tokens = tokenizer.encode(text, add_special_tokens=False).ids
        for at in range(len(tokens) + 1):
            stream = TextStream(StreamDecoder(tokenizer), [])
            first, rest = stream.push(tokens[:at])[0], stream.push(tokens[at:])[0]
            assert text.startswith(first)
            assert first + rest + stream.flush()[0] == text


def test_tokens_that_are_no_text_lose_nothing(tokenizer: tokenizers.Tokenizer) -> None:
    """Random tokens, and texts with a token missing: the pieces join to what the whole decodes to."""
    random = Random(5)
    for _ in range(2000):
        tokens = tokenizer.encode("".join(random.sample(TEXTS, 3)), add_special_tokens=False).ids
        if random.random() < 0.5:
            tokens = [random.randrange(tokenizer.get_vocab_size()) for _ in range(20)]
        else:
            del tokens[random.randrange(len(tokens))]
        stream, shown, left = TextStream(StreamDecoder(tokenizer), []), "", list(tokens)
        while left:
            size = random.randrange(1, 4)
            shown += stream.push(left[:size])[0]
            del left[:size]
        assert shown + stream.flush()[0] == tokenizer.decode(tokens, skip_special_tokens=False)


@pytest.mark.parametrize("stop", ["世", "👩", "\u0301", "🇩🇪"])
def test_stop_strings_of_several_bytes(tokenizer: tokenizers.Tokenizer, stop: str) -> None:
    text = "".join(TEXTS)
    stream, shown = TextStream(StreamDecoder(tokenizer), [stop]), ""
    for token in tokenizer.encode(text, add_special_tokens=False).ids:
        piece, hit = stream.push([token])
        shown += piece
        if hit:
            break
    assert shown == text[: text.index(stop)]


def test_one_token_stands_for_a_bounded_number_of_characters() -> None:
    tokenizer = Tokenizer(byte_tokenizer(), {})
    assert tokenizer.longest == len("<｜begin▁of▁sentence｜>")
    tokenizer.inner.normalizer = normalizers.Replace("a", "")
    assert Tokenizer(tokenizer.inner, {}).longest is None, "any number of characters may vanish"


def test_a_pattern_that_gives_up_is_a_refusal() -> None:
    inner = byte_tokenizer()
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("(a|aa)+$"), "isolated")
    with pytest.raises(RequestError, match="gives up"):
        Tokenizer(inner, {}).encode("a" * 60 + "b")
