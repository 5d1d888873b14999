"""Host memory and disk under the pool: what is found is what was written, and every fault is a page less."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hopwell.cache.disk import BLOCK, DiskFault, DiskTier, DiskTierError
from hopwell.cache.host import HostTier, page_checksum
from hopwell.cache.pace import Pace
from hopwell.cache.tiers import DISK, HOST, Fetch, Tiers
from hopwell.system import lock_file

BYTES = 8192
"""Of a page."""


def content(key: bytes) -> np.ndarray:
    """A page that nothing but its key determines."""
    return np.random.default_rng(int.from_bytes(key, "little")).integers(0, 256, BYTES, np.uint8)


def key_of(number: int) -> bytes:
    return number.to_bytes(16, "little")


def write(disk: DiskTier, number: int) -> None:
    page = content(key_of(number))
    disk.export_page(key_of(number), page_checksum(key_of(number), page), page.data)


def found(disk: DiskTier, number: int) -> bool:
    """Whether a page is there and whole."""
    page = np.zeros(BYTES, np.uint8)
    checksum = disk.import_page(key_of(number), page.data)
    if checksum is None:
        return False
    assert checksum == page_checksum(key_of(number), page)
    assert (page == content(key_of(number))).all()
    return True


def save(tiers: Tiers, number: int) -> None:
    page = tiers.reserve(key_of(number))
    assert page is not None
    tiers.host.data(page)[:] = content(key_of(number))
    tiers.filled([page])


def fetch(tiers: Tiers, numbers: list[int]) -> list[str]:
    """Fetches pages and looks at them; returns the tier of each that came."""
    done = threading.Event()
    keys = [key_of(number) for number in numbers]
    where = tiers.worth(keys, None)
    one = tiers.fetch(keys[: len(where)], where, lambda fetch: done.set())
    if one is None:
        return []
    assert done.wait(60)
    for number, page in zip(numbers, one.pages, strict=False):
        assert (tiers.host.data(page) == content(key_of(number))).all()
    came = one.tiers[: len(one.pages)]
    tiers.give_up(one)
    return came


def settle(tiers: Tiers) -> None:
    """Until both threads have done what was asked so far."""
    for _ in range(2):
        done = threading.Event()
        tiers._checks.put(done.set)
        assert done.wait(60)
        if tiers.disk is not None:
            done = threading.Event()
            tiers._disk_jobs.put((2, 0, done.set))
            assert done.wait(60)


def test_a_checksum_tells_bits_sectors_and_keys() -> None:
    r = random.Random(0)
    page = content(key_of(1))
    right = page_checksum(key_of(1), page)
    assert right != page_checksum(key_of(2), page) and right == page_checksum(key_of(1), page.copy())
    for bit in r.sample(range(8 * BYTES), 200):
        other = page.copy()
        other[bit // 8] ^= 1 << bit % 8
        assert page_checksum(key_of(1), other) != right
    for at in range(0, BYTES, 512):
        other = page.copy()
        other[at : at + 512] = 0
        assert page_checksum(key_of(1), other) != right


def test_host_memory_gives_up_the_oldest_that_nobody_holds() -> None:
    host = HostTier(np.zeros((3, BYTES), np.uint8))
    for number in range(3):
        page = host.reserve(key_of(number))
        assert page is not None and key_of(number) not in host, "not before it is filled"
        page.checksum = b"x"
        host.release(page)
    held = host.lease(key_of(0))
    assert held is not None
    new = host.reserve(key_of(3))
    assert new is not None and key_of(1) not in host and key_of(0) in host
    assert host.reserve(key_of(3)) is None, "it is on its way"
    other = host.reserve(key_of(4))
    assert other is not None and host.reserve(key_of(5)) is None, "all that is left is held"
    host.drop(held)
    assert host.lease(key_of(0)) is None
    for page in (held, new, other):
        host.release(page)
    assert len(host) == 0
    host.check()


def test_what_was_written_is_found_after_a_restart(tmp_path: Path) -> None:
    capacity = 40 * BYTES
    disk = DiskTier(tmp_path, "model", BYTES, capacity)
    for number in range(25):
        write(disk, number)
    assert all(found(disk, number) for number in range(25))
    disk.close()
    assert len(DiskTier(tmp_path, "other", BYTES, capacity)) == 0, "another model's pages are not ours"
    disk = DiskTier(tmp_path, "model", BYTES, capacity)
    assert len(disk) == 25 and all(found(disk, number) for number in range(25))
    write(disk, 99)
    disk.forget(key_of(3))
    disk.close()
    disk = DiskTier(tmp_path, "model", BYTES, capacity)
    assert [n for n in range(100) if found(disk, n)] == [0, 1, 2, *range(4, 25), 99]
    disk.close()


def test_a_disk_holds_no_more_than_it_may(tmp_path: Path) -> None:
    disk = DiskTier(tmp_path, "model", BYTES, 50 * BYTES)
    for number in range(500):
        write(disk, number)
    assert disk.capacity <= 50 and disk.capacity - disk._per_shard < len(disk) <= disk.capacity
    assert all(found(disk, number) for number in range(500 - len(disk), 500)), "the newest"
    assert sum(path.stat().st_size for path in disk.folder.glob("shard-*")) <= 50 * BYTES + 20 * 2 * BLOCK
    disk.close()
    smaller = DiskTier(tmp_path, "model", BYTES, 40 * BYTES)
    assert len(smaller) <= 40
    smaller.close()


def test_a_folder_belongs_to_one_process_and_must_be_large_enough(tmp_path: Path) -> None:
    disk = DiskTier(tmp_path, "model", BYTES, 10 * BYTES)
    with pytest.raises(DiskTierError, match="another process"):
        DiskTier(tmp_path, "model", BYTES, 10 * BYTES)
    disk.close()
    with pytest.raises(DiskTierError, match="disk_cache_gb"):
        DiskTier(tmp_path, "model", BYTES, BYTES)
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskTierError, match="can be written"):
        DiskTier(tmp_path / "file", "model", BYTES, 10 * BYTES)


def test_room_is_made_of_what_other_models_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest unused first, while there is too little; of a process that runs nothing."""
    disks = {name: DiskTier(tmp_path, name, BYTES, 10 * BYTES) for name in ("running", "oldest", "old", "new")}
    running = disks.pop("running")
    for age, (name, disk) in enumerate({"running": running, **disks}.items()):
        write(disk, 1)
        os.utime(tmp_path / name / "lock", (age, age))
    for disk in disks.values():
        disk.close()
    left = iter([0, 0, 0, 10 * BYTES])  # free, each time that it is asked
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=next(left)))
    listed = Path.glob
    gone = tmp_path / "gone" / "lock"  # by another process, between a look and the next
    monkeypatch.setattr(Path, "glob", lambda self, what: [*listed(self, what), *[gone] * (what == "*/lock")])
    DiskTier(tmp_path, "own", BYTES, 10 * BYTES).close()
    assert {path.name for path in tmp_path.iterdir()} == {"running", "new", "own"} and found(running, 1)
    running.close()


def test_a_folder_that_is_removed_while_it_is_opened_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, looks = tmp_path / "model", 0

    def lock(file: int) -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            (folder / "lock").unlink()
            folder.rmdir()
        return lock_file(file)

    monkeypatch.setattr("hopwell.cache.disk.lock_file", lock)
    disk = DiskTier(tmp_path, "model", BYTES, 10 * BYTES)
    write(disk, 1)
    assert found(disk, 1) and looks == 2
    disk.close()


@pytest.mark.parametrize("seed", range(3))
def test_torn_and_foreign_files_cost_pages_and_nothing_else(tmp_path: Path, seed: int) -> None:
    """Shards cut short, overwritten with noise anywhere, or no shards at all: what is found is whole."""
    r = random.Random(seed)
    disk = DiskTier(tmp_path, "model", BYTES, 64 * BYTES)
    for number in range(60):
        write(disk, number)
    disk.close()
    for path in sorted(disk.folder.glob("shard-*"))[1:]:
        kind = r.choice(["cut", "noise", "head"])
        data = bytearray(path.read_bytes())
        if kind == "cut":
            del data[r.randrange(len(data)) :]
        else:
            at = r.randrange(16 if kind == "head" else len(data))
            data[at : at + 600] = r.randbytes(600)
        path.write_bytes(data)
    (disk.folder / "shard-x").write_text("no shard")
    (disk.folder / "shard-00009999").write_bytes(r.randbytes(100))
    disk, whole, bad = DiskTier(tmp_path, "model", BYTES, 64 * BYTES), 0, 0
    for number in range(60):
        page = np.zeros(BYTES, np.uint8)
        try:
            checksum = disk.import_page(key_of(number), page.data)
        except DiskFault:
            bad += 1
            continue
        if checksum is None or checksum != page_checksum(key_of(number), page):
            bad += 1
            continue
        whole += 1
        assert (page == content(key_of(number))).all()
    assert whole >= 4 and bad > 0
    write(disk, 1000)
    assert found(disk, 1000)
    disk.close()


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_tiers import BYTES, DiskTier, write
disk = DiskTier(Path(sys.argv[1]), "model", BYTES, 4000 * BYTES)
for number in range(10**9):
    write(disk, number)
    print(number, flush=True)
"""


def test_killed_while_it_writes(tmp_path: Path) -> None:
    """After kill -9 in the middle, what was told to be written is there and whole; of the next one, all or nothing."""
    most = -1
    for round in range(3):
        paths = [str(Path(__file__).parent), *sys.path]
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), *paths], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        last = -1
        for line in child.stdout:
            last = int(line)
            if last >= 60 + 37 * round:
                os.kill(child.pid, signal.SIGKILL)
                break
        for line in child.stdout:
            last = int(line)
        child.wait()
        disk = DiskTier(tmp_path, "model", BYTES, 4000 * BYTES)
        assert all(found(disk, number) for number in range(last + 1))
        most = max(most, last)  # a later child skips what is there, and may be killed before it comes to its end
        assert len(disk) <= most + 2, "and nothing else"
        disk.close()


@pytest.fixture(params=[False, True], ids=["host", "disk"])
def tiers(request: pytest.FixtureRequest, tmp_path: Path):
    disk = DiskTier(tmp_path, "model", BYTES, 400 * BYTES) if request.param else None
    tiers = Tiers(HostTier(np.zeros((8, BYTES), np.uint8)), disk)
    yield tiers
    settle(tiers)
    tiers.host.check()
    tiers.close()


def test_pages_go_down_and_come_back(tiers: Tiers) -> None:
    for number in range(20):
        save(tiers, number)
        settle(tiers)
    assert fetch(tiers, [18, 19, 12]) == [HOST] * 3
    assert fetch(tiers, [18, 999, 19]) == [HOST], "a leading part, as prefixes are"
    old = fetch(tiers, [0, 1, 18])
    assert old == ([DISK, DISK, HOST] if tiers.disk is not None else [])
    if tiers.disk is not None:
        assert fetch(tiers, [0, 1]) == [HOST] * 2, "on its way it stays in host memory"


def test_a_bit_that_flips_in_host_memory_is_seen(tiers: Tiers) -> None:
    for number in range(3):
        save(tiers, number)
    settle(tiers)
    page = tiers.host.lease(key_of(1))
    assert page is not None
    tiers.host.data(page)[1234] ^= 4
    tiers.host.release(page)
    assert fetch(tiers, [0, 1, 2]) == [HOST]
    assert tiers.counts.faults == {"host corrupt": 1}
    assert key_of(1) not in tiers.host


@pytest.mark.parametrize("tiers", [True], indirect=True)
def test_a_bit_that_flips_on_disk_is_seen(tiers: Tiers) -> None:
    assert tiers.disk is not None
    for number in range(20):
        save(tiers, number)
        settle(tiers)
    shard, place, _ = tiers.disk._places[key_of(1)]
    with shard.path.open("r+b") as file:
        file.seek(tiers.disk._data + place * tiers.disk._stride + 77)
        file.write(b"\xff\x00")
    assert fetch(tiers, [0, 1, 2]) == [DISK]
    assert tiers.counts.faults == {"disk corrupt": 1} and key_of(1) not in tiers.disk
    assert key_of(1) not in tiers.host, "what is bad is never found"
    assert fetch(tiers, [0]) == [HOST]
    shard.path.unlink()  # the disk's owner cleans up: what is open still reads, what is new goes elsewhere
    assert fetch(tiers, [2]) == [DISK]


@pytest.mark.parametrize("tiers", [True], indirect=True)
def test_a_full_disk_takes_no_more_and_loses_nothing_it_has(tiers: Tiers) -> None:
    import resource

    assert tiers.disk is not None
    for number in range(8):
        save(tiers, number)
        settle(tiers)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (BLOCK, limit[1]))  # the system refuses to let files grow
        save(tiers, 100)
        settle(tiers)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert sum(tiers.counts.faults.values()) == 1 and tiers.counts.unwritten == 1
    save(tiers, 101)
    settle(tiers)
    assert tiers.counts.unwritten == 2, "it rests a while"
    assert fetch(tiers, [100]) == [HOST] and key_of(100) not in tiers.disk
    for number in range(200, 208):
        save(tiers, number)
        settle(tiers)
    assert fetch(tiers, [0, 1]) == [DISK] * 2


def test_what_is_abandoned_on_its_way_is_given_back(tiers: Tiers) -> None:
    for number in range(8):
        save(tiers, number)
    settle(tiers)
    keys = [key_of(number) for number in range(8)]
    done: list[Fetch] = []
    one = tiers.fetch(keys, [HOST] * 8, done.append)
    assert one is not None
    tiers.give_up(one)
    settle(tiers)
    tiers.host.check()
    page = tiers.reserve(key_of(50))
    assert page is not None
    tiers.abandon([page])
    assert key_of(50) not in tiers.host


def test_all_is_forgotten_when_asked(tiers: Tiers) -> None:
    for number in range(8):
        save(tiers, number)
    tiers.clear()
    settle(tiers)
    assert fetch(tiers, [0]) == [] and len(tiers.host) == 0
    assert tiers.disk is None or len(tiers.disk) == 0


def test_only_what_is_faster_is_fetched(tiers: Tiers) -> None:
    for number in range(20):
        save(tiers, number)
        settle(tiers)
    keys = [key_of(number) for number in (18, 19, 0, 1)]
    where = [HOST, HOST, *([DISK, DISK] if tiers.disk is not None else [])]
    tiers.paces = {HOST: Pace(), DISK: Pace()}
    tiers.paces[HOST].observe(0.002)
    tiers.paces[DISK].observe(0.050)
    tiers.link.observe(0.001)
    assert tiers.worth(keys, 1.0) == where
    assert tiers.worth(keys, 0.010) == where[:2], "host memory pays, the disk does not"
    assert tiers.worth(keys, 0.002) == []
    assert tiers.counts.declined[HOST] == 2 and (tiers.disk is None or tiers.counts.declined[DISK] == 4)
    for _ in range(16):
        tiers.worth(keys, 0.002)
    assert tiers.worth(keys[:2], 0.002) == where[:2], "now and then it is tried again"
