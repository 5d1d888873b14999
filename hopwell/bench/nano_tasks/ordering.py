"""Comparing two numbers and sorting short lists."""

from __future__ import annotations

import random
from fractions import Fraction

from hopwell.bench.nano_tasks.columns import compare_digits
from hopwell.bench.nano_tasks.problem import Problem, ask, boxed, sized

LARGER = ("Which is larger, {a} or {b}?", "Which number is bigger: {a} or {b}?", "What is greater, {a} or {b}?",
          "Find the maximum of {a} and {b}.", "max({a}, {b})", "Is {a} or {b} larger?")  # fmt: skip
SMALLER = ("Which is smaller, {a} or {b}?", "Which number is less: {a} or {b}?", "What is smaller, {a} or {b}?",
           "Find the minimum of {a} and {b}.", "min({a}, {b})", "Is {a} or {b} smaller?")  # fmt: skip
SYMBOL = ("Compare {a} and {b} with <, > or =.", "Compare {a} and {b}.", "Put <, > or = between {a} and {b}.")
ASCENDING = ("Sort {} in ascending order.", "Sort these numbers: {}", "Sort {}.",
             "Arrange {} from smallest to largest.", "Order {} from small to large.",
             "Put {} in increasing order.")  # fmt: skip
DESCENDING = ("Sort {} in descending order.", "Sort from largest to smallest: {}",
              "Arrange {} from largest to smallest.", "Order {} from large to small.",
              "Put {} in decreasing order.")  # fmt: skip


def comparison(rng: random.Random) -> Problem:
    """Larger, smaller, or a sign between two numbers, decimals among them."""
    a, b = _pair(rng)
    kind = rng.randrange(3)
    x, y = Fraction(a), Fraction(b)
    sign = "<" if x < y else ">" if x > y else "="
    if kind == 2 or sign == "=":
        question, answer = rng.choice(SYMBOL), f"{a} {sign} {b}"
        if kind != 2:
            question = rng.choice(LARGER + SMALLER)
            answer = "equal"
        kind_answer = answer
    else:
        question = rng.choice(LARGER if kind == 0 else SMALLER)
        kind_answer = a if (x > y) == (kind == 0) else b
    return Problem(
        "comparison",
        f"{min((x, a), (y, b))[1]}|{max((x, a), (y, b))[1]}",
        ask(rng, question.format(a=a, b=b)),
        _compare(a, b, sign),
        f"{boxed(kind_answer)}",
        kind_answer,
    )


def _pair(rng: random.Random) -> tuple[str, str]:
    digits = rng.choice((1, 2, 3, 3, 4, 4))
    a = sized(rng, digits)
    roll = rng.random()
    if roll < 0.35:
        b = sized(rng, rng.choice((1, 2, 3, 4)))
    elif roll < 0.45:
        b = a
    else:  # close to a: the same leading digits
        b = max(0, a + rng.choice((-1, 1)) * sized(rng, rng.randrange(1, digits + 1)))
    if rng.random() < 0.35:
        a_text, b_text = (
            f"{n // 10**p}.{n % 10**p:0{p}}" for n, p in ((a, rng.choice((1, 2))), (b, rng.choice((1, 2))))
        )
        return a_text, b_text
    return str(a), str(b)


def _compare(a: str, b: str, sign: str) -> str:
    """Both numbers padded to the same places, then place by place until one differs."""
    whole = max(len(n.partition(".")[0]) for n in (a, b))
    places = max(len(n.partition(".")[2]) for n in (a, b))
    padded = []
    for n in (a, b):
        left, _, right = n.partition(".")
        padded.append(f"{left:0>{whole}}" + (f".{right:0<{places}}" if places else ""))
    steps = compare_digits(*(p.replace(".", "") for p in padded))
    return f"Line up the digits: {padded[0]} and {padded[1]}\n{steps}\nSo {a} {sign} {b}."


def sorting(rng: random.Random) -> Problem:
    """Three to six numbers of up to three digits, by taking the smallest (or largest) again and again."""
    count = rng.choice((3, 4, 4, 5, 5, 6))
    digits = rng.choice((1, 2, 2, 3, 3, 0))
    numbers = [sized(rng, digits or rng.choice((1, 2, 3))) for _ in range(count)]
    descending = rng.random() < 0.35
    question = rng.choice(DESCENDING if descending else ASCENDING)
    listed = rng.choice((", ", ", ", " ", ",")).join(map(str, numbers))
    if rng.random() < 0.15:
        listed = f"[{listed}]"
    left, lines = list(numbers), []
    while len(left) > 1:
        pick = max(left) if descending else min(left)
        lines.append(f"{' '.join(map(str, left))}: {'largest' if descending else 'smallest'} {pick}")
        left.remove(pick)
    lines.append(f"{left[0]} is last")
    answer = ", ".join(map(str, sorted(numbers, reverse=descending)))
    return Problem(
        "sorting",
        " ".join(map(str, sorted(numbers))),
        ask(rng, question.format(listed)),
        f"Take the {'largest' if descending else 'smallest'} each time.\n" + "\n".join(lines),
        boxed(answer),
        answer,
    )
