"""So much an hour, for a kg or each day, where one has a decimal; pieces of such a length: without the point."""

from __future__ import annotations

from training.nano.tasks.columns import divide_columns, multiply_columns
from training.nano.tasks.date_steps import WEEKDAYS
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


EACH = (
    "{p} runs {h} km a day for {a} days. How many km is that?",
    "On each of {a} days {p} drinks {h} liters. How much is it?",
    "A parcel weighs {h} kg. What do {a} such parcels weigh?",
    "Each of {a} boards is {h} m long. What is their length?",
    "{a} bottles of {h} liters: how many liters?", "{h} km there every day, {a} days: how many km?",
    "One lap is {h} km. {p} does {a} laps. How far is that?", "A step is {h} m. How many m are {a} steps?",
    "{a} times {p} swims {h} km. How many km are these?",
    "For {a} cakes, each with {h} kg of flour, how much is needed?",
    "{a} sacks with {h} kg in every one are how many kg?", "Day after day {h} km, {a} days long. How many km in total?",
    "One plank is {h} m. How many meters do {a} planks make?", "{h} liters go into a can. How much fits in {a} cans?",
    "{p} walks {h} km to work, {a} times a month. What does it add up to?", "{a} pieces, {h} m each. total length?",
)  # fmt: skip
WEEK = (
    "{p} walks {h} km every day from Monday to {d}. How many km is it in all?",
    "{h} km on each day, Monday to {d}. total?",
    "From Monday to {d}, {p} drinks {h} liters daily. How many liters are these?",
    "Every day from Monday until {d} a pond gets {h} cm deeper. How many cm is that?",
    "{p} rides {h} km a day, Monday up to {d}. How far is that?", "Monday to {d}: {h} kg of hay a day. How much hay?",
    "A cow gives {h} liters a day. How much is it from Monday to {d}?",
)  # fmt: skip
PIECES = (
    "A rope of {a} m is cut into pieces of {h} m. How many pieces are there?",
    "How many cups of {h} liters do {a} liters fill?",
    "From {a} kg of flour {p} fills bags of {h} kg. How many bags?",
    "How many strips of {h} m come from {a} m of cloth?",
    "{a} liters are poured into bottles of {h} liters. How many bottles is that?",
    "A wall is {a} m long. How many boards of {h} m fit along it?",
    "{p} goes {a} km in stages of {h} km. How many stages?",
    "One step is {h} m. How many steps are {a} m?", "{a} m of wire, {h} m for each hook. For how many hooks is it?",
    "A ribbon has {a} m, a bow takes {h} m. How many bows can be made?",
    "{h} kg per box, {a} kg in all: how many boxes?",
    "how many pieces of {h} m are in {a} m", "A pill has {h} g. How many pills have {a} g together?",
    "Out of {a} liters, how many glasses with {h} liters each can {p} fill?",
)  # fmt: skip
DAYS = ("Friday", "Saturday", "Sunday", "Thursday", "Wednesday")


def pieces_story(rng: Draws) -> Problem:
    """How many pieces of a decimal length there are in a length: both times ten or a hundred, then divided."""
    places = rng.choice((1, 1, 2))
    scale, count = 10**places, rng.randrange(2, 61)
    piece = rng.choice((rng.randrange(2, 10), 25, 75, 15, rng.randrange(11, 100)))
    piece += piece % scale == 0
    whole, part = decimal(piece * count, scale), decimal(piece, scale)
    question = filled(rng, rng.wording(PIECES), a=whole, h=part)
    steps = f"{whole}/{part}. Both times {scale}: {piece * count}/{piece}\n{divide_columns(piece * count, piece)}"
    reply = f"The answer is {boxed(count)}."
    return Problem("story", f"story {whole}/{part}", ask(rng, question), steps, reply, str(count))


def hours_story(rng: Draws) -> Problem:
    """a times h, where h has one decimal place or two; or how often such a number goes into another."""
    if rng.random() < 0.2:
        return pieces_story(rng)
    places = rng.choice((1, 1, 1, 2))
    part = rng.choice((5, 5, 5, rng.randrange(1, 10))) if places == 1 else rng.choice((25, 75, rng.randrange(1, 100)))
    n = rng.randrange(0 if part > 1 else 1, 13) * 10**places + part
    a, h = rng.choice((rng.randrange(2, 100), 10 * rng.randrange(1, 13))), decimal(n, 10**places)
    whole = n // 10**places
    told, first = h, ""
    if places == 1 and part == 5 and whole > 1 and rng.random() < 0.3:
        told = f"{whole} and a half"
        first = f"{told} is {h}. "
    table = rng.choices((HOURS, WEIGHTS, EACH, WEEK), (5, 3, 3, 1))[0]
    day = rng.choice(DAYS)
    if table is WEEK:
        a = WEEKDAYS.index(day) + 1
        first = f"{first}Monday to {day}: {a} days. "
    question = filled(rng, rng.wording(table), a=a, h=told, d=day)
    value = decimal(a * n, 10**places)
    steps = (
        f"{first}{a} times {h}. Without the point: {a}*{n}\n{multiply_columns(a, n)}\n"
        f"With the point: {pointed(a * n, places)}, that is {value}"
    )
    reply = f"The answer is {boxed(value)}."
    return Problem("story", f"story {a}*{h}", ask(rng, question), steps, reply, value, lambda x: same_value(x, value))
