"""The claims in words: a table, a paragraph each, a page in Markdown, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from hopwell.planner.article import LOAD, Claim, Speed, document, times
from hopwell.planner.report import markdown_table
from hopwell.planner.uncertainty import Band

TITLE = "B200 against H100, line by line"
RESULTS = "../benchmarks/results"
WIDTH = 120
HEAD = """\
What an article of 2025 says of DeepSeek-R1 on B200 against H100, each figure beside what is known, what we measured and
what the planner says. *Like for like* changes the GPU alone: SGLang, FP8, no MTP, each GPU in its best layout. *As
marketed* sets B200 with four bits, MTP and the better of two engines against two hosts of H100 with FP8, without MTP.
In brackets P10 to P90, errors of both sides taken as independent; `hopwell plan article` prints this page."""
WHERE = """\
The ratio is no property of a GPU. It grows with the speed that each user is to see, since 80 GB a card force R1 on H100
over 16 GPUs and more, whose exchanges leave no time. Like for like, H100 is given wide layouts with prompts apart here,
which InferenceX's rows do not use: hence 2 x where those give 7. [planner.md](planner.md) says how sure that is."""


def table(claims: Sequence[Claim]) -> list[dict[str, str]]:
    """A line each."""
    return [
        {
            "claim": claim.what,
            "said": claim.said,
            "known": claim.fact,
            "like for like": claim.planner.like,
            "as marketed": claim.planner.marketed,
        }
        for claim in claims
    ]


def speed_table(speeds: Sequence[Speed]) -> list[dict[str, str]]:
    """Ratios by what each user sees."""

    def cell(ratio: Band | None) -> str:
        return times(ratio) if ratio else "H100 cannot"

    return [
        {
            "tokens/s a user": str(speed.tokens_per_s),
            "like for like, a GPU": cell(speed.like_gpu),
            "a joule": cell(speed.like_joule),
            "as marketed, a GPU": cell(speed.marketed_gpu),
            "as marketed, a joule": cell(speed.marketed_joule),
        }
        for speed in speeds
    ]


def details(claim: Claim) -> list[tuple[str, str]]:
    """What stands behind a line: its sources, what was measured, what the planner was asked."""
    files = f" ({', '.join(claim.files)})" if claim.files else ""
    lines = [("known", claim.known), ("measured", claim.measured + files), ("planner", claim.planner.how)]
    return [(label, text) for label, text in lines if text]


def markdown(claims: Sequence[Claim], speeds: Sequence[Speed]) -> str:
    """The whole page."""
    parts = [f"# {TITLE}", HEAD, markdown_table(table(claims)), "## Where 25 x comes from"]
    load = f"{LOAD.input:,.0f} tokens in, {LOAD.output:,.0f} out, B200 over H100:"
    parts += [WHERE, load, markdown_table(speed_table(speeds)), "## What stands behind each line"]
    for claim in claims:
        parts.append(f"**{claim.what[0].upper()}{claim.what[1:]}: {claim.said}**")
        parts.append("\n".join(_item(label, _linked(text, claim.files)) for label, text in details(claim)))
    return "\n\n".join(parts) + f"\n\nFacts of {document()['date']}.\n"


def _item(label: str, text: str) -> str:
    return fill(f"- {label}: {text}", WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _linked(text: str, files: Sequence[str]) -> str:
    for name in files:
        text = text.replace(name, f"[{name.removesuffix('.json')}]({RESULTS}/{name})")
    return text


def as_json(claims: Sequence[Claim], speeds: Sequence[Speed]) -> dict[str, Any]:
    """Everything, the planner's figures unrounded; null: H100 cannot."""

    def plain(value: Band | float | None) -> Any:
        return value._asdict() if isinstance(value, Band) else value

    return {
        "date": document()["date"],
        "claims": [
            {
                "claim": claim.what,
                "said": claim.said,
                "fact": claim.fact,
                "known": claim.known,
                "measured": claim.measured,
                "files": list(claim.files),
                "like_for_like": claim.planner.like,
                "as_marketed": claim.planner.marketed,
                "asked": claim.planner.how,
                "figures": {name: plain(value) for name, value in claim.planner.figures.items()},
            }
            for claim in claims
        ],
        "speeds": [{name: plain(value) for name, value in speed._asdict().items()} for speed in speeds],
    }
