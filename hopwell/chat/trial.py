"""A foreign tokenizer on trial, as it runs in a child process of `engine.tokenizer`: its patterns are programs too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MAX_GROWTH = 16
"""Characters that a normalizer may make of one."""
LENGTH = 4000
TEXTS = tuple(
    piece * (LENGTH // len(piece)) + end
    for piece in ("a", "A", "0", " ", "\n", "\t", "\r\n", "!", "é", "中", "a ", "aA", "a1", "'s", "1,", " \n")
    for end in ("", "!", "\0")
)
"""What makes a pattern try again, if anything does: long runs of one kind, and an end that does not fit."""


def tokenizer(setup: None) -> Callable[[str], str]:
    """What the child runs: with the path of a tokenizer.json, returns what is wrong with it, or an empty text."""
    import tokenizers

    def call(path: str) -> str:
        found = tokenizers.Tokenizer.from_file(path)
        found.no_truncation()
        found.no_padding()
        return encodes(found)

    return call


def encodes(found: Any) -> str:
    """Lets a tokenizer encode and decode texts that are hard for patterns; returns what is wrong, or an empty text."""
    import json

    growth = _growth(json.loads(found.to_str())["normalizer"])
    if growth > MAX_GROWTH:
        return f"its normalizer makes {growth:,.0f} characters of one"
    for text in TEXTS:
        found.decode(found.encode(text, add_special_tokens=False).ids, skip_special_tokens=False)
    return ""


def _growth(normalizer: Any) -> float:
    """How much longer replacements can make a text."""
    if not isinstance(normalizer, dict):
        return 1.0
    product = 1.0
    for each in normalizer.get("normalizers") or ():
        product *= _growth(each)
    if normalizer.get("type") == "Replace":
        pattern = normalizer.get("pattern") or {}
        product *= max(1.0, len(normalizer.get("content") or "") / max(1, len(pattern.get("String") or "")))
    return product
