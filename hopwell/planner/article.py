"""The popular claims of B200 over H100 for R1: what is known, what was measured, and what the planner says of each.

"Like for like" changes the GPU alone: SGLang, FP8, no MTP, each GPU in its best layout. "As marketed" sets B200 with
four bits, MTP and the better of two engines against two hosts of H100 as of early 2025: FP8, no MTP, no prompts apart.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import hypot
from pathlib import Path
from typing import Any, NamedTuple

from hopwell.limits.catalogue import Gpu, find_gpu
from hopwell.limits.prices import Prices
from hopwell.planner.asked import parse_gpus
from hopwell.planner.engines import find_engine
from hopwell.planner.kernels import exchange
from hopwell.planner.layout import Layout, layouts
from hopwell.planner.model import Model, PlanError, read_model
from hopwell.planner.power import ERROR
from hopwell.planner.question import Option, Question
from hopwell.planner.search import search
from hopwell.planner.serving import Load, Serving
from hopwell.planner.step import Machine, total
from hopwell.planner.uncertainty import FIRST_ERROR, PROMPT_ERROR, Band, band, figures, step_error

PATH = Path(__file__).with_name("article.toml")
LOAD = Load(8000, 1000)
ANSWER = 500
"""Tokens of the one answer that is timed, to a prompt of 1,000."""
SPEEDS = (10, 20, 35, 50)
"""Tokens a second that each user sees."""
TIGHT = Layout(8, 1, 8, 1)


class Said(NamedTuple):
    """What the planner says of a claim."""

    like: str
    marketed: str
    how: str
    """What was asked."""
    figures: Mapping[str, Band | float]


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim."""

    what: str
    said: str
    fact: str
    known: str
    """With its sources."""
    measured: str = ""
    files: tuple[str, ...] = ()
    """Of benchmarks/results, in which that stands."""
    planner: Said = field(default_factory=lambda: Said("", "", "", {}))


class Speed(NamedTuple):
    """B200 over H100 where each user sees so many tokens a second; None: H100 cannot."""

    tokens_per_s: int
    like_gpu: Band | None
    like_joule: Band | None
    marketed_gpu: Band | None
    marketed_joule: Band | None


@cache
def document() -> Mapping[str, Any]:
    """article.toml as it stands."""
    return tomllib.loads(PATH.read_text(encoding="utf-8"))


def claims(prices: Prices) -> list[Claim]:
    """All of them, in the article's order of weight."""
    answers = _Answers(prices)
    return [_claim(entry, answers) for entry in document()["claim"]]


def speeds(prices: Prices) -> list[Speed]:
    """How the ratio depends on what each user sees: where 25 x comes from."""
    answers = _Answers(prices)
    return [answers.speed(each) for each in SPEEDS]


def _claim(entry: Mapping[str, Any], answers: _Answers) -> Claim:
    quotes = entry.get("quotes", [])
    files = tuple(dict.fromkeys(quote[0] for quote in quotes))
    ask: Callable[[], Said] | None = getattr(answers, entry["asks"]) if "asks" in entry else None
    return Claim(
        entry["what"], entry["said"], entry["fact"], entry["known"],
        entry.get("measured", "").format(*(f"{quote[2]:,}" for quote in quotes)), files,
        ask() if ask else Said("", "", "", {}),
    )  # fmt: skip


def times(ratio: Band) -> str:
    """`4.4 x (3.3-5.9)`."""
    return f"{figures(ratio.p50)} x ({figures(ratio.p10)}-{figures(ratio.p90)})"


class _Answers:
    """The planner's side: a method a claim."""

    def __init__(self, prices: Prices) -> None:
        self.prices, self.r1 = prices, read_model("deepseek-r1")
        self.h100, self.b200 = find_gpu("H100"), find_gpu("B200")

    def best(self, gpus: str, speed: float, **changed: Any) -> Option:
        """The layout that makes most tokens a GPU, each user seeing `speed` tokens a second at the median."""
        asked: dict[str, Any] = {
            "engines": ("sglang",), "precisions": ("fp8",), "mtp": False, "sure": 0.5, "by": "gpus", "load": LOAD,
        }  # fmt: skip
        asked |= {"ttft_ms": 1e4, "tpot_ms": 1e3 / speed, **changed}
        return search(Question(model=self.r1, gpus=parse_gpus(gpus), **asked), self.prices).options[0]

    def marketed(self, speed: float, **changed: Any) -> tuple[Option, Option]:
        """H100 and B200 as they are compared in advertisements."""
        old = self.best("16xh100", speed, disaggregated=False, **changed)
        four_bits = {"engines": ("sglang", "trtllm"), "precisions": ("nvfp4",), "mtp": True}
        return old, self.best("b200", speed, **{**four_bits, **changed})

    def speed(self, each: int) -> Speed:
        """At one speed."""
        try:
            alike = self.best("h100", each), self.best("b200", each)
        except PlanError:
            return Speed(each, None, None, None, None)
        try:
            sold = self.marketed(each)
        except PlanError:
            return Speed(each, a_gpu(*alike), a_joule(*alike), None, None)
        return Speed(each, a_gpu(*alike), a_joule(*alike), a_gpu(*sold), a_joule(*sold))

    @cached_property
    def _at_20(self) -> tuple[tuple[Option, Option], tuple[Option, Option]]:
        return (self.best("h100", 20), self.best("b200", 20)), self.marketed(20)

    def tokens_a_joule(self) -> Said:
        alike, sold = self._at_20
        like, marketed = a_joule(*alike), a_joule(*sold)
        how = f"8k in, 1k out, 20 tokens/s a user, watts at the meter; {_named(*alike)}; as marketed {_named(*sold)}"
        return Said(times(like), times(marketed), how, {"like": like, "marketed": marketed})

    def an_answer(self) -> Said:
        alone: dict[str, Any] = {"load": Load(1000, ANSWER), "users": 1, "by": "speed"}
        old, new = self.best("16xh100", 1, **alone), self.best("8xb200", 1, **alone)
        was, sold = self.marketed(1, **alone)
        like, marketed = _inverse(_answer(old), _answer(new)), _inverse(_answer(was), _answer(sold))
        how = f"R1, one user, {ANSWER} tokens to a prompt of 1,000: {', '.join(o.name for o in (old, new, sold))}"
        return Said(
            f"{_seconds(old)} s to {_seconds(new)} s, {times(like)}",
            f"{_seconds(was)} s to {_seconds(sold)} s, {times(marketed)}",
            how, {"like": like, "marketed": marketed},
        )  # fmt: skip

    def bandwidth_use(self) -> Said:
        alike, sold = self._at_20
        shares = {option.gpu.name: _share(option) for option in alike}
        marketed = _share(sold[1])
        like = " to ".join(f"{_percent(share)} %" for share in shares.values())
        how = "of the data sheet's bandwidth, in the decode steps of the first claim"
        return Said(like, f"{_percent(marketed)} % on B200", how, {**shares, "marketed": marketed})

    def operations_a_watt(self) -> Said:
        like = [gpu.fp8 / gpu.tdp / 1e12 for gpu in (self.h100, self.b200) if gpu.fp8]
        four = (self.b200.fp4 or 0.0) / self.b200.tdp / 1e12
        text = f"{like[0]:.1f} to {like[1]:.1f}, {like[1] / like[0]:.1f} x"
        marketed = f"{four:.1f} in FP4, {four / like[0]:.1f} x"
        found = {"H100": like[0], "B200": like[1], "FP4": four}
        return Said(text, marketed, "data sheets: FP8, dense, over the limit in W", found)

    def hits(self) -> Said:
        token = self.r1.num_hidden_layers * self.r1.latent_dim * 2
        held = {gpu.name: (gpu.l2 or 0) / token for gpu in (self.h100, self.b200)}
        none, *some = (self.best("b200", 20, load=Load(8000, 1000, cached)) for cached in (0.0, 0.892, 0.987))
        gains = [_ratio(none, option, hypot(PROMPT_ERROR, option.sigma)) for option in some]
        like = f"L2 holds {' to '.join(map(figures, held.values()))} tokens of all users"
        marketed = f"were it so: {times(gains[0])} and {times(gains[1])} the tokens a GPU of none"
        found = {**held, "gain_89": gains[0], "gain_99": gains[1]}
        return Said(like, marketed, "latents of all layers in BF16; B200, FP8, 8k in", found)

    def fewest_gpus(self) -> Said:
        kimi = read_model("kimi-k2")
        found = {
            f"{name} {precision}": _fewest(model, precision, self.b200)
            for name, model in (("R1", self.r1), ("Kimi-K2 (1T)", kimi))
            for precision in ("fp8", "nvfp4")
        }
        like = ", ".join(f"{name} {count}" for name, count in found.items() if "fp8" in name)
        sold = ", ".join(f"{name} {count}" for name, count in found.items() if "nvfp4" in name)
        return Said(like, sold, "powers of two of B200 that hold the weights and one request of 9k", found)

    def a_prompt(self) -> Said:
        rows = {gpu.name: total(self._tight(gpu, "fp8").prompt(8000)) / 1e3 for gpu in (self.h100, self.b200)}
        like = band(rows["H100"] / rows["B200"], hypot(PROMPT_ERROR, PROMPT_ERROR))
        four = total(self._tight(self.b200, "nvfp4").prompt(8000)) / 1e3
        marketed = band(rows["H100"] / four, hypot(PROMPT_ERROR, PROMPT_ERROR))
        how = "a prompt of 8,000 tokens on 8 GPUs, TP8, whatever fits"
        return Said(times(like), times(marketed), how, {"like": like, "marketed": marketed})

    def a_sum(self) -> Said:
        sizes = {"64 kB": 65536.0, "2 MB": 2097152.0, "32 MB": 33554432.0}
        gains: dict[str, Band | float] = {}
        for name, moved in sizes.items():
            old, new = (exchange("sum", 8, gpu) for gpu in (self.h100, self.b200))
            gains[name] = band(old.us(moved) / new.us(moved), hypot(old.error, new.error))
        like = ", ".join(f"{name} {times(gain)}" for name, gain in gains.items() if isinstance(gain, Band))
        return Said(like, "", "a sum among 8 GPUs, B200 faster by", gains)

    def a_step(self) -> Said:
        machines = [self._tight(self.h100, "fp8"), self._tight(self.b200, "fp8"), self._tight(self.b200, "nvfp4")]
        us = [total(machine.decode(1, 2000)) for machine in machines]
        sigma = hypot(find_engine("sglang").error, find_engine("sglang").error, 0.08)
        like, marketed = band(us[0] / us[1], sigma), band(us[0] / us[2], sigma)
        how = "a decode step of one user on 8 GPUs, TP8, whatever fits"
        return Said(times(like), times(marketed), how, {"like": like, "marketed": marketed})

    def parameters(self) -> Said:
        count = float(self.r1.parameters)
        return Said(f"{count / 1e9:,.0f}B", "", "from config.json, without MTP", {"parameters": count})

    def gb200(self) -> Said:
        rate = (find_gpu("GB200").fp8 or 0.0) / 1e15
        return Said(f"{rate:g} PFLOP/s", "", "the catalogue", {"fp8": rate})

    def _tight(self, gpu: Gpu, precision: str) -> Machine:
        engine = find_engine("sglang")
        return Machine(self.r1, engine.precision(precision, gpu), TIGHT, gpu, engine)


def a_gpu(one: Option, other: Option) -> Band:
    """Tokens a second and GPU of `other` over those of `one`."""
    return _ratio(one, other, hypot(one.sigma, other.sigma))


def a_joule(one: Option, other: Option) -> Band:
    """Tokens a joule at the meter."""
    gain = (other.tokens_per_s.p50 / other.watts.p50) / (one.tokens_per_s.p50 / one.watts.p50)
    return band(gain, hypot(one.sigma, other.sigma, ERROR, ERROR))


def _ratio(one: Option, other: Option, sigma: float) -> Band:
    return band((other.tokens_per_s.p50 / other.gpus) / (one.tokens_per_s.p50 / one.gpus), sigma)


def _named(*options: Option) -> str:
    return " and ".join(option.name for option in options)


def _answer(option: Option) -> tuple[float, float]:
    """ms of a whole answer, and the standard deviation of its logarithm."""
    first, rest = option.ttft_ms.p50, ANSWER * option.tpot_ms.p50
    return first + rest, hypot(first * FIRST_ERROR, rest * option.sigma) / (first + rest)


def _inverse(one: tuple[float, float], other: tuple[float, float]) -> Band:
    return band(one[0] / other[0], hypot(one[1], other[1]))


def _seconds(option: Option) -> str:
    return figures(_answer(option)[0] / 1e3)


def _share(option: Option) -> Band:
    point = option.point
    moved = sum(op.moved for op in point.decode) / point.decode_us * 1e6
    return band(moved / option.gpu.bandwidth, step_error(option.machine, point, 0))


def _percent(share: Band) -> str:
    return f"{figures(100 * share.p50)} ({figures(100 * share.p10)}-{figures(100 * share.p90)})"


def _fewest(model: Model, precision: str, gpu: Gpu) -> int:
    """GPUs of the smallest layout that holds a request of 9,000 tokens, whichever engine."""
    return min(
        layout.gpus
        for engine in map(find_engine, ("sglang", "trtllm"))
        for layout in layouts(model, gpu, precision)
        if Serving(Machine(model, engine.precision(precision, gpu), layout, gpu, engine), LOAD).limit >= 1
    )
