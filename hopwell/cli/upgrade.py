"""`hopwell upgrade`: what software alone gains on the GPUs there are, then what others would be worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopwell.cli.outputs import AsJson, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hopwell.limits.prices import Prices
    from hopwell.planner.upgrade import Upgrade


def upgrade(
    model: Annotated[str, typer.Argument(help="A shipped name, a folder, or a config.json.")] = "deepseek-r1",
    *,
    have: Annotated[str, typer.Option(help="The cluster, as 16xh100.")],
    engine: Annotated[str, typer.Option(help="What it runs: sglang, trtllm, vllm or hopwell.")] = "sglang",
    precision: Annotated[str, typer.Option(help="In which weights: bf16, fp8, nvfp4, int4.")] = "fp8",
    to: Annotated[str, typer.Option(help="GPUs to compare.")] = "h200,b200,gb200,b300,gb300",
    input_tokens: Annotated[str, typer.Option("--input", help="Tokens of a prompt.")] = "1k",
    output_tokens: Annotated[str, typer.Option("--output", help="Tokens of an answer.")] = "1k",
    rate: Annotated[
        float | None,
        typer.Option(min=1e-6, max=1e9, help="Requests a second today.  [default: 60 % of what it can carry]"),
    ] = None,
    ttft: Annotated[str, typer.Option(help="Promise: time to the first token.")] = "2s",
    tpot: Annotated[str, typer.Option(help="Promise: time between tokens.")] = "50ms",
    sure: Annotated[float, typer.Option(min=0.5, max=0.99, help="Chance of keeping them.")] = 0.8,
    prices: Annotated[Path | None, typer.Option(help="TOML with your own prices.")] = None,
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a page in Markdown.")] = False,
) -> None:
    """Software first, then H200, B200, GB200, B300 and GB300: same load, money, power and racks, with the pay-back."""
    from hopwell.cli.tables import one_output
    from hopwell.limits.catalogue import parse_cluster
    from hopwell.limits.prices import read_prices
    from hopwell.planner.asked import ENGINES, PRECISIONS, parse_gpus, parse_load, parse_name, parse_number
    from hopwell.planner.model import read_model
    from hopwell.planner.upgrade import Cluster, advise

    one_output(as_json, as_markdown)
    count, gpu = parse_cluster(have, "--have")
    sizes = read_model(model)
    cluster = Cluster(
        model=sizes,
        gpu=gpu,
        count=count,
        load=parse_load(input_tokens, output_tokens, 0.0, sizes),
        ttft_ms=parse_number(ttft, "--ttft", "ms", 1, 1e7),
        tpot_ms=parse_number(tpot, "--tpot", "ms", 0.01, 1e6),
        sure=sure,
        engine=parse_name(engine, "--engine", ENGINES),
        precision=parse_name(precision, "--precision", PRECISIONS),
        rate=rate,
    )
    listed = read_prices(prices)
    advice = advise(cluster, tuple(wanted.gpu for wanted in parse_gpus(to, "--to")), listed)
    _print(advice, listed, as_json, as_markdown)


def _print(advice: Upgrade, prices: Prices, as_json: bool, as_markdown: bool) -> None:
    from hopwell.planner import upgrade_report as report

    if as_json:
        print_json(report.as_json(advice))
        return
    tables: list[tuple[str, Sequence[dict[str, Any]]]] = [
        ("Software alone", report.ladder(advice)),
        ("Other GPUs", report.moves(advice)),
    ]
    tables += [("What the saving rests on", rows) for rows in report.tornadoes(advice)]
    if as_markdown:
        from hopwell.planner.report import markdown_table

        print(f"# Upgrade of {advice.cluster.count} x {advice.cluster.gpu.name}\n")
        print("\n".join(report.summary(advice)))
        for title, rows in tables:
            print(f"\n## {title}\n\n{markdown_table(rows)}")
        print("\n" + "\n".join(f"- {line}" for line in report.caveats(advice, prices)))
        return
    from hopwell.cli.tables import print_rows

    print("\n".join(report.summary(advice)))
    for title, rows in tables:
        print_rows(rows, title)
    print("\n".join(report.caveats(advice, prices)))
