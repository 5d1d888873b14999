"""What the live meter costs on a GPU, and how its sums stand to steps that it leaves alone.

    python -m benchmarks.meter_gpu r1-tp8 --layers 8 --batch 1 --batch 8 --batch 32 --batch 128

Decode steps of a model at its real widths with random weights, as the runner gives them to the GPU: with the meter at
its own pace and without it, in turns; then measured ones only, whose ops are added up.
"""

from __future__ import annotations

from statistics import mean, median
from typing import Annotated, Any

import typer

from benchmarks import script
from hopwell.bench.models import bench_config
from hopwell.bench.steps import STEPS, DecodeSteps
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.graphs import GraphedModel
from hopwell.engine.meter import StepMeter, measure_rates, recorder_for
from hopwell.limits.marks import GAPS
from hopwell.limits.meter import Pace
from hopwell.model.random_weights import random_transformer

CONTEXT = 1024


def measure(name: str, layers: int | None, batches: list[int], seconds: float) -> list[dict[str, Any]]:
    """A row for each batch."""
    config = bench_config(name, layers)
    model = random_transformer(config, "cuda")
    rates, most = measure_rates(model, 0), max(batches)
    plain = DecodeSteps(GraphedModel(model, max_rows=most), most, CONTEXT)
    meter = StepMeter(model, rates, recorder_for(model), overlapped=True)
    metered = DecodeSteps(GraphedModel(model, max_rows=most), most, CONTEXT, meter=meter)
    rows = []
    for batch in batches:
        meter.pace = Pace()
        _round = {True: metered._round, False: plain._round}
        taken: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(3 + max(8, round(seconds / (2 * STEPS * plain.measure(batch, rounds=3).seconds)))):
            for on in (True, False) if turn % 2 else (False, True):
                step = _round[on](batch)[0]
                if turn > 2:
                    taken[on].append(step)
        every, overhead = meter.pace.every, meter.pace.overhead
        readings = metered.ops(batch)
        alone = 1e6 * median(taken[False])
        ops = median(1e6 * sum(one.seconds for (_, op), one in each.items() if op != GAPS) for each in readings)
        whole = median(1e6 * each.seconds for each in readings)
        # a few rounds of either are held up by what else the host does: they say nothing of the meter
        kept = {on: mean(sorted(each)[: len(each) * 3 // 4]) for on, each in taken.items()}
        rows.append(
            {"model": name, "layers": config.num_hidden_layers, "batch": batch, "steps": STEPS * len(taken[True]),
             "us_without": round(1e6 * kept[False], 2), "us_with": round(1e6 * kept[True], 2),
             "cost_percent": round(100 * (kept[True] / kept[False] - 1), 3), "every": every,
             "own_overhead_percent": round(100 * overhead, 3), "sum_of_ops_us": round(ops, 1),
             "with_gaps_us": round(whole, 1), "sum_by_step": round(ops / alone, 4),
             "with_gaps_by_step": round(whole / alone, 4)}
        )  # fmt: skip
        print(rows[-1], flush=True)
    metered.runner.close()
    plain.runner.close()
    return rows


def main(
    model: Annotated[str, typer.Argument(help="A shipped config.")],
    layers: Annotated[int | None, typer.Option(min=1)] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1)] = None,
    seconds: Annotated[float, typer.Option(help="Of steps, for each batch.")] = 8.0,
    out: Out = None,
) -> None:
    """The meter's cost and its sums."""
    rows = measure(model, layers, batch or [1, 8, 32, 128], seconds)
    print_rows(rows)
    if out is not None:
        write_result(out, "meter-gpu", rows, context=CONTEXT)


if __name__ == "__main__":
    script(main)
