"""The steps of p % of a number, and of a number less or more p %."""

from __future__ import annotations

from training.nano.tasks.columns import add_columns, multiply_columns, subtract_columns
from training.nano.tasks.decimals import decimal, pointed
from training.nano.tasks.wording import in_words


def percent_steps(p: int, n: int, places: int = 0) -> tuple[str, str]:
    """The trace of p % of n and its value, where the two have `places` decimals together that p and n leave out."""
    value = decimal(p * n, 10 ** (2 + places))
    point = f"{in_words(2 + places).capitalize()} places: {pointed(p * n, 2 + places)}, that is {value}"
    return f"{p}*{n}, then divide by {10 ** (2 + places)}.\n{multiply_columns(p, n)}\n{point}", value


def change_steps(p: int, n: int, less: bool) -> tuple[str, str]:
    """The trace of n less or more p % and its value: the part first, then n without or with it."""
    steps, part = percent_steps(p, n)
    places = next(k for k in range(3) if p * n % 10 ** (2 - k) == 0)
    a, b = n * 10**places, p * n // 10 ** (2 - places)
    result, sign = (a - b, "-") if less else (a + b, "+")
    value = decimal(result, 10**places)
    work = (subtract_columns if less else add_columns)(a, b)
    trace = [f"{p}% of {n}, then {n} {'minus' if less else 'plus'} that.", steps, f"Now {n} {sign} {part}."]
    if places:
        trace += [
            f"Without the point: {a} {sign} {b}",
            work,
            f"With the point: {pointed(result, places)}, that is {value}",
        ]
    else:
        trace.append(work)
    return "\n".join(trace), value
