"""What lies outside nano's arithmetic: each question is declined, with the reason and without a number."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta

from training.nano.tasks import outside_chat as chat
from training.nano.tasks import outside_frames as frames
from training.nano.tasks import outside_more as more
from training.nano.tasks import outside_talk as talk
from training.nano.tasks import outside_wordings as words
from training.nano.tasks.arithmetic import ADD, DIVIDE, MULTIPLY, SUBTRACT
from training.nano.tasks.dates import MONTHS, written
from training.nano.tasks.formula_stories import story_without, things
from training.nano.tasks.heap_wordings import GAINS, HAVE, LEFT, LOSSES
from training.nano.tasks.letters import WORDS, made_up
from training.nano.tasks.near_misses import (
    by_zero,
    declined,
    long_countdown,
    negative_remainder,
    other_equations,
    polynomial,
    small,
    too_long,
)
from training.nano.tasks.ordering import LARGEST, SMALLEST
from training.nano.tasks.people import NAMES, person
from training.nano.tasks.powers import SQUARE
from training.nano.tasks.problem import ASKS, Problem
from training.nano.tasks.remainder_wordings import AVERAGE, REMAINDER, ROUND
from training.nano.tasks.units import WORDINGS as UNITS
from training.nano.tasks.wording import Draws, listed

PLACES = (
    "France", "Germany", "Spain", "Italy", "China", "Japan", "Brazil", "Paris", "London", "Berlin", "Rome", "Tokyo",
    "the Nile", "Mount Everest", "the Eiffel Tower", "the Moon", "Mars", "Einstein", "Shakespeare", "Mozart",
    "Napoleon", "the telephone", "the internet", "the Bible", "Apple", "Google", "the pyramids", "Canada", "India",
    "Russia", "New York", "Texas", "Kenya", "Peru", "Norway", "the Atlantic", "World War 2", "the wheel", "Picasso",
    "Newton", "Madrid", "Vienna", "Chicago", "Boston", "Egypt", "Greece", "the Titanic", "the Mona Lisa", "Hamlet",
    "Python",
)  # fmt: skip


ADVANCED = words.ADVANCED + more.MORE_ADVANCED + frames.FRAMES_ADVANCED
CALENDAR = words.CALENDAR + more.MORE_CALENDAR + frames.FRAMES_CALENDAR
FACTS = talk.FACTS + chat.MORE_FACTS + frames.FRAMES_FACTS
FOREIGN = talk.FOREIGN + chat.MORE_FOREIGN + frames.FRAMES_FOREIGN
MISSING = words.MISSING + more.MORE_MISSING + frames.FRAMES_MISSING
SPELLING = talk.WORDS + chat.MORE_WORDS + frames.FRAMES_WORDS
UNLIKE = words.UNLIKE_SUMS + more.MORE_UNLIKE + frames.FRAMES_UNLIKE


def outside(rng: Draws) -> Problem:
    """A question that nano cannot answer."""
    kinds, weights = zip(*KINDS, strict=True)
    return rng.choices(kinds, weights)[0](rng)


MEANINGFUL = ("number", "hundred", "thousand", "million", "tuesday", "wednesday", "december", "together", "between",
              "please", "thanks", "hello", "goodbye", "welcome", "answer", "question", "balance", "different", "little",
              "necessary", "immediately", "parallel")  # fmt: skip
THINGS_UNKNOWN = tuple(word for word in WORDS if word not in MEANINGFUL)
"""Words that nothing can be calculated with: `5 days after tuesday` has an answer."""


def _word(rng: Draws) -> str:
    return rng.choice(THINGS_UNKNOWN) if rng.random() < 0.75 else made_up(rng)


def _filled(rng: Draws, line: str) -> str:
    """A line of outside_wordings with its places filled."""
    a, b, c = (rng.randrange(2, rng.choice((10, 30, 100))) for _ in range(3))
    day = date(1980, 1, 1) + timedelta(days=rng.randrange(25000))
    f = rng.choice((polynomial(rng, rng.choice((1, 2, 2, 3))), "sin(x)", "x^2", "e^x", "1/x", "ln(x)", "sqrt(x)"))
    place, other = rng.sample(PLACES, 2)
    p, q = rng.sample(NAMES, 2)
    t, u = things(rng, 2)
    if "{t}" in line or "{p}" in line:
        other = u
    return line.format(
        a=a, b=b, c=c, d=written(day), e=written(day + timedelta(days=rng.randrange(30, 900))), f=f, w=_word(rng),
        x=_word(rng), v=place, u=other, l=rng.choice("abcdefghijklmnoprstuvwyz"), y=rng.randrange(1500, 2100),
        m=rng.choice(MONTHS), p=p, q=q, P=place, Q=other, t=t, his=rng.choice(("his", "her")),
    )  # fmt: skip


def _table(table: tuple[str, ...], thinking: str, reason: str) -> Callable[[Draws], Problem]:
    def made(rng: Draws) -> Problem:
        question = _filled(rng, rng.wording(table))
        if reason == "mathematics" and rng.random() < 0.35 and len(question) < 25 and "?" not in question:
            question = rng.wording(ASKS).format(question.rstrip("."))
        return declined(rng, question, thinking, reason, exact=reason == "english", tools=0.05)

    return made


def _units(rng: Draws) -> Problem:
    """Units that nano has not learned, or that do not belong together."""
    a, b = rng.choice(words.UNIT_PAIRS + more.MORE_UNIT_PAIRS)
    if rng.random() < 0.25:
        a, b = (rng.choice(units) for units in rng.sample(more.DIMENSIONS, 2))
    n = rng.choice((str(rng.randrange(1, 200)), f"{rng.randrange(100)}.{rng.randrange(1, 10)}"))
    return declined(rng, rng.wording(UNITS).format(n=n, a=a, b=b), f"{a} to {b}: I have not learned that.", "unit")


def _mixed_units(rng: Draws) -> Problem:
    """Sums of different units."""
    a, b = rng.sample(rng.choice(words.UNLIKE), 2)
    if rng.random() < 0.4:
        a, b = (rng.choice(units) for units in rng.sample(more.DIMENSIONS, 2))
    question = rng.wording(ASKS).format(rng.wording(UNLIKE).format(n=small(rng), m=small(rng), a=a, b=b))
    return declined(rng, question, f"{a} and {b}: I have not learned to add them.", "unit")


def _story(rng: Draws) -> Problem:
    """A story without a number that it needs."""
    kind = rng.random()
    if kind < 0.3:
        return declined(rng, story_without(rng), "A number that is needed is not given.", "missing")
    if kind < 0.65:
        return _table(MISSING, "A number that is needed is not given.", "missing")(rng)
    who, thing = person(rng), things(rng, 1)[0]
    some = rng.choice(("some", "some", "a few", "many", "several"))
    text = [who.filled(rng, rng.wording(HAVE), False, n=some, t=thing)]
    for _ in range(rng.choice((1, 1, 2))):
        text.append(
            who.filled(rng, rng.wording(LOSSES if rng.random() < 0.6 else GAINS), True, n=rng.randrange(2, 60), t=thing)
        )
    if rng.random() < 0.3:
        text[0] = who.filled(rng, rng.wording(HAVE), False, n=rng.randrange(2, 60), t=thing)
        text[1:] = [who.filled(rng, rng.wording(LOSSES), True, n=some, t=thing)]
    text.append(who.filled(rng, rng.wording(LEFT), True, t=thing))
    return declined(rng, " ".join(text), "A number that is needed is not given.", "missing")


UNKNOWN = (
    "What is the {w} of {n}?", "What is the {w} of {n} and {m}?", "{n} {w} {m}", "What (is|are) {n} {w} {m}?",
    "What {w} is {n} in?", "{w}({n})", "{w}({n}, {m})", "{w} {n}", "{w} of {n}",
    "{n} (plus|minus|times|divided by|to the power of) {w}", "{w} (plus|minus|times|divided by) {n}",
    "{n} (+|-|*|/|^) {w}", "{w} (+|-|*|/|^) {n}", "(Convert|Change) {n} {w}s to {v}s.", "How many {w}s are {n} {v}s?",
    "{n} {w} in {v}", "(Find|Give|Compute|Calculate) the {w} of {n}(.| and {m}.)", "{w} the numbers from {n} to {m}.",
    "{w} the numbers {n}, {m} and {k}.", "{w} {n}, {m}, {k}", "How {w} is {n}?", "(Is|Was) {n} (a |an |){w}?",
    "Is {n} more {w} than {m}?", "Which {w} is {n}?", "In which {w} was {n}?", "Solve the {w} (equation |){n}x = {m}.",
    "Solve {n}{w} = {m}{v}.", "{w} {n} by {m}.", "{w} {n} and {m}.", "What {w} comes after {n}?",
    "How many {w}s does {n} have?", "{n} has how many {w}s?", "The {w} of {n} is what?", "{n} as (a |){w}",
    "{n} in {w}", "Write {n} as (a |){w}.", "(When|Where|Why) is {n} {w}?",
    "What is {n} (after|before|without|over|under|per) {w}?", "{w} root of {n}", "the {w} sum of {n} and {m}",
    "{n} {w} and {m} {v}", "What {w} do you get from {n} and {m}?", "If {n} is {w}, what is {m}?", "{w} = {n}, {v} = ?",
    "{n} ({w}) {m}", "{n} {w}{v} {m}", "{n} {w} by {m}", "{n} is {w} to {m}?", "{w} {n} times", "take the {w} of {n}",
    "{w} and {n}", "{w} over {n}", "{n} over {w}", "{w} squared", "{n} to the {w}", "{w} to the power of {n}",
    "{w} to the {n}", "{n} squared {w}", "{n}{w}^{m}", "{n}^{w} + {m}", "{w}^{n}", "({n} + {w}) * {m}",
    "{n} * {w} + {m}", "{n} + {m} {w}", "{n} {w} + {m}", "{w} {v} {n}", "{w} {n} {v} {m}",
    "Which {w} comes (before|after|next to) {n}?", "The {w} before {n} is?", "What is the {w} between {n} and {m}?",
    "{w} between {n} and {m}", "{w}({n}) = ?", "{w}({n}, {m}, {k})", "{w}({n}) + {v}({m})",
    "the {w} average of {n}, {m} and {k}", "the {w} root of {n}", "the {w} product of {n} and {m}",
    "the {w} difference of {n} and {m}", "the {w} remainder of {n} and {m}", "the {w} power of {n}",
    "{w} percent of {n}", "{n} percent of {w}", "{n}% {w} {m}", "{w} equation: {n}x = {m}", "{w} number {n}",
    "the {n}th {w}", "the {n}th {w} of {m}", "how many {w} is {n}", "how {w} are {n} and {m}?", "Is {n} a {w} of {m}?",
    "Does {n} {w} {m}?", "Do {n} and {m} {w}?", "Can {n} be {w}?", "Can you {w} {n} by {m}?", "Can you {w} {n}?",
    "Please {w} {n}.", "(please|now|first|then) {w} {n} and {m}", "I want to {w} {n} with {m}.", "{w} {n} from {m}",
    "{w} {n} to {m}", "{w} {n} with {m}", "{w} {n} into {m}", "what do I get if I {w} {n}",
    "after I {w} {n}, what is left?", "the result of {w} {n}", "value of {w} at {n}", "{n} and {m} in {w}",
    "{n} {w}s make how many {v}s?", "{n} {w} per {v}", "{n} {w} is how much?", "{n} {w}s to {v}s",
    "change {n} {w} to {v}", "which is {w}er, {n} or {m}?", "which is the {w} of {n}, {m} and {k}?",
    "order {n}, {m}, {k} by {w}", "sort {n} {m} {k} by {w}", "{w} of the list {n}, {m}, {k}",
    "list {n}, {m}, {k}: {w}?", "count the {w}s in {n}", "round {n} to the nearest {w}", "{n} rounded to {w}s",
    "{n} days after {w}", "{n} minus the {w}", "the {w} plus {n}", "Why is {n} {w} than {m}?", "{n} more {w} than {m}?",
    "{n}x + {w} = {m}", "solve {w}x = {n}", "find the {w} if x = {n}", "use {n}, {m} and {k} to make a {w}",
    "make {w} from {n} and {m}", "{n} {w} {m} {v} {k} ?", "{w} {n}?", "{n} {w}?",
    *frames.FRAMES_UNKNOWN,
)  # fmt: skip


def _unknown(rng: Draws) -> Problem:
    """A question of the shape of those that nano knows, about something that it cannot know how to calculate with."""
    n, m, k = (small(rng) if rng.random() < 0.8 else rng.randrange(1000, 2100) for _ in range(3))
    w, v = (_word(rng) for _ in range(2))
    question = rng.wording(UNKNOWN).format(n=n, m=m, k=k, w=w, v=v)
    if rng.random() < 0.5:
        question = question[0].upper() + question[1:]
    return declined(rng, question, "I do not know how to calculate with that.", "arithmetic")


NAMED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("sum|total|added|add|plus|increased", ADD.nouns + ADD.sentences),
    ("difference|subtracted|subtract|minus|reduced|decreased", SUBTRACT.nouns + SUBTRACT.sentences),
    ("product|multiplied|multiply|times", MULTIPLY.nouns + MULTIPLY.sentences),
    ("quotient|divided|divide|dividing|split|shared|remainder", DIVIDE.nouns + DIVIDE.sentences),
    ("remainder|rest|modulo|mod", REMAINDER), ("average|mean", AVERAGE), ("squared|square", SQUARE),
    ("largest|biggest|greatest|highest|maximum", LARGEST), ("smallest|lowest|least|minimum", SMALLEST),
    ("rounded|round", ROUND),
)  # fmt: skip
"""What names a calculation, and the wordings that do."""


def _renamed(rng: Draws) -> Problem:
    """A question that nano knows, but for the word that names the calculation."""
    while True:
        names, table = rng.choice(NAMED)
        numbers = listed(rng, [small(rng) for _ in range(3)])
        question = rng.wording(table).replace("{l}", "{}").format(numbers, a=small(rng), b=small(rng), k="tens")
        if "?" not in question and rng.random() < 0.5:
            question = rng.wording(ASKS).format(question.rstrip("."))
        changed = re.sub(rf"\b({names})\b", _word(rng), question, flags=re.IGNORECASE)
        if changed != question and not re.search(r"[-+*/×÷=(]", question):
            return declined(rng, changed, "I do not know how to calculate with that.", "arithmetic")


KINDS: tuple[tuple[Callable[[Draws], Problem], float], ...] = (
    (too_long, 5), (other_equations, 3), (by_zero, 1), (_units, 3), (_mixed_units, 1.5), (_story, 7),
    (negative_remainder, 1.5), (long_countdown, 1),
    (_unknown, 9), (_renamed, 2.5),
    (_table(words.PRIMES, "This asks about primes and divisors.", "mathematics"), 2),
    (_table(ADVANCED, "That is mathematics that I have not learned.", "mathematics"), 16),
    (_table(FACTS, "This is not a problem with numbers that I can work out.", "arithmetic"), 10),
    (_table(SPELLING, "This asks about words, not numbers.", "arithmetic"), 4),
    (_table(talk.CODE + chat.MORE_CODE, "This asks for code or text.", "code"), 3),
    (_table(FOREIGN, "This is not English.", "english"), 6),
    (_table(CALENDAR, "This asks for a date or a time that I cannot work out.", "date"), 5),
)  # fmt: skip
