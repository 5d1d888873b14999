"""Random bursts against an engine: every answer is checked token by token against the model alone."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import script
from benchmarks.options import Checkpoint, Device
from benchmarks.reference import greedy_answer
from hopwell.cache.prefix import PAGE
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.config import EngineConfig
from hopwell.engine.engine import Engine
from hopwell.engine.grammar import GrammarCompiler, GrammarState
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.request import LATENCY_CLASSES, FinishReason, Request, SamplingParams

SCHEMAS: list[dict[str, Any]] = [
    {"regex": r"(yes|no|maybe)( [a-z]{1,6}){0,3}"},
    {"regex": r"[0-9]{1,4}(\.[0-9]{2})?"},
    {"json_schema": {"enum": ["left", "right", "up", "down"]}},
    {
        "json_schema": {
            "type": "object",
            "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer"}},
            "required": ["ok", "n"],
            "additionalProperties": False,
        }
    },
]
MODES = [(drafts, cache, overlap) for drafts in (0, 2) for cache in (False, True) for overlap in (False, True)]
"""(drafts, prefix cache, overlap)."""
GROWTH_PERCENT = 1.0
"""Resident memory may grow by this in the last half of a run, tens of thousands of tokens."""
SHOWN = ("drafts", "prefix_cache", "overlap", "finished", "aborted", "wrong", "preemptions", "rss_growth_percent")


@dataclass(frozen=True, slots=True)
class Case:
    """A request of the stress run."""

    prompt: list[int]
    params: SamplingParams
    priority: int
    latency_class: str
    abort_after: int | None
    """Steps after its arrival at which it is cancelled."""


@dataclass(slots=True)
class StressResult:
    """What a run did, and what was wrong."""

    finished: int = 0
    aborted: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    tokens: int = 0
    preemptions: int = 0
    hit_rate: float = 0.0
    acceptance_length: float = 1.0
    rss_mid_mb: float = 0.0
    """Resident memory when half of the requests had ended."""
    rss_end_mb: float = 0.0


def make_cases(count: int, vocab: Sequence[int], seed: int, constrained: bool = True) -> list[Case]:
    """Random requests: shared prefixes, lengths, priorities, classes, constraints; one in five to be cancelled.

    Args:
        vocab: tokens that prompts are made of.
    """
    r = random.Random(seed)
    prefixes = [r.choices(vocab, k=r.randrange(40, 300)) for _ in range(12)]
    cases = []
    for _ in range(count):
        prompt = [*r.choice(prefixes)[: r.randrange(0, 300)], *r.choices(vocab, k=r.randrange(1, 60))]
        constraint = r.choice(SCHEMAS) if constrained and r.random() < 0.15 else {}
        params = SamplingParams(
            temperature=0.0,
            max_tokens=r.randrange(1, 48),
            ignore_eos=not constraint and r.random() < 0.3,
            **constraint,
        )
        abort = r.randrange(0, 40) if r.random() < 0.2 else None
        cases.append(Case(prompt, params, r.randrange(3), r.choice(list(LATENCY_CLASSES)), abort))
    return cases


def references(
    loaded: LoadedModel, cases: Sequence[Case], progress: Callable[[int], None] | None = None
) -> list[list[int]]:
    """The greedy answer to each case, by the model alone."""
    longest = max(len(case.prompt) + (case.params.max_tokens or 0) for case in cases)
    model, eos = replace(loaded.model, absorbed=True), loaded.eos_token_ids
    latent = model.new_latent(-(-longest // PAGE))
    compiler = GrammarCompiler(loaded.tokenizer.json(), model.config.vocab_size, eos[0]) if eos else None
    answers = []
    for i, case in enumerate(cases):
        grammar = None
        if case.params.constrained and compiler is not None:
            grammar = GrammarState(compiler.compile(case.params), compiler)
        ends = () if case.params.ignore_eos else eos
        answers.append(greedy_answer(model, latent, case.prompt, case.params.max_tokens or 1, ends, grammar))
        if progress is not None:
            progress(i + 1)
    return answers


def run_stress(engine: Engine, cases: Sequence[Case], expected: Sequence[Sequence[int]], seed: int = 0) -> StressResult:
    """Sends the cases in bursts, cancels some, and compares what comes back.

    Checks that every finished answer is the expected one, every cancelled one a start of it, and that no page leaked.
    """
    r = random.Random(seed)
    result = StressResult()
    got: list[list[int]] = [[] for _ in cases]
    to_abort: dict[int, list[int]] = {}
    sent = ended = step = 0
    started = time.perf_counter()
    while ended < len(cases):
        if sent < len(cases) and r.random() < 0.15:  # a burst
            for i in range(sent, min(sent + r.randrange(1, 40), len(cases))):
                case = cases[i]
                engine.submit(
                    Request(
                        request_id=str(i),
                        prompt=case.prompt,
                        params=case.params,
                        priority=case.priority,
                        latency_class=case.latency_class,
                        stream=i % 3 > 0,
                    )
                )
                if case.abort_after is not None:
                    to_abort.setdefault(step + case.abort_after, []).append(i)
                sent = i + 1
        for i in to_abort.pop(step, []):
            engine.abort(str(i))
        for output in engine.step():
            i = int(output.request_id)
            part = output.outputs[0]
            got[i] += part.tokens
            if output.finished:
                ended += 1
                if ended == len(cases) // 2:
                    result.rss_mid_mb = resident_mb()
                _compare(result, i, got[i], expected[i], part.finish_reason)
        step += 1
    result.seconds = time.perf_counter() - started
    result.rss_end_mb = resident_mb()
    while engine.has_work():  # a stale step may still be in flight
        engine.step()
    engine.check()
    if engine.scheduler.running:
        result.wrong.append(f"{engine.scheduler.running} sequences hold pages at the end")
    m = engine.metrics
    result.tokens, result.preemptions = m.generated_tokens, m.preemptions
    result.hit_rate, result.acceptance_length = m.hit_rate, m.acceptance_length
    return result


def _compare(result: StressResult, i: int, got: list[int], want: Sequence[int], reason: FinishReason | None) -> None:
    if reason is FinishReason.ABORT:
        result.aborted += 1
        good = got == list(want[: len(got)])
    else:
        result.finished += 1
        good = got == list(want) and reason in (FinishReason.STOP, FinishReason.LENGTH)
    if not good:
        at = next((j for j, (a, b) in enumerate(zip(got, want, strict=False)) if a != b), min(len(got), len(want)))
        result.wrong.append(f"request {i} ({reason}): differs at token {at} of {len(want)}")


def bench_stress(loaded: LoadedModel, requests: int, seed: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Runs every mode of `MODES` that the model can over the same requests; one row a mode."""
    vocab = range(10, loaded.model.config.vocab_size)
    cases = make_cases(requests, vocab, seed)
    say(f"{requests} requests; the model alone answers them first")
    expected = references(loaded, cases, lambda done: say(f"{done} answered") if done % 500 == 0 else None)
    rows = []
    for drafts, cache, overlap in MODES:
        if drafts and not loaded.model.has_mtp:
            continue
        config = EngineConfig(
            max_seqs=32, max_batch_tokens=512, cache_tokens=2048, drafts=drafts, prefix_cache=cache, overlap=overlap
        )
        engine = loaded.engine(config)
        result = run_stress(engine, cases, expected, seed)
        engine.close()
        row = {"drafts": drafts, "prefix_cache": cache, "overlap": overlap, "requests": requests}
        row |= {"finished": result.finished, "aborted": result.aborted, "wrong": len(result.wrong)}
        row |= {"seconds": round(result.seconds, 1), "tokens_per_s": round(result.tokens / result.seconds, 1)}
        row |= {"preemptions": result.preemptions, "hit_percent": round(100 * result.hit_rate, 1)}
        row |= {"acceptance_length": round(result.acceptance_length, 2)}
        row |= {"rss_mid_mb": round(result.rss_mid_mb, 1), "rss_end_mb": round(result.rss_end_mb, 1)}
        row |= {"rss_growth_percent": round(100 * (result.rss_end_mb / result.rss_mid_mb - 1), 2)}
        rows.append(row)
        say(", ".join(f"{name} {value}" for name, value in row.items()))
        for fault in result.wrong[:5]:
            say(f"  {fault}")
    return rows


def resident_mb() -> float:
    """Resident memory of this process, in MB; NaN where the system does not tell as Linux does."""
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except OSError:
        return float("nan")
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(
    model: Checkpoint = None,
    requests: Annotated[int, typer.Option(min=1, help="In each mode.")] = 5000,
    seed: Annotated[int, typer.Option(help="Of the requests.")] = 0,
    device: Device = "auto",
    out: Out = None,
) -> None:
    """Random bursts, a fifth of them cancelled, in every mode; each answer checked against the model alone. Exits 1 if
    one is wrong, or memory grew by over a percent in the last half."""
    rows = bench_stress(load_model(model, device=device), requests, seed, typer.echo)
    print_rows([{name: row[name] for name in SHOWN} for row in rows])
    if out is not None:
        write_result(out, "stress", rows, seed=seed)
    if any(row["wrong"] or row["rss_growth_percent"] > GROWTH_PERCENT for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)
