"""Slips of the finger: words with letters swapped, doubled, missing or from the next key, as people type them.

A slip never touches a number, a variable, a name, a unit's symbol or a word that alone decides what is asked, and never
makes another word that matters.
"""

from __future__ import annotations

import random
import re

WORD = re.compile(r"(?<![\w'’\"{\\.@-])[A-Za-z][a-z]{2,}(?![\w'’\"}(\[-]|\.\d)")
OPENERS = frozenset((
    "What", "How", "Which", "Calculate", "Compute", "Please", "Solve", "Divide", "Multiply", "Add", "Subtract", "Find",
    "Can", "Could", "Give", "Tell", "Evaluate", "Work", "Determine", "Figure", "Convert", "Round", "Sort", "Compare",
    "Take", "Write", "Show", "Say", "Answer", "The", "There", "When", "Where", "Today", "Make", "Use", "Count", "Put",
    "Split", "Share", "Order", "Who", "Why", "Explain", "Reduce", "Increase", "Would", "You", "Each", "Every", "Name",
))  # fmt: skip
"""Words that slip with their capital; others in capitals are names, months and weekdays."""
KEPT = frozenset((
    "plus", "minus", "times", "less", "more", "than", "over", "under", "half", "twice", "thrice", "double", "triple",
    "third", "thirds", "quarter", "quarters", "dozen", "odd", "even", "div", "mod", "modulo", "pow", "sqrt", "cbrt",
    "max", "min", "floor", "yes", "not", "per", "all", "none", "one", "two", "three", "four", "five", "six", "seven",
    "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred", "thousand",
    "zero", "fourth", "fourths", "fifth", "fifths", "sixth", "sixths", "seventh", "sevenths", "eighth", "eighths",
    "ninth", "ninths", "tenth", "tenths", "eleventh", "twelfth", "twentieth", "hundredth", "halves", "score", "lbs",
    "yds", "sec", "secs", "mins", "hrs", "mph", "pcs", "gal", "qts", "usd", "ago", "some", "few", "for",
    "but", "off", "out", "from", "with", "into", "left", "now", "who", "jan", "feb", "mar", "apr", "jun", "jul", "aug",
    "sep", "sept", "oct", "nov", "dec", "asap", "gcd", "lcm", "sin", "cos", "tan", "log",
))  # fmt: skip
"""Words that do not slip: numbers, signs in words, symbols, and short words that decide what is asked."""
MEANT = KEPT | set(
    re.findall(
        r"\w+",
        """
        add sum mean mode square squares cube root roots sort short have halve divide divided dividend divides divisor
        factor integer equal large late long lose lost loose loss list last least form first live life buys bus cost
        coat east eat hand had has her here hold hole kid kind let leg lie lies line like light many man men march may
        match mine mind note number old order own owe paid part party play pay point pole price prime product read ready
        red rise ride rose rice raise save seat set sell sent send shift shirt show snow side size sold song soon spell
        state stage start star stick stock tea team tent then them they thing think tip trip total town took too tree
        truck use wait want wall walk was way week weak went were where while whole why win won word world work wide
        wire write wrote year your you young know how day days date data hour our age ages even met meat meet
        """,
    )
)
"""Words that a slip must not make of another."""
KEYS = {
    key: (x + shift, y)
    for y, (row, shift) in enumerate((("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75)))
    for x, key in enumerate(row)
}
NEIGHBOURS = {
    key: "".join(k for k, (u, v) in KEYS.items() if k != key and abs(u - x) <= 1 and abs(v - y) <= 1)
    for key, (x, y) in KEYS.items()
}
"""The keys beside, above and below a key."""


def slip(rng: random.Random, word: str) -> str:
    """A word with one slip; short words have letters swapped or doubled only. The same word if none will do."""
    for _ in range(6):
        typed = _one(rng, word)
        if typed != word and typed.lower() not in MEANT:
            return typed
    return word


def _one(rng: random.Random, word: str) -> str:
    size = len(word)
    kind = rng.choice(("swap", "swap", "double") if size < 4 else ("swap", "swap", "double", "miss", "miss", "near"))
    if kind == "swap":
        i = rng.randrange(0 if word.islower() and rng.random() < 0.2 else 1, size - 1)
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    i = rng.randrange(1, size)
    if kind == "double":
        return word[:i] + word[i] + word[i:]
    return word[:i] + ("" if kind == "miss" else rng.choice(NEIGHBOURS[word[i]])) + word[i + 1 :]


def may_slip(word: str) -> bool:
    """Whether a word may be mistyped."""
    return word.lower() not in KEPT and (word.islower() or word in OPENERS)


def mistyped(rng: random.Random, question: str) -> str:
    """One to three words with a slip each, the first words and the verbs more often; numbers and signs stay."""
    words = [found for found in WORD.finditer(question) if may_slip(found[0])]
    if not words:
        return question
    count = min(len(words), rng.choices((1, 2, 3), (6, 3, 1))[0])
    picked: set[int] = set()
    while len(picked) < count:
        early = rng.random() < 0.4
        picked.add(rng.randrange(min(len(words), 3) if early and len(picked) < 3 else len(words)))
        if len(picked) >= len(words):
            break
    for found in sorted((words[i] for i in picked), key=lambda found: -found.start()):
        question = question[: found.start()] + slip(rng, found[0]) + question[found.end() :]
    return question
