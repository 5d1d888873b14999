"""A tokenizer from `tiktoken.model`, which Kimi-K2 comes with in place of a tokenizer.json.

The file has a line a token: its bytes in base64, and its rank, which is also its id. tiktoken joins the two neighbours
whose joint bytes have the lowest rank; byte-level BPE does the same with every way to cut a token in two as a merge.
Numbers and the pattern are those of the released model (its tokenization_kimi.py and tokenizer_config.json).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import read_bytes

FILE = "tiktoken.model"
TOKENIZER_CLASS = "TikTokenTokenizer"
"""Of the model whose pattern and special tokens are known here, by tokenizer_config.json."""
RESERVED = 256
"""Ids after the ranks that are special tokens, with names or without."""
ENDING = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
PATTERN = "|".join((
    r"[\p{Han}]+",
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{ENDING}",
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{ENDING}",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
))  # fmt: skip
"""What a text is cut by before tokens are joined."""


def from_ranks(path: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """The tokenizer of a tiktoken.model.

    Args:
        config: tokenizer_config.json; `added_tokens_decoder` has the special tokens.

    Raises:
        CheckpointError: the file is malformed, or of a model whose pattern is not known here.
    """
    found = config.get("tokenizer_class")
    if found != TOKENIZER_CLASS:
        fault = f"tokenizer_config.json's tokenizer_class is {found!r}, and only {TOKENIZER_CLASS}'s pattern is known"
        raise CheckpointError(f"{path}: {fault}; put a tokenizer.json beside it")
    ranks = _read(path)
    names = {token: "".join(map(BYTE_NAMES.__getitem__, token)) for token in ranks}
    merges = [
        (names[token[:cut]], names[token[cut:]])
        for token in ranks
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    tokenizer = tokenizers.Tokenizer(models.BPE({names[token]: rank for token, rank in ranks.items()}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(_special(path, config, len(ranks)))
    return tokenizer


def _read(path: Path) -> dict[bytes, int]:
    """Ranks by token, in their order: every number from 0, every byte among the tokens."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(read_bytes(path).splitlines(), 1):
        try:
            text, rank = line.split()
            ranks[base64.b64decode(text, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise CheckpointError(f"{path}: line {number:,} is no token and its rank; fetch the file again") from None
    if sorted(ranks.values()) != list(range(len(ranks))) or not all(bytes([byte]) in ranks for byte in range(256)):
        raise CheckpointError(f"{path}: ranks have holes, or a byte is no token; fetch the file again")
    return dict(sorted(ranks.items(), key=lambda entry: entry[1]))


def _special(path: Path, config: Mapping[str, Any], first: int) -> list[AddedToken]:
    """The tokens after the ranks, in the order of their ids."""
    named = config.get("added_tokens_decoder") or {}
    tokens = []
    for id_ in range(first, first + RESERVED):
        entry = named.get(str(id_), {}) if isinstance(named, dict) else None
        text = entry.get("content", f"<|reserved_token_{id_}|>") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(text, str) or not text:
            where = f"{path.with_name('tokenizer_config.json')}: added_tokens_decoder"
            raise CheckpointError(f"{where}: {id_} is no token; fetch the file again")
        tokens.append(AddedToken(text, special=bool(entry.get("special", True)), normalized=False))
    if len({token.content for token in tokens}) < RESERVED:
        raise CheckpointError(f"{path}: two special tokens have the same text; fetch tokenizer_config.json again")
    return tokens


def _byte_names() -> list[str]:
    """The character that stands for each byte in byte-level BPE (GPT-2): its own where that can be seen."""
    seen = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = iter(range(256, 512))
    return [chr(byte if byte in seen else next(hidden)) for byte in range(256)]


BYTE_NAMES = _byte_names()
