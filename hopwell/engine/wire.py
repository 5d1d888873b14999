"""What API processes and the engine's process say to each other: msgpack over a Unix socket, a length before each.

The two are started together from one installation, so fields may change with the code. Clocks are `time.monotonic`,
which processes of one machine share.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import msgspec

from hopwell.engine.metrics import Metrics
from hopwell.engine.request import Request, RequestError, RequestOutput, TooLongError
from hopwell.engine.start import Limit
from hopwell.limits.history import Report

LENGTH = struct.Struct("<I")


class Info(msgspec.Struct, frozen=True):
    """What an API must know of the engine behind it."""

    model_len: int
    """Tokens of a prompt and its answer together."""
    vocab_size: int
    batch_invariant: bool
    """Whether a request's tokens are the same whatever shares its batch."""
    settings: dict[str, Any]
    """Of `EngineConfig`, as they are in force."""
    energy: bool = False
    """Whether joules are counted."""
    about: dict[str, str] = {}
    """Lines for a banner: device, precision, cache."""
    phases: dict[str, float] = {}
    """Seconds that each part of the start took."""
    limits: dict[str, Limit] = {}
    """The least that parts of it can take, where that was measured."""
    pages_of: str = ""
    """The fingerprint of what stores keep for it; empty where it has none."""
    snapshot: bool = False
    """Whether weights came from a packed snapshot."""


# -- to the engine


class Submit(msgspec.Struct, tag=True):
    """A request to be served. It is answered by `Step`s, or by one `Refused`. It stays bytes until it is taken up: what
    cannot be read is that request's fault, and ends no connection."""

    request_id: str
    request: msgspec.Raw
    hand_over: bool = False
    """Its last output comes once its pages are where other engines find them."""

    @classmethod
    def of(cls, request: Request, hand_over: bool = False) -> Submit:
        """
        Raises:
            RequestError: a value in it cannot be sent, such as an integer of more than 64 bits.
        """
        try:
            return cls(request.request_id, msgspec.Raw(msgspec.msgpack.encode(request)), hand_over)
        except (OverflowError, TypeError, ValueError, RecursionError) as error:
            raise RequestError(f"the request cannot be sent to the engine: {error}") from None

    def read(self) -> Request:
        """
        Raises:
            RequestError: it is no request.
        """
        try:
            return msgspec.msgpack.decode(self.request, type=Request)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise RequestError(f"the engine cannot read the request: {error}") from None


class Abort(msgspec.Struct, tag=True):
    """Cancels a request; unknown ids do nothing."""

    request_id: str


class End(msgspec.Struct, tag=True):
    """One of a request's answers has reached a stop string: it is complete. It is told of once more, as ended."""

    request_id: str
    index: int


class FlushCache(msgspec.Struct, tag=True):
    """Gives up all pages kept for reuse that nobody uses. Answered by `Flushed`."""


class GetMetrics(msgspec.Struct, tag=True):
    """Answered by `Measured`."""


class GetLimits(msgspec.Struct, tag=True):
    """Answered by `Limits`."""


# -- to an API process


class Hello(msgspec.Struct, tag=True):
    """The first message."""

    info: Info


class Step(msgspec.Struct, tag=True):
    """What a step of the engine gave to all requests of this connection."""

    outputs: list[RequestOutput]


class Refused(msgspec.Struct, tag=True):
    """A request that was not accepted: a `RequestError`."""

    request_id: str
    message: str
    field: str | None
    kind: str
    lengths: tuple[int, int | None, int] | None = None
    """Of a `TooLongError`: prompt, answer, context."""

    @classmethod
    def of(cls, request_id: str, error: RequestError) -> Refused:
        lengths = (error.prompt, error.answer, error.context) if isinstance(error, TooLongError) else None
        return cls(request_id, str(error), error.field, error.kind, lengths)

    def error(self) -> RequestError:
        """What the engine raised."""
        if self.lengths is not None:
            return TooLongError(*self.lengths)
        return RequestError(self.message, self.field, self.kind)


class Flushed(msgspec.Struct, tag=True):
    """How many pages were given up; or why not."""

    pages: int
    error: str = ""


class Measured(msgspec.Struct, tag=True):
    """What the engine has counted so far."""

    metrics: Metrics


class Limits(msgspec.Struct, tag=True):
    """What the meter knows."""

    report: Report


class Beat(msgspec.Struct, tag=True):
    """Sent all the time: the engine's process lives, and this is wrong with it; empty if nothing is."""

    trouble: str = ""


ToEngine = Submit | Abort | End | FlushCache | GetMetrics | GetLimits
ToApi = Hello | Step | Refused | Flushed | Measured | Limits | Beat


class Connection(asyncio.Protocol):
    """One end of a socket between the two. Its reader is never waited for: what it does not take is kept for it."""

    def __init__(self, kind: Any, received: Callable[[Any], None], lost: Callable[[], None]) -> None:
        """
        Args:
            kind: the union of messages that may come, `ToEngine` or `ToApi`.
            received: called with each message.
            lost: called once, when the other end has gone or has sent what is no message.
        """
        self._decoder, self._encoder = msgspec.msgpack.Decoder(kind), msgspec.msgpack.Encoder()
        self._received, self._lost = received, lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        buffer, at = self._buffer, 0
        buffer += data
        while len(buffer) - at >= LENGTH.size:
            end = at + LENGTH.size + LENGTH.unpack_from(buffer, at)[0]
            if len(buffer) < end:
                break
            message = self._decoder.decode(buffer[at + LENGTH.size : end])
            at = end
            self._received(message)
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()

    def send(self, message: ToEngine | ToApi) -> None:
        """Sends a message, unless the other end has gone."""
        data = self._encoder.encode(message)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(LENGTH.pack(len(data)) + data)

    def close(self) -> None:
        """Ends the connection, once what was sent has been taken."""
        if self._transport is not None:
            self._transport.close()
