"""What an upgrade of a cluster is worth: software first, then GPUs for the same load, money, megawatt and racks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, inf

from hopwell.limits.catalogue import Gpu
from hopwell.limits.prices import Prices
from hopwell.planner.model import Model, PlanError
from hopwell.planner.question import Option, Question, Wanted
from hopwell.planner.search import search
from hopwell.planner.serving import Load
from hopwell.planner.worth import Money, Swing, opex, saving_loads, swings_of

HORIZON = 36
"""Months over which an upgrade is judged."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What there is, what it runs and what is asked of it."""

    model: Model
    gpu: Gpu
    count: int
    load: Load
    ttft_ms: float
    tpot_ms: float
    sure: float = 0.8
    engine: str = "sglang"
    precision: str = "fp8"
    rate: float | None = None
    """Requests a second today; None: 60 % of what it can carry."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """All GPUs of a cluster, laid out in the best way allowed."""

    option: Option
    """One replica of it, prompts' side included."""
    gpu: Gpu
    count: int
    tokens_per_s: float
    """Output, at the most that keeps the promises."""

    def watts(self, share: float) -> float:
        """At the meter, at a share of its most; the replicas that a load does not need idle at a third."""
        busy = self.option.watts.p50 / self.option.gpus * self.count
        return busy * (min(1.0, share) + (1 - min(1.0, share)) / 3)


@dataclass(frozen=True, slots=True)
class Rung:
    """One change of software."""

    what: str
    fleet: Fleet | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """Another kind of GPU in place of the present ones; or those, fewer, with the best software."""

    gpu: Gpu
    alike: float
    """Tokens a GPU with today's engine, format and layout rules, over today's; 0: they cannot keep the promises."""
    best: Fleet
    """As many GPUs as the load takes, with the best software."""
    most: float
    """Tokens a second of one GPU where nothing but its own number limits the load."""
    same_money: int
    same_power: int
    same_racks: int
    """GPUs."""
    outlay: float
    """USD for new GPUs, less what old ones bring."""
    opex_now: float
    opex: float
    """USD a month."""
    payback: float
    """Months; 0: at once, inf: never."""
    net: float
    """USD saved over the horizon."""
    saves_at: tuple[float, float] | None
    """Shares of today's capacity between which the move saves over the horizon; None: at none."""
    swings: tuple[Swing, ...]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The whole advice."""

    cluster: Cluster
    now: Fleet
    rate: float
    """Requests a second."""
    rungs: tuple[Rung, ...]
    moves: tuple[Move, ...]
    impossible: dict[str, str]


def question(cluster: Cluster, gpu: Gpu, most: int | None, **changes: object) -> Question:
    """The cluster's load put to one kind of GPU, with any software unless changed."""
    base = Question(
        cluster.model,
        (Wanted(gpu, most),),
        cluster.load,
        cluster.ttft_ms,
        cluster.tpot_ms,
        sure=cluster.sure,
        by="gpus",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def fleet(asked: Question, count: int, prices: Prices) -> Fleet:
    """The most that `count` GPUs can make.

    Raises:
        PlanError: they keep no promise, or hold no model.
    """
    options = search(asked, prices).options
    best = max(options, key=lambda option: count // option.gpus * option.tokens_per_s.p50)
    return Fleet(best, asked.gpus[0].gpu, count, count // best.gpus * best.tokens_per_s.p50)


def advise(cluster: Cluster, candidates: tuple[Gpu, ...], prices: Prices) -> Upgrade:
    """What software alone gains, and what each of `candidates` would.

    Raises:
        PlanError: the present cluster cannot keep the promises.
    """
    as_is = {"engines": (cluster.engine,), "precisions": (cluster.precision,), "mtp": False, "disaggregated": False}
    try:
        now = fleet(question(cluster, cluster.gpu, cluster.count, **as_is), cluster.count, prices)
    except PlanError as error:
        raise PlanError(f"--have {cluster.count}x{cluster.gpu.name}, as it is: {error}") from None
    output = cluster.load.output
    rate = cluster.rate if cluster.rate is not None else 0.6 * now.tokens_per_s / output
    moves, impossible = [], {}
    for gpu in (cluster.gpu, *(gpu for gpu in candidates if gpu != cluster.gpu)):
        try:
            moves.append(_move(cluster, now, rate, gpu, as_is, prices))
        except PlanError as error:
            impossible[gpu.name] = str(error)
    moves.sort(key=lambda move: -move.net)
    return Upgrade(cluster, now, rate, tuple(_ladder(cluster, now, as_is, prices)), tuple(moves), impossible)


def _ladder(cluster: Cluster, now: Fleet, as_is: dict[str, object], prices: Prices) -> list[Rung]:
    """Each change alone, then all together."""
    four = ("nvfp4",) if cluster.gpu.fp4 else ("int4",)
    changes: list[tuple[str, dict[str, object], str]] = [
        ("MTP", {"mtp": True}, "tokens accepted a step depend on the texts"),
        ("prompts on GPUs of their own", {"disaggregated": True}, ""),
        ("four bits for the experts", {"precisions": four}, "check the answers' quality first"),
        (
            "another engine",
            {"engines": ()},
            "settings and cache formats more than kernels; under 15 % it means nothing",
        ),
        ("Hopwell", {"engines": ("hopwell",)}, ""),
        ("all but four bits", {"engines": (), "mtp": True, "disaggregated": True}, ""),
        ("all", {"engines": (), "mtp": True, "disaggregated": True, "precisions": ()}, ""),
    ]
    rungs = [Rung("as it is", now)]
    for what, change, note in changes:
        try:
            found = fleet(question(cluster, cluster.gpu, cluster.count, **{**as_is, **change}), cluster.count, prices)
        except PlanError:
            rungs.append(Rung(what, None, "keeps the promises on no layout of these GPUs"))
            continue
        rungs.append(Rung(what, found, note))
    return rungs


def _move(cluster: Cluster, now: Fleet, rate: float, gpu: Gpu, as_is: dict[str, object], prices: Prices) -> Move:
    old, new = prices.of(cluster.gpu.name), prices.of(gpu.name)
    unit = gpu.domain  # a machine or a rack: nothing smaller is sold
    option = search(question(cluster, gpu, None, rate=rate), prices).options[0]
    each = option.capacity.p50 / option.gpus
    facility = prices.facility
    money = Money(new.buy.middle, old.resale.middle, facility.electricity.middle, facility.colocation.middle, 1.0, rate)

    def needed(at: Money) -> int:
        wanted = at.rate * cluster.load.output / (each * at.speed)
        return ceil(max(wanted, option.layout.gpus) / unit - 1e-9) * unit

    def costs(at: Money) -> tuple[float, float, float]:
        """Outlay less resale, and opex of the present and of the new GPUs."""
        count = needed(at)
        made = at.rate * cluster.load.output
        best = Fleet(option, gpu, count, count * each * at.speed)
        kept = min(count, cluster.count) if gpu == cluster.gpu else 0
        outlay = (count - kept) * at.buy - (cluster.count - kept) * at.resale
        present = opex(cluster.count, now.watts(made / now.tokens_per_s), old, at)
        return outlay, present, opex(count, best.watts(made / best.tokens_per_s), new, at)

    def net(at: Money) -> float:
        outlay, present, after = costs(at)
        return HORIZON * (present - after) - outlay

    outlay, present, after = costs(money)
    count = needed(money)
    kilowatts, spent = cluster.count * old.provisioned_kw, cluster.count * old.buy.middle
    return Move(
        gpu=gpu,
        alike=_a_gpu(question(cluster, gpu, None, **as_is), prices) / (now.tokens_per_s / now.count),
        best=Fleet(option, gpu, count, count * each),
        most=_a_gpu(question(cluster, gpu, None), prices),
        same_money=int(spent / new.buy.middle) // unit * unit,
        same_power=int(kilowatts / new.provisioned_kw) // unit * unit,
        same_racks=ceil(cluster.count / old.rack) * new.rack,
        outlay=outlay,
        opex_now=present,
        opex=after,
        payback=0.0 if outlay <= 0 else outlay / (present - after) if present > after else inf,
        net=net(money),
        saves_at=saving_loads(money, now.tokens_per_s / cluster.load.output, net),
        swings=swings_of(money, old, new, prices, option.sigma, net),
    )


def _a_gpu(asked: Question, prices: Prices) -> float:
    """Tokens a second of a GPU of the best option; 0: none keeps the promises."""
    try:
        option = search(asked, prices).options[0]
    except PlanError:
        return 0.0
    return option.tokens_per_s.p50 / option.gpus
