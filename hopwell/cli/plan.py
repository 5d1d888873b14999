"""`hopwell plan`: which GPUs, how many, laid out how, at what latency, watts and price."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hopwell.cli.outputs import AsJson, check_file, print_json

if TYPE_CHECKING:
    from hopwell.planner.simulate import Arrival


def plan(
    model: Annotated[str, typer.Argument(help="A shipped name as deepseek-r1, a folder, or a config.json.")],
    gpus: Annotated[
        str, typer.Option(help="GPUs to compare, as h100,h200 or, if there are so many, 16xh100.")
    ] = "h100,h200,b200,b300,gb200,gb300",
    input_tokens: Annotated[
        str | None, typer.Option("--input", help="Tokens of a prompt, as 8k or 8192; default: 1k.")
    ] = None,
    output_tokens: Annotated[str | None, typer.Option("--output", help="Tokens of an answer; default: 1k.")] = None,
    cached: Annotated[float, typer.Option(min=0, max=0.99, help="Share of prompts in the prefix cache.")] = 0.0,
    rate: Annotated[float | None, typer.Option(min=1e-6, max=1e9, help="Requests a second.")] = None,
    users: Annotated[
        float | None, typer.Option(min=1, max=1e9, help="Users who ask again as soon as answered.")
    ] = None,
    ttft: Annotated[str | None, typer.Option(help="Promise: time to the first token, as 2s.")] = None,
    tpot: Annotated[str | None, typer.Option(help="Promise: time between tokens, as 30ms.")] = None,
    latency_class: Annotated[
        str | None, typer.Option("--class", help="Promises by name: interactive, server, bulk, speech, recommendation.")
    ] = None,
    sure: Annotated[float, typer.Option(min=0.5, max=0.99, help="Chance of keeping them.")] = 0.8,
    by: Annotated[str, typer.Option(help="Rank by price, gpus, energy or speed.")] = "price",
    engines: Annotated[str, typer.Option(help="Only these: hopwell,sglang,vllm,trtllm.")] = "",
    precisions: Annotated[str, typer.Option(help="Only these: bf16,fp8,nvfp4,int4.")] = "",
    mtp: Annotated[bool, typer.Option(help="Try multi-token prediction.")] = True,
    split: Annotated[bool, typer.Option(help="Try prompts on GPUs of their own.")] = True,
    prices: Annotated[Path | None, typer.Option(help="TOML with your own prices; what it lacks is built in.")] = None,
    calibrated: Annotated[bool, typer.Option(help="Use what hopwell plan calibrate has measured here.")] = True,
    tails: Annotated[bool, typer.Option("--tails", help="Simulate p99 at --rate, too.")] = False,
    trace: Annotated[
        Path | None, typer.Option(help="Requests as they came (.jsonl, .csv): their lengths, rate and tails.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 12,
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a page in Markdown.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with curves to this file, too.", callback=check_file)
    ] = None,
) -> None:
    """Rank GPUs, counts, layouts, precisions and MTP for a load, with bands, evidence, watts and price.

    Needs no GPU and no weights: predictions from kernels' measured times, checked against public results
    (docs/planner.md says how well).
    """
    from hopwell.cli.tables import one_output, print_rows
    from hopwell.limits.prices import read_prices
    from hopwell.planner import report
    from hopwell.planner.asked import Asked
    from hopwell.planner.calibration import NOTHING, read_calibration
    from hopwell.planner.model import PlanError, read_model
    from hopwell.planner.search import search

    one_output(as_json, as_markdown)
    arrivals: list[Arrival] = []
    given = {"input": input_tokens, "output": output_tokens}
    lengths = {name: text for name, text in given.items() if text is not None}
    if trace is not None:
        from hopwell.planner.trace import means, rate_of, read_trace

        if lengths:
            raise PlanError("--trace has lengths of its own; leave --input and --output out")
        arrivals = read_trace(trace, rate)
        lengths, rate = means(arrivals), rate or rate_of(arrivals)
    asked = Asked(
        gpus=gpus, cached=cached, rate=rate, users=users, ttft=ttft, tpot=tpot, latency_class=latency_class, sure=sure,
        by=by, engines=engines, precisions=precisions, mtp=mtp, split=split, **lengths,
    )  # fmt: skip
    question = asked.question(read_model(model), read_calibration() if calibrated else NOTHING)
    listed = read_prices(prices)
    answer = search(question, listed)
    if tails and rate is None:
        raise PlanError("--tails needs --rate or --trace: a closed loop has no arrivals")
    seen = report.simulated(answer, top, arrivals) if tails or arrivals else []
    rows = report.table(answer, top)
    if seen:
        rows = report.with_tails(rows, seen)
    about = [*report.card(answer, listed, model), *report.tail_lines(seen, bool(arrivals))]
    if html is not None:
        from hopwell.checkpoint.files import write_text
        from hopwell.planner.page import page

        write_text(html, page(answer, listed, model, rows, about))
    if as_json:
        print_json(report.as_json(answer, listed, model, top, seen))
    elif as_markdown:
        print(report.markdown(answer, model, rows, about), end="")
    else:
        print(report.describe(question))
        print_rows(rows)
        for name, why in answer.refused.items():
            print(f"{name}: {why}")
        print_card(about)
    if not as_json:
        for line in asked.notes(answer):
            print(line)


def print_card(lines: list[tuple[str, str]]) -> None:
    """Labels to the left, a line each."""
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        print(f"{label:<{width}}  {text}")
