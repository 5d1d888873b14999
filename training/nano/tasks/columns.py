"""Written arithmetic: traces that work digit by digit, as one does on paper."""

from __future__ import annotations


def compare_digits(a: str, b: str) -> str:
    """Two numbers of equally many digits, digit by digit until one differs: `4=4 8>2`."""
    steps = []
    for x, y in zip(a, b, strict=True):
        steps.append(f"{x}{'<' if x < y else '>' if x > y else '='}{y}")
        if x != y:
            break
    return " ".join(steps)


def add_columns(a: int, b: int) -> str:
    """The columns of a + b, from the right, each as `digit+digit+carry=sum`, then the sum."""
    width = max(len(str(a)), len(str(b)))
    top, bottom = f"{a:0{width}}", f"{b:0{width}}"
    lines, carry = [f"{top}+{bottom}"], 0
    for x, y in zip(reversed(top), reversed(bottom), strict=True):
        total = int(x) + int(y) + carry
        lines.append(f"{x}+{y}+{carry}={total}")
        carry = total // 10
    return "\n".join([*lines, f"Read upwards: {a + b}"])


def subtract_columns(a: int, b: int) -> str:
    """The columns of a - b with borrowing; the smaller number is taken from the larger, then the sign is put."""
    width = max(len(str(a)), len(str(b)))
    top, bottom = f"{a:0{width}}", f"{b:0{width}}"
    lines = [f"{top}-{bottom}"]
    compared = compare_digits(top, bottom)
    if a < b:
        top, bottom = bottom, top
        lines.append(f"{compared}, the first is smaller, so the result is negative. Swap: {top}-{bottom}")
    else:
        lines.append(f"{compared}, the first is not smaller.")
    borrow = 0
    for x, y in zip(reversed(top), reversed(bottom), strict=True):
        digit = int(x) - int(y) - borrow
        lines.append(f"{int(x) + 10 * (digit < 0)}-{y}-{borrow}={digit % 10}" + (" borrow" if digit < 0 else ""))
        borrow = int(digit < 0)
    digits = f"{abs(a - b):0{width}}"
    return "\n".join([*lines, f"Read upwards: {digits}, that is {a - b}"])


def multiply_columns(a: int, b: int) -> str:
    """Long multiplication: a row for each digit of the shorter factor, with carries, then the sum of the rows."""
    if len(str(b)) > len(str(a)):
        a, b = b, a
    lines, rows = [f"{a} times each digit of {b}:"], []
    for place, digit in enumerate(reversed(str(b))):
        lines.append(multiply_row(a, int(digit)))
        rows.append(a * int(digit) * 10**place)
    if len(rows) == 1:
        return "\n".join(lines)
    width = len(str(a)) + len(str(b))
    padded = [f"{row:0{width}}" for row in rows]
    lines += ["Add the rows:", *padded]
    carry = 0
    for column in range(width - 1, -1, -1):
        digits = [row[column] for row in padded]
        total = sum(map(int, digits)) + carry
        lines.append("+".join([*digits, str(carry)]) + f"={total}")
        carry = total // 10
    return "\n".join([*lines, f"Read upwards: {a * b:0{width}}, that is {a * b}"])


def multiply_row(a: int, digit: int) -> str:
    """One row: `digit: last*digit+0=.. ..., total`."""
    steps, carry = [], 0
    for x in reversed(str(a)):
        total = int(x) * digit + carry
        steps.append(f"{x}*{digit}+{carry}={total}")
        carry = total // 10
    return f"{digit}: {' '.join(steps)} so {a * digit}"


def divide_columns(a: int, b: int) -> str:
    """Long division: the divisor's multiples, then one line for each digit of the dividend.

    A line tries the multiple that the first two digits suggest, and compares digit by digit whether it fits.
    """
    lines = [f"Multiples of {b}: {' '.join(str(b * i) for i in range(1, 10))}"]
    quotient, rest = "", 0
    for digit in str(a):
        current = rest * 10 + int(digit)
        times, rest = divmod(current, b)
        quotient += str(times)
        lines.append(f"{current}: {_trial(current, b)}{times}*{b}={times * b}, {current}-{times * b}={rest}")
    return "\n".join([*lines, f"Quotient {quotient}, that is {a // b}, remainder {a % b}"])


def _trial(current: int, b: int) -> str:
    """The multiple suggested by the first two digits, if any, and how it compares with what is to be divided."""
    coarse = 10 ** max(0, len(str(current)) - 2)
    guess = max(i for i in range(10) if b * i // coarse <= current // coarse)
    if guess == 0:
        return ""
    width = len(str(current))
    verdict = "fits" if guess * b <= current else "too big"
    return f"try {guess}, {compare_digits(str(current), f'{guess * b:0{width}}')} {verdict}, "
