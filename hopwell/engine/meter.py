"""The live meter: one step in so many is measured op by op, and held to the device's ceilings."""

from __future__ import annotations

import time

import torch

from hopwell.engine.device import gpu_uuid
from hopwell.engine.device_recorder import DeviceRecorder
from hopwell.limits.board import read_board
from hopwell.limits.ceilings import Ceilings, host_rates
from hopwell.limits.history import History, Report, Totals
from hopwell.limits.marks import GAPS, Recorder
from hopwell.limits.meter import Pace, Rates, Reading
from hopwell.model.joined import MAX_SHARED
from hopwell.model.op_costs import OpCosts
from hopwell.model.transformer import Transformer
from hopwell.ops.linear import linear

TRIAL_ROWS = 128


class StepMeter:
    """Measures steps of one model. The runner asks before each step whether to, and has it computed by a model that
    tells `recorder` of its ops: the same ops on the same tensors, so tokens are the same."""

    def __init__(self, model: Transformer, rates: Rates, recorder: Recorder, overlapped: bool = False) -> None:
        """
        Args:
            model: whose ops are marked; of several ranks this one's share.
            overlapped: the engine's own thread works while the device does.
        """
        self.recorder, self.rates, self.overlapped = recorder, rates, overlapped
        self.history, self.pace = History(), Pace()
        self._costs = OpCosts(model)
        self._a_mark = mark_seconds(recorder)
        self._uuid = gpu_uuid(model.device) if model.device.type == "cuda" else None

    def look(self) -> None:
        """Reads the GPU's sensors, which takes milliseconds: not between steps."""
        if self._uuid is not None:
            self.history.board = read_board(self._uuid)

    def begin(self) -> bool:
        """Whether the step that begins now is measured. Call it once a step."""
        if not self.pace.due():
            return False
        self.recorder.start()
        return True

    @torch.inference_mode()
    def end(self, seconds: float) -> None:
        """Takes in what was measured.

        Args:
            seconds: of the step.
        """
        began = time.thread_time()  # its own: what else the machine does counts for nothing
        recorder, reading = self.recorder, Reading()
        for each, mark in zip(recorder.seconds(), recorder.marks, strict=True):
            reading.put(mark.layer, mark.op, each, self._costs.of(mark), self.rates)
        ops = reading.seconds
        if (rest := seconds - recorder.extra - ops) > 0:
            reading.put(None, GAPS, rest, None, self.rates)
        self.history.measure(reading)
        marking = recorder.own * self._a_mark + recorder.extra
        # what marking is thought to add may be more than the step took, which is no less than its ops
        self.pace.observe(max(seconds - marking, ops), time.thread_time() - began + marking)

    def totals(self) -> Totals:
        """Counts since the start."""
        totals = self.history.totals()
        totals.every, totals.overhead = self.pace.every, self.pace.overhead
        totals.bytes_per_s, totals.flops_per_s = self.rates.bytes_per_s, self.rates.flops_per_s
        return totals

    def report(self) -> Report:
        """What the last seconds and minutes were like."""
        report = Report(
            on=True,
            device=self.rates.device,
            bytes_per_s=self.rates.bytes_per_s,
            flops_per_s=self.rates.flops_per_s,
            layers=len(self._costs.model.layers),
            every=self.pace.every,
            overhead=self.pace.overhead,
            overlapped=self.overlapped,
        )
        return self.history.fill(report)


def recorder_for(model: Transformer) -> Recorder:
    """What hears the marks of a model, by a clock of its device."""
    if model.device.type == "cpu":
        return Recorder()
    return DeviceRecorder(model.device, model.config.n_routed_experts + MAX_SHARED)


def mark_seconds(recorder: Recorder, count: int = 1000) -> float:
    """What a mark takes of the thread's own time, of those that are set one by one."""
    recorder.start()
    recorder.mark("trial")  # the first may load what the others find loaded
    began = time.thread_time()
    for _ in range(count):
        recorder.mark("trial")
    return (time.thread_time() - began) / count


def measure_rates(model: Transformer, weights: int) -> Rates:
    """The ceilings of a model's device, in about a tenth of a second on a CPU, and one on a GPU.

    Args:
        weights: the model's bytes: of a CPU they decide which of its caches reads come from.
    """
    if model.device.type == "cuda":
        with torch.cuda.device(model.device):
            found = Ceilings.measure(gigabytes=1.0, size=4096)
        return Rates(found.device, found.read_bytes_per_s, {"": found.bf16_flops_per_s, "fp8": found.fp8_flops_per_s})
    head = model.head
    rows = torch.randn(TRIAL_ROWS, head.shape[1], dtype=model.dtype)
    return host_rates(weights, lambda: linear(rows, head), 2 * rows.numel() * head.shape[0])
