"""How many are needed for all, how many are full, how many are left over: a division with a last step."""

from __future__ import annotations

from training.nano.tasks import rounding_wordings as words
from training.nano.tasks.columns import divide_columns
from training.nano.tasks.formula_stories import filled
from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.wording import Draws

NEEDED, FULL, OVER = "needed", "full", "over"
TASK = {NEEDED: "How many for all", FULL: "How many full ones", OVER: "How many left over"}


def rounded_story(rng: Draws) -> Problem:
    """A division that seldom comes out, and one of three questions about it."""
    kind = rng.choice((NEEDED, NEEDED, FULL, OVER))
    b = rng.randrange(2, rng.choice((13, 13, 31, 61)))
    a = rng.randrange(b + 1, min(999, b * rng.choice((12, 12, 40))))
    if rng.random() < 0.12:
        a -= a % b
    t, v, w = rng.choice(words.CONTAINED)
    if kind != OVER and rng.random() < 0.3:
        line = rng.wording(words.WHOLE_NEEDED if kind == NEEDED else words.WHOLE_FULL)
    else:
        fact = rng.wording(words.FACTS)
        asked = rng.wording({NEEDED: words.NEEDED, FULL: words.FULL, OVER: words.OVER}[kind])
        line = f"{asked} {fact}" if asked.endswith("?") and rng.random() < 0.15 else f"{fact} {asked}"
    line = line.replace("{t}", t).replace("{v}", v).replace("{w}", w)
    text = filled(rng, line, a=a, b=b)
    text = text[0].upper() + text[1:] if rng.random() < 0.9 else text
    steps, answer = rounding_steps(kind, a, b)
    return Problem("story", f"{kind} {a}/{b}", ask(rng, text), steps, f"The answer is {boxed(answer)}.", str(answer))


def rounding_steps(kind: str, a: int, b: int) -> tuple[str, int]:
    """The trace and the answer."""
    quotient, rest = divmod(a, b)
    left = f"{rest} left" if rest else "none left"
    last, answer = {
        NEEDED: (f"so one more: {quotient}+1={quotient + 1}" if rest else f"so {quotient}", quotient + bool(rest)),
        FULL: (f"full are {quotient}", quotient),
        OVER: (f"left over {rest}", rest),
    }[kind]
    return f"{TASK[kind]}: {a}/{b}\n{divide_columns(a, b)}\n{quotient} full, {left}, {last}", answer
