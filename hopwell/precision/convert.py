"""Converting a checkpoint: candidates for every linear, layer by layer; a choice among them; files.

Every finished step leaves a file, written whole or not at all, and a run that was killed goes on from the last of
them to the same bytes. Candidates are fitted to the source's own activations, so none depends on what is chosen later.
"""

from __future__ import annotations

import json
import math
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.fingerprint import REPORT
from hopwell.checkpoint.reader import Checkpoint
from hopwell.formats.blocks import FORMATS, BlockFormat, Quantized, quantize, tensor_scale_for
from hopwell.formats.layouts import from_module, to_compressed_tensors
from hopwell.model.config import ModelConfig
from hopwell.model.loading import Loader
from hopwell.model.transformer import Transformer
from hopwell.precision.allocate import Allocation, Choice, allocate_bytes, allocate_loss
from hopwell.precision.compensate import Compensated, compensate
from hopwell.precision.divergence import Sensitivity, compare
from hopwell.precision.files import Overlay, read_tensors, write_json, write_tensors
from hopwell.precision.hessian import PrecisionError
from hopwell.precision.plan import JUDGED_SHARE, Settings, check_room, check_source, check_tokens, identity
from hopwell.precision.walk import Group, Walk
from hopwell.precision.write import SOURCE, write_checkpoint

RESIDENT_BYTES = 8 << 30
"""Checkpoints up to this size are loaded whole to measure KL; of larger ones the output error is the measure."""
MARGIN = 0.8
"""Of a KL budget that calibration may use up: fresh text differs."""
KL_TOKENS = 2048


@dataclass(slots=True)
class GroupRow:
    """One group of linears: what was tried, what it cost."""

    name: str
    modules: list[str]
    layer: int
    part: str
    tokens: int
    weights: int
    source_bytes: int
    input_peak: float
    formats: dict[str, dict[str, Any]]
    """By format: bytes, relative squared output error before and after, kept rungs, KL."""


class Conversion:
    """One conversion of `source` into the folder `out`.

    Args:
        sequences: calibration tokens; every fourth sequence is kept apart to measure KL on.
        say: told of progress, a line at a time.
        share: overrides how much of an expert's Hessian is the layer's.

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
    ) -> None:
        settings.check()
        self.source, self.settings, self.out, self.say, self.share = Checkpoint.open(source), settings, out, say, share
        self.config = ModelConfig.from_dict(self.source.config)
        check_source(self.source, self.config)
        check_tokens(sum(map(len, sequences)))
        self.fit = [s for i, s in enumerate(sequences) if i % JUDGED_SHARE]
        self.judge = [s for i, s in enumerate(sequences) if not i % JUDGED_SHARE]
        check_room(self.source, out)
        self.work = out / ".work"
        self._claim(identity(self.source, settings, sequences))

    def _claim(self, mine: dict[str, Any]) -> None:
        """Makes sure that `out` is empty or holds the beginnings of this very conversion."""
        path = self.work / "identity.json"
        if path.exists():
            if json.loads(path.read_text(encoding="utf-8")) != mine:
                raise PrecisionError(f"{self.out}: holds the beginnings of another conversion; remove it")
        elif self.out.exists() and any(self.out.iterdir()) and not self._fresh():
            raise PrecisionError(f"{self.out}: is not empty; give a new folder")
        self.work.mkdir(parents=True, exist_ok=True)
        write_json(path, mine)

    def _fresh(self) -> bool:
        return [p.name for p in self.out.iterdir()] == [".work"]

    @torch.inference_mode()
    def run(self) -> dict[str, Any]:
        """Converts; returns the report that is also written.

        Raises:
            PrecisionError: the goal cannot be reached; the message says what can.
        """
        started = time.perf_counter()
        self._make_candidates()
        rows = self._rows()
        if self._measures_kl() and self.settings.goal.format is None:
            self._measure(rows)
        allocation, predicted, measured = self._allocate(rows)
        chosen = {name: choice.label for name, choice in allocation.items()}
        report = {
            "settings": json.loads((self.work / "identity.json").read_text(encoding="utf-8"))["settings"],
            "calibration_tokens": sum(map(len, self.fit)),
            "predicted_loss": predicted.loss,
            "bound": predicted.bound,
            "kl_on_calibration": measured,
            "bits_per_weight": 8 * predicted.nbytes / sum(row.weights for row in rows),
            "linear_bytes": predicted.nbytes,
            "groups": [asdict(row) | {"chosen": chosen[row.name]} for row in rows],
        }
        write_checkpoint(self.source, self.out, self.settings.writer, chosen, rows, self._quantized, report, self.say)
        shutil.rmtree(self.work)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.say(f"done in {time.perf_counter() - started:.0f} s, at most {peak / 1e9:.1f} GB of memory: {self.out}")
        return json.loads((self.out / REPORT).read_text(encoding="utf-8"))

    # Candidates

    def _make_candidates(self) -> None:
        walk = Walk(self.source, self.config, self.fit, self.share)
        layers = self.config.num_hidden_layers
        seconds: list[float] = []
        for index in range(layers):
            if (self.work / f"layer-{index:03}.json").exists():
                continue
            started = time.perf_counter()
            before = self.work / f"hidden-{index:03}.safetensors"
            hidden = read_tensors(before)["hidden"] if index else walk.embed()
            tensors: dict[str, Tensor] = {}
            rows = [asdict(self._candidates(index, group, tensors)) for group in walk.layer(index, hidden)]
            write_tensors(self.work / f"layer-{index:03}.safetensors", tensors)
            if index + 1 < layers:
                write_tensors(self.work / f"hidden-{index + 1:03}.safetensors", {"hidden": hidden})
            write_json(self.work / f"layer-{index:03}.json", rows)
            before.unlink(missing_ok=True)
            seconds.append(time.perf_counter() - started)
            left = sum(seconds) / len(seconds) * (layers - index - 1)
            self.say(f"layer {index + 1} of {layers}: {len(rows)} groups in {seconds[-1]:.1f} s, {left:.0f} s left")

    def _candidates(self, layer: int, group: Group, tensors: dict[str, Tensor]) -> GroupRow:
        weights = sum(w.numel() for w in group.matrices)
        row = GroupRow(
            group.name, group.names, layer, group.part, group.tokens, weights, self._source_bytes(group.names),
            group.input_peak, {},
        )  # fmt: skip
        compensated = self.settings.compensate
        for label in self._formats():
            fmt = FORMATS[label]
            if any(fmt.bits == 4 and w.shape[1] % fmt.columns for w in group.matrices):
                continue
            done = [self._compensate(w, group, fmt, compensated) for w in group.matrices]
            if len({float(r.quantized.tensor_scale) for r in done}) > 1:  # one kept plain rounding: then all must
                done = [self._compensate(w, group, fmt, False) for w in group.matrices]
            for name, result in zip(group.names, done, strict=True):
                packed = to_compressed_tensors(result.quantized)
                tensors |= {f"{label}/{name}.{suffix}": t for suffix, t in packed.items()}
            row.formats[label] = {
                "bytes": sum(fmt.nbytes(w.shape) for w in group.matrices),
                "before": [r.before for r in done],
                "after": [r.after for r in done],
                "rungs": [r.rung for r in done],
            }
        return row

    def _formats(self) -> tuple[str, ...]:
        return (self.settings.goal.format,) if self.settings.goal.format else self.settings.formats

    def _compensate(self, w: Tensor, group: Group, fmt: BlockFormat, compensated: bool) -> Compensated:
        peak = torch.stack([m.abs().amax() for m in group.matrices]).amax()
        if compensated:
            return compensate(w, group.inputs, fmt, peak=peak)
        q = quantize(w, fmt, tensor_scale=tensor_scale_for(fmt, peak))
        return Compensated.plain(q, w, group.inputs)

    def _source_bytes(self, names: Sequence[str]) -> int:
        infos = self.source.tensors
        return sum(
            infos[full].nbytes for n in names for s in (".weight", ".weight_scale_inv") if (full := n + s) in infos
        )

    def _rows(self) -> list[GroupRow]:
        found = []
        for index in range(self.config.num_hidden_layers):
            path = self.work / f"layer-{index:03}.json"
            found += [GroupRow(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
        return found

    def _quantized(self, row: GroupRow, label: str) -> Iterator[tuple[str, Quantized]]:
        """A group's candidate matrices."""
        from safetensors import safe_open

        with safe_open(self.work / f"layer-{row.layer:03}.safetensors", "pt") as file:
            keys = list(file.keys())
            for name in row.modules:
                prefix = f"{label}/{name}."
                tensors = {k.removeprefix(prefix): file.get_tensor(k) for k in keys if k.startswith(prefix)}
                info = self.source.tensors[name + ".weight"]
                stored = from_module(tensors, (info.shape[0], info.shape[1]))
                assert isinstance(stored, Quantized)
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
                    sequences, size = [], 0
                    for sequence in self.judge:
                        if size < KL_TOKENS:
                            sequences.append(sequence)
                            size += len(sequence)
                    sensitivity = Sensitivity(self._load({}), sequences)
                started = time.perf_counter()
                values = {r.name: {f: self._kl(sensitivity, r, f) for f in r.formats} for r in members}
                write_json(path, values)
                self.say(f"layer {index + 1}: KL of {len(members)} groups in {time.perf_counter() - started:.1f} s")
            values = json.loads(path.read_text(encoding="utf-8"))
            for row in members:
                for label, detail in row.formats.items():
                    detail["kl"] = values[row.name][label]

    def _kl(self, sensitivity: Sensitivity, row: GroupRow, label: str) -> float:
        overlay = Overlay(self.source, {n: q.dequantize for n, q in self._quantized(row, label)})
        loader = Loader(WeightSource(overlay), self.config, torch.device("cpu"), torch.float32)
        return sensitivity.with_layer(row.layer, loader.layer(row.layer))

    def _load(self, chosen: dict[str, str], rows: Sequence[GroupRow] = ()) -> Transformer:
        """The model in float32, as the files would load under `chosen`."""
        matrices: dict[str, Callable[[], Tensor]] = {}
        for row in rows:
            if chosen[row.name] != SOURCE:
                matrices |= {n: q.dequantize for n, q in self._quantized(row, chosen[row.name])}
        return Transformer.load(Overlay(self.source, matrices), "cpu", torch.float32)

    # Choice

    def _items(self, rows: Sequence[GroupRow]) -> dict[str, list[Choice]]:
        items: dict[str, list[Choice]] = {}
        for row in rows:
            key = f"layer {row.layer} experts" if self._joined(row) else row.name
            options = {SOURCE: (row.source_bytes, 0.0)}
            for label, detail in row.formats.items():
                loss = detail.get("kl", sum(detail["after"]) * math.sqrt(row.tokens + 1))
                options[label] = (detail["bytes"], loss)
            present = {c.label: c for c in items.get(key, [])}
            items[key] = [
                Choice(label, size + (present[label].nbytes if label in present else 0),
                       loss + (present[label].loss if label in present else 0.0))
                for label, (size, loss) in options.items()
            ]  # fmt: skip
        return items

    def _joined(self, row: GroupRow) -> bool:
        return self.settings.uniform_experts and row.part == "routed_experts"

    def _allocate(self, rows: Sequence[GroupRow]) -> tuple[dict[str, Choice], Allocation, float | None]:
        """A choice for every group, the allocation behind it, and the KL measured with it on calibration text."""
        goal, items = self.settings.goal, self._items(rows)
        if goal.format is not None:
            fixed = {k: next((c for c in v if c.label == goal.format), v[0]) for k, v in items.items()}
            total = sum(c.nbytes for c in fixed.values())
            allocation = Allocation(fixed, total, sum(c.loss for c in fixed.values()), float(total))
            return self._spread(rows, allocation), allocation, self._joint_kl(rows, allocation)
        if goal.kl is None:
            weights = sum(row.weights for row in rows)
            rest = self.source.total_bytes - sum(row.source_bytes for row in rows)
            budget = int(goal.bits * weights / 8) if goal.bits is not None else (goal.nbytes or 0) - rest
            try:
                allocation = allocate_bytes(items, budget)
            except PrecisionError as error:
                if goal.bits is not None:
                    least = 8 * sum(min(c.nbytes for c in v) for v in items.values()) / weights
                    raise PrecisionError(f"{goal.bits:g}bpw cannot be reached; the best is {least:.4f}bpw") from error
                raise PrecisionError(f"{error}; {rest:,} bytes are other tensors") from error
            return self._spread(rows, allocation), allocation, self._joint_kl(rows, allocation)
        return self._within(rows, items, goal.kl * MARGIN)

    def _within(
        self, rows: Sequence[GroupRow], items: dict[str, list[Choice]], limit: float
    ) -> tuple[dict[str, Choice], Allocation, float | None]:
        """Fewest bytes whose *measured* KL is within `limit`.

        Single KLs add up only roughly, so the budget of the sum is adjusted until the whole is just within.
        """
        low, high, budget = 0.0, math.inf, limit
        best: tuple[dict[str, Choice], Allocation, float | None] | None = None
        for _ in range(7):
            allocation = allocate_loss(items, budget)
            kl = self._joint_kl(rows, allocation)
            assert kl is not None
            self.say(f"sum of losses {allocation.loss:.3g}: {allocation.nbytes:,} bytes, KL {kl:.3g} of {limit:.3g}")
            if kl <= limit:
                low = budget
                if best is None or allocation.nbytes < best[1].nbytes:
                    best = (self._spread(rows, allocation), allocation, kl)
                if allocation.nbytes == sum(min(c.nbytes for c in v) for v in items.values()):
                    break
            else:
                high = budget
            budget = (low + high) / 2 if math.isfinite(high) else budget * min(4.0, limit / max(kl, limit / 4))
            if not math.isfinite(high) and kl > 0.93 * limit:
                break
        if best is None:
            allocation = allocate_loss(items, 0.0)
            best = (self._spread(rows, allocation), allocation, self._joint_kl(rows, allocation))
        return best

    def _spread(self, rows: Sequence[GroupRow], allocation: Allocation) -> dict[str, Choice]:
        """Each group's choice, also where groups were decided together."""
        return {
            row.name: allocation.chosen[f"layer {row.layer} experts" if self._joined(row) else row.name] for row in rows
        }

    def _joint_kl(self, rows: Sequence[GroupRow], allocation: Allocation) -> float | None:
        if self.source.total_bytes > RESIDENT_BYTES:
            return None
        chosen = {name: choice.label for name, choice in self._spread(rows, allocation).items()}
        return compare(self._load({}), self._load(chosen, rows), self.judge).mean
