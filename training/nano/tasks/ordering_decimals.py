"""Decimals in order, and the largest or smallest of them: lined up to the same places first, then as whole numbers."""

from __future__ import annotations

from training.nano.tasks.decimals import decimal
from training.nano.tasks.wording import Draws


def some_decimals(rng: Draws, count: int) -> list[str]:
    """Different numbers of up to three places, some of them whole; many close to one another."""
    places, whole = rng.choice((1, 2, 2, 3)), rng.choice((0, 1, 1, 9, 20, 99))
    near = rng.randrange(whole + 1)
    found: dict[str, None] = {}
    while len(found) < count:
        left = near if rng.random() < 0.5 else rng.randrange(whole + 1)
        p = rng.choice((places, places, rng.randrange(0, places + 1)))
        part = rng.randrange(10**p)
        if p > 1 and rng.random() < 0.4:
            part = part // 10 ** (p - 1) if rng.random() < 0.5 else part % 10
        found.setdefault(decimal(left * 10**p + part, 10**p))
    return list(found) if any("." in n for n in found) else some_decimals(rng, count)


def lined_up(numbers: list[str]) -> list[str]:
    """The same numbers with as many digits before and after the point: `0.500 0.405 12.000` as `00.500 ...`."""
    whole = max(len(n.partition(".")[0]) for n in numbers)
    places = max(len(n.partition(".")[2]) for n in numbers)
    parts = [n.partition(".") for n in numbers]
    return [f"{left:0>{whole}}.{right:0<{places}}" for left, _, right in parts]


def sort_decimals(numbers: list[str], descending: bool) -> tuple[str, str]:
    """The trace of a sort by selection, and the answer."""
    given = dict(zip(lined_up(numbers), numbers, strict=True))
    left, name, taken = list(given), "largest" if descending else "smallest", []
    lines = [f"Line up the digits: {' '.join(left)}", f"Take the {name} each time."]
    while len(left) > 1:
        pick = max(left) if descending else min(left)
        lines.append(f"{' '.join(left)}: {name} {pick}, that is {given[pick]}")
        left.remove(pick)
        taken.append(given[pick])
    lines.append(f"{left[0]} is last, that is {given[left[0]]}")
    return "\n".join(lines), ", ".join([*taken, given[left[0]]])


def extreme_decimals(numbers: list[str], largest: bool) -> tuple[str, str]:
    """The trace of keeping the best so far, and the answer."""
    given = dict(zip(lined_up(numbers), numbers, strict=True))
    rows = list(given)
    best, steps = rows[0], [f"Line up the digits: {' '.join(rows)}", f"Start: {rows[0]}"]
    for n in rows[1:]:
        better = max(n, best) if largest else min(n, best)
        steps.append(f"{n} and {best}: {'larger' if largest else 'smaller'} is {better}")
        best = better
    return "\n".join([*steps, f"{best} is {given[best]}"]), given[best]
