"""Date arithmetic: days added and taken away, days between dates, days of the week."""

from __future__ import annotations

from datetime import date, timedelta

from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.wording import Draws

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
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
)  # fmt: skip


def date_arithmetic(rng: Draws) -> Problem:
    """One of five kinds, up to 120 days for dates and 365 for days of the week."""
    return rng.choice((_after, _before, _between, _weekday, _weekday))(rng)


def _days(n: int) -> str:
    return f"{n} day{'s' if n != 1 else ''}"


def _random_date(rng: Draws) -> date:
    return date(1980, 1, 1) + timedelta(days=rng.randrange(29000))


def written(day: date) -> str:
    """`March 17, 2023`: how answers state a date."""
    return f"{MONTHS[day.month - 1]} {day.day}, {day.year}"


def _typed(rng: Draws, day: date) -> str:
    roll = rng.random()
    if roll < 0.6:
        return written(day)
    if roll < 0.75:
        return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
    if roll < 0.9:
        month = MONTHS[day.month - 1]
        month = month[:3] if rng.random() < 0.6 else month
        return rng.choice(("{m} {d} {y}", "{m} {d}, {y}", "{d} {m} {y}")).format(m=month, d=day.day, y=day.year)
    return day.isoformat()


def _length(year: int, month: int) -> int:
    return (date(year + month // 12, month % 12 + 1, 1) - date(year, month, 1)).days


def _has(year: int, month: int) -> str:
    """`March has 31 days`; for February with the reason."""
    leap = ""
    if month == 2:
        leap = f"{year} is {'a' if _length(year, 2) == 29 else 'not a'} leap year. "
    return f"{leap}{MONTHS[month - 1]} has {_length(year, month)} days"


def _date_problem(key: str, rng: Draws, question: str, steps: list[str], answer: str) -> Problem:
    return Problem("date", key, ask(rng, question), "\n".join(steps), boxed(answer), answer)


def _after(rng: Draws) -> Problem:
    start, days = _random_date(rng), rng.randrange(1, 121)
    question = rng.wording(AFTER).format(n=_days(days), d=_typed(rng, start))
    return _date_problem(f"{start}+{days}", rng, question, *after_steps(start, days))


def after_steps(start: date, days: int) -> tuple[list[str], str]:
    """The trace of a date some days later, and that date."""
    year, month, day, rest = start.year, start.month, start.day, days
    steps = [f"{written(start)} + {_days(days)}"]
    while True:
        length = _length(year, month)
        if day + rest <= length:
            steps.append(f"{_has(year, month)}. {day}+{rest}={day + rest}, it fits.")
            break
        left = length - day
        steps.append(f"{_has(year, month)}. {length}-{day}={left} left, {rest}-{left}={rest - left}.")
        rest, day, month = rest - left, 0, month + 1
        if month == 13:
            year, month = year + 1, 1
            steps.append(f"The year {year} begins.")
    return steps, written(start + timedelta(days=days))


def _before(rng: Draws) -> Problem:
    start, days = _random_date(rng), rng.randrange(1, 121)
    year, month, day, rest = start.year, start.month, start.day, days
    steps = [f"{written(start)} - {_days(days)}"]
    while rest >= day:
        steps.append(f"{rest}-{day}={rest - day} before the end of the previous month.")
        rest, month = rest - day, month - 1
        if month == 0:
            year, month = year - 1, 12
            steps.append(f"That is in {year}.")
        day = _length(year, month)
        steps.append(f"{_has(year, month)}.")
    steps.append(f"{day}-{rest}={day - rest}, it fits.")
    end = start - timedelta(days=days)
    question = rng.wording(BEFORE).format(n=_days(days), d=_typed(rng, start))
    return _date_problem(f"{start}-{days}", rng, question, steps, written(end))


def _between(rng: Draws) -> Problem:
    start = _random_date(rng)
    end = start + timedelta(days=rng.randrange(1, 200))
    steps = [f"From {written(start)} to {written(end)}"]
    if (start.year, start.month) == (end.year, end.month):
        steps.append(f"Same month: {end.day}-{start.day}={end.day - start.day}")
    else:
        total = _length(start.year, start.month) - start.day
        steps.append(f"{_has(start.year, start.month)}. {total + start.day}-{start.day}={total}")
        year, month = start.year + start.month // 12, start.month % 12 + 1
        while (year, month) != (end.year, end.month):
            length = _length(year, month)
            steps.append(f"{_has(year, month)}. {total}+{length}={total + length}")
            total += length
            year, month = year + month // 12, month % 12 + 1
        steps.append(f"{MONTHS[month - 1]}: {total}+{end.day}={total + end.day}")
    question = rng.wording(BETWEEN).format(a=_typed(rng, start), b=_typed(rng, end))
    return _date_problem(f"{start}..{end}", rng, question, steps, str((end - start).days))


def _weekday(rng: Draws) -> Problem:
    today, days, forward = rng.randrange(7), rng.randrange(1, rng.choice((366, 366, 31))), rng.random() < 0.6
    question = rng.wording(WEEKDAY_AFTER if forward else WEEKDAY_BEFORE).format(w=WEEKDAYS[today], n=_days(days))
    key = f"{today}{'+' if forward else '-'}{days}"
    return _date_problem(key, rng, question, *weekday_steps(today, days, forward))


def weekday_steps(today: int, days: int, forward: bool) -> tuple[list[str], str]:
    """The trace of a day of the week some days away, and that day."""
    weeks, rest = divmod(days, 7)
    walk = [WEEKDAYS[(today + (i if forward else -i)) % 7] for i in range(rest + 1)]
    steps = [
        f"{_days(days)}: {weeks}*7={weeks * 7}, {days}-{weeks * 7}={rest}",
        f"{_days(rest)} {'after' if forward else 'before'} {walk[0]}: " + ", ".join(
            [walk[0], *(f"{i} {name}" for i, name in enumerate(walk[1:], 1))]
        ),
    ]  # fmt: skip
    return steps, walk[-1]
