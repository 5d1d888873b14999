"""Averages: of whole numbers, of decimals, of what was done on some days."""

from __future__ import annotations

from fractions import Fraction

from training.nano.tasks.columns import divide_columns
from training.nano.tasks.decimals import decimal, pointed
from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.refusals import refusal
from training.nano.tasks.remainder_wordings import AVERAGE
from training.nano.tasks.wording import Draws, in_words, listed

TOLD = (
    "{d}: {l} {u}. What is the average per {w}?",
    "On {n} {w}s we counted {l} {u}. How many is that per {w} on average?",
    "My last {n} {w}s had {l} {u}. What was the average?",
    "{l} {u} were noted in {n} {w}s, so what is the mean per {w}?",
    "How many {u} a {w} is it on average if the {n} {w}s had {l}?", "average {u} per {w}: {l}",
    "In {n} {w}s it was {l} {u}. Averaged, how many {u} a {w}?", "The {u} of {n} {w}s are {l}. Give the average.",
    "What did I make in an average {w}, if the {u} were {l}?", "For {n} {w}s my app shows {l} {u}. Mean value?",
    "Per {w}, how many {u} are {l} in the mean?", "The list of {u}, one number a {w}: {l}. What is its average?",
    "I had {l} {u}. That was {n} {w}s. On average a {w}?", "{n} {w}s, {l} {u}. how many per {w} on average",
    "With {l} {u} in {n} {w}s, the average {w} has how many {u}?", "Find the mean number of {u} a {w} from {l}.",
    "One {w} {u} are written down each time: {l}. What is the average?", "Our {w}s had {l} {u}. What is the mean?",
    "If every {w} had been the same, how many {u} would it be a {w}? They had {l}.",
    "What is the daily or weekly mean here, by {w}: {l} {u}?", "{l} are my {u} in the last {n} {w}s. Average, please.",
    "Here are the {u} for each {w}: {l}. Work out the average.",
    "How many {u} were it in a typical {w}? I mean of {l}.",
    "The counter had {l} {u} in {n} {w}s. How many {u} per {w} is the mean?", "mean of my {u} over {n} {w}s: {l}",
    "We want the average of {n} {w}s: {l} {u}.", "{l} {u}, a number for each {w}. What do they average to?",
)  # fmt: skip
UNITS = ("steps", "pages", "visitors", "points", "calls", "letters", "orders", "clicks", "meters", "jumps", "guests")
TIMES = ("day", "day", "week", "month", "hour", "evening", "shift", "game", "tour")


def average(rng: Draws) -> Problem:
    """The mean of two to six numbers or decimals; a mean that does not end is refused."""
    roll = rng.random()
    if roll < 0.3:
        return _of_decimals(rng)
    if roll < 0.5:
        return _in_days(rng)
    count, limit = rng.choice((2, 2, 3, 3, 3, 4, 4, 5, 6)), rng.choice((11, 31, 100, 100, 1000))
    numbers = [rng.randrange(0, limit) for _ in range(count)]
    if rng.random() < 0.1:
        numbers = [n * rng.choice((-1, 1)) for n in numbers]
    if rng.random() < 0.55:
        numbers[-1] += -sum(numbers) % count
    if sum(numbers) < 0:
        numbers = [-n for n in numbers]
    return _mean(rng, numbers, rng.wording(AVERAGE).format(l=listed(rng, numbers)))


def _mean(rng: Draws, numbers: list[int], question: str) -> Problem:
    count = len(numbers)
    steps, total = [f"{count} numbers: {' '.join(map(str, numbers))}"], numbers[0]
    for n in numbers[1:]:
        steps.append(f"{total}+{n}={total + n}" if n >= 0 else f"{total}-{-n}={total + n}")
        total += n
    steps.append(f"{total}/{count}:\n{divide_columns(total, count)}")
    rest, key = total % count, "average " + " ".join(map(str, sorted(numbers)))
    messages = ask(rng, question)
    if rest * 100 % count:
        return refusal("average", key, messages, "\n".join([*steps, "It does not end."]), "whole")
    value = decimal(Fraction(total, count))
    if rest:
        steps.append(f"{rest} of {count} is {decimal(Fraction(rest, count))}, so {value}")
    return Problem("average", key, messages, "\n".join(steps), f"The average is {boxed(value)}.", value)


def _in_days(rng: Draws) -> Problem:
    """Numbers of thousands, round ones, or smaller ones, told of some days."""
    count = rng.choice((2, 3, 4, 4, 5))
    step, most = rng.choice(((1, 100), (10, 100), (100, 99), (100, 99), (50, 100)))
    numbers = [step * rng.randrange(most // 5, most) for _ in range(count)]
    if rng.random() < 0.7:
        numbers[-1] += -sum(numbers) % count
    unit, time = rng.choice(UNITS), rng.choice(TIMES)
    told = rng.choice((f"My {unit}", f"The {unit} of a {time} each", "What I noted"))
    n = rng.choice((str(count), in_words(count)))
    question = rng.wording(TOLD).format(l=listed(rng, numbers), n=n, u=unit, w=time, d=told)
    return _mean(rng, numbers, question)


def _of_decimals(rng: Draws) -> Problem:
    """Numbers of one or two places: their sum without the points, then three places are worked out."""
    places, count = rng.choice((1, 1, 2)), rng.choice((2, 2, 2, 3, 3, 4, 5))
    top = 10 ** rng.choice((places + 1, 3, 3))
    numbers = [rng.randrange(1, top) for _ in range(count)]
    spare = 10 ** (3 - places)
    if rng.random() < 0.94:
        while sum(numbers) * spare % count:
            numbers[-1] += 1
    given = [decimal(n, 10**places) for n in numbers]
    if not any("." in n for n in given):
        return _of_decimals(rng)
    steps, total = [f"{count} numbers without the point, {places} place{'s' * (places > 1)}: "], numbers[0]
    steps[0] += " ".join(map(str, numbers))
    for n in numbers[1:]:
        steps.append(f"{total}+{n}={total + n}")
        total += n
    steps.append(f"To three places: {total * spare}/{count}\n{divide_columns(total * spare, count)}")
    key = "average " + " ".join(sorted(given, key=Fraction))
    messages = ask(rng, rng.wording(AVERAGE).format(l=listed(rng, given)))
    if total * spare % count:
        return refusal("average", key, messages, "\n".join([*steps, "It does not end."]), "endless")
    value = decimal(Fraction(total, count * 10**places))
    steps.append(f"With the point: {pointed(total * spare // count, 3)}, that is {value}")
    return Problem("average", key, messages, "\n".join(steps), f"The average is {boxed(value)}.", value)
