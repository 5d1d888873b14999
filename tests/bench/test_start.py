"""How a start is measured: phases that add up, files that lie as they are said to, safetensors' loader beside us."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopwell.bench.start import bench_beside, bench_start, in_turn
from hopwell.bench.start_process import PHASES
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.rate import cached_share, drop_cached, read_rate
from hopwell.errors import HopwellError
from hopwell.model import NANO

PARTS = ("torch_s", "import_s", "load_s", "first_token_s")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Nine million bytes on this machine's disk, of which the page cache can be told to let go."""
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(range(256)) * 36_000 + b"end")
    try:
        drop_cached(path)
    except CheckpointError as error:
        pytest.skip(str(error))
    return path


def test_a_dropped_file_is_not_in_memory_and_a_direct_rate_leaves_it_so(file: Path) -> None:
    assert cached_share(file) == 0.0
    cold = read_rate([file])
    assert cold > 0
    file.read_bytes()
    assert cached_share(file) == 1.0
    assert read_rate([file]) > 0
    drop_cached(file)
    assert cached_share(file) == 0.0


def test_what_stays_in_memory_cannot_be_measured_cold() -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir():
        pytest.skip("no file system in memory here")
    path = shm / "hopwell-test-stays"
    path.write_bytes(bytes(8192))
    try:
        with pytest.raises(CheckpointError, match=r"100.0% of it stays in memory|does not say"):
            drop_cached(path)
    finally:
        path.unlink()
    with pytest.raises(CheckpointError, match="nothing to read"):
        read_rate([])


def test_sides_take_turns_and_the_first_of_each_does_not_count() -> None:
    order: list[str] = []

    def side(name: str) -> dict[str, float]:
        order.append(name)
        return dict.fromkeys(PHASES, float(len(order)))

    told: list[tuple[int, int, str]] = []
    sides = {name: (NANO, lambda name=name: side(name)) for name in "ab"}
    rows = in_turn(sides, runs=3, cold=False, progress=lambda *each: told.append(each))
    assert order == ["a", "b"] * 4
    assert told == [(done, 8, name) for done, name in enumerate(order)]
    assert [(row["of"], row["run"], row["load_s"]) for row in rows[:4]] == [
        ("a", "1", 3.0), ("a", "2", 5.0), ("a", "3", 7.0), ("a", "median", 5.0),
    ]  # fmt: skip
    assert all(row["limit_s"] > 0 and row["cached_percent"] in (None, 100.0) for row in rows)


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(HopwellError, match="no such folder"):
        bench_start("/no/such/folder", "cpu", runs=1)


@pytest.mark.slow
def test_beside_safetensors_and_a_snapshot() -> None:
    rows = bench_beside(None, "cpu", 1, False, True, None)
    by = {row["of"]: row for row in rows if row["run"] == "median"}
    row = by["hopwell"]
    assert all(row[phase] > 0 for phase in PARTS)
    assert abs(sum(row[phase] for phase in PARTS) - row["total_s"]) < 0.01
    (once,) = (each for each in rows if each["of"] == "hopwell" and each["run"] == "1")
    assert all(once[phase] == row[phase] for phase in PARTS)
    assert set(by) == {"hopwell", "safetensors", "hopwell, packed"}
    assert by["safetensors"]["first_token_s"] is None and by["safetensors"]["weights_s"] > 0
    assert by["hopwell"]["first_token_s"] > 0 and by["hopwell, packed"]["bytes"] > by["hopwell"]["bytes"]
