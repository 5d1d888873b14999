"""Worked dates: the months on the way, one by one. Without a year nothing is worked out that the year decides."""

from __future__ import annotations

from datetime import date, timedelta

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def days_text(n: int) -> str:
    """`1 day`, `5 days`."""
    return f"{n} day{'s' if n != 1 else ''}"


def written(day: date, year: bool = True) -> str:
    """`March 17, 2023`, or without the year: how answers state a date."""
    return f"{MONTHS[day.month - 1]} {day.day}" + (f", {day.year}" if year else "")


def month_length(year: int, month: int) -> int:
    """Days of a month; `month` may go on past 12."""
    return (date(year + month // 12, month % 12 + 1, 1) - date(year, month, 1)).days


def _has(year: int, month: int, told: bool) -> str:
    """`March has 31 days`; for February with the reason."""
    if month == 2 and not told:
        return "February has 28 days or more"
    leap = f"{year} is {'a' if month_length(year, 2) == 29 else 'not a'} leap year. " if month == 2 else ""
    return f"{leap}{MONTHS[month - 1]} has {month_length(year, month)} days"


def after_steps(start: date, days: int, told: bool = True) -> tuple[list[str], str]:
    """The trace of a date some days later, and that date; `told`: the year is known."""
    year, month, day, rest = start.year, start.month, start.day, days
    steps = [f"{written(start, told)} + {days_text(days)}"]
    while True:
        length = month_length(year, month)
        if day + rest <= length:
            steps.append(f"{_has(year, month, told)}. {day}+{rest}={day + rest}, it fits.")
            break
        left = length - day
        steps.append(f"{_has(year, month, told)}. {length}-{day}={left} left, {rest}-{left}={rest - left}.")
        rest, day, month = rest - left, 0, month + 1
        if month == 13:
            year, month = year + 1, 1
            steps.append(f"The year {year} begins." if told else "A new year begins.")
    return steps, written(start + timedelta(days=days), told)


def before_steps(start: date, days: int, told: bool = True) -> tuple[list[str], str]:
    """The trace of a date some days earlier, and that date."""
    year, month, day, rest = start.year, start.month, start.day, days
    steps = [f"{written(start, told)} - {days_text(days)}"]
    while rest >= day:
        steps.append(f"{rest}-{day}={rest - day} before the end of the previous month.")
        rest, month = rest - day, month - 1
        if month == 0:
            year, month = year - 1, 12
            steps.append(f"That is in {year}." if told else "That is in the year before.")
        day = month_length(year, month)
        steps.append(f"{_has(year, month, told)}.")
    steps.append(f"{day}-{rest}={day - rest}, it fits.")
    return steps, written(start - timedelta(days=days), told)


def ordered(first: date, second: date, told: bool = True) -> str:
    """Two dates in the order of the question, and which comes first: by year, month or day."""
    for x, y, name in (
        (first.year, second.year, ""),
        (first.month, second.month, "month "),
        (first.day, second.day, ""),
    ):
        if x != y and (told or name or first.month == second.month):
            sign = "<" if x < y else ">"
            low, high = sorted((first, second))
            return (
                f"{written(first, told)} and {written(second, told)}: {name}{x} {sign} {y}, so "
                f"from {written(low, told)} to {written(high, told)}"
            )
    raise ValueError(f"both dates are {first}")


def between_steps(start: date, end: date, told: bool = True) -> tuple[list[str], str]:
    """The trace of the days from one date to a later one, after the line that puts them in order, and their number."""
    if (start.year, start.month) == (end.year, end.month):
        return [f"Same month: {end.day}-{start.day}={end.day - start.day}"], str((end - start).days)
    total = month_length(start.year, start.month) - start.day
    steps = [f"{_has(start.year, start.month, told)}. {total + start.day}-{start.day}={total}"]
    year, month = start.year + start.month // 12, start.month % 12 + 1
    while (year, month) != (end.year, end.month):
        length = month_length(year, month)
        steps.append(f"{_has(year, month, told)}. {total}+{length}={total + length}")
        total += length
        year, month = year + month // 12, month % 12 + 1
    return [*steps, f"{MONTHS[month - 1]}: {total}+{end.day}={total + end.day}"], str((end - start).days)


def weekday_steps(today: int, days: int, forward: bool) -> tuple[list[str], str]:
    """The trace of a day of the week some days away, and that day."""
    weeks, rest = divmod(days, 7)
    walk = [WEEKDAYS[(today + (i if forward else -i)) % 7] for i in range(rest + 1)]
    steps = [
        f"{days_text(days)}: {weeks}*7={weeks * 7}, {days}-{weeks * 7}={rest}",
        f"{days_text(rest)} {'after' if forward else 'before'} {walk[0]}: "
        + ", ".join([walk[0], *(f"{i} {name}" for i, name in enumerate(walk[1:], 1))]),
    ]
    return steps, walk[-1]
