"""Stories as people type them: short, in one breath, the calculation not in the order of the telling."""

from __future__ import annotations

from training.nano.tasks.story_formulas import LARGE, MEDIUM, SMALL, Formula

MANY = (13, 99)
SHORT_STORIES = (
    Formula("a*b-c", "", (MEDIUM, SMALL, MEDIUM), (
        "{b} trays of {a} {t}, {c} were dropped, how many ok",
        "{c} {t} are gone, there were {b} packs with {a}. how many {t} now",
        "a theater: {b} rows, {a} seats a row, {c} tickets sold. how many seats free",
        "{b} crates with {a} {t} each and {c} got wet. how many dry {t}?", "got {b} times {a} dollars, {c} gone. left?",
        "{a} pens a pack, {b} packs, minus {c} that do not write: how many write?",
        "{b} teams of {a} players, {c} players are ill, how many can play",
        "printed {b} lots of {a} posters, threw out {c}. how many posters are good",
        "{c} of the eggs in {b} cartons of {a} are cracked. how many are whole?",
        "A ferry has {b} decks for {a} cars. {c} cars are on it. For how many more is there room?",
        "{b} coaches with {a} places each; {c} places are in use. How many are not?",
        "sold {b} {t} at {a} dollars, the stall was {c} dollars, what did i earn",
    )),
    Formula("a*b-c", "", (MANY, SMALL, LARGE), (
        "A hall has {b} blocks of {a} seats. {c} people sit there. How many seats are empty?",
        "{b} shelves hold {a} books each when full. {c} books are there. How many more fit?",
        "{b} days of {a} pages is the plan, and {c} pages are done. how many to go",
        "we need {b} times {a} tiles and have {c}. how many are missing",
    )),
    Formula("c-a*b", "", (MEDIUM, SMALL, (200, 999)), (
        "we had {c} {t}, used {a} a week for {b} weeks. what's left",
        "{c} dollars in the bank, {a} go out every month. how much after {b} months",
        "a barrel has {c} liters and loses {a} liters each hour. what is in it after {b} hours",
        "{b} kids took {a} {t} each from {c}. how many are still there",
        "{c} m of wire, {b} times {a} m cut off, rest?",
        "out of {c} dollars i bought {b} {t} for {a} dollars each, what do i have now",
        "{a} grams a day for {b} days from a sack of {c} grams, how many grams remain",
        "The book has {c} pages. After {b} days with {a} pages a day, how many pages are not read?",
        "There are {c} km to go. {p} does {a} km on each of {b} days. How many km are then still to go?",
    )),
    Formula("a*b/c", "", (MEDIUM, SMALL, (2, 9)), (
        "{c} roommates split {b} bills of {a} dollars evenly. each pays?",
        "{b} cakes at {a} dollars, paid by {c} of us in equal parts. how much each",
        "{b} bags of {a} {t} for {c} kids, everyone the same. how many per kid",
        "we are {c} and pay for {b} tickets of {a} dollars together. what does one of us pay",
        "{a} {t} a box, {b} boxes, {c} people, how many for each",
        "split among {c}: {b} sacks of {a} kg. how many kg for one",
        "{p} and others, {c} in all, share the price of {b} {t} at {a} dollars each. What is {p}'s part?",
        "{b} rooms need {a} liters of paint each. It comes in cans of {c} liters. How many cans?",
    )),
    Formula("a*b", "", (MANY, MANY), (
        "{a} dollars for every lawn, i mowed {b}. what did i make", "{b} sheets, {a} stamps on each, how many stamps",
        "{b} hours at {a} km an hour, km?", "{p} sold {b} {t} and got {a} dollars for each. How much is it?",
        "each month {a} dollars, {b} months, how much in all", "{a} words a page, {b} pages. words?",
        "i did {b} rounds of {a} m. how many m", "they pay {a} dollars a piece, i made {b} pieces, so i get?",
        "{b} loads, {a} kg a load, what weight is that",
    )),
    Formula("a/b", "", ((13, 999), SMALL), (
        "{a} km in {b} hours, what was the speed", "{a} {t} for {b} kids, how many per kid",
        "took {b} hours for {a} km. how fast was that per hour", "{a} dollars for {b} of them, one is how much",
        "in {b} days i read {a} pages, always as many. per day?", "{a} m cut into {b} equal parts, one part is",
        "got {a} dollars for {b} days of work, what's that a day", "{a} kg in {b} sacks, all alike. how many kg in one",
        "one ride takes {b}, and {a} wait. how many rides",
    )),
    Formula("a-b+c", "", (MEDIUM, SMALL, SMALL), (
        "{a} fish in the pond, {b} were caught, {c} put in. now?", "had {a} {t}, gave {b} away, found {c}. how many",
        "{a} on the bus, {b} out, {c} in, how many on it",
        "i owe nothing, had {a} dollars, paid {b}, got {c} back. now?",
        "{c} new members and {b} gone, before that it was {a}. how many now",
        "count: {a}, then {b} less, then {c} more",
    )),
    Formula("a-b+12", "", (MEDIUM, SMALL), (
        "{p} had {a} {t}, lost {b} and got a dozen more. How many now?", "{a} eggs, {b} used, a dozen bought. how many",
        "there were {a} {t}. {b} are gone, but a dozen came. how many {t}",
        "after {b} of {a} rolls were sold, a dozen came out of the oven. how many rolls",
    )),
    Formula("a*7", "", (MEDIUM,), (
        "{a} pages every day from Monday to Sunday, how many pages", "all week long {a} km a day. km in the week?",
        "{p} takes {a} pills a day, the whole week. How many pills?",
    )),
    Formula("a*5", "", (MEDIUM,), (
        "{a} km on each day from Monday to Friday, how many km",
        "{p} works Monday to Friday, {a} dollars a day. What is the pay for the week?",
        "five days, {a} {t} a day. how many", "{a} lessons a day, school is Monday to Friday. lessons a week?",
    )),
    Formula("a*2*b", "", (MEDIUM, SMALL), (
        "{a} minutes there and {a} minutes back, on {b} days. how many minutes",
        "{p} walks {a} m to the shop and the same way home, {b} times. How many m?",
        "{b} days long a bus does {a} km to town and back again. how many km are that",
    )),
)  # fmt: skip
"""Stories of one kind a row."""
