"""A story that nano knows, but for its question: that asks for what is not told; or but for the number it needs."""

from __future__ import annotations

import re

from training.nano.tasks.formula_stories import FORMULAS, SENTENCE, drawn, told
from training.nano.tasks.near_misses import declined
from training.nano.tasks.problem import Problem
from training.nano.tasks.story_formulas import Formula
from training.nano.tasks.wording import Draws

ASIDE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("year|old|age|young|born|birth|turn", "missing", (
        "How old is (the captain|the mayor|the driver|the owner|the shopkeeper|the judge)?",
        "When was the (owner|driver|teacher) born?", "In which year did (that|this) happen?",
        "What age has the (captain|owner|teacher|guide)?", "How many years ago was (that|this)?",
        "How many years older is the (driver|guide) than the (cook|judge)?", "What year (was|is) it?",
        "How old will the (owner|cook|guide) be in (five|ten) years?", "For how many years has that been so?",
        "From the numbers, how old is the captain?")),
    ("dollar|cost|price|pay|cent|euro|money|\\$|earn|save|sell|sold|buy|bought|bill|spen|fee", "missing", (
        "What does (all of that|one of them|it|such a thing) cost?", "How much (money|change) is left in the end?",
        "How many dollars is (that|all of it) worth?", "What is the price of it all?", "How much is to pay for it?",
        "How much (profit|money) does that bring?", "What is the bill?", "How many euros is one of these?",
        "How much would two of them cost?", "What do they earn with it?", "How expensive is (that|it|one)?",
        "How much change do I get?", "How many (dollars|cents) is the tax?")),
    ("km|mile|meter| m |far|walk|drive|ride|run|ran|speed|trip|way|long|cm", "missing", (
        "How many km (is it to the next town|did they walk for it|away is that)?",
        "How fast (was|is) it, in km per hour?", "How far is it (from home|to the sea|from here)?",
        "How many (steps|meters) is that?", "What is the distance?", "How long is it, in meters?",
        "What is the (area|perimeter) of the place?", "How (wide|deep|tall) is it?", "At what speed was that?",
        "How many cm does one measure?")),
    ("kg|gram|weigh|heav|pound|ton", "missing", (
        "How (heavy is it all|many kg is that|much does all of it weigh)?", "What does one of them weigh?",
        "How many (kg|grams|pounds) (are|is) (that|one)?", "What is the weight of it all?",
        "Is it heavier than ten kg?", "How much lighter is it then?")),
    ("hour|minute|day|week|month|o'clock|time|long|year|Monday|morning|evening|night", "missing", (
        "How (many hours|many minutes|long) did (it|that|all of this) take?", "What time (is|was) it then?",
        "At what time (was it over|did they go home)?", "On which day (was|is) (this|that)?",
        "How many (minutes|seconds|hours) is that for each?", "In which month was it?", "When did it (begin|end)?",
        "How many days until it happens again?", "How much time is left?", "After how many hours was it done?",
        "What was the date?")),
    ("degree|warm|cold|temperature|weather", "missing", (
        "How (warm|cold) was it (that day|outside|in the room)?", "What was the temperature?",
        "How many degrees (was|is) it?", "By how many degrees did it get warmer?")),
    ("^$", "arithmetic", (
        "What (color|shape) (is|was) (the first one|the last one|most of it)?",
        "Who (was the best|came first|told them)?", "What did they talk about?", "Who counted that?",
        "Why (did it go like that|was that|is it so many|not more)?", "Where (was that|is this|did they go)?",
        "(Was|Is) that (fair|nice|wise|a lot|allowed)?", "What is the name of the (teacher|shop|street|youngest)?",
        "(Draw|Write|Tell) the (scene|story) for me.", "What should they do (now|next|tomorrow)?",
        "What happened then?", "Is the (owner|driver|teacher) happy?", "Which (song|game|word) fits?",
        "What is their (phone number|address|house number|room number)?", "How do they feel?", "Who is lying?",
        "What would you do?", "Is there a moral?", "Translate this into (French|German|Polish).", "Who is (he|she)?",
        "(Shorten|Rewrite|Continue|Finish) the story.", "How likely is that?", "Could that be true?",
        "Which of them is the (nicest|oldest|tallest)?", "Make a (picture|table|song) of it.",
        "Why did nobody help?", "What is the (title|point|problem) here?")),
    ("brother|cat|teeth|window|friend|hair|tree|cloud|phone|shoe|people|town|village|dog|leg|door|word", "missing", (
        "How many (brothers|cats|teeth|windows|friends|hairs) does the (judge|owner|driver|mayor) have?",
        "How many (trees|clouds|phones|shoes) were there as well?", "How many people live in the (town|village)?",
        "How many (dogs|cats|clouds) did they see?", "How many (legs|teeth|doors) is that in all?",
        "How many (windows|doors) has the house?", "What is the number of (words|clouds|friends)?",
        "How many (shoes|phones|dogs) are missing?")),
)  # fmt: skip
"""What a story must not speak of, why the questions after it are declined, and these."""
OF_TWO = [
    formula for formula in FORMULAS
    if formula.value in ("a-b", "a+b", "a*b", "a/b") and len(formula.ranges) == 2 and not formula.cents
]  # fmt: skip
AGAIN = re.compile("How (many|much) (does|do|is|are) ")
"""May ask for what the fact that is kept tells."""
RELATIVE = re.compile(r"\b(left|remain|remains|still|now|more|then)\b")


def other_question(rng: Draws) -> Problem:
    """A story with a question about what it does not tell."""
    while True:
        facts = _story(rng, rng.choice(FORMULAS))[:-1]
        text = " ".join(facts)
        fitting = [row for row in ASIDE if not re.search(row[0], text, re.IGNORECASE)]
        if facts and "?" not in text and re.search(r"\d", text) and fitting:
            break
    _, reason, questions = rng.choice(fitting)
    return declined(rng, f"{text} {rng.wording(questions)}", "The story does not tell that.", reason)


def fact_left_out(rng: Draws) -> Problem:
    """A story of two numbers without the sentence that tells one of them."""
    while True:
        formula = rng.choice(OF_TWO)
        line = rng.wording(formula.lines)
        *facts, asked = SENTENCE.split(line)
        if not asked.endswith("?") or "{a}" in asked or "{b}" in asked or len(facts) < 2:
            continue
        adds = formula.value in ("a-b", "a+b")
        gone, other = ("a", "b") if adds else rng.sample("ab", 2)
        kept = [fact for fact in facts if f"{{{gone}}}" not in fact]
        text = " ".join([*kept, asked])
        same = AGAIN.match(asked) or ("{t}" in asked and "{t}" in " ".join(kept))
        needed = RELATIVE.search(asked) if adds else not same
        leans = not kept or kept[0].startswith(("{he}", "It ", "They ")) or re.search(r"\{[xfF]\}", line)
        if needed and f"{{{other}}}" in text and not leans:
            break
    return declined(
        rng, told(rng, _capital(text), drawn(rng, formula)[0]), "A number that is needed is not given.", "missing"
    )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _story(rng: Draws, formula: Formula) -> list[str]:
    """The sentences of a story; one of cents has no whole numbers and is left out."""
    if formula.cents:
        return []
    text = told(rng, rng.wording(formula.lines), drawn(rng, formula)[0])
    return SENTENCE.split(_capital(text))
