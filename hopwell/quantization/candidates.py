"""Candidates of a conversion: every group of linears in each format offered, fitted to what it reads in the source.

They are made layer by layer. A finished layer leaves its matrices, what they cost, and the hidden states behind it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from hopwell.checkpoint.reader import Checkpoint
from hopwell.formats.blocks import BlockFormat, Quantized
from hopwell.formats.layouts import from_module, to_compressed_tensors
from hopwell.formats.residual import HighLow, column_count, parse_label
from hopwell.model.config import ModelConfig
from hopwell.quantization.compensate import Compensated, compensate, peak_of, rounded
from hopwell.quantization.files import write_json, write_tensors
from hopwell.quantization.hessian import PrecisionError
from hopwell.quantization.layerwise import LinearGroup, Walk
from hopwell.quantization.outliers import WithColumns, high_low
from hopwell.quantization.plan import Settings, bytes_of, linears_of
from hopwell.quantization.search import GroupRow
from hopwell.quantization.stages import stage

Progress = Callable[[int, int, str], None]
Make = Callable[[GroupRow, str], Iterator[tuple[str, Quantized | HighLow]]]
"""Makes a group's matrices in a format, each with its module."""


class Candidates:
    """Of one conversion, in the folder `work`.

    Args:
        fit: calibration tokens.
        device: where they are made.
        say: told of progress, a line at a time.
        progress: told weights done, weights in all, and the group just finished.
    """

    def __init__(
        self,
        source: Checkpoint,
        config: ModelConfig,
        settings: Settings,
        fit: Sequence[Sequence[int]],
        work: Path,
        device: torch.device,
        say: Callable[[str], None],
        progress: Progress,
    ) -> None:
        self.source, self.settings, self.work, self.say, self.progress = source, settings, work, say, progress
        self.layers = config.num_hidden_layers
        self._walk = Walk(source, config, fit, settings.keep, device)
        self._done, self._weights = 0, sum(each.weights for each in linears_of(source, config))

    @torch.inference_mode()
    def make(self) -> list[GroupRow]:
        """Every group; candidates of layers that are not finished yet are made.

        Raises:
            PrecisionError: a matrix or what it reads is not finite; the disk is full.
        """
        self._done, found, seconds = 0, list[GroupRow](), list[float]()
        for layer in range(self.layers):
            path = self.work / f"layer-{layer:03}.json"
            if not path.exists():
                started = time.perf_counter()
                groups = self._make_layer(layer, path)
                seconds.append(time.perf_counter() - started)
                left = sum(seconds) / len(seconds) * (self.layers - layer - 1)
                told = f"layer {layer + 1} of {self.layers}: {groups} groups in {seconds[-1]:.1f} s"
                self.say(f"{told}, {left:.0f} s left of this step; the choice and the files come after it")
                found += _rows(path)
            else:
                found += (rows := _rows(path))
                self._done += sum(row.weights for row in rows)
        return found

    def matrices(self, row: GroupRow, label: str) -> Iterator[tuple[str, Quantized | HighLow]]:
        """A `Make`, of formats that groups were made in."""
        from safetensors import safe_open

        with safe_open(self.work / f"layer-{row.layer:03}.safetensors", "pt") as file:
            keys = list(file.keys())
            for name in row.modules:
                prefix = f"{label}/{name}."
                tensors = {k.removeprefix(prefix): file.get_tensor(k) for k in keys if k.startswith(prefix)}
                info = self.source.tensors[name + ".weight"]
                stored = from_module(tensors, (info.shape[0], info.shape[1]))
                assert not isinstance(stored, Tensor)
                yield name, stored

    def _make_layer(self, layer: int, path: Path) -> int:
        """Writes a layer's files, `path` last of all; returns how many groups it has."""
        before, behind = (self.work / f"hidden-{index:03}.safetensors" for index in (layer, layer + 1))
        hidden = load_file(before)["hidden"].to(self._walk.device) if layer else self._walk.embed()
        tensors: dict[str, Tensor] = {}
        rows: list[dict[str, Any]] = []
        for group in self._walk.layer(layer, hidden):
            row, of_group = self._fitted(layer, group)
            tensors |= of_group
            rows.append(asdict(row))
            self._done += row.weights
            self.progress(self._done, self._weights, group.name)
        write_tensors(path.with_suffix(".safetensors"), tensors)
        if layer + 1 < self.layers:
            write_tensors(behind, {"hidden": hidden.cpu()})
        write_json(path, rows)
        before.unlink(missing_ok=True)
        return len(rows)

    def _fitted(self, layer: int, group: LinearGroup) -> tuple[GroupRow, dict[str, Tensor]]:
        """A group in every format offered: what each costs, and its tensors."""
        for name, w in zip(group.names, group.matrices, strict=True):  # its codes and its scales may each be finite
            if not w.isfinite().all():
                raise PrecisionError(f"{name}: the weights, codes times scales, hold infinity; fetch the model again")
        weights = sum(w.numel() for w in group.matrices)
        row = GroupRow(
            group.name, group.names, layer, group.part, group.tokens, weights, bytes_of(self.source, group.names),
            group.input_peak, {},
        )  # fmt: skip
        tensors: dict[str, Tensor] = {}
        plain: dict[BlockFormat, list[Compensated]] = {}  # residual columns begin with what is fitted without them
        for label in () if group.part in self.settings.keep else self.settings.candidates:
            fmt, percent = parse_label(label)
            if any(fmt.bits == 4 and w.shape[1] % fmt.columns for w in group.matrices):
                continue
            done = plain[fmt] = plain.get(fmt) or _compensated(group, fmt, self.settings.compensate)
            found = self._with_columns(group, fmt, percent, done) if percent else done
            tensors |= _packed(label, group.names, found)
            row.formats[label] = {
                "bytes": sum(r.quantized.nbytes for r in found),
                "before": [r.before for r in found],
                "after": [r.after for r in found],
                "rungs": [r.rung for r in found],
            }
        return row, tensors

    def _with_columns(
        self, group: LinearGroup, fmt: BlockFormat, percent: float, start: Sequence[Compensated]
    ) -> list[WithColumns]:
        return [
            high_low(w, group.inputs, base, column_count(fmt, w.shape, percent), self.settings.compensate)
            for w, base in zip(group.matrices, start, strict=True)
        ]


def _rows(path: Path) -> list[GroupRow]:
    """What a finished layer's file tells of its groups."""
    return [GroupRow(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def _compensated(group: LinearGroup, fmt: BlockFormat, fit: bool) -> list[Compensated]:
    """A group's matrices in a format, under one tensor scale; `fit` False rounds plainly."""
    if fit:
        peak = peak_of(group.matrices)
        done = [compensate(w, group.inputs, fmt, peak=peak) for w in group.matrices]
        if len({float(r.quantized.tensor_scale) for r in done}) == 1:
            return done  # else one kept plain rounding: then all must
    plain = zip(rounded(group.matrices, fmt), group.matrices, strict=True)
    return [Compensated.plain(q, w, group.inputs) for q, w in plain]


def _packed(label: str, names: Sequence[str], found: Sequence[Compensated | WithColumns]) -> dict[str, Tensor]:
    """The tensors of matrices in a format, in main memory, by the names that they have in a layer's file."""
    tensors: dict[str, Tensor] = {}
    for name, result in zip(names, found, strict=True):
        with stage("pack"):
            packed = to_compressed_tensors(result.quantized)
            # copies: with residual columns a matrix may keep the very scales of the one without
            tensors |= {f"{label}/{name}.{suffix}": t.to("cpu", copy=True) for suffix, t in packed.items()}
    return tensors
