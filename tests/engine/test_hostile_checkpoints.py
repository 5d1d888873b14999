"""Files of a checkpoint that were made to do harm: each is one line, and soon, whatever command opens the folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import hopwell, refused
from tiny import random_tensors, tiny_config, write_checkpoint
from tiny_tokenizer import byte_tokenizer, write_tokenizer

from hopwell.bounded import Limits
from hopwell.checkpoint.files import LFS
from hopwell.engine.loading import load_model
from hopwell.engine.tokenizer import Tokenizer, TokenizerError

CONFIG = tiny_config("r1", vocab_size=262)
NESTED = "[" * 200_000 + "]" * 200_000
POINTER = f"{LFS.decode()}/spec/v1\noid sha256:{'0' * 64}\nsize 7847602\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_checkpoint(tmp_path_factory.mktemp("whole") / "m", CONFIG, random_tensors(CONFIG))
    write_tokenizer(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "m", copy_function=os.link))


def replaced(path: Path, content: str | bytes) -> None:
    path.unlink(missing_ok=True)  # it is a link to the whole one's
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def merged(path: Path, **values: Any) -> None:
    found = json.loads(path.read_text()) if path.exists() else {}
    replaced(path, json.dumps(found | values))


def header(**entry: Any) -> bytes:
    text = json.dumps({"w": entry}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(4)


FILES = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors",
    "model.safetensors.index.json", "hopwell_precision.json", "hf_quant_config.json",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["a pipe", "what never ends", "a folder"])
def test_what_is_no_file_is_not_read(kind: str, name: str, folder: Path) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    told = refused("generate", "-m", folder, "--raw", "x")
    assert f"{name}: is not a regular file" in told
    if name not in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        assert f"{name}: is not a regular file" in refused("inspect", folder)


def large(path: Path) -> None:
    replaced(path, "{}")
    os.truncate(path, 65 << 20)


BROKEN: dict[str, tuple[str, str | bytes | dict[str, Any] | Callable[[Path], None], str]] = {
    "nested config": ("config.json", f'{{"a": {NESTED}}}', "is nested too deep"),
    "nested report": ("hopwell_precision.json", f'{{"a": {NESTED}}}', "is nested too deep"),
    "another report": ("hopwell_precision.json", '{"sha256": [1]}', "not a conversion's report"),
    "nested index": ("model.safetensors.index.json", f'{{"a": {NESTED}}}', "is nested too deep"),
    "nested header": (
        "model.safetensors", len(NESTED).to_bytes(8, "little") + NESTED.encode(), "corrupt header: ",
    ),
    "200,000 dimensions": (
        "model.safetensors", header(dtype="F32", shape=[1] * 200_000, data_offsets=[0, 4]), "200,000 dimensions",
    ),
    "numbers beyond 63 bits": (
        "model.safetensors", header(dtype="F32", shape=[1 << 70], data_offsets=[0, 4 << 70]), "beyond 63 bits",
    ),
    "a dtype that is a list": (
        "model.safetensors", header(dtype=["F32"] * 100_000, shape=[1], data_offsets=[0, 4]), "unknown dtype ['F32'",
    ),
    "a shape of text": (
        "model.safetensors", header(dtype="F32", shape="1" * 100_000, data_offsets=[0, 4]), "shape is '111",
    ),
    "a config larger than any": ("config.json", large, "has 68,157,440 bytes, at most"),
    "eos as text": ("config.json", {"eos_token_id": "</s>"}, "eos_token_id is '</s>', expected a token id"),
    "eos as text, beside": ("generation_config.json", {"eos_token_id": "</s>"}, "eos_token_id is '</s>', expected a"),
    "eos below 0": ("generation_config.json", {"eos_token_id": [1, -1]}, "eos_token_id is [1, -1], expected a token"),
    "eos beyond all words": ("generation_config.json", {"eos_token_id": 99999}, "is 99999, expected ids below"),
    "config's eos beyond all words": ("config.json", {"eos_token_id": [1, 99999]}, "expected ids below vocab_size"),
    "a temperature that greedy has no use for": ("generation_config.json", {"temperature": -5}, "temperature is -5"),
    "a list": ("generation_config.json", "[1]", "expected a JSON object, found list"),
    "a temperature of text": ("generation_config.json", {"do_sample": True, "temperature": "hot"}, "temperature is 'h"),
    "a top_p beyond 1": ("generation_config.json", {"do_sample": True, "top_p": 7.0}, "top_p"),
    "a top_k below all": ("generation_config.json", {"do_sample": True, "top_k": -2}, "top_k is -2, expected a whole"),
    "do_sample of text": ("generation_config.json", {"do_sample": "yes"}, "do_sample is 'yes', expected true or false"),
    "another tokenizer's config": ("tokenizer_config.json", "[]", "expected a JSON object, found list"),
    "nested tokenizer's config": ("tokenizer_config.json", f'{{"a": {NESTED}}}', "is nested too deep"),
    "a pointer for a config": ("config.json", POINTER, "is a pointer of Git LFS, not the file"),
    "a pointer for weights": ("model.safetensors", POINTER, "is a pointer of Git LFS, not the file"),
    "a pointer for a tokenizer": ("tokenizer.json", POINTER, "is a pointer of Git LFS, not the file"),
    "GGUF": ("config.json", b"GGUF\x03\0\0\0\xff\xfe", "is a GGUF file, which is not read here"),
    "GGUF that is UTF-8": ("config.json", b"GGUF\x03" + bytes(99), "is a GGUF file, which is not read here"),
    "GGUF for weights": ("model.safetensors", b"GGUF\x03" + bytes(99), "is a GGUF file, which is not read here"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_not_what_it_should_be_is_one_line(case: str, folder: Path) -> None:
    name, content, text = BROKEN[case]
    if isinstance(content, dict):
        merged(folder / name, **content)
    elif isinstance(content, str | bytes):
        replaced(folder / name, content)
    else:
        content(folder / name)
    told = refused("generate", "-m", folder, "--raw", "x")
    assert name in told and text in told and len(told) < 500


@pytest.mark.parametrize(
    ("kind", "told"),
    [(".gguf", "holds GGUF files, which are not read here"), (".bin", "holds weights as pickles, which are programs")],
)
def test_weights_of_another_kind_are_called_by_it(kind: str, told: str, folder: Path) -> None:
    """With a config beside them and without, and by their own name."""
    weights = folder / f"model{kind}"
    (folder / "model.safetensors").rename(weights)
    assert told in refused("generate", "-m", folder, "--raw", "x")
    seen = hopwell("inspect", folder).out
    assert f"warning: m: {told}" in seen and "accounting" not in seen, "no tensor was counted"
    (folder / "config.json").unlink()
    for command in (("generate", "-m", folder, "--raw", "x"), ("inspect", folder), ("quantize", folder, "out")):
        assert told in refused(*command)
    if kind == ".gguf":
        assert "is a GGUF file, which is not read here" in refused("generate", "-m", weights, "--raw", "x")


def tokenizer(**changes: Any) -> str:
    return json.dumps(json.loads(byte_tokenizer().to_str()) | changes)


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def replace(old: str, new: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


DOUBLING = {"type": "Sequence", "normalizers": [replace("q", "qq")] * 60}
TOKENIZERS: dict[str, tuple[str, str]] = {
    "a pattern that explodes": (tokenizer(pre_tokenizer=split("(a|a|aa)+$")), "tokenizer.json: "),
    "a pattern that explodes on spaces": (tokenizer(pre_tokenizer=split("( | |  )+$")), "tokenizer.json: "),
    "a pattern that is none": (tokenizer(pre_tokenizer=split("(")), "tokenizer.json: "),
    "a normalizer that doubles": (
        tokenizer(normalizer=DOUBLING), "its normalizer makes 1,152,921,504,606,846,976 characters of one",
    ),
    "a normalizer that is long": (tokenizer(normalizer=replace("q", "q" * 1000)), "makes 1,000 characters of one"),
    "nested normalizers": (
        '{"normalizer": ' + '{"type": "Sequence", "normalizers": [' * 50_000 + "]}" * 50_000 + "}", "tokenizer.json: ",
    ),
    "no tokenizer": ("{}", "tokenizer.json: "),
    "not JSON": ("x", "tokenizer.json: "),
}  # fmt: skip


@pytest.mark.parametrize("case", TOKENIZERS)
def test_a_tokenizer_that_explodes_is_one_line(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopwell.engine.tokenizer.TRIAL", Limits(seconds=5.0, memory=1 << 30))
    content, text = TOKENIZERS[case]
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError) as caught:
        Tokenizer.open(tmp_path)
    assert text in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_tokenizer_that_cuts_or_fills_does_neither(tmp_path: Path) -> None:
    inner = byte_tokenizer()
    inner.enable_truncation(3)
    inner.enable_padding(length=1_000_000_000)
    inner.save(str(tmp_path / "tokenizer.json"))
    assert len(Tokenizer.open(tmp_path).encode("abcdefgh")) == 8


def test_what_generation_config_leaves_open_config_json_says(folder: Path) -> None:
    for value, ends in ((None, (1,)), ([], (1,)), (7, (7,)), ([7, 9], (7, 9))):
        merged(folder / "generation_config.json", do_sample=True, top_k=-1, eos_token_id=value)
        loaded = load_model(folder)
        assert loaded.eos_token_ids == ends and loaded.default_params.top_k == 0


def test_a_whole_one_is_served(folder: Path) -> None:
    ran = hopwell("generate", "-m", folder, "--raw", "--max-tokens", "2", "x")
    assert ran.code == 0, ran
