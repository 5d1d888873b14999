"""Dates without a year: answered where every year gives the same, declined where February's end lies on the way."""

from __future__ import annotations

from datetime import date, timedelta

from training.nano.tasks.date_steps import MONTHS, after_steps, before_steps, between_steps, days_text, ordered, written
from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.refusals import refusal
from training.nano.tasks.wording import Draws

COMMON = 2001
"""A year of 365 days before another of 365, for what every year has alike; it is never told."""
AFTER = (
    "What date is {n} after {d}?", "What is the date {n} after {d}?", "{d} plus {n}",
    "Today is {d}. What date is it in {n}?", "Which date comes {n} after {d}?", "{n} from {d} is what date?",
    "I start on {d} and need {n}. When am I done?", "It is {d}. In {n} it is what date?", "Add {n} to {d}.",
    "When is {n} past {d}?", "Which date is {n} on from {d}?", "the date {n} after {d}", "{d}, {n} on",
    "We leave on {d} and come back {n} later. On which date?", "If it is {d}, what is the date in {n}?",
    "Count on {n} from {d}.", "A bill of {d} is due in {n}. On what date?", "{n} go by after {d}. What date is that?",
    "A parcel sent on {d} takes {n}. When does it come?", "Going {n} ahead from {d}, where am I?",
    "what day of the month is it {n} after {d}, and which month", "Put {n} on top of {d}.",
    "Starting from {d}, what date will it be when {n} are over?", "My leave begins on {d}. {n} later I am back. When?",
)  # fmt: skip
BEFORE = (
    "What date is {n} before {d}?", "What is the date {n} before {d}?", "{d} minus {n}",
    "Today being {d}, what date was {n} ago?", "Which date comes {n} before {d}?", "{n} before {d} is what date?",
    "It must be ready on {d} and takes {n}. Begin on which date?", "It is {d}. {n} ago it was what date?",
    "Take {n} from {d}.", "Which date is {n} back from {d}?", "the date {n} before {d}", "{d}, {n} back",
    "We came back on {d} after {n}. On which date did we leave?", "If it is {d}, what was the date {n} ago?",
    "Count down {n} from {d}.", "A bill is due on {d} and came {n} before. On what date?",
    "A parcel came on {d} after {n}. When was it sent?", "Going {n} back from {d}, where am I?",
    "what day of the month was it {n} before {d}, and which month", "I must order {n} before {d}. On which date?",
    "The party is on {d}, and {n} before it I send the cards. When?", "{n} sooner than {d}: what date?",
)  # fmt: skip
FROM_TO = (
    "How many days are there from {a} to {b}?", "How many days is it from {a} until {b}?", "From {a} to {b} in days",
    "It is {a}. How many days until {b}?", "Today is {a}. How many days to go until {b}?", "days from {a} till {b}",
    "How many days after {a} is {b}?", "How many days before {b} is {a}?", "Count the days from {a} up to {b}.",
    "My holiday is on {b} and it is {a} today. How many days are left?", "Days until {b} if today is {a}?",
    "Starting on {a}, how many days pass until {b}?", "A trip from {a} to {b} lasts how many days?",
    "{b} is next. Now it is {a}. In how many days is it?", "How many days must I wait for {b}? It is {a}.",
    "{a} up to {b} is how many days", "I bought it on {a} and now it is {b}. How many days ago was that?",
    "How many days have passed on {b} since {a}?", "The sale runs from {a} until {b}. How many days later does it end?",
    "School begins on {b}. It is {a}. Days left?", "On {a} we say: until {b} it is how many days?",
)  # fmt: skip
APART = (
    "How many days are between {a} and {b}?", "How many days lie between {a} and {b}, in one year?",
    "day count, {a} against {b}", "The same year: {a} and {b}. How many days apart?",
    "How far apart are {a} and {b} in days, within a year?", "days between {a} and {b}",
    "How many days separate {a} from {b} of the same year?", "{a} and {b}, difference in days?",
    "What is the difference between {a} and {b} in days?", "how many days between {a} and {b}",
    "In the calendar of a year, how many days lie from one to the other: {a}, {b}?",
)  # fmt: skip


def yearless(rng: Draws) -> Problem:
    """A date some days away, or the days between two dates, none with a year."""
    while True:
        start, days = date(COMMON, 1, 1) + timedelta(days=rng.randrange(365)), rng.randrange(1, 121)
        if (start.month, start.day) != (12, 31) and over_february(start, days) == (rng.random() < 0.1):
            break
    return rng.choice((_shifted, _between))(rng, start, days)


def over_february(start: date, days: int) -> bool:
    """Whether the end of a February lies in some days from a date, so that the year decides."""
    end = start + timedelta(days=days)
    return any(start <= date(year, 2, 28) < end for year in (start.year, start.year + 1))


def typed(rng: Draws, day: date) -> str:
    """A date without a year as people type it."""
    month, n = MONTHS[day.month - 1], day.day
    ending = "th" if 10 < n < 14 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    short = month if month == "May" else month[:3]
    return rng.choice((
        f"{month} {n}", f"{month} {n}", f"{month} {n}", f"{n} {month}", f"{short} {n}", f"{month} {n}{ending}",
        f"the {n}{ending} of {month}",
    ))  # fmt: skip


def _shifted(rng: Draws, start: date, days: int) -> Problem:
    forward, depends = rng.random() < 0.55, over_february(start, days)
    end = start + timedelta(days=days)
    told = start if forward else end
    line = rng.wording(AFTER if forward else BEFORE)
    messages = ask(rng, line.format(n=days_text(days), d=typed(rng, told)))
    key = f"{told.month}/{told.day}{'+' if forward else '-'}{days}"
    if depends:
        return _declined(key, messages, f"{written(told, False)} {'+' if forward else '-'} {days_text(days)}")
    steps, answer = after_steps(start, days, False) if forward else before_steps(end, days, False)
    return Problem("date", key, messages, "\n".join(steps), boxed(answer), answer)


def _between(rng: Draws, start: date, days: int) -> Problem:
    end = start + timedelta(days=days)
    apart = start.year == end.year and rng.random() < 0.35
    line = rng.wording(APART if apart else FROM_TO)
    a, b = (end, start) if apart and rng.random() < 0.3 else (start, end)
    messages = ask(rng, line.format(a=typed(rng, a), b=typed(rng, b)))
    key = f"{start.month}/{start.day}..{end.month}/{end.day}"
    first, second = (a, b) if line.index("{a}") < line.index("{b}") else (b, a)
    if over_february(start, days):
        return _declined(key, messages, f"From {written(start, False)} to {written(end, False)}")
    if start.year == end.year:
        put = ordered(first, second, False)
    else:
        put = f"From {written(start, False)} over the new year to {written(end, False)}"
    steps, answer = between_steps(start, end, False)
    return Problem("date", key, messages, "\n".join([put, *steps]), boxed(answer), answer)


def _declined(key: str, messages: list[dict[str, str]], begun: str) -> Problem:
    thinking = f"{begun}\nThe end of February lies between, and the year is not given."
    return refusal("date", key, messages, thinking, "missing")
