"""A conversion's report for people: Markdown, and one HTML page with its plots drawn in it."""

from __future__ import annotations

import html
from itertools import pairwise
from typing import Any

from hopwell.svg import STYLE, Mark, Series, curves


def layer_errors(report: dict[str, Any]) -> list[tuple[int, float, float]]:
    """Layer, mean relative squared output error by plain rounding, and after compensation, of what was converted."""
    sums: dict[int, list[float]] = {}
    for group in report["groups"]:
        detail = group["formats"].get(group["chosen"])
        if detail is None:
            continue
        total = sums.setdefault(group["layer"], [0.0, 0.0, 0.0])
        total[0] += sum(detail["before"])
        total[1] += sum(detail["after"])
        total[2] += len(detail["after"])
    return [(layer, t[0] / t[2], t[1] / t[2]) for layer, t in sorted(sums.items())]


def pareto(report: dict[str, Any]) -> list[tuple[float, float]]:
    """(bits a weight, sum of single KLs), along the allocation's path from the smallest formats to the source's."""
    from hopwell.quantization.allocate import Choice, hull

    weights = sum(g["weights"] for g in report["groups"])
    steps, size, loss = [], 0, 0.0
    for group in report["groups"]:
        options = [Choice("source", group["source_bytes"], 0.0)]
        options += [Choice(f, d["bytes"], d["kl"]) for f, d in group["formats"].items() if "kl" in d]
        line = hull(options)
        size, loss = size + line[0].nbytes, loss + line[0].loss
        steps += [(a.loss - b.loss, b.nbytes - a.nbytes) for a, b in pairwise(line)]
    points = [(8 * size / weights, loss)]
    for gain, cost in sorted(steps, key=lambda s: -s[0] / s[1]):
        size, loss = size + cost, loss - gain
        points.append((8 * size / weights, max(loss, 0.0)))
    return points


def group_errors(report: dict[str, Any]) -> list[tuple[float, float]]:
    """Mean relative squared output error before and after of every converted group, by the first, falling."""
    found = []
    for group in report["groups"]:
        detail = group["formats"].get(group["chosen"])
        if detail is not None:
            found.append(tuple(sum(detail[k]) / len(detail[k]) for k in ("before", "after")))
    return sorted(found, reverse=True)


def summary(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The report's head, as names and values."""
    goal, kl, plain = report["settings"]["goal"], report["kl_on_calibration"], report["kl_of_plain_rounding"]
    unit = {"kl": "KL {:g}", "error": "output error {:g}", "nbytes": "{:,} bytes", "bits": "{:g} bits a weight"}
    lines = [
        ("goal", ", ".join(unit.get(k, "{} everywhere").format(v) for k, v in goal.items() if v is not None)),
        ("bits a weight of the linears", f"{report['bits_per_weight']:.3f}"),
        ("bytes of the tensors", f"{report['tensor_bytes']:,} (source: {report['source_bytes']:,})"),
        ("calibration tokens", f"{report['calibration_tokens']:,}"),
        ("KL to the source, on text that fitted nothing", "not measured" if kl is None else f"{kl:.3g}"),
    ]
    if plain is not None:
        saved = "" if not kl or not plain else f" ({1 - kl / plain:.0%} of it removed)"
        lines.append(("KL of plain rounding to the same formats", f"{plain:.3g}{saved}"))
    if goal["format"] is None:
        what = {"kl": "bytes", "error": "bytes"}.get(next(k for k, v in goal.items() if v is not None), "loss")
        value = report["linear_bytes"] if what == "bytes" else report["predicted_loss"]
        lines.append(
            (
                f"{what} of the linears, and what no choice whose losses add up alike can undercut",
                f"{value:,.6g}, {report['bound']:,.6g}",
            )
        )
    for part in sorted({g["part"] for g in report["groups"]}):
        members = [g for g in report["groups"] if g["part"] == part]
        counts = {c: sum(g["chosen"] == c for g in members) for c in sorted({g["chosen"] for g in members})}
        lines.append((part.replace("_", " "), ", ".join(f"{n} groups {c}" for c, n in counts.items())))
    return lines


def as_markdown(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = ["# Precision", "", "| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in summary(report))]
    lines += ["", "Squared output error relative to the output's, on rows that fitted nothing:", ""]
    lines += ["| layer | plain rounding | compensated |", "|---|---|---|"]
    lines += [f"| {layer} | {before:.3e} | {after:.3e} |" for layer, before, after in layer_errors(report)]
    lines += [
        "",
        "| group | tokens | chosen | bytes | before | after | kept | KL alone |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for g in report["groups"]:
        detail = g["formats"].get(g["chosen"])
        if detail is None:
            lines.append(f"| {g['name']} | {g['tokens']} | {g['chosen']} | {g['source_bytes']:,} | 0 | 0 | | 0 |")
            continue
        before, after = (", ".join(f"{e:.2e}" for e in detail[k]) for k in ("before", "after"))
        kl = f"{detail['kl']:.2e}" if "kl" in detail else ""
        rungs = ", ".join(detail["rungs"])
        cells = (g["name"], g["tokens"], g["chosen"], f"{detail['bytes']:,}", before, after, rungs, kl)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def as_html(report: dict[str, Any]) -> str:
    """The report as one page without outside resources."""
    rows = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in summary(report))
    plots = ""
    label = "squared output error, relative"
    if errors := layer_errors(report):
        before, after = ([Mark(each[0], each[place]) for each in errors] for place in (1, 2))
        drawn = [Series("plain rounding", before), Series("compensated", after)]
        plots += "<h2>Error by layer</h2>" + curves(label, "layer", drawn, log=False)
        columns = zip(*group_errors(report), strict=True)
        before, after = ([Mark(i, error) for i, error in enumerate(column, 1)] for column in columns)
        drawn = [Series("plain rounding", before), Series("compensated", after, line=False)]
        plots += "<h2>Before and after, every group</h2>"
        plots += curves(label, "groups, by the error of plain rounding", drawn)
    if any("kl" in d for g in report["groups"] for d in g["formats"].values()):
        bits = report["bits_per_weight"]
        found = {"chosen": "predicted_loss", "measured together": "kl_on_calibration",
                 "plain rounding": "kl_of_plain_rounding"}  # fmt: skip
        drawn = [Series("sum of single KLs", [Mark(*point) for point in pareto(report)])]
        drawn += [Series(name, [Mark(bits, report[key])]) for name, key in found.items() if report[key] is not None]
        plots += "<h2>Bytes against KL</h2>" + curves("KL, nats a token", "bits a weight of the linears", drawn)
    style = (
        "body{font:15px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
        "th{text-align:left;padding-right:2rem;font-weight:500}td{font-variant-numeric:tabular-nums}svg{max-width:44rem}"
    )
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>Precision</title><style>{style}{STYLE}</style>"
    return f"{head}<h1>Precision</h1><table>{rows}</table>{plots}</html>\n"
