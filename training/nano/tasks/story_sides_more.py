"""More stories from several sides, as in story_sides.py: what was before, savings, change, gains, parts."""

from __future__ import annotations

from training.nano.tasks.story_contrasts_more import ANY, MULTIPLE, Scene
from training.nano.tasks.story_formulas import LARGE, MEDIUM, SMALL, Formula

EARLIER: tuple[Scene, ...] = (
    ((ANY, ANY), (
        "{p} gave {b} {t} to {q} and has {a} now.", "After {b} {t} got lost, {a} are there.",
        "{p} has {a} {t}, because {b} were sold today.", "{b} {t} broke. {a} are still whole.",
        "{q} took {b} of the {t}, which left {a}.", "There are {a} {t} now that {b} have been eaten.",
        "{p} used {b} {t} and still owns {a}.", "{a} {t} is what {p} has after losing {b}.",
        "{b} {t} have gone out of a @box, {a} are in it.", "Today there are {a} {t}; {b} were thrown away last night.",
        "Having mailed {b} {t}, {p} is left with {a}.", "{p} keeps {a} {t} and has handed {b} to {q}.",
    ), {
        "a+b": ("How many were there before?", "How many had there been at first?", "What was the number at the start?",
            "With how many did it begin?", "How many {t} was that in the beginning?", "How many were there originally?",
            "Before that, how many?"),
    }),
    ((LARGE, ANY), (
        "{p} got {b} {t} from {q} and has {a} now.", "After {b} {t} were added, {a} are there.",
        "{p} has {a} {t}, because {b} were bought today.", "{b} {t} are new. With them it is {a}.",
        "{q} brought {b} {t}, which made it {a}.", "There are {a} {t} now that {b} have been put in.",
        "{p} found {b} {t} and now owns {a}.", "{a} {t} is what {p} has after winning {b}.",
        "{b} {t} have come into a @box, {a} are in it.", "Today there are {a} {t}; {b} arrived last night.",
        "Having received {b} {t}, {p} owns {a}.", "{p} counts {a} {t}, and {b} of them came only today.",
    ), {
        "a-b": ("How many were there before?", "How many had there been at first?", "What was the number at the start?",
            "With how many did it begin?", "How many {t} was that in the beginning?", "How many were there originally?",
            "Before that, how many?"),
    }),
)  # fmt: skip
SAVED: tuple[Scene, ...] = (
    ((ANY, SMALL, SMALL), (
        "{p} has {a} dollars and saves {b} dollars a week.", "At the start there are {a} {t}, and {b} come each week.",
        "{a} pages are written. Every week {p} writes {b} more.", "A plant of {a} cm grows {b} cm a week.",
        "A bank account shows {a} dollars, and {b} dollars are paid in weekly.",
        "Every week {b} @people join a club of {a}.", "{p} owns {a} stamps and gets {b} a week.",
        "A barrel with {a} liters takes in {b} liters a week.", "Week by week {b} {t} are added to {a}.",
    ), {
        "a+b*c": ("How much is it after {c} weeks?", "What will it be in {c} weeks?",
            "In {c} weeks, how much is there?",
            "{c} weeks later, how much is it?", "How much when {c} weeks are over?",
            "What is the number {c} weeks on?"),
        "b*c": ("How much is added in {c} weeks?", "How much more is it after {c} weeks?",
            "By how much does it grow in {c} weeks?", "What do {c} weeks add?"),
    }),
    (((60, 600), SMALL, SMALL), (
        "{p} has {a} dollars and spends {b} dollars a week.", "At the start there are {a} {t}, and {b} go each week.",
        "{a} pages are to be read. Every week {p} reads {b}.", "A candle of {a} mm loses {b} mm a week.",
        "A bank account shows {a} dollars, and {b} dollars are taken out weekly.",
        "Every week {b} @people leave a camp of {a}.", "{p} owns {a} stamps and gives {b} away a week.",
        "A barrel with {a} liters loses {b} liters a week.", "Week by week {b} {t} are taken from {a}.",
    ), {
        "a-b*c": ("How much is it after {c} weeks?", "What will be left in {c} weeks?",
            "In {c} weeks, how much is there?",
            "{c} weeks later, how much is it?", "How much when {c} weeks are over?",
            "What is the number {c} weeks on?"),
    }),
)  # fmt: skip
TRADE: tuple[Scene, ...] = (
    ((SMALL, SMALL, (150, 500)), (
        "{p} buys {b} {t} at {a} dollars each and hands over {c} dollars.",
        "With {c} dollars {p} pays for {b} {t}, {a} dollars each.",
        "{b} {t} cost {a} dollars apiece. {p} gives {c} dollars.",
        "{c} dollars are put down for {b} {t} of {a} dollars each.",
        "{p} takes {c} dollars along and buys {b} {t} for {a} dollars each.",
        "For {b} {t}, each {a} dollars, {p} lays {c} dollars on the table.",
        "At {a} dollars a piece, {p} gets {b} {t} and pays with {c} dollars.",
        "Each of the {b} {t} is {a} dollars, and {p} pays {c} dollars.",
    ), {
        "c-a*b": ("What comes back?", "How much change is there?", "What is given back?",
            "How many dollars come back?", "What is the change?", "How much of the money is left?"),
    }),
    ((MEDIUM, SMALL, SMALL), (
        "{p} buys {c} {t} for {b} dollars each and pays {a} dollars to have each one sent.",
        "On every one of {c} {t} sold for {b} dollars, {a} dollars of tax are added.",
        "{c} {t} are {b} dollars each, and sending each is {a} dollars.",
        "For each of {c} @people the train is {b} dollars and the meal {a} dollars.",
        "A ticket is {b} dollars plus a fee of {a} dollars. {p} orders {c}.",
    ), {
        "(a+b)*c": ("How many dollars are that in all?", "What is the whole sum?", "How much money is it for all {c}?",
            "What do the {c} come to with that?", "Altogether, how much money?"),
        "a+b": ("How much is it for a single one?", "What is it for just one?"),
    }),
    (((30, 90), (2, 29), SMALL), (
        "{p} buys {c} {t} for {b} dollars each and sells them for {a} dollars each.",
        "A shop gets {c} {t} at {b} dollars each and sells each at {a} dollars.",
        "One {o} takes {b} dollars to make and is sold for {a} dollars. {p} sells {c}.",
        "{c} {t} are bought at {b} dollars and sold at {a} dollars apiece.",
        "Each {o} brings {a} dollars and costs {b} dollars. {c} are sold.",
    ), {
        "(a-b)*c": ("What is the gain?", "How much is gained in all?", "How much more money is there at the end?",
            "What is the profit?", "How much money is made with that?", "What is left over as a gain in all?"),
        "a-b": ("How much is gained on one?", "What is the gain for a single one?"),
    }),
    ((LARGE, ANY, SMALL), (
        "{p} brings {a} {t} and {q} {b}; {c} @people share all of them equally.",
        "{a} red and {b} green {t} are shared out fairly to {c} @people.",
        "{c} @people get equal parts of {a} {t} and {b} more {t}.",
        "Two sacks, one with {a} {t} and one with {b}, are split among {c} @people.",
        "First {a} and then {b} {t} are found, and {c} @people divide them evenly.",
        "To {a} {t} {b} are added. All go into {c} @boxes, the same number in each.",
        "{p} picks {a} {t} and then {b}. They are laid on {c} plates, as many on each.",
    ), {
        "(a+b)/c": ("How many are there for each?", "How many for one?", "How large is one share?",
            "What does each one get?", "How many is it each?", "How many {t} is one part?"),
        "a+b": ("How many are shared?", "How many {t} are there before sharing?", "How many is that for all {c}?"),
    }),
)  # fmt: skip
TIMES: tuple[Scene, ...] = (
    (((4, 90), (2, 5)), (
        "{p} has {a} {t}, and {q} has {x} as many.", "{q} needs {x} as many {t} as {p}, who needs {a}.",
        "Where {p} finds {a} {t}, {q} finds {x} as many.", "{p} sold {a} {t}. {q} sold {x} that number.",
        "{p} collects {a} {t}, {q} {x} as many.", "{a} is the number of {p}'s {t}; {q} has {x} as many.",
        "{p} bakes {a} {t} and {q} bakes {x} as many.", "In the hands of {p} are {a} {t}, in those of {q} {x} as many.",
    ), {
        "a*b": ("And for {q}, how many?", "What is {q}'s number?", "How many is that for {q}?", "So how many for {q}?"),
        "a+a*b": ("How many are there with both?", "What is the sum of the two?", "How many is that in all?",
            "Both together, how many?", "How many {t} are these altogether?"),
        "a*b-a": ("How many more is that than {p}'s?", "By how many is {q} ahead?", "How many more is it for {q}?",
            "What is the difference between the two?"),
    }),
    ((MULTIPLE, (2, 5)), (
        "{p} has {a} {t}, which is {x} as many as {q} has.", "{a} {t} are {p}'s, {x} as many as {q}'s.",
        "{p}, with {a} {t}, has {x} as many as {q}.", "{x} as many {t} as {q} has are with {p}, and that is {a}.",
        "{p} found {a} {t}. {q} found so many that {p} has {x} as many.",
    ), {
        "a/b": ("How many has {q}?", "What is {q}'s number?", "How many {t} is that for {q}?", "So how many for {q}?"),
        "a+a/b": ("How many do both have?", "What is the sum of the two?", "Both together, how many?"),
    }),
)  # fmt: skip
PARTS: tuple[Scene, ...] = (
    ((MULTIPLE, (2, 5)), (
        "{p} has {a} {t} and gives {f} of them to {q}.", "Of {a} {t}, {f} got wet.", "{F} of {a} @people went home.",
        "{a} {t} were bought and {f} of those were eaten.", "{p} reads {f} of a book with {a} pages.",
        "From a rope of {a} m {p} cuts off {f}.", "There are {a} {t}, and {f} of them go to {q}.",
        "{p} spends {f} of {a} dollars.", "A tank of {a} liters loses {f} of it.",
        "{F} of the {a} {t} were sold today.",
        "{p} drives {f} of a way of {a} km.", "With {a} {t} in a @box, {p} takes out {f}.",
    ), {
        "a-a/b": ("How much is left?", "What remains?", "How much is still there?",
            "What is the rest?", "How much has stayed?"),
        "a/b": ("How much is that part?", "How much was it?", "In numbers, how much is that?",
            "How large was the part?"),
    }),
)  # fmt: skip
MORE_SIDES = tuple(
    Formula(value, "", ranges, tuple(f"{fact} ({'|'.join(questions)})" for fact in facts))
    for ranges, facts, asked in (*EARLIER, *SAVED, *TRADE, *TIMES, *PARTS)
    for value, questions in asked.items()
)
"""Stories of one kind a row."""
