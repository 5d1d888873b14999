"""More ways to ask for remainders, divisibility and averages; facts that go with both of the first two questions.

The same fact may be followed by a question for what is left or by whether it comes out, so that the question decides.
"""

from __future__ import annotations

DEALT = (
    "{a} {t} are packed, {b} to a @box.", "{b} @people share {a} {t} evenly.",
    "{p} has {a} {t} and lays them in rows of {b}.", "There are {a} {t} for {b} @people, the same number for each.",
    "{a} is divided by {b}.", "I divide {a} by {b}.", "{p} puts {b} {t} on each shelf and has {a} of them.",
    "{a} @people form teams of {b}.", "{a} @people go by boat, {b} in each boat.",
    "A baker lays {a} {t} on trays for {b}.", "A roll of {a} cm is cut into strips of {b} cm.",
    "{a} {t} are handed out to {b} kids, each getting as many as the others.", "{a} {t} are tied into bundles of {b}.",
    "{p} spreads {a} {t} over {b} plates evenly.", "With {a} dollars {p} buys tickets at {b} dollars.",
    "{p} deals {a} cards to {b} players.", "{a} chairs are put up in rows of {b}.",
    "One counts up to {a} in steps of {b}.", "{p} walks {a} m in steps of {b} m.",
    "{b} is taken off {a} again and again.", "Every @box takes {b} {t}, and there are {a} {t}.",
    "{a} stamps are glued in, {b} on a page.", "{b} @people were given {a} {t} to split fairly.",
    "A choir of {a} stands in lines of {b}.", "{p} sorts {a} {t} into heaps of {b}.",
)  # fmt: skip
"""Things that are put into groups or shared out."""
LEFT = (
    "What is left over?", "How many are left over?", "How many are over in the end?", "How much remains?",
    "What is the remainder?", "Which remainder is there?", "How many do not come into a full one?",
    "How many are too many?", "What number is left at the end?", "How many does nobody get?", "How much is over?",
    "What is the rest?", "How many are left when no more go?", "How many stay behind?",
    "I only ask for what is left: how many?", "And the remainder?", "What does not go in evenly?",
    "How big is the rest?", "Tell me only what is left over.", "How many are still there after that?",
)  # fmt: skip
EVENLY = (
    "Does it come out even?", "Does it work out with none left over?", "Does it go without a remainder, yes or no?",
    "Is it possible with nothing left over?", "Can it be done so that none is left?", "Will it come out exactly?",
    "Does that go evenly?", "Yes or no: does it come out?", "Is that without any rest?",
    "Does it come out with no remainder?", "Is the last one full, too?", "Does it fit exactly?",
    "Can all be used, with none over?", "Is it true that none is left over?", "Does everything go in?",
    "Is there an exact way?", "Is that even, with nothing over?", "Does it end at exactly zero?",
)  # fmt: skip
REMAINDER = (
    "the rest you get on dividing {a} by {b}", "what stays of {a} when it is divided by {b}",
    "the remainder at the end of {a} / {b}", "the part of {a} that {b} does not divide",
    "only the remainder of {a} / {b}", "the remainder alone of {a} by {b}", "the mod of {a} and {b}",
    "{a} mod {b} as a number", "the remainder with {a} as dividend and {b} as divisor",
    "the remainder, not the quotient, of {a} / {b}",
)  # fmt: skip
SENTENCES = (
    "Remainder only, no quotient: {a} / {b}", "Divide {a} by {b} and tell me just what is left.",
    "{a} is divided by {b}. The remainder is what?", "What do I have left over in the end if I divide {a} by {b}?",
    "By {b} I divide {a}. Which remainder do I get?", "The quotient does not matter. What does {a} leave by {b}?",
    "I divide {a} by {b}. I know the quotient. What is the remainder?",
    "With {b} as the divisor, what is the remainder of {a}?",
    "The dividend is {a}, the divisor {b}. What is the remainder?", "Which number is left when {a} is split by {b}?",
    "mod {b}: what is {a}?", "how much is over when i split {a} by {b}", "What is left of {a} when all {b}s are gone?",
    "If as many {b}s as possible come off {a}, how much stays?",
    "When the {b}s are counted out of {a}, what is still there?", "{b} goes into {a} and leaves what?",
    "the rest, please, of {a} over {b}", "{a} : {b} leaves which rest?", "Say the remainder for {a} with {b}.",
    "How many {t} of {a} do not make a full set of {b}?",
    "{p} wants sets of {b} {t} and has {a}. How many {t} belong to no set?",
    "{a} {t}, and {b} make a pack. How many are loose?",
)  # fmt: skip
DIVISIBLE = (
    "Does {a} divide by {b} with nothing over?", "Is {a} in the row of {b}?", "{a} by {b}, is it exact?",
    "Yes or no, is {b} a divisor of {a}?", "Yes or no, does {a} come out when divided by {b}?",
    "Could I split {a} by {b} and have no rest?", "Does a division of {a} by {b} come out whole?",
    "By {b}, is {a} divisible?", "Into {a}, does {b} go exactly?", "Is the number {b} a divisor of the number {a}?",
    "If {a} is divided by {b}, is the result a whole number?", "Is it right that {a} is a multiple of {b}?",
    "{p} says {b} divides {a}. Is that right?", "May one divide {a} by {b} without a remainder?",
    "Are {a} {t} a whole number of packs of {b}?", "Is {b} contained in {a} exactly?",
    "Does it come out to divide {a} by {b}?", "{a}: a multiple of {b}?", "divisible by {b}? The number is {a}.",
    "a number is {a}. Does {b} divide it?",
)  # fmt: skip
AVERAGE = (
    "{l}, on average?", "I measured {l}. What is the mean?", "My marks: {l}. Average?",
    "Add up {l} and divide by how many they are.", "Between {l}, what is the mean?", "Averaging {l} gives what?",
    "The average, please: {l}", "Which mean do {l} have?", "What would each be if {l} were made equal?",
    "how do i average {l}", "For {l}, what is the average?", "The data are {l}. Give the mean.", "mean value: {l}",
    "I want the average of these: {l}", "If you average {l}, what comes out?", "With {l}, what is the arithmetic mean?",
    "Take {l}. Their average is?", "These are my numbers: {l}. What is their mean?",
)  # fmt: skip
