"""Word problems of one to four steps."""

from __future__ import annotations

import random

from hopwell.bench.nano_tasks.problem import Problem, ask, boxed

NAMES = ("Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo", "Ines", "Jack", "Kim", "Leo", "Maria",
         "Nora", "Omar", "Paul", "Rosa", "Sam", "Tina", "Tom", "Lucy", "Max", "Mia", "Alex", "Sara")  # fmt: skip
THINGS = ("apples", "books", "pencils", "marbles", "coins", "stickers", "cards", "eggs", "oranges", "stamps", "shells",
          "cookies", "candies", "balls", "flowers", "toys", "stones", "buttons")  # fmt: skip
BOXES = ("boxes", "bags", "packs", "baskets", "cartons")
GAINS = ("{p} gets {n} more.", "Then {p} finds {n} more.", "{p} buys {n} more {t}.", "A friend gives {p} {n} {t}.",
         "{p} receives {n} {t}.", "{p} picks up another {n}.")  # fmt: skip
LOSSES = ("{p} gives away {n}.", "Then {p} loses {n}.", "{p} sells {n} of them.", "{n} of the {t} break.",
          "{p} gives {n} {t} to a friend.", "{p} uses {n} of them.")  # fmt: skip
PACKS = ("{p} buys {k} {b} of {n} {t} each.", "{p} gets {k} {b} with {n} {t} in each.",
         "Then {p} receives {k} {b}, each with {n} {t}.")  # fmt: skip
LEFT = ("How many {t} does {p} have now?", "How many {t} does {p} have in the end?", "How many {t} are left?",
        "How many {t} does {p} have?")  # fmt: skip


def story(rng: random.Random) -> Problem:
    """A story about things or money, whose steps are sums, differences, small products and exact shares."""
    return rng.choice((_events, _events, _events, _shopping, _sharing, _trip, _ages, _rows))(rng)


def _problem(key: str, rng: random.Random, text: str, steps: list[str], answer: int, unit: str) -> Problem:
    reply = f"The answer is {boxed(answer)}{' ' + unit if unit else ''}."
    return Problem("story", key, ask(rng, text), "\n".join(steps), reply, str(answer))


def _events(rng: random.Random) -> Problem:
    """One to four things that happen to a heap."""
    person, thing, box = rng.choice(NAMES), rng.choice(THINGS), rng.choice(BOXES)
    have = rng.randrange(2, 100)
    text, steps = [f"{person} has {have} {thing}."], [f"Start: {have}"]
    for _ in range(rng.choice((1, 2, 2, 3, 3, 4))):
        kind = rng.random()
        if kind < 0.35:
            n = rng.randrange(2, 100)
            text.append(rng.choice(GAINS).format(p=person, n=n, t=thing))
            steps.append(f"{have}+{n}={have + n}")
            have += n
        elif kind < 0.65 and have > 3:
            n = rng.randrange(2, min(have, 100))
            text.append(rng.choice(LOSSES).format(p=person, n=n, t=thing))
            steps.append(f"{have}-{n}={have - n}")
            have -= n
        elif kind < 0.9:
            k, n = rng.randrange(2, 10), rng.randrange(2, 21)
            text.append(rng.choice(PACKS).format(p=person, k=k, n=n, t=thing, b=box))
            steps += [f"{k}*{n}={k * n}", f"{have}+{k * n}={have + k * n}"]
            have += k * n
        elif have < 200:
            text.append(rng.choice(("Then the number doubles.", f"{person} doubles the number of {thing}.")))
            steps.append(f"{have}*2={have * 2}")
            have *= 2
    text.append(rng.choice(LEFT).format(t=thing, p=person))
    return _problem("events " + " ".join(steps), rng, " ".join(text), steps, have, thing)


def _shopping(rng: random.Random) -> Problem:
    """The cost of two kinds of things, at times with change."""
    person, (one, other) = rng.choice(NAMES), rng.sample(THINGS, 2)
    n, p, m, q = (rng.randrange(2, 10), rng.randrange(2, 21), rng.randrange(2, 10), rng.randrange(2, 21))
    total = n * p + m * q
    text = f"{person} buys {n} {one} at {p} dollars each and {m} {other} at {q} dollars each."
    steps = [f"{n}*{p}={n * p}", f"{m}*{q}={m * q}", f"{n * p}+{m * q}={total}"]
    if rng.random() < 0.5:
        paid = (total // 50 + 1) * 50
        text += f" {person} pays with {paid} dollars. How much change does {person} get?"
        steps.append(f"{paid}-{total}={paid - total}")
        total = paid - total
    else:
        text += rng.choice((" How much is that in total?", " What is the total cost?", f" How much does {person} pay?"))
    return _problem("shopping " + " ".join(steps), rng, text, steps, total, "dollars")


def _sharing(rng: random.Random) -> Problem:
    """Two heaps put together, then shared equally."""
    one, other = rng.sample(NAMES, 2)
    thing, people, each = rng.choice(THINGS), rng.randrange(2, 10), rng.randrange(2, 31)
    total = people * each
    first = rng.randrange(1, total)
    text = (
        f"{one} has {first} {thing} and {other} has {total - first}. They share all of them equally among {people} "
        f"{rng.choice(('friends', 'children', 'people'))}. How many {thing} does each get?"
    )
    steps = [f"{first}+{total - first}={total}", f"{total}/{people}={each}"]
    return _problem("sharing " + " ".join(steps), rng, text, steps, each, thing)


def _trip(rng: random.Random) -> Problem:
    """Speed times hours, twice."""
    vehicle = rng.choice(("car", "train", "bus", "truck"))
    v, h, w, k = rng.randrange(2, 13) * 10, rng.randrange(2, 9), rng.randrange(2, 13) * 10, rng.randrange(2, 9)
    text = (
        f"A {vehicle} drives {h} hours at {v} km per hour and then {k} hours at {w} km per hour. "
        f"{rng.choice(('How far does it drive?', 'How many km is that in total?', 'What distance does it cover?'))}"
    )
    steps = [f"{h}*{v}={h * v}", f"{k}*{w}={k * w}", f"{h * v}+{k * w}={h * v + k * w}"]
    return _problem("trip " + " ".join(steps), rng, text, steps, h * v + k * w, "km")


def _ages(rng: random.Random) -> Problem:
    """One age from another, then the sum or a later year."""
    one, other = rng.sample(NAMES, 2)
    age, times, years = rng.randrange(3, 16), rng.randrange(2, 6), rng.randrange(2, 16)
    text = f"{one} is {age} years old. {other} is {times} times as old."
    steps = [f"{age}*{times}={age * times}"]
    if rng.random() < 0.5:
        text += " How old are they together?"
        steps.append(f"{age}+{age * times}={age + age * times}")
        answer, unit = age + age * times, "years"
    else:
        text += f" How old will {other} be in {years} years?"
        steps.append(f"{age * times}+{years}={age * times + years}")
        answer, unit = age * times + years, "years"
    return _problem("ages " + " ".join(steps), rng, text, steps, answer, unit)


def _rows(rng: random.Random) -> Problem:
    """Seats in rows, some of them taken."""
    rows, seats = rng.randrange(3, 10), rng.randrange(4, 31)
    taken = rng.randrange(1, rows * seats)
    place = rng.choice(("theater", "cinema", "hall", "bus", "classroom"))
    text = (
        f"A {place} has {rows} rows of {seats} seats. {taken} seats are taken. "
        f"{rng.choice(('How many seats are free?', 'How many are empty?', 'How many seats are left?'))}"
    )
    steps = [f"{rows}*{seats}={rows * seats}", f"{rows * seats}-{taken}={rows * seats - taken}"]
    return _problem("rows " + " ".join(steps), rng, text, steps, rows * seats - taken, "seats")
