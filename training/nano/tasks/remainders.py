"""Remainders, divisibility, averages, and quotients as decimals: long division with a last step."""

from __future__ import annotations

from fractions import Fraction

from training.nano.tasks.columns import divide_columns
from training.nano.tasks.decimals import decimal
from training.nano.tasks.problem import ASKS, Problem, ask, boxed, sized
from training.nano.tasks.refusals import refusal
from training.nano.tasks.wording import Draws, in_words, listed

REMAINDER = (
    "{a} mod {b}", "the remainder of {a} divided by {b}", "{a}( %|%)( |){b}", "{a} modulo {b}",
    "the (rest|remainder) of {a} / {b}", "the remainder (when|if) {a} is divided by {b}",
    "the remainder of dividing {a} by {b}", "mod({a}, {b})", "the rest of {a} by {b}",
)  # fmt: skip
REMAINDER_SENTENCES = (
    "What is the remainder (when|if) {a} is divided by {b}?",
    "(What|How much) is left over (when|if) {a} is divided by {b}?",
    "What (remains|is left) (when|if) you divide {a} by {b}?",
    "Find the remainder (of|when dividing) {a} (by|divided by) {b}.",
    "Divide {a} by {b}. What is the (remainder|rest)?",
    "(What's|whats|What is) the remainder of {a} divided by {b}?",
    "If I divide {a} by {b}, what (remainder|rest) (do I get|is there|is left)?", "remainder {a} / {b}",
    "What remainder does {a} leave when divided by {b}?", "{a} divided by {b}: what is the (remainder|rest)?",
    "Give (me |)(only |)the remainder of {a} by {b}.", "I split {a} into groups of {b}. How many are left over?",
    "the remainder of {a}/{b}(?|)", "(Remainder|remainder|rest) of {a} divided by {b}(?|)",
    "(Remainder|rest|Rest): {a} / {b}", "Only the remainder: {a} / {b}",
    "(Get|Compute|Calculate) the (remainder|rest) of {a} (/|by|over) {b}.",
    "{a} / {b}, (only |just |)the (remainder|rest)(?|)", "How large is the remainder of {a} / {b}?",
)  # fmt: skip
DIVISIBLE = (
    "Is {a} divisible by {b}?", "(Can|Does) {a} (be divided|divide) by {b} (evenly|without (a |)remainder)?",
    "Does {b} divide {a}?", "Is {a} a multiple of {b}?", "Is {b} a (divisor|factor) of {a}?",
    "Does {b} go into {a} (evenly|exactly|without remainder)?", "is {a} evenly divisible by {b}",
    "Can you divide {a} by {b} without a (rest|remainder)?", "{a} divisible by {b}?",
    "Is {b} one of the divisors of {a}?", "Check if {b} is a divisor of {a}.", "Does {a} have the divisor {b}?",
    "Tell me whether {a} is divisible by {b}.", "{b} divides {a}, (right|yes or no|true or false)?",
    "Is {b} a number that divides {a}?", "{b} is a (divisor|factor) of {a}, true or false?",
    "Can {a} be split evenly into {b} parts?",
)  # fmt: skip
PARITY = (
    "Is {a} even or odd?", "Is {a} odd or even?", "(Even|even) or odd: {a}", "{a}: even or odd?",
    "Is the number {a} even or odd?", "Tell me (if|whether) {a} is (even or odd|odd or even).", "odd or even? {a}",
    "(Which is it|What is it), is {a} odd or even?",
)  # fmt: skip
EVEN = (
    "Is {a} {o}?", "Is {a} an {o} number?", "Is the number {a} {o}?",
    "{a} is {o}, (right|yes or no|true or false)?", "Tell me whether {a} is {o}.", "Would you call {a} {o}?",
    "(Do you think|Is it true that) {a} is {o}?",
)  # fmt: skip
AVERAGE = (
    "What is the average of {l}?", "(What is|What's|Find|Calculate|Compute) the (mean|average) of {l}(.|?|)",
    "(Average|average|Mean|mean): {l}", "average of {l}", "(Average|Mean) {l}", "mean of {l}",
    "What is the (mean|average) (value|number) of {l}?",
    "(Take|Give me|Tell me) the (average|mean) of {l}(.| please.)",
    "(Can|Could) you (average|find the average of|find the mean of) {l}?",
    "{l}: (what is|find) (the|their) (average|mean)(.|?|)",
    "The numbers are {l}. What is (the|their) (average|mean)?", "How much is the (average|mean) of {l}?",
    "I have {l}. What is the (average|mean)?", "average({l})", "mean({l})",
    "What number is the (mean|average) of {l}?",
    "(My|The) (grades|scores|points|results) are {l}. What is (my|the) average( score|)?", "What do {l} average?",
    "the average of {l}(?|)", "(On|In) average, how much is {l}?",
    "Calculate the (arithmetic |)mean of (these|the) numbers: {l}",
)  # fmt: skip
QUOTIENT = (
    "{a} / {b} as a decimal", "{a} divided by {b} as a decimal( number|)", "{a}/{b} (as|in) decimal( form|)",
    "the decimal (form|value) of {a}/{b}", "{a}/{b} (exactly|with decimals)", "{a} / {b} in decimals",
    "{a} ÷ {b} as a decimal", "{a} over {b} as a decimal", "{a} by {b} as a decimal",
    "the exact (value|quotient) of {a}/{b}", "{a}/{b} exactly, as a decimal", "{a} over {b} exactly",
    "the exact result of {a} / {b}",
)  # fmt: skip
QUOTIENT_SENTENCES = (
    "Write {a}/{b} as a decimal.", "Convert {a}/{b} (to|into) (a |)decimal.",
    "Divide {a} by {b} and give (the answer as |)a decimal.", "What is {a} divided by {b} (as|in) (a |)decimal?",
    "Express {a} / {b} as a decimal.", "Turn {a}/{b} into a decimal( number|).",
    "{a} divided by {b}, (as a decimal|no remainder|without remainder|with decimals)(.|?|)",
    "Divide {a} by {b} without (a |)remainder.", "Divide {a} by {b} exactly.",
    "What is {a} divided by {b} exactly?", "Exactly how much is {a} / {b}?", "How much exactly is {a}/{b}?",
    "I need {a} / {b} with decimals, not a remainder.",
)  # fmt: skip
ROUNDED = (
    "Round {a} / {b} to {k}.", "{a} / {b} rounded to {k}", "What is {a} (/|divided by) {b} (rounded |)to {k}?",
    "(Calculate|Compute|Work out|Find) {a} (/|divided by) {b} to {k}(.|)", "{a}/{b} to {k}",
    "Divide {a} by {b} and round to {k}.", "{a} divided by {b}, (rounded |)to {k}(.|?|)", "Give {a}/{b} to {k}.",
    "How much is {a} / {b}, rounded to {k}?", "What is {a} over {b} to {k}?",
    "Round the (result|quotient) of {a} (/|divided by) {b} to {k}.", "(Can|Could) you round {a}/{b} to {k}?",
    "{a} / {b}, {k}", "Give me {a} divided by {b} with {k}.",
)  # fmt: skip
PLACES = ("{d} decimal place{s}", "{d} decimal{s}", "{d} place{s}", "{d} digit{s} after the point")


def remainder(rng: Draws) -> Problem:
    """The remainder of a division, whether one is left at all, or even and odd."""
    kind = rng.random()
    if kind < 0.2:
        return _parity(rng)
    b = rng.randrange(1, rng.choice((11, 11, 21, 100)))
    a = sized(rng, rng.choice((1, 2, 2, 3, 3, 4)))
    if kind < 0.45:
        if rng.random() < 0.5:
            a -= a % b
        answer = "no" if a % b else "yes"
        steps = f"{divide_columns(a, b)}\n{'A remainder is left' if a % b else 'No remainder'}: {answer}"
        question, reply = rng.wording(DIVISIBLE), boxed(answer)
    else:
        answer = str(a % b)
        steps = divide_columns(a, b)
        question = (
            rng.wording(REMAINDER_SENTENCES) if rng.random() < 0.5 else rng.wording(ASKS).format(rng.wording(REMAINDER))
        )
        reply = f"The remainder is {boxed(answer)}."
    return Problem(
        "remainder",
        f"{a}%{b}",
        ask(rng, question.format(a=a, b=b)),
        f"The remainder of {a} / {b}.\n{steps}",
        reply,
        answer,
    )


def _parity(rng: Draws) -> Problem:
    """Even or odd."""
    a = sized(rng, rng.choice((1, 2, 2, 3, 4)))
    is_, last = ("odd" if a % 2 else "even"), a % 10
    steps, answer = f"The last digit of {a} is {last}: {is_}.", is_
    if rng.random() < 0.5:
        asked = rng.choice(("even", "odd"))
        answer = "yes" if asked == is_ else "no"
        question, steps = rng.wording(EVEN).format(a=a, o=asked), f"{steps} Asked: {asked}."
    else:
        question = rng.wording(PARITY).format(a=a)
    return Problem("remainder", f"{a}%2", ask(rng, question), steps, boxed(answer), answer)


def average(rng: Draws) -> Problem:
    """The mean of two to six numbers; a mean that does not end is refused."""
    count, limit = rng.choice((2, 2, 3, 3, 3, 4, 4, 5, 6)), rng.choice((11, 31, 100, 100))
    numbers = [rng.randrange(0, limit) for _ in range(count)]
    if rng.random() < 0.1:
        numbers = [n * rng.choice((-1, 1)) for n in numbers]
    if rng.random() < 0.55:
        numbers[-1] += -sum(numbers) % count
    if sum(numbers) < 0:
        numbers = [-n for n in numbers]
    steps, total = [f"{count} numbers: {' '.join(map(str, numbers))}"], numbers[0]
    for n in numbers[1:]:
        steps.append(f"{total}+{n}={total + n}" if n >= 0 else f"{total}-{-n}={total + n}")
        total += n
    steps.append(f"{total}/{count}:\n{divide_columns(total, count)}")
    rest, key = total % count, "average " + " ".join(map(str, sorted(numbers)))
    messages = ask(rng, rng.wording(AVERAGE).format(l=listed(rng, numbers)))
    if rest * 100 % count:
        return refusal("average", key, messages, "\n".join([*steps, "It does not end."]), "whole")
    value = decimal(Fraction(total, count))
    if rest:
        steps.append(f"{rest} of {count} is {decimal(Fraction(rest, count))}, so {value}")
    return Problem("average", key, messages, "\n".join(steps), f"The average is {boxed(value)}.", value)


def quotient(rng: Draws) -> Problem:
    """a / b as a decimal of up to three places, or rounded; what does not end is refused unless it may be."""
    return _rounded(rng) if rng.random() < 0.45 else _exact(rng)


def _exact(rng: Draws) -> Problem:
    while True:
        b = rng.choice((2, 4, 5, 8, 10, 20, 25, 40, 50, rng.randrange(2, 13), rng.randrange(2, 100)))
        a = sized(rng, rng.choice((1, 2, 2, 3)))
        if a and (a * 1000 % b == 0 or rng.random() < 0.3):
            break
    ends, thousandths = a * 1000 % b == 0, a * 1000 // b
    trace = f"Three places: {a}000/{b}\n{divide_columns(a * 1000, b)}"
    question = (
        rng.wording(QUOTIENT_SENTENCES) if rng.random() < 0.5 else rng.wording(ASKS).format(rng.wording(QUOTIENT))
    )
    messages, key = ask(rng, question.format(a=a, b=b)), f"{a}/{b} decimal"
    if not ends:
        return refusal("quotient", key, messages, f"{trace}\nIt does not end.", "endless")
    value = decimal(Fraction(a, b))
    point = f"{thousandths // 1000}.{thousandths % 1000:03}"
    return Problem(
        "quotient",
        key,
        messages,
        f"{trace}\nWith the point: {point}, that is {value}",
        f"{a} / {b} = {boxed(value)}",
        value,
    )


def _rounded(rng: Draws) -> Problem:
    """To one or two places: one place more is worked out, and decides."""
    places, b = rng.choice((1, 2, 2)), rng.randrange(2, rng.choice((13, 13, 100)))
    a = max(1, sized(rng, rng.choice((1, 2, 2, 3))))
    more, scale = a * 10 ** (places + 1) // b, 10**places
    up = int(more % 10 >= 5)
    value = more // 10 + up
    shown = f"{value // scale}.{value % scale:0{places}}"
    kept = more // 10
    steps = [
        f"{in_words(places + 1).capitalize()} places: {a}{'0' * (places + 1)}/{b}",
        divide_columns(a * 10 ** (places + 1), b),
        f"The last digit of {more} is {more % 10}, so {f'up: {kept}+1={value}' if up else f'down: {value}'}",
        f"With the point: {shown}",
    ]
    digits = rng.choice((str(places), in_words(places)))
    k = rng.wording(PLACES).format(d=digits, s="s" if places > 1 else "")
    question = rng.wording(ROUNDED).format(a=a, b=b, k=k)
    return Problem(
        "quotient",
        f"{a}/{b} to {places}",
        ask(rng, question),
        "\n".join(steps),
        f"{a} / {b} is about {boxed(shown)}",
        shown,
        accepts=lambda given: same_value(given, shown),
    )


def same_value(given: str, answer: str) -> bool:
    """Whether two decimals are the same number."""
    try:
        return Fraction(given) == Fraction(answer)
    except (ValueError, ZeroDivisionError):
        return False
