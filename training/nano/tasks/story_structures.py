"""Facts told in other orders, each with several questions, as in story_contrasts.py: fees, goals, exceptions, rates.

And comparisons that are read forwards and backwards, and temperatures.
"""

from __future__ import annotations

from training.nano.tasks.story_contrasts_more import ANY, MULTIPLE, Scene
from training.nano.tasks.story_formulas import LARGE, MEDIUM, SMALL, Formula

FEES: tuple[Scene, ...] = (
    ((MEDIUM, SMALL, (5, 90)), (
        "An electrician asks {a} dollars for every hour and {c} dollars for the way.",
        "For the visit one pays {c} dollars, for each hour of work {a} dollars.",
        "A tutor charges {a} dollars per lesson after a fee of {c} dollars.",
        "{c} dollars are due at once, and {a} dollars more for every day.",
        "To rent a van: {c} dollars, plus {a} dollars a day.",
        "A painter gets {a} dollars an hour and {c} dollars for paint.",
        "Each ride on the wheel is {a} dollars; getting in is {c} dollars.",
        "A phone plan has a basic fee of {c} dollars and {a} dollars for each GB.",
        "Skates are {a} dollars an hour, on top of {c} dollars for the rink.",
        "A band takes {a} dollars an hour. The drive is {c} dollars on top.",
        "A printer asks {c} dollars to set up and {a} dollars a poster.",
        "Besides {c} dollars to start with, each round is {a} dollars.",
        "Every month costs {a} dollars, and the first day {c} dollars once.",
        "There is a fee of {c} dollars. Then each one is {a} dollars.",
    ), {
        "a*b+c": ("How much is that for {b}?", "What is the bill for {b}?", "For {b} of these, what must be paid?",
            "{p} takes {b}. What does {p} pay altogether?", "How much does {b} come to, all included?",
            "If it is {b}, how much is it in all?", "What is to pay in the end with {b}?"),
        "a*b": ("How much of that is for {b} alone?", "Without what is paid once, how much are {b}?",
            "The {b} by themselves are how much?", "What do {b} cost if the other sum is dropped?"),
        "a+c": ("How much is it for just one?", "What does the first one cost with all that?",
            "If it is only one, how much is it in all?"),
    }),
    (((13, 60), SMALL, SMALL), (
        "A ticket is {a} dollars, and kids pay {b} dollars less. {c} kids go.",
        "{c} kids go in. A ticket is {a} dollars, but each kid gets {b} dollars off.",
        "Each of {c} @people pays {a} dollars less a gift of {b} dollars.",
        "{p} @buys {c} {t} that were {a} dollars each and are {b} dollars cheaper today.",
    ), {
        "(a-b)*c": ("What do they pay in all?", "How much is that for the {c}?", "What is the bill for all {c}?",
            "With that off, how much are {c}?"),
        "a*c": ("What would {c} be at the full price?", "Without anything off, how much would it be for {c}?",
            "How much for {c} if nothing were taken off?"),
        "a-b": ("What is it for a single one?", "How much does one of them pay?", "What is one at the lower price?"),
        "b*c": ("How much is saved in all?", "What do the {c} save together?", "By how much is it cheaper for {c}?"),
    }),
)  # fmt: skip
GOALS: tuple[Scene, ...] = (
    (((70, 400), MEDIUM, SMALL), (
        "{p} wants to own {a} {t}, has {b} and gets {c} a day.",
        "The goal is {a} points. {p} is at {b} and makes {c} a round.",
        "Of {a} stones {b} are laid, and {c} are laid an hour.",
        "{p} owes {a} dollars, has paid back {b} and pays {c} a month.",
        "There are {a} letters to write. {b} are written; {c} get written in a day.",
        "From {a} km {p} has walked {b}, and each day {he} walks {c}.",
        "A trip costs {a} dollars. {b} dollars are there already, and {c} come in every week.",
        "A tank of {a} liters holds {b}; each minute {c} liters run in.",
        "It takes {a} stamps for a prize; {p} has {b} and gets {c} with each visit.",
        "{c} a week is what {p} adds to {b} dollars, until it is {a}.",
        "With {b} {t} now and {c} more every day, {p} is on the way to {a}.",
    ), {
        "(a-b)/c": ("How long will it still take?", "After how many more times is it reached?",
            "How many more times is that?", "In what time will it be done?", "How long until {a} is reached?"),
        "a-b": ("How much is missing right now?", "What is still to come?", "How far is it from the goal?",
            "How much more must there be?"),
        "a/c": ("Starting from nothing, how long would it take?", "How long would it be without those first {b}?"),
        "b+c": ("How much is it after one more time?", "What will it be one time later?"),
    }),
    ((LARGE, MEDIUM, SMALL), (
        "{p} has {a} {t}, keeps {b} and shares the others among {c} @people evenly.",
        "{b} of {a} {t} are bad; the good ones go to {c} @people in equal parts.",
        "From a bill of {a} dollars {b} dollars are paid already. {c} @people split what is open.",
        "{c} @people divide {a} {t} fairly, after {b} were taken out.",
        "Of {a} {t} {b} are for {q}. All others are put into {c} @boxes, equally many in each.",
    ), {
        "(a-b)/c": ("How much is it for each of the {c}?", "How many for one of the {c}?",
            "What does each of the {c} come to?", "How much per one of the {c}?"),
        "a-b": ("How many are shared out?", "How much is there to split?", "What is left before it is divided?",
            "How much is it for all {c} together?"),
    }),
    ((SMALL, SMALL, SMALL), (
        "{p} saves {a} dollars a week and {q} {b} dollars, for {c} weeks.",
        "For {c} hours {p} picks {a} {t} an hour and {q} {b}.",
        "{p} runs {a} km a day, {q} runs {b} km, and both do it for {c} days.",
        "In {c} rounds {p} wins {a} cards each time and {q} {b}.",
    ), {
        "(a+b)*c": ("What is it for the two together?", "How much do they have in all?", "What is the sum of both?"),
        "(a-b)*c": ("By how much is {p} ahead?", "How much more is it for {p}?", "How far is {q} behind {p}?"),
        "a*c": ("How much is it for {p}?", "What does {p} come to?", "Only {p}: how much?"),
        "b*c": ("How much is it for {q}?", "What does {q} come to?", "Only {q}: how much?"),
    }),
)  # fmt: skip
RATES: tuple[Scene, ...] = (
    ((SMALL, SMALL, SMALL), (
        "For {c} days {p} paints {b} hours daily and gets {a} tiles done per hour.",
        "Every day has {b} lessons of {a} minutes, and there are {c} days.",
        "{p} runs {b} rounds a day, {a} m each, on {c} days.",
        "A @vehicle makes {b} trips a day with {a} {t}, for {c} days.",
        "{c} weeks long {p} trains {b} times a week, {a} minutes each time.",
        "{c} floors have {b} rooms with {a} beds.", "Each of {c} shelves has {b} rows with {a} {t} in a row.",
        "{p} takes {b} pills a day, {a} mg each, for {c} days.",
        "On each of {c} farms there are {b} barns, {a} cows to a barn.",
        "{a} {t} come out per minute, {b} minutes a run, and there are {c} runs.",
        "Per page {a} words, per chapter {b} pages, and {c} chapters.",
        "{a} dollars an hour, {b} hours a shift, {c} shifts.",
    ), {
        "a*b*c": ("How much is that in all?", "What does all of it come to?", "How many is it altogether?",
            "What is the whole number?", "That makes how much in total?"),
        "a*b": ("How much is that for one of the {c}?", "Only one of the {c}: how much?",
            "What is it for a single one of the {c}?"),
    }),
    ((ANY, ANY, SMALL), (
        "Two rounds gave {a} and {b} points; a penalty took {c}.",
        "First {a} points, then {b} points, minus {c} for being late.",
        "The judge gives {a} and {b} points and subtracts {c} for a mistake.",
        "{p} wins {a} cards and {b} cards but must hand back {c}.",
        "{a} and {b} points were won, {c} were lost.",
        "Sales of {a} and {b} dollars came in, and {c} dollars had to be returned.",
        "{c} points are lost for a fall, after {a} and {b} were won.",
        "{p} throws {a} and {b} but is fined {c}.", "From {a} and {b} points together {c} are taken away.",
    ), {
        "a+b-c": ("What is the result?", "What stands in the end?", "How much counts?",
            "How much is it with that taken off?", "What is the final number?"),
        "a+b": ("How much would it be without the loss?", "What was it before anything was taken off?",
            "How much were the two together?", "What is it if nothing is taken away?"),
    }),
)  # fmt: skip
EXCEPTIONS: tuple[Scene, ...] = (
    ((LARGE, (2, 19)), (
        "{p} @lost all {a} {t} except {b}.", "All of {a} {t} but {b} @vanish.", "Apart from {b}, the {a} {t} @vanish.",
        "Of {a} @people in a @place, all but {b} go home.", "Other than {b}, all {a} {t} @vanish.",
        "{p} had {a} {t}; every one but {b} is gone now.", "@Someone @removes every one of {a} {t}, leaving out {b}.",
        "A fire took all of {a} trees but spared {b}.", "The @heap had {a} {t}. Save for {b}, they @vanish.",
        "{a} @people came, and with {b} exceptions all have left.",
        "@Someone @removes the {a} {t} of {p}, all but {b}.", "{p} sells {his} {a} {t} but keeps {b}.",
        "No more than {b} of {a} @people stayed.", "There were {a} {t}, and none but {b} survived.",
    ), {
        "b": ("How many are left?", "How many are still there?", "What is left?", "How many stayed?",
            "How many remain?", "What number is there now?"),
        "a-b": ("How many are gone?", "How many went?", "How many are no longer there?",
            "To how many did that happen?", "What number is gone?"),
    }),
    ((LARGE, (2, 19)), (
        "{p} @lost {b} of {his} {a} {t}.", "{b} of {a} {t} @vanish.", "All {a} {t} stay there but {b}, which @vanish.",
        "Of {a} @people in a @place {b} go home, and the others do not.",
        "{p} had {a} {t}; {b} of these are gone now.", "@Someone @removes {b} of {a} {t}, leaving the rest.",
        "A fire took {b} of {a} trees and spared the others.", "{p} keeps {his} {a} {t} but sells {b}.",
        "{a} @people came, and all but the {b} who left are still here.",
    ), {
        "a-b": ("How many are left?", "How many are still there?", "What is left?", "How many stayed?",
            "How many remain?", "What number is there now?"),
    }),
)  # fmt: skip

LIKENED = (
    ("tower", "mast", "high", "m", "higher", "lower"), ("rope", "ribbon", "long", "cm", "longer", "shorter"),
    ("sack", "bag", "heavy", "kg", "heavier", "lighter"), ("river", "canal", "long", "km", "longer", "shorter"),
    ("oak", "pine", "tall", "m", "taller", "shorter"), ("lake", "pond", "deep", "m", "deeper", "shallower"),
    ("fence", "wall", "long", "m", "longer", "shorter"), ("road", "path", "wide", "cm", "wider", "narrower"),
)  # fmt: skip
"""Something large, something small, what is compared, its unit, and how either is called next to the other."""
TIMES_ON = (
    "The {s} is {{a}} {u} {h}. The {g} is {{x}} as {h}. How {h} is the {g}?",
    "The {g} is {{x}} as {h} as the {s}. The {s} is {{a}} {u} {h}. How {h} is the {g}?",
    "The {g} is {{x}} as {h} as the {s}, which is {{a}} {u} {h}. How {h} is the {g}?",
    "How {h} is the {g} if it is {{x}} as {h} as the {s}, and the {s} is {{a}} {u} {h}?",
    "Next to a {s} of {{a}} {u}, the {g} is {{x}} as {h}. How {h} is the {g}?",
)  # fmt: skip
TIMES_BACK = (
    "The {g} is {{a}} {u} {h}. It is {{x}} as {h} as the {s}. How {h} is the {s}?",
    "The {g} is {{x}} as {h} as the {s}. The {g} is {{a}} {u} {h}. How {h} is the {s}?",
    "The {g}, which is {{a}} {u} {h}, is {{x}} as {h} as the {s}. How {h} is the {s}?",
    "How {h} is the {s} if the {g} is {{x}} as {h} as it, and the {g} is {{a}} {u} {h}?",
    "With its {{a}} {u}, the {g} is {{x}} as {h} as the {s}. How {h} is the {s}?",
)  # fmt: skip
UP = (
    "The {s} is {{a}} {u} {h}, the {g} {{b}} {u} {m}. How {h} is the {g}?",
    "The {g} is {{b}} {u} {m} than the {s}. The {s} is {{a}} {u} {h}. How {h} is the {g}?",
    "The {s} is {{b}} {u} {l} than the {g}. The {s} is {{a}} {u} {h}. How {h} is the {g}?",
    "How {h} is the {g} if the {s}, at {{a}} {u}, is {{b}} {u} {l}?",
    "The {s}, which is {{a}} {u} {h}, is {{b}} {u} {l} than the {g}. How {h} is the {g}?",
)  # fmt: skip
DOWN = (
    "The {g} is {{a}} {u} {h}, the {s} {{b}} {u} {l}. How {h} is the {s}?",
    "The {g} is {{b}} {u} {m} than the {s}. The {g} is {{a}} {u} {h}. How {h} is the {s}?",
    "The {s} is {{b}} {u} {l} than the {g}. The {g} is {{a}} {u} {h}. How {h} is the {s}?",
    "How {h} is the {s} if the {g}, at {{a}} {u}, is {{b}} {u} {m}?",
    "The {g}, which is {{a}} {u} {h}, is {{b}} {u} {m} than the {s}. How {h} is the {s}?",
)  # fmt: skip


def _likened(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Each line for each pair of things."""
    return tuple(
        line.format(g=g, s=s, h=h, u=u, m=more, l=less) for g, s, h, u, more, less in LIKENED for line in lines
    )


COMPARISONS = (
    Formula("a*b", "", (MEDIUM, (2, 6)), (
        "{p} has {x} as much money as {q}. {q} has {a} dollars. How much does {p} have?",
        "{p} has {x} as much money as {q}, who has {a} dollars. How much does {p} have?",
        "{q} has {a} {t}, and that of {p} is {x} as many. How many does {p} have?",
        "If {q} is {a} and {p} {x} as old, how old is {p}?", *_likened(TIMES_ON),
    )),
    Formula("a/b", "", (MULTIPLE, (2, 6)), (
        "{p} has {x} as much money as {q}. {p} has {a} dollars. How much does {q} have?",
        "{p}, who has {a} dollars, has {x} as much money as {q}. How much does {q} have?",
        "{p} has {a} {t}, and that is {x} as many as {q} has. How many does {q} have?",
        "If {p} is {a} and that is {x} as old as {q}, how old is {q}?", *_likened(TIMES_BACK),
    )),
    Formula("a+b", "", (LARGE, SMALL), _likened(UP)),
    Formula("a-b", "", (LARGE, SMALL), _likened(DOWN)),
)  # fmt: skip
"""What is `x times as high as` or `higher than` something is read from either end."""

WARMER = (
    "An oven has {a} degrees. It gets {n} degrees hotter. How hot is it?",
    "{a} degrees outside, and then it warms up by {n}. What is it?",
    "The freezer stands at {a} degrees and is turned up by {n} degrees. What does it show?",
    "How warm is it when {a} degrees rise by {n} degrees?",
    "It is {a} degrees here, and in the south {n} degrees warmer. How warm is it there?",
    "We had {a} degrees. The sun added {n} degrees. What do we have now?",
    "Water at {a} degrees is warmed by {n} degrees. How warm does it get?",
    "The pond warms from {a} degrees by {n} degrees. What is its temperature?",
    "What is {n} degrees above {a} degrees?", "The reading of {a} degrees goes up {n} degrees. New reading?",
    "Last night: {a} degrees. Today: {n} degrees more. How many degrees today?",
    "{a} degrees, up {n} degrees: how many degrees?",
    "A sensor says {a} degrees. An hour later it is {n} degrees higher. What does it say?",
    "Now it is {a} degrees. An hour ago it was {n} degrees warmer. What was it then?",
    "It got {n} degrees colder and is {a} degrees now. What was it before that?",
    "By {n} degrees the heater warms a hall of {a} degrees. How warm is the hall?",
    "A stone of {a} degrees lies in the sun and warms by {n} degrees. How many degrees has it?",
    "In the cellar it is {a} degrees, upstairs {n} degrees warmer. What is it upstairs?",
)  # fmt: skip
COLDER = (
    "An oven has {a} degrees. It gets {n} degrees cooler. How hot is it?",
    "{a} degrees outside, and then it cools down by {n}. What is it?",
    "The freezer stands at {a} degrees and is turned down by {n} degrees. What does it show?",
    "How cold is it when {a} degrees fall by {n} degrees?",
    "It is {a} degrees here, and in the north {n} degrees colder. How cold is it there?",
    "We had {a} degrees. The wind took {n} degrees off. What do we have now?",
    "Water at {a} degrees is chilled by {n} degrees. How cold does it get?",
    "The pond cools from {a} degrees by {n} degrees. What is its temperature?",
    "What is {n} degrees below {a} degrees?", "The reading of {a} degrees goes down {n} degrees. New reading?",
    "Last night: {a} degrees. Today: {n} degrees less. How many degrees today?",
    "{a} degrees, down {n} degrees: how many degrees?",
    "A sensor says {a} degrees. An hour later it is {n} degrees lower. What does it say?",
    "Now it is {a} degrees. An hour ago it was {n} degrees colder. What was it then?",
    "It got {n} degrees warmer and is {a} degrees now. What was it before that?",
    "By {n} degrees the night cools a hall of {a} degrees. How cold is the hall?",
    "A stone of {a} degrees lies in the shade and cools by {n} degrees. How many degrees has it?",
    "Upstairs it is {a} degrees, in the cellar {n} degrees colder. What is it in the cellar?",
)  # fmt: skip

STRUCTURES = (*FEES, *GOALS, *RATES, *EXCEPTIONS)
