"""What formats cost in KL: each group of linears alone, all of a choice together, and plain rounding beside it.

The source and its replacements are models in main memory, in float32; a source too large for that has no KL, and the
output error of its linears is the measure.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.reader import Checkpoint
from hopwell.formats.blocks import Quantized
from hopwell.formats.residual import parse_label
from hopwell.model.config import ModelConfig
from hopwell.model.loading import Loader, load_transformer
from hopwell.model.transformer import Transformer
from hopwell.quantization.candidates import Candidates, Make
from hopwell.quantization.compensate import rounded
from hopwell.quantization.divergence import Divergence, Sensitivity, Yardstick
from hopwell.quantization.files import Overlay, write_json
from hopwell.quantization.hessian import PrecisionError
from hopwell.quantization.plan import Goal
from hopwell.quantization.search import SOURCE, GroupRow, spread, without_columns

RESIDENT_BYTES = 8 << 30
"""Checkpoints up to this size are loaded whole."""
KL_TOKENS = 2048
"""Of the text on which groups are tried alone."""


@dataclass(frozen=True)
class Losses:
    """Of one conversion's candidates."""

    source: Checkpoint
    config: ModelConfig
    candidates: Candidates
    judge: Sequence[Sequence[int]]
    """Tokens that no candidate was fitted to."""
    say: Callable[[str], None]
    """Told of progress, a line at a time."""

    @property
    def measured(self) -> bool:
        """Whether the source fits in memory."""
        return self.source.total_bytes <= RESIDENT_BYTES

    def check(self, goal: Goal) -> None:
        """
        Raises:
            PrecisionError: the goal is a KL, which is not measured.
        """
        if goal.kl is not None and not self.measured:
            size = f"{self.source.total_bytes / 1e9:.0f} GB"
            raise PrecisionError(
                f"a KL budget needs the model in memory, and {size} are too much; give --bytes or --fit"
            )

    def fill(self, rows: Sequence[GroupRow]) -> None:
        """Sets each group's KL, measured with that group alone replaced; a measured layer leaves a file."""
        sensitivity = None
        for layer in range(self.config.num_hidden_layers):
            members = [row for row in rows if row.layer == layer]
            path = self.candidates.work / f"kl-{layer:03}.json"
            if not path.exists():
                if sensitivity is None:
                    sensitivity = Sensitivity(self._yardstick.reference, *self._telling(rows))
                started = time.perf_counter()
                values = {r.name: {f: self._alone(sensitivity, r, f) for f in without_columns(r)} for r in members}
                write_json(path, values)
                self.say(f"layer {layer + 1}: KL of {len(members)} groups in {time.perf_counter() - started:.1f} s")
            values = json.loads(path.read_text(encoding="utf-8"))
            for row in members:
                spread(row, values[row.name])

    def together(self, rows: Sequence[GroupRow], labels: Mapping[str, str]) -> Divergence | None:
        """With all of `labels` at once; None where KL is not measured."""
        if not self.measured:
            return None
        self.say(f"KL of the whole, {len(labels)} groups replaced, on {sum(map(len, self.judge))} tokens")
        return self._yardstick.measure(self.model(labels, rows))

    def plainly_rounded(self, rows: Sequence[GroupRow], labels: Mapping[str, str]) -> float:
        """Mean KL of the same formats without compensation, in nats a token."""
        self.say("KL of the same formats, plainly rounded")
        return self._yardstick.measure(self.model(labels, rows, self._rounded)).mean

    def model(self, labels: Mapping[str, str], rows: Sequence[GroupRow] = (), make: Make | None = None) -> Transformer:
        """The model in float32, as the files would load under `labels`; with matrices as `make` has them, if given."""
        matrices: dict[str, Callable[[], Tensor]] = {}
        for row in rows:
            if labels[row.name] != SOURCE:
                made = (make or self.candidates.matrices)(row, labels[row.name])
                matrices |= {name: q.dequantize for name, q in made}
        return load_transformer(Overlay(self.source, matrices), "cpu", torch.float32)

    @cached_property
    def _yardstick(self) -> Yardstick:
        return Yardstick(self.model({}), self.judge)

    def _telling(self, rows: Sequence[GroupRow]) -> tuple[list[Sequence[int]], list[float]]:
        """Text on which the model diverges with everything in one format, whichever is offered."""
        everywhere = [
            {r.name: label if label in r.formats else SOURCE for r in rows}
            for label in sorted({label for r in rows for label in without_columns(r)})
        ]
        return self._yardstick.telling((self.model(labels, rows) for labels in everywhere), KL_TOKENS)

    def _alone(self, sensitivity: Sensitivity, row: GroupRow, label: str) -> float:
        overlay = Overlay(self.source, {name: q.dequantize for name, q in self.candidates.matrices(row, label)})
        loader = Loader(WeightSource(overlay), self.config, torch.device("cpu"), torch.float32)
        return sensitivity.with_layer(row.layer, loader.layer(row.layer))

    def _rounded(self, row: GroupRow, label: str) -> Iterator[tuple[str, Quantized]]:
        """A group's matrices in a format, without compensation."""
        source, matrices = WeightSource(self.source), list[Tensor]()
        for name in row.modules:
            out, width = self.source.tensors[name + ".weight"].shape
            matrices.append(source.take_linear(name, (out, width)).dequantize(torch.float32))
        yield from zip(row.modules, rounded(matrices, parse_label(label)[0]), strict=True)
