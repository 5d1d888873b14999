"""Times of the day: some hours and minutes later or earlier, and how long it is from one to another; on 24 hours."""

from __future__ import annotations

import re

from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.wording import Draws

DAY = 24 * 60
LATER = (
    "It is {t}. What time is it in {n}?", "What time is it {n} after {t}?", "{t} plus {n}",
    "The film starts at {t} and lasts {n}. When does it end?", "A train leaves at {t} and takes {n}. When is it there?",
    "I put a cake in at {t} for {n}. When is it done?", "What time will it be {n} after {t}?", "{n} from {t}?",
    "The show begins at {t} and is {n} long. At what time is it over?", "Add {n} to {t}.", "{t}, and {n} later?",
    "If it is {t} now, what will the clock show in {n}?",
    "We set out at {t}. We are on the way for {n}. When are we there?",
    "A flight leaves at {t}. It takes {n}. When does it land?", "{n} later than {t} is what time?",
    "I fall asleep at {t} and sleep {n}. When do I wake up?", "My shift starts at {t}, {n} long. When can I go?",
    "The clock says {t}. {n} go by. What does it say?", "At {t} a class begins. {n} is its length. Its end?",
    "when is it over: start {t}, length {n}", "Dinner needs {n} and I begin at {t}. When do we eat?",
    "The bus is due at {t} but {n} late. When does it come?", "{n} past {t}", "From {t} on, {n}: until when?",
    "Starting at {t}, when are {n} over?", "The meeting at {t} goes on for {n}. When is it finished?",
    "set at {t} for {n}, the alarm rings when", "The parking ticket from {t} is good for {n}. Until what time?",
)  # fmt: skip
EARLIER = (
    "It is {t}. What time was it {n} ago?", "What time is it {n} before {t}?", "{t} minus {n}",
    "The film ended at {t} and was {n} long. When did it start?",
    "I must be there at {t} and need {n}. When do I leave?",
    "What time was it {n} before {t}?", "Subtract {n} from {t}.", "{t}, and {n} earlier?",
    "If it is {t} now, what did the clock show {n} ago?", "We arrived at {t} after {n}. When did we set out?",
    "The plane lands at {t} after {n} in the air. When did it take off?", "{n} earlier than {t} is what time?",
    "I woke up at {t} after {n} of sleep. When did I fall asleep?", "Dinner is at {t} and needs {n}. When do I begin?",
    "The clock says {t}. What did it say {n} before?", "To be ready at {t} with {n} of work, when must I start?",
    "{n} back from {t}", "The bus came at {t}, {n} late. When was it due?",
    "It takes {n} and is over at {t}. Its start?",
    "We should be there {n} before {t}. At what time?", "My exam ends at {t}. It is {n} long. When does it begin?",
)  # fmt: skip
LASTING = (
    "How long is it from {t} to {u}?", "How long is it from {t} until {u}?", "How much time is between {t} and {u}?",
    "A shop is open from {t} to {u}. How long is that?", "I work from {t} to {u}. How long is that?",
    "The train leaves at {t} and arrives at {u}. How long does it take?", "From {t} to {u}, how long?", "{t} to {u}",
    "The film starts at {t} and ends at {u}. How long is it?", "It is {t}. How long until {u}?", "time from {t} to {u}",
    "I sleep from {t} to {u}. How long do I sleep?", "Between {t} and {u}, how many hours and minutes lie?",
    "We left at {t} and were home at {u}. How long were we away?", "{t} until {u}: hours and minutes?",
    "The oven was on from {t} till {u}. For how long?", "It is {t} now. My bus goes at {u}. How long do I wait?",
    "start {t}, end {u}, how long", "The lesson goes from {t} to {u}. What is its length?",
    "Sunrise is at {t} and sunset at {u}. How long is it light?", "How long after {t} is {u}?",
    "If I park from {t} till {u}, for how long is that?",
)  # fmt: skip


def clock(rng: Draws) -> Problem:
    """A time later or earlier, or how long it lasts; without am and pm on 24 hours."""
    halves = rng.random() < 0.7
    start, length = _minute(rng), _length(rng)
    roll = rng.random()
    if roll < 0.3:
        return _lasting(rng, start, (start + length) % DAY, length, halves)
    later = roll < 0.7
    end = (start + length if later else start - length) % DAY
    line = rng.wording(LATER if later else EARLIER)
    steps = [*_on_24(halves, start), *(_added if later else _taken)(start, length)]
    shown = told(end, halves)
    if halves:
        steps.append(f"{told(end, False)} is {shown}.")
    question = line.format(t=_typed(rng, start, halves), n=_typed_length(rng, length))
    key = f"clock {start}{'+' if later else '-'}{length}"
    return Problem(
        "date", key, _asked(rng, question), "\n".join(steps), boxed(shown), shown,
        accepts=lambda given: minute_of(given) == end,
    )  # fmt: skip


def _lasting(rng: Draws, start: int, end: int, length: int, halves: bool) -> Problem:
    """From one time to the next time of another."""
    steps = [*_on_24(halves, start, end), *_taken(end, start, ", over midnight" if end < start else "")]
    answer = duration(length)
    question = rng.wording(LASTING).format(t=_typed(rng, start, halves), u=_typed(rng, end, halves))
    return Problem("date", f"clock {start}..{end}", _asked(rng, question), "\n".join(steps), boxed(answer), answer)


def _asked(rng: Draws, question: str) -> list[dict[str, str]]:
    """No second dot after `p.m.`"""
    question = question.replace("m..", "m.")
    return ask(rng, question[0].upper() + question[1:] if rng.random() < 0.7 else question)


def _minute(rng: Draws) -> int:
    """A time, by day more often, at a quarter of an hour or any minute."""
    hour = rng.choice((rng.randrange(24), rng.randrange(6, 23), rng.randrange(6, 23)))
    return hour * 60 + rng.choice((0, 0, 15, 30, 45, 5 * rng.randrange(12), rng.randrange(60)))


def _length(rng: Draws) -> int:
    """Minutes, hours, or both, less than twelve hours."""
    minutes = rng.choice((10, 15, 20, 30, 40, 45, 50, rng.randrange(1, 60)))
    return rng.choice((minutes, 60 * rng.randrange(1, 12), 60 * rng.randrange(1, 6) + minutes))


def told(minute: int, halves: bool) -> str:
    """`22:05`, or `10:05 pm`."""
    hour, rest = divmod(minute, 60)
    return f"{(hour - 1) % 12 + 1}:{rest:02} {'pm' if hour > 11 else 'am'}" if halves else f"{hour}:{rest:02}"


def minute_of(text: str) -> int | None:
    """The minute of the day that a time names, or None if it names none."""
    found = re.fullmatch(r"(\d\d?)(?::(\d\d))? ?([ap]m)?", text.strip().lower().replace(".", ""))
    if not found:
        return None
    hour = int(found[1]) % 12 + (12 if found[3] == "pm" else 0) if found[3] else int(found[1])
    return hour * 60 + int(found[2] or 0)


def duration(length: int) -> str:
    """`2 hours 20 minutes`, without a part that is nothing."""
    parts = [(length // 60, "hour"), (length % 60, "minute")]
    return " ".join(f"{n} {name}{'s' if n != 1 else ''}" for n, name in parts if n)


def _typed(rng: Draws, minute: int, halves: bool) -> str:
    text = told(minute, halves)
    if not halves:
        return text.zfill(5) if rng.random() < 0.3 else text
    if text[-5:-3] == "00" and rng.random() < 0.6:
        text = text[:-6] + text[-3:]
    return rng.choice((text, text, text.replace(" ", ""), text.replace("am", "a.m.").replace("pm", "p.m.")))


def _typed_length(rng: Draws, length: int) -> str:
    text = duration(length)
    if rng.random() < 0.25:
        return re.sub(r" minutes?", " min", re.sub(r" hours?", " h", text))
    return re.sub(r"(hours?) ", r"\1 and ", text) if rng.random() < 0.5 else text


def _on_24(halves: bool, *minutes: int) -> list[str]:
    """The times as they are on 24 hours, where am and pm are told."""
    return [f"{told(minute, True)} is {told(minute, False)}." for minute in minutes] if halves else []


def _added(start: int, length: int) -> list[str]:
    (hour, minute), (hours, minutes) = divmod(start, 60), divmod(length, 60)
    total, over = minute + minutes, minute + minutes > 59
    first = f"Minutes: {minute}+{minutes}={total}" + (f", {total}-60={total - 60}, one hour more." if over else ".")
    late = hour + hours + over
    second = f"Hours: {hour}+{hours}{'+1' if over else ''}={late}"
    return [first, second + (f", {late}-24={late - 24}, the next day." if late > 23 else ".")]


def _taken(end: int, length: int, day: str = ", the day before") -> list[str]:
    (hour, minute), (hours, minutes) = divmod(end, 60), divmod(length, 60)
    short = minute < minutes
    first = f"Minutes: {minute}+60-{minutes}={minute + 60 - minutes}, one hour less." if short else (
        f"Minutes: {minute}-{minutes}={minute - minutes}.")  # fmt: skip
    early = hour - hours - short
    below = early < 0
    if below:
        early += 24
    second = f"Hours: {hour}{'+24' if below else ''}-{hours}{'-1' if short else ''}={early}"
    return [first, second + (f"{day}." if below else ".")]
