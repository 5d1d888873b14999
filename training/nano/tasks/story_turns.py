"""Stories whose parts are easily mixed up: what one of two did, what went and what stayed, fees and hours, notes of two
kinds, a row of things with something on it. Facts each with the questions that go with them, as in story_contrasts.py.
"""

from __future__ import annotations

from training.nano.tasks.story_contrasts_more import ANY, MULTIPLE, Scene
from training.nano.tasks.story_formulas import LARGE, MEDIUM, SMALL, Formula

ONE_OF_TWO: tuple[Scene, ...] = (
    ((SMALL, SMALL, SMALL), (
        "{p} puts aside {a} dollars a month and {q} {b} dollars, {c} months long.",
        "Every day {p} swims {a} laps and {q} {b} laps. They do it on {c} days.",
        "{p} gets {a} {t} a week, {q} gets {b}, and that for {c} weeks.",
        "For {c} weeks {p} and {q} read: {p} {a} pages a week, {q} {b} pages.",
        "An hour brings {p} {a} dollars and {q} {b} dollars. Both work {c} hours.",
        "On each of {c} farms {p} finds {a} eggs and {q} {b} eggs.",
        "{c} times {p} throws {a} points, and {q} {b} points each time.",
        "{p} writes {a} cards a day, {q} writes {b} a day. {c} days go by.",
    ), {
        "a*c": ("What is it for {p} alone?", "I ask about {p} only. How much?", "How much of that belongs to {p}?",
            "Leaving {q} out, how much is it?", "What does {p} have in the end?", "And {p}: how much?"),
        "b*c": ("What is it for {q} alone?", "I ask about {q} only. How much?", "How much of that belongs to {q}?",
            "Leaving {p} out, how much is it?", "What does {q} have in the end?", "And {q}: how much?"),
        "(a+b)*c": ("How much is it with both counted?", "What do {p} and {q} have together?",
            "How much is that for the pair of them?", "All in all, how much?"),
    }),
)  # fmt: skip
TWO_INTO_ONE: tuple[Scene, ...] = (
    ((ANY, ANY, SMALL), (
        "{p} got {a} dollars and then {b} dollars for {c} days of work.",
        "In {c} hours {p} made {a} {t} and another {b}.",
        "Two jobs paid {a} dollars and {b} dollars. They took {c} days.",
        "{p} walked {a} km and {b} km, {c} days in all.", "For {c} weeks {p} was paid {a} dollars plus {b} dollars.",
        "{a} liters and {b} liters went through a pump in {c} hours.",
        "{p} sold {t} for {a} dollars and {u} for {b} dollars within {c} hours.",
        "Over {c} days {p} wrote {a} words in the mornings and {b} in the evenings.",
    ), {
        "(a+b)/c": ("How much is that for one of the {c}, on average?", "What is that each time, all put together?",
            "Per one of the {c}, how much is it?", "If it is spread evenly over the {c}, how much for each?",
            "How much is it for a single one of the {c}?"),
        "a+b": ("How much is that in all?", "What is the sum of both?", "How much do both make?"),
    }),
)  # fmt: skip
GONE_AND_THERE: tuple[Scene, ...] = (
    ((LARGE, (2, 19)), (
        "Some of {a} geese flew away and {b} are still here.", "Of {a} {t}, some were eaten. {b} are on the plate now.",
        "{p} had {a} {t}, gave some away and has {b}.",
        "From a @heap of {a} {t} some were taken, and {b} are in it now.",
        "There were {a} @people. A part of them left, {b} did not.", "Out of {a} candles some burned down. {b} remain.",
        "{a} {t} were for sale. In the evening there are {b}.", "A @box held {a} {t} and holds {b} now.",
        "Some of the {a} @people in a @place went; {b} stayed where they were.",
        "Of {a} lights {b} are on, some are off.",
    ), {
        "a-b": ("How many went?", "How many is it that are gone?", "How many are no longer there?",
        "How many were some?",
            "What is the number of those that are not there now?", "To how many does that come that are missing?"),
        "b": ("How many are there now?", "How many are still there?", "What number is left?"),
    }),
    ((ANY, (2, 60)), (
        "{p} gets back {b} {t} that {he} had lent to {q}. Now {p} has {a}.",
        "{q} returns {b} {t} to {p}, who now has {a}.", "{b} {t} came back to {p}. That makes {a} now.",
        "With {b} {t} that {q} brought back, {p} has {a}.", "{p} was given {b} {t} and counts {a} since then.",
        "After {b} more {t} were put in, the @box has {a}.",
    ), {
        "a-b": ("How many were there before?", "And without these?", "What was it until then?",
            "How many had it been before that?", "How many did that start from?"),
    }),
    ((ANY, (2, 60)), (
        "{p} lends {b} {t} to {q}. Now {p} has {a}.", "{p} takes {b} {t} to {q} and keeps {a}.",
        "{b} {t} are gone from {p}. That makes {a} now.", "Without {b} {t} that {q} took, {p} has {a}.",
        "{p} has sold {b} {t} and counts {a} since then.", "After {b} {t} were taken out, the @box has {a}.",
    ), {
        "a+b": ("How many were there before?", "And with these?", "What was it until then?",
            "How many had it been before that?", "How many did that start from?"),
    }),
)  # fmt: skip
SHORT_OF: tuple[Scene, ...] = (
    ((ANY, (2, 60)), (
        "{p} needs another {b} {t} to have as many as {q}. {q} has {a}.",
        "With {b} more {t}, {p} would be level with {q}, who has {a}.",
        "{p} is {b} {t} short of the {a} that {q} has.", "{q} has {a} {t}; {p} would need {b} more to reach that.",
        "{b} {t} are missing for {p} to match the {a} of {q}.",
        "If {p} got {b} {t}, it would be {a}, as many as {q} has.",
    ), {
        "a-b": ("How many does {p} have?", "What is {p}'s number?", "How many {t} is that for {p}?", "And {p} has?"),
        "a+(a-b)": ("How many do the two have together?", "What do both of them have in all?"),
    }),
)  # fmt: skip
FEE_AND_HOURS: tuple[Scene, ...] = (
    ((SMALL, SMALL, SMALL), (
        "An electrician takes {a} dollars for the way and {b} dollars an hour. The work is {c} hours.",
        "A boat costs {a} dollars once and {b} dollars for every hour. {p} has it for {c} hours.",
        "To join is {a} dollars, and each of {c} months is {b} dollars.",
        "The gardener gets {b} dollars an hour for {c} hours, and {a} dollars on top.",
        "A cab is {a} dollars at the start, then {b} dollars a km. The ride is {c} km.",
        "The hall is {a} dollars plus {b} dollars for each of {c} guests.",
        "{c} lessons at {b} dollars, and the book is {a} dollars once.", "Entry {a} dollars, {c} rides at {b} dollars.",
    ), {
        "a+b*c": ("How much is it altogether?", "What is to be paid?", "What is the whole cost?",
            "How much money does it take?", "What does all of it come to?"),
        "b*c": ("How much is it without the {a}?", "What would it be if the {a} dollars fell away?"),
    }),
)  # fmt: skip
NOTES: tuple[Scene, ...] = (
    ((SMALL, SMALL, SMALL, SMALL), (
        "In my purse are {a} notes of {b} dollars and {c} notes of {d} dollars.",
        "{p} has {a} coins worth {b} points and {c} coins worth {d} points.",
        "There are {a} tables with {b} seats and {c} tables with {d} seats.",
        "{a} boxes hold {b} {t} each, {c} others hold {d} each.",
        "{p} pays with {a} times {b} dollars and {c} times {d}.",
        "{a} bags at {b} kg and {c} bags at {d} kg are on a cart.",
        "I see {a} vans for {b} people, and {c} for {d} people.",
    ), {
        "a*b+c*d": ("How much is that in all?", "What do they make together?", "What is the total?",
            "How much does it come to, both kinds?", "What is all of that worth or in number?"),
        "a+c": ("How many of them are there, big and small?", "How many pieces is that, whatever they hold?"),
    }),
)  # fmt: skip
ROWS: tuple[Scene, ...] = (
    ((SMALL, MEDIUM, MEDIUM), (
        "A train has {a} cars of {b} seats. {c} people sit in it.",
        "{a} trays take {b} buns each; {c} buns lie on them.",
        "In {a} halls there are {b} chairs each, and {c} chairs are in use.",
        "A car park has {a} levels for {b} cars. {c} cars have come.",
        "{p} has {a} albums for {b} photos and {c} photos.",
        "{a} racks, each for {b} bikes, and {c} bikes stand there.", "{c} of the places in {a} rows of {b} are booked.",
    ), {
        "a*b-c": ("How many places are empty?", "For how many more is there room?", "How many could still come?",
            "How many more fit in?", "How many are not taken?"),
        "a*b": ("How many fit in when it is full?", "How many places are there, taken or not?"),
    }),
    (((2, 60), SMALL, (200, 999)), (
        "A cistern has {c} liters. On each of {b} days {a} liters are drawn.",
        "From {c} kg of feed, {a} kg a day go, {b} days long.", "{c} m of yarn: {b} times {a} m are used.",
        "{p} has {c} dollars and pays {a} dollars a week for {b} weeks.",
        "Of {c} pages {p} types {a} a day for {b} days.",
        "A tank with {c} liters loses {a} liters a day, for {b} days.",
    ), {
        "c-a*b": ("How much is there then?", "What remains after that?", "How much is not used?",
            "What is left in the end?", "How much has it after those {b}?"),
        "a*b": ("How much is used?", "How much went in those {b}?", "How much is taken out in all?"),
    }),
)  # fmt: skip
LATER: tuple[Scene, ...] = (
    (((5, 60), (2, 40)), (
        "I am {a} now.", "{p} is {a} years old today.", "My age is {a}.", "{p} has just turned {a}.",
        "At the moment {p} is {a}.", "The tree is {a} years old.",
    ), {
        "a+b": ("What will the age be in {b} years?", "In {b} years, what age is that?",
        "{b} years on, how old is that?",
            "How old when {b} more years are over?", "After {b} years the age is what?"),
    }),
    (((40, 90), (2, 39)), (
        "I am {a} now.", "{p} is {a} years old today.", "My age is {a}.", "{p} has just turned {a}.",
        "At the moment {p} is {a}.", "The tree is {a} years old.",
    ), {
        "a-b": ("What was the age {b} years ago?", "{b} years ago, what age was that?",
        "{b} years back, how old was that?",
            "How old before the last {b} years?", "{b} years earlier the age was what?"),
    }),
)  # fmt: skip
RECIPES: tuple[Scene, ...] = (
    ((SMALL, MULTIPLE), (
        "A recipe for {a} people takes {b} g of rice.", "{b} g of rice are right for {a} people.",
        "For {a} people one cooks {b} g of rice.", "{a} people eat {b} g of rice.",
    ), {
        "b": ("{a} people come. How much rice is it?", "How much for just these {a}?",
        "We are {a}. How many g do I take?"),
        "b*2": ("How much for twice as many people?", "How many g if double the number comes?"),
        "b/a": ("How many g is that for one?", "How much does a single one of them eat?",
        "One person needs how many g?"),
    }),
    (((2, 90), SMALL), (
        "One spoon weighs {a} grams.", "A stamp costs {a} cents.", "Each tile is {a} cm wide.", "A can holds {a} cl.",
        "An egg weighs {a} grams.", "One ticket is {a} dollars.",
    ), {
        "a*b": ("What about {b} of them?", "What is it for {b}?", "And for {b} of these, how much?",
            "How much do {b} make?", "{b} of those: how much?"),
    }),
)  # fmt: skip
TURNS = tuple(
    Formula(value, "", ranges, tuple(f"{fact} ({'|'.join(questions)})" for fact in facts))
    for ranges, facts, asked in (
        *ONE_OF_TWO, *TWO_INTO_ONE, *GONE_AND_THERE, *SHORT_OF, *FEE_AND_HOURS, *NOTES, *ROWS, *LATER, *RECIPES,
    )
    for value, questions in asked.items()
)  # fmt: skip
"""Stories of one kind a row."""
