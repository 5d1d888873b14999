"""A conversion's report for people: Markdown, and one HTML page with its plots drawn in it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import pairwise
from typing import Any


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
    from hopwell.precision.allocate import Choice, hull

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


def summary(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The report's head, as names and values."""
    kl = report["kl_on_calibration"]
    lines = [
        ("goal", ", ".join(f"{k} {v}" for k, v in report["settings"]["goal"].items() if v is not None)),
        ("bits a weight of the linears", f"{report['bits_per_weight']:.3f}"),
        ("bytes of the files", f"{report['file_bytes']:,} (source: {report['source_bytes']:,})"),
        ("calibration tokens", f"{report['calibration_tokens']:,}"),
        ("KL to the source on held-out calibration", "not measured" if kl is None else f"{kl:.3g}"),
        ("allocation and its bound", f"{report['predicted_loss']:.4g}, {report['bound']:.4g}"),
    ]
    for part in sorted({g["part"] for g in report["groups"]}):
        members = [g for g in report["groups"] if g["part"] == part]
        counts = {c: sum(g["chosen"] == c for g in members) for c in sorted({g["chosen"] for g in members})}
        lines.append((part, ", ".join(f"{n} groups {c}" for c, n in counts.items())))
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
    errors = layer_errors(report)
    plots = ""
    if errors:
        before = [(float(x), b) for x, b, _ in errors]
        after = [(float(x), a) for x, _, a in errors]
        plots += "<h2>Squared output error by layer</h2>" + _plot(
            {"plain rounding": before, "compensated": after}, "layer", "relative squared error"
        )
    if any("kl" in d for g in report["groups"] for d in g["formats"].values()):
        here = (report["bits_per_weight"], report["predicted_loss"])
        plots += "<h2>Bytes against KL</h2>" + _plot(
            {"allocation": pareto(report), "chosen": [here]}, "bits a weight", "sum of single KLs"
        )
    style = (
        "body{font:15px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
        "th{text-align:left;padding-right:2rem;font-weight:500}td{font-variant-numeric:tabular-nums}"
    )
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>Precision</title><style>{style}</style>"
    return f"{head}<h1>Precision</h1><table>{rows}</table>{plots}</html>\n"


COLOURS = ("#888", "#0a6", "#c40")


def _plot(series: dict[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> str:
    """Lines in an SVG, from zero upwards."""
    points = [p for line in series.values() for p in line]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top = max(y for _, y in points) or 1.0
    span = (right - left) or 1.0

    def place(x: float, y: float) -> str:
        return f"{60 + 520 * (x - left) / span:.1f},{240 - 220 * y / top:.1f}"

    parts = [
        '<path d="M60 20V240H580" fill="none" stroke="#333"/>',
        f'<text x="60" y="14" font-size="12">{y_label}, up to {top:.3g}</text>',
    ]
    parts.append(
        f'<text x="60" y="258" font-size="12">{left:g}</text><text x="540" y="258" font-size="12">{right:.4g}</text>'
    )
    parts.append(f'<text x="280" y="258" font-size="12">{x_label}</text>')
    for i, (name, line) in enumerate(series.items()):
        path = " ".join(place(x, y) for x, y in line)
        colour = COLOURS[i % len(COLOURS)]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="2.5" fill="{colour}"/>' for p in path.split()
        ]
        parts.append(f'<text x="440" y="{30 + 16 * i}" font-size="12" fill="{colour}">{html.escape(name)}</text>')
    return f'<svg viewBox="0 0 600 270" role="img">{"".join(parts)}</svg>'
