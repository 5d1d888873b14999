"""Marks on a device of its own pace: events between ops, in captured graphs too, and experts counted there."""

from __future__ import annotations

from time import perf_counter

import torch
from torch import Tensor

from hopwell.limits.marks import Lengths, Mark, Recorder
from hopwell.model.routed import Chosen


def tape_of(device: torch.device) -> Recorder:
    """What records the marks of one captured graph: each a node that notes the time whenever the graph is replayed. On
    a device without graphs a host's clock."""
    if device.type != "cuda":
        return Recorder()
    return Recorder(_node, _elapsed)


class DeviceRecorder(Recorder):
    """Marks of steps that a device is given and whose results are read later.

    Tells the device, in `stop`, to count the experts that routers chose; `seconds` waits for that and for the last
    event alone, not for what was given since.
    """

    def __init__(self, device: torch.device, experts: int) -> None:
        """
        Args:
            experts: that a router's choice can name, at most.
        """
        self._experts = experts
        self._counts: Tensor | None = None
        self._counted: torch.cuda.Event | None = None
        cuda = device.type == "cuda"
        super().__init__(_event if cuda else perf_counter, _elapsed if cuda else lambda a, b: b - a)

    def start(self) -> None:
        self._counts = self._counted = None
        super().start()

    @torch.inference_mode()
    def stop(self) -> None:
        chosen = self._choices()
        if not chosen:
            return
        # rows that fill a step up repeat its last one: they name no expert more
        ids = torch.stack([ids.flatten() for ids in chosen]).long() + 1  # 0: another rank's
        seen = torch.zeros(len(chosen), self._experts + 1, dtype=torch.bool, device=ids.device)
        counts = seen.scatter_(1, ids, True)[:, 1:].sum(1)
        if counts.is_cuda:
            self._counts = torch.empty(counts.shape, dtype=counts.dtype, pin_memory=True)
            self._counts.copy_(counts, non_blocking=True)
            self._counted = torch.cuda.Event()
            self._counted.record()
        else:
            self._counts = counts

    def seconds(self) -> list[float]:
        """As `Recorder.seconds`; from now on marks know how many experts were chosen."""
        if self._counted is not None:
            self._counted.synchronize()
        if self._counts is not None:
            distinct = dict(zip(map(id, self._choices()), self._counts.tolist(), strict=True))
            for mark in self.marks:
                if isinstance(mark.chosen, Tensor):
                    mark.chosen = _chosen(mark, distinct[id(mark.chosen)])
            self._counts = None
        return super().seconds()

    def _choices(self) -> list[Tensor]:
        """Each router's choice once; of steps of one size, whose shapes are equal."""
        found = {id(mark.chosen): mark.chosen for mark in self.marks if isinstance(mark.chosen, Tensor)}
        shapes = [ids.numel() for ids in found.values()]
        return [ids for ids in found.values() if ids.numel() == max(shapes)]


def _chosen(mark: Mark, distinct: int) -> Chosen:
    lengths = mark.lengths or Lengths((), ())
    return Chosen(lengths.rows * mark.chosen.shape[1], distinct)


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _node() -> torch.cuda.Event:
    # hazard: without `external` a captured event would only order streams, and note no time
    event = torch.cuda.Event(enable_timing=True, external=True)
    event.record()
    return event


def _elapsed(begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
    end.synchronize()
    return begin.elapsed_time(end) / 1e3
