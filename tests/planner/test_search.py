"""Questions and their answers: promises are kept, what cannot be had is explained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopwell.limits.prices import read_prices
from hopwell.planner.asked import parse_gpus, parse_number
from hopwell.planner.evidence import nearest_rows, public_rows, shares
from hopwell.planner.flips import flips, price_to_lose
from hopwell.planner.layout import Layout
from hopwell.planner.model import PlanError, read_model
from hopwell.planner.question import Question
from hopwell.planner.report import as_json, card, markdown, table
from hopwell.planner.search import search
from hopwell.planner.serving import Load
from hopwell.planner.uncertainty import Band, product, quotient

PRICES = read_prices()
QUESTION = Question(read_model("deepseek-r1"), parse_gpus("h100,h200,b200,gb200"), Load(1000, 1000), 2000, 30, rate=10)


def test_promises_are_kept_by_what_is_proposed() -> None:
    answer = search(QUESTION, PRICES)
    costs = [option.dollars_per_hour.p50 for option in answer.options]
    assert costs == sorted(costs) and {option.gpu.name for option in answer.options} == {
        "H100",
        "H200",
        "B200",
        "GB200",
    }
    for option in answer.options:
        assert option.tpot_ms.p50 <= 30 and option.ttft_ms.p50 <= 2000 and option.memory.tokens > 0
        assert option.tpot_ms.p10 < option.tpot_ms.p50 < option.tpot_ms.p90
        assert abs(option.tokens_per_s.p50 / 10_000 - 1) < 1e-6 and option.capacity.p50 >= 9_999
        assert option.engine.can_run(option.layout, option.gpu)
        assert option.watts.p50 / option.gpus < 2.2 * option.gpu.tdp
        assert abs(sum(shares(option).values()) - 1) < 1e-6
    assert answer.points < 20_000


def test_figures_of_one_answer_agree() -> None:
    """Users by Little's law, a price by the tokens that are made: a load that is asked for is certain, its price is as
    uncertain as the rent, which may be a little lower and much higher."""
    for option in search(QUESTION, PRICES).options:
        point = option.point
        answer = (point.ttft_ms + 1000 * point.tpot_ms) / 1e3
        assert point.users == pytest.approx(min(10 / option.replicas * answer, option.most_users), rel=0.01)
        for of_million, of_hour in zip(option.dollars_per_million, option.dollars_per_hour, strict=True):
            assert of_million == pytest.approx(of_hour / 36)
        for of_token, watts in zip(option.joules_per_token, option.watts, strict=True):
            assert of_token == pytest.approx(watts / 10_000)


def test_bands_of_a_product() -> None:
    certain, skewed, free = Band(3.0, 3.0, 3.0), Band(0.9, 1.0, 2.0), Band(0.0, 0.0, 0.0)
    assert product(certain, skewed) == pytest.approx((2.7, 3.0, 6.0))
    assert quotient(certain, skewed) == pytest.approx((1.5, 3.0, 3 / 0.9))
    assert product(skewed, skewed).p90 == pytest.approx(1 + 2**0.5) and product(skewed, skewed).p10 > 0.81
    assert product(free, skewed) == free and product(Band(0.0, 1.0, 1.0), certain) == (0.0, 3.0, 3.0)


def test_h100_cannot_hold_r1_on_one_host_in_fp8() -> None:
    options = search(replace(QUESTION, gpus=parse_gpus("h100"), precisions=("fp8",)), PRICES).options
    assert min(option.layout.gpus for option in options) >= 16
    one_host = replace(QUESTION, gpus=parse_gpus("8xh100"), precisions=("fp8",))
    with pytest.raises(PlanError, match=r"H100: the model .* fits no layout of the 8 there are"):
        search(one_host, PRICES)
    with pytest.raises(PlanError, match=r"^A100: no engine that may be used serves the model there"):
        search(replace(QUESTION, gpus=parse_gpus("a100"), precisions=("fp8",)), PRICES)


def test_an_impossible_promise_is_told_the_best() -> None:
    with pytest.raises(PlanError, match=r"H200: --tpot 0\.50ms cannot be promised; the best reachable is [0-9.]+ms"):
        search(replace(QUESTION, gpus=parse_gpus("h200"), tpot_ms=0.5), PRICES)
    with pytest.raises(PlanError, match=r"--ttft 1\.0ms cannot be promised"):
        search(replace(QUESTION, gpus=parse_gpus("h200"), ttft_ms=1), PRICES)
    with pytest.raises(PlanError, match="8 GPUs do not carry the load"):
        search(replace(QUESTION, gpus=parse_gpus("8xh200"), rate=1000), PRICES)


@pytest.mark.slow
def test_more_load_needs_no_fewer_gpus_and_users_are_counted() -> None:
    few = search(replace(QUESTION, rate=None, users=100), PRICES).options[0]
    many = search(replace(QUESTION, rate=None, users=5000), PRICES).options[0]
    assert many.gpus > few.gpus and abs(many.point.users * many.replicas - 5000) < 1
    best = search(replace(QUESTION, rate=None), PRICES).options
    assert best[0].replicas == 1 and best[0].dollars_per_million.p50 <= best[-1].dollars_per_million.p50


def test_hopwell_is_laid_out_as_it_runs() -> None:
    """Tensor-parallel within a host, unless another layout is asked for by name, which is marked."""
    asked = replace(QUESTION, engines=("hopwell",), gpus=parse_gpus("h200"))
    answer = search(asked, PRICES)
    assert {(option.layout.dp, option.layout.expert_whole) for option in answer.options} == {(1, 1)}
    assert max(option.layout.gpus for option in answer.options) <= 8
    assert not any("does not run this layout" in text for _, text in card(answer, PRICES, "deepseek-r1"))
    other = search(replace(asked, layouts=(Layout(tp=1, dp=8, expert_cut=1, expert_whole=8),)), PRICES)
    lines = dict(card(other, PRICES, "deepseek-r1"))
    assert any("does not run this layout yet" in text for _, text in card(other, PRICES, "deepseek-r1"))
    assert lines["start"].endswith("# refused on GPUs in this version")
    lite = replace(QUESTION, model=read_model("v2-lite"), gpus=parse_gpus("h200"), precisions=("bf16",))
    assert any(option.engine.name == "hopwell" for option in search(lite, PRICES).options)


@pytest.mark.parametrize("demand", [{"rate": 1e-6}, {"rate": None, "users": 1}])
def test_the_least_load_takes_one_replica(demand: dict[str, float | None]) -> None:
    tiny = replace(read_model("nano"), num_hidden_layers=1, first_k_dense_replace=0, n_shared_experts=0)
    asked = replace(QUESTION, model=tiny, load=Load(1, 2), gpus=parse_gpus("b200"), precisions=("bf16",), **demand)  # type: ignore[arg-type]
    assert search(asked, PRICES).options[0].replicas == 1


def test_an_answer_is_a_table_a_card_json_and_a_page() -> None:
    answer = search(QUESTION, PRICES)
    rows = table(answer, 3)
    assert len(rows) == 3 and rows[0]["GPUs"].startswith("4 x ")
    lines = dict(card(answer, PRICES, "deepseek-r1"))
    assert {"answer", "memory", "evidence", "public row", "start", "rival", "if"} <= lines.keys()
    document = as_json(answer, PRICES, "deepseek-r1", 5)
    assert len(document["options"]) == 5 and document["options"][0]["tpot_ms"]["p10"] < 30
    assert markdown(answer, "deepseek-r1", table(answer, 3), lines.items()).count("\n|") > 20


def test_evidence_and_what_would_flip() -> None:
    answer = search(QUESTION, PRICES)
    first = answer.options[0]
    near = nearest_rows(first, QUESTION)
    assert len(near) == 2 and all(row.gpu in ("B200", "B300") for row in near)
    for row in public_rows():
        wide = 0.7 if row.gpu == "B300" else 0.25
        assert abs(row.predicted_tpot_ms() / row.tpot_ms - 1) < wide, row.title
    effects = {flip.what: flip for flip in flips(first, QUESTION)}
    assert effects["half of each prompt cached"].tpot <= 1
    rival = price_to_lose(answer.options)
    assert rival is not None and rival[0].gpu != first.gpu


@pytest.mark.parametrize(
    ("text", "message"),
    [("h101", "nearest are H100"), ("0xh100", "has no GPU"), ("", "nothing given"), ("zzz", "not in the catalogue")],
)
def test_gpus_that_are_none(text: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        parse_gpus(text)


def test_numbers_with_units() -> None:
    assert (
        parse_number("8k", "--input", "tokens", 1, 1e7) == 8000 and parse_number("1.5s", "--ttft", "ms", 1, 1e7) == 1500
    )
    for text in ("", "k", "-1", "1h", "nan"):
        with pytest.raises(PlanError, match="--ttft"):
            parse_number(text, "--ttft", "ms", 1, 1e7)
