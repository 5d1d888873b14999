"""Reading shards: the format as the safetensors library writes it, and every way a file can lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.header import DTYPES
from hopwell.checkpoint.reader import INDEX, Checkpoint


def raw_shard(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    """A safetensors file written byte by byte, so that it can be wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"model_type": "deepseek_v3"}')
    return tmp_path


def entry(dtype: str, shape: Any, *offsets: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=6),
    kinds=st.lists(st.sampled_from(sorted(DTYPES)), min_size=6, max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
def test_reads_what_the_library_writes(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[list[int]], kinds: list[str], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "config.json").write_text("{}")
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for i, (shape, kind) in enumerate(zip(shapes, kinds, strict=False)):
        dtype = DTYPES[kind]
        count = torch.Size(shape).numel() * dtype.itemsize
        bits = torch.randint(0, 2 if kind == "BOOL" else 256, (count,), dtype=torch.uint8, generator=generator)
        tensors[f"t{i}"] = bits.view(dtype).view(shape) if count else torch.empty(shape, dtype=dtype)
    half = len(tensors) // 2
    for number, names in enumerate((list(tensors)[:half], list(tensors)[half:])):
        if names:
            save_file({name: tensors[name] for name in names}, folder / f"{number}.safetensors")
    checkpoint = Checkpoint.open(folder)
    assert checkpoint.tensors.keys() == tensors.keys() and not checkpoint.warnings
    assert checkpoint.total_bytes == sum(t.numel() * t.itemsize for t in tensors.values())
    for name, tensor in tensors.items():
        got = checkpoint.read(name)
        assert got.dtype == tensor.dtype and got.shape == tensor.shape
        if tensor.numel():
            assert torch.equal(got.flatten().view(torch.uint8), tensor.flatten().view(torch.uint8))


BAD = {
    "empty file": (b"", None, b"", "truncated or not safetensors"),
    "header beyond the file": ({}, 10_000, b"", r"header of 10,000 bytes does not fit a file of 10"),
    "not JSON": (b"{oops}", None, b"", "corrupt header"),
    "not UTF-8": (b"\xff\xfe{}", None, b"", "corrupt header"),
    "nested without end": (b"[" * 200_000, None, b"", "corrupt header"),
    "not an object": ([1], None, b"", "expected a JSON object"),
    "not an entry": ({"a": 3}, None, b"", "tensor a: expected an object"),
    "unknown dtype": ({"a": entry("F3", [1], 0, 1)}, None, b"1", "tensor a: unknown dtype 'F3'"),
    "negative shape": ({"a": entry("U8", [-1], 0, 1)}, None, b"1", r"tensor a: shape is \[-1\]"),
    "fractional offset": ({"a": entry("U8", [1], 0, 1.5)}, None, b"1", r"tensor a: data_offsets is \[0, 1.5\]"),
    "short offsets": ({"a": entry("F32", [4], 0, 12)}, None, b"." * 12, "tensor a: F32 .* takes 16 bytes, .* give 12"),
    "reversed offsets": ({"a": entry("U8", [2], 2, 0)}, None, b"12", "tensor a: U8 .* takes 2 bytes"),
    "overlap": ({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)}, None, b"." * 6, "tensor b overlaps"),
    "hole": ({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 4, 6)}, None, b"." * 6, "tensor b leaves a hole"),
    "truncated data": ({"a": entry("F32", [4], 0, 16)}, None, b"." * 9, "truncated: .* expected, .* found"),
    "trailing data": ({"a": entry("F32", [1], 0, 4)}, None, b"." * 9, "longer than its header says"),
    "name twice": (b'{"a": 1, "a": 2}', None, b"", "'a' occurs twice"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_shard_is_refused_by_name(folder: Path, case: str) -> None:
    header, length, data, message = BAD[case]
    shard = raw_shard(folder / "model.safetensors", header, data, length)
    if case == "empty file":
        shard.write_bytes(b"")
    with pytest.raises(CheckpointError, match=message) as caught:
        Checkpoint.open(folder)
    assert "model.safetensors" in str(caught.value) and "\n" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_header_never_escapes_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    save_file({"a": torch.arange(6.0), "b": torch.ones(2, 3, dtype=torch.bfloat16)}, folder / "model.safetensors")
    content = bytearray((folder / "model.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "model.safetensors").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        checkpoint = Checkpoint.open(folder)
    except CheckpointError:
        return
    for name in checkpoint.tensors:
        checkpoint.read(name)


def test_the_same_tensor_in_two_shards_is_refused(folder: Path) -> None:
    save_file({"a": torch.ones(1), "b": torch.ones(1)}, folder / "1.safetensors")
    save_file({"b": torch.ones(1)}, folder / "2.safetensors")
    with pytest.raises(CheckpointError, match=r"2.safetensors: tensor b is also in 1.safetensors"):
        Checkpoint.open(folder)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot read"), ("{", "not valid JSON"), ("[]", "expected a JSON object")]
)
def test_config_is_required(folder: Path, content: str | None, message: str) -> None:
    save_file({"a": torch.ones(1)}, folder / "model.safetensors")
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=rf"config.json: {message}"):
        Checkpoint.open(folder)


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no .*safetensors file"):
        Checkpoint.open(folder)
    with pytest.raises(CheckpointError, match="no such folder"):
        Checkpoint.open(folder / "absent")


def test_the_index_is_only_a_hint(folder: Path) -> None:
    save_file({"a": torch.ones(1), "b": torch.ones(1)}, folder / "1.safetensors")
    save_file({"c": torch.full((1,), 7.0)}, folder / "2.safetensors")
    index = {"a": "1.safetensors", "c": "1.safetensors", "ghost": "3.safetensors", "lost": "1.safetensors"}
    (folder / INDEX).write_text(json.dumps({"weight_map": index}))
    checkpoint = Checkpoint.open(folder)
    assert checkpoint.read("c").item() == 7.0
    gone, moved, unlisted = checkpoint.warnings
    assert "lists 2 tensors that no shard holds, ghost" in gone
    assert "lists 1 tensors in another shard" in moved and "does not list 1 tensors" in unlisted
    with pytest.raises(
        CheckpointError, match=r"tensor ghost is missing: the index has it in 3.safetensors, .* not here"
    ):
        checkpoint.read("ghost")
    with pytest.raises(
        CheckpointError, match=r"tensor lost is missing: the index has it in 1.safetensors, which lacks"
    ):
        checkpoint.read("lost")


def test_a_shard_that_shrinks_after_opening_is_reported(folder: Path) -> None:
    save_file({"a": torch.ones(1000)}, folder / "model.safetensors")
    checkpoint = Checkpoint.open(folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(500)
    with pytest.raises(CheckpointError, match="tensor a: the file shrank"):
        checkpoint.read("a")
