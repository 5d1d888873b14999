"""Percentages and parts: p % of n, prices after a discount or with a tip, what percent a is of b, a third of n."""

from __future__ import annotations

from training.nano.tasks import percent_contexts as scenes
from training.nano.tasks import percent_more as told
from training.nano.tasks import percent_scenes as more
from training.nano.tasks import percent_sides as sides
from training.nano.tasks import percent_wordings as words
from training.nano.tasks.columns import divide_columns, multiply_columns, subtract_columns
from training.nano.tasks.decimals import decimal, pointed
from training.nano.tasks.percent_before import percent_before
from training.nano.tasks.percent_shared import percent_shared
from training.nano.tasks.percent_steps import change_steps, percent_steps
from training.nano.tasks.problem import ASKS, Problem, ask, boxed, sized
from training.nano.tasks.refusals import refusal
from training.nano.tasks.wording import Draws

WHOLE_TOLD, PART_ASKED = told.WHOLE_TOLD + sides.WHOLE_TOLD, told.PART_ASKED + sides.PART_ASKED
PART_TOLD, WHOLE_ASKED = told.PART_TOLD + sides.PART_TOLD, told.WHOLE_ASKED + sides.WHOLE_ASKED


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
    elif not places and rng.random() < 0.2:
        question = _scene(rng, WHOLE_TOLD, PART_ASKED)
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
    if roll < 0.4:
        return _grouped(rng, scenes.GROUP_PART)
    if roll < 0.48:
        return _sided(rng, more.SIDE_TOLD)
    if roll < 0.56:
        return _placed(rng, sides.PLACED_TOLD)
    if roll < 0.7:
        return _counted(rng, *rng.choice(((sides.CAME, sides.CAME_PART), (sides.WENT, sides.WENT_PART))))
    situations, _, questions = rng.choice(scenes.LESS + scenes.MORE)
    return _scene(rng, situations, questions)


def changed_scene(rng: Draws, less: bool) -> str:
    """A situation and a question for n less or more p %."""
    roll = rng.random()
    if less and roll < 0.26:
        return _grouped(rng, scenes.GROUP_RESULT)
    if less and roll < 0.36:
        return _sided(rng, more.SIDE_OTHER)
    if less and roll < 0.48:
        return _placed(rng, sides.PLACED_OTHER)
    if roll > 0.8:
        return _counted(rng, *((sides.WENT, sides.WENT_RESULT) if less else (sides.CAME, sides.CAME_RESULT)))
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


def _sided(rng: Draws, questions: tuple[str, ...]) -> str:
    """Things on two sides, of which the share of one is told: how many are on that side, or on the other."""
    things, *ends = rng.choice(scenes.SIDED)
    rng.shuffle(ends)
    text = _scene(rng, more.SIDES, questions).replace("{m}", things)
    return text.replace("{x}", ends[0]).replace("{y}", ends[1])


def _placed(rng: Draws, questions: tuple[str, ...]) -> str:
    """Those in one of two places, of which the share of one is told."""
    who, *places = rng.choice(sides.TWO_PLACES)
    rng.shuffle(places)
    text = _scene(rng, sides.PLACED, questions).replace("{m}", who)
    text = text.replace("{x}", places[0]).replace("{y}", places[1])
    return text[0].upper() + text[1:]


def _counted(rng: Draws, situations: tuple[str, ...], questions: tuple[str, ...]) -> str:
    """Things of which some come or go."""
    return _scene(rng, situations, questions).replace("{m}", rng.choice(sides.COUNTED))


def _change(rng: Draws) -> Problem:
    """n less or more p %: the part first, then n without or with it."""
    less = rng.random() < 0.55
    p, n = _drawn(rng), max(1, sized(rng, rng.choice((2, 2, 3, 3, 4))))
    p -= less and p == 100
    trace, value = change_steps(p, n, less)
    sign = "-" if less else "+"
    if rng.random() < 0.5:
        question = changed_scene(rng, less)
    else:
        question = rng.wording(words.LOWERED if less else words.RAISED)
    return Problem("percentage", f"{n}{sign}{p}%", ask(rng, question.format(p=p, n=n)), trace, boxed(value), value)


def _ratio(rng: Draws) -> Problem:
    """What percent a is of b, to two places; what does not end is refused."""
    b = rng.choice((10, 20, 25, 40, 50, 80, 100, 200, 500, rng.randrange(2, 100), rng.randrange(2, 500)))
    endless = rng.random() < 0.06
    while True:
        a = rng.randrange(1, b + 1) if rng.random() < 0.93 else rng.randrange(1, 2 * b + 1)
        if endless or a * 10000 % b == 0:
            break
    if a <= b and rng.random() < 0.35:
        question = _scene(rng, told.RATIO_TOLD, told.RATIO_ASKED)
    else:
        question = rng.wording(words.RATIO)
    return _compared(rng, a, b, question.format(a=a, b=b), [])


def _growth(rng: Draws) -> Problem:
    """By what percent b grows or shrinks to c."""
    b = rng.choice((10, 20, 25, 40, 50, 80, 100, 200, rng.randrange(2, 100)))
    if rng.random() < 0.4:
        a = rng.choice([a for a in range(1, b) if a * 10000 % b == 0] or [b])
        question = _changed(rng, words.SHRINKING, told.FELL_ASKED).format(b=b, c=b - a)
        return _compared(rng, a, b, question, [f"From {b} down to {b - a}:\n{subtract_columns(b, b - a)}"], "less")
    a = rng.choice([a for a in range(1, 2 * b) if a * 10000 % b == 0])
    question = _changed(rng, words.GROWTH, told.ROSE_ASKED).format(b=b, c=b + a)
    return _compared(rng, a, b, question, [f"From {b} to {b + a}:\n{subtract_columns(b + a, b)}"], "more")


def _changed(rng: Draws, lines: tuple[str, ...], questions: tuple[str, ...]) -> str:
    """What was and what is: as one of `lines`, or told with one of `questions`."""
    return _scene(rng, told.CHANGE_TOLD, questions) if rng.random() < 0.4 else rng.wording(lines)


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
    question = _scene(rng, PART_TOLD, WHOLE_ASKED) if rng.random() < 0.4 else rng.wording(words.WHOLE)
    question = question.format(p=p, a=a)
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


KINDS = (
    (_of, 9),
    (_change, 8),
    (_ratio, 5),
    (_growth, 2),
    (_whole, 3),
    (percent_before, 4),
    (percent_shared, 3),
    (_part, 5),
    (_multiple, 2),
)
