"""The whole quotient alone, from several sides: how many are full, what each gets, what stands before the point.

{a} is divided by {b}; what is left over is not asked for. See remainder_stories.py.
"""

from __future__ import annotations

NOUNS = (
    "the whole part of {a} / {b}", "the part before the point of {a} / {b}", "{a} / {b} rounded down", "{a} // {b}",
    "the whole quotient of {a} and {b}", "{a} / {b}, the whole part alone", "{a} divided by {b}, rounded down",
    "the number of full {b}s in {a}", "int({a} / {b})", "{a} / {b} without any remainder or decimals",
    "{a} divided by {b} in whole numbers only, the rest dropped,", "{a} / {b} cut off at the point",
    "the quotient of {a} by {b} as an integer", "the integer quotient of {a} and {b}", "trunc({a} / {b})",
    "the largest whole number not above {a} / {b}", "{a} / {b} down to the next whole number",
    "the whole number of times {b} is in {a}", "{a} by {b} with the remainder thrown away",
    "the quotient {a} : {b} with no regard to the rest",
)  # fmt: skip
"""What stands in a question for a value."""
GROUPED = (
    "{a} {t} are split into groups of {b}.", "{p} makes sets of {b} out of {a} {t}.",
    "{b} {t} fill a @box. There are {a}.",
    "{a} {t} go into @boxes for {b} each.", "{p} has {a} {t} and puts {b} into every @box.",
    "{a} @people form teams of {b}.", "From {a} {t} one makes packs of {b}.", "A pack needs {b} {t}. {p} has {a}.",
    "{a} chairs stand in rows of {b}.", "{a} beads, {b} for a chain.",
    "A @box is sold with {b} {t}, and {a} are there.",
    "{p} ties {b} {t} into a bunch and has {a}.", "A ribbon of {a} cm gives bows of {b} cm.",
    "{a} stamps, {b} on each page.", "{p} counts {a} {t} in lots of {b}.",
)  # fmt: skip
FULL = (
    "How many are full?", "How many of those are complete?", "How many whole ones are there?",
    "How many can be completed?", "How many full ones does that give?", "How many come out whole?",
    "What number of full ones is there?", "Not counting one that is not full, how many is it?",
    "How many are finished completely?", "Only complete ones count: how many?", "full ones?",
    "How many is that, without the one that is not full?", "How many at most can be made complete?",
    "Leaving aside what is over, how many are made?", "How many times does it come out full?",
)  # fmt: skip
SHARED = (
    "{b} @people share {a} {t}.", "{a} {t} are dealt out evenly to {b} @people.",
    "{p} gives {b} friends equally many of {a} {t}.", "{a} {t} are for {b} @people, the same for each.",
    "{b} kids get equal numbers of {a} {t}.", "There are {a} {t} to be shared fairly by {b} @people.",
    "{a} coins go to {b} sailors in equal parts.", "{b} bowls get as many of {a} {t} each.",
    "{p} deals {a} cards to {b} players.", "{a} {t} are spread over {b} plates evenly.",
    "{b} heirs divide {a} {t} and cut none of them.", "Out of {a} {t}, each of {b} @people gets as many as the others.",
)  # fmt: skip
EACH = (
    "How many does each get at most?", "How many does each get if none is cut?", "What is the most that each can get?",
    "How many whole ones does each have?", "How many are for each, what is left being kept?",
    "Each gets how many, the rest put aside?", "How many is that for one, not counting what is over?",
    "No one gets a broken one. How many has each?", "How many at most can one of them have?",
    "With what is left over not given out, how many does each get?", "What does one get, in whole ones?",
    "As many as possible for each: how many?", "How many can each take home if nothing is broken?",
    "each gets at least how many",
)  # fmt: skip
ANY = (
    "What is the quotient, leaving out the remainder?", "Give only the quotient.", "What is the whole quotient?",
    "The remainder does not matter: what is the quotient?", "How often does it go, in full?",
    "How many times does it go completely?", "I forget what is left over. What do I write?",
    "Drop what is left. How much is it?", "Without the rest, how much is it?",
    "Not what is left but how often it goes?",
    "What is it when what is left is not counted?", "The quotient alone, please.",
)  # fmt: skip
PLAIN = (
    "{a} is divided by {b}.", "I divide {a} by {b}.", "{p} divides {a} by {b}.",
    "The dividend is {a}, the divisor {b}.",
    "Long division of {a} by {b}.", "{b} goes into {a} some times.", "{b} is taken off {a} as often as it goes.",
    "{a} / {b} leaves something or nothing.", "My exercise is {a} / {b}.", "One divides the number {a} by {b}.",
)  # fmt: skip
SENTENCES = (
    "Divide {a} by {b} in integers, no remainder.", "{a} / {b} as integer division", "integer division {a} / {b}",
    "Whole-number division, quotient only: {a} by {b}", "What do you get from dividing {a} by {b} in integers?",
    "In integer arithmetic, what is {a} / {b}?", "What does {a} // {b} give?", "{b} fits in {a} how many whole times?",
    "How many full times can {b} be taken from {a}?",
    "{p} has {a} {t} and needs {b} for a set. How many sets get full?",
    "How many full sets of {b} {t} are {a} {t}?", "{a} {t} are enough for how many sets of {b}?",
    "How many @boxes of {b} can {p} fill up with {a} {t}?", "With {a} {t}, how many @boxes of {b} get full?",
    "With {a} dollars, how many {t} at {b} dollars each can one buy?", "How many {t} at {b} dollars do I get for {a}?",
    "{a} days are how many full blocks of {b} days?", "Throw the remainder away: {a} / {b}",
    "{p} works out {a} / {b} and does not write the remainder. What is written there?",
    "I divide {a} by {b}, the rest I ignore. My result?", "What is {a} divided by {b} if only whole numbers count?",
    "Cut {a} / {b} off at the decimal point.", "Which whole number comes just before or at {a} / {b}?",
    "How many whole strips of {b} cm come from {a} cm?", "Divide {a} by {b}, then drop everything after the point.",
    "What is the largest number of times that {b} goes into {a}?", "At most how many {b}s are in {a}?",
)  # fmt: skip
