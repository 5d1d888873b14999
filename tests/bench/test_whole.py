"""A whole model over ranks, measured: rows for every case, of a cache that is random on each of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from hopwell.bench import whole
from hopwell.bench.whole import Case, OpRow, Whole
from hopwell.cli.bench_whole import checkpoint_of, parsed
from hopwell.engine.loading import load_model
from hopwell.errors import HopwellError
from hopwell.limits.ceilings import Ceilings
from hopwell.model.synthesis import synthesise


@pytest.mark.parametrize(
    ("gpus", "apart", "cache_dtype"),
    [
        (1, False, "fp8"),
        pytest.param(2, True, "auto", marks=pytest.mark.slow),
    ],
)
def test_each_case_has_its_rows(
    gpus: int, apart: bool, cache_dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "ENERGY_SECONDS", 0.0)
    monkeypatch.setattr(whole, "ROUNDS", 1)
    synthesise(tiny.tiny_config("r1", vocab_size=1100), tmp_path / "m", 0, at_load=True)
    loaded = load_model(tmp_path / "m", "cpu", "float32", tp=gpus, dp_attention=apart)
    try:
        bench = Whole("tiny", loaded, Ceilings("none", 1e10, 1e10, 1e10, 1e10), {"cache_dtype": cache_dtype})
        cases = [Case(70, (1, 3)), Case(130, (2,)), Case(70, (2,), 1, 1.5)]
        rows = list(bench.steps(cases))
        assert [(row.context, row.batch, row.drafts) for row in rows] == [
            (70, 1, 0),
            (70, 3, 0),
            (130, 2, 0),
            (70, 2, 1),
        ]
        assert all(row.gpus == gpus and row.ms > 0 and row.percent_of_limit > 0 for row in rows)
        assert [row.tokens_per_step for row in rows[:3]] == [1, 1, 1] and 1.2 < rows[3].tokens_per_step < 1.8
        assert rows[3].gigabytes > rows[2].gigabytes, "a verified draft touches more experts, and the MTP layer's"
        told: list[OpRow] = []
        (again,) = bench.steps([Case(70, (2,), 1, 1.5)], told.extend)
        assert again.batch == 2 and sum(row.share for row in told) == pytest.approx(1, abs=0.1)
        moe = {row.op: row for row in told if row.layer == "MoE"}
        assert moe["attention"].count == len(loaded.model.layers) - 1 and moe["experts"].limit_us
        assert any(row.layer == "MTP" for row in told) and ("exchange" in moe) == (gpus > 1)
        prompts = list(bench.prompts([(2, 100), (1, 30)]))
        assert [(row.prompts, row.tokens) for row in prompts] == [(2, 100), (1, 30)]
        assert bench.room()["cache_tokens"] > 1000
    finally:
        loaded.close()


def test_cases_are_read_as_they_are_written() -> None:
    assert parsed("8192:1,8") == Case(8192, (1, 8))
    assert parsed("1024:4:3:2.5") == Case(1024, (4,), 3, 2.5)
    for text in ("1024", "1024:x", "1024:1:1", "a:1"):
        with pytest.raises(HopwellError, match="CONTEXT:BATCH"):
            parsed(text)
    with pytest.raises(HopwellError, match="forced-acceptance is 9"):
        parsed("1024:1:1:9")


def test_options_of_configs_are_not_for_folders(tmp_path: Path) -> None:
    with pytest.raises(HopwellError, match="leave out --format"), checkpoint_of(str(tmp_path), "nvfp4", None, None):
        pass
    with pytest.raises(HopwellError, match="--attention needs --format"), checkpoint_of("nano", None, "fp8", None):
        pass
    with checkpoint_of("deepseek-r1", "nvfp4", "fp8", 4) as folder:
        assert sorted(path.name for path in folder.iterdir()) == [
            "config.json", "hopwell_synth.json", "tokenizer.json", "tokenizer_config.json",
        ]  # fmt: skip
