"""Pictures of a result's rows: percent of the limit by batch, and throughput over what a user sees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hopwell.engine.request import LATENCY_CLASSES
from hopwell.errors import HopwellError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_limit(rows: Sequence[Mapping[str, Any]], path: Path, title: str = "Decode: percent of the limit") -> Path:
    """Draws `percent_of_limit` over `batch`, a line for every model, depth, context, engine and op among the rows.

    What was measured several times is drawn as its mean.

    Raises:
        HopwellError: matplotlib is not installed, or the rows hold no percentages.
    """
    figure = _figure(8, 5)
    lines: dict[tuple[str, ...], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.get("percent_of_limit") is not None and row.get("batch") is not None:
            lines[_name(row)][row["batch"]].append(row["percent_of_limit"])
    if not lines:
        raise HopwellError("there is nothing to plot: no row has a batch and a percent_of_limit")
    # what all lines share goes into the title
    shared = [part for part in next(iter(lines)) if all(part in name for name in lines)] if len(lines) > 1 else []
    axes = figure.subplots()
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
    _save(figure, path)
    return path


def plot_pareto(rows: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """Tokens/s of a GPU over tokens/s a user sees, one point a level and a line an `engine`, as PNG; the classes'
    limits are marked.

    Raises:
        HopwellError: matplotlib is not installed.
    """
    figure = _figure(7, 4.5)
    axes = figure.subplots()
    engines = list(dict.fromkeys(row.get("engine") for row in rows))
    for engine, (kind, mark) in product(engines, (("concurrency", "o-"), ("rate", "s--"))):
        some = [row for row in rows if row.get("engine") == engine and row[kind] is not None]
        some = [row for row in some if row["tokens_per_s_per_user"] is not None]
        if some:
            x, y = [r["tokens_per_s_per_user"] for r in some], [r["output_tokens_per_s_per_gpu"] for r in some]
            label = {"concurrency": "callers at once", "rate": "requests a second"}[kind]
            axes.plot(x, y, mark, label=label if engine is None else f"{engine}, {label}")
            for row, at, up in zip(some, x, y, strict=True):
                axes.annotate(f"{row[kind]:g}", (at, up), textcoords="offset points", xytext=(6, 5))
    axes.margins(0.08)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    for line, (name, limit) in enumerate(LATENCY_CLASSES.items()):
        if limit.tpot is not None and 1 / limit.tpot < axes.get_xlim()[1]:
            axes.axvline(1 / limit.tpot, color="grey", linestyle=":", linewidth=1)
            place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "xytext": (4, 0)}
            at = (1 / limit.tpot, 0.03 + 0.05 * line)  # lines lie close together
            axes.annotate(f"{name}: {limit.tpot * 1e3:g} ms", at, color="grey", fontsize=8, **place)
    axes.set(
        xlabel="tokens/s that a user sees (1 / median TPOT)",
        ylabel="output tokens/s" + (" a GPU" if rows[0]["gpus"] > 1 else ""),
        title=title,
    )
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


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


def _figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches.

    Raises:
        HopwellError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise HopwellError("a plot needs matplotlib: pip install 'hopwell[plots]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=140)
