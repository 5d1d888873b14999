"""Stores of pages behind the seam: a folder, a process of its own, Mooncake; what one puts in comes out to others."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import socket_store

from hopwell.cache.directory import DirectoryStore
from hopwell.cache.host import HostTier, page_checksum
from hopwell.cache.prefix import page_keys, root_key
from hopwell.cache.store import PageStore, StoreError, open_store
from hopwell.cache.tiers import HOST, STORE, Fetch, Tiers

BYTES = 8192
Opener = Callable[[str], PageStore]
"""Opens a store for a fingerprint; what is opened again sees the same pages."""


@contextmanager
def socket_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, socket_store.__file__, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        try:
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def mooncake(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    """Its master, and clients of it over TCP."""
    pytest.importorskip("mooncake.store", exc_type=ImportError)
    master = shutil.which("mooncake_master") or str(Path(sys.executable).with_name("mooncake_master"))
    ports = [free_port(), free_port()]
    told = [f"-rpc_port={ports[0]}", f"-metrics_port={ports[1]}"]
    with (folder / "log").open("w") as log, subprocess.Popen([master, *told], stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                with socket.socket() as one:
                    if not one.connect_ex(("127.0.0.1", ports[0])):
                        break
                time.sleep(0.1)

            def opened(fingerprint: str) -> PageStore:
                config = {
                    "local_hostname": f"127.0.0.1:{free_port()}",
                    "master_server_address": f"127.0.0.1:{ports[0]}",
                    "global_segment_size": 64 << 20,
                    "local_buffer_size": 16 << 20,
                }
                (folder / "mooncake.json").write_text(json.dumps(config))
                monkeypatch.setenv("MOONCAKE_CONFIG_PATH", str(folder / "mooncake.json"))
                return open_store("hopwell.cache.mooncake:open_store", fingerprint, BYTES, None)

            yield opened
        finally:
            process.kill()


@pytest.fixture(params=["folder", "process", "mooncake"])
def opener(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    if request.param == "folder":
        yield lambda fingerprint: open_store(f"dir:{tmp_path}", fingerprint, BYTES, 400 * BYTES)
    elif request.param == "process":
        monkeypatch.setenv(socket_store.ADDRESS, str(tmp_path / "socket"))
        with socket_process(tmp_path / "socket"):
            yield lambda fingerprint: open_store("socket_store:open_store", fingerprint, BYTES, None)
    else:
        with mooncake(tmp_path, monkeypatch) as opened:
            yield opened


def content(key: bytes) -> np.ndarray:
    return np.random.default_rng(int.from_bytes(key, "little")).integers(0, 256, BYTES, np.uint8)


def tiers_of(store: PageStore, slots: int = 8) -> Tiers:
    return Tiers(HostTier(np.zeros((slots, BYTES), np.uint8)), store=store)


def save(tiers: Tiers, keys: list[bytes]) -> None:
    """Fills pages, and waits until the store has them."""
    for key in keys:
        page = tiers.reserve(key)
        assert page is not None
        tiers.host.data(page)[:] = content(key)
        tiers.filled([page])
        settle(tiers)


def settle(tiers: Tiers) -> None:
    done = threading.Event()
    tiers.when_settled(done.set)
    assert done.wait(60)


def seek(tiers: Tiers, keys: list[bytes]) -> list[str]:
    """Which tiers pages came from, each looked at."""
    done = threading.Event()
    fetch = tiers.seek(keys, None, lambda fetch: done.set())
    if fetch is None:
        return []
    assert done.wait(60)
    for key, page in zip(keys, fetch.pages, strict=False):
        assert (tiers.host.data(page) == content(key)).all()
    came = fetch.tiers[: len(fetch.pages)]
    tiers.give_up(fetch)
    return came


def closed(*all_tiers: Tiers) -> None:
    for tiers in all_tiers:
        settle(tiers)
        tiers.host.check()
        tiers.close()


KEYS = page_keys(range(64 * 6), root_key("alice"))


def test_another_engine_finds_what_one_has_exported(opener: Opener) -> None:
    one, other = tiers_of(opener("model")), tiers_of(opener("model"))
    save(one, KEYS)
    assert seek(other, KEYS[:4]) == [STORE] * 4
    assert seek(other, KEYS) == [HOST] * 4 + [STORE] * 2
    assert seek(other, page_keys(range(64 * 6), root_key("bob"))) == [], "another tenant's prompt has other keys"
    assert one.counts.written == len(KEYS) and not one.counts.faults and not other.counts.faults
    stranger = tiers_of(opener("another model"))
    assert seek(stranger, KEYS) == []
    closed(one, other, stranger)


def test_the_contract(opener: Opener) -> None:
    store = opener("model")
    page, into = content(KEYS[0]), np.zeros(BYTES, np.uint8)
    checksum = page_checksum(KEYS[0], page)
    assert store.find(KEYS) == 0 and store.import_page(KEYS[0], into.data) is None
    for _ in range(2):  # a page that it has is no fault
        store.export_page(KEYS[0], checksum, page.data)
    store.export_page(KEYS[2], checksum, page.data)
    assert store.find(KEYS) == 1 and store.find(KEYS[1:]) == 0 and store.find([]) == 0
    assert store.import_page(KEYS[0], into.data) == checksum and (into == page).all()
    store.close()


def test_a_page_that_was_spoilt_is_seen(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path, "model", BYTES, 400 * BYTES)
    one, other = tiers_of(store), tiers_of(store)
    save(one, KEYS)
    for key, spoil in ((KEYS[1], b"x"), (KEYS[3], b"")):
        path = tmp_path / "model" / key.hex()
        path.write_bytes(path.read_bytes()[:-1] + spoil)  # another byte; a byte less
    assert seek(other, KEYS) == [STORE]
    assert other.counts.faults == {"store corrupt": 1}
    assert seek(other, KEYS[2:]) == [STORE], "a file that is too short is none"
    closed(one, other)


def test_a_folder_holds_no_more_than_it_may(tmp_path: Path) -> None:
    stores = [DirectoryStore(tmp_path, "model", BYTES, 32 * BYTES) for _ in range(2)]
    keys = page_keys(range(64 * 200), root_key(""))
    page = content(keys[0])
    for at, key in enumerate(keys):
        stores[at % 2].export_page(key, bytes(16), page.data)
        os.utime(tmp_path / "model" / key.hex(), (at, at))
        stores[0].import_page(keys[0], np.zeros(BYTES, np.uint8).data)  # the first is always wanted
    left = {path.name for path in (tmp_path / "model").iterdir()}
    assert 16 <= len(left) <= 36 and keys[0].hex() in left and keys[-1].hex() in left and keys[100].hex() not in left


def test_a_folder_that_was_emptied_takes_pages_again(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path, "model", BYTES, 32 * BYTES)
    page = content(KEYS[0])
    for key in KEYS[:3]:
        store.export_page(key, bytes(16), page.data)
        assert store.find([key]) == 1
        shutil.rmtree(tmp_path / "model")
        assert store.find([key]) == 0 and store.import_page(key, np.zeros(BYTES, np.uint8).data) is None


def test_two_hosts_whose_processes_have_one_number_write_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers, where many a server is process 1."""
    one, other = (DirectoryStore(tmp_path, "model", BYTES, 32 * BYTES) for _ in range(2))
    ours, theirs, write = content(KEYS[0]), content(KEYS[1]), os.write
    turns = iter([lambda: other.export_page(KEYS[0], bytes(16), theirs.data)])

    def in_turn(file: int, data: bytes) -> int:
        next(turns, lambda: None)()
        return write(file, data)

    monkeypatch.setattr("os.getpid", lambda: 1)
    monkeypatch.setattr("os.write", in_turn)
    one.export_page(KEYS[0], bytes(16), ours.data)
    assert (tmp_path / "model" / KEYS[0].hex()).read_bytes() == bytes(16) + bytes(ours.data)
    assert len(list((tmp_path / "model").iterdir())) == 1


class Broken:
    """A store whose every word is an error, or that says nothing."""

    def __init__(self, wait: threading.Event | None = None) -> None:
        self.asked, self.wait = 0, wait

    def find(self, keys: object) -> int:
        self.asked += 1
        if self.wait is None:
            raise ValueError("no")
        self.wait.wait(60)
        return 0

    def export_page(self, key: bytes, checksum: bytes, page: memoryview) -> None:
        raise ConnectionError("gone")

    def import_page(self, key: bytes, into: memoryview) -> bytes | None:
        raise OSError("gone")

    def close(self) -> None: ...


def test_a_store_that_fails_is_left_in_peace() -> None:
    store = Broken()
    tiers = tiers_of(store)
    assert seek(tiers, KEYS) == [] and store.asked == 1
    assert tiers.seek(KEYS, None, lambda fetch: None) is None, "it rests"
    save(tiers, KEYS[:3])
    assert tiers.counts.faults == {"store failed": 1} and tiers.counts.unwritten == 3
    tiers._rest_until = 0.0
    assert seek(tiers, KEYS[:3]) == [HOST] * 3, "what is in host memory needs no store"
    closed(tiers)


def test_a_process_that_is_killed_costs_hits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(socket_store.ADDRESS, str(tmp_path / "socket"))
    with socket_process(tmp_path / "socket") as process:
        store = open_store("socket_store:open_store", "model", BYTES, None)
        one = tiers_of(store)
        save(one, KEYS[:2])
        process.kill()
        process.wait()
        save(one, KEYS[2:])
    assert one.counts.written == 2 and one.counts.unwritten == 4 and one.counts.faults["store failed"] >= 1
    closed(one)


def test_what_is_given_up_while_the_store_is_asked_leaves_no_page_held() -> None:
    wait = threading.Event()
    tiers = tiers_of(Broken(wait))
    told: list[Fetch] = []
    fetch = tiers.seek(KEYS, None, told.append)
    assert fetch is not None
    tiers.give_up(fetch)
    wait.set()
    closed(tiers)
    assert not told and not fetch.pages


@pytest.mark.parametrize(
    ("where", "named"),
    [("no.such.module:f", "No module named"), ("json:nothing", "nothing"), ("dir:/dev/null/x", "Not a directory")],
)
def test_a_store_that_cannot_be_opened_is_named(where: str, named: str) -> None:
    with pytest.raises(StoreError, match=named):
        open_store(where, "model", BYTES, 10 * BYTES)
    with pytest.raises(StoreError, match="page_store_gb"):
        open_store("dir:x", "model", BYTES, BYTES)
