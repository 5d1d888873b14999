"""Converting a checkpoint: candidates for every linear, layer by layer; a choice among them; files.

Every finished step leaves a file, written whole or not at all, and a run that was killed goes on from the last of
them to the same bytes. Candidates are fitted to the source's own activations, so none depends on what is chosen later.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.files import check_room
from hopwell.checkpoint.fingerprint import REPORT
from hopwell.formats.blocks import BlockFormat, Quantized, quantize, tensor_scale_for
from hopwell.formats.fp8 import SCALES
from hopwell.formats.layouts import from_module, to_compressed_tensors
from hopwell.formats.residual import HighLow, column_count, parse_label
from hopwell.model.inventory import inventory
from hopwell.model.loading import Loader, load_transformer
from hopwell.model.transformer import Transformer
from hopwell.quantization.compensate import Compensated, compensate
from hopwell.quantization.divergence import Divergence, Sensitivity, Yardstick
from hopwell.quantization.files import Overlay, read_tensors, told, write_json, write_tensors
from hopwell.quantization.hessian import PrecisionError
from hopwell.quantization.layerwise import LinearGroup, Walk
from hopwell.quantization.outliers import high_low
from hopwell.quantization.plan import (
    JUDGED_SHARE,
    PARTS,
    Linear,
    Settings,
    as_plain,
    bytes_below,
    check_tokens,
    identity,
    open_source,
    room,
)
from hopwell.quantization.search import SOURCE, Chooser, GroupRow, spread, without_columns
from hopwell.quantization.stages import stage
from hopwell.quantization.write import write_checkpoint
from hopwell.system import peak_memory_bytes

Progress = Callable[[int, int, str], None]
RESIDENT_BYTES = 8 << 30
"""Checkpoints up to this size are loaded whole to measure KL; of larger ones the output error is the measure."""
KL_TOKENS = 2048


class Conversion:
    """One conversion of `source` into the folder `out`.

    Args:
        sequences: calibration tokens.
        judge: tokens that fit nothing, to measure KL on; default: every fourth sequence of the calibration.
        say: told of progress, a line at a time.
        share: overrides how much of an expert's Hessian is the layer's.
        progress: told weights done, weights in all, and the group just finished.
        device: where candidates are made. What KL is measured on stays in main memory.

    Raises:
        PrecisionError: source, settings, calibration or disk do not allow it.
    """

    def __init__(
        self,
        source: Path,
        out: Path,
        settings: Settings,
        sequences: Sequence[Sequence[int]],
        say: Callable[[str], None] = print,
        share: float | None = None,
        progress: Progress = lambda done, total, name: None,
        device: torch.device | str = "cpu",
        judge: Sequence[Sequence[int]] | None = None,
    ) -> None:
        settings.check()
        self.settings, self.out, self.say, self.share, self.device = settings, out, say, share, torch.device(device)
        self.source, self.config = open_source(source)
        check_tokens(sum(map(len, sequences)))
        self.fit = [s for i, s in enumerate(sequences) if judge is not None or i % JUDGED_SHARE]
        self.judge = sequences[::JUDGED_SHARE] if judge is None else judge
        linears = self._linears()
        hidden = 4 * self.config.hidden_size * sum(map(len, self.fit))
        need = room(self.source.total_bytes, linears, settings, hidden)
        check_room(out, need - bytes_below(out))  # what a former run has written is not written again
        self.progress, self._weights_done = progress, 0
        self._weights = sum(math.prod(each.shape) for each in linears)
        self._yardstick: Yardstick | None = None
        self.work = out / ".work"
        self._claim(identity(self.source, settings, self.fit, self.judge, self.device.type))

    def _claim(self, mine: dict[str, Any]) -> None:
        """Makes sure that `out` is empty or holds the beginnings of this very conversion."""
        path = self.work / "identity.json"
        if path.exists():
            if json.loads(path.read_text(encoding="utf-8")) != mine:
                raise PrecisionError(
                    f"{self.out}: holds the beginnings of a conversion of another source, calibration or choice of "
                    "formats; remove it, or give another folder"
                )
        elif self.out.exists() and any(self.out.iterdir()) and not self._fresh():
            raise PrecisionError(f"{self.out}: is not empty; give a new folder")
        with told(self.work):
            self.work.mkdir(parents=True, exist_ok=True)
        write_json(path, mine)

    def _linears(self) -> list[Linear]:
        """Of the decoder layers."""
        return [
            Linear(spec.module, (spec.shape[0], spec.shape[1]), self._source_bytes([spec.module]), spec.part)
            for spec in inventory(self.config)
            if spec.part in PARTS and not spec.is_scale
        ]

    def _fresh(self) -> bool:
        return [p.name for p in self.out.iterdir()] == [".work"]

    @torch.inference_mode()
    def run(self) -> dict[str, Any]:
        """Converts; returns the report that is also written.

        Raises:
            PrecisionError: the goal cannot be reached; the message says what can.
        """
        started = time.perf_counter()
        if (self.out / REPORT).exists() and self._report()["settings"] == as_plain(self.settings):
            return self._finish()  # only the clearing up was left
        rows = self.prepare()
        chooser = self._chooser(rows)
        chosen = chooser.choose(self.settings.goal, self.source.total_bytes)
        report = {
            "settings": as_plain(self.settings),
            "calibration_tokens": sum(map(len, self.fit)),
            "predicted_loss": chosen.allocation.loss,
            "bound": chosen.allocation.bound,
            "kl_on_calibration": chosen.kl,
            "kl_of_plain_rounding": None if chosen.kl is None else self._plain_kl(rows, chosen.labels),
            "bits_per_weight": 8 * chosen.allocation.nbytes / sum(row.weights for row in rows),
            "linear_bytes": chosen.allocation.nbytes,
            "groups": [row.as_dict() | {"chosen": chosen.labels[row.name]} for row in rows],
        }
        labels = chosen.labels
        write_checkpoint(self.source, self.out, self.settings.writer, labels, rows, self.quantized, report, self.say)
        peak = peak_memory_bytes()
        memory = "" if peak is None else f", at most {peak / 1e9:.1f} GB of memory"
        self.say(f"done in {time.perf_counter() - started:.0f} s{memory}: {self.out}")
        return self._finish()

    def _finish(self) -> dict[str, Any]:
        """Removes what only a further run would need; last of all, what says whose it is."""
        for path in self.work.iterdir():
            if path.name != "identity.json":
                path.unlink()
        shutil.rmtree(self.work)
        return self._report()

    def _report(self) -> dict[str, Any]:
        return json.loads((self.out / REPORT).read_text(encoding="utf-8"))

    @torch.inference_mode()
    def prepare(self) -> list[GroupRow]:
        """Makes what is not made yet: every group's candidates, and their KL where it is measured."""
        rows = self.candidate_rows()
        self._chooser(rows).check(self.settings.goal, self.source.total_bytes)
        if self._measures_kl() and self.settings.goal.format is None:
            self._measure(rows)
        return rows

    def _chooser(self, rows: Sequence[GroupRow]) -> Chooser:
        return Chooser(rows, self.settings.uniform_experts, lambda labels: self._joint_kl(rows, labels), self.say)

    # Candidates

    @torch.inference_mode()
    def candidate_rows(self) -> list[GroupRow]:
        """Every group with its candidates, which are made if they are not yet."""
        self._make_candidates()
        return self._rows()

    def _make_candidates(self) -> None:
        walk = Walk(self.source, self.config, self.fit, self.share, self.settings.keep, self.device)
        layers = self.config.num_hidden_layers
        seconds: list[float] = []
        for index in range(layers):
            if (done := self.work / f"layer-{index:03}.json").exists():
                self._weights_done += sum(row["weights"] for row in json.loads(done.read_text(encoding="utf-8")))
                continue
            started = time.perf_counter()
            before = self.work / f"hidden-{index:03}.safetensors"
            hidden = read_tensors(before)["hidden"].to(self.device) if index else walk.embed()
            tensors: dict[str, Tensor] = {}
            rows = []
            for group in walk.layer(index, hidden):
                rows.append(self._candidates(index, group, tensors).as_dict())
                self._weights_done += rows[-1]["weights"]
                self.progress(self._weights_done, self._weights, group.name)
            write_tensors(self.work / f"layer-{index:03}.safetensors", tensors)
            if index + 1 < layers:
                write_tensors(self.work / f"hidden-{index + 1:03}.safetensors", {"hidden": hidden.cpu()})
            write_json(self.work / f"layer-{index:03}.json", rows)
            before.unlink(missing_ok=True)
            seconds.append(time.perf_counter() - started)
            left = sum(seconds) / len(seconds) * (layers - index - 1)
            told = f"layer {index + 1} of {layers}: {len(rows)} groups in {seconds[-1]:.1f} s"
            self.say(f"{told}, {left:.0f} s left of this step; the choice and the files come after it")

    def _candidates(self, layer: int, group: LinearGroup, tensors: dict[str, Tensor]) -> GroupRow:
        weights = sum(w.numel() for w in group.matrices)
        row = GroupRow(
            group.name, group.names, layer, group.part, group.tokens, weights, self._source_bytes(group.names),
            group.input_peak, {},
        )  # fmt: skip
        for name, w in zip(group.names, group.matrices, strict=True):
            if not w.isfinite().all():  # codes and scales may each be finite
                raise PrecisionError(f"{name}: the weights, codes times scales, hold infinity; fetch the model again")
        without: dict[BlockFormat, list[Compensated]] = {}
        for label in () if group.part in self.settings.keep else self.settings.candidates:
            fmt, percent = parse_label(label)
            if any(fmt.bits == 4 and w.shape[1] % fmt.columns for w in group.matrices):
                continue
            done = without[fmt] = without.get(fmt) or self._without_columns(group, fmt)
            if percent:
                done = [
                    high_low(w, group.inputs, base, column_count(fmt, w.shape, percent), self.settings.compensate)
                    for w, base in zip(group.matrices, done, strict=True)
                ]
            for name, result in zip(group.names, done, strict=True):
                with stage("pack"):
                    packed = to_compressed_tensors(result.quantized)
                    tensors |= {f"{label}/{name}.{suffix}": t.cpu() for suffix, t in packed.items()}
            row.formats[label] = {
                "bytes": sum(r.quantized.nbytes for r in done),
                "before": [r.before for r in done],
                "after": [r.after for r in done],
                "rungs": [r.rung for r in done],
            }
        return row

    def _without_columns(self, group: LinearGroup, fmt: BlockFormat) -> list[Compensated]:
        done = [self._compensate(w, group, fmt, self.settings.compensate) for w in group.matrices]
        if len({float(r.quantized.tensor_scale) for r in done}) > 1:  # one kept plain rounding: then all must
            done = [self._compensate(w, group, fmt, False) for w in group.matrices]
        return done

    def _compensate(self, w: Tensor, group: LinearGroup, fmt: BlockFormat, compensated: bool) -> Compensated:
        peak = torch.stack([m.abs().amax() for m in group.matrices]).amax()
        if compensated:
            return compensate(w, group.inputs, fmt, peak=peak)
        q = quantize(w, fmt, tensor_scale=tensor_scale_for(fmt, peak))
        return Compensated.plain(q, w, group.inputs)

    def _source_bytes(self, names: Sequence[str]) -> int:
        infos = self.source.tensors
        return sum(infos[full].nbytes for n in names for s in ("weight", SCALES) if (full := f"{n}.{s}") in infos)

    def _rows(self) -> list[GroupRow]:
        found = []
        for index in range(self.config.num_hidden_layers):
            path = self.work / f"layer-{index:03}.json"
            found += [GroupRow(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
        return found

    def quantized(self, row: GroupRow, label: str) -> Iterator[tuple[str, Quantized | HighLow]]:
        """A group's candidate matrices."""
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

    # Sensitivity

    def _measures_kl(self) -> bool:
        if self.source.total_bytes <= RESIDENT_BYTES:
            return True
        if self.settings.goal.kl is not None:
            size = f"{self.source.total_bytes / 1e9:.0f} GB"
            raise PrecisionError(
                f"a KL budget needs the model in memory, and {size} are too much; give --bytes or --fit"
            )
        return False

    def _measure(self, rows: list[GroupRow]) -> None:
        """Fills in each group's KL, measured with that group alone replaced."""
        layers: list[list[GroupRow]] = [[r for r in rows if r.layer == i] for i in range(self.config.num_hidden_layers)]
        sensitivity = None
        for index, members in enumerate(layers):
            path = self.work / f"kl-{index:03}.json"
            if not path.exists():
                if sensitivity is None:
                    sensitivity = Sensitivity(self._reference().reference, *self._telling(rows))
                started = time.perf_counter()
                values = {r.name: {f: self._kl(sensitivity, r, f) for f in without_columns(r)} for r in members}
                write_json(path, values)
                self.say(f"layer {index + 1}: KL of {len(members)} groups in {time.perf_counter() - started:.1f} s")
            values = json.loads(path.read_text(encoding="utf-8"))
            for row in members:
                spread(row, values[row.name])

    def _telling(self, rows: Sequence[GroupRow]) -> tuple[list[Sequence[int]], list[float]]:
        """Text on which the model diverges with everything in one format, whichever is offered."""
        everywhere = [
            {r.name: label if label in r.formats else SOURCE for r in rows}
            for label in sorted({label for r in rows for label in without_columns(r)})
        ]
        return self._reference().telling((self.load(labels, rows) for labels in everywhere), KL_TOKENS)

    def _kl(self, sensitivity: Sensitivity, row: GroupRow, label: str) -> float:
        overlay = Overlay(self.source, {n: q.dequantize for n, q in self.quantized(row, label)})
        loader = Loader(WeightSource(overlay), self.config, torch.device("cpu"), torch.float32)
        return sensitivity.with_layer(row.layer, loader.layer(row.layer))

    def load(self, chosen: Mapping[str, str], rows: Sequence[GroupRow] = (), plain: bool = False) -> Transformer:
        """The model in float32, as the files would load under `chosen`; `plain` rounds plainly instead."""
        matrices: dict[str, Callable[[], Tensor]] = {}
        make = self._plain if plain else self.quantized
        for row in rows:
            if chosen[row.name] != SOURCE:
                matrices |= {n: q.dequantize for n, q in make(row, chosen[row.name])}
        return load_transformer(Overlay(self.source, matrices), "cpu", torch.float32)

    def _plain(self, row: GroupRow, label: str) -> Iterator[tuple[str, Quantized]]:
        source, (fmt, _) = WeightSource(self.source), parse_label(label)
        shapes = [self.source.tensors[name + ".weight"].shape for name in row.modules]
        matrices = [
            source.take_linear(name, (shape[0], shape[1])).dequantize(torch.float32)
            for name, shape in zip(row.modules, shapes, strict=True)
        ]
        peak = torch.stack([m.abs().amax() for m in matrices]).amax()
        for name, matrix in zip(row.modules, matrices, strict=True):
            yield name, quantize(matrix, fmt, tensor_scale=tensor_scale_for(fmt, peak))

    def _plain_kl(self, rows: Sequence[GroupRow], labels: Mapping[str, str]) -> float:
        return self._reference().measure(self.load(labels, rows, plain=True)).mean

    def _joint_kl(self, rows: Sequence[GroupRow], labels: Mapping[str, str]) -> Divergence | None:
        """With all of `labels` at once, on the sequences kept apart; None for models that do not fit in memory."""
        if self.source.total_bytes > RESIDENT_BYTES:
            return None
        return self._reference().measure(self.load(labels, rows))

    def _reference(self) -> Yardstick:
        if self._yardstick is None:
            self._yardstick = Yardstick(self.load({}), self.judge)
        return self._yardstick
