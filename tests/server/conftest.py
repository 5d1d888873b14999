"""What several files of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hostile import Attacked, attacked


@pytest.fixture(scope="session")
def hardy_server() -> Iterator[Attacked]:
    """`hopwell serve`, for those whose attacks leave it as it was: three processes that take seconds to start."""
    with attacked("--max-seqs", "8", "--write-timeout", "2", "--max-model-len", "4096") as it:
        it.answers()
        yield it
