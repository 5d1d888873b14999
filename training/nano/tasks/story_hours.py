"""So much an hour, or for a kg, for a time or a weight with a decimal: multiplied without the point."""

from __future__ import annotations

from training.nano.tasks.columns import multiply_columns
from training.nano.tasks.decimals import decimal, pointed, same_value
from training.nano.tasks.formula_stories import filled
from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.wording import Draws

HOURS = (
    "A @vehicle goes {a} km an hour for {h} hours. How far is that?", "At {a} km per hour, how far is it in {h} hours?",
    "How many km does a @vehicle do in {h} hours at {a} km an hour?",
    "{p} rides {h} hours at {a} km an hour. How many km?",
    "In {h} hours, how far does {p} come with {a} km an hour?", "{h} hours, {a} km each hour: how many km are these?",
    "The speed is {a} km an hour and the time {h} hours. What is the distance in km?",
    "{p} earns {a} dollars an hour and works {h} hours. What does {he} earn?",
    "For {h} hours of work at {a} dollars an hour, what must be paid?",
    "An hour costs {a} dollars. What do {h} hours cost?",
    "A boat is {a} dollars an hour. {p} takes it for {h} hours. How much is it?",
    "{h} hours with {a} dollars for every hour: how much money?",
    "{p} is paid {a} dollars per hour. How much is it for {h}?",
    "Each hour {a} liters run out of a tank. How many liters are that in {h} hours?",
    "A pump moves {a} liters an hour. How much does it move in {h} hours?",
    "A well gives {a} liters per hour. How many liters does it give in {h} hours?",
    "An oven uses {a} grams of gas an hour. How many grams does it use in {h} hours?",
    "{p} reads {a} pages an hour. In {h} hours, how many pages is that?",
    "what do i get for {h} hours at {a} dollars an hour",
    "how far in {h} hours, going {a} km an hour", "Snow falls {a} mm an hour. How many mm is it after {h} hours?",
)  # fmt: skip
WEIGHTS = (
    "A kg of cheese is {a} dollars. How much are {h} kg?", "What do {h} kg cost at {a} dollars a kg?",
    "{p} buys {h} kg of nuts for {a} dollars a kg. What does {he} pay?", "{h} liters at {a} dollars a liter: how much?",
    "Cloth is {a} dollars a meter. {p} needs {h} meters. What is the price?",
    "One m of wire weighs {a} grams. How many grams are {h} m?",
    "How much is a piece of {h} kg if one kg is {a} dollars?",
    "For a kg one pays {a} euros. What does one pay for {h} kg?",
    "{a} grams of salt are in each liter. How many grams are in {h} liters?", "{h} kg, {a} dollars each kg. total?",
    "A liter of oil weighs {a} grams. How many grams are {h} liters?", "how much for {h} kg at {a} euros the kg",
    "{p} wants {h} m of rope. A meter costs {a} dollars. How much is it?",
    "With {a} dollars per kg, {h} kg are how much?",
    "The price per liter is {a} dollars, and {h} liters are bought. What is to be paid?",
)  # fmt: skip


def hours_story(rng: Draws) -> Problem:
    """a times h, where h has one decimal place or two."""
    places = rng.choice((1, 1, 1, 2))
    part = rng.choice((5, 5, 5, rng.randrange(1, 10))) if places == 1 else rng.choice((25, 75, rng.randrange(1, 100)))
    n = rng.randrange(0 if part > 1 else 1, 13) * 10**places + part
    a, h = rng.choice((rng.randrange(2, 100), 10 * rng.randrange(1, 13))), decimal(n, 10**places)
    whole = n // 10**places
    told, first = h, ""
    if places == 1 and part == 5 and whole > 1 and rng.random() < 0.3:
        told = f"{whole} and a half"
        first = f"{told} is {h}. "
    question = filled(rng, rng.wording(HOURS if rng.random() < 0.6 else WEIGHTS), a=a, h=told)
    value = decimal(a * n, 10**places)
    steps = (
        f"{first}{a} times {h}. Without the point: {a}*{n}\n{multiply_columns(a, n)}\n"
        f"With the point: {pointed(a * n, places)}, that is {value}"
    )
    reply = f"The answer is {boxed(value)}."
    return Problem("story", f"story {a}*{h}", ask(rng, question), steps, reply, value, lambda x: same_value(x, value))
