"""Mooncake's store behind the seam: `--page-store hopwell.cache.mooncake:open_store`.

Its own settings are read from where its other users have them, the JSON file that MOONCAKE_CONFIG_PATH names:
`local_hostname`, `metadata_server`, `master_server_address`, `protocol`, `device_name`, `global_segment_size` and
`local_buffer_size` in bytes. A page is one of its objects, `hopwell-FINGERPRINT-KEY`: its checksum, then its bytes.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hopwell.cache.directory import CHECKSUM_BYTES
from hopwell.errors import HopwellError

CONFIG = "MOONCAKE_CONFIG_PATH"
DEFAULTS = {
    "local_hostname": "127.0.0.1",
    "metadata_server": "P2PHANDSHAKE",
    "global_segment_size": 1 << 30,
    "local_buffer_size": 256 << 20,
    "protocol": "tcp",
    "device_name": "",
    "master_server_address": "127.0.0.1:50051",
}
"""Of that file's fields, in the order in which Mooncake's `setup` takes them."""


class MooncakeStore:
    """A `PageStore`."""

    def __init__(self, client: Any, fingerprint: str) -> None:
        """
        Args:
            client: a `MooncakeDistributedStore` that has been set up.
        """
        self._client, self._prefix = client, f"hopwell-{fingerprint}-"

    def find(self, keys: Sequence[bytes]) -> int:
        """As `PageStore`."""
        there = self._client.batch_is_exist([self._name(key) for key in keys])
        return next((at for at, found in enumerate(there) if found != 1), len(keys))

    def export_page(self, key: bytes, checksum: bytes, page: memoryview) -> None:
        """As `PageStore`.

        Raises:
            RuntimeError: Mooncake did not take it.
        """
        if code := self._client.put_parts(self._name(key), checksum, page):
            raise RuntimeError(f"Mooncake's put says {code}")

    def import_page(self, key: bytes, into: memoryview) -> bytes | None:
        """As `PageStore`."""
        data = memoryview(self._client.get(self._name(key)))
        if len(data) != CHECKSUM_BYTES + len(into):  # it has none
            return None
        into[:] = data[CHECKSUM_BYTES:]
        return bytes(data[:CHECKSUM_BYTES])

    def close(self) -> None:
        """As `PageStore`."""
        self._client.close()

    def _name(self, key: bytes) -> str:
        return self._prefix + key.hex()


def open_store(fingerprint: str, page_bytes: int) -> MooncakeStore:
    """What `--page-store` names.

    Raises:
        HopwellError: Mooncake is not installed, its file has a field that is not known, or it does not answer.
    """
    try:
        client = importlib.import_module("mooncake.store").MooncakeDistributedStore()
    except ImportError as error:
        raise HopwellError(f"{error}; pip install mooncake-transfer-engine") from None
    path = os.environ.get(CONFIG)
    given = {} if path is None else json.loads(Path(path).read_text(encoding="utf-8"))
    if unknown := given.keys() - DEFAULTS.keys():
        raise HopwellError(f"{path}: {min(unknown)} is unknown; known: {', '.join(DEFAULTS)}")
    if code := client.setup(*(DEFAULTS | given).values()):
        raise HopwellError(f"Mooncake's setup says {code}; is its master up?")
    return MooncakeStore(client, fingerprint)
