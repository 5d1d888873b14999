"""The advice in words: a page that a manager can read, tables behind it, JSON."""

from __future__ import annotations

from dataclasses import asdict
from math import inf
from typing import Any

from hopwell.limits.prices import Prices
from hopwell.planner.report import spread, warnings
from hopwell.planner.uncertainty import band, figures
from hopwell.planner.upgrade import HORIZON, Move, Upgrade

BAR = 24
"""Characters of the longest bar of a tornado."""


def dollars(value: float) -> str:
    """`$1.2 M`, `-$340 k`."""
    sign, value = ("-" if value < 0 else ""), abs(value)
    for limit, word in ((999_500, " M"), (999.5, " k")):
        if value >= limit:
            return f"{sign}${figures(value / (1e6 if word == ' M' else 1e3))}{word}"
    return f"{sign}${figures(value)}"


def months(value: float) -> str:
    """Of a pay-back."""
    return "at once" if value == 0 else "never" if value == inf else f"{figures(value)} months"


def ladder(advice: Upgrade) -> list[dict[str, str]]:
    """What software alone gains."""
    rows = []
    for rung in advice.rungs:
        found = rung.fleet
        rows.append(
            {
                "software": rung.what,
                "tok/s": figures(found.tokens_per_s) if found else "-",
                "x today": f"{found.tokens_per_s / advice.now.tokens_per_s:.2f}" if found else "-",
                "tok/s a MW": figures(found.tokens_per_s / found.watts(1.0) * 1e6) if found else "-",
                "how": found.option.name.partition(", ")[2] if found else "",
                "but": rung.note,
            }
        )
    return rows


def moves(advice: Upgrade) -> list[dict[str, str]]:
    """Each kind of GPU, the one that saves most first."""
    return [_move(advice, move) for move in advice.moves]


def _move(advice: Upgrade, move: Move) -> dict[str, str]:
    each = move.most / advice.now.tokens_per_s

    def worth(count: int) -> str:
        return f"{count}: {figures(count * each)} x" if count else "not one unit"

    return {
        "GPU": move.gpu.name + (" (kept)" if move.gpu == advice.cluster.gpu else ""),
        "a GPU, alike": f"{figures(move.alike)} x" if move.alike else "no",
        "for the load": str(move.best.count),
        "outlay": dollars(move.outlay),
        "a month": f"{dollars(move.opex_now)} -> {dollars(move.opex)}",
        "pays back": months(move.payback),
        f"saved in {HORIZON} months": dollars(move.net),
        "saves at load": "none" if move.saves_at is None else "{:.0%} to {:.0%}".format(*move.saves_at),
        "same money": worth(move.same_money),
        "same power": worth(move.same_power),
        "same racks": worth(move.same_racks),
    }


def summary(advice: Upgrade) -> list[str]:
    """What to do, in sentences."""
    cluster, now = advice.cluster, advice.now
    share = advice.rate * cluster.load.output / now.tokens_per_s
    lines = [
        f"{cluster.count} x {cluster.gpu.name} with {now.option.engine.title}, {now.option.precision.name}, "
        f"{now.option.layout.name}, can make {figures(now.tokens_per_s)} tokens/s within the promises; "
        f"{figures(advice.rate)} requests a second are asked of it, "
        f"{f'{100 * share:.0f} % of' if share < 10 else f'{figures(share)} times'} that."
    ]
    rungs = [rung for rung in advice.rungs[1:] if rung.fleet and rung.what != "Hopwell"]
    best = max(rungs, key=lambda rung: rung.fleet.tokens_per_s if rung.fleet else 0.0, default=None)
    if best is not None and best.fleet is not None:
        gain = best.fleet.tokens_per_s / now.tokens_per_s
        if gain > 1.05:
            lines.append(
                f"Software first: {best.what} ({best.fleet.option.name.partition(', ')[2]}) makes it "
                f"{spread(band(gain, best.fleet.option.sigma))} times as much, without a new GPU."
            )
        else:
            lines.append("Software alone gains nothing that this planner could tell from its error.")
    if advice.moves:
        first = advice.moves[0]
        kept = first.gpu == cluster.gpu
        act = f"keep {first.best.count} of them and sell the rest" if kept and first.best.count < cluster.count else (
            "keep them" if kept else f"put {first.best.count} x {first.gpu.name} in their place"
        )  # fmt: skip
        said, sign = "For this load the most is saved", 1
        if first.net < 0:
            said, sign = "This load costs more than now whatever is done; the least", -1
        lines.append(
            f"{said} if you {act}: {dollars(sign * first.net)} in {HORIZON} months, outlay {dollars(first.outlay)}, "
            f"paid back {'' if first.payback in (0.0, inf) else 'in '}{months(first.payback)}."
        )
        low, high = sorted((sign * first.swings[0].at_low, sign * first.swings[0].at_high))
        lines.append(
            f"That is between {dollars(low)} and {dollars(high)} when the assumption that matters most, "
            f"{first.swings[0].what}, is at either end."
        )
    return lines


def tornado(move: Move) -> list[dict[str, str]]:
    """How the saving moves with each assumption, the most telling first."""
    widest = max(abs(swing.at_high - swing.at_low) for swing in move.swings) or 1.0
    return [
        {
            f"{move.gpu.name}: assumption": swing.what,
            "low": swing.low,
            "saved": dollars(swing.at_low),
            "high": swing.high,
            "then saved": dollars(swing.at_high),
            "": "#" * max(1, round(BAR * abs(swing.at_high - swing.at_low) / widest)),
        }
        for swing in move.swings
    ]


def tornadoes(advice: Upgrade) -> list[list[dict[str, str]]]:
    """Of the best move, and of the best one that buys, if that is another."""
    buying = [move for move in advice.moves if move.gpu != advice.cluster.gpu]
    chosen = [*advice.moves[:1], *(move for move in buying[:1] if move is not advice.moves[0])]
    return [tornado(move) for move in chosen]


def caveats(advice: Upgrade, prices: Prices) -> list[str]:
    """What the page must not be read without."""
    lines = [
        f"Prices: list of {prices.date}, {' and '.join(prices.files)}; several are guesses, see docs/planner.md.",
        f"Not counted: spares, work, interest, and what GPUs are still worth after {HORIZON} months.",
    ]
    lines += [f"{name} is left out: {why}" for name, why in advice.impossible.items()]
    if advice.moves:
        option = advice.moves[0].best.option
        lines.append(f"{advice.moves[0].gpu.name}: {option.name}, {spread(option.tpot_ms)} ms a token.")
        lines += warnings(option)
    return lines


def as_json(advice: Upgrade) -> dict[str, Any]:
    """Everything, unrounded; null: never, or none."""
    return {
        "have": {"gpu": advice.cluster.gpu.name, "count": advice.cluster.count},
        "rate": advice.rate,
        "tokens_per_s": advice.now.tokens_per_s,
        "software": [
            {"what": r.what, "tokens_per_s": r.fleet.tokens_per_s if r.fleet else None,
             "option": r.fleet.option.name if r.fleet else None, "note": r.note}
            for r in advice.rungs
        ],
        "moves": [
            {"gpu": m.gpu.name, "count": m.best.count, "option": m.best.option.name, "alike": m.alike,
             "outlay": m.outlay, "opex_now": m.opex_now, "opex": m.opex,
             "payback_months": None if m.payback == inf else m.payback, "net": m.net, "saves_at": m.saves_at,
             "same_money": m.same_money, "same_power": m.same_power, "same_racks": m.same_racks,
             "most_tokens_per_s_a_gpu": m.most,
             "swings": [asdict(swing) for swing in m.swings]}
            for m in advice.moves
        ],
        "impossible": advice.impossible,
    }  # fmt: skip
