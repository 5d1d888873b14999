"""240 questions that whoever wrote the training data had not seen, and what nano answers, by kind.

python -m training.nano.visitors             # Markdown tables: by kind, and what was not right
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from hopwell import LLM
from hopwell.cli.result import write_result
from training.nano.strangers import answers, judged, row, told
from training.nano.tasks.problem import BOXED, REFUSE

QUESTIONS = Path(__file__).parent / "visitors.json"
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
QUANTITY = re.compile(r"[$€£]? ?(-?[\d.]+) ?(?:%|[a-z]+)?", re.IGNORECASE)
"""A number alone, with a currency's sign or a unit."""


def verdict(reply: str, answer: str | Sequence[str] | None) -> str:
    """`right`, `declined` where there is an answer, or `WRONG`.

    Args:
        answer: the right one, or those that are right, or None where nano must decline. Signs of currency, units,
            thousands' commas and the way that a date is written do not matter.
    """
    if answer is None:
        return judged(reply, REFUSE)
    found = {judged(text, right) for text in (reply, _bare(reply)) for right in _listed(answer)}
    return next(each for each in ("right", "declined", "WRONG") if each in found)


def _listed(answer: str | Sequence[str]) -> Sequence[str]:
    return [answer] if isinstance(answer, str) else answer


def _bare(reply: str) -> str:
    """A reply whose boxes hold bare numbers, and dates as 2024-03-16."""

    def bare(match: re.Match[str]) -> str:
        plain = THOUSANDS.sub("", match[1].strip())
        if quantity := QUANTITY.fullmatch(plain):
            plain = quantity[1]
        with suppress(ValueError):
            plain = datetime.strptime(plain, "%B %d, %Y").date().isoformat()
        return rf"\boxed{{{plain}}}"

    return BOXED.sub(bare, reply)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a checkpoint; default: nano")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--out", type=Path, help="a JSON file for every reply")
    args = parser.parse_args()
    asked = json.loads(QUESTIONS.read_text(encoding="utf-8"))
    llm = LLM(args.model, device="cpu", drafts=1)
    replies = [turns[-1] for turns in answers(llm, [[entry["question"]] for entry in asked], args.temperature)]
    rows = [
        entry | {"reply": reply, "verdict": verdict(reply, entry["answer"])}
        for entry, reply in zip(asked, replies, strict=True)
    ]
    for must_decline in (False, True):
        _print([each for each in rows if (each["answer"] is None) == must_decline], must_decline)
    print("| asked | right | nano | |\n|---|---|---|---|")
    for each in rows:
        if each["verdict"] != "right":
            right = "declines" if each["answer"] is None else _listed(each["answer"])[0]
            print(row(each["question"], right, told(each["reply"]), each["verdict"]))
    if args.out is not None:
        write_result(args.out, "nano-visitors", rows, model=args.model or "nano", temperature=args.temperature)


def _print(rows: Sequence[dict], must_decline: bool) -> None:
    """How many of each kind came out how."""
    columns = ("right", "WRONG") if must_decline else ("right", "declined", "WRONG")
    heads = ("declined", "answered") if must_decline else ("right", "declined", "wrong")
    print(row("to decline" if must_decline else "to answer", "asked", *heads))
    print("|---" * (2 + len(heads)) + "|")
    for kind in [*dict.fromkeys(each["kind"] for each in rows), "all"]:
        found = Counter(each["verdict"] for each in rows if kind in (each["kind"], "all"))
        print(row(kind.removeprefix("decline: "), found.total(), *(found[column] for column in columns)))
    print()


if __name__ == "__main__":
    main()
