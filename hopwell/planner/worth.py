"""Money of an upgrade: what a month costs, at which loads a move saves, and how each assumption moves the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hopwell.limits.prices import Price, Prices

HOURS = 730.0
"""A month's."""


@dataclass(frozen=True, slots=True)
class Money:
    """What the answer rests on, each alone to be doubted."""

    buy: float
    resale: float
    electricity: float
    colocation: float
    speed: float
    """Factor on the new GPUs' tokens a second."""
    rate: float
    """Requests a second."""


@dataclass(frozen=True, slots=True)
class Swing:
    """One assumption's low and high end, and the net saving over the horizon at each; USD."""

    what: str
    low: str
    high: str
    at_low: float
    at_high: float


def opex(count: int, watts: float, price: Price, money: Money) -> float:
    """USD a month: room and power of what is provisioned, electricity of what is drawn."""
    return count * price.provisioned_kw * money.colocation + watts / 1e3 * HOURS * money.electricity


def saving_loads(money: Money, capacity: float, net: Callable[[Money], float]) -> tuple[float, float] | None:
    """The least and greatest of twenty shares of today's `capacity` (requests a second) at which a move saves."""
    shares = [step / 20 for step in range(1, 21) if net(replace(money, rate=step / 20 * capacity)) >= 0]
    return (shares[0], shares[-1]) if shares else None


def swings_of(
    money: Money, old: Price, new: Price, prices: Prices, sigma: float, net: Callable[[Money], float]
) -> tuple[Swing, ...]:
    """Each assumption at both its ends, the most telling first."""
    facility, spread = prices.facility, 1 + 1.2816 * sigma
    ends = {
        "price of a new GPU": ("buy", new.buy.low, new.buy.high, "${:,.0f}"),
        "resale of an old one": ("resale", old.resale.low, old.resale.high, "${:,.0f}"),
        "electricity, a kWh": ("electricity", facility.electricity.low, facility.electricity.high, "${:.2f}"),
        "room, a kW and month": ("colocation", facility.colocation.low, facility.colocation.high, "${:,.0f}"),
        "speed of the new, over predicted": ("speed", 1 / spread, spread, "{:.2f}"),
        "load, requests a second": ("rate", 0.7 * money.rate, 1.3 * money.rate, "{:.3g}"),
    }
    found = [
        Swing(
            what,
            form.format(low),
            form.format(high),
            net(replace(money, **{name: low})),
            net(replace(money, **{name: high})),
        )
        for what, (name, low, high, form) in ends.items()
    ]
    told = [swing for swing in found if swing.at_low != swing.at_high]
    return tuple(sorted(told, key=lambda swing: -abs(swing.at_high - swing.at_low)))
