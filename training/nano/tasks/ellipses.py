"""Second questions that lean on the first: `and 20%?`, `now from largest to smallest`, `and 10 days later?`"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from training.nano.tasks.arithmetic import DIVIDE, phrase
from training.nano.tasks.columns import divide_columns, multiply_columns
from training.nano.tasks.dates import AFTER, WEEKDAY_AFTER, WEEKDAYS, after_steps, weekday_steps, written
from training.nano.tasks.formula_stories import filled
from training.nano.tasks.heap_wordings import GAINS, HAVE, LEFT, LOSSES, THINGS
from training.nano.tasks.letters import COUNT, WORDS, count_steps, made_up
from training.nano.tasks.ordering import ASCENDING, DESCENDING, sort_steps
from training.nano.tasks.people import person
from training.nano.tasks.percent_wordings import PERCENT
from training.nano.tasks.percentages import percent_steps
from training.nano.tasks.powers import ROOT, square_root
from training.nano.tasks.problem import ASKS, Problem, boxed, sized
from training.nano.tasks.remainder_wordings import REMAINDER_SENTENCES
from training.nano.tasks.units import OTHERS
from training.nano.tasks.units import WORDINGS as UNITS
from training.nano.tasks.wording import Draws, listed

AGAIN = (
    "(And|and|Now|What about|what about|How about) {}(?|)", "(And|Now) (what about|how about) {}?", "{}?",
    "(And|and) what is it for {}?", "(Ok|ok|thanks), and {}?", "(The same|Same) (for|with) {}(.|)",
    "And if it (is|was) {}?", "(Then|Next) {}.", "And for {}?",
)  # fmt: skip
LATER = (
    "(And|and) {n} later?", "(And|and) {n} after that(?|)", "What about {n} later?", "And another {n} later?",
    "Plus {n} more?", "And in another {n}?", "Now {n} after that.", "And {n} from then?",
)  # fmt: skip
TURNED = (
    "(Now|And|now|and) (in |)descending( order|)(.|?|)",
    "(Now|And|now) from (largest|biggest|highest) to smallest(.|?|)",
    "(Now|And|now) (in reverse|backwards|the other way round)(.|?|)", "Reverse (it|the order|them).",
    "And largest first?", "Turn the order round.",
)  # fmt: skip
MORE_STORY = ("And if {g}", "Then {g}", "Now {g}", "And then {g}", "What if {g}")


def _turns(first: str, reply: str, second: str) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": first},
        {"role": "assistant", "content": reply},
        {"role": "user", "content": second},
    ]


def _follow(key: str, turns: list[dict[str, Any]], steps: str, reply: str, answer: str) -> Problem:
    return Problem("follow_up", key, turns, steps, reply, answer)


def ellipsis(rng: Draws) -> Problem:
    """One of a dozen kinds."""
    return rng.choice(KINDS)(rng)


def _percent(rng: Draws) -> Problem:
    p, n, q, m = (
        rng.randrange(1, 100),
        sized(rng, rng.choice((2, 3))),
        rng.randrange(1, 100),
        sized(rng, rng.choice((2, 3))),
    )
    first = rng.wording(ASKS).format(rng.wording(PERCENT).format(p=p, n=n))
    changed, p2, n2 = (f"{q}%", q, n) if rng.random() < 0.5 else (f"of {m}", p, m)
    steps, value = percent_steps(p2, n2)
    turns = _turns(first, boxed(percent_steps(p, n)[1]), rng.wording(AGAIN).format(changed))
    return _follow(f"{p2}%{n2}", turns, f"Now {p2}% of {n2}.\n{steps}", boxed(value), value)


def _root(rng: Draws) -> Problem:
    a, b = rng.randrange(0, 100), rng.randrange(0, 100)
    turns = _turns(
        rng.wording(ASKS).format(rng.wording(ROOT).format(n=a * a)), f"sqrt({a * a}) = {boxed(a)}",
        rng.wording(AGAIN).format(rng.choice((f"of {b * b}", str(b * b), f"{b * b}"))),
    )  # fmt: skip
    trace, found = square_root(b * b)
    assert found is not None
    return _follow(
        f"sqrt({b * b})", turns, f"Now sqrt({b * b}).\n{trace}", f"sqrt({b * b}) = {boxed(found)}", str(found)
    )


def _letters(rng: Draws) -> Problem:
    word, other = (rng.choice(WORDS) if rng.random() < 0.5 else made_up(rng) for _ in range(2))
    letter, x = rng.choice(word), rng.choice(word)
    same = rng.random() < 0.5
    w2, x2 = (word, x) if same else (other, letter)
    changed = (
        rng.choice((x, f"'{x}'", f"the letter {x}", f"how many {x}"))
        if same
        else rng.choice((f"in {other}", other, f'in "{other}"'))
    )
    turns = _turns(
        rng.wording(COUNT).format(x=letter, w=word), boxed(word.count(letter)), rng.wording(AGAIN).format(changed)
    )
    return _follow(f"letter {x2} {w2}", turns, count_steps(w2, x2), boxed(w2.count(x2)), str(w2.count(x2)))


def _sorted(rng: Draws) -> Problem:
    numbers = [sized(rng, rng.choice((1, 2, 3))) for _ in range(rng.randrange(3, 7))]
    up = sorted(numbers)
    turns = _turns(
        rng.wording(ASCENDING).format(listed(rng, numbers)), boxed(", ".join(map(str, up))), rng.wording(TURNED)
    )
    answer = ", ".join(map(str, up[::-1]))
    return _follow(" ".join(map(str, up)), turns, sort_steps(up, True), boxed(answer), answer)


def _another_list(rng: Draws) -> Problem:
    numbers, others = ([sized(rng, rng.choice((1, 2, 3))) for _ in range(rng.randrange(3, 6))] for _ in range(2))
    down = rng.random() < 0.5
    reply, answer = (", ".join(map(str, sorted(n, reverse=down))) for n in (numbers, others))
    first = rng.wording(DESCENDING if down else ASCENDING).format(listed(rng, numbers))
    turns = _turns(first, boxed(reply), rng.wording(AGAIN).format(listed(rng, others)))
    return _follow(" ".join(map(str, sorted(others))), turns, sort_steps(others, down), boxed(answer), answer)


def _date(rng: Draws) -> Problem:
    start = date(1980, 1, 1) + timedelta(days=rng.randrange(29000))
    days, more = rng.randrange(1, 100), rng.randrange(1, 60)
    middle = start + timedelta(days=days)
    turns = _turns(
        rng.wording(AFTER).format(n=_days(days), d=written(start)),
        boxed(written(middle)),
        rng.wording(LATER).format(n=_days(more)),
    )
    steps, answer = after_steps(middle, more)
    return _follow(f"{middle}+{more}", turns, "\n".join(steps), boxed(answer), answer)


def _weekday(rng: Draws) -> Problem:
    today, days, more = rng.randrange(7), rng.randrange(1, 100), rng.randrange(1, 100)
    middle = (today + days) % 7
    question = rng.wording(WEEKDAY_AFTER).format(w=WEEKDAYS[today], n=_days(days))
    turns = _turns(question, boxed(WEEKDAYS[middle]), rng.wording(LATER).format(n=_days(more)))
    steps, answer = weekday_steps(middle, more, True)
    return _follow(f"{middle}+{more}", turns, "\n".join(steps), boxed(answer), answer)


def _days(n: int) -> str:
    return f"{n} day{'s' if n != 1 else ''}"


def _unit(rng: Draws) -> Problem:
    big, small, factor = rng.choice(OTHERS)
    n, m = rng.randrange(2, 100), rng.randrange(2, 100)
    turns = _turns(
        rng.wording(UNITS).format(n=n, a=big, b=small), f"{boxed(n * factor)} {small}",
        rng.wording(AGAIN).format(rng.choice((f"{m} {big}", str(m)))),
    )  # fmt: skip
    steps = f"1 {big} = {factor} {small}. Multiply by {factor}.\n{multiply_columns(m, factor)}"
    return _follow(f"{m} {big}>{small}", turns, steps, f"{boxed(m * factor)} {small}", str(m * factor))


def _divided(rng: Draws) -> Problem:
    a, b, c = sized(rng, rng.choice((2, 3, 4))), rng.randrange(2, 30), rng.randrange(2, 30)
    only_rest = rng.random() < 0.5
    turned = f"by {c}"
    if only_rest:
        first, reply = filled(rng, rng.wording(REMAINDER_SENTENCES), a=a, b=b), f"The remainder is {boxed(a % b)}."
        answer, done = str(a % c), f"The remainder is {boxed(a % c)}."
        steps, key = f"The remainder of {a} / {c}.\n{divide_columns(a, c)}", f"{a}%{c}"
    else:
        first, reply = phrase(rng, DIVIDE, a, b), f"{a} / {b} = {boxed(_quotient(a, b))}"
        answer, key = _quotient(a, c), f"{a}/{c}"
        steps, done = f"Now {a} / {c}.\n{divide_columns(a, c)}", f"{a} / {c} = {boxed(answer)}"
    return _follow(key, _turns(first, reply, rng.wording(AGAIN).format(turned)), steps, done, answer)


def _quotient(a: int, b: int) -> str:
    return f"{a // b} remainder {a % b}" if a % b else str(a // b)


def _story(rng: Draws) -> Problem:
    """The story goes on."""
    who, thing = person(rng), rng.choice(THINGS)
    have, n = rng.randrange(3, 100), rng.randrange(1, 60)
    lost = rng.random() < 0.5 and n < have
    first, now = have, have - n if lost else have + n
    text = [
        who.filled(rng, rng.wording(HAVE), False, n=first, t=thing),
        who.filled(rng, rng.wording(LEFT), True, t=thing),
    ]
    more = rng.randrange(1, 60)
    lose = rng.random() < 0.5 and more < now
    result, sign = (now - more, "-") if lose else (now + more, "+")
    text.insert(1, who.filled(rng, rng.wording(LOSSES if lost else GAINS), True, n=n, t=thing))
    event = who.filled(rng, rng.wording(LOSSES if lose else GAINS), True, n=more, t=thing)
    if rng.random() < 0.6:
        lowered = event if event.startswith(("I ", "Then")) else event[0].lower() + event[1:]
        event = rng.wording(MORE_STORY).format(g=lowered)
    second = (
        f"{event} {who.filled(rng, rng.wording(LEFT), True, t=thing)}"
        if rng.random() < 0.6
        else event.rstrip(".") + "?"
    )
    turns = _turns(" ".join(text), f"The answer is {boxed(now)} {thing}.", second)
    steps = f"Start: {now}\n{now}{sign}{more}={result}"
    return _follow(
        f"events Start: {now} {now}{sign}{more}={result}",
        turns,
        steps,
        f"The answer is {boxed(result)} {thing}.",
        str(result),
    )


KINDS: tuple[Callable[[Draws], Problem], ...] = (
    _percent, _root, _letters, _sorted, _another_list, _date, _weekday, _unit, _divided, _story, _story,
)  # fmt: skip
