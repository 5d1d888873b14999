"""Large files with digests: read by several threads, directly or not, and told apart from what was written."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hopwell.checkpoint import content
from hopwell.checkpoint.content import CHUNK, PAGE, ContentWriter, Unkept, read_content
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.staging import Staging
from hopwell.system import PageCache, open_direct, open_to_read

SIZE = 2 * CHUNK + 3 * PAGE + 17


@pytest.fixture(scope="module")
def data() -> Tensor:
    return torch.randint(256, (SIZE,), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def file(tmp_path: Path, data: Tensor) -> tuple[Path, int, list[str]]:
    """A written file, its bytes and its digests."""
    path = tmp_path / "weights"
    with path.open("wb") as handle:
        writer = ContentWriter(handle)
        writer.write(data[:10].numpy().data)
        writer.fill(1)
        writer.write(data[10:].numpy().data)
        digests = writer.finish()
    return path, writer.nbytes, digests


def forget(path: Path) -> None:
    """Drops a file from the page cache, where the system can."""
    handle = os.open(path, os.O_RDONLY)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("threads", [1, 3, 8])
def test_what_was_written_is_read(
    file: tuple[Path, int, list[str]], data: Tensor, direct: bool, cached: bool, threads: int
) -> None:
    path, _, digests = file
    nbytes = path.stat().st_size
    assert nbytes % PAGE == 0 and nbytes >= SIZE and len(digests) == 3
    if not cached:
        forget(path)
    target, told = torch.zeros(nbytes, dtype=torch.uint8), list[int]()
    read_content(path, nbytes, digests, [Staging(target) for _ in range(threads)], direct, told.append)
    assert torch.equal(target[:SIZE], data) and not target[SIZE:].any()
    assert told == sorted(told) and told[-1] == nbytes and len(told) == 3


def test_a_direct_read_leaves_the_page_cache_as_it_was(file: tuple[Path, int, list[str]]) -> None:
    path, _, digests = file
    handle = open_direct(path)
    if handle is None:
        pytest.skip("no direct I/O in this folder")
    os.close(handle)
    handle, nbytes = open_to_read(path), path.stat().st_size
    cache = PageCache(handle)
    assert cache.holds(0, nbytes)  # it was written a moment ago
    forget(path)
    if cache.holds(0, PAGE):
        pytest.skip("the system does not drop files from its page cache")
    read_content(path, nbytes, digests, [Unkept()], True)
    assert not any(cache.holds(place, PAGE) for place in range(0, nbytes, PAGE))
    read_content(path, nbytes, digests, [Unkept()], False)
    assert cache.holds(0, nbytes)
    os.close(handle)


class Astray(Unkept):
    """A receiver whose memory is at no page's start, which a direct read refuses."""

    def __init__(self) -> None:
        self._memory = memoryview(bytearray(CHUNK + 1))[1:]


def test_without_direct_reads_it_is_read_all_the_same(
    file: tuple[Path, int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _, digests = file
    nbytes = path.stat().st_size
    forget(path)
    read_content(path, nbytes, digests, [Astray(), Astray()], True)
    monkeypatch.setattr(content, "open_direct", lambda path: None)
    forget(path)
    read_content(path, nbytes, digests, [Astray(), Unkept()], True)


@pytest.mark.parametrize("direct", [True, False])
def test_a_flipped_bit_is_named(file: tuple[Path, int, list[str]], direct: bool) -> None:
    path, _, digests = file
    with path.open("r+b") as handle:
        handle.seek(CHUNK + 5)
        byte = handle.read(1)[0]
        handle.seek(CHUNK + 5)
        handle.write(bytes([byte ^ 4]))
    before = threading.active_count()
    with pytest.raises(CheckpointError) as caught:
        read_content(
            path, path.stat().st_size, digests, [Unkept(), Unkept()], direct, where=lambda a, b: f" ({a // CHUNK})"
        )
    fault = "bytes 16,777,216 to 33,554,432 are not what was packed (1); fetch the file or pack it again"
    assert str(caught.value) == f"{path}: {fault}"
    assert threading.active_count() == before


def test_a_file_that_shrinks_and_one_that_is_gone(file: tuple[Path, int, list[str]]) -> None:
    path, _, digests = file
    nbytes = path.stat().st_size
    os.truncate(path, nbytes - PAGE)
    with pytest.raises(CheckpointError, match="the file shrank while it was read"):
        read_content(path, nbytes, digests, [Unkept()], True)
    path.unlink()
    with pytest.raises(CheckpointError, match="weights: cannot read: No such file"):
        read_content(path, nbytes, digests, [Unkept()], True)


def test_an_interrupt_ends_all_threads(file: tuple[Path, int, list[str]]) -> None:
    path, _, digests = file

    def interrupted(done: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        read_content(path, path.stat().st_size, digests, [Unkept(), Unkept()], True, interrupted)
    assert threading.active_count() == before


def test_buffers_take_turns_and_begin_with_a_page() -> None:
    staging = Staging(torch.zeros(2 * CHUNK, dtype=torch.uint8))
    first, second, third = (staging.buffer() for _ in range(3))
    first[:3] = b"abc"
    assert third[:3] == b"abc" and second[:3] != b"abc"
    assert all(torch.frombuffer(each, dtype=torch.uint8).data_ptr() % PAGE == 0 for each in (first, second))
    assert len(first) == len(second) == CHUNK
    staging.take(CHUNK, 3)
    staging.finish()
    assert staging.target[CHUNK : CHUNK + 3].tolist() == list(b"abc") and not staging.target[:CHUNK].any()


@pytest.mark.gpu
def test_a_gpu_is_filled() -> None:
    target = torch.zeros(3 * CHUNK, dtype=torch.uint8, device="cuda")
    staging = Staging(target)
    for turn in range(3):
        staging.buffer()[:] = bytes([turn + 1]) * CHUNK
        staging.take(turn * CHUNK, CHUNK)
    staging.finish()
    assert [target[turn * CHUNK : (turn + 1) * CHUNK].unique().tolist() for turn in range(3)] == [[1], [2], [3]]
