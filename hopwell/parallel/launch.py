"""The other ranks' processes: started together, watched, and ended as one."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from hopwell.control import Child, Control, Message
from hopwell.parallel.exchange import SharedExchange
from hopwell.parallel.layout import Layout, LayoutError
from hopwell.parallel.memory import RankLost, SharedBlock
from hopwell.parallel.ring import Ring

END_SECONDS = 2.0
"""For a process to end by itself."""
REASON_SECONDS = 1.0
"""For the last words of a process that has gone."""
NOTICE_SECONDS = 2.0
"""For a death to be noticed that has broken a connection already."""


@dataclass(frozen=True, slots=True)
class Lines:
    """What one rank says to the others and hears of them."""

    block: SharedBlock
    ring: Ring
    exchange: SharedExchange

    @classmethod
    def of(cls, block: SharedBlock, rank: int, world: int) -> Lines:
        """Over a block of `bytes(world)`."""
        return cls(block, Ring(block, 0, rank, world), SharedExchange(block, Ring.size(world), rank, world))

    @staticmethod
    def bytes(world: int) -> int:
        """Of the block that all ranks share."""
        return Ring.size(world) + SharedExchange.size(world)


class Ranks:
    """Ranks 1 to `world` - 1, each a process; this process is rank 0.

    hazard: on Linux a child dies with the thread that started it: start ranks in one that lives as long.
    """

    def __init__(self, main: str, layout: Layout, place: int | None = None, **fields: Any) -> None:
        """Starts the processes.

        Args:
            main: `module:function`, which begins with `join`.
            layout: rank 0's.
            place: where they meet for a process group (`parallel/group.py`); closed with the ranks.
            fields: what each is told.

        Raises:
            LayoutError: this system cannot have several ranks.
        """
        if sys.platform == "win32":
            raise LayoutError("several ranks need Unix sockets, which Python has not on Windows; leave --tp out")
        self.layout, self.place, world = layout, place, layout.world
        self.block = SharedBlock.create(Lines.bytes(world))
        self.lines = Lines.of(self.block, 0, world)
        self._news: queue.SimpleQueue[tuple[int, Message | None]] = queue.SimpleQueue()
        self._reasons: dict[int, str] = {}
        self._ending = False
        self._mourners: list[Callable[[RankLost], None]] = []
        self._children: dict[int, Child] = {}
        for rank in range(1, world):
            child = self._children[rank] = Child.start(main)
            ends = [self.block.file, *([] if place is None else [place])]
            child.control.send("start", ends, rank=rank, **_described(layout), **fields)
            child.control.listen(partial(self._received, rank))

    def wait(self, kind: str) -> None:
        """Until every rank has said something.

        Raises:
            RankLost: one has failed or died before.
        """
        left = set(self._children)
        while left:
            rank, message = self._news.get()
            if message is None:
                raise self.lost()
            if message.kind == kind:
                left.discard(rank)

    def notices_a_loss(self) -> bool:
        """Whether a rank is lost, or found to be within moments: connections may hear of a killed process first."""
        deadline = time.monotonic() + NOTICE_SECONDS
        while self.block.lost is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.block.lost is not None

    def lost(self, doing: str = "") -> RankLost:
        """The error that names the rank which was lost first, and why.

        Args:
            doing: what rank 0 was at.
        """
        rank = self.block.lost
        if rank is None:
            return RankLost(f"the other ranks are not there any more{doing}")
        child, deadline = self._children.get(rank), time.monotonic() + REASON_SECONDS
        while child is not None and rank not in self._reasons and time.monotonic() < deadline:
            time.sleep(0.01)
        number = f" (process {child.process.pid})" if child is not None else ""
        return RankLost(f"rank {rank}{number} {self._reasons.get(rank, 'is lost')}{doing}")

    def when_lost(self, mourn: Callable[[RankLost], None]) -> None:
        """Has a function called, from another thread, when a rank dies; also while nobody waits for it."""
        self._mourners.append(mourn)

    def close(self) -> None:
        """Ends all ranks; nothing is left of them."""
        self._ending = True
        for child in self._children.values():
            child.control.send("stop")
        deadline = time.monotonic() + END_SECONDS
        for child in self._children.values():
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            child.control.close()
        self.block.close()
        if self.place is not None:
            os.close(self.place)
            self.place = None

    def _received(self, rank: int, message: Message | None) -> None:
        if message is None and not self._ending:
            code = self._children[rank].process.wait()
            self._reasons.setdefault(rank, f"has died: signal {-code}" if code < 0 else f"has ended with {code}")
            self.block.lose(rank)
            for mourn in self._mourners:
                mourn(self.lost())
        elif message is not None and message.kind == "failed":
            self._reasons[rank] = f"has failed: {message.fields['reason']}"
        self._news.put((rank, message))


def join(control: Control, start: Message) -> tuple[Layout, Lines, int | None]:
    """In a rank's process: which it is, its lines, and the place for a process group, if there is to be one. From now
    on it ends when rank 0 says so or is no more.

    Args:
        control, start: what `as_child` gave.
    """
    control.listen(lambda message: os._exit(0 if message is not None and message.kind == "stop" else 1))
    layout = Layout(rank=start.fields["rank"], **{name: start.fields[name] for name in _described(Layout())})
    block, *place = start.ends
    lines = Lines.of(SharedBlock(block, Lines.bytes(layout.world)), layout.rank, layout.world)
    return layout, lines, place[0] if place else None


def _described(layout: Layout) -> dict[str, Any]:
    """A layout on its way to a rank, which is told its own number."""
    return {name: value for name, value in asdict(layout).items() if name != "rank"}


def follow(control: Control, rank: int, lines: Lines, serve: Callable[[bytes], None]) -> None:
    """Serves rank 0's calls for ever; a fault ends the process, and is told.

    Args:
        serve: is given each message of the ring.
    """
    try:
        while True:
            serve(lines.ring.read())
    except RankLost:
        pass  # another one's fault, which rank 0 knows of
    except Exception as error:
        control.send("failed", reason=repr(error))
        lines.block.lose(rank)
    os._exit(1)
