"""From a file to a device's memory: each buffer is copied there while the next one is read."""

from __future__ import annotations

from itertools import cycle

import torch
from torch import Tensor

from hopwell.checkpoint.content import CHUNK, PAGE

BUFFERS = 2
"""Of a reading thread: one is read into while another is copied."""


class Staging:
    """A receiver whose bytes go into `target`, uint8, on a GPU or not.

    A GPU is copied to from pinned memory, on a stream of the receiver's own: the reading thread goes on meanwhile.
    """

    def __init__(self, target: Tensor) -> None:
        self.target = target
        self._turns = cycle([_Buffer(target.device) for _ in range(BUFFERS)])
        self._current = next(self._turns)
        self._stream = torch.cuda.Stream(target.device) if target.is_cuda else None
        if self._stream is not None:  # what was in that memory before may still be in use on the current stream
            self._stream.wait_stream(torch.cuda.current_stream(target.device))

    def buffer(self) -> memoryview:
        """As `Receiver` has it: waits until the buffer whose turn it is has been copied."""
        self._current = next(self._turns)
        if self._current.copied is not None:
            self._current.copied.synchronize()
        return self._current.memory.numpy().data

    def take(self, start: int, count: int) -> None:
        """As `Receiver` has it: begins to copy."""
        part, current = self.target[start : start + count], self._current
        if self._stream is None:
            part.copy_(current.memory[:count])
            return
        with torch.cuda.stream(self._stream):
            part.copy_(current.memory[:count], non_blocking=True)
            current.copied = torch.cuda.Event()
            current.copied.record(self._stream)

    def finish(self) -> None:
        """As `Receiver` has it."""
        if self._stream is not None:
            self._stream.synchronize()


class _Buffer:
    """`CHUNK` bytes at a page's start, pinned before a GPU."""

    def __init__(self, device: torch.device) -> None:
        pinned = device.type == "cuda"
        # what is pinned begins with a page, and PyTorch rounds its size up to a power of two
        whole = torch.empty(CHUNK if pinned else CHUNK + PAGE, dtype=torch.uint8, pin_memory=pinned)
        first = 0 if pinned else -whole.data_ptr() % PAGE
        self.memory = whole[first : first + CHUNK]
        self.copied: torch.cuda.Event | None = None
