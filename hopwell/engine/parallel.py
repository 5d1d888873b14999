"""One model over several ranks, as the runner sees it: rank 0 decides everything, the others repeat its calls.

Scheduler, sampler and grammars are rank 0's alone. Each call of the runner goes into the ring before rank 0 computes
its own share; the sums within keep the ranks in step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import asdict
from itertools import count
from typing import Any, Protocol, TypeVar

import msgspec
import torch
from torch import Tensor

from hopwell.engine.config import EngineConfig
from hopwell.engine.page_mover import put_pages
from hopwell.engine.runnable import Markable, Model, Positioned, close_model, draft_ops
from hopwell.limits.marks import Marks, Recorder
from hopwell.model.batch import ForwardBatch
from hopwell.ops.drafts import DraftOps
from hopwell.ops.exchange import Broadcasting, Exchange
from hopwell.parallel.launch import Ranks
from hopwell.parallel.memory import RankLost

T = TypeVar("T")
RANK = "hopwell.engine.rank:main"
"""Entry of the other ranks' processes."""


class Array(msgspec.Struct, array_like=True):
    """A tensor on its way."""

    dtype: str
    shape: list[int]
    data: bytes | None
    """None: it follows from device to device, so that nobody waits for it to be computed."""

    def tensor(self, receive: Callable[[Tensor], Tensor]) -> Tensor:
        """
        Args:
            receive: gives rank 0's tensor of the shape and dtype of another, wherever that is.
        """
        dtype = getattr(torch, self.dtype)
        if self.data is None:
            return receive(torch.empty(self.shape, dtype=dtype))
        if not self.data:
            return torch.empty(self.shape, dtype=dtype)
        return torch.frombuffer(bytearray(self.data), dtype=dtype).view(self.shape)


class Sender:
    """Tensors of rank 0's for a message: those in main memory by value, those of a GPU by one broadcast that follows,
    one after another, each from a multiple of 16 bytes on."""

    def __init__(self, exchange: Exchange, device: torch.device) -> None:
        self._exchange = exchange if isinstance(exchange, Broadcasting) else None
        self._device = device
        self._following: list[Tensor] = []

    def array(self, tensor: Tensor) -> Array:
        """A tensor's place in the message; those that follow go in the order of these calls, which is the readers'."""
        name, shape = str(tensor.dtype).removeprefix("torch."), list(tensor.shape)
        if self._exchange is not None and tensor.device == self._device and tensor.numel():
            self._following.append(tensor.contiguous())
            return Array(name, shape, None)
        flat = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.flatten())
        return Array(name, shape, flat.view(torch.uint8).numpy().tobytes())

    def inputs(self, batch: ForwardBatch) -> Inputs:
        """A batch in the message."""
        tokens, positions, table = (self.array(t) for t in (batch.tokens, batch.positions, batch.page_table))
        return Inputs(tokens, positions, batch.query_lens, batch.seq_lens, table)

    @property
    def bytes(self) -> int:
        """Of the broadcast that is to follow; 0: none is."""
        return sum(_room(tensor) for tensor in self._following)

    def follow(self) -> None:
        """The broadcast; once the message is written, or nobody would expect it."""
        following, size = self._following, self.bytes
        self._following = []
        if not following:
            return
        assert self._exchange is not None
        packed, at = torch.empty(size, dtype=torch.uint8, device=self._device), 0
        for tensor in following:
            packed[at : at + tensor.nbytes].copy_(tensor.flatten().view(torch.uint8))
            at += _room(tensor)
        self._exchange.broadcast(packed)


class Receiver:
    """What `Sender.follow` broadcasts, on another rank."""

    def __init__(self, exchange: Exchange, device: torch.device, size: int) -> None:
        """
        Args:
            size: `Sender.bytes`; 0: nothing comes.
        """
        self._packed, self._at = torch.empty(size, dtype=torch.uint8, device=device), 0
        if size:
            assert isinstance(exchange, Broadcasting)
            exchange.broadcast(self._packed)

    def __call__(self, like: Tensor) -> Tensor:
        """The next tensor, of the shape and dtype of another."""
        begin, self._at = self._at, self._at + _room(like)
        return self._packed[begin : begin + like.nbytes].view(like.dtype).view(like.shape)


def _room(tensor: Tensor) -> int:
    """Bytes that a tensor takes of a broadcast: kernels load 16 at a time."""
    return -(-tensor.nbytes // 16) * 16


class Inputs(msgspec.Struct, array_like=True):
    """A `ForwardBatch` on its way."""

    tokens: Array
    positions: Array
    query_lens: list[int]
    seq_lens: list[int]
    page_table: Array

    def batch(self, receive: Callable[[Tensor], Tensor]) -> ForwardBatch:
        tokens, positions, table = (each.tensor(receive) for each in (self.tokens, self.positions, self.page_table))
        return ForwardBatch(tokens, positions, self.query_lens, self.seq_lens, table)


class Settle(msgspec.Struct, tag=True):
    """An engine begins."""

    settings: dict[str, Any]
    """Of `EngineConfig`."""


class NewLatent(msgspec.Struct, tag=True):
    """Its latent cache."""

    pages: int


class Clear(msgspec.Struct, tag=True):
    """Pages change hands."""

    pages: list[int]


class Fill(msgspec.Struct, tag=True):
    """Pages come from below the pool, where rank 0 alone keeps them."""

    pages: list[int]
    values: Array
    """uint8 [pages, layers, 64, bytes of a row]."""


class Step(msgspec.Struct, tag=True):
    """`Model.step`."""

    batch: Inputs
    rows: Array | None
    """Those that are scored; None: all."""


class Logits(msgspec.Struct, tag=True):
    """`Model.logits`."""

    hidden: Array


class Draft(msgspec.Struct, tag=True):
    """`Model.draft`."""

    hidden: Array
    batch: Inputs


class Close(msgspec.Struct, tag=True):
    """An engine ends."""


Op = Settle | NewLatent | Clear | Fill | Step | Logits | Draft | Close


class Call(msgspec.Struct):
    """What rank 0 does, for the others to do likewise."""

    engine: int
    """Several engines may stand on one model."""
    op: Op
    following: int = 0
    """`Sender.bytes`."""


class ParallelModel:
    """Rank 0's share of a model, and the calls that have the others compute theirs.

    What fails here in the middle of a call leaves the ranks out of step: it is `RankLost`, and ends the engine.
    """

    def __init__(self, own: Model, ranks: Ranks, exchange: Exchange, engine: int, config: EngineConfig) -> None:
        """
        Args:
            own: rank 0's share, set up for `config`.
            exchange: between the ranks.
            engine: a number that no other engine on these ranks has.
        """
        self._sender = Sender(exchange, own.device)
        self.own, self.device, self.has_mtp = own, own.device, own.has_mtp
        self._ranks, self._engine, self._calls = ranks, engine, count(1)
        self._call = 0
        self._send(Settle(asdict(config)))

    def greedy(self, logits: Tensor) -> Tensor | None:
        """As this rank's share does; the sampler is this rank's alone."""
        own = getattr(self.own, "greedy", None)
        return None if own is None else own(logits)

    def marked(self, marks: Marks) -> ParallelModel:
        """The same calls, of which this rank's share tells `marks` after each op."""
        assert isinstance(self.own, Markable)
        marked = copy(self)
        marked.own = self.own.marked(marks)
        return marked

    @property
    def draft_ops(self) -> DraftOps:
        """As this rank's share has it, whose alone drafts are."""
        return draft_ops(self.own)

    def takes_positions(self, rows: int) -> bool:
        """As this rank's share does; the others' get them from its device."""
        return isinstance(self.own, Positioned) and self.own.takes_positions(rows)

    def new_latent(self, num_pages: int) -> Tensor:
        return self._both(NewLatent(num_pages), lambda: self.own.new_latent(num_pages))

    def clear(self, latent: Tensor, pages: list[int]) -> None:
        self._both(Clear(pages), lambda: self.own.clear(latent, pages))

    def fill(self, pages: list[int], values: Tensor) -> None:
        """As `Filling` has it. Of host memory rank 0's process has the only copy, so that a slot may be filled again
        once this rank has read it: the bytes go to the others as a step's tokens do, at their place among the calls."""
        self._both(Fill(pages, self._sender.array(values)), lambda: None)

    def step(self, batch: ForwardBatch, latent: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        told = Step(self._sender.inputs(batch), None if rows is None else self._sender.array(rows))
        return self._both(told, lambda: self.own.step(batch, latent, rows))

    def logits(self, hidden: Tensor) -> Tensor:
        return self._both(Logits(self._sender.array(hidden)), lambda: self.own.logits(hidden))

    def draft(self, hidden: Tensor, batch: ForwardBatch, latent: Tensor) -> Tensor:
        told = Draft(self._sender.array(hidden), self._sender.inputs(batch))
        return self._both(told, lambda: self.own.draft(hidden, batch, latent))

    def close(self) -> None:
        """All ranks give their latent caches and graphs back."""
        with suppress(RankLost):
            self._send(Close())
        close_model(self.own)

    def _both(self, op: Op, own: Callable[[], T]) -> T:
        self._send(op)
        try:
            self._sender.follow()
            return own()
        except RankLost as error:
            where = f"; {error}" if self._ranks.block.lost is None else ""
            raise self._ranks.lost(f", in {self._doing(op)}{where}") from None
        except Exception as error:
            if self._ranks.notices_a_loss():
                raise self._ranks.lost(f", in {self._doing(op)}") from error
            self._ranks.block.lose(0)
            raise RankLost(f"rank 0 has failed in {self._doing(op)}: {error!r}") from error

    def _send(self, op: Op) -> None:
        self._call = next(self._calls)
        try:
            self._ranks.lines.ring.write(msgspec.msgpack.encode(Call(self._engine, op, self._sender.bytes)))
        except RankLost:
            raise self._ranks.lost(f", in {self._doing(op)}") from None

    def _doing(self, op: Op) -> str:
        return f"call {self._call} ({type(op).__name__.lower()})"


class Settling(Protocol):
    """A rank's share of a model, as `engine/loading.py` has it."""

    def runnable(self, config: EngineConfig) -> Model:
        """The model set up for an engine."""
        ...


class Follower:
    """The calls of rank 0, repeated on this rank's share."""

    def __init__(self, loaded: Settling, exchange: Exchange, device: torch.device) -> None:
        self._loaded, self._exchange, self._device = loaded, exchange, device
        self._models: dict[int, Model] = {}
        self._latents: dict[int, Tensor] = {}
        self._read = msgspec.msgpack.Decoder(Call).decode

    def __call__(self, message: bytes) -> None:
        call = self._read(message)
        engine, op = call.engine, call.op
        if isinstance(op, Settle):
            config = EngineConfig(**op.settings)
            model = self._models[engine] = self._loaded.runnable(config)
            if config.meter and isinstance(model, Markable):
                model.marked(Recorder())  # rank 0's twins of its graphs exchange while they are captured: so do these
            return
        if isinstance(op, Close):
            self._latents.pop(engine, None)
            close_model(self._models.pop(engine))
            return
        model = self._models[engine]
        if isinstance(op, NewLatent):
            self._latents[engine] = model.new_latent(op.pages)
            return
        latent = self._latents[engine]
        receive = Receiver(self._exchange, self._device, call.following)
        match op:
            case Clear(pages):
                model.clear(latent, pages)
            case Fill(pages, values):
                put_pages(latent, pages, values.tensor(receive).to(model.device))
            case Step(batch, rows):
                inputs = batch.batch(receive)
                model.step(inputs, latent, None if rows is None else rows.tensor(receive).to(model.device))
            case Logits(hidden):
                model.logits(hidden.tensor(receive).to(model.device))
            case Draft(hidden, batch):
                given = hidden.tensor(receive).to(model.device)
                model.draft(given, batch.batch(receive), latent)
