"""Which way to sort, said in many ways, and the frames that it goes into: {d} is the way, {} the numbers."""

from __future__ import annotations

UP = (
    "in ascending order", "from smallest to largest", "ascending", "in increasing order", "in rising order", "upwards",
    "going up", "rising", "smallest first", "with the smallest first", "from the bottom up", "low to high",
    "small to big", "from least to greatest", "increasing", "starting from the smallest", "so that they grow",
    "the small ones before the big ones", "so that they go up", "smallest to biggest", "climbing",
    "so that the largest is last", "ending with the largest", "each one larger than the one before it",
    "in order of size, the least first", "growing from left to right",
)  # fmt: skip
DOWN = (
    "in descending order", "from largest to smallest", "descending", "in decreasing order", "in falling order",
    "downwards", "going down", "falling", "largest first", "with the largest first", "from the top down", "high to low",
    "big to small", "from greatest to least", "decreasing", "starting from the largest", "so that they shrink",
    "the big ones before the small ones", "so that they go down", "biggest to smallest", "sinking",
    "so that the smallest is last", "ending with the smallest", "each one smaller than the one before it",
    "in order of size, the greatest first", "shrinking from left to right",
)  # fmt: skip
FRAMES = (
    "Sort these {d}: {}", "Arrange {} {d}.", "I want {} {d}.", "{d}, please: {}", "Please put {} {d}.", "list {} {d}",
    "Give me {} {d}.", "{} - {d}", "{}, {d}", "({d}) {}", "Order the numbers {}, {d}.", "Can you rank {} {d}?",
    "{} {d}, please", "These numbers {d}: {}", "My list is {}. I need it {d}.", "Take {} and line them up {d}.",
    "What do {} look like {d}?", "{} must be written {d}.", "Show {} {d}.", "numbers: {}; order: {d}",
    "order: {d}; numbers: {}", "{d}: {}", "Here are some numbers: {}. Arrange them {d}.",
    "Let the numbers {} stand {d}.", "Return {} {d}.", "The numbers are {}. Write them {d}.", "How are {} written {d}?",
    "{d} it should be: {}", "I have {} here and they should stand {d}.", "Could you get {} {d}?",
)  # fmt: skip
LARGER = (
    "Between {a} and {b}, which one is more?", "{a}, {b}: the larger one?", "Give me whichever is larger: {a} or {b}.",
    "One is {a}, one is {b}. Name the larger.", "If I may choose {a} or {b} and want more, what do I take?",
    "Which is the higher number out of {a} and {b}?", "{a} against {b}: who is larger?",
)  # fmt: skip
SMALLER = (
    "Between {a} and {b}, which one is less?", "{a}, {b}: the smaller one?",
    "Give me whichever is smaller: {a} or {b}.", "One is {a}, one is {b}. Name the smaller.",
    "If I may choose {a} or {b} and want less, what do I take?", "Which is the lower number out of {a} and {b}?",
    "{a} against {b}: who is smaller?", "smaller: {a} or {b}?", "Say which one is the least, {a} or {b}.",
)  # fmt: skip
SYMBOL = (
    "{a} or {b}: write <, > or = between them.", "Use <, > or = for {a} and {b}.", "compare: {a}, {b}",
    "Compare these two: {a} and {b}", "{a} compared (with|to) {b}", "Make a comparison of {a} and {b}.",
    "{a} __ {b}: put in the sign", "Tell me how {a} compares to {b}.", "Is it <, > or = between {a} and {b}?",
    "the right sign, please: {a} ... {b}", "Do a comparison: {a} with {b}", "Please compare {a} and {b}.",
    "Less, equal or greater: {a} and {b}?",
)  # fmt: skip
ABOVE = (
    "{a} larger than {b}, is that right?", "I say {a} is (larger|bigger|more) than {b}. Is that so?",
    "Do we have {a} > {b}?",
)  # fmt: skip
BELOW = (
    "{a} smaller than {b}, is that right?", "I say {a} is (smaller|lower|less) than {b}. Is that so?",
    "Do we have {a} < {b}?",
)  # fmt: skip
