"""Date arithmetic: days added and taken away, days between dates, days of the week."""

from __future__ import annotations

from datetime import date, timedelta

from training.nano.tasks import date_more as more
from training.nano.tasks import date_sides as sides
from training.nano.tasks.clock import clock
from training.nano.tasks.date_steps import (
    MONTHS,
    WEEKDAYS,
    after_steps,
    before_steps,
    between_steps,
    days_text,
    ordered,
    weekday_steps,
    written,
)
from training.nano.tasks.date_yearless import yearless
from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.wording import Draws

AFTER = (
    "What date is {n} after {d}?", "What is the date {n} after {d}?", "{d} plus {n}", "Add {n} to {d}.",
    "Which date comes {n} after {d}?", "If today is {d}, what (date is it|is the date) in {n}?",
    "{n} after {d}(?|)", "What (date|day) (will it be|is it) {n} after {d}?",
    "(Today is|It is) {d}. What (date|day) is it in {n}?",
    "(Start|starting|Starting) (at|on|from) {d}, what is the date after {n}?",
    "What date do I get (if|when) I add {n} to {d}?", "{d}, and {n} later?", "Move {n} forward from {d}.",
    "{n} forward from {d}(?|)", "From {d} go on {n}. What date is it?", "Which date is {n} later than {d}?",
    "I have {n} from {d}. (When is that|What date is that)?", "Go {n} forward from {d}.",
    "(Find|Tell me|Give me) the date {n} after {d}.", "What comes {n} after {d}?",
    "(Count|Go) {n} (on |)from {d}. Which date is (it|that)?",
    "{d} and {n} more", "{n} on from {d}", "{n} ahead of {d}, what date?", "Jump {n} ahead from {d}.",
    "(Walk|Step|Travel|Jump) {n} into the future from {d}.",
    "(Move|Shift|Push) {d} (by {n} ahead|ahead by {n}|{n} into the future).",
    "Starting {d}, {n} pass. What is the date?", "{n} pass after {d}. What date is it then?",
    "When {n} have passed since {d}, what date is it?", "A visa from {d} is good for {n}. On what date does it end?",
    "{d}. Wait {n}. What is the date?", "An egg laid on {d} hatches {n} later. What date is that?",
    "From {d}, what date is {n} ahead?", "What will be the date {n} from {d}?",
    "Counting {n} up from {d}, which date do I reach?", "The date is {d}. What is it {n} from now?",
    "due date: {n} from {d}", "{d}, {n} later", "My order of {d} takes {n}. What date does it come?",
    "Forward {n}, starting at {d}: which date?", "Take {d}, go {n} forward. What date?",
    "How is the date called {n} after {d}?",
    *more.AFTER, *sides.AFTER,
)  # fmt: skip
BEFORE = (
    "What date is {n} before {d}?", "What is the date {n} before {d}?", "{d} minus {n}", "Subtract {n} from {d}.",
    "Which date was {n} before {d}?", "If today is {d}, what (date was it|was the date) {n} ago?",
    "{n} before {d}(?|)", "What (date|day) was it {n} before {d}?",
    "(Today is|It is) {d}. What (date|day) was it {n} ago?",
    "What date do I get (if|when) I (take {n} from|subtract {n} from) {d}?", "Which date is {n} earlier than {d}?",
    "{d}, and {n} earlier?", "Go {n} back from {d}.", "(Find|Tell me|Give me) the date {n} before {d}.",
    "Count {n} back(wards|) from {d}.", "What came {n} before {d}?", "{n} back from {d}?",
    "{n} earlier than {d}", "{d}, {n} before", "Jump {n} back from {d}.",
    "(Walk|Step|Travel|Jump) {n} into the past from {d}.",
    "(Move|Shift|Push) {d} (by {n} back|back by {n}|{n} into the past).", "Which date is {n} prior to {d}?",
    "The date is {d}. What was it {n} ago?", "Counting {n} down from {d}, which date do I reach?",
    "A party on {d} was planned {n} earlier. On what date?", "What was the date {n} prior to {d}?",
    "Backward {n}, starting at {d}: which date?", "Take {d}, go {n} backward. What date?",
    "{n} had passed when it was {d}. When did they begin?", "reminder: {n} before {d}",
    *more.BEFORE, *sides.BEFORE,
)  # fmt: skip
BETWEEN = (
    "How many days are there from {a} to {b}?", "How many days are (there |)between {a} and {b}?",
    "Count the days from {a} to {b}.", "Days (from|between) {a} (to|and) {b}?",
    "How many days (is it|are there) from {a} (until|till|to) {b}?",
    "(From|from) {a} to {b}, how many days( is that|)?", "How many days (pass|go by|lie) between {a} and {b}?",
    "(What is|Find) the number of days (from|between) {a} (to|and) {b}(?|.)",
    "If today is {a}, how many days (are left until|is it until|until) {b}?",
    "How (long|far) is it from {a} to {b} in days?",
    "(Today is|It is) {a}. (In how many days is it|How many days until) {b}?", "{a} to {b}: how many days?",
    "(Find|Give me|What is) the difference between {a} and {b} in days(.|?|)",
    "(Can|Could) you count the days (between|from) {a} (and|to) {b}?", "How many days after {a} is {b}?",
    "How many days separate {a} and {b}?", "{a} till {b} in days", "days: {a} to {b}",
    "From {a} on, how many days pass until {b}?", "It was {a} and is {b} now. How many days have passed?",
    "A trip goes from {a} to {b}. How many days is that?", "The day is {a}. {b} is how many days off?",
    "How many days do I wait from {a} to {b}?", "Number of days from {a} up to {b}?",
    "Today: {a}. Target: {b}. How many days?", "{b} minus {a}, in days", "What is {b} minus {a} in days?",
    "count of days, {a} to {b}", "how many days from {a} until {b}",
    *more.BETWEEN, *sides.BETWEEN,
)  # fmt: skip
WEEKDAY_AFTER = (
    "If today is {w}, what day (of the week |)is it in {n}?", "What day is (it |){n} after {w}?",
    "Today is {w}. Which weekday is it {n} from now?", "{w} plus {n}",
    "(Today is|It is) {w}. What day (is it|will it be) in {n}?",
    "What (weekday|day of the week) (is|comes) {n} after (a |){w}?", "Which day is {n} after {w}?",
    "{n} after {w}(?|)", "If it is {w} (today|now), what day will it be {n} (later|from now)?",
    "(Start|Starting) on (a |){w}, what day is it after {n}?", "What day (will it be|is it) {n} from {w}?",
    "{w}, and {n} later?", "Add {n} to {w}.", "{n} from {w} is what day?",
    "On which day of the week do {n} after {w} end?", "Say which weekday comes {n} after {w}.",
    "(My|The) holiday starts on {w} and ends {n} later. What day (is that|does it end)?",
    "{w}. Wait {n}. Which day is it?", "{n} pass after a {w}. What day is it then?",
    "When {n} have passed since {w}, what weekday is it?", "Counting {n} up from {w}, which weekday do I reach?",
    "Which weekday is {n} ahead of {w}?", "It is {w} and I leave in {n}. On which day is that?",
    "Jump {n} ahead from {w}.",
    *more.WEEKDAY_AFTER,
)  # fmt: skip
WEEKDAY_BEFORE = (
    "If today is {w}, what day (of the week |)was it {n} ago?", "What day is (it |){n} before {w}?",
    "Today is {w}. Which weekday was it {n} ago?", "{w} minus {n}",
    "(Today is|It is) {w}. What day was it {n} ago?",
    "What (weekday|day of the week) (is|was|comes) {n} before (a |){w}?", "Which day was {n} before {w}?",
    "{n} before {w}(?|)", "If it is {w} (today|now), what day was it {n} (earlier|ago|before)?",
    "{w}, and {n} earlier?", "Subtract {n} from {w}.", "What day was it {n} before {w}?", "Go {n} back from {w}.",
    "It is {w}. I came {n} ago. On which day was that?", "Counting {n} down from {w}, which weekday do I reach?",
    "Which weekday is {n} earlier than {w}?", "Today is {w}, so what was it {n} back?", "Jump {n} back from {w}.",
    "{n} earlier than {w} is what day?", "{n} had passed when it was {w}. On what day did they begin?",
    "If now it is {w}, which day was {n} in the past?", "Say which weekday comes {n} before {w}.",
    *more.WEEKDAY_BEFORE,
)  # fmt: skip


def date_arithmetic(rng: Draws) -> Problem:
    """One of seven kinds, up to 120 days for dates and 365 for days of the week."""
    return rng.choice((_after, _before, _between, _between, yearless, _weekday, _weekday, clock))(rng)


def _random_date(rng: Draws) -> date:
    return date(1980, 1, 1) + timedelta(days=rng.randrange(29000))


def typed_date(rng: Draws, day: date) -> str:
    """A date as people type it."""
    roll = rng.random()
    if roll < 0.56:
        return written(day)
    if roll < 0.71:
        return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
    if roll < 0.86:
        month = MONTHS[day.month - 1]
        month = month[:3] if rng.random() < 0.6 else month
        return rng.choice(("{m} {d} {y}", "{m} {d}, {y}", "{d} {m} {y}")).format(m=month, d=day.day, y=day.year)
    return day.isoformat()


def _date_problem(key: str, rng: Draws, question: str, steps: list[str], answer: str) -> Problem:
    return Problem("date", key, ask(rng, question), "\n".join(steps), boxed(answer), answer)


def after_wording(rng: Draws) -> str:
    """A question for the date {n} after {d}."""
    return told_in(rng, sides.LASTING, sides.BEGINS, sides.ASK_END) if rng.random() < 0.3 else rng.wording(AFTER)


def before_wording(rng: Draws) -> str:
    """A question for the date {n} before {d}."""
    return told_in(rng, sides.LASTING, sides.ENDS, sides.ASK_BEGIN) if rng.random() < 0.3 else rng.wording(BEFORE)


def between_wording(rng: Draws) -> str:
    """A question for the days from {a} to {b}."""
    roll = rng.random()
    if roll < 0.2:
        return told_in(rng, sides.NOW, sides.GOAL, sides.ASK_LEFT)
    return told_in(rng, sides.PRESENT, sides.PAST, sides.ASK_SINCE) if roll < 0.32 else rng.wording(BETWEEN)


def told_in(rng: Draws, one: tuple[str, ...], other: tuple[str, ...], asked: tuple[str, ...]) -> str:
    """Two facts in either order, and a question."""
    facts = [rng.wording(one), rng.wording(other)]
    rng.shuffle(facts)
    return " ".join([*facts, rng.wording(asked)])


def _after(rng: Draws) -> Problem:
    start, days = _random_date(rng), rng.randrange(1, 121)
    question = after_wording(rng).format(n=days_text(days), d=typed_date(rng, start))
    return _date_problem(f"{start}+{days}", rng, question, *after_steps(start, days))


def _before(rng: Draws) -> Problem:
    start, days = _random_date(rng), rng.randrange(1, 121)
    question = before_wording(rng).format(n=days_text(days), d=typed_date(rng, start))
    return _date_problem(f"{start}-{days}", rng, question, *before_steps(start, days))


def _between(rng: Draws) -> Problem:
    start = _random_date(rng)
    end = start + timedelta(days=rng.randrange(1, 200))
    line = between_wording(rng)
    steps, answer = between_steps(start, end)
    first = ordered(*((start, end) if line.index("{a}") < line.index("{b}") else (end, start)))
    question = line.format(a=typed_date(rng, start), b=typed_date(rng, end))
    return _date_problem(f"{start}..{end}", rng, question, [first, *steps], answer)


def _weekday(rng: Draws) -> Problem:
    today, days, forward = rng.randrange(7), rng.randrange(1, rng.choice((366, 366, 31))), rng.random() < 0.6
    question = rng.wording(WEEKDAY_AFTER if forward else WEEKDAY_BEFORE).format(w=WEEKDAYS[today], n=days_text(days))
    key = f"{today}{'+' if forward else '-'}{days}"
    return _date_problem(key, rng, question, *weekday_steps(today, days, forward))
