"""The HTML report: whole, well-formed, curves that fall as promises grow stricter."""

from __future__ import annotations

from xml.etree import ElementTree

from hopwell.limits.prices import read_prices
from hopwell.planner.launch import launch_command
from hopwell.planner.model import read_model
from hopwell.planner.page import frontier, page
from hopwell.planner.plot import Mark, curves
from hopwell.planner.question import Question, parse_gpus
from hopwell.planner.search import search
from hopwell.planner.serving import Load
from hopwell.planner.uncertainty import band

PRICES = read_prices()
QUESTION = Question(read_model("v2-lite"), parse_gpus("h200"), Load(512, 256), 2000, 20, precisions=("bf16",))


def test_a_page_is_whole() -> None:
    text = page(search(QUESTION, PRICES), PRICES, "<v2>", 3)
    assert text.count("<svg") == 3 and "&lt;v2&gt;" in text and "<v2>" not in text and "http" not in text
    for part in text.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + part.partition("</svg>")[0] + "</svg>")


def test_stricter_promises_make_no_more_tokens() -> None:
    options = frontier(QUESTION, PRICES)["H200"]
    each = [option.tokens_per_s.p50 / option.gpus for option in options]
    assert len(each) >= 4 and each == sorted(each)


def test_an_empty_plot_is_none() -> None:
    assert curves("x", "y", {}) == ""
    assert "polyline" in curves("x", "y", {"a": [Mark(1.0, band(5, 0.1)), Mark(2.0, band(3, 0.1))]})


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
