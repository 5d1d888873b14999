"""A tokenizer from tiktoken's ranks against the package tiktoken, and what is no such file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

import hopwell
from hopwell.chat.ranks import BYTE_NAMES, PATTERN, RESERVED, from_ranks
from hopwell.checkpoint.errors import CheckpointError
from hopwell.engine.tokenizer import Tokenizer, TokenizerError

DOCS = Path(hopwell.__file__).parents[1] / "docs"
CHINESE = "深度求索的推理模型在数学题上思考很久，然后给出答案。" * 20
PIECES = (
    "hello", "World", " HELLO", "don't", "WE'LL", "I'D", "数学", "答案。", "模型R1", "ñandú",
    "Ångström", "ﬁ", "é", "ǅ", "ʰ", "١٢٣", "12345", "3.14", " ", "  ", "   ", "\n", "\r\n",
    "\n\n ", "\t", "\u3000", "\xa0", "!!!", "…", "🙂", "👩\u200d🔬", "\u200b", "\x00",
    "\ud7ff", "한국어", "ไทย", "あア", "<|im_end|>", "[BOS]", "<|reserved_token_900|>", "_x",
    "''s",
)  # fmt: skip


def trained() -> dict[bytes, int]:
    """Ranks of a small vocabulary, learnt from this project's own documents."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    trainer = trainers.BpeTrainer(
        vocab_size=1200, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    texts = [path.read_text(encoding="utf-8")[:20_000] for path in sorted(DOCS.glob("*.md"))]
    tokenizer.train_from_iterator([*texts, CHINESE, "aaaa aaaaaaa " * 50], trainer)
    names = {name: byte for byte, name in enumerate(BYTE_NAMES)}
    return {bytes(names[c] for c in token): rank for token, rank in tokenizer.get_vocab().items()}


RANKS = trained()
SPECIAL = {"[BOS]": len(RANKS), "[EOS]": len(RANKS) + 1, "<|im_end|>": len(RANKS) + 2}
CONFIG: dict[str, Any] = {
    "tokenizer_class": "TikTokenTokenizer",
    "bos_token": "[BOS]",
    "added_tokens_decoder": {
        str(id_): {"content": text, "special": text != "<|im_end|>"} for text, id_ in SPECIAL.items()
    },
}


def write(folder: Path, ranks: dict[bytes, int] = RANKS, config: dict[str, Any] = CONFIG) -> Path:
    lines = [base64.b64encode(token) + b" " + str(rank).encode() for token, rank in ranks.items()]
    (folder / "tiktoken.model").write_bytes(b"\n".join(lines) + b"\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Any]:
    tiktoken = pytest.importorskip("tiktoken")
    reserved = {f"<|reserved_token_{i}|>": i for i in range(len(RANKS) + 3, len(RANKS) + RESERVED)}
    theirs = tiktoken.Encoding("kimi", pat_str=PATTERN, mergeable_ranks=RANKS, special_tokens=SPECIAL | reserved)
    return Tokenizer.open(write(tmp_path_factory.mktemp("kimi"))), theirs


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=12) | st.sampled_from("a \n'"), max_size=30).map("".join))
def test_tokens_are_those_of_tiktoken(pair: tuple[Tokenizer, Any], text: str) -> None:
    ours, theirs = pair
    tokens = ours.encode(text)
    assert tokens == theirs.encode(text, allowed_special="all")
    assert ours.decode(tokens) == text


def test_whole_documents_too(pair: tuple[Tokenizer, Any]) -> None:
    ours, theirs = pair
    for path in DOCS.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert ours.encode(text) == theirs.encode(text, allowed_special="all")


def test_every_token_has_its_id(pair: tuple[Tokenizer, Any]) -> None:
    ours, _ = pair
    vocab = ours.inner.get_vocab()
    assert len(vocab) == len(RANKS) + RESERVED and sorted(vocab.values()) == list(range(len(vocab)))
    assert {text: vocab[text] for text in SPECIAL} == SPECIAL
    assert vocab[f"<|reserved_token_{len(RANKS) + 200}|>"] == len(RANKS) + 200
    assert "".join(BYTE_NAMES[b] for b in range(256)) and set(BYTE_NAMES) == set(pre_tokenizers.ByteLevel.alphabet())


@pytest.mark.parametrize(
    ("lines", "config", "text"),
    [
        (b"!!! 0\n", CONFIG, "line 1 is no token and its rank"),
        (b"YQ==\n", CONFIG, "line 1 is no token and its rank"),
        (b"YQ== 0\nYg== 2\n", CONFIG, "ranks have holes, or a byte is no token"),
        (b"", CONFIG, "ranks have holes, or a byte is no token"),
        (None, CONFIG | {"tokenizer_class": "QWenTokenizer"}, "tokenizer_class is 'QWenTokenizer'"),
        (None, {}, "tokenizer_class is None"),
        (None, CONFIG | {"added_tokens_decoder": [1]}, "is no token"),
        (None, CONFIG | {"added_tokens_decoder": {str(len(RANKS)): {"content": 3}}}, "is no token"),
        (
            None,
            CONFIG | {"added_tokens_decoder": {str(len(RANKS) + i): {"content": "x"} for i in (0, 1)}},
            "two special tokens have the same text",
        ),
    ],
)
def test_what_is_no_such_file_is_named(lines: bytes | None, config: dict[str, Any], text: str, tmp_path: Path) -> None:
    write(tmp_path, config=config)
    if lines is not None:
        (tmp_path / "tiktoken.model").write_bytes(lines)
    with pytest.raises(CheckpointError, match=r"^[^\n]+$") as caught:
        from_ranks(tmp_path / "tiktoken.model", config)
    assert text in str(caught.value)
    with pytest.raises(TokenizerError, match=r"^[^\n]+$"):
        Tokenizer.open(tmp_path)
