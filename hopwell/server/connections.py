"""Connections within limits: a head in time, answers that are read, and no more of them than there are descriptors."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from hopwell.logs import Seldom
from hopwell.server.settings import ServerSettings

log = logging.getLogger("hopwell.server")

MAX_HEAD = 64 << 10
"""Bytes of a request's head."""
PROGRESS = 64 << 10
"""Bytes that a client must take within the write time-out to be left alone."""
SPARE = 64
"""Descriptors kept for files, pipes and children."""
FULL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
BASE: Any = H11Protocol  # by name: httptools, where it is installed, has another mind about targets that are URLs
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass
class Door:
    """What the connections of one server share."""

    settings: ServerSettings
    most: int
    """Open at once. One more takes the place of the one that has been silent for longest."""
    silent: dict[Any, None] = field(default_factory=dict)
    """Those between requests, the longest first."""
    crowded: Seldom = field(default_factory=Seldom)

    def make_room(self) -> bool:
        """Closes the connection that has been silent for longest, if there is one."""
        self.crowded.warn("connections at their limit", limit=self.most)
        for connection in self.silent:
            del self.silent[connection]
            connection.transport.abort()
            return True
        return False


def door(settings: ServerSettings, descriptors: int, share: int) -> Door:
    """The door of one of `share` APIs, which may have so many open files."""
    most = -(-settings.max_connections // share)
    return Door(settings, max(1, min(most, max(descriptors - SPARE, descriptors // 4))))


class Guarded(BASE):
    """uvicorn's HTTP protocol, with the limits of a door."""

    door: Door
    _head: asyncio.TimerHandle | None = None
    _write: asyncio.TimerHandle | None = None
    _received = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # `pause_writing` then means: the client has not taken it all
        if len(self.connections) > self.door.most and not self.door.make_room():
            transport.write(FULL)
            transport.close()
        else:
            self._fall_silent()
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel("_head")
        self._cancel("_write")
        self.door.silent.pop(self, None)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel("_head")
            self._received = 0
            self.door.silent.pop(self, None)
            return
        rest = self.cycle is not None and self.cycle.more_body  # of a body that was answered before its end
        self._received += len(data)
        if self._received > MAX_HEAD + (self.door.settings.max_body_bytes if rest else 0):
            self.transport.abort()
        self._expect_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._fall_silent()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel("_write")

    def _fall_silent(self) -> None:
        self.door.silent.pop(self, None)
        self.door.silent[self] = None

    def _expect_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(self.door.settings.head_timeout, self.transport.abort)

    def _watch_writing(self) -> None:
        size = self.transport.get_write_buffer_size()
        self._write = self.loop.call_later(self.door.settings.write_timeout, self._late, size)

    def _late(self, size: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left <= size - PROGRESS:
            self._watch_writing()
            return
        log.info({"event": "connection cut", "reason": "the client does not read", "unread": left})
        self.transport.abort()

    def _cancel(self, name: str) -> None:
        timer = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)


def protocol(door: Door) -> type[asyncio.Protocol]:
    """What serves the connections that come through a door."""
    return type("GuardedByDoor", (Guarded,), {"door": door})


def calm(loop: asyncio.AbstractEventLoop) -> None:
    """Lets a loop say once a minute that it has no descriptors left, instead of at every attempt to accept."""
    seldom = Seldom()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            seldom.warn("connections cannot be accepted", reason=os.strerror(error.errno))
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
