"""More ways to ask for units, put at the end of the tables of units.py; the unit that is asked for may come first."""

from __future__ import annotations

WORDINGS = (
    "{b}, please: {n} {a}", "As {b}, {n} {a} is how much?", "to {b}: {n} {a}", "into {b}, please: {n} {a}",
    "How much is it in {b} if it is {n} {a}?", "If I have {n} {a}, how many {b} do I have?",
    "Number of {b} in {n} {a}?", "What number of {b} is the same as {n} {a}?", "How many {b} is the same as {n} {a}?",
    "Counted in {b}, how much are {n} {a}?", "{n} {a} said in {b}", "{n} {a}. And in {b}?",
    "{n} {a}, how much is that in {b}?", "Find the number of {b} in {n} {a}.",
    "I know it is {n} {a}. What is it in {b}?", "give me {b} instead of {n} {a}",
    "Not {n} {a} but {b}, please: how many?", "with {b} as the unit, what is {n} {a}?",
    "Unit wanted: {b}. Given: {n} {a}.", "{n} {a} given, {b} wanted", "from {a} to {b}: {n}", "{a} to {b}: {n}",
    "{n} {a} come to how many {b}?", "To how many {b} do {n} {a} come?", "{n} {a} would be how many {b}?",
    "How many {b} do you get from {n} {a}?", "what's {n} {a} in {b}", "My list says {n} {a}, but I need {b}. How many?",
    "I measured {n} {a}. How many {b} are these?", "One says {n} {a}, another says it in {b}. What does the other say?",
    "{n} {a} expressed as {b}",
)  # fmt: skip
MIXED = (
    "As {a} and {b}: {n} {b}", "Into {a} and {b}, please: {n} {b}",
    "How many whole {a} are in {n} {b}, and how many {b} are left?", "{n} {b}, said in {a} and {b}",
    "{n} {b} are how many whole {a} plus how many {b}?", "with {a} and {b} as units: {n} {b}",
    "I have {n} {b}. How many {a} and {b} do I have?", "{n} {b} should be given as {a} and {b}.",
    "Tell me {n} {b} in {a} and {b}.", "Make {a} and {b} of {n} {b}.",
)  # fmt: skip
SINGLE = (
    "In {b}, what is {n} {a}?", "Number of {b} in {n} {a}?", "{n} {a} comes to how many {b}?", "{n} {a} said in {b}",
    "How many {b} go into {n} {a}?", "{n} {a}. How many {b}?", "Counted in {b}, what is {n} {a}?",
    "{n} {a} makes how many {b}?", "As {b}, how much is {n} {a}?",
)  # fmt: skip
TOGETHER = (
    "Only in {b}: {n} {a} and {m} {c}", "Counted in {b}, how much is {n} {a} and {m} {c}?",
    "{n} {a} and {m} {c}, all of it in {b}", "If it is {n} {a} and {m} {c}, how many {b} is it?",
    "Number of {b} in {n} {a} and {m} {c}?", "{n} {a} and {m} {c}. And in {b} alone?",
    "Make {b} of {n} {a} and {m} {c}.", "As {b}, what is {n} {a} {m} {c}?",
    "{n} {a} with another {m} {c}: how many {b}?",
)  # fmt: skip
