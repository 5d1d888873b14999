"""An answer as one HTML file that needs nothing else: table, curves with bands, the first option's card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape

from hopwell.limits.prices import Prices
from hopwell.planner.model import PlanError
from hopwell.planner.question import Option, Question
from hopwell.planner.report import describe, spread
from hopwell.planner.search import Answer, search
from hopwell.planner.uncertainty import Band, figures
from hopwell.svg import STYLE as CURVES
from hopwell.svg import Mark, Series, curves

PROMISES = (7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 60.0, 100.0)
"""ms between tokens, for each of which the best layout is looked for."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .7rem; text-align: left }
tr + tr { border-top: 1px solid #ddd } .card td:first-child { color: #666; white-space: nowrap }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(28rem, 1fr)); gap: 1rem }
.wide { overflow-x: auto }
@media (prefers-color-scheme: dark) {
  body { background: #181818; color: #ddd } svg text:not([fill]) { fill: #ccc }
}
"""


def page(
    answer: Answer, prices: Prices, model: str, rows: Sequence[Mapping[str, str]], about: Iterable[tuple[str, str]]
) -> str:
    """The file's text, with the card `about` the first option; the curves take a few seconds."""
    lines = "".join(f"<tr><td>{escape(a)}</td><td>{escape(b)}</td></tr>" for a, b in about)
    refused = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in answer.refused.items())
    title = f"Plan for {escape(model)}"
    drawn = "\n".join(plots(answer.question, prices))
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>{STYLE}{CURVES}</style>\n<h1>{title}</h1>\n<p>{escape(describe(answer.question))}</p>\n"
        f'<div class="wide">{_table(rows)}</div>\n<ul>{refused}</ul>\n'
        f'<div class="plots">\n{drawn}\n</div>\n'
        f'<h2>The first</h2>\n<table class="card">{lines}</table>\n</html>\n'
    )


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row.values())}</tr>\n" for row in rows)
    return f"<table><tr>{head}</tr>\n{body}</table>"


def frontier(question: Question, prices: Prices) -> dict[str, list[Option]]:
    """Of every GPU the option that makes most tokens a GPU, for promises from strict to lax."""
    found: dict[str, list[Option]] = {}
    for between in PROMISES:
        asked = replace(question, rate=None, users=None, tpot_ms=between, by="gpus")
        try:
            options = search(asked, prices).options
        except PlanError:
            continue
        for wanted in question.gpus:
            best = next((option for option in options if option.gpu == wanted.gpu), None)
            if best is not None:
                found.setdefault(wanted.gpu.name, []).append(best)
    return found


def plots(question: Question, prices: Prices) -> list[str]:
    """SVGs of tokens, price and energy a GPU against the speed that a user sees."""
    best = frontier(question, prices)

    def drawn(title: str, value: Callable[[Option], Band]) -> str:
        series = [Series(name, [_mark(option, value(option)) for option in found]) for name, found in best.items()]
        return curves(title, "tokens a second for one user", series)

    return [
        drawn("Output tokens a second and GPU", lambda option: option.tokens_per_s.times(1 / option.gpus)),
        drawn("$ a million output tokens, rented", lambda option: option.dollars_per_million),
        drawn("Joules an output token, at the meter", lambda option: option.joules_per_token),
    ]


def _mark(option: Option, value: Band) -> Mark:
    speed = 1e3 / option.tpot_ms.p50
    told = f"{option.name}: {spread(value)} at {figures(speed)} tokens a second"
    return Mark(speed, value.p50, value.p10, value.p90, told)
