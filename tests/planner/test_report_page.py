"""The HTML report: whole, well-formed, curves that fall as promises grow stricter."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from hopwell.limits.prices import read_prices
from hopwell.planner.asked import parse_gpus, parse_number
from hopwell.planner.evidence import public_rows
from hopwell.planner.launch import launch_command
from hopwell.planner.model import PlanError, read_model
from hopwell.planner.page import frontier, page
from hopwell.planner.question import Question
from hopwell.planner.report import card, table
from hopwell.planner.search import search
from hopwell.planner.serving import Load

PRICES = read_prices()
QUESTION = Question(read_model("v2-lite"), parse_gpus("h200"), Load(512, 256), 2000, 20, precisions=("bf16",))


def test_a_page_is_whole() -> None:
    answer = search(QUESTION, PRICES)
    text = page(answer, PRICES, "<v2>", table(answer, 3), card(answer, PRICES, "<v2>"))
    assert text.count("<svg") == 3 and "&lt;v2&gt;" in text and "<v2>" not in text and "http" not in text
    for part in text.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + part.partition("</svg>")[0] + "</svg>")


def test_stricter_promises_make_no_more_tokens() -> None:
    options = frontier(QUESTION, PRICES)["H200"]
    each = [option.tokens_per_s.p50 / option.gpus for option in options]
    assert len(each) >= 4 and each == sorted(each)


def test_a_command_says_how_the_model_lies_and_in_what() -> None:
    """Of R1 in four bits over four GPUs: ranks, where the weights are and what must be done first."""
    load, gpus = Load(1024, 1024), parse_gpus("4xh200")
    asked = Question(read_model("deepseek-r1"), gpus, load, 2000, 20, precisions=("nvfp4",), engines=("hopwell",))
    for option in search(asked, PRICES).options:
        command = launch_command(option, "r1", 2048)
        assert f"--tp {option.layout.gpus}" in command
        assert command.startswith("hopwell serve deepseek-ai/DeepSeek-R1 ") and "refused" not in command
        assert command.endswith("# of a copy with experts in nvfp4: see hopwell quantize")
        assert launch_command(option, "/models/R1", 2048).startswith("hopwell serve /models/R1 ")
        assert launch_command(option, "/my models/R1", 2048).startswith("hopwell serve '/my models/R1' ")


@pytest.mark.parametrize(("engine", "flag"), [("vllm", "--max-num-seqs"), ("trtllm", "--max_batch_size")])
def test_users_are_shared_among_ranks_that_attend_apart(engine: str, flag: str) -> None:
    """These engines' limit is a rank's own."""
    asked = Question(read_model("deepseek-r1"), parse_gpus("8xh200"), Load(1024, 1024), 2000, 80, engines=(engine,))
    option = search(asked, PRICES).options[0]
    assert option.layout.dp == 8
    assert f"{flag} {-(-int(option.most_users) // 8)} " in launch_command(option, "r1", 2048)


@pytest.mark.parametrize(
    ("model", "precision", "copied"),
    [("r1", "fp8", False), ("r1", "nvfp4", True), ("v2-lite", "bf16", False), ("v2-lite", "fp8", True)],
)
def test_commands_say_where_weights_are_not_as_released(model: str, precision: str, copied: bool) -> None:
    """Whichever engine it is: R1 is released in fp8, V2-Lite in bf16."""
    seen = set()
    asked = Question(read_model(model), parse_gpus("8xb200"), Load(1024, 1024), 2000, 80, precisions=(precision,))
    for option in search(asked, PRICES).options:
        seen.add(option.engine.name)
        command = launch_command(option, model, 2048)
        assert ("of a copy with experts in" in command) == copied
        assert not copied or command.endswith(f"  # of a copy with experts in {precision}: see hopwell quantize")
    assert seen


def test_bounds_are_written_out() -> None:
    with pytest.raises(PlanError, match="it can be from 1 to 10,000,000 tokens"):
        parse_number("0", "--input", "tokens", 1, 1e7)


def test_a_public_row_says_whose_it_is() -> None:
    assert all(row.title.startswith("R1 on ") for row in public_rows())
