"""`hopwell plan article`: the popular claims of B200 over H100, each beside what is known, measured and predicted."""

from __future__ import annotations

from typing import Annotated

import typer

from hopwell.cli.outputs import AsJson, print_json


def article(
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/b200-vs-h100.md.")] = False,
) -> None:
    """B200 against H100 line by line: what is said, known, measured and predicted, like for like and as marketed."""
    from hopwell.cli.tables import one_output, print_rows
    from hopwell.limits.prices import read_prices
    from hopwell.planner import article_report as report
    from hopwell.planner.article import claims, speeds

    one_output(as_json, as_markdown)
    prices = read_prices()
    found, by_speed = claims(prices), speeds(prices)
    if as_json:
        print_json(report.as_json(found, by_speed))
    elif as_markdown:
        print(report.markdown(found, by_speed), end="")
    else:
        print_rows(report.table(found), report.TITLE, wrap=True)
        print_rows(report.speed_table(by_speed), "B200 over H100, by the speed that each user sees")
        for claim in found:
            print(f"\n{claim.what}: {claim.said}")
            for label, text in report.details(claim):
                print(f"  {label:<9} {text}")
