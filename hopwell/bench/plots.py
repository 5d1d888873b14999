"""Percent of the limit by batch, drawn from a result's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from hopwell.errors import HopwellError


def plot_limit(rows: Sequence[Mapping[str, Any]], path: Path, title: str = "Decode: percent of the limit") -> Path:
    """Draws `percent_of_limit` over `batch`, a line for every model, depth, context, engine and op among the rows.

    What was measured several times is drawn as its mean.

    Raises:
        HopwellError: matplotlib is not installed, or the rows hold no percentages.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise HopwellError("plots need matplotlib: pip install 'hopwell[plots]'") from None
    lines: dict[tuple[str, ...], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.get("percent_of_limit") is not None and row.get("batch") is not None:
            lines[_name(row)][row["batch"]].append(row["percent_of_limit"])
    if not lines:
        raise HopwellError("there is nothing to plot: no row has a batch and a percent_of_limit")
    # what all lines share goes into the title
    shared = [part for part in next(iter(lines)) if all(part in name for name in lines)] if len(lines) > 1 else []
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name, points in lines.items():
        label = ", ".join(part for part in name if part not in shared)
        axes.plot(sorted(points), [fmean(points[batch]) for batch in sorted(points)], marker="o", label=label)
    batches = sorted({batch for points in lines.values() for batch in points})
    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.minorticks_off()
    axes.set_ylim(0, 100)
    axes.set_xlabel("sequences")
    axes.set_ylabel("% of the limit")
    axes.set_title(", ".join([title, *shared]))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=140)
    pyplot.close(figure)
    return path


def _name(row: Mapping[str, Any]) -> tuple[str, ...]:
    parts = [str(row[key]) for key in ("engine", "model", "op") if row.get(key) is not None]
    if row.get("layers") is not None:
        parts.append(f"{row['layers']} layers")
    if row.get("context") is not None:
        parts.append(f"context {row['context']:,}")
    if row.get("cache_dtype") not in (None, "auto"):
        parts.append(f"{row['cache_dtype']} cache")
    if row.get("activations") is not None:
        parts.append(f"{row['activations']} activations")
    return tuple(parts)
