"""Converting a checkpoint: candidates for every linear, a choice among them, and files.

Every finished step leaves a file, written whole or not at all, and a run that was killed goes on from the last of
them to the same bytes. Candidates are fitted to the source's own activations, so none depends on what is chosen later.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from hopwell.checkpoint.files import check_room
from hopwell.checkpoint.fingerprint import REPORT
from hopwell.quantization.candidates import Candidates, Progress
from hopwell.quantization.files import told, write_json
from hopwell.quantization.hessian import PrecisionError
from hopwell.quantization.losses import Losses
from hopwell.quantization.plan import (
    JUDGED_SHARE,
    Settings,
    as_plain,
    bytes_below,
    check_tokens,
    identity,
    linears_of,
    open_source,
    room,
)
from hopwell.quantization.search import Chooser, Chosen, GroupRow
from hopwell.quantization.write import write_checkpoint
from hopwell.system import lock_folder, peak_memory_bytes


class Conversion:
    """One conversion of `source` into the folder `out`.

    Args:
        sequences: calibration tokens.
        judge: tokens that fit nothing, to measure KL on; default: every fourth sequence of the calibration.
        say: told of progress, a line at a time.
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
        progress: Progress = lambda done, total, name: None,
        device: torch.device | str = "cpu",
        judge: Sequence[Sequence[int]] | None = None,
    ) -> None:
        settings.check()
        self.settings, self.out, self.say, self.work = settings, out, say, out / ".work"
        self.source, config = open_source(source)
        check_tokens(sum(map(len, sequences)))
        self.fit = [s for i, s in enumerate(sequences) if judge is not None or i % JUDGED_SHARE]
        judge = sequences[::JUDGED_SHARE] if judge is None else judge
        hidden = 4 * config.hidden_size * sum(map(len, self.fit))
        need = room(self.source.total_bytes, linears_of(self.source, config), settings, hidden)
        check_room(out, need - bytes_below(out))  # what a former run has written is not written again
        device = torch.device(device)
        self._claim(identity(self.source, settings, self.fit, judge, device.type))
        self.candidates = Candidates(self.source, config, settings, self.fit, self.work, device, say, progress)
        self.losses = Losses(self.source, config, self.candidates, judge, say)

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

    def _fresh(self) -> bool:
        return [p.name for p in self.out.iterdir()] == [".work"]

    @torch.inference_mode()
    def run(self) -> dict[str, Any]:
        """Converts; returns the report that is also written.

        Raises:
            PrecisionError: the goal cannot be reached; the message says what can. Or another process converts into the
                same folder.
        """
        with self._alone():
            return self._run()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            lock = lock_folder(self.out)
        except BlockingIOError:
            raise PrecisionError(f"{self.out}: another process is writing it; wait for it, or stop it") from None
        try:
            yield
        finally:
            if lock is not None:
                os.close(lock)

    def _run(self) -> dict[str, Any]:
        started = time.perf_counter()
        if (self.out / REPORT).exists() and self._report()["settings"] == as_plain(self.settings):
            return self._finish()  # only the clearing up was left
        rows = self.prepare()
        chosen = self._chooser(rows).choose(self.settings.goal, self.source.total_bytes)
        write_checkpoint(
            self.source, self.out, self.settings.writer, chosen.labels, rows, self.candidates.matrices,
            self._told(chosen, rows), self.say,
        )  # fmt: skip
        peak = peak_memory_bytes()
        memory = "" if peak is None else f", at most {peak / 1e9:.1f} GB of memory"
        self.say(f"done in {time.perf_counter() - started:.0f} s{memory}: {self.out}")
        return self._finish()

    @torch.inference_mode()
    def prepare(self) -> list[GroupRow]:
        """Makes what is not made yet: every group's candidates, and their KL where it is measured."""
        rows = self.candidates.make()
        self._chooser(rows).check(self.settings.goal, self.source.total_bytes)
        self.losses.check(self.settings.goal)
        if self.losses.measured and self.settings.goal.format is None:
            self.losses.fill(rows)
        return rows

    def _chooser(self, rows: Sequence[GroupRow]) -> Chooser:
        return Chooser(rows, self.settings.uniform_experts, lambda labels: self.losses.together(rows, labels), self.say)

    def _told(self, chosen: Chosen, rows: Sequence[GroupRow]) -> dict[str, Any]:
        """What the report tells of the choice."""
        return {
            "settings": as_plain(self.settings),
            "calibration_tokens": sum(map(len, self.fit)),
            "predicted_loss": chosen.allocation.loss,
            "bound": chosen.allocation.bound,
            "kl_on_calibration": chosen.kl,
            "kl_of_plain_rounding": None if chosen.kl is None else self.losses.plainly_rounded(rows, chosen.labels),
            "bits_per_weight": 8 * chosen.allocation.nbytes / sum(row.weights for row in rows),
            "linear_bytes": chosen.allocation.nbytes,
            "groups": [asdict(row) | {"chosen": chosen.labels[row.name]} for row in rows],
        }

    def _finish(self) -> dict[str, Any]:
        """Removes what only a further run would need; last of all, what says whose it is."""
        for path in self.work.iterdir():
            if path.name != "identity.json":
                path.unlink()
        shutil.rmtree(self.work)
        return self._report()

    def _report(self) -> dict[str, Any]:
        return json.loads((self.out / REPORT).read_text(encoding="utf-8"))
