"""Upgrades: software first, sums that add up, assumptions that move the answer the way they must."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from hopwell.limits.catalogue import find_gpu
from hopwell.limits.prices import read_prices
from hopwell.planner import upgrade_report as report
from hopwell.planner.model import PlanError, read_model
from hopwell.planner.serving import Load
from hopwell.planner.upgrade import HORIZON, Cluster, Upgrade, advise

PRICES = read_prices()
CLUSTER = Cluster(read_model("deepseek-r1"), find_gpu("H100"), 64, Load(1000, 1000), 2000, 50)


@pytest.fixture(scope="module")
def advice() -> Upgrade:
    return advise(CLUSTER, (find_gpu("B200"), find_gpu("GB200")), PRICES)


def test_software_comes_first_and_never_loses_when_free_to_choose(advice: Upgrade) -> None:
    rungs = {rung.what: rung for rung in advice.rungs}
    made = {what: rung.fleet.tokens_per_s for what, rung in rungs.items() if rung.fleet}
    assert made["all"] >= made["all but four bits"] * 0.999 >= made["as it is"] > 0
    assert rungs["Hopwell"].note and advice.now.tokens_per_s == made["as it is"]
    assert abs(advice.rate * 1000 / advice.now.tokens_per_s - 0.6) < 1e-9


def test_sums_add_up(advice: Upgrade) -> None:
    assert {move.gpu.name for move in advice.moves} == {"H100", "B200", "GB200"}
    for move in advice.moves:
        assert abs(move.net - (HORIZON * (move.opex_now - move.opex) - move.outlay)) < 1
        assert move.best.count % move.gpu.domain == 0 and move.best.tokens_per_s >= advice.rate * 1000
        assert move.payback == (0.0 if move.outlay <= 0 else move.payback) and move.payback >= 0
        assert move.net <= 0 or move.saves_at is not None
        spent = move.same_money * PRICES.of(move.gpu.name).buy.middle
        assert spent <= 64 * PRICES.of("H100").buy.middle
        assert move.same_power * PRICES.of(move.gpu.name).provisioned_kw <= 64 * PRICES.of("H100").provisioned_kw
    kept = next(move for move in advice.moves if move.gpu.name == "H100")
    assert kept.outlay <= 0 and kept.alike == pytest.approx(1, rel=0.2)
    nets = [move.net for move in advice.moves]
    assert nets == sorted(nets, reverse=True)


@pytest.mark.slow
def test_dearer_gpus_save_less(tmp_path: Path) -> None:
    path = tmp_path / "dear.toml"
    path.write_text("[gpu.B200]\nbuy = 200000\n", encoding="utf-8")
    dear = advise(CLUSTER, (find_gpu("B200"),), read_prices(path))
    cheap = advise(CLUSTER, (find_gpu("B200"),), PRICES)
    nets = [next(m for m in found.moves if m.gpu.name == "B200") for found in (dear, cheap)]
    assert nets[0].net < nets[1].net and nets[0].payback > nets[1].payback
    buy = next(swing for swing in nets[1].swings if swing.what == "price of a new GPU")
    assert buy.at_low > buy.at_high


def test_the_page_is_whole(advice: Upgrade) -> None:
    assert "Software first" in " ".join(report.summary(advice))
    assert len(report.moves(advice)) == 3 and report.moves(advice)[0]["pays back"]
    assert len(report.tornadoes(advice)) in (1, 2) and report.caveats(advice, PRICES)
    document = report.as_json(advice)
    assert document["moves"][0]["net"] == advice.moves[0].net
    assert report.dollars(1_234_567) == "$1.2 M" and report.dollars(-999_600) == "-$1.0 M"
    assert report.months(inf) == "never" and report.months(0) == "at once"


def test_what_cannot_run_today_is_told() -> None:
    with pytest.raises(PlanError, match="--have 8xH100, as it is: H100: the model"):
        advise(replace(CLUSTER, count=8), (find_gpu("B200"),), PRICES)
    small = advise(replace(CLUSTER, gpu=find_gpu("H200"), count=8, tpot_ms=25), (find_gpu("H20"),), PRICES)
    assert "H20" in small.impossible or any(move.gpu.name == "H20" for move in small.moves)
