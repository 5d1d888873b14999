"""Without a GPU the Triton kernels run in their interpreter; it must be chosen before anything imports Triton.

Tests compute with one thread: several pytest workers with several threads each wait for one another most of the time.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hostile import Attacked, attacked
from quick_interpreter import quicken

from hopwell.bounded import Bounded, Limits
from hopwell.ops.process import own_process

own_process()  # as the command does, before torch is imported

CACHE = tempfile.mkdtemp(prefix="hopwell-tests-")
os.environ["HOPWELL_CACHE"] = CACHE  # what this machine has measured is not asked

# each client of HTTP would read all the certificates that there are, 30 ms; whom tests speak to has none
os.environ["SSL_CERT_DIR"] = CACHE
os.environ.pop("SSL_CERT_FILE", None)

import torch  # noqa: E402

# a script's background job ignores Ctrl-C, and so would the processes that tests interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
    torch.set_num_threads(1)
    if find_spec("triton"):
        quicken()


def pytest_collection_finish() -> None:
    """What all tests share is not searched for garbage again and again: that was a tenth of their time."""
    try_tokenizers_once()
    share_children()
    gc.collect()
    gc.freeze()


def try_tokenizers_once() -> None:
    """A file that stood its trial, of some 0.3 s in a process of its own, is not tried again under another path."""
    from hopwell.engine import tokenizer

    trial, sound = tokenizer._try, set[bytes]()

    def tried(path: Path) -> None:
        digest = hashlib.sha256(path.read_bytes()).digest()
        if digest not in sound:
            trial(path)
            sound.add(digest)

    tokenizer._try = tried


CHILDREN = 4
"""That are kept, of grammars and templates; each has some 25 MB of memory."""


def share_children() -> None:
    """Engines over the same tokenizer check grammars in the same child process, which outlives them, and render the
    same template in the same one: a start takes 0.1 to 0.15 s of CPU, and hundreds of tests make an engine."""
    from hopwell.chat import template
    from hopwell.engine import grammars

    class Shared(Bounded):
        def close(self) -> None:
            """It is the next engine's too."""

    known: dict[tuple[object, ...], Shared] = {}

    def shared(make: str, setup: object, limits: Limits, workers: int = 1) -> Bounded:
        key = make, json.dumps(setup), limits, workers
        known[key] = found = known.pop(key, None) or Shared(make, setup, limits, workers)
        if len(known) > CHILDREN:  # it ends once nobody has it
            del known[next(iter(known))]
        return found

    grammars.Bounded = template.Bounded = shared  # type: ignore[misc, assignment]


@pytest.fixture(scope="module")
def own_children() -> Iterator[None]:
    """Grammars and templates start and end their own child process, as outside of tests."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("hopwell.engine.grammars", "hopwell.chat.template"):
            patch.setattr(f"{module}.Bounded", Bounded)
        yield


def pytest_unconfigure() -> None:
    shutil.rmtree(CACHE, ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is marked `gpu` is skipped without one."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")


@pytest.fixture(scope="module")
def small_gpu() -> Iterator[None]:
    """Without a GPU, kernels cut their work as for 16 multiprocessors: the interpreter runs what 132 do at once one by
    one, and of small shapes most cuts are empty."""
    from hopwell.ops.device import Device, target

    if torch.cuda.is_available():
        yield
        return
    token = target.set(Device("small", 90, 16, interpreted=True))
    yield
    target.reset(token)


@pytest.fixture(scope="session")
def hardy_server() -> Iterator[Attacked]:
    """`hopwell serve`, for those whose attacks leave it as it was: three processes that take seconds to start."""
    with attacked("--max-seqs", "8", "--write-timeout", "2", "--max-model-len", "4096") as it:
        it.answers()
        yield it
