"""Joules of each step, shared among the requests it served by the bytes and FLOPs that each of them asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from hopwell.engine.batch import Batch, Ints
from hopwell.engine.device import gpu_uuid
from hopwell.engine.scheduler import Scheduler
from hopwell.limits.catalogue import recognise
from hopwell.limits.energy import Account, EnergyTotals, Joules
from hopwell.limits.marks import Lengths, Mark
from hopwell.limits.meter import Rates
from hopwell.limits.power import Counter, cpu_counter, gpu_counter
from hopwell.model.op_costs import OpCosts
from hopwell.model.transformer import MoE, Transformer

FIRST = 0.1
"""Seconds before the first sample, so that watts are known from the first step on."""
INTERVAL = 0.25
"""Seconds from one sample to the next: counters of GPUs move every 20 to 100 ms."""
ALWAYS = ("input norm", "qkv_a", "q_b", "latent", "o", "post norm")
MOST_ROWS = 8192
NO_COUNTER = "no energy counter here: GPUs have theirs through NVML, a CPU where /sys/class/powercap may be read"


class RowCosts:
    """What rows of a step cost, in seconds at the device's ceilings: bytes and FLOPs added up, since each takes energy
    whichever of them takes the time. From the ops' own `cost()`; experts as if routers spread tokens evenly."""

    def __init__(self, model: Transformer, rates: Rates) -> None:
        self._costs, self._rates = OpCosts(model), rates
        self._layers: dict[type, tuple[int, int]] = {}
        """The first layer of each kind of network, and how many there are: others of its kind cost the same."""
        for number, layer in enumerate(model.layers):
            first, count = self._layers.get(type(layer.network), (number, 0))
            self._layers[type(layer.network)] = first, count + 1
        sizes = [1 << power for power in range(MOST_ROWS.bit_length())]
        self._sizes = np.array(sizes)
        self._each = np.array([self._rows(model, rows) / rows for rows in sizes])
        """Of a row among so many, without attention."""
        near, far = (self.attention(1, length) for length in (1024, 2048))
        self._slope = (far - near) / 1024
        self._base = max(near - 1024 * self._slope, 0.0)

    def each(self, rows: int) -> float:
        """Of one of a step's rows, without attention: its part of the weights that all of them read."""
        return float(np.interp(rows, self._sizes, self._each))

    def attention(self, rows: int, length: int) -> float:
        """Of a sequence's rows, which attend to `length` tokens at most."""
        lengths = Lengths((rows,), (length,))
        kinds = self._layers.values()
        return sum(count * self._seconds(Mark(first, "attention", lengths, None, None)) for first, count in kinds)

    def decoding(self, lengths: Ints) -> NDArray[np.floating]:
        """The same of one row each, which attend to so many tokens: a line, as latents are read once."""
        return self._base + self._slope * lengths

    def _rows(self, model: Transformer, rows: int) -> float:
        """Of a step with so many, without attention."""
        lengths = Lengths((1,) * rows, (1,) * rows)
        total = sum(self._seconds(Mark(None, op, lengths, None, None)) for op in ("embedding", "final norm", "logits"))
        for first, count in self._layers.values():
            network, ops, chosen = model.layers[first].network, ("dense",), None
            if isinstance(network, MoE):
                ops, top_k = ("router", "experts", "shared"), network.router.top_k
                chosen = torch.arange(rows * top_k, device=model.device).reshape(rows, top_k) % len(network.gate)
            total += count * sum(self._seconds(Mark(first, op, lengths, None, chosen)) for op in (*ALWAYS, *ops))
        return total

    def _seconds(self, mark: Mark) -> float:
        cost = self._costs.of(mark)
        return 0.0 if cost is None else sum(self._rates.seconds(cost))


class EnergyMeter:
    """Samples a counter in a thread of its own, and shares each step's joules in the engine's."""

    def __init__(self, counter: Counter, costs: RowCosts, interval: float | None = INTERVAL) -> None:
        """
        Args:
            interval: seconds from one sample to the next; None: whoever made it calls `sample`.
        """
        self.account = Account(time.perf_counter(), counter())
        self.tenants: dict[str, Joules] = {}
        self._counter, self._costs, self._interval = counter, costs, interval
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hopwell-energy", daemon=True)
        if interval is not None:
            time.sleep(FIRST)
            self.sample()
            self._thread.start()

    def sample(self) -> None:
        """Reads the counter."""
        self.account.sample(time.perf_counter(), self._counter())

    def begin(self) -> None:
        """The device is given a step; `share` or `fail` end it, in the order of those given."""
        self.account.begin(time.perf_counter())

    def fail(self) -> None:
        """The oldest step given has failed."""
        self.account.fail(time.perf_counter())

    def close(self) -> None:
        """Ends the thread."""
        self._ended.set()
        if self._interval is not None:
            self._thread.join()

    def share(self, batch: Batch, current: NDArray[np.bool_], scheduler: Scheduler, width: int, seconds: float) -> None:
        """Shares the oldest step given, which has ended, among its requests. Call it before any of them is told so.

        Args:
            current: rows of the batch whose sequences still have their slots; others pay nothing.
            width: rows of a decoding sequence: 1, and its drafts.
        """
        joules = self.account.pay(time.perf_counter(), seconds)
        slots, decoding = batch.slots, len(batch.decode)
        rows = width * decoding + sum(len(chunk.tokens) for chunk in batch.chunks)
        weights = np.empty(len(slots))
        each = self._costs.each(rows)
        weights[:decoding] = width * (each + self._costs.decoding(scheduler.known[slots[:decoding]]))
        for place, chunk in enumerate(batch.chunks, start=decoding):
            count = len(chunk.tokens)
            weights[place] = count * each + self._costs.attention(count, chunk.start + count)
        weights[~current] = 0.0
        if not (total := weights.sum()):
            self.account.refund(joules)
            return
        for place, (slot, part) in enumerate(zip(slots.tolist(), (joules / total * weights).tolist(), strict=True)):
            if (seq := scheduler.seqs[slot]) is None or not part:
                continue
            if seq.group.joules is None:
                seq.group.joules = Joules()
            for found in (seq.group.joules, self.tenants.setdefault(seq.request.cache_salt, Joules())):
                if place < decoding:
                    found.decode += part
                else:
                    found.prompt += part

    def totals(self) -> EnergyTotals:
        """Counts since the start."""
        return EnergyTotals(self.account.idle, self.account.owed, self.tenants)

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            self.sample()


def find_counter(devices: Sequence[torch.device]) -> Counter | None:
    """The energy counter of a model's devices, one a rank, all together; None where one of them has none."""
    return gpu_counter(*map(gpu_uuid, devices)) if devices[0].type == "cuda" else cpu_counter()


def usual_rates(device: torch.device) -> Rates | None:
    """Ceilings of a GPU by the catalogue: good enough to weigh bytes against FLOPs; None if it is not known."""
    gpu = recognise(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    if gpu is None:
        return None
    return Rates(gpu.name, gpu.bandwidth, {"": gpu.bf16, "fp8": gpu.fp8 or gpu.bf16})
