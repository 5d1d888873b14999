"""/v1/plan."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from hopwell.server.protocol.common import Body, Reply

Word = Annotated[str, Field(max_length=200)]
Number = Word | Annotated[int, Field(ge=0, lt=1 << 40)] | Annotated[float, Field(ge=0, lt=1 << 40)]
"""As `8k`, `2s` or a number of tokens or ms."""


class PlanRequest(Body):
    """The options of `hopwell plan`, under their names; what is not given is as there."""

    model: Word | None = None
    """A shipped name, such as deepseek-r1."""
    config: dict[str, Any] | None = None
    """Another model's config.json."""
    gpus: Word | None = None
    """As h100,16xh200."""
    input: Number | None = None
    output: Number | None = None
    cached: Annotated[float, Field(ge=0, le=0.99)] | None = None
    rate: Annotated[float, Field(ge=1e-6, le=1e9)] | None = None
    users: Annotated[float, Field(ge=1, le=1e9)] | None = None
    ttft: Number | None = None
    tpot: Number | None = None
    latency_class: Word | None = None
    sure: Annotated[float, Field(ge=0.5, le=0.99)] | None = None
    by: Word | None = None
    engines: Word | None = None
    precisions: Word | None = None
    mtp: bool | None = None
    split: bool | None = None
    calibrated: bool | None = None
    """Use what has been measured on the server's machine."""
    prices: Annotated[str, Field(max_length=32 << 10)] | None = None
    """A price list in TOML."""
    top: Annotated[int, Field(ge=1, le=100)] | None = None
    tails: bool | None = None
    """Simulate p99 of the first answer, at `rate`."""
    curves: bool | None = None
    """Plots as SVG, too: some seconds more."""

    @field_validator("input", "output", "ttft", "tpot")
    @classmethod
    def as_text(cls, value: str | float | None) -> str | None:
        """The planner reads units."""
        return value if value is None or isinstance(value, str) else f"{value:.15g}"


class PlanWords(Reply):
    question: str
    table: list[dict[str, str]]
    card: list[list[str]]
    """What the first answer would be started as, and what stands behind it."""
    notes: list[str]


class PlanReply(Reply):
    model: str
    parameters: int
    question: dict[str, Any]
    prices: dict[str, Any]
    points: int
    """Steady states that were computed."""
    refused: dict[str, str]
    """GPUs that cannot, and why."""
    options: list[dict[str, Any]]
    in_words: PlanWords
    plots: list[str] | None = None


class PlanChoices(Reply):
    models: list[str]
    gpus: dict[str, float]
    """With the middle price of a GPU and hour, rented, in USD."""
    engines: list[str]
    precisions: list[str]
    orders: list[str]
    classes: dict[str, list[float] | None]
    """ms to the first token and between tokens; null: a whole result in so many ms."""
    prices: str
    """Date of the built-in list."""
    usual: dict[str, Any]
