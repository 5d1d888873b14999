"""Text that is final: stop strings found at every cut, whole characters only."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from tiny_tokenizer import byte_tokenizer

from hopwell.engine.text import StopStrings, TextStream
from hopwell.engine.tokenizer import StreamDecoder


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
