"""Reading ahead: the same tensors in any order of asking, within a bound, and faults where they are asked for."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hopwell.bench.reading import reading_rows
from hopwell.checkpoint import ahead as module
from hopwell.checkpoint.ahead import ReadAhead, ahead
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.reader import Checkpoint

LAYERS, EXPERTS = 12, 11


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    (tmp_path / "config.json").write_text("{}")
    generator = torch.Generator().manual_seed(torch.initial_seed() % 2**32)
    for layer in range(LAYERS):
        save_file(
            {f"layers.{layer}.experts.{e}.weight": torch.randn(16, 16, generator=generator) for e in range(EXPERTS)}
            | {f"layers.{layer}.attention": torch.randn(64, 64, generator=generator)},
            tmp_path / f"{LAYERS - layer}.safetensors",
        )
    return Checkpoint.open(tmp_path)


def as_a_model_asks(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: (int(name.split(".")[1]), "experts" in name))


@pytest.mark.parametrize("order", ["as a model asks", "any"])
@pytest.mark.parametrize("window", [1, 40_000, 1 << 30])
def test_the_same_tensors_in_any_order_within_the_window(checkpoint: Checkpoint, order: str, window: int) -> None:
    names = as_a_model_asks(list(checkpoint.tensors))
    if order == "any":
        random.shuffle(names)
    largest = max(info.nbytes for info in checkpoint.tensors.values())
    with ThreadPoolExecutor(3) as pool:
        reader = ReadAhead(checkpoint, pool, window)
        for name in names:
            assert torch.equal(reader.read(name), checkpoint.read(name))
            assert reader._held <= window + largest
        assert torch.equal(reader.read(names[0]), checkpoint.read(names[0]))  # a second time too


def test_most_of_what_a_model_asks_for_is_there_before(checkpoint: Checkpoint) -> None:
    in_threads = set()

    class Watched(Checkpoint):
        def read(self, name: str) -> torch.Tensor:
            if threading.current_thread() is not threading.main_thread():
                in_threads.add(name)
            return super().read(name)

    names = as_a_model_asks(list(checkpoint.tensors))
    with ThreadPoolExecutor(2) as pool:
        reader = ReadAhead(Watched.open(checkpoint.path), pool, 1 << 17)
        for name in names:
            reader.read(name)
    assert len(in_threads) >= 0.9 * len(names)


def test_a_fault_comes_where_the_tensor_is_asked_for(checkpoint: Checkpoint) -> None:
    broken = "layers.3.experts.5.weight"
    info = checkpoint.tensors[broken]
    with pytest.raises(CheckpointError, match=broken), ThreadPoolExecutor(2) as pool:
        reader = ReadAhead(checkpoint, pool)
        info.shard.write_bytes(info.shard.read_bytes()[: info.start + 4])
        for name in as_a_model_asks(list(checkpoint.tensors)):
            reader.read(name)
    assert reader._asked >= {f"layers.2.experts.{e}.weight" for e in range(EXPERTS)}


def test_threads_end_with_the_load(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    with ahead(checkpoint) as reader:
        assert reader is checkpoint  # so small that one thread is enough
    monkeypatch.setattr(module, "WORTH_IT", 0)
    with pytest.raises(KeyboardInterrupt), ahead(checkpoint) as reader:
        assert isinstance(reader, ReadAhead) and reader.total_bytes == checkpoint.total_bytes
        reader.read("layers.0.attention")
        raise KeyboardInterrupt
    assert not [t for t in threading.enumerate() if t.name.startswith("hopwell-read")]


def test_the_bench_reads_every_way(checkpoint: Checkpoint) -> None:
    rows = reading_rows(checkpoint.path, [1, 3], runs=1)
    assert [(row["threads"], row["from"]) for row in rows] == [
        (1, "disk"), (3, "disk"), (1, "file cache"), (3, "file cache")
    ]  # fmt: skip
    assert all(row["gb_per_s"] > 0 and not row["fingerprints"] for row in rows)
