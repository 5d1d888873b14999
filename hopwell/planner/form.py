"""The planner behind the server's page: a question as JSON, its answer as JSON. Runs in a child process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from hopwell.limits.prices import parse_prices, read_prices
from hopwell.planner.asked import CLASSES, ENGINES, GPUS, ORDERS, PRECISIONS, WHOLE, Asked
from hopwell.planner.calibration import NOTHING, read_calibration
from hopwell.planner.model import PlanError, model_of, read_model, shipped_models, shipped_path
from hopwell.planner.page import plots
from hopwell.planner.report import as_json, card, describe, simulated, table, tail_lines
from hopwell.planner.search import search
from hopwell.system import yield_cores


def answerer(_: None) -> Callable[[dict[str, Any] | None], Any]:
    """What the child runs: `choices` for None, else `answer`. Whoever streams goes first."""
    yield_cores()
    return lambda asked: choices() if asked is None else answer(**asked)


def choices() -> dict[str, Any]:
    """What a form offers, and where it begins."""
    prices = read_prices()
    return {
        "models": list(shipped_models()),
        "gpus": {name: price.rent.middle for name, price in prices.gpus.items()},
        "engines": list(ENGINES),
        "precisions": list(PRECISIONS),
        "orders": list(ORDERS),
        "classes": {**CLASSES, **dict.fromkeys(WHOLE)},
        "prices": prices.date,
        "usual": {"model": "deepseek-r1", **asdict(Asked()), "gpus": GPUS},
    }


def answer(
    model: str = "deepseek-r1",
    config: dict[str, Any] | None = None,
    prices: str = "",
    top: int = 12,
    curves: bool = False,
    calibrated: bool = True,
    tails: bool = False,
    **asked: Any,
) -> dict[str, Any]:
    """What `hopwell plan --json` prints, and `in_words` what it shows in a terminal.

    Args:
        model: a shipped name; no file of this machine.
        config: another model's config.json, in place of a shipped one.
        prices: a price list in TOML.
        calibrated: use what has been measured on this machine.
        tails: simulate those of the first option, at the question's rate.
        curves: `plots` as SVG, too; they take some seconds.
        asked: fields of `Asked`.

    Raises:
        PlanError, ConfigError, PriceError: the message names what is wrong.
    """
    sizes = read_model(str(shipped_path(model))) if config is None else model_of(config, model)
    put, listed = Asked(**asked), parse_prices(prices, "prices")
    question = put.question(sizes, read_calibration() if calibrated else NOTHING)
    if tails and question.rate is None:
        raise PlanError("--tails needs --rate: a closed loop has no arrivals")
    found = search(question, listed)
    seen = simulated(found, 1) if tails else []
    words = {
        "question": describe(question),
        "table": table(found, top),
        "card": [*card(found, listed, model), *tail_lines(seen, trace=False)],
        "notes": put.notes(found),
    }
    whole = {**as_json(found, listed, model, top, seen), "in_words": words}
    return {**whole, "plots": plots(question, listed)} if curves else whole
