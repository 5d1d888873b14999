"""A conversion is killed, by the system's SIGKILL, at random moments, and ends with the same bytes."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import time
from pathlib import Path

import pytest
import torch
from tiny import random_tensors, tiny_config, write_checkpoint

from hopwell.checkpoint.fingerprint import REPORT
from hopwell.quantization.convert import Conversion
from hopwell.quantization.plan import Goal, Settings


def convert(source: Path, out: Path) -> None:
    torch.set_num_threads(1)
    sequences = torch.randint(0, 128, (16, 160), generator=torch.Generator().manual_seed(2)).tolist()
    Conversion(source, out, Settings(Goal(bits=6.0)), sequences, lambda line: None).run()


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    config = tiny_config("r1", num_hidden_layers=2, n_routed_experts=8)
    source = write_checkpoint(tmp_path / "source", config, random_tensors(config, dtype=torch.bfloat16))
    context = multiprocessing.get_context("forkserver")  # its children have torch at once, and no threads yet
    context.set_forkserver_preload(["hopwell.quantization.convert", "tiny"])

    def run(out: Path, seconds: float | None) -> bool:
        """Whether it ended by itself within `seconds`; killed if not."""
        process = context.Process(target=convert, args=(source, out))
        process.start()
        process.join(seconds)
        ended = process.exitcode is not None
        process.kill()
        process.join()
        assert not ended or process.exitcode == 0
        return ended

    started = time.perf_counter()
    assert run(tmp_path / "whole", None)
    whole = time.perf_counter() - started
    rng, kills, out = random.Random(7), 0, tmp_path / "killed"
    while kills < 4:
        started = time.perf_counter()
        if run(out, rng.uniform(0.1, 0.6) * whole):
            whole = min(whole, time.perf_counter() - started)  # the first one was held up
            same(tmp_path / "whole", out)
            shutil.rmtree(out)
        else:
            kills += 1
    if not (out / REPORT).exists():
        assert run(out, None)
    same(tmp_path / "whole", out)


def same(whole: Path, other: Path) -> None:
    names = sorted(p.name for p in whole.iterdir())
    assert sorted(p.name for p in other.iterdir()) == names
    for name in names:
        assert (whole / name).read_bytes() == (other / name).read_bytes(), name
