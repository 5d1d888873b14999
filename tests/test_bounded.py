"""A function in a child process: every way in which it can end, and that the next call finds a child."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hopwell.bounded import Bounded, BoundedError, Limits

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of memory and stack need POSIX")
LIMITS = Limits(seconds=1.0, memory=256 << 20, stack=16 << 20, reply=1 << 20)
MAKE = "bounded_examples:obey"


@pytest.fixture(scope="module")
def bounded() -> Iterator[Bounded]:
    with_child = Bounded(MAKE, "a setup", LIMITS)
    with_child.warm()
    yield with_child
    with_child.close()


def gone(pid: int) -> bool:
    for _ in range(300):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_calls_share_a_child(bounded: Bounded) -> None:
    assert bounded(["setup"]) == "a setup"
    assert bounded(["echo", {"a": [1, 2.5, None, "\ud800 \U0001f600"]}]) == {"a": [1, 2.5, None, "\ud800 \U0001f600"]}
    pid = bounded(["pid"])
    assert pid != os.getpid()
    with pytest.raises(BoundedError, match="no such thing") as caught:
        bounded(["raise"])
    assert (caught.value.kind, caught.value.type) == ("raised", "KeyError")
    assert bounded(["print"]) is None  # what is printed does not get among the replies
    assert bounded(["pid"]) == pid


@pytest.mark.parametrize(
    ("order", "kind", "says"),
    [
        (["sleep"], "time", "more than 1 s"),
        (["loop"], "time", "more than 1 s"),
        (["memory", 1 << 30], "memory", "memory"),
        (["large", 2 << 20], "memory", "larger than 1 MiB"),
        (["exit"], "crash", "exit code 3"),
        (["segv"], "crash", "SIGSEGV"),
        (["abort"], "crash", "SIGABRT"),
    ],
)
def test_a_fault_ends_the_call_alone(bounded: Bounded, order: list, kind: str, says: str) -> None:
    with pytest.raises(BoundedError, match=says) as caught:
        bounded(order)
    assert caught.value.kind == kind and "\n" not in str(caught.value)
    assert bounded(["echo", 1]) == 1


def test_what_is_nested_too_deeply(bounded: Bounded) -> None:
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BoundedError) as caught:
        bounded(["echo", deep])
    assert caught.value.kind == "stack"


def test_leaks_do_not_add_up(bounded: Bounded) -> None:
    pids = set()
    for _ in range(8):
        bounded(["leak", 100 << 20])
        pids.add(bounded(["pid"]))
    assert len(pids) > 1


def test_a_maker_that_fails() -> None:
    broken = Bounded(MAKE, "broken", LIMITS)
    for _ in range(2):
        with pytest.raises(BoundedError, match="cannot be made"):
            broken(["echo", 1])
    broken.close()


def test_threads_wait_their_turn() -> None:
    bounded = Bounded(MAKE, None, LIMITS, workers=2)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda i: bounded(["echo", i]), range(100))) == list(range(100))
    bounded.close()


def test_cancelling_frees_the_child_and_the_queue() -> None:
    bounded = Bounded(MAKE, None, Limits(seconds=60.0))

    async def run() -> None:
        tasks = [asyncio.create_task(bounded.run(["sleep"])) for _ in range(20)]
        await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
        assert await asyncio.wait_for(bounded.run(["echo", 2]), 20) == 2  # and not after 20 minutes

    asyncio.run(run())
    bounded.close()


@pytest.mark.parametrize("order", [["echo", 1], ["loop"]])
@pytest.mark.slow
def test_the_child_dies_with_its_parent(order: list) -> None:
    code = f"""
import os, threading
from hopwell.bounded import Bounded, Limits
bounded = Bounded({MAKE!r}, None, Limits(seconds=0.5))
print(bounded(["pid"]), flush=True)
threading.Timer(0.2, lambda: os.kill(os.getpid(), 9)).start()
bounded({order!r})
threading.Event().wait()
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, timeout=60
    )
    assert parent.returncode == -9
    pid = int(parent.stdout)
    for _ in range(5):  # in the middle of native code it dies of its own alarm
        if gone(pid):
            return
    raise AssertionError("the child lives on")


def test_dropping_it_ends_the_child() -> None:
    bounded = Bounded(MAKE, None, LIMITS)
    pid = bounded(["pid"])
    del bounded
    assert gone(pid)


def test_a_process_that_ends_with_it_warns_of_nothing() -> None:
    """Whether it was closed or not: `python -W error` would say that a file was left open."""
    code = f"from hopwell.bounded import *\nkept = Bounded({MAKE!r}, None, {LIMITS})\n"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"}
    run = [sys.executable, "-c", code + "kept(['pid'])"]
    ended = subprocess.run(run, capture_output=True, text=True, env=environment, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
