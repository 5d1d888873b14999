"""Word problems of one to four steps."""

from __future__ import annotations

from training.nano.tasks import story_wordings as say
from training.nano.tasks.formula_stories import formula_story, price_story, rearranged, singular, things
from training.nano.tasks.heap_wordings import (
    BACK,
    BEFORE,
    BOXES,
    GAINS,
    HAVE,
    LEFT,
    LOSSES,
    MONEY,
    PACKS,
    SPEND,
)  # fmt: skip
from training.nano.tasks.people import NAMES, THEY, Person, person
from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.refusals import refusal
from training.nano.tasks.story_synonyms import with_aside
from training.nano.tasks.wording import Draws

NAMED = {*NAMES, *THEY, "I", "Mr", "Mrs"}


def story(rng: Draws) -> Problem:
    """A story about things, money, ages, ways or degrees: sums, differences, small products and exact shares."""
    roll = rng.random()
    if roll < 0.62:
        return formula_story(rng)
    return price_story(rng) if roll < 0.68 else rng.choice(KINDS)(rng)


def _problem(key: str, rng: Draws, text: str, steps: list[str], answer: int, unit: str) -> Problem:
    reply = f"The answer is {boxed(answer)}{' ' + unit if unit else ''}."
    return Problem("story", key, ask(rng, with_aside(rng, rearranged(rng, text))), "\n".join(steps), reply, str(answer))


def _told(rng: Draws, who: Person, table: tuple[str, ...], later: bool = True, **values: object) -> str:
    """A sentence about somebody, by name or, `later`, by pronoun."""
    return who.filled(rng, rng.wording(table), later, **values)


def _events(rng: Draws) -> Problem:
    """One to four things that happen to a heap; taking more than there is is refused."""
    who, thing, box = person(rng), things(rng, 1)[0], rng.choice(BOXES)
    have = rng.randrange(2, 100) if rng.random() < 0.7 else rng.randrange(2, 21)
    text, steps = [_told(rng, who, HAVE, later=False, n=have, t=thing)], [f"Start: {have}"]
    too_many = rng.random() < 0.03
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 3, 4))):
        kind = rng.random()
        if too_many or (kind < 0.45 and have > 2):
            n = have + rng.randrange(1, 40) if too_many else rng.randrange(1, min(have, 100))
            text.append(_told(rng, who, LOSSES, n=n, t=thing))
            if too_many:
                text.append(_told(rng, who, LEFT, t=thing))
                steps.append(f"{n} of {have}: there are not so many.")
                return refusal(
                    "story", "events " + " ".join(steps), ask(rng, " ".join(text)), "\n".join(steps), "story"
                )
            steps.append(f"{have}-{n}={have - n}")
            have -= n
        elif kind < 0.8 or have > 200:
            n = rng.randrange(2, 100) if rng.random() < 0.7 else rng.randrange(1, 13)
            text.append(_told(rng, who, GAINS, n=n, t=thing))
            steps.append(f"{have}+{n}={have + n}")
            have += n
        elif kind < 0.93:
            k, n = rng.randrange(2, 10), rng.randrange(2, 21)
            text.append(_told(rng, who, PACKS, n=n, k=k, t=thing, b=box))
            steps += [f"{k}*{n}={k * n}", f"{have}+{k * n}={have + k * n}"]
            have += k * n
        else:
            text.append(rng.choice(("Then the number doubles.", f"{who.subject} double{who.s} the number of {thing}.")))
            steps.append(f"{have}*2={have * 2}")
            have *= 2
    text.append(_told(rng, who, LEFT, t=thing))
    return _problem("events " + " ".join(steps), rng, _joined(rng, text), steps, have, thing)


def _joined(rng: Draws, parts: list[str]) -> str:
    """Sentences one after another; at times the first two become one."""
    if len(parts) == 3 and parts[0].endswith(".") and rng.random() < 0.35 and not parts[1].startswith(("Then", "I ")):
        start = parts[1][0] if parts[1].split()[0].rstrip("'s.,") in NAMED else parts[1][0].lower()
        parts = [
            f"{parts[0][:-1]} and {start}{parts[1][1:]}",
            parts[2],
        ]
    return " ".join(parts)


def _money(rng: Draws) -> Problem:
    """Money spent and got."""
    who, unit = person(rng), rng.choice(("dollars", "euros", "dollars", "coins", "pounds"))
    have = rng.randrange(5, 150)
    text, steps = [_told(rng, who, MONEY, later=False, n=have, t=unit)], [f"Start: {have}"]
    for _ in range(rng.choice((1, 1, 2))):
        n = rng.randrange(1, max(2, min(have, 100)))
        if rng.random() < 0.75 and have > n:
            text.append(_told(rng, who, SPEND, n=n, t=unit))
            steps.append(f"{have}-{n}={have - n}")
            have -= n
        else:
            text.append(_told(rng, who, GAINS[:4], n=n, t=unit))
            steps.append(f"{have}+{n}={have + n}")
            have += n
    text.append(_told(rng, who, LEFT + BACK, t=unit))
    return _problem("events " + " ".join(steps), rng, " ".join(text), steps, have, unit)


def _before(rng: Draws) -> Problem:
    """What there was at first."""
    who, thing = person(rng), things(rng, 1)[0]
    first, n = rng.randrange(3, 90), rng.randrange(1, 60)
    lost = rng.random() < 0.5 and n < first
    now = first - n if lost else first + n
    text = [
        _told(rng, who, LOSSES if lost else GAINS, later=False, n=n, t=thing),
        _told(rng, who, BEFORE, n=now, t=thing),
    ]
    steps = [f"Before that: {now}{'+' if lost else '-'}{n}={first}"]
    return _problem("before " + " ".join(steps), rng, " ".join(text), steps, first, thing)


def _two(rng: Draws) -> Problem:
    """Two people's heaps: their sum, their difference, or one from the other."""
    one, other = rng.sample(NAMES, 2)
    thing, a, b = things(rng, 1)[0], rng.randrange(2, 100), rng.randrange(2, 100)
    names = {"p": one, "q": other, "t": thing}
    kind = rng.random()
    if kind < 0.4:
        text = rng.wording(say.SUM_OF_TWO).format(n=a, m=b, **names) + " " + rng.wording(say.TOGETHER).format(**names)
        return _problem(f"two {a}+{b}", rng, text, [f"{a}+{b}={a + b}"], a + b, thing)
    if kind < 0.6:
        a, b = max(a, b) + 1, min(a, b)
        text = rng.wording(say.SUM_OF_TWO).format(n=a, m=b, **names) + " " + rng.wording(say.DIFFERENCE).format(**names)
        return _problem(f"two {a}-{b}", rng, text, [f"{a}-{b}={a - b}"], a - b, thing)
    more = rng.random() < 0.6
    a, b = (a, b) if more else (max(a, b) + 1, min(a, b))
    result, sign = (a + b, "+") if more else (a - b, "-")
    text = rng.wording(say.COMPARED).format(n=a, m=b, x=rng.wording(say.MORE_LESS[0 if more else 1]), **names)
    return _problem(f"two {a}{sign}{b} other", rng, text, [f"{a}{sign}{b}={result}"], result, thing)


def _shopping(rng: Draws) -> Problem:
    """The cost of one or two kinds of things, at times with change."""
    who, (one, other) = person(rng), things(rng, 2)
    n, p, m, q = (rng.randrange(2, 10), rng.randrange(2, 21), rng.randrange(2, 10), rng.randrange(2, 21))
    unit = rng.choice(("dollars", "dollars", "euros"))
    if rng.random() < 0.35:
        text = rng.wording(say.COST_ONE).format(n=n, p=p, t=one, o=singular(one), u=unit)
        return _problem(f"cost {n}*{p}", rng, text, [f"{n}*{p}={n * p}"], n * p, unit)
    steps, total, text = [f"{n}*{p}={n * p}"], n * p, _told(rng, who, say.BUY, later=False, n=n, c=p, t=one, u=unit)
    if rng.random() < 0.5:
        text = _told(rng, who, say.EACH_COST, later=False, n=n, c=p, t=one, m=m, q=q, o=other, u=unit)
        total = n * p + m * q
        steps += [f"{m}*{q}={m * q}", f"{n * p}+{m * q}={total}"]
    if rng.random() < 0.5:
        paid = rng.choice([x for x in (10, 20, 50, 100, (total // 50 + 1) * 50) if x > total])
        if rng.random() < 0.4:
            paying = _told(rng, who, say.PAID, later=False, n=paid, u=unit)
            text = f"{text.rstrip('.')} and{paying[len(who.subject) :]}"
        else:
            text += " " + _told(rng, who, say.PAID, n=paid, u=unit)
        text += " " + _told(rng, who, say.CHANGE)
        steps.append(f"{paid}-{total}={paid - total}")
        total = paid - total
    else:
        text += " " + _told(rng, who, say.TOTAL_COST)
    return _problem("shopping " + " ".join(steps), rng, text, steps, total, unit)


def _sharing(rng: Draws) -> Problem:
    """A heap, or two put together, shared equally; or how many groups; a remainder is refused."""
    one, other = rng.sample(NAMES, 2)
    thing, people, each = things(rng, 1)[0], rng.randrange(2, 10), rng.randrange(2, 31)
    total, friends = people * each, rng.choice(("friends", "children", "people", "kids", "students", "boys", "girls"))
    if rng.random() < 0.4:
        first = rng.randrange(1, total)
        text = (
            f"{one} has {first} {thing} and {other} has {total - first}. They share all of them equally among {people} "
            f"{friends}. {rng.wording(say.LEFT_OVER).format(t=thing)}"
        )
        steps = [f"{first}+{total - first}={total}", f"{total}/{people}={each}"]
        return _problem("sharing " + " ".join(steps), rng, text, steps, each, thing)
    uneven = rng.random() < 0.1
    total += rng.randrange(1, people) if uneven else 0
    if rng.random() < 0.5:
        text = rng.wording(say.SHARED).format(n=total, k=people, t=thing, f=friends, p=one)
    else:
        text = rng.wording(say.GROUPS).format(n=total, k=people, t=thing, b=rng.choice(BOXES), p=one)
    if uneven:
        return refusal("story", f"sharing {total}/{people}", ask(rng, text), f"{total}/{people} no", "whole")
    return _problem(f"sharing {total}/{people}", rng, text, [f"{total}/{people}={each}"], each, "")


def _trip(rng: Draws) -> Problem:
    """Speed times hours, once or twice."""
    vehicle = rng.choice(("car", "train", "bus", "truck", "bike", "boat"))
    v, h, w, k = rng.randrange(2, 13) * 10, rng.randrange(2, 9), rng.randrange(2, 13) * 10, rng.randrange(2, 9)
    steps, total = [f"{h}*{v}={h * v}"], h * v
    if rng.random() < 0.4:
        text = rng.wording(say.TRIP).format(c=vehicle, h=h, v=v)
    else:
        text = rng.wording(say.TRIP_TWO).format(c=vehicle, h=h, v=v, k=k, w=w)
        total += k * w
        steps += [f"{k}*{w}={k * w}", f"{h * v}+{k * w}={total}"]
    return _problem("trip " + " ".join(steps), rng, f"{text} {rng.wording(say.DISTANCE)}", steps, total, "km")


def _ages(rng: Draws) -> Problem:
    """One age from another, then the sum or a later year."""
    one, other = rng.sample(NAMES, 2)
    if rng.random() < 0.25:
        one, other = rng.choice((("My sister", "I"), ("My brother", "I"), ("My mother", "I"), ("My friend", "I")))
    age, times, years = rng.randrange(3, 40), rng.randrange(2, 6), rng.randrange(2, 16)
    names = {"p": one, "q": other, "is": "am" if other == "I" else "is", "n": age}
    kind = rng.random()
    if kind < 0.5:
        older = kind < 0.3 or years >= age
        result = age + years if older else age - years
        steps = [f"{age}{'+' if older else '-'}{years}={result}"]
        text = rng.wording(say.AGE_OLDER if older else say.AGE_YOUNGER).format(m=years, **names)
        return _problem("ages " + " ".join(steps), rng, text, steps, result, "years")
    age = age % 13 + 3
    names["n"] = age
    text, steps = rng.wording(say.AGE_TIMES).format(m=times, **names), [f"{age}*{times}={age * times}"]
    if rng.random() < 0.5:
        text += " " + rng.wording(say.AGE_SUM)
        answer = age + age * times
        steps.append(f"{age}+{age * times}={answer}")
        text = text.replace("they", "we") if other == "I" else text
    else:
        text += " " + rng.wording(say.AGE_LATER).format(q=other, y=years)
        answer = age * times + years
        steps.append(f"{age * times}+{years}={answer}")
    return _problem("ages " + " ".join(steps), rng, text, steps, answer, "years")


def _rows(rng: Draws) -> Problem:
    """Seats in rows, some of them taken; or the area or perimeter of a rectangle."""
    rows, seats = rng.randrange(3, 10), rng.randrange(4, 31)
    if rng.random() < 0.35:
        if rng.random() < 0.5:
            text = rng.wording(say.AREA).format(n=rows, m=seats)
            return _problem(f"area {rows}*{seats}", rng, text, [f"{rows}*{seats}={rows * seats}"], rows * seats, "")
        total = rows + seats
        steps = [f"{rows}+{seats}={total}", f"2*{total}={2 * total}"]
        return _problem(
            "perimeter " + " ".join(steps),
            rng,
            rng.wording(say.PERIMETER).format(n=rows, m=seats),
            steps,
            2 * total,
            "",
        )
    taken = rng.randrange(1, rows * seats)
    place = rng.choice(("theater", "cinema", "hall", "bus", "classroom"))
    text = f"{rng.wording(say.SEATS).format(c=place, n=rows, m=seats, k=taken)} {rng.wording(say.FREE_SEATS)}"
    steps = [f"{rows}*{seats}={rows * seats}", f"{rows * seats}-{taken}={rows * seats - taken}"]
    return _problem("rows " + " ".join(steps), rng, text, steps, rows * seats - taken, "seats")


def _degrees(rng: Draws) -> Problem:
    """A temperature, negative at times, that rises or falls."""
    start, n, up = rng.randrange(-20, 31), rng.randrange(1, 31), rng.random() < 0.5
    result = start + n if up else start - n
    text = rng.wording(say.WARMER if up else say.COLDER).format(
        a=rng.choice((str(start), f"minus {-start}" if start < 0 else str(start))), n=n
    )
    steps = [f"{start}{'+' if up else '-'}{n}={result}"]
    return _problem("degrees " + " ".join(steps), rng, text, steps, result, "degrees")


KINDS = (
    _events, _events, _events, _events, _events, _money, _money, _before, _two, _two, _shopping, _shopping, _sharing,
    _sharing, _trip, _ages, _ages, _rows, _degrees,
)  # fmt: skip
