"""What single tokens stand for: log-probabilities name twenty a token."""

from __future__ import annotations

from functools import cached_property

from hopwell.chat.ranks import BYTE_NAMES
from hopwell.engine.tokenizer import Tokenizer

BYTE_OF = {name: byte for byte, name in enumerate(BYTE_NAMES)}


class Vocabulary:
    """A tokenizer's, a token at a time."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._texts: dict[int, str] = {}
        """Of tokens that were asked for."""

    def text(self, token: int) -> str:
        """One token's text, or `bytes:` and its bytes in hexadecimal where they are no whole characters, as OpenAI's
        completions have them: two tokens never share a name."""
        if (known := self._texts.get(token)) is not None:
            return known
        data = self.bytes_of(token)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)
        self._texts[token] = text
        return text

    def bytes_of(self, token: int) -> bytes:
        """One token's bytes, undoing the byte-level alphabet of its vocabulary entry."""
        entry = self._tokenizer.inner.id_to_token(token) or ""
        if token not in self._added and all(character in BYTE_OF for character in entry):
            return bytes(BYTE_OF[character] for character in entry)
        return self._tokenizer.decode([token]).encode()

    @cached_property
    def _added(self) -> frozenset[int]:
        """Tokens that stand for themselves, in no alphabet."""
        return frozenset(self._tokenizer.inner.get_added_tokens_decoder())
