"""Every GPU x engine x precision x layout x MTP x split, ranked; or why there is nothing to rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

from hopwell.limits.prices import Prices
from hopwell.planner.apart import Side, promised, sides_of
from hopwell.planner.engines import Engine, engines, find_engine, precisions_of
from hopwell.planner.layout import WORLDS, layouts
from hopwell.planner.model import PlanError, Precision
from hopwell.planner.power import ERROR, board_watts, prompt_watts
from hopwell.planner.question import Option, Prompts, Question, Wanted
from hopwell.planner.serving import Point, Serving
from hopwell.planner.step import Machine
from hopwell.planner.uncertainty import FIRST_ERROR, Band, band, figures, quantile_factor, step_error

STEPS = sorted({round(2 ** (i / 2)) for i in range(27)})
"""Users of a replica that are tried."""
ROUNDS, CLOSE = 50, 1e-3
"""Of looking for the users of a rate: at most, and the change of them at which it ends."""
REFINED = 5
"""Of the ways of one engine and precision, those looked at closely."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the planner found: options, best first, and of GPUs without one why."""

    question: Question
    options: list[Option]
    refused: dict[str, str]
    points: int
    """Steady states that were computed."""


def search(question: Question, prices: Prices) -> Answer:
    """All options that keep the promises, best first.

    Raises:
        PlanError: there is none; the message has the best that could be reached.
        PriceError: a GPU has no price.
    """
    if question.by == "speed" and not _demand(question):
        question = replace(question, users=1)  # nothing is faster than a replica for one
    options: list[Option] = []
    refused: dict[str, str] = {}
    points = 0
    for wanted in question.gpus:
        finder = _Finder(question, wanted, prices)
        found = finder.options()
        points += finder.points
        options += found
        if not found:
            refused[wanted.gpu.name] = finder.reason()
    if not options:
        raise PlanError("; ".join(f"{name}: {why}" for name, why in refused.items()))
    options.sort(key=lambda option: rank_key(question, option))
    return Answer(question, options, refused, points)


def rank_key(question: Question, option: Option) -> tuple[float, float, float]:
    """What options of a question are ranked by, the best lowest."""
    keys = {
        "price": lambda o: o.dollars_per_hour.p50 / (1 if _demand(question) else o.tokens_per_s.p50),
        "gpus": lambda o: o.gpus if _demand(question) else -o.tokens_per_s.p50 / o.gpus,
        "energy": lambda o: o.joules_per_token.p50,
        "speed": lambda o: o.tpot_ms.p50,
    }
    return keys[question.by](option), option.gpus, option.tpot_ms.p50


def _demand(question: Question) -> bool:
    return question.rate is not None or question.users is not None


def _whole(replicas: float) -> int:
    """As many as a load takes, and one for the least."""
    return max(1, ceil(replicas - 1e-9))


class _Rough(NamedTuple):
    """A way to serve at the most users that keep the promises, before it is looked at closely."""

    gpus: int
    rate: float
    """Requests a second of all replicas."""
    serving: Serving
    most: Point
    replicas: int
    side: Side | None
    sides: int
    """Replicas for prompts alone."""


class _Finder:
    """The search on one kind of GPU."""

    def __init__(self, question: Question, wanted: Wanted, prices: Prices) -> None:
        self.question, self.gpu, self.most = question, wanted.gpu, wanted.most
        self.price, self.facility = prices.of(wanted.gpu.name), prices.facility
        self.points = 0
        self.best_tpot = self.best_ttft = float("inf")
        self.smallest: int | None = None

    def options(self) -> list[Option]:
        """Of every engine and precision the best few, at the load itself."""
        found: list[Option] = []
        for engine, precision in self._served():
            if self.question.cache is not None:
                precision = replace(precision, cache=self.question.cache)
            roughs = sorted(filter(self._near, self._roughs(engine, precision)), key=self._order)[:REFINED]
            closer = sorted(map(self._finer, roughs), key=self._order)
            found += [self._sized(rough) for rough in closer if self.most is None or rough.gpus <= self.most]
        return found

    def _served(self) -> Iterator[tuple[Engine, Precision]]:
        """What the model may be served by, and in, on these GPUs."""
        for name in self.question.engines or tuple(engines()):
            engine = self.question.calibration.applied(find_engine(name), self.gpu)
            for precision in precisions_of(self.question.model, engine, self.gpu, self.question.precisions):
                yield engine, precision

    def _near(self, rough: _Rough) -> bool:
        """Whether there are as many GPUs, or a closer look might show that there are: users half an octave apart."""
        slack = 1.5 if _demand(self.question) else 1.0
        return self.most is None or rough.gpus <= slack * self.most

    def _roughs(self, engine: Engine, precision: Precision) -> Iterator[_Rough]:
        question = self.question
        worlds = tuple(n for n in WORLDS if self.most is None or n <= self.most)
        machines = [
            Machine(question.model, precision, layout, self.gpu, engine)
            for layout in question.layouts or layouts(question.model, self.gpu, precision.name, worlds)
            if engine.can_run(layout, self.gpu) or question.layouts
        ]
        sides = sides_of(question, self.gpu, machines) if question.disaggregated and engine.disaggregates else []
        fewest = float("inf")
        for machine in machines:
            if _demand(question) and question.by != "speed" and machine.layout.gpus > 2 * fewest:
                continue  # one replica would already be twice what the load takes
            for rough in self._of(machine, sides):
                fewest = min(fewest, rough.gpus)
                yield rough

    def _order(self, rough: _Rough) -> tuple[float, float]:
        """Fewest GPUs for the load, or for a token; then the most to spare. If speed is asked, the fastest first."""
        if self.question.by == "speed":
            return self._sized(rough).tpot_ms.p50, rough.gpus
        spare = -rough.replicas * rough.most.requests_per_s
        return (rough.gpus, spare) if _demand(self.question) else (rough.gpus / rough.rate, spare)

    def _of(self, machine: Machine, sides: list[Side]) -> Iterator[_Rough]:
        mtp = self.question.mtp and self.question.model.num_nextn_predict_layers
        for drafts in (0, *machine.engine.mtp) if mtp else (0,):
            serving = Serving(machine, self.question.load, drafts)
            if serving.limit < 1:
                continue
            self.smallest = min(self.smallest or 1 << 30, machine.layout.gpus)
            if found := self._most(serving, None):
                yield self._rough(serving, found, None)
            apart = Serving(machine, self.question.load, drafts, colocated=False)
            if sides and (found := self._most(apart, sides[0])):
                yield min(self._with(sides, apart, found), key=self._order)

    def _with(self, sides: list[Side], serving: Serving, most: Point) -> Iterator[_Rough]:
        """A way to decode, with each of `sides`; `most` was found with the first."""
        for side in sides:
            point = replace(most, ttft_ms=most.ttft_ms + side.first_ms - sides[0].first_ms)
            if side is sides[0] or promised(self.question, point.ttft_ms):
                yield self._filled(self._rough(serving, point, side))

    def _at(self, serving: Serving, users: float, side: Side | None) -> Point:
        self.points += 1
        point = serving.at(users)
        if side is None:
            return point
        rate = point.admitted / (serving.load.output * point.tpot_ms / 1e3)
        waits = (users - point.admitted) / rate * 1e3 if users > point.admitted else 0.0
        first = side.first_ms + point.decode_us / 1e3 + waits
        return replace(point, ttft_ms=first, requests_per_s=rate, busy_prompts=0.0)

    def _kept(self, serving: Serving, point: Point) -> bool:
        sigma = step_error(serving.machine, point, serving.drafts)
        self.best_tpot = min(self.best_tpot, point.tpot_ms * quantile_factor(self.question.sure, sigma))
        self.best_ttft = min(self.best_ttft, point.ttft_ms * quantile_factor(self.question.sure, FIRST_ERROR))
        in_time = point.tpot_ms * quantile_factor(self.question.sure, sigma) <= self.question.tpot_ms
        return in_time and promised(self.question, point.ttft_ms)

    def _most(self, serving: Serving, side: Side | None) -> Point | None:
        """The most users that keep the promises, among those tried."""
        tried = [n for n in STEPS if n < serving.limit] + [serving.limit]
        best = self._at(serving, tried[0], side)
        if not self._kept(serving, best):
            return None
        low, high = 1, len(tried)
        while low < high:
            middle = (low + high) // 2
            point = self._at(serving, tried[middle], side)
            if self._kept(serving, point):
                best, low = point, middle + 1
            else:
                high = middle
        return best

    def _finer(self, rough: _Rough) -> _Rough:
        """The same with the most users to within a fiftieth: those tried are half an octave apart."""
        serving, most = rough.serving, rough.most
        low = int(most.users)
        high = min((n for n in (*STEPS, serving.limit) if n > low), default=low)
        high = min(high, serving.limit + 1)
        while high - low > max(1, low // 50):
            middle = (low + high) // 2
            point = self._at(serving, middle, rough.side)
            if self._kept(serving, point):
                most, low = point, middle
            else:
                high = middle
        return self._filled(self._rough(serving, most, rough.side))

    def _filled(self, rough: _Rough) -> _Rough:
        """Where no load is asked for: fewer GPUs for prompts, all of them busy, if that is better, or all there are."""
        serving, side = rough.serving, rough.side
        if side is None or _demand(self.question):
            return rough
        decoding = serving.machine.layout.gpus
        room = rough.sides if self.most is None else (self.most - decoding) // side.gpus
        ways = [rough] if rough.sides <= room else []
        fewer = min(rough.sides - 1, room)
        if fewer >= 1:
            rate = fewer * side.requests_per_s
            point = self._at(serving, max(1.0, rough.most.users * rate / rough.rate), side)
            point = replace(point, requests_per_s=min(rate, point.requests_per_s))
            gpus = decoding + fewer * side.gpus
            ways.append(_Rough(gpus, point.requests_per_s, serving, point, 1, side, fewer))
        return min(ways, key=self._order, default=rough)

    def _rough(self, serving: Serving, most: Point, side: Side | None) -> _Rough:
        """How many GPUs the load takes."""
        question = self.question
        replicas, rate = 1, most.requests_per_s
        if question.rate is not None:
            rate = question.rate
            replicas = _whole(rate / most.requests_per_s)
        elif question.users is not None:
            replicas = _whole(question.users / most.users)
            rate = most.requests_per_s * question.users / most.users
        sides = ceil(rate / side.requests_per_s) if side else 0
        gpus = replicas * serving.machine.layout.gpus + (sides * side.gpus if side else 0)
        return _Rough(gpus, rate, serving, most, replicas, side, sides)

    def _sized(self, rough: _Rough) -> Option:
        """An option at the point where the load puts each of its replicas."""
        question, serving, most, replicas = self.question, rough.serving, rough.most, rough.replicas
        point, rate = most, rough.rate
        if question.rate is not None:
            users = most.users
            for _ in range(ROUNDS):  # Little: users are the rate times how long an answer takes
                point = self._at(serving, max(1e-3, users), rough.side)
                users = rate / replicas * (point.ttft_ms + serving.load.output * point.tpot_ms) / 1e3
                users = min(users, most.users)
                if abs(users - point.users) <= CLOSE * point.users:
                    break
            point = replace(point, requests_per_s=rate / replicas)
        elif question.users is not None:
            point = self._at(serving, question.users / replicas, rough.side)
            rate = point.requests_per_s * replicas
        side = rough.side
        apart = Prompts(side.serving.machine.layout, rough.sides) if side else None
        sigma = step_error(serving.machine, point, serving.drafts)
        output = serving.load.output
        made = band(rate * output, 0.0 if question.rate is not None else sigma)
        capacity = band(most.requests_per_s * replicas * output, sigma)
        return Option(
            self.gpu, serving.machine.engine, serving.machine.precision, serving.machine.layout, serving.drafts,
            replicas, apart, serving.memory, serving.machine, point, sigma, band(point.tpot_ms, sigma),
            band(point.ttft_ms, FIRST_ERROR), made, capacity, most.users,
            self._watts(serving.machine, point, replicas, apart), Band(*self.price.rent).times(rough.gpus),
        )  # fmt: skip

    def _watts(self, machine: Machine, point: Point, replicas: int, side: Prompts | None) -> Band:
        """At the meter."""
        cooling = self.price.cooling
        meter = self.facility.kilowatts(board_watts(machine, point), cooling) * replicas * machine.layout.gpus
        if side is not None:
            meter += self.facility.kilowatts(prompt_watts(self.gpu), cooling) * side.replicas * side.layout.gpus
        return band(meter * 1e3, ERROR)

    def reason(self) -> str:
        """Why there is no option."""
        question = self.question
        if not any(self._served()):
            return "no engine that may be used serves the model there in a precision that may be; allow others"
        if self.smallest is None:
            have = f" of the {self.most} there are" if self.most else ""
            return f"the model with one request of that length fits no layout{have}; give more or larger GPUs"
        if self.best_tpot > question.tpot_ms:
            best = figures(self.best_tpot)
            return f"--tpot {figures(question.tpot_ms)}ms cannot be promised; the best reachable is {best}ms"
        if self.best_ttft > question.ttft_ms:
            best = figures(self.best_ttft)
            return f"--ttft {figures(question.ttft_ms)}ms cannot be promised; the best reachable is {best}ms"
        limit = f"{self.most} GPUs do not carry the load" if self.most else "no layout keeps both promises at once"
        return f"{limit}; lower --rate or --users, or relax --tpot or --ttft"
