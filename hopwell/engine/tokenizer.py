"""A checkpoint's tokenizer, as the engine needs it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers.decoders import DecodeStream

from hopwell.bounded import Bounded, BoundedError, Limits
from hopwell.chat.ranks import FILE as RANKS
from hopwell.chat.ranks import from_ranks
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import check_regular, read_json
from hopwell.engine.request import RequestError
from hopwell.errors import HopwellError

TOKENIZER_BYTES = 256 << 20
TRIAL = Limits(seconds=20.0, memory=2 << 30)


class TokenizerError(HopwellError):
    """tokenizer.json or tokenizer_config.json cannot be used; the message names the file."""


def _try(path: Path) -> None:
    """Loads and uses a tokenizer within limits of time and memory: its patterns may explode, its parser panic.

    Raises:
        TokenizerError: it comes to nothing.
    """
    child = Bounded("hopwell.chat.trial:tokenizer", limits=TRIAL)
    try:
        fault = child(str(path.resolve()))
    except BoundedError as error:
        reason = str(error).partition("\n")[0]
        how = "" if error.kind == "raised" else "a short text cannot be encoded with it: "
        raise TokenizerError(f"{path}: {how}{reason}; fetch the file again") from None
    finally:
        child.close()
    if fault:
        raise TokenizerError(f"{path}: {fault}; fetch the file again")


class Tokenizer:
    """Encodes prompts, and makes a decoder for each sequence."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, config: dict[str, Any]) -> None:
        self.inner, self.config = tokenizer, config

    @classmethod
    def open(cls, folder: Path, trusted: bool = False) -> Tokenizer:
        """Reads tokenizer.json, or else tiktoken.model, and tokenizer_config.json.

        Args:
            trusted: it is not tried in a child process first.

        Raises:
            TokenizerError: a file is missing or malformed, or no text can be encoded with it.
        """
        path, beside, ranks = folder / "tokenizer.json", folder / "tokenizer_config.json", folder / RANKS
        try:
            config = read_json(beside) if beside.exists() else {}
            if ranks.exists() and not path.exists():
                return cls(from_ranks(ranks, config), config)
            check_regular(path, TOKENIZER_BYTES)
        except CheckpointError as error:
            raise TokenizerError(str(error)) from None
        if not trusted:
            _try(path)
        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:
            raise TokenizerError(f"{path}: {error}; fetch the file again") from None
        tokenizer.no_truncation()
        tokenizer.no_padding()
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
        return self.encode_all([text], special)[0]

    def encode_all(self, texts: Sequence[str], special: bool = True) -> list[list[int]]:
        """Tokens of several texts. Other Python threads run meanwhile, as they would not if texts went one by one.

        Raises:
            RequestError: the tokenizer cannot encode them.
        """
        try:
            for text in texts:
                text.encode()
            encoded = self.inner.encode_batch_fast(list(texts), add_special_tokens=False)
        except UnicodeEncodeError as error:
            raise RequestError(f"the text is not UTF-8: {error}", "prompt") from None
        except BaseException as error:  # a pattern that gives up panics, which is no Exception
            if type(error).__name__ != "PanicException":
                raise
            raise RequestError(
                f"the tokenizer gives up on this text: {error}; change or shorten it", "prompt"
            ) from None
        results = [encoding.ids for encoding in encoded]
        if special and self.bos is not None:
            results = [tokens if tokens[:1] == [self.bos] else [self.bos, *tokens] for tokens in results]
        return results

    @cached_property
    def longest(self) -> int | None:
        """Characters that one token stands for at most; None where a normalizer or an unknown token knows no bound."""
        spec = json.loads(self.inner.to_str())
        cutters = (spec["pre_tokenizer"] or {}).get("pretokenizers", [spec["pre_tokenizer"] or {}])
        bytes_alone = any(cutter.get("type") == "ByteLevel" for cutter in cutters)
        keeps_all = all(
            cutter.get("type") in ("ByteLevel", "Digits") or cutter.get("behavior") == "Isolated" for cutter in cutters
        )
        normalizer = spec["normalizer"]
        plain = normalizer is None or normalizer.get("normalizers") == []
        greedy = any(token["lstrip"] or token["rstrip"] for token in spec["added_tokens"])
        if not (bytes_alone and keeps_all and plain) or greedy or spec["truncation"] or spec["model"].get("unk_token"):
            return None
        return max(map(len, self.inner.get_vocab()))

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
