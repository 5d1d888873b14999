"""A question in words, as options of `hopwell plan` or fields of the page put it."""

from __future__ import annotations

from dataclasses import dataclass

from hopwell.planner.calibration import NOTHING, Calibration
from hopwell.planner.classes import promises, what_is_possible
from hopwell.planner.model import Model, PlanError
from hopwell.planner.question import Question, parse_gpus, parse_load, parse_names
from hopwell.planner.search import Answer

GPUS = "h100,h200,b200,b300,gb200,gb300"
ORDERS = ("price", "gpus", "energy", "speed")
ENGINES = ("hopwell", "sglang", "trtllm", "vllm")
PRECISIONS = ("bf16", "fp8", "nvfp4", "int4")


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
            load=parse_load(self.input, self.output, self.cached),
            ttft_ms=first,
            tpot_ms=between,
            rate=self.rate,
            users=self.users,
            sure=self.sure,
            by=(parse_names(self.by, "--by", ORDERS) or ORDERS)[0],
            engines=parse_names(self.engines, "--engines", ENGINES),
            precisions=parse_names(self.precisions, "--precisions", PRECISIONS),
            mtp=self.mtp,
            disaggregated=self.split,
            calibration=calibration,
        )
        _check(question)
        return question

    def notes(self, answer: Answer) -> list[str]:
        """What the latency class makes of the answer, where that needs words."""
        return what_is_possible(self.latency_class, answer) if self.latency_class else []


def _check(question: Question) -> None:
    if question.rate is not None and question.users is not None:
        raise PlanError("--rate and --users exclude each other: give the one that is known")
    length = question.load.input + question.load.output
    if length > question.model.max_position_embeddings:
        most = question.model.max_position_embeddings
        raise PlanError(
            f"--input and --output come to {length:,.0f} tokens; {question.model.name} reads {most:,} at most"
        )
