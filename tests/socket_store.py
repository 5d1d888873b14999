"""Somebody else's store of pages: a process behind a Unix socket, and what an engine needs to use it.

`python socket_store.py SOCKET` is the process; `--page-store socket_store:open_store` is the engine's side of it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Client, Connection, Listener

ADDRESS = "SOCKET_STORE"
"""Variable of the environment with the socket's path."""


class SocketStore:
    """A `PageStore`."""

    def __init__(self, fingerprint: str) -> None:
        self._name = fingerprint.encode()
        self._line = Client(os.environ[ADDRESS], "AF_UNIX")

    def find(self, keys: Sequence[bytes]) -> int:
        return int.from_bytes(self._ask(b"f", b"".join(keys)), "little")

    def export_page(self, key: bytes, checksum: bytes, page: memoryview) -> None:
        self._ask(b"e", key + checksum + page)

    def import_page(self, key: bytes, into: memoryview) -> bytes | None:
        found = self._ask(b"i", key)
        if not found:
            return None
        into[:] = found[16:]
        return found[:16]

    def close(self) -> None:
        self._line.close()

    def _ask(self, what: bytes, body: bytes) -> bytes:
        self._line.send_bytes(what + len(self._name).to_bytes(1, "little") + self._name + body)
        return self._line.recv_bytes()


def open_store(fingerprint: str, page_bytes: int) -> SocketStore:
    return SocketStore(fingerprint)


def answer(line: Connection, pages: dict[bytes, bytes]) -> None:
    """Serves one engine until it goes."""
    while True:
        try:
            said = line.recv_bytes()
        except EOFError:
            return
        name, body = said[2 : 2 + said[1]], said[2 + said[1] :]
        if said[:1] == b"f":
            keys = [name + body[at : at + 16] for at in range(0, len(body), 16)]
            count = next((at for at, key in enumerate(keys) if key not in pages), len(keys))
            line.send_bytes(count.to_bytes(8, "little"))
        elif said[:1] == b"e":
            pages[name + body[:16]] = body[16:]
            line.send_bytes(b"")
        else:
            line.send_bytes(pages.get(name + body, b""))


def main(path: str) -> None:
    pages: dict[bytes, bytes] = {}
    with Listener(path, "AF_UNIX") as door:
        print("up", flush=True)
        while True:
            threading.Thread(target=answer, args=(door.accept(), pages), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1])
