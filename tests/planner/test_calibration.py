"""Measurements of one's own: kept whole, put in place of what ships, and told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hopwell.errors import HopwellError
from hopwell.limits.catalogue import find_gpu
from hopwell.limits.prices import read_prices
from hopwell.planner.asked import parse_gpus
from hopwell.planner.calibration import (
    NOTHING,
    Loaded,
    fit_served,
    line,
    read_calibration,
    write_kernels,
    write_server,
)
from hopwell.planner.model import PlanError, read_model
from hopwell.planner.question import Question
from hopwell.planner.report import as_json, card
from hopwell.planner.search import search
from hopwell.planner.serving import Load
from hopwell.planner.setting import Setting, parse_setting
from hopwell.planner.verified import append, beside, rows

ABOUT = {"date": "2026-11-29T00:00:00Z", "device": "NVIDIA H200"}
SETTING = parse_setting(read_model("deepseek-r1"), "8xh200", "sglang", None, None, 0)
PRICES = read_prices()


def loads(setting: Setting, step: float = 1.0, host_ms: float = 0.0) -> list[Loaded]:
    """As a server would show them that is so much slower than predicted, and whose host takes so long."""
    found = []
    for users in (1, 16, 64):
        point = setting.predict(Load(1000, 200), users)
        found.append(Loaded(users, 0.0, 1000, 200, step * point.tpot_ms, host_ms + point.ttft_ms, 100.0))
    return found


def test_a_setting_in_words_and_back() -> None:
    assert SETTING.name == "deepseek-r1 on 8 x H200, SGLang fp8 TP8"
    assert Setting.from_json(json.loads(json.dumps(SETTING.as_json()))) == SETTING
    wide = parse_setting(read_model("deepseek-r1"), "8xb200", "trtllm", "nvfp4", "dp8ep8", 1)
    assert (wide.layout.dp, wide.precision.cache, wide.drafts) == (8, "fp8", 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("h200", "sglang", None, None, 0), "--gpus is 'h200', not a count and a GPU"),
        (("8xh300", "sglang", None, None, 0), "--gpus"),
        (("8xh200", "ollama", None, None, 0), "--engine: 'ollama'"),
        (("8xh200", "trtllm", "int4", None, 0), "--precision: 'int4' is not known of TensorRT-LLM; give bf16"),
        (("8xh200", "sglang", None, "TP4", 0), "--layout: 'TP4' is none of 8 x H200; give TP8, TP8 EP8, DP8 EP8"),
        (("8xh200", "sglang", None, None, 9), "--drafts: 9 is not known .*; give 0 or 1 or 2 or 3"),
    ],
)
def test_what_is_no_setting_is_refused(given: tuple[str, str, str | None, str | None, int], message: str) -> None:
    with pytest.raises(HopwellError, match=message):
        parse_setting(read_model("deepseek-r1"), *given)


def test_a_slower_server_is_found_out() -> None:
    served = fit_served(SETTING, loads(SETTING, 1.3, 500.0))
    assert served.step == pytest.approx(1.3) and served.error == pytest.approx(0.03)
    host = SETTING.engine.first_us["hopper"]
    assert served.host_us == pytest.approx(5e5 + host, rel=0.1) and 0.7 < served.first < 1.3
    after = replace(SETTING, engine=replace(SETTING.engine, served=served))
    for load in loads(SETTING, 1.3, 500.0):
        point = after.predict(load.load, load.users, load.rounds)
        assert point.tpot_ms == pytest.approx(load.tpot_ms) and point.ttft_ms == pytest.approx(load.ttft_ms, rel=0.05)
    assert line([(1.0, 12.0), (5.0, 20.0), (9.0, 28.0)]) == pytest.approx((10.0, 2.0), rel=0.03)


def test_a_folder_is_used_and_told(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) == NOTHING == read_calibration(tmp_path / "none")
    entry = {"family": "linear", "format": "fp8", "arch": "hopper", "gpu": "H200", "kernels": "hopwell", "source": "",
             "launch_us": 50.0, "bandwidth": 0.4, "math": 0.3, "p": 1.0, "error": 0.05}  # fmt: skip
    write_kernels([entry], [], find_gpu("H200"), ABOUT, tmp_path)
    write_server(SETTING, loads(SETTING, 1.5), ABOUT, tmp_path)
    held = read_calibration(tmp_path)
    assert held.servers["sglang", "H200"].step == pytest.approx(1.5)

    base = Question(SETTING.model, parse_gpus("8xh200,b200"), Load(1000, 1000), 2000, 80, engines=("sglang",),
                    precisions=("fp8",), mtp=False, disaggregated=False)  # fmt: skip
    plain, mine = search(base, PRICES), search(replace(base, calibration=held), PRICES)
    slow = {o.gpu.name: o for o in mine.options}
    assert all("calibrated" not in dict(card(answer, PRICES, "r1")) for answer in (plain,))
    fast = {o.gpu.name: o for o in plain.options}
    assert slow["H200"].capacity.p50 < 0.9 * fast["H200"].capacity.p50
    assert slow["B200"].capacity == fast["B200"].capacity, "another GPU is as it was"
    found = {o["gpu"]: o for o in as_json(mine, PRICES, "r1", 9)["options"]}
    assert (
        found["H200"]["calibrated"] == ["deepseek-r1 on 8 x H200, SGLang fp8 TP8: 3 loads, measured on 2026-11-29"]
        and not found["B200"]["calibrated"]
    )

    ours = replace(base, engines=("hopwell",), model=read_model("v2-lite"), precisions=("bf16",))
    calibrated = search(replace(ours, calibration=held, gpus=parse_gpus("h200")), PRICES)
    assert ("calibrated", "kernels of NVIDIA H200, measured on 2026-11-29") in card(calibrated, PRICES, "v2-lite")
    kernel = calibrated.options[0].machine.plain
    assert (kernel.launch, kernel.evidence) == (50.0, "transferred"), "bf16 by FP8's, which alone was timed"


@pytest.mark.parametrize("name", ["kernels-H200.json", "server-sglang-H200.json"])
@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"gpu": "H200", "kernels": [{}], "device": 1, "setting": {}}'])
def test_a_broken_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(PlanError, match=f"{name}: cannot be read as a calibration"):
        read_calibration(tmp_path)


def test_predicted_beside_measured(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "verified.jsonl"
    first = loads(SETTING, 1.1)[1]
    append(path, [beside(SETTING, first)])
    append(path, [beside(SETTING, first)])
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 2 and lines[0]["error"]["tpot_ms"] == pytest.approx(1 / 1.1 - 1)
    assert lines[0]["within"]["tpot_ms"] is True
    assert [row["figure"] for row in rows(lines)] == 2 * ["ms a token", "ms to first", "tokens/s"]
