"""Remainders, divisibility, averages, and quotients as decimals: long division with a last step."""

from __future__ import annotations

from fractions import Fraction

from training.nano.tasks.columns import divide_columns
from training.nano.tasks.decimals import decimal, pointed
from training.nano.tasks.formula_stories import filled
from training.nano.tasks.problem import ASKS, Problem, ask, boxed, sized
from training.nano.tasks.refusals import refusal
from training.nano.tasks.remainder_wordings import (
    AVERAGE,
    DIVISIBLE,
    EVEN,
    PARITY,
    PLACES,
    QUOTIENT,
    QUOTIENT_SENTENCES,
    REMAINDER,
    REMAINDER_SENTENCES,
    ROUND,
    ROUNDED,
    UNIT,
    WHOLES,
)
from training.nano.tasks.wording import Draws, in_words, listed


def remainder(rng: Draws) -> Problem:
    """The remainder of a division, whether one is left at all, or even and odd."""
    kind = rng.random()
    if kind < 0.2:
        return _parity(rng)
    b = rng.randrange(1, rng.choice((11, 11, 21, 100)))
    a = sized(rng, rng.choice((1, 2, 2, 3, 3, 4)))
    if kind < 0.45:
        if rng.random() < 0.5:
            a -= a % b
        answer = "no" if a % b else "yes"
        steps = f"{divide_columns(a, b)}\n{'A remainder is left' if a % b else 'No remainder'}: {answer}"
        question, reply = rng.wording(DIVISIBLE), boxed(answer)
    else:
        answer = str(a % b)
        steps = divide_columns(a, b)
        question = (
            rng.wording(REMAINDER_SENTENCES) if rng.random() < 0.5 else rng.wording(ASKS).format(rng.wording(REMAINDER))
        )
        reply = f"The remainder is {boxed(answer)}."
    return Problem(
        "remainder",
        f"{a}%{b}",
        ask(rng, filled(rng, question, a=a, b=b)),
        f"The remainder of {a} / {b}.\n{steps}",
        reply,
        answer,
    )


def _parity(rng: Draws) -> Problem:
    """Even or odd."""
    a = sized(rng, rng.choice((1, 2, 2, 3, 4)))
    is_, last = ("odd" if a % 2 else "even"), a % 10
    steps, answer = f"The last digit of {a} is {last}: {is_}.", is_
    if rng.random() < 0.5:
        asked = rng.choice(("even", "odd"))
        answer = "yes" if asked == is_ else "no"
        question, steps = rng.wording(EVEN).format(a=a, o=asked), f"{steps} Asked: {asked}."
    else:
        question = rng.wording(PARITY).format(a=a)
    return Problem("remainder", f"{a}%2", ask(rng, question), steps, boxed(answer), answer)


def average(rng: Draws) -> Problem:
    """The mean of two to six numbers; a mean that does not end is refused."""
    count, limit = rng.choice((2, 2, 3, 3, 3, 4, 4, 5, 6)), rng.choice((11, 31, 100, 100))
    numbers = [rng.randrange(0, limit) for _ in range(count)]
    if rng.random() < 0.1:
        numbers = [n * rng.choice((-1, 1)) for n in numbers]
    if rng.random() < 0.55:
        numbers[-1] += -sum(numbers) % count
    if sum(numbers) < 0:
        numbers = [-n for n in numbers]
    steps, total = [f"{count} numbers: {' '.join(map(str, numbers))}"], numbers[0]
    for n in numbers[1:]:
        steps.append(f"{total}+{n}={total + n}" if n >= 0 else f"{total}-{-n}={total + n}")
        total += n
    steps.append(f"{total}/{count}:\n{divide_columns(total, count)}")
    rest, key = total % count, "average " + " ".join(map(str, sorted(numbers)))
    messages = ask(rng, rng.wording(AVERAGE).format(l=listed(rng, numbers)))
    if rest * 100 % count:
        return refusal("average", key, messages, "\n".join([*steps, "It does not end."]), "whole")
    value = decimal(Fraction(total, count))
    if rest:
        steps.append(f"{rest} of {count} is {decimal(Fraction(rest, count))}, so {value}")
    return Problem("average", key, messages, "\n".join(steps), f"The average is {boxed(value)}.", value)


def quotient(rng: Draws) -> Problem:
    """a / b as a decimal of up to three places, or rounded; what does not end is refused unless it may be."""
    return rng.choices((_rounded, _exact, _round), (4, 5, 2.5))[0](rng)


def _exact(rng: Draws) -> Problem:
    while True:
        b = rng.choice((2, 4, 5, 8, 10, 20, 25, 40, 50, rng.randrange(2, 13), rng.randrange(2, 100)))
        a = sized(rng, rng.choice((1, 2, 2, 3)))
        if a and (a * 1000 % b == 0 or rng.random() < 0.3):
            break
    ends, thousandths = a * 1000 % b == 0, a * 1000 // b
    trace = f"Three places: {a}000/{b}\n{divide_columns(a * 1000, b)}"
    question = (
        rng.wording(QUOTIENT_SENTENCES) if rng.random() < 0.5 else rng.wording(ASKS).format(rng.wording(QUOTIENT))
    )
    messages, key = ask(rng, question.format(a=a, b=b)), f"{a}/{b} decimal"
    if not ends:
        return refusal("quotient", key, messages, f"{trace}\nIt does not end.", "endless")
    value = decimal(Fraction(a, b))
    point = f"{thousandths // 1000}.{thousandths % 1000:03}"
    return Problem(
        "quotient",
        key,
        messages,
        f"{trace}\nWith the point: {point}, that is {value}",
        f"{a} / {b} = {boxed(value)}",
        value,
    )


def _rounded(rng: Draws) -> Problem:
    """To one or two places: one place more is worked out, and decides."""
    places, b = rng.choice((1, 2, 2)), rng.randrange(2, rng.choice((13, 13, 100)))
    a = max(1, sized(rng, rng.choice((1, 2, 2, 3))))
    more, scale = a * 10 ** (places + 1) // b, 10**places
    up = int(more % 10 >= 5)
    value = more // 10 + up
    shown = f"{value // scale}.{value % scale:0{places}}"
    kept = more // 10
    steps = [
        f"{in_words(places + 1).capitalize()} places: {a}{'0' * (places + 1)}/{b}",
        divide_columns(a * 10 ** (places + 1), b),
        f"The last digit of {more} is {more % 10}, so {f'up: {kept}+1={value}' if up else f'down: {value}'}",
        f"With the point: {shown}",
    ]
    digits = rng.choice((str(places), in_words(places)))
    k = rng.wording(PLACES).format(d=digits, s="s" if places > 1 else "")
    question = rng.wording(ROUNDED).format(a=a, b=b, k=k)
    return Problem(
        "quotient",
        f"{a}/{b} to {places}",
        ask(rng, question),
        "\n".join(steps),
        f"{a} / {b} is about {boxed(shown)}",
        shown,
        accepts=lambda given: same_value(given, shown),
    )


def _round(rng: Draws) -> Problem:
    """A number to tens, hundreds, thousands, ones or a few places: the first digit that goes decides."""
    if rng.random() < 0.45:
        size, names = rng.choice(WHOLES)
        n = sized(rng, rng.choice((2, 3, 4)))
        places, given, k = 0, str(n), rng.choice(names)
    else:
        places, more = rng.choice((0, 0, 1, 1, 2)), rng.choice((1, 1, 2, 3))
        size, n = 10**more, sized(rng, places + more + rng.choice((1, 1, 2)))
        given = pointed(n, places + more)
        digits = rng.choice((str(places), in_words(places)))
        k = rng.wording(PLACES).format(d=digits, s="s" if places > 1 else "") if places else rng.choice(UNIT)
    low, digit = n // size, n * 10 // size % 10
    kept, up = low * (1 if "." in given else size), digit >= 5
    value = kept + up * (1 if "." in given else size)
    shown = pointed(value, places) if places else str(value)
    step = f"up: {kept}+{value - kept}={value}" if up else f"down: {kept}"
    trace = f"{given} is {n} without the point. " if "." in given else ""
    trace += f"The part that stays is {low}, the first digit that goes is {digit}, so {step}"
    trace += f"\nWith the point: {shown}" if places else ""
    question = rng.wording(ROUND).format(a=given, k=k)
    return Problem(
        "quotient", f"round {given} {size} {places}", ask(rng, question), trace, f"{given} is about {boxed(shown)}",
        shown,
        accepts=lambda answer: same_value(answer, shown),
    )  # fmt: skip


def same_value(given: str, answer: str) -> bool:
    """Whether two decimals are the same number."""
    try:
        return Fraction(given) == Fraction(answer)
    except (ValueError, ZeroDivisionError):
        return False
