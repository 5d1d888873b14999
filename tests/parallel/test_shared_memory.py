"""What ranks say to each other over shared memory: whole, in order, and never for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_names import shared_names
from torch import Tensor

from hopwell.parallel import memory
from hopwell.parallel.exchange import SLOT_BYTES, SharedExchange
from hopwell.parallel.memory import RankLost, SharedBlock
from hopwell.parallel.ring import SLOT_BYTES as PIECE
from hopwell.parallel.ring import SLOTS, Ring

T = TypeVar("T")
ROOT = str(Path(__file__).parents[2])


def together(world: int, act: Callable[[int, SharedExchange], T]) -> list[T]:
    """What each rank's thread gives; a barrier is nowhere but in the exchange."""
    block = SharedBlock.create(SharedExchange.size(world))
    found: list[T | BaseException] = [RankLost("it never ended")] * world

    def run(rank: int) -> None:
        try:
            found[rank] = act(rank, SharedExchange(block, 0, rank, world))
        except BaseException as error:
            found[rank] = error
            block.lose(rank)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    block.close()
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("world", [2, 3])
def test_sums_are_in_the_order_of_ranks_and_equal_on_all(world: int, dtype: torch.dtype) -> None:
    """Rows of all sizes, pieces that do not fit a slot among them."""
    generator = torch.Generator().manual_seed(world)
    sizes = [(1, 7), (0, 7), (3, 256), (SLOT_BYTES // 256, 300), (1, 1)]
    shares = [[(torch.randn(size, generator=generator) * 9).to(dtype) for _ in range(world)] for size in sizes]
    sums = together(world, lambda rank, exchange: [exchange.sum(each[rank]) for each in shares])
    for index, each in enumerate(shares):
        expected = torch.zeros(sizes[index])
        for share in each:
            expected = expected + share.float()
        for rank in range(world):
            assert torch.equal(sums[rank][index], expected.to(dtype))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 4), st.integers(0, 5), st.integers(1, 40))
def test_parts_are_put_side_by_side(world: int, rows: int, width: int) -> None:
    whole = torch.arange(rows * width, dtype=torch.float32).view(rows, width)

    def part(rank: int, exchange: SharedExchange) -> Tensor:
        return exchange.gather(whole[:, rank * width // world : (rank + 1) * width // world], width)

    assert all(torch.equal(each, whole) for each in together(world, part))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=4), st.integers(1, 40), st.booleans())
def test_rows_go_to_all_and_their_sums_come_back_to_whose_they_are(counts: list[int], width: int, large: bool) -> None:
    """Ranks without rows among them, and pieces that end within a rank's rows."""
    width += large * SLOT_BYTES // 8
    whole = torch.arange(sum(counts) * width, dtype=torch.float32).view(-1, width) % 4099

    def there_and_back(rank: int, exchange: SharedExchange) -> tuple[Tensor, Tensor]:
        everyone = exchange.gather_rows(whole.split(counts)[rank], counts)
        return everyone, exchange.sum_rows(everyone * (rank + 1), counts)

    times = len(counts) * (len(counts) + 1) / 2
    for rank, (everyone, own) in enumerate(together(len(counts), there_and_back)):
        assert torch.equal(everyone, whole)
        assert torch.equal(own, whole.split(counts)[rank] * times)


@pytest.mark.slow
def test_it_means_what_a_process_group_means(tmp_path: Path) -> None:
    """Bit by bit against gloo, in processes of their own, the reference's."""
    code = (
        "import sys, torch, torch.distributed as dist; from hopwell.ops.exchange import GroupExchange\n"
        "rank, folder = int(sys.argv[1]), sys.argv[2]\n"
        "dist.init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=3)\n"
        "g = torch.Generator().manual_seed(rank); e = GroupExchange()\n"
        "x = torch.randn(5, 33, generator=g); y = (torch.randn(4, 64, generator=g) * 3).bfloat16()\n"
        "z = torch.randn(2, (rank + 1) * 10 // 3 - rank * 10 // 3, generator=g)\n"
        "n = [2, 0, 3]; r = [e.gather_rows(x[:n[rank]], n), e.sum_rows(x, n)]\n"
        "torch.save([e.sum(x), e.sum(y), e.gather(z, 10), *r], f'{folder}/{rank}.pt')\n"
        "dist.destroy_process_group()\n"  # gloo's threads outlive the interpreter else, and its exit may abort
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(rank), str(tmp_path)], cwd=ROOT) for rank in range(3)
    ]
    assert not any(process.wait(600) for process in processes)

    def act(rank: int, exchange: SharedExchange) -> list[Tensor]:
        g = torch.Generator().manual_seed(rank)
        x, y = torch.randn(5, 33, generator=g), (torch.randn(4, 64, generator=g) * 3).bfloat16()
        z = torch.randn(2, (rank + 1) * 10 // 3 - rank * 10 // 3, generator=g)
        counts = [2, 0, 3]
        rows = [exchange.gather_rows(x[: counts[rank]], counts), exchange.sum_rows(x, counts)]
        return [exchange.sum(x), exchange.sum(y), exchange.gather(z, 10), *rows]

    for rank, ours in enumerate(together(3, act)):
        theirs = torch.load(tmp_path / f"{rank}.pt")
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_rounds_in_their_thousands_with_ranks_held_up() -> None:
    """Each rank's numbers tell whose and when they are."""

    def act(rank: int, exchange: SharedExchange) -> bool:
        pauses = np.random.default_rng(rank)
        for turn in range(2000):
            if pauses.random() < 0.01:
                time.sleep(0.001)
            width = 1 + turn % 5
            if not (exchange.sum(torch.full((width,), float(turn * (rank + 1)))) == turn * 6).all():
                return False
        return True

    assert all(together(3, act))


def test_messages_of_any_length_arrive_in_order_at_slow_readers() -> None:
    block = SharedBlock.create(Ring.size(3))
    lengths = [0, 1, PIECE - 16, PIECE, 5 * PIECE, SLOTS * PIECE * 2, 3, *range(100)]
    messages = [bytes([i % 251]) * length for i, length in enumerate(lengths)]
    heard: dict[int, list[bytes]] = {1: [], 2: []}

    def read(rank: int) -> None:
        ring = Ring(block, 0, rank, 3)
        for i in range(len(messages)):
            if rank == 2 and i % 20 == 0:
                time.sleep(0.05)
            heard[rank].append(ring.read())

    threads = [threading.Thread(target=read, args=(rank,)) for rank in heard]
    for thread in threads:
        thread.start()
    ring = Ring(block, 0, 0, 3)
    for message in messages:
        ring.write(message)
    for thread in threads:
        thread.join()
    assert heard[1] == heard[2] == messages


def test_a_reader_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.SharedBlock.wait, "__defaults__", (0.2,))
    block = SharedBlock.create(Ring.size(2))
    ring = Ring(block, 0, 0, 2)
    with pytest.raises(RankLost, match=r"rank 1 hangs: the ring has waited for it for 0\.2 s"):
        for _ in range(SLOTS + 1):
            ring.write(b"")


def test_whoever_waits_hears_of_a_rank_that_is_lost() -> None:
    block = SharedBlock.create(Ring.size(2))
    threading.Timer(0.1, block.lose, (1,)).start()
    with pytest.raises(RankLost, match="rank 1 is lost"):
        Ring(block, 0, 1, 2).read()
    assert block.lost == 1


def test_memory_has_no_name_that_could_stay_behind() -> None:
    before = shared_names()
    block = SharedBlock.create(1 << 16)
    assert block.bytes.size == 1 << 16 and not block.bytes.any()
    assert shared_names() == before
    block.close()
    block.close()
