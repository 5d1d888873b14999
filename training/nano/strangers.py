"""A hundred questions as strangers ask them, written before training, and what nano answers.

python -m training.nano.strangers            # a Markdown table; exit 1 if fewer than 95 are well answered
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from hopwell import LLM, SamplingParams
from hopwell.cli.calculator import evaluate
from training.nano.scoring import MAX_TOKENS, TOP_P
from training.nano.tasks.problem import BOXED, REFUSE, normal

QUESTIONS = Path(__file__).parent / "strangers.json"
REQUIRED = 95


def judged(reply: str, answer: str) -> str:
    """`right`, `declined` (no number in the reply, which is right too if it must be) or `WRONG`.

    An answer that can be evaluated is right in any notation: of the same value, from the same numbers.
    """
    boxed = BOXED.findall(reply)
    if not boxed and not re.search(r"\d", reply):
        return "right" if answer == REFUSE else "declined"
    if answer == REFUSE or not boxed:
        return "WRONG"
    return "right" if normal(boxed[-1]) == normal(answer) or _equal(boxed[-1], answer) else "WRONG"


def _equal(given: str, answer: str) -> bool:
    try:
        return evaluate(given) == evaluate(answer) and _numbers(given) == _numbers(answer)
    except (ValueError, ZeroDivisionError):
        return False


def _numbers(text: str) -> list[Fraction]:
    return sorted(map(Fraction, re.findall(r"\d+(?:\.\d+)?", text)))


def answers(llm: LLM, conversations: Sequence[Sequence[str]], temperature: float) -> list[list[str]]:
    """nano's visible replies to each conversation's questions in turn."""
    params = SamplingParams(temperature=temperature, top_p=TOP_P, seed=0, max_tokens=MAX_TOKENS)
    messages: list[list[dict[str, str]]] = [[] for _ in conversations]
    replies: list[list[str]] = [[] for _ in conversations]
    for turn in range(max(map(len, conversations))):
        asked = [i for i, questions in enumerate(conversations) if turn < len(questions)]
        for i in asked:
            messages[i].append({"role": "user", "content": conversations[i][turn]})
        done = llm.generate([llm.render(messages[i], None) for i in asked], params)
        for i, completion in zip(asked, done, strict=True):
            reply = completion.text.rpartition("</think>")[2].strip()
            replies[i].append(reply)
            messages[i].append({"role": "assistant", "content": reply})
    return replies


def told(reply: str) -> str:
    """A reply without the list of what nano can do."""
    return reply.partition(" I can add")[0]


def row(*cells: object) -> str:
    """A row of a Markdown table."""
    plain = (str(cell).replace("*", r"\*").replace("|", r"\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(plain)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a checkpoint; default: nano")
    parser.add_argument("--temperature", type=float, default=0.0)
    args = parser.parse_args()
    asked = json.loads(QUESTIONS.read_text(encoding="utf-8"))
    llm = LLM(args.model, device="cpu", drafts=1)
    replies = answers(llm, [entry["turns"] for entry in asked], args.temperature)
    verdicts = [judged(reply[-1], entry["answer"]) for reply, entry in zip(replies, asked, strict=True)]
    print("| asked | right | nano | |\n|---|---|---|---|")
    for entry, reply, verdict in zip(asked, replies, verdicts, strict=True):
        answer = "declines" if entry["answer"] == REFUSE else entry["answer"]
        print(row(" / ".join(entry["turns"]), answer, told(reply[-1]), verdict))
    good = sum(verdict != "WRONG" for verdict in verdicts)
    right, declined = verdicts.count("right"), verdicts.count("declined")
    print(f"\n{good} of {len(asked)}: {right} right, {declined} declined without need.")
    sys.exit(good < REQUIRED)


if __name__ == "__main__":
    main()
