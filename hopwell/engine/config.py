"""How an engine is set up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hopwell.cache.policy import POLICY_NAMES
from hopwell.engine.typed import fields_of, misfit
from hopwell.errors import HopwellError
from hopwell.limits.pacing import OBJECTIVES
from hopwell.ops.sizes import MAX_DRAFTS

MAX_SEQS = 1 << 16
"""Far beyond what any GPU decodes at once; some memory is set aside for each."""
MIN_MODEL_LEN = 16
"""Tokens: with fewer, a conversation's marks alone leave no room for an answer."""


class EngineConfigError(HopwellError):
    """A setting of the engine that cannot be honoured; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Settings of an engine.

    Raises:
        EngineConfigError: a setting is out of range or of another type.
    """

    max_seqs: int = 256
    """Sequences that run at once."""
    max_batch_tokens: int = 4096
    """Rows of one step: decode rows, their drafts, and prefill chunks."""
    max_model_len: int | None = None
    """Prompt and answer together; None: the model's context."""
    cache_tokens: int | None = None
    """Size of the latent cache, in tokens; None: by the memory at hand."""
    cache_dtype: str = "auto"
    """Format of the latent cache: "auto" (the model's own dtype), "bfloat16" or "fp8"."""
    activations: str | None = None
    """How rows enter products with FP8 weights: "fp8" (rounded to e4m3), "bf16" (unrounded), or "auto", which for each
    op and number of rows takes what costs no time; None: as the device does it unasked, FP8 by a GPU's kernels and
    unrounded in plain PyTorch."""
    four_bits: str = "expanded"
    """How a GPU holds matrices that are stored in four bits: "packed" for kernels that widen them in registers, which
    is what it does unasked, or "expanded" to bf16 when they are loaded, as on a CPU."""
    max_waiting: int = 16384
    """Requests beyond this are refused as overloaded."""
    step_timeout: float = 120.0
    """Seconds that a step may take; after that a server says that it hangs, and ends what waits for it."""
    drafts: int = 0
    """Tokens that the MTP layer proposes each step, 0 to 3 (other engines' num_speculative_tokens)."""
    adaptive_drafts: bool = False
    """As many of them each step as pay at the load of that moment (`--drafts auto`)."""
    forced_acceptance: float | None = None
    """Benches only: mean tokens a step (1 to drafts + 1), accepted whether or not they are right."""
    prefix_cache: bool = True
    cache_policy: str = "rai"
    """Which pages kept for reuse go first: "lru" (least recently used), "arc" (adaptive replacement) or "rai" (those of
    the kind that is least likely to be used again soon, by what was seen)."""
    host_cache_gb: float | None = None
    """Host memory for pages that the latent cache gives up; None: none."""
    disk_cache: str | None = None
    """Folder for pages on disk, which survive a restart; they go through host memory."""
    disk_cache_gb: float | None = None
    """What they may take there."""
    page_store: str | None = None
    """A store of pages that several engines use, in the place of a disk: `dir:FOLDER`, or `MODULE:FUNCTION`, which
    gives a `cache.store.PageStore`. Without `host_cache_gb` host memory has room for as many as the latent cache."""
    page_store_gb: float | None = None
    """What pages may take in such a folder."""
    overlap: bool = False
    """Schedule the next step while the device runs the last one; on one GPU the default."""
    graphs: bool = True
    """Replay small steps as CUDA graphs, on a GPU."""
    batch_invariant: bool = True
    """A request's tokens do not depend on what shares its batch, where the device can promise it
    (`LoadedModel.batch_invariant`); long prompts take about twice as long on a CPU, and all steps on a GPU, where it
    needs `graphs`."""
    meter: bool = False
    """Measure one step in so many op by op (`Engine.limits`); a CPU's default. A GPU runs those steps with events
    between ops."""
    energy: bool | None = None
    """Count joules and share them among requests; None: on a CPU that has an energy counter.
    True is refused where there is none."""
    objective: str = "latency"
    """What is gained with the time that promises leave: "latency" (nothing waits), "throughput" (prompts wait for
    others, to fill chunks), or "energy" (steps too, so that more sequences share each)."""
    tpot_promise_ms: float | None = None
    """With the objective "energy", milliseconds a token that requests are held to which were promised nothing; None:
    as the class `server` was."""
    hold_prompts: bool = True
    """Whether prompts may wait for others; where the objective is "latency", none does."""
    max_degrees: int | None = None
    """Celsius from which on, and while a GPU slows itself, requests of class `batch` wait; None: none does."""

    def __post_init__(self) -> None:
        check_types(fields_of(self))
        for name in ("max_seqs", "max_batch_tokens", "max_waiting"):
            if getattr(self, name) < 1:
                raise EngineConfigError(f"{name} is {getattr(self, name)}; give 1 or more")
        if self.max_seqs > MAX_SEQS:
            raise EngineConfigError(f"max_seqs is {self.max_seqs:,}; give {MAX_SEQS:,} at the most")
        if self.max_model_len is not None and self.max_model_len < MIN_MODEL_LEN:
            raise EngineConfigError(
                f"max_model_len is {self.max_model_len}, too few for a question and its answer; give"
                f" {MIN_MODEL_LEN} or more"
            )
        if not self.step_timeout > 0:
            raise EngineConfigError(f"step_timeout is {self.step_timeout}; give a number of seconds above 0")
        if not 0 <= self.drafts <= MAX_DRAFTS:
            raise EngineConfigError(f"drafts is {self.drafts}; give 0 to {MAX_DRAFTS}")
        if self.max_batch_tokens < self.max_seqs * (1 + self.drafts):
            raise EngineConfigError(
                f"max_batch_tokens is {self.max_batch_tokens}, less than one step of {self.max_seqs} sequences with"
                f" {self.drafts} drafts; raise it or lower max_seqs"
            )
        if self.cache_policy not in POLICY_NAMES:
            raise EngineConfigError(f"cache_policy is {self.cache_policy!r}; known: {', '.join(POLICY_NAMES)}")
        self._check_tiers()
        self._check_objective()
        if self.forced_acceptance is not None and not 1 <= self.forced_acceptance <= self.drafts + 1:
            raise EngineConfigError(f"forced_acceptance is {self.forced_acceptance}; give 1 to {self.drafts + 1}")

    def _check_objective(self) -> None:
        if self.objective not in OBJECTIVES:
            raise EngineConfigError(f"objective is {self.objective!r}; known: {', '.join(OBJECTIVES)}")
        if not self.hold_prompts and self.objective == "latency":
            raise EngineConfigError("hold_prompts=False is for the objectives throughput and energy; leave it out")
        promise = self.tpot_promise_ms
        if promise is not None and self.objective != "energy":
            raise EngineConfigError(f"tpot_promise_ms needs objective 'energy'; it is {self.objective!r}")
        if promise is not None and not 1 <= promise <= 60_000:
            raise EngineConfigError(f"tpot_promise_ms is {promise:g}; give 1 to 60,000")
        if self.max_degrees is not None and not 30 <= self.max_degrees <= 120:
            raise EngineConfigError(f"max_degrees is {self.max_degrees}; give 30 to 120 degrees Celsius")

    def _check_tiers(self) -> None:
        for name in ("host_cache_gb", "disk_cache_gb", "page_store_gb"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise EngineConfigError(f"{name} is {value}; give a number above 0")
        for name, needed in (
            ("disk_cache", "disk_cache_gb"),
            ("disk_cache_gb", "disk_cache"),
            ("disk_cache", "host_cache_gb"),
            ("page_store_gb", "page_store"),
        ):
            if getattr(self, name) is not None and getattr(self, needed) is None:
                raise EngineConfigError(f"{name} needs {needed}; give both")
        for name in ("host_cache_gb", "page_store"):
            if getattr(self, name) is not None and not self.prefix_cache:
                raise EngineConfigError(f"{name} needs prefix_cache; leave it on")
        if (where := self.page_store) is not None:
            if self.disk_cache is not None:
                raise EngineConfigError("page_store is in the place of disk_cache; leave one of them out")
            if ":" not in where:
                raise EngineConfigError(f"page_store is {where!r}; give dir:FOLDER or MODULE:FUNCTION")
            if where.startswith("dir:") != (self.page_store_gb is not None):
                raise EngineConfigError(
                    "page_store_gb is what a folder may hold: give it with dir:FOLDER, and only then"
                )


def check_fits(setting: str, given: float, each: float, memory: float) -> None:
    """
    Args:
        each: bytes that one of what is given takes.
        memory: bytes that there are.

    Raises:
        EngineConfigError: it takes more.
    """
    if given * each > memory:
        most = f"{memory / each:,.0f}" if memory > 10 * each else f"{memory / each:.1f}"
        raise EngineConfigError(f"{setting} is {given:g}, for which there is no memory; give {most} at the most")


def check_types(settings: Mapping[str, Any]) -> None:
    """
    Raises:
        EngineConfigError: a setting is of another type than `EngineConfig` has.
    """
    if wrong := misfit(EngineConfig, settings):
        raise EngineConfigError(wrong[1])
