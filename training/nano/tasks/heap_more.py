"""More sentences about a heap, put at the end of the tables of heap_wordings.py: the one who acts may come last."""

from __future__ import annotations

HAVE = (
    "{n} {t} are what {p} {has}.", "In {his} hands {p} {has} {n} {t}.", "{P} just bought {n} {t}.",
    "To start, {p} {has} {n} {t}.",
    "{P} walk{s} in with {n} {t}.", "{P} took {n} {t} along.",
    "{P} put {n} {t} on the table.", "There were {n} {t} on {his} table, all of them {his} own.",
    "{P} set{s} out with {n} {t}.", "At the start of the week {p} had {n} {t}.", "{P} look{s} after {n} {t}.",
    "By now {p} {has} {n} {t}.", "{P} store{s} {n} {t} at home.",
)  # fmt: skip
GAINS = (
    "{n} more are put with them.", "{n} others join these.", "To these {p} add{s} {n}.", "To them come {n} more.",
    "{X} paid {him} with {n} {t}.", "Somebody gave {him} {n} more.",
    "As thanks {p} (get{s}|got) {n} {t} from {x}.", "As a prize {p} (get{s}|got) {n} more.",
    "{n} come back that {p} had lent to {x}.", "With {n} from {x} it becomes more.", "{P} can put {n} with these.",
    "It grows by {n}.", "Their number goes up by {n}.", "{n} are given back to {him}.", "Another {n} are bought.",
    "Then {x} came with {n} more for {him}.", "Next, {n} {t} are added.",
    "The post brings {n} more.", "{n} of the same kind are found by {him}.", "{P} inherit{s} {n} {t}.",
)  # fmt: skip
LOSSES = (
    "{n} of these are taken out.", "Out of them {n} go to {x}.",
    "{X} was given {n} of them.", "As a present {x} got {n}.", "{n} are paid to {x}.", "It shrinks by {n}.",
    "Their number goes down by {n}.", "{n} are lent to {x}.", "{n} have to be thrown out.",
    "{n} of them can not be found.",
    "{n} are used for a game.", "{n} are no good and go into the bin.", "From them {n} are sold to {x}.",
    "{P} part{s} with {n}.", "{P} must pay {n} of them to {x}.", "Next, {n} {t} are taken off.",
    "{n} of these are left with {x}.", "Of these {t}, {n} go out of the house.", "The dog runs off with {n} of them.",
    "{n} fell into the river.", "{P} take{s} {n} of those away and give{s} them to {x}.",
)  # fmt: skip
LEFT = (
    "To how many {t} does that lead?", "What number {has} {p} at last?",
    "How many {t} come out at the end?", "Counting again, how many {t} are there?",
    "How many {t} {is} {p} holding now?",
    "With all that, how many {t} are there?", "Now, how many {t}?", "How many {t} at the end, please?",
    "Tell me the number of {t} at the end.", "Could you say how many {t} there are now?",
    "What number of {t} does it end with?", "Please work out how many {t} that is now.", "{t} now?",
    "What is the number {p} {has} now?", "What does it come to in {t}?", "How many are there after all this?",
)  # fmt: skip
