"""A bill with a tip, or a price with a discount, that some people share."""

from __future__ import annotations

from fractions import Fraction

from training.nano.tasks.columns import divide_columns
from training.nano.tasks.decimals import decimal, pointed
from training.nano.tasks.percent_steps import change_steps
from training.nano.tasks.problem import LONGEST, Problem, about_tokens, ask, boxed
from training.nano.tasks.wording import Draws

MORE = (
    "The taxi is {n} dollars, and {p}% tip is added.", "A bill of {n} dollars gets a tip of {p}%.",
    "A meal for {n} dollars, plus {p}% for the waiter.", "The food was {n} euros. A tip of {p}% comes on top.",
    "To {n} dollars for a tour we add {p}% tip.", "A repair is {n} dollars before {p}% tax.",
    "The tickets are {n} dollars plus a fee of {p}%.", "Lunch makes {n} dollars and the tip is {p}%.",
    "With {n} dollars on the bill, {p}% are given as a tip.", "A guide asks {n} dollars and gets {p}% more.",
    "The hall costs {n} euros and {p}% tax.", "{n} dollars for drinks, tip {p}%.",
    "A boat is {n} dollars, with a {p}% charge on it.",
    "We tip {p}% on {n} dollars.", "At the cafe we owe {n} dollars and want to give {p}% extra.",
    "{p}% service is put on a bill of {n} dollars.", "The pizza bill says {n} dollars. Tipping {p}% is usual.",
    "Our tent is {n} dollars without the {p}% tax.", "The rent of {n} dollars rises by {p}%.",
    "A trip of {n} euros gets {p}% dearer.",
    "Someone adds a {p}% tip to {n} dollars.", "A clown takes {n} dollars, and {p}% tip is given.",
    "Dinner: {n} dollars. Tip: {p}%.", "A cab ride costs {n} dollars, tip of {p}% not in it.",
    "The {n} dollar bill goes up by a {p}% tip.", "The room is {n} euros a night plus a town tax of {p}%.",
)  # fmt: skip
LESS = (
    "A @thing for {n} dollars is {p}% off.", "The group gets {p}% off a bill of {n} dollars.",
    "A boat for {n} euros is reduced by {p}%.", "With a coupon, {n} dollars become {p}% less.",
    "A @thing costs {n} dollars, and a sale takes {p}% off.", "On {n} dollars there is a discount of {p}%.",
    "Tickets of {n} dollars in all are {p}% cheaper today.", "The price of {n} dollars falls by {p}%.",
    "A {p}% rebate is given on {n} euros.", "They let {p}% of the {n} dollar fee go.",
    "A cabin is {n} dollars, minus {p}% for members.",
    "For club members {n} dollars are cut by {p}%.", "{p}% of a bill of {n} dollars is paid by a coupon.",
    "A present of {n} dollars is marked down {p}%.", "The rent of {n} dollars drops by {p}%.",
    "{n} euros, less {p}%, is to be paid.",
    "A @thing was {n} dollars and got {p}% cheaper.", "A shop gives {p}% off {n} dollars.",
    "Our bill: {n} dollars. Our discount: {p}%.",
    "In spring a tour of {n} dollars has {p}% off.", "A shared car is {n} dollars, {p}% less for students.",
    "Because of rain, {p}% of the {n} dollar price is dropped.",
    "The course costs {n} dollars with {p}% off for groups.",
    "A {n} dollar @thing is sold at a {p}% discount.", "From the {n} dollars for the flat {p}% are taken off.",
)  # fmt: skip
SHARED = (
    "{k} friends share it. How much is it for each?", "Split by {k}, what does each pay?",
    "It is split {k} ways. How much is a share?",
    "{k} people pay the same. What does one pay?", "How much does each of {k} pay?",
    "We are {k}. How much for each of us?",
    "If {k} of us share, how much is one part?", "What is it per person for {k} people?",
    "For a group of {k}, what is the share of one?",
    "{k} guests divide what is to pay. How much does a guest give?", "What must each of the {k} people put down?",
    "Shared by {k}, how much is that each?", "There are {k} of them. What is it for one?",
    "All {k} give the same. How much is it?",
    "How much money does every one of the {k} need?", "Among {k} people, what does each owe?",
    "{k} of us, equal parts: how much each?",
    "how much each if we are {k}", "With {k} people to share, how much per head?", "What is one of {k} equal shares?",
    "They are {k} and split it evenly. What does each pay?", "Divide that by {k} people. What is the part of one?",
    "It goes by {k}. How much is a person's part?", "Each of {k} pays as much as the others. What is it?",
    "So how much will each of {k} kids pay?",
)  # fmt: skip


def percent_shared(rng: Draws) -> Problem:
    """n less or more p %, by k; the result has at most two places."""
    less = rng.random() < 0.4
    while True:
        p, k = rng.choice((5, 10, 10, 15, 20, 20, 25, 30, 40, 50)), rng.randrange(2, 10)
        n = rng.choice((rng.randrange(8, 400), 5 * rng.randrange(4, 120)))
        total = Fraction(n * (100 - p if less else 100 + p), 100)
        if (total * 100 / k).denominator == 1:
            steps, answer = _steps(p, n, k, less)
            if about_tokens("", "".join(steps)) < LONGEST - 100:
                break
    situation, asked = rng.wording(LESS if less else MORE), rng.wording(SHARED)
    first = asked.endswith("?") and ". " not in asked and rng.random() < 0.15
    question = (f"{asked} {situation}" if first else f"{situation} {asked}").format(n=n, p=p, k=k)
    question = question[0].upper() + question[1:]
    sign = "-" if less else "+"
    return Problem("percentage", f"{n}{sign}{p}% by {k}", ask(rng, question), "\n".join(steps), boxed(answer), answer)


def _steps(p: int, n: int, k: int, less: bool) -> tuple[list[str], str]:
    """The trace and the answer."""
    trace, value = change_steps(p, n, less)
    cents = n * (100 - p if less else 100 + p)
    answer = decimal(cents // k, 100)
    return [
        trace,
        f"Now {value} by {k}. In cents: {cents}/{k}",
        divide_columns(cents, k),
        f"With the point: {pointed(cents // k, 2)}, that is {answer}",
    ], answer
