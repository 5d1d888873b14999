"""From logits to tokens: a pure function of a row's logits, its parameters, its seed and its position.

Nothing else enters, so a request draws the same tokens in any batch; and since drafts are verified by drawing as if
there were none (see `speculate`), with any number of drafts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hopwell.engine.batch import Ints
from hopwell.engine.request import SamplingParams
from hopwell.ops.random import gumbel


@dataclass(slots=True)
class Draws:
    """One token a row."""

    tokens: Ints
    best: NDArray[np.float32]
    """The highest logit of each row: NaN or infinite where nothing can be drawn."""

    @classmethod
    def of(cls, found: Ints) -> Self:
        """Of what `Sampler.pick` has found."""
        tokens, bits = found
        return cls(tokens, bits.astype(np.int32).view(np.float32))


def to_host(found: Tensor) -> Callable[[], Ints]:
    """Sends an int64 tensor to main memory, without waiting for it. What is returned waits, for this tensor and not for
    what the device was given since."""
    if not found.is_cuda:
        return found.numpy
    host = torch.empty_like(found, device="cpu", pin_memory=True)
    host.copy_(found, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def read() -> Ints:
        arrived.synchronize()
        return host.numpy()

    return read


def to_device(array: NDArray, device: torch.device) -> Tensor:
    """A copy on a device, a GPU's without waiting for what it is doing."""
    tensor = torch.from_numpy(array)
    # a copy from ordinary memory may wait for the stream; PyTorch keeps pinned memory until the copy is done
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Sampler:
    """Draws tokens. It holds the parameters of each slot as arrays, so that a step costs the same for any mix."""

    def __init__(
        self, slots: int, device: torch.device | str = "cpu", greedy: Callable[[Tensor], Tensor | None] | None = None
    ) -> None:
        """
        Args:
            greedy: `tokens_triton.argmax`, where there are kernels; or what gives None where there are none after all.
        """
        self.device = torch.device(device)
        self._greedy = greedy or (lambda _: None)
        self.temperature = np.zeros(slots, np.float32)
        self.top_p = np.ones(slots, np.float32)
        self.top_k = np.zeros(slots, np.int64)
        self.min_p = np.zeros(slots, np.float32)
        self.seed = np.zeros(slots, np.int64)

    def admit(self, slot: int, params: SamplingParams, seed: int) -> None:
        """Sets a slot's parameters."""
        self.temperature[slot] = 0.0 if params.greedy else params.temperature
        self.top_p[slot] = params.top_p
        self.top_k[slot] = params.top_k
        self.min_p[slot] = params.min_p
        self.seed[slot] = seed

    def draw(self, logits: Tensor, slots: Ints, positions: Ints) -> Draws:
        """Draws a token for each row.

        Args:
            logits: float32 [rows, vocabulary].
            slots: whose parameters hold for each row.
            positions: the sequence position that each token will take.
        """
        return Draws.of(to_host(self.pick(logits, slots, positions))())

    def pick(self, logits: Tensor, slots: Ints, positions: Ints | Tensor) -> Tensor:
        """`draw`, left where the logits are.

        Args:
            positions: there as well, or in main memory.

        Returns:
            int64 [2, rows]: tokens, and the bits of the highest logits.
        """
        sampled = self.temperature[slots].nonzero()[0]
        if not sampled.size and (found := self._greedy(logits)) is not None:
            return found
        best, tokens = logits.max(dim=-1)
        places = positions if isinstance(positions, Tensor) else self._tensor(positions)
        if sampled.size == len(slots):
            tokens = self._sample(logits, slots, places)
        elif sampled.size:
            where = self._tensor(sampled)
            tokens[where] = self._sample(logits[where], slots[sampled], places[where])
        return torch.stack((tokens, best.view(torch.int32).long()))

    def _sample(self, logits: Tensor, slots: Ints, positions: Tensor) -> Tensor:
        seeds, places = self._tensor(self.seed[slots]).unsqueeze(1), positions.unsqueeze(1)
        scaled = logits / self._tensor(self.temperature[slots]).unsqueeze(1)
        top_p, top_k, min_p = self.top_p[slots], self.top_k[slots], self.min_p[slots]
        if (top_p == 1).all() and not top_k.any() and not min_p.any():
            tokens = torch.arange(logits.shape[1], device=logits.device)
            return (scaled + gumbel(seeds, places, tokens)).argmax(dim=-1)
        scaled, ids = scaled.sort(dim=-1, descending=True, stable=True)
        if top_k.any():
            last = self._tensor(np.where(top_k > 0, top_k, logits.shape[1])).unsqueeze(1)
            rank = torch.arange(logits.shape[1], device=logits.device)
            scaled.masked_fill_(rank >= last, float("-inf"))
        probabilities = scaled.softmax(dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        drop = before >= self._tensor(top_p).unsqueeze(1)
        drop |= probabilities < self._tensor(min_p).unsqueeze(1) * probabilities[:, :1]
        drop[:, 0] = False
        choice = (scaled.masked_fill_(drop, float("-inf")) + gumbel(seeds, places, ids)).argmax(dim=-1, keepdim=True)
        return ids.gather(1, choice).squeeze(1)

    def _tensor(self, array: NDArray) -> Tensor:
        return to_device(array, self.device)
