"""Percentages and parts: p % of n, prices after a discount or with a tip, what percent a is of b, a third of n."""

from __future__ import annotations

from training.nano.tasks import percent_contexts as scenes
from training.nano.tasks import percent_wordings as words
from training.nano.tasks.columns import add_columns, divide_columns, multiply_columns, subtract_columns
from training.nano.tasks.decimals import decimal, pointed
from training.nano.tasks.problem import ASKS, Problem, ask, boxed, sized
from training.nano.tasks.refusals import refusal
from training.nano.tasks.wording import Draws, in_words


def percentage(rng: Draws) -> Problem:
    """One of the kinds."""
    kinds, weights = zip(*KINDS, strict=True)
    return rng.choices(kinds, weights)[0](rng)


def _drawn(rng: Draws) -> int:
    return rng.choice((rng.randrange(1, 100), 5 * rng.randrange(1, 21), rng.choice((10, 20, 25, 50, 75))))


def _of(rng: Draws) -> Problem:
    """p % of n: multiply, then move the point; at times with decimals or more than 100 %."""
    p, n, places, q, m = _drawn(rng), sized(rng, rng.randrange(1, 5)), 0, 0, 0
    roll = rng.random()
    if roll < 0.07:
        p = 5 * rng.randrange(21, 61)
    elif roll < 0.14:
        q, p = 1, 10 * rng.randrange(1, 100) + rng.choice((5, 5, rng.randrange(1, 10)))
    elif roll < 0.22:
        m = rng.choice((1, 2))
        n = sized(rng, rng.randrange(m + 1, 5))
        n += not n % 10
    places = q + m
    steps, value = percent_steps(p, n, places)
    x, y = decimal(p, 10**q), decimal(n, 10**m)
    if places:
        steps = f"{x}% of {y}, without the points:\n{steps}"
    if not places and p < 100 and rng.random() < 0.45:
        question = _part_scene(rng)
    elif rng.random() < 0.5:
        question = rng.wording(words.PERCENT_SENTENCES)
    else:
        question = rng.wording(ASKS).format(rng.wording(words.PERCENT))
    return Problem("percentage", f"{x}%{y}", ask(rng, question.format(p=x, n=y)), steps, boxed(value), value)


def _part_scene(rng: Draws) -> str:
    """A situation and a question for p % of n."""
    roll = rng.random()
    if roll < 0.2:
        questions, situations = rng.choice(scenes.ADDED_NAMED)
        return _scene(rng, situations, questions)
    if roll < 0.45:
        return _grouped(rng, scenes.GROUP_PART)
    situations, _, questions = rng.choice(scenes.LESS + scenes.MORE)
    return _scene(rng, situations, questions)


def changed_scene(rng: Draws, less: bool) -> str:
    """A situation and a question for n less or more p %."""
    if less and rng.random() < 0.3:
        return _grouped(rng, scenes.GROUP_RESULT)
    situations, questions, _ = rng.choice(scenes.LESS if less else scenes.MORE)
    return _scene(rng, situations, questions)


def _scene(rng: Draws, situations: tuple[str, ...], questions: tuple[str, ...]) -> str:
    """What is the case and what is asked; at times the question comes first."""
    situation, question = rng.wording(situations), rng.wording(questions)
    if question.endswith("?") and rng.random() < 0.12:
        return f"{question} {situation}"
    return f"{situation} {question}"


def _grouped(rng: Draws, questions: tuple[str, ...]) -> str:
    """Some people of a group do something: how many do, or do not."""
    text = _scene(rng, scenes.GROUP, questions).replace("{w}", rng.choice(scenes.GROUP_PLACES))
    return text.replace("{m}", rng.choice(scenes.GROUP_PEOPLE)).replace("{v}", rng.choice(scenes.GROUP_VERBS))


def percent_steps(p: int, n: int, places: int = 0) -> tuple[str, str]:
    """The trace of p % of n and its value, where the two have `places` decimals together that p and n leave out."""
    value = decimal(p * n, 10 ** (2 + places))
    point = f"{in_words(2 + places).capitalize()} places: {pointed(p * n, 2 + places)}, that is {value}"
    return f"{p}*{n}, then divide by {10 ** (2 + places)}.\n{multiply_columns(p, n)}\n{point}", value


def _change(rng: Draws) -> Problem:
    """n less or more p %: the part first, then n without or with it."""
    less = rng.random() < 0.55
    p, n = _drawn(rng), max(1, sized(rng, rng.choice((2, 2, 3, 3, 4))))
    p -= less and p == 100
    steps, part = percent_steps(p, n)
    places = next(k for k in range(3) if p * n % 10 ** (2 - k) == 0)
    a, b = n * 10**places, p * n // 10 ** (2 - places)
    result, sign = (a - b, "-") if less else (a + b, "+")
    value = decimal(result, 10**places)
    work = (subtract_columns if less else add_columns)(a, b)
    trace = [f"{p}% of {n}, then {n} {'minus' if less else 'plus'} that.", steps, f"Now {n} {sign} {part}."]
    if places:
        trace += [
            f"Without the point: {a} {sign} {b}",
            work,
            f"With the point: {pointed(result, places)}, that is {value}",
        ]
    else:
        trace.append(work)
    if rng.random() < 0.5:
        question = changed_scene(rng, less)
    else:
        question = rng.wording(words.LOWERED if less else words.RAISED)
    return Problem(
        "percentage", f"{n}{sign}{p}%", ask(rng, question.format(p=p, n=n)), "\n".join(trace), boxed(value), value
    )


def _ratio(rng: Draws) -> Problem:
    """What percent a is of b, to two places; what does not end is refused."""
    b = rng.choice((10, 20, 25, 40, 50, 80, 100, 200, 500, rng.randrange(2, 100), rng.randrange(2, 500)))
    endless = rng.random() < 0.06
    while True:
        a = rng.randrange(1, b + 1) if rng.random() < 0.93 else rng.randrange(1, 2 * b + 1)
        if endless or a * 10000 % b == 0:
            break
    return _compared(rng, a, b, rng.wording(words.RATIO).format(a=a, b=b), [])


def _growth(rng: Draws) -> Problem:
    """By what percent b grows or shrinks to c."""
    b = rng.choice((10, 20, 25, 40, 50, 80, 100, 200, rng.randrange(2, 100)))
    if rng.random() < 0.4:
        a = rng.choice([a for a in range(1, b) if a * 10000 % b == 0] or [b])
        question = rng.wording(words.SHRINKING).format(b=b, c=b - a)
        return _compared(rng, a, b, question, [f"From {b} down to {b - a}:\n{subtract_columns(b, b - a)}"], "less")
    a = rng.choice([a for a in range(1, 2 * b) if a * 10000 % b == 0])
    question = rng.wording(words.GROWTH).format(b=b, c=b + a)
    return _compared(rng, a, b, question, [f"From {b} to {b + a}:\n{subtract_columns(b + a, b)}"], "more")


def _compared(rng: Draws, a: int, b: int, question: str, before: list[str], change: str = "") -> Problem:
    steps = [*before, f"{a} of {b} in percent, to two places: {a}0000/{b}", divide_columns(a * 10000, b)]
    key, messages = f"{a}/{b} percent {change}".rstrip(), ask(rng, question)
    if a * 10000 % b:
        return refusal("percentage", key, messages, "\n".join([*steps, "It does not end."]), "endless")
    value = decimal(a * 100, b)
    steps.append(f"With the point: {pointed(a * 10000 // b, 2)}, that is {value}")
    return Problem("percentage", key, messages, "\n".join(steps), f"{boxed(value)} %", value)


def _whole(rng: Draws) -> Problem:
    """The number of which p % is a."""
    p = rng.choice((10, 20, 25, 50, 5, 75, 40, 30, 15, 80, rng.randrange(1, 100)))
    n = rng.choice([n for n in range(1, 1001) if p * n % 100 == 0])
    a = p * n // 100
    steps = f"{p}% are {a}, so {a}*100/{p}: {a * 100}/{p}\n{divide_columns(a * 100, p)}"
    question = rng.wording(words.WHOLE).format(p=p, a=a)
    return Problem("percentage", f"{p}% of x={a}", ask(rng, question), steps, boxed(n), str(n))


def _part(rng: Draws) -> Problem:
    """A half, a third or more parts of n; halves and the like also with decimals, the others whole or refused."""
    top, bottom, names = rng.choice(words.FRACTIONS[:4] if rng.random() < 0.5 else words.FRACTIONS)
    n = max(1, sized(rng, rng.choice((1, 2, 2, 3, 3, 4))))
    if n % bottom and rng.random() < 0.8:
        n = max(bottom, n - n % bottom)
    steps, value = part_steps(top, bottom, n)
    table, name = (words.HALF, "") if bottom == 2 and rng.random() < 0.25 else (words.PART, rng.choice(names))
    question = rng.wording(table).format(f=name, n=n)
    if rng.random() < 0.4:
        question = question[0].upper() + question[1:]
    key, messages = f"{top}/{bottom} of {n}", ask(rng, question)
    if value is None:
        return refusal("percentage", key, messages, steps, "whole")
    return Problem("percentage", key, messages, steps, boxed(value), value)


def part_steps(top: int, bottom: int, n: int) -> tuple[str, str | None]:
    """The trace of top/bottom of n, and its value, or None if it is neither whole nor a decimal of one half or so."""
    if n % bottom and top == 1 and 1000 % bottom == 0:
        value = decimal(n, bottom)
        point = f"With the point: {pointed(n * 1000 // bottom, 3)}, that is {value}"
        return f"{n} / {bottom}. Three places: {n}000/{bottom}\n{divide_columns(n * 1000, bottom)}\n{point}", value
    steps = f"{n} / {bottom}:\n{divide_columns(n, bottom)}"
    if n % bottom:
        return f"{steps}\nA remainder is left.", None
    if top > 1:
        steps += f"\n{top} times {n // bottom}:\n{multiply_columns(n // bottom, top)}"
    return steps, str(n // bottom * top)


def _multiple(rng: Draws) -> Problem:
    """Double, triple and so on."""
    times, names = rng.choice(words.MULTIPLES)
    n = sized(rng, rng.choice((1, 2, 2, 3, 3, 4)))
    question = rng.wording(words.MULTIPLE).format(m=rng.choice(names), n=n)
    if rng.random() < 0.4:
        question = question[0].upper() + question[1:]
    reply, value = f"{n} * {times} = {boxed(n * times)}", str(n * times)
    steps = f"{n} * {times}:\n{multiply_columns(n, times)}"
    return Problem("percentage", f"{min(n, times)}*{max(n, times)}", ask(rng, question), steps, reply, value)


KINDS = ((_of, 9), (_change, 8), (_ratio, 4.5), (_growth, 1.6), (_whole, 2.2), (_part, 5), (_multiple, 2))
