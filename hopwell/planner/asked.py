"""A question in words, as options of `hopwell plan` or fields of the page put it; and what a latency class makes of its
answer: what it promises, and what a reasoning model can and cannot do within that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from hopwell.limits.catalogue import CatalogueError, catalogue, find_gpu
from hopwell.planner.calibration import NOTHING, Calibration
from hopwell.planner.model import Model, PlanError
from hopwell.planner.question import Question, Wanted
from hopwell.planner.search import Answer
from hopwell.planner.serving import Load
from hopwell.planner.uncertainty import figures

GPUS = "h100,h200,b200,b300,gb200,gb300"
ORDERS = ("price", "gpus", "energy", "speed")
ENGINES = ("hopwell", "sglang", "trtllm", "vllm")
PRECISIONS = ("bf16", "fp8", "nvfp4", "int4")
CLASSES = {"interactive": (1500.0, 15.0), "server": (2000.0, 80.0), "bulk": (60000.0, 500.0)}
"""Promises of ms to the first token and between tokens: MLPerf's two for R1 (5.1, 6.0), and one for jobs overnight."""
WHOLE = {"speech": 50.0, "recommendation": 8.0}
"""ms in which services of a kind want something whole: a frame of speech, a ranking."""
DEFAULT = "server"
UNITS = {"tokens": {"": 1.0, "k": 1e3, "m": 1e6}, "ms": {"": 1.0, "ms": 1.0, "s": 1e3}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What `hopwell plan --help` describes, beside the model and the prices."""

    gpus: str = GPUS
    input: str = "1k"
    output: str = "1k"
    cached: float = 0.0
    rate: float | None = None
    users: float | None = None
    ttft: str | None = None
    tpot: str | None = None
    latency_class: str | None = None
    sure: float = 0.8
    by: str = "price"
    engines: str = ""
    precisions: str = ""
    mtp: bool = True
    split: bool = True

    def question(self, model: Model, calibration: Calibration = NOTHING) -> Question:
        """
        Args:
            calibration: what was measured by whoever asks.

        Raises:
            PlanError: the message names the option at fault, and what it may be.
        """
        first, between = promises(self.latency_class, self.ttft, self.tpot)
        question = Question(
            model=model,
            gpus=parse_gpus(self.gpus),
            load=parse_load(self.input, self.output, self.cached, model),
            ttft_ms=first,
            tpot_ms=between,
            rate=self.rate,
            users=self.users,
            sure=self.sure,
            by=parse_name(self.by, "--by", ORDERS),
            engines=parse_names(self.engines, "--engines", ENGINES),
            precisions=parse_names(self.precisions, "--precisions", PRECISIONS),
            mtp=self.mtp,
            disaggregated=self.split,
            calibration=calibration,
        )
        if question.rate is not None and question.users is not None:
            raise PlanError("--rate and --users exclude each other: give the one that is known")
        return question

    def notes(self, answer: Answer) -> list[str]:
        """What the latency class makes of the answer, where that needs words."""
        return what_is_possible(self.latency_class, answer) if self.latency_class else []


def parse_gpus(text: str, option: str = "--gpus") -> tuple[Wanted, ...]:
    """`h100,16xh200` as GPUs, each with the most that there are.

    Raises:
        PlanError: a GPU is unknown or a count is no number; the message has the nearest names.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(?:(\d+)\s*[xX*]\s*)?(.+)", part)
        count, name = match.groups() if match else (None, part)
        try:
            gpu = find_gpu(name)
        except CatalogueError:
            near = get_close_matches(name.upper(), catalogue(), 3, 0.4) or list(catalogue())
            raise PlanError(f"{option}: {name!r} is not in the catalogue; nearest are {', '.join(near)}") from None
        if count is not None and int(count) < 1:
            raise PlanError(f"{option}: {part!r} has no GPU; give a count from 1, or none for as many as it takes")
        found.append(Wanted(gpu, None if count is None else int(count)))
    if not found:
        raise PlanError(f"{option}: nothing given; give names as h100,h200,b200 or counts as 16xh100")
    return tuple(found)


def parse_number(text: str, option: str, kind: str, low: float, high: float) -> float:
    """`8k` tokens, `2s` or `30ms` as a number of the unit `kind`.

    Raises:
        PlanError: it is none, or out of bounds; the message names the option.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", text.lower())
    units = UNITS[kind]
    example = "8k or 8192" if kind == "tokens" else "30ms or 2s"
    if not match or match[2] not in units:
        raise PlanError(f"{option} is {text!r}; give it as {example}")
    value = float(match[1]) * units[match[2]]
    if not low <= value <= high:
        raise PlanError(
            f"{option} is {text!r}; it can be from {low:,.10g} to {high:,.10g}{' ms' if kind == 'ms' else ' tokens'}"
        )
    return value


def parse_load(given: str, made: str, cached: float, model: Model) -> Load:
    """Tokens of a request.

    Raises:
        PlanError: a length is none, or both are more than the model reads.
    """
    load = Load(
        parse_number(given, "--input", "tokens", 1, 1e7), parse_number(made, "--output", "tokens", 2, 1e7), cached
    )
    length, most = load.input + load.output, model.max_position_embeddings
    if length > most:
        raise PlanError(f"--input and --output come to {length:,.0f} tokens; {model.name} reads {most:,} at most")
    return load


def parse_names(text: str, option: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names with commas between them; none for an empty text.

    Raises:
        PlanError: one is unknown; the message has all.
    """
    return tuple(parse_name(part, option, known) for part in text.split(",") if part.strip())


def parse_name(text: str, option: str, known: tuple[str, ...]) -> str:
    """One name.

    Raises:
        PlanError: it is unknown; the message has all.
    """
    name = text.strip().lower()
    if name not in known:
        raise PlanError(f"{option}: {name!r} is not known; give {' or '.join(known)}")
    return name


def promises(name: str | None, ttft: str | None, tpot: str | None) -> tuple[float, float]:
    """ms to the first token and between tokens: a class's, unless given apart.

    Raises:
        PlanError: the class is unknown, or a time is none.
    """
    if name is not None and name not in CLASSES and name not in WHOLE:
        raise PlanError(f"--class: {name!r} is not known; give one of {', '.join([*CLASSES, *WHOLE])}")
    first, between = CLASSES["interactive" if name in WHOLE else name or DEFAULT]
    if name in WHOLE:
        between = 50.0
    if ttft is not None:
        first = parse_number(ttft, "--ttft", "ms", 1, 1e7)
    if tpot is not None:
        between = parse_number(tpot, "--tpot", "ms", 0.01, 1e6)
    return first, between


def what_is_possible(name: str, answer: Answer) -> list[str]:
    """For classes that want a whole result in so many ms, what the best option makes of them."""
    if name not in WHOLE:
        return []
    option, within = answer.options[0], WHOLE[name]
    between, first = option.tpot_ms.p50, option.ttft_ms.p50
    tokens = within / between
    lines = [f"class {name}: {figures(within)} ms for a whole result"]
    if first > within:
        lines.append(f"the first token alone takes {figures(first)} ms here: no result of this model comes in time,")
        lines.append("and it thinks before it answers; a small model, or an answer computed ahead, must serve the call")
    if tokens >= 1:
        lines.append(
            f"once it speaks, {figures(within)} ms hold {figures(tokens)} tokens, faster than speech (about 5 tokens a "
            "second): its answer can be streamed to a voice"
        )
    else:
        lines.append(f"one token takes {figures(between)} ms: not even one comes within {figures(within)} ms")
    return lines
