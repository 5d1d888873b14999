"""The tables of docs/precision.md from the measured JSON: `python -m benchmarks.precision_tables` rewrites them.

A table stands between `<!-- NAME -->` and `<!-- end -->`; one whose result is not there yet says so, and the page never
says what no file does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import ROOT

RESULTS = ROOT / "benchmarks/results"
PAGE = ROOT / "docs/precision.md"


def main() -> None:
    """Rewrites the page's tables."""
    text = PAGE.read_text(encoding="utf-8")
    for name, make in TABLES.items():
        paths = sorted(RESULTS.glob(f"precision-{name}*.json"))
        files = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        found = make(files) if files else ""
        made = zip(paths, files, strict=True)
        told = [f"`{path.name}` ({f['device']}, commit {f['commit']})" for path, f in made]
        body = f"\n{found}\n\n{', '.join(told)}\n" if found else "\nNot measured yet.\n"
        text = re.sub(rf"(<!-- {name} -->).*?(<!-- end -->)", lambda m, b=body: m[1] + b + m[2], text, flags=re.S)
    PAGE.write_text(text, encoding="utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def linears(files: Sequence[Mapping[str, Any]]) -> str:
    """Reductions of error by set and format."""
    rows = []
    for one in (summary for file in files for summary in file["summary"]):
        more = [_percent(one[f"norm_at_{share}%"]) for share in (10, 18)]
        head = [one["set"], one["format"], one["linears"], f"{one['rtn_norm']:.2%}"]
        rows.append([*head, _percent(one["squared_reduction"]), _percent(one["norm_reduction"]), *more,
                     _percent(one["worst"])])  # fmt: skip
    head = (
        "set",
        "format",
        "linears",
        "plain rounding",
        "squared",
        "norm",
        "norm, +10 % bytes",
        "norm, +18 %",
        "worst",
    )
    return table(head, rows)


def ablation(files: Sequence[Mapping[str, Any]]) -> str:
    """Each method alone."""
    rows = [each for file in files for each in file["ablation"]]
    names = [k for k in rows[0] if k not in ("set", "format")]
    return table(("set", "format", *names), [[r["set"], r["format"], *(_percent(r[n]) for n in names)] for r in rows])


def starving(files: Sequence[Mapping[str, Any]]) -> str:
    """Experts with few tokens."""
    rows = [each for file in files for each in file["starving"]]
    if not rows:
        return ""
    return table([k.replace("_", " ") for k in rows[0]], [[_plain(v) for v in row.values()] for row in rows])


def peers(files: Sequence[Mapping[str, Any]]) -> str:
    """Tools beside each other, least KL first."""
    rows = sorted((row for file in files for row in file["rows"]), key=lambda r: (r["format"], r["kl"]))
    head = ("format", "tool", "version", "bytes of the linears", "KL", "p99", "top-1")
    return table(head, [[r["format"], r["tool"], r["version"], f"{r['linear_bytes']:,}", f"{r['kl']:.4f}",
                         f"{r['kl_p99']:.3f}", f"{r['top1']:.2%}"] for r in rows])  # fmt: skip


def budgets(files: Sequence[Mapping[str, Any]]) -> str:
    """Conversions under a goal, promotions of whole layers that meet the same budgets, accuracy by task."""
    parts = []
    for file in files:
        rows = [[r["goal"], f"{r['bits_per_weight']:.3f}", f"{r['linear_bytes']:,}", f"{r['kl']:.5f}",
                 f"{r['top1']:.2%}", "" if r["budget"] is None else "kept" if r["kept"] else "broken"]
                for r in file["rows"]]  # fmt: skip
        if rows:
            parts.append(table(("goal", "bits a weight", "bytes of the linears", "KL", "top-1", "budget"), rows))
        rows = [[f"KL {r['budget']:g}", r["format"], "compensated" if r["compensated"] else "plain rounding",
                 ", ".join(map(str, r["layers_kept"])) or "none", f"{r['linear_bytes']:,}", f"{r['kl']:.5f}"]
                for r in file["layers"]]  # fmt: skip
        head = ("budget", "the other layers", "by", "layers kept in FP8", "bytes of the linears", "KL")
        if rows:
            parts.append(table(head, rows))
        if file["tasks"]:
            rows = [[t["task"], t["problems"], f"{t['reference']:.2%}", f"{t['model']:.2%}", f"{t['points']:+.2f}"]
                    for t in file["tasks"]]  # fmt: skip
            parts.append(table(("task", "problems", "FP8", "4.5 bits", "points"), rows))
    return "\n\n".join(parts)


def conversion(files: Sequence[Mapping[str, Any]]) -> str:
    """Time and memory of R1's experts."""
    rows = [row for file in files for row in file["rows"]]
    keys = dict.fromkeys(k for row in rows for k in row if k != "format")
    body = [[k.replace("_", " "), *(_plain(row.get(k, "")) for row in rows)] for k in keys]
    return table(("", *(row["format"] for row in rows)), body)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


TABLES: dict[str, Callable[[Sequence[Mapping[str, Any]]], str]] = {
    "linears": linears,
    "ablation": ablation,
    "starving": starving,
    "peers": peers,
    "budgets": budgets,
    "conversion": conversion,
}
"""By the middle of the results' names: precision-NAME-*.json."""

if __name__ == "__main__":
    main()
