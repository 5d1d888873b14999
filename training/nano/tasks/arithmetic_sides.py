"""Sums and differences as places on the number line and as what is said first or last, each way with its twin.

Put at the end of arithmetic.py's tables; `below` and `above` name a number there, and compare two in ordering.py.
"""

from __future__ import annotations

ADD_NOUNS = (
    "the number that lies {b} over {a}", "the number {b} to the right of {a}", "{b} higher than {a}, as a number,",
    "the number {b} past {a}", "what is {b} up from {a}", "the number reached from {a} by going up {b}",
    "a number that is {b} larger than {a}", "{a} plus the number {b}", "the value {b} beyond {a}",
    "{a} made larger by {b}", "the place {b} steps above {a}", "{a} with a further {b}", "{b} over and above {a}",
    "{a} pushed up by {b}",
)  # fmt: skip
ADD = (
    "Which number lies {b} over {a}?", "{b} above {a} lies which number?", "What number is found {b} above {a}?",
    "Name the number that is {b} higher than {a}.", "{b} up from {a}, what number is there?",
    "On the number line, go {b} right of {a}. Where is that?", "If something is {b} above {a}, what is it?",
    "A lift goes from {a} up by {b}. At which number is it?", "{b} over {a} is what number?",
    "What must a number be that is {b} more than {a}?", "I stand at {a} and go {b} up. Which number is it?",
    "With plus {b}, {a} turns into what?", "Make {a} larger by {b}.", "If {a} rises by {b}, it becomes what?",
    "{b} has to be added. I have {a}. What comes out?", "What is {a} if one puts {b} more to it?",
    "Say {a} and go up {b}.", "the sum wanted: {a} with {b}", "{a} and {b} in one sum, please",
    "next to {a} I write plus {b}: result?",
)  # fmt: skip
SUBTRACT_NOUNS = (
    "the number that lies {b} under {a}", "the number {b} to the left of {a}", "{b} lower than {a}, as a number,",
    "the number {b} short of {a}", "what is {b} down from {a}", "the number reached from {a} by going down {b}",
    "a number that is {b} smaller than {a}", "{a} minus the number {b}", "the value {b} beneath {a}",
    "{a} made smaller by {b}", "the place {b} steps below {a}", "{a} with {b} fewer", "{b} short of {a}",
    "{a} pushed down by {b}",
)  # fmt: skip
SUBTRACT = (
    "Which number lies {b} under {a}?", "{b} below {a} lies which number?", "What number is found {b} below {a}?",
    "Name the number that is {b} lower than {a}.", "{b} down from {a}, what number is there?",
    "On the number line, go {b} left of {a}. Where is that?", "If something is {b} below {a}, what is it?",
    "A lift goes from {a} down by {b}. At which number is it?", "{b} under {a} is what number?",
    "What must a number be that is {b} less than {a}?", "I stand at {a} and go {b} down. Which number is it?",
    "With minus {b}, {a} turns into what?", "Make {a} smaller by {b}.", "If {a} sinks by {b}, it becomes what?",
    "{b} has to be subtracted. I have {a}. What comes out?", "What is {a} if one takes {b} off it?",
    "Say {a} and go down {b}.", "the difference wanted: {a} less {b}", "{a} and {b} less, please",
    "next to {a} I write minus {b}: result?", "By {b} I would like to lessen {a}. What does that give?",
    "By {b}, {a} is to be reduced. Result?", "Of {a}, take {b} off and tell me what it is.",
    "{b} short of {a} is which number?", "{a} lacks {b}. What is there of it?", "Minus {b}: what becomes of {a}?",
    "Minus the number {b}, how much is {a}?", "Drop {a} by {b}. Which number do you reach?",
    "Shrink {a} by {b}.", "Cut {b} from {a}. How much is that?",
)  # fmt: skip
DIFFERENCE = (
    "How much lies from {a} to {b}?", "between {a} and {b}, how big is the difference",
    "What is it that {a} and {b} differ by?", "What parts {a} from {b}, as a number?",
    "Tell me by how much {a} and {b} are apart.", "how many apart are {a} and {b}",
    "the number that divides {a} from {b} on the number line, as a distance", "I compare {a} and {b}. Their gap is?",
    "Take the lesser of {a} and {b} from the greater.", "The greater of {a} and {b}, minus the lesser?",
    "How much would the lesser of {a} and {b} have to gain to be as large as the other?",
    "What would make {a} and {b} equal if put onto the lesser one?",
)  # fmt: skip
DIVIDE = (
    "{a} by {b}: the whole number and what is left over", "{a} divided by {b}, both whole number and rest, please",
    "Tell me how often {b} goes into {a} and what is left.", "Divide {a} by {b}; I want the quotient and the rest.",
    "How many times is {b} in {a}, and how much is over?", "{a} / {b}, with what remains",
    "Split {a} by {b}: how much for each, and how much over?", "As quotient with remainder, what is {a} by {b}?",
    "{a} into {b} shares: one share and the rest?", "The whole result of {a} / {b} along with its remainder?",
    "Give {a} divided by {b} in the form quotient remainder rest.", "{a} through {b}, the rest too",
)  # fmt: skip
