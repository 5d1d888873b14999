"""What the live meter costs on a CPU, how its sums stand to steps that it leaves alone, and what it says of a model.

Engines with it and without take turns, a batch of short answers each. Time is the thread's own, so that others on the
machine disturb little; medians.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Annotated, Any

import torch
import typer

from benchmarks import script
from benchmarks.options import Checkpoint
from benchmarks.speed import questions
from hopwell.bench.whole import by_kind
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.llm import LLM
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.meter import StepMeter, mark_seconds
from hopwell.engine.request import SamplingParams
from hopwell.limits.history import AtWork, Row
from hopwell.limits.marks import GAPS, UNMARKED, Recorder
from hopwell.limits.meter import Pace, Reading, Sums

Batches = Annotated[list[int] | None, typer.Option(min=1, help="Answers at once; may be repeated.")]


def cost_rows(loaded: LoadedModel, batches: list[int], tokens: int, rounds: int) -> list[dict[str, Any]]:
    """For each batch: milliseconds of the thread a step with the meter and without, and what its parts take alone."""
    rows = []
    for batch in batches:
        on, off = (LLM(loaded, meter=meter, max_seqs=batch, prefix_cache=False) for meter in (True, False))
        prompts = questions(batch, loaded.tokenizer)
        params = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)
        taken: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(rounds + 1):
            for meter in (True, False) if turn % 2 else (False, True):
                llm = on if meter else off
                began, steps = time.thread_time(), llm.engine.metrics.steps
                llm.generate(prompts, params)
                if turn:
                    taken[meter].append((time.thread_time() - began) / (llm.engine.metrics.steps - steps))
        ratios = sorted(a / b for a, b in zip(taken[True], taken[False], strict=True))
        meter = on.engine.meter
        assert meter is not None
        every = meter.pace.every
        standing, extra = _parts(meter)
        without = median(taken[False])
        rows.append(
            {
                "batch": batch,
                "ms_with": round(1e3 * median(taken[True]), 3),
                "ms_without": round(1e3 * without, 3),
                "ratio": round(median(ratios), 4),
                "ratio_quartiles": [round(ratios[len(ratios) * part // 4], 4) for part in (1, 3)],
                "every": every,
                "us_each_step": round(1e6 * standing, 2),
                "us_a_measured_step": round(1e6 * extra, 1),
                "share_by_parts": round((standing + extra / every) / without, 5),
            }
        )
        for llm in (on, off):
            llm.close()
    return rows


def _parts(meter: StepMeter, times: int = 200) -> tuple[float, float]:
    """Seconds of what the meter adds to each step, and to a measured one beside that, each alone in a loop."""
    count = len(meter.recorder.marks)

    def taken(run: Callable[[], object]) -> float:
        found = []
        for _ in range(5):
            began = time.thread_time()
            for _ in range(times):
                run()
            found.append((time.thread_time() - began) / times)
        return min(found)

    def unheard() -> None:
        for _ in range(count):
            UNMARKED.mark("op")

    one = AtWork(1, 0, 1, 1)
    standing = taken(unheard) + taken(lambda: meter.history.step(1e-3, 1e-4, 1, 1, one)) + taken(meter.pace.due)
    end = taken(lambda: meter.end(1e-3))
    return standing, end + count * mark_seconds(Recorder())


@contextmanager
def _watched(llm: LLM) -> Iterator[tuple[list[Reading], list[float]]]:
    """Readings of measured steps and seconds of the others, both by the thread's own clock."""
    meter, runner = llm.engine.meter, llm.engine.runner
    assert meter is not None
    meter.pace = Pace(share=1e9, least=2)  # every other one
    meter.recorder._stamp = time.thread_time
    readings, others, history = list[Reading](), list[float](), meter.history
    measure, execute = history.measure, runner._execute

    def measured(reading: Reading) -> None:
        del reading[None, GAPS]  # by another clock
        readings.append(reading)
        measure(reading)

    def timed(*call: Any) -> Any:
        began, before = time.thread_time(), len(readings)
        result = execute(*call)
        if len(readings) == before:
            others.append(time.thread_time() - began)
        return result

    history.measure, runner._execute = measured, timed  # type: ignore[method-assign]
    yield readings, others


def limit_rows(
    loaded: LoadedModel, batches: list[int], tokens: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Of decode steps: each op by kind of layer beside its limit; and sums of ops beside the steps left alone."""
    ops, sums = [], []
    for batch in batches:
        llm = LLM(loaded, max_seqs=batch, drafts=0, prefix_cache=False)
        params = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)
        with _watched(llm) as (readings, others):
            llm.generate(questions(batch, loaded.tokenizer), params)
        decode = readings[1:]  # the first reads the prompts
        found: dict[tuple[str, str], list[Sums]] = defaultdict(list)
        for reading in decode:
            for key, _, one in by_kind(reading, loaded.model):
                found[key].append(one)
        for (kind, op), each in found.items():
            middle = Sums(*(median(getattr(one, name) for one in each) for name in Sums.__slots__))
            row = Row.of((None, op), middle, 1)
            ops.append(
                {"batch": batch, "layer": kind, "op": op, "us": round(row.us, 1), "bytes": round(row.bytes),
                 "flops": round(row.flops), "limit_us": _rounded(row.limit_us), "percent": _rounded(row.percent),
                 "bound": row.bound}
            )  # fmt: skip
        us = [1e6 * reading.seconds for reading in decode]
        floor = median(1e6 * sum(one.floor for one in reading.values()) for reading in decode)
        sums.append(
            {"batch": batch, "steps": len(us), "sum_of_ops_us": round(median(us), 1),
             "step_left_alone_us": round(1e6 * median(others[1:]), 1),
             "ratio": round(median(us) / (1e6 * median(others[1:])), 4), "limit_us": round(floor, 1),
             "percent": round(100 * floor / median(us), 1)}
        )  # fmt: skip
        llm.close()
    return ops, sums


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def main(
    model: Checkpoint = None,
    batch: Batches = None,
    tokens: Annotated[int, typer.Option(min=8, help="Of each answer.")] = 96,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each engine.")] = 20,
    out: Out = None,
) -> None:
    """The meter's cost, its sums, and each op's share of its limit."""
    loaded = load_model(model, device="cpu")
    batches = batch or [1, 8, 32]
    cost = cost_rows(loaded, batches, tokens, rounds)
    print_rows(cost)
    ops, sums = limit_rows(loaded, batches, tokens)
    print_rows(sums)
    print_rows(ops)
    if out is not None:
        rates = loaded.rates
        ceilings = {"bytes_per_s": rates.bytes_per_s, "flops_per_s": rates.flops_per_s}
        threads = torch.get_num_threads()
        write_result(out, "meter", ops, model=loaded.name, threads=threads, ceilings=ceilings, cost=cost, sums=sums)


if __name__ == "__main__":
    script(main)
