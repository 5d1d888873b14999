"""Text that people wrote, told from the special tokens that a template writes around it.

A noncharacter of Unicode is put before what spells a special token in their text, and before its end where that is the
beginning of one. The template carries it along, and what stands behind it is then encoded as text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any

from tokenizers import AddedToken, Tokenizer, models

from hopwell.chat.template import TemplateError
from hopwell.engine.tokenizer import Tokenizer as TextTokenizer

NONCHARACTERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


class Marker:
    """Marks texts for one tokenizer, and encodes what a template has made of them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # a vocabulary of nothing but the special tokens finds them in a text of any length in linear time
        self._finder = Tokenizer(models.WordLevel({"": 0}, unk_token=""))
        added = sorted(tokenizer.get_added_tokens_decoder().items())
        for _, token in added:
            copy = AddedToken(token.content, special=False, **{flag: getattr(token, flag) for flag in FLAGS})
            self._finder.add_tokens([copy])
        self._real = {self._finder.token_to_id(token.content): number for number, token in added}
        self._starts = {token.content[:size] for _, token in added for size in range(1, len(token.content))}
        self._first = {start for start in self._starts if len(start) == 1}
        self._longest = max((len(token.content) for _, token in added), default=0)

    @cached_property
    def _plain(self) -> TextTokenizer:
        """The tokenizer without its special tokens."""
        whole = json.loads(self._tokenizer.to_str())
        for token in whole["added_tokens"]:
            whole["model"]["vocab"].pop(token["content"], None)
        return TextTokenizer(Tokenizer.from_str(json.dumps(whole | {"added_tokens": []})), {})

    def needed(self, value: Any) -> bool:
        """Whether any text in a JSON value would be taken for a special token, or for the beginning of one."""
        return any(self._places(text) for text in strings(value))

    def mark(self, value: Any, sign: str, inside: bool = False) -> Any:
        """A copy of a JSON value with a sign before each text that would be taken for a special token.

        Args:
            inside: after its first character instead, for templates that look at how a text begins.
        """

        def marked(text: str) -> str:
            cuts = [0, *(place + inside for place in self._places(text)), len(text)]
            return sign.join(text[start:end] for start, end in pairwise(cuts))

        return mapped(value, marked)

    def encode(self, text: str, sign: str) -> list[int]:
        """Tokens of a rendered text: special where no sign stands before them.

        Raises:
            RequestError: the tokenizer cannot encode it.
        """
        texts, special, begin = list[str](), list[int](), 0
        for number, start, end in self._found(text):
            if text[start - 1 : start] != sign:
                texts.append(text[begin:start].replace(sign, ""))
                special.append(self._real[number])
                begin = end
        encoded = self._plain.encode_all([*texts, text[begin:].replace(sign, "")], special=False)
        tokens = encoded[0]
        for number, following in zip(special, encoded[1:], strict=True):
            tokens += [number, *following]
        return tokens

    def _found(self, text: str) -> list[tuple[int, int, int]]:
        """Special tokens in a text: their numbers in the finder, where they begin and where they end."""
        (found,) = self._finder.encode_batch([text], add_special_tokens=False)  # other threads run meanwhile
        return [(n, *span) for n, span in zip(found.ids, found.offsets, strict=True) if n in self._real]

    def _places(self, text: str) -> list[int]:
        """Where special tokens begin in a text, and where one begins that the text's end cuts off."""
        if not any(first in text for first in self._first):
            return []
        places = [start for _, start, _ in self._found(text)]
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            if text[-size:] in self._starts:
                return [*places, len(text) - size]
        return places


def sign_for(value: Any) -> str:
    """A noncharacter that no text in a JSON value has.

    Raises:
        TemplateError: all are there.
    """
    for sign in NONCHARACTERS:
        if not any(sign in text for text in strings(value)):
            return sign
    raise TemplateError("the messages hold all noncharacters from U+FDD0 to U+FDEF; remove one")


def strings(value: Any) -> Iterator[str]:
    """All texts in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with every text changed, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): mapped(inner, change) for key, inner in value.items()}
    return [mapped(inner, change) for inner in value] if isinstance(value, list) else value
