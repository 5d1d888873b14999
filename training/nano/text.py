"""Worked problems as text, to calibrate nano's conversions on and to judge them by.

python -m training.nano.text      # rewrites the package's own, in hopwell/model/nano/text
"""

from __future__ import annotations

import json
from pathlib import Path

from hopwell.cli.texts import CALIBRATION, HELD_OUT, TOKENS
from hopwell.engine.tokenizer import Tokenizer
from hopwell.model import NANO
from training.nano.tasks import TASKS, Draws, held_out_problems, training_problem, unlike_held_out
from training.nano.tasks.render import examples

SHIPPED = ((CALIBRATION, False, 0), (HELD_OUT, True, 1))
"""Files, whether their problems are held out, and seeds."""


def worked_problems(
    folder: Path, tokens: int, held_out: bool = False, seed: int = 0, mix: bool = True
) -> list[list[int]]:
    """Worked problems in nano's own format, at least `tokens` tokens of them.

    Args:
        folder: of the checkpoint, for its tokenizer.
        held_out: problems that nano's training never saw, every task alike; else its training mix.
        mix: False: other problems than those held out, but every task alike as there.
    """
    return [ids for _, ids in _worked(folder, tokens, held_out, seed, mix)]


def shipped_texts(held_out: bool, seed: int) -> list[str]:
    """`TOKENS` tokens of worked problems, every task alike, special tokens written out: what a conversion is judged on
    while it is made must be of the kind that it is judged on later."""
    return [text for text, _ in _worked(NANO, TOKENS, held_out, seed, mix=False)]


def _worked(folder: Path, tokens: int, held_out: bool, seed: int, mix: bool) -> list[tuple[str, list[int]]]:
    tokenizer, rng = Tokenizer.open(folder), Draws(seed)
    found: list[tuple[str, list[int]]] = []
    size = rounds = 0
    while size < tokens:
        if held_out:
            problems = [held_out_problems(task, 1, seed + 7919 * rounds)[0] for task in TASKS]
        else:
            problems = [training_problem(rng) if mix else unlike_held_out(task, rng) for task in TASKS]
        rounds += 1
        for prompt, completion in (pair for problem in problems for pair in examples(problem)):
            text = prompt + completion
            found.append((text, tokenizer.encode(text, special=False)))
            size += len(found[-1][1])
    return found


def main() -> None:
    """Writes the files that `hopwell quantize` and `hopwell verify` read."""
    folder = NANO / "text"
    folder.mkdir(exist_ok=True)
    for name, held_out, seed in SHIPPED:
        texts = shipped_texts(held_out, seed)
        (folder / name).write_text(json.dumps(texts, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{folder / name}: {len(texts)} problems")


if __name__ == "__main__":
    main()
