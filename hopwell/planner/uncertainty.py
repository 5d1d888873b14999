"""How sure a figure is: errors of its parts, put together into P10 and P90."""

from __future__ import annotations

from math import exp, floor, hypot, inf, isfinite, log, log10, sqrt
from statistics import NormalDist
from typing import NamedTuple

from hopwell.planner.serving import Point
from hopwell.planner.step import Machine

NORMAL = NormalDist()
Z = 1.2816
"""Of a normal distribution, from the median to P90."""
PROMPT_ERROR, FIRST_ERROR = 0.15, 0.35
"""Relative, of a prompt's time; of the time to the first token, which queues and hosts decide."""
UNSEEN = {"B300": 0.25, "GB300": 0.25, "GB200": 0.12}
"""Added for GPUs whose public rows the model has missed: B300 with SGLang 0.5.10 took a fifth to a third longer."""
WIDE = 0.15
"""Added for replicas of more than 8 GPUs: published ones decode 19 to 22 % faster than predicted."""
SIGMA = 1.2533
"""A standard deviation over its mean error."""
SHARED = 0.5
"""Of a family's error, the part that its shapes share; the rest cancels over a step's dozen kernels. Chosen, with the
engines' own errors, so that about 80 % of public rows of 2026 lie within P10 to P90."""


class Band(NamedTuple):
    """A figure with its P10 and P90."""

    p10: float
    p50: float
    p90: float

    def times(self, factor: float) -> Band:
        return Band(self.p10 * factor, self.p50 * factor, self.p90 * factor)


def band(value: float, sigma: float) -> Band:
    """A log-normal one."""
    return Band(value * exp(-Z * sigma), value, value * exp(Z * sigma))


def product(one: Band, other: Band) -> Band:
    """Of two figures whose errors are independent; each may reach further one way than the other, as prices do."""
    middle = one.p50 * other.p50
    if not middle:
        return Band(0.0, 0.0, one.p90 * other.p90)
    down = hypot(*(each.p50 / each.p10 - 1 if each.p10 else inf for each in (one, other)))
    up = hypot(*(each.p90 / each.p50 - 1 for each in (one, other)))
    return Band(middle / (1 + down), middle, middle * (1 + up))


def quotient(one: Band, other: Band) -> Band:
    """Likewise."""
    return product(one, Band(1 / other.p90, 1 / other.p50, 1 / other.p10))


def step_error(machine: Machine, point: Point, drafts: int) -> float:
    """Standard deviation of the logarithm of a token's time: kernels' errors by their share of a step, the engine's,
    the GPU's and acceptance's."""
    kernels = sum((op.us / point.decode_us * op.error) ** 2 for op in point.decode)
    prompts = 1 - min(1.0, point.decode_us / point.tokens_a_step / (point.tpot_ms * 1e3))
    total = kernels * (SHARED * SIGMA) ** 2 * (1 - prompts) ** 2 + (prompts * PROMPT_ERROR) ** 2
    total += machine.engine.error**2 + UNSEEN.get(machine.gpu.name, 0.0) ** 2
    if not machine.engine.can_run(machine.layout, machine.gpu):
        total += 0.15**2
    if machine.layout.gpus > 8:
        total += WIDE**2
    if drafts:
        low, _, high = machine.engine.mtp[drafts]
        total += (log(high / low) / (2 * Z)) ** 2
    return sqrt(total)


def chance(value: float, sigma: float, limit: float) -> float:
    """That a figure stays at or under `limit`."""
    return NORMAL.cdf(log(limit / value) / sigma) if value > 0 else 1.0


def quantile_factor(sure: float, sigma: float) -> float:
    """What a figure grows to at the quantile `sure`."""
    return exp(NORMAL.inv_cdf(sure) * sigma)


def figures(value: float) -> str:
    """A number with two digits, as its error leaves any sense: 1,200, 31, 4.7, 0.052."""
    if value == 0 or not isfinite(value):
        return "0" if value == 0 else "-"
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.{max(0, 1 - floor(log10(abs(rounded))))}f}"
