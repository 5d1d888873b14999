"""A checkpoint's tokenizer, as the engine needs it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers.decoders import DecodeStream

from hopwell.errors import HopwellError


class TokenizerError(HopwellError):
    """tokenizer.json or tokenizer_config.json cannot be used; the message names the file."""


class Tokenizer:
    """Encodes prompts, and makes a decoder for each sequence."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, config: dict[str, Any]) -> None:
        self.inner, self.config = tokenizer, config

    @classmethod
    def open(cls, folder: Path) -> Tokenizer:
        """Reads tokenizer.json and tokenizer_config.json.

        Raises:
            TokenizerError: a file is missing or malformed.
        """
        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:
            raise TokenizerError(f"{folder / 'tokenizer.json'}: {error}; fetch the file again") from None
        path = folder / "tokenizer_config.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except ValueError as error:
            raise TokenizerError(f"{path}: {error}; fetch the file again") from None
        return cls(tokenizer, config)

    @cached_property
    def bos(self) -> int | None:
        """The token before every prompt, if the tokenizer wants one."""
        token = self.config.get("bos_token")
        text = token.get("content") if isinstance(token, dict) else token
        return self.inner.token_to_id(text) if text and self.config.get("add_bos_token") else None

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Tokens of a text.

        Args:
            special: begin with the beginning-of-sequence token, unless the text does; chat templates write their own.
        """
        tokens = self.inner.encode(text, add_special_tokens=False).ids
        if special and self.bos is not None and tokens[:1] != [self.bos]:
            tokens.insert(0, self.bos)
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens, special ones included."""
        return self.inner.decode(list(tokens), skip_special_tokens=False)

    def decoder(self) -> StreamDecoder:
        """A fresh incremental decoder, for one sequence."""
        return StreamDecoder(self.inner)

    def json(self) -> str:
        """Contents of tokenizer.json, for grammars."""
        return self.inner.to_str()


class StreamDecoder:
    """Decodes tokens as they come; half a character waits for its rest."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer, self._stream = tokenizer, DecodeStream(skip_special_tokens=False)
        self._waiting: list[int] = []

    def push(self, tokens: Sequence[int]) -> str:
        """Text that these tokens complete."""
        parts = []
        for token in tokens:
            self._waiting.append(token)
            text = self._stream.step(self._tokenizer, token)
            if text:
                parts.append(text)
                self._waiting.clear()
        return "".join(parts)

    def flush(self) -> str:
        """What never became a whole character, with replacement characters."""
        waiting, self._waiting = self._waiting, []
        return self._tokenizer.decode(waiting, skip_special_tokens=False) if waiting else ""
