"""How people word a question: tables of wordings, some of which training never sees, and the noise of typing."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from functools import cache

from training.nano.tasks.slots import SLOT, SLOTS

UNSEEN_PART = 5
"""One wording in this many is held out of training, whole, with all its alternatives."""
PLAIN = 3
"""So many wordings at the head of a table are the plain ones, which training always sees."""

ALTERNATIVES = re.compile(r"\(([^()|]*(?:\|[^()|]*)+)\)")


def is_unseen(wording: str) -> bool:
    """The split of wordings: a hash of the line as it stands in its table decides."""
    return int.from_bytes(hashlib.sha256(f"wording {wording}".encode()).digest()[:4], "big") % UNSEEN_PART == 0


@cache
def split(table: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A table's known and unseen wordings."""
    unseen = tuple(line for line in table[PLAIN:] if is_unseen(line))
    return tuple(line for line in table if line not in unseen), unseen


class Draws(random.Random):
    """Chance, and the side of the split of wordings that it draws from.

    Attributes:
        unseen: wordings are those that training never sees, wherever a table has some.
        news: unseen wordings drawn so far.
    """

    unseen = False
    news = 0

    def wording(self, table: tuple[str, ...]) -> str:
        """One of a table's wordings, with one of each of its alternatives `(a|b)`."""
        known, unseen = split(table)
        if self.unseen and unseen:
            self.news += 1
            return self.resolved(self.choice(unseen))
        return self.resolved(self.choice(known))

    def resolved(self, text: str) -> str:
        """One alternative of each `(a|b)`, innermost first, and one of the SLOTS for each `@name`."""
        if "@" in text:
            drawn: dict[str, str] = {}
            text = SLOT.sub(lambda found: self._slot(found[1], drawn), text)
        while "|" in text:
            text, count = ALTERNATIVES.subn(lambda found: self.choice(found[1].split("|")), text)
            assert count, text
        return text

    def _slot(self, name: str, drawn: dict[str, str]) -> str:
        """One of the words of a slot: the same at all of its places in a text."""
        word = drawn.get(name.lower()) or self.choice(SLOTS[name.lower()])
        drawn[name.lower()] = word
        return word if name.islower() else word[0].upper() + word[1:]


def unseen_draws(seed: str) -> Draws:
    """Chance that draws unseen wordings."""
    rng = Draws(seed)
    rng.unseen = True
    return rng


ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
        "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")  # fmt: skip
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(n: int, join: str = "-", link: str = " ") -> str:
    """A number from 0 to 9,999 in words, with `link` after hundreds and thousands, such as " and "."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (join + ONES[n % 10] if n % 10 else "")
    size, name = (1000, "thousand") if n >= 1000 else (100, "hundred")
    rest = n % size
    after = "" if not rest else (link if rest < 100 else " ") + in_words(rest, join, link)
    return f"{ONES[n // size]} {name}{after}"


NOT_IN_WORDS = re.compile(r"[=^*/+:\[\]()√÷×·<>-]|\d\.\d|,\d|\d{5}|\b0\d|\d[a-zA-Z²³]|[$€½¼¾]|\d \d|% ?\d|%\w")
MONTH = re.compile(r"January|February|March|April|May|June|July|August|September|October|November|December")


def spoken(rng: random.Random, question: str) -> str:
    """Numbers in words, all of them or some; a question with signs, dates or longer numbers stays as it is."""
    if NOT_IN_WORDS.search(question) or MONTH.search(question):
        return question
    share, join, link = rng.choice((1.0, 1.0, 0.5)), rng.choice("-- "), rng.choice((" ", " and "))
    question = re.sub(
        r"\d+", lambda n: in_words(int(n[0]), join, link) if rng.random() < share else n[0], question.replace("%", " %")
    )
    question = re.sub(r"(?<=[a-z]) +% ?", " percent ", question)
    return re.sub(r" +(?=%)|(?<=[a-z]) +(?=[?.,]|$)", "", question)


LONG = re.compile(r"(?<![\d.,\w-])\d{4,9}(?![\d\w]|[.,]\d|-\d\d-)")


def grouped(question: str) -> str:
    """Commas in numbers of four digits or more, where no other comma and no date stands."""
    if "," in question or MONTH.search(question) or ";" in question:
        return question
    return LONG.sub(lambda n: n[0] if n[0].startswith("0") else f"{int(n[0]):,}", question)


UNITS = (("dollars", "${}"), ("dollars", "${}"), ("euros", "€{}"), ("dollars", "{} bucks"), ("dollars", "{} USD"),
         ("km per hour", "{} km/h"), ("years old", "{}"), ("euros", "{} €"))  # fmt: skip


def abbreviated(rng: random.Random, question: str) -> str:
    """One unit as a symbol or a shorter word, at all of its places."""
    unit, short = rng.choice(UNITS)
    return re.sub(rf"(\d+(?:\.\d+)?) {unit}\b", lambda found: short.format(found[1]), question)


def mistyped(rng: random.Random, question: str) -> str:
    """One word of four lower-case letters or more with two letters swapped, one left out, or one doubled."""
    words = [found for found in re.finditer(r"(?<![\w'\"{\\])[a-z]{4,}(?![\w'\"}])", question)]
    if not words:
        return question
    word = rng.choice(words)
    i, text = rng.randrange(1, len(word[0]) - 1), word[0]
    typed = rng.choice((text[:i] + text[i + 1] + text[i] + text[i + 2 :], text[:i] + text[i + 1 :],
                        text[:i] + text[i] + text[i:]))  # fmt: skip
    return question[: word.start()] + typed + question[word.end() :]


GREETINGS = (
    "", "", "", "(hi|hello|hey|Hi|Hello|Hey)(!|,|.| there,| there!|) ", "(Good|good) (morning|evening|day)(!|,|.) ",
    "(Thanks|thanks|Thank you|thx|Great|Cool|ok|Ok|Nice|Perfect)(!|,|.| so much!| for that.) ",
    "(Hey|Hi|Dear) nano(,|!) ",
    "(Sorry|Excuse me|Please|Pardon)(,|) ",
)  # fmt: skip
LEADS = (
    "", "", "(quick|Quick|simple|easy|small|next|Next|another|one more) question: ",
    "(can|could) you help me(?| with this?| please?) ",
    "I('m| am) (stuck|not sure)(.|:) ", "(I need|i need) (some |)help(:|.| with this:) ",
    "my (kid|teacher|son|friend|boss) asks: ",
    "for my homework: ", "I (have|got) a question(.|:) ", "Here is (a|my) (question|problem|one)(:|.) ",
    "Just checking: ",
    "(Let's|Let us) try (this|another)(:|.) ", "(Tell|tell) me(:|,) ", "I (was|am) wondering(:|,) ", "Riddle: ",
    "Problem: ", "Exercise: ",
    "(Math|math|Maths) (question|problem|homework)(:|.) ", "Do you know this(?|:) ", "(I forgot|I do not know)(:|.) ",
    "(And|and|so|So|now|Now)(,|) ",
    "Q: ", "(please answer|answer)(:|) ", "(What about|How about) this(:|?|.) ",
    "(Wait|Hmm|hm|well|Well|um|uh|right|yo)(,|) ", "(a|A) (new|second) one: ",
)  # fmt: skip
"""What people say before a question, a greeting and a lead-in."""
BEFORE = ("Hi! ", "Hello, ", "Hey. ", "Ok, ", "Now: ", "Quick question: ", "hey, ", "Hi nano, ", "So, ", "well ",
          "Question: ", "my question is: ", "Excuse me, ", "One more: ", "um ")  # fmt: skip
AFTER = (
    " Please reason step by step, and put your final answer within \\boxed{}.",
    " Please reason step by step, and put your final answer within \\boxed{}.", " Think step by step.",
    " Show your work.", " Please.", " Thanks!", " Box the answer.", " please", " pls", " thanks", " Thank you.",
    " thx", " Explain.", " I need it for school.", " Be careful.",
    " Thanks in advance!", " thank you so much", " Can you help?", " I don't know.", " Just the answer please.",
    " Only the number.",
    " Quick please.", " I am in a hurry.", " :)", " Answer briefly.", " Just the result.", " asap", " Anyone?",
    " I forgot how to do it.",
)  # fmt: skip


def framed(rng: Draws, question: str) -> str:
    """A question after a greeting and a lead-in; at times it goes on in lower case."""
    before = rng.resolved(rng.choice(GREETINGS) + rng.choice(LEADS))
    inside = question[0].lower() + question[1:] if before and rng.random() < 0.4 and question[:2] != "I " else question
    return before + inside


def typed(rng: Draws, question: str, exact: bool = False) -> str:
    """A question as somebody types it: greetings, thanks, case, punctuation, numbers in words, slips of the finger.

    Args:
        exact: the letters of the question matter, so that none may be mistyped.
    """
    if rng.random() < 0.12 and not exact:
        question = abbreviated(rng, question)
    if rng.random() < 0.08 and not exact:
        question = spoken(rng, question)
    elif rng.random() < 0.08 and not exact:
        question = grouped(question)
    if rng.random() < 0.08:
        question = framed(rng, question)
    if rng.random() < 0.06 and not exact:
        question = mistyped(rng, question)
    roll = rng.random()
    if roll < 0.10:
        question += rng.choice(AFTER)
    elif roll < 0.22:
        question = question.lower()
    elif roll < 0.29:
        question = question.rstrip(".?!")
    elif roll < 0.33:
        question = question.lower().rstrip(".?!").replace(",", "") if "," not in question else question.lower()
    elif roll < 0.37:
        question = rng.choice(BEFORE) + question
    elif roll < 0.38 and not exact:
        question = question.upper()
    elif roll < 0.40:
        question = question.replace("?", " ?") + rng.choice(("", "!", "??"))
    return question


def listed(rng: random.Random, items: Sequence[object]) -> str:
    """Numbers in a row, as people separate them."""
    words = [str(item) for item in items]
    roll = rng.random()
    if roll < 0.45:
        return ", ".join(words)
    if roll < 0.75:
        return ", ".join(words[:-1]) + rng.choice((" and ", " and ", ", and ")) + words[-1]
    return rng.choice((" ", " ", ",", "; ")).join(words)
