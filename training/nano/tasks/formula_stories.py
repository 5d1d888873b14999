"""Word problems told from a formula: numbers are drawn until every step comes out, and the steps are the trace."""

from __future__ import annotations

import ast
import re
from typing import Any

from training.nano.tasks.columns import divide_columns, multiply_columns, subtract_columns
from training.nano.tasks.decimals import decimal, pointed
from training.nano.tasks.expressions import small_division, step_text
from training.nano.tasks.heap_wordings import THINGS
from training.nano.tasks.letters import WORDS
from training.nano.tasks.people import HE, NAMES
from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.refusals import refusal
from training.nano.tasks.story_contrasts import CONTRASTS
from training.nano.tasks.story_formulas import LARGE, MEDIUM, ONE_STEP, SMALL, Formula
from training.nano.tasks.story_scenes import MORE_OF_ONE
from training.nano.tasks.story_scenes_more import MORE_OF_MANY
from training.nano.tasks.story_steps import MORE_STEPS, PART_WORDS, PRICE, PRICE_CHANGE, TIMES_WORDS
from training.nano.tasks.story_synonyms import varied, with_aside
from training.nano.tasks.wording import Draws

SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
LARGEST = 9999
FORMULAS = ONE_STEP + MORE_STEPS + MORE_OF_ONE + MORE_OF_MANY + CONTRASTS
HOW_OFTEN = tuple(len(formula.lines) ** 0.6 for formula in FORMULAS)
SIZES = (SMALL, MEDIUM, LARGE, (2, 999))
SOME = ("some", "some", "a few", "several", "many")


class Uneven(ArithmeticError):
    """A division of a story that leaves a remainder."""


def formula_story(rng: Draws) -> Problem:
    """A story of one of FORMULAS."""
    formula = rng.choices(FORMULAS, HOW_OFTEN)[0]
    uneven = "/" in formula.value and not formula.value.endswith("/2") and rng.random() < 0.08
    numbers, steps, answer = drawn(rng, formula, uneven)
    text = with_aside(rng, varied(rng, told(rng, formula, numbers)))
    shown = re.sub("[abc]", lambda name: str(numbers[name[0]]), formula.value)
    if answer is None:
        trace = "\n".join([f"{shown}:", *steps])
        return refusal("story", f"story {shown}", ask(rng, text), trace, "whole")
    reply = f"The answer is {boxed(answer)}{' ' + formula.unit if formula.unit else ''}."
    trace = "\n".join([f"{shown}:", *steps] if len(steps) > 1 else steps or [f"All but {answer}: {answer}"])
    return Problem("story", f"story {shown}", ask(rng, text), trace, reply, str(answer))


def drawn(rng: Draws, formula: Formula, uneven: bool = False) -> tuple[dict[str, int], list[str], int | None]:
    """Numbers, steps and result of a formula; with `uneven` a division that leaves a remainder, and no result.

    At times the numbers are of any size, so that their sizes do not tell what to do with them.
    """
    any_size = formula.any_size and rng.random() < 0.3
    while True:
        numbers = {name: rng.randint(*ends) for name, ends in zip("abc", formula.ranges, strict=False)}
        if any_size:
            numbers |= {name: rng.randint(*rng.choice(SIZES)) for name in numbers if name in formula.value}
        done = worked_formula(formula.value, numbers)
        if done is not None and (done[1] is None) == uneven:
            return numbers, *done


def worked_formula(value: str, numbers: dict[str, int]) -> tuple[list[str], int | None] | None:
    """The steps and the result; no result where a division is not whole; None where a step is negative or too large."""
    steps: list[str] = []

    def of(node: ast.expr) -> int:
        if isinstance(node, ast.Name):
            return numbers[node.id]
        if isinstance(node, ast.Constant):
            return int(str(node.value))
        assert isinstance(node, ast.BinOp)
        left, right, sign = of(node.left), of(node.right), SIGNS[type(node.op)]
        if sign == "/" and left % right:
            steps.append(f"{left}/{right} no")
            raise Uneven
        result = {"+": left + right, "-": left - right, "*": left * right, "/": left // right}[sign]
        if not 0 < result <= LARGEST:
            raise ArithmeticError
        if sign == "/" and not small_division(left, right):
            steps.append(f"{left}/{right}:\n{divide_columns(left, right)}\n{left}/{right}={result}")
        else:
            steps.append(step_text(sign, left, right, result))
        return result

    try:
        result = of(ast.parse(value, mode="eval").body)
    except Uneven:
        return steps, None
    except ArithmeticError:
        return None
    return steps, result


def story_without(rng: Draws) -> str:
    """A story in which words such as `some` stand for a number that its question needs."""
    formula = rng.choice([f for f in FORMULAS if f.value != "b" and all("{b}" in line for line in f.lines)])
    some = {rng.choice(re.findall("[abc]", formula.value)): rng.choice(SOME)}
    text = filled(rng, rng.wording(formula.lines), **{**drawn(rng, formula)[0], **some})
    return text[0].upper() + text[1:]


def long_story(rng: Draws, long: int) -> str:
    """A story of one step with a number that is too long."""
    formula = rng.choice([formula for formula in ONE_STEP if formula.value in ("a-b", "a+b", "a*b", "a/b")])
    return told(rng, formula, {**drawn(rng, formula)[0], "a": long})


def told(rng: Draws, formula: Formula, numbers: dict[str, int]) -> str:
    """One of a formula's lines, filled."""
    b = numbers.get("b", 0)
    part = PART_WORDS.get(b, "")
    return filled(
        rng, rng.wording(formula.lines), **numbers, x=rng.choice(TIMES_WORDS.get(b, ("",))), f=part, F=part.capitalize()
    )


def filled(rng: Draws, line: str, **values: Any) -> str:
    """A line with people and things in it; sentences begin in capitals, and `a` before a vowel is `an`."""
    p, q, r = rng.sample(NAMES, 3)
    t, u = things(rng, 2)
    he, his = ("he", "his") if p in HE else ("she", "her")
    text = line.format(p=p, q=q, r=r, t=t, u=u, o=singular(t), he=he, his=his, **values)
    text = re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)
    return rearranged(rng, re.sub(r"(?<=[.?!] )[a-z]", lambda found: found[0].upper(), text))


SENTENCE = re.compile(r"(?<=[.?!]) +(?=[A-Z\d])")
MAY_BEGIN_LOWER = re.compile(r"(A|An|The|There|My|We|He|She|They|It|Each|Every|One|His|Her|Of|From|Some|Two|Three)\b")
FACT = re.compile(rf"(?:{MAY_BEGIN_LOWER.pattern}|I\b|{'|'.join(NAMES)}|\d)")
ASKED = re.compile(r"(How|What) .*\?$")
ORDERS = (
    "{q} if {f}?", "{q} if {f}?", "if {f}, {q}?", "if {f}, {q}?", "{q} when {f}?", "{q}? {F}.", "{q}? {F}.",
    "given that {f}, {q}?", "suppose {f}. {Q}?", "{F}, so {q}?", "{F}: {q}?", "{F} - {q}?", "let's say {f}. {Q}?",
    "I know that {f}. {Q}?", "say {f}, {q}?", "{F}. Question: {q}?", "{F}. Now {q}?", "please tell me: {q} if {f}?",
    "{F}; {q}?", "{F} and I want to know: {q}?",
)  # fmt: skip
"""Where the question may stand; {f} is what is told, {q} what is asked."""


def rearranged(rng: Draws, text: str, often: float = 0.22) -> str:
    """At times the same story with the question first, or all of it in one sentence."""
    *facts, question = SENTENCE.split(text)
    if not 0 < len(facts) < 3 or rng.random() > often or not ASKED.match(question):
        return text
    if not all(FACT.match(fact) and fact.endswith(".") for fact in facts) or "?" in question[:-1]:
        return text
    told = rng.choice((" and ", ", and ", ", ")).join([facts[0][:-1], *(lowered(fact[:-1]) for fact in facts[1:])])
    asked = question[:-1]
    order = rng.choice(ORDERS)
    text = order.format(f=lowered(told), F=told, q=asked[0].lower() + asked[1:], Q=asked)
    return text[0].upper() + text[1:]


def lowered(sentence: str) -> str:
    """A sentence as it goes on in another: a name keeps its capital."""
    return sentence[0].lower() + sentence[1:] if MAY_BEGIN_LOWER.match(sentence) else sentence


RARE = tuple(f"{word}s" for word in WORDS[:96] if not word.endswith(("y", "s", "ch", "to")))


def things(rng: Draws, count: int) -> list[str]:
    """Different things, in the plural: those of stories, and now and then one that stories seldom tell of."""
    return [rng.choice(RARE) if rng.random() < 0.12 else thing for thing in rng.sample(THINGS, count)]


SINGULARS = (
    ("cookies", "cookie"), ("ies", "y"), ("xes", "x"), ("ches", "ch"), ("toes", "to"), ("sheep", "sheep"), ("s", ""),
)  # fmt: skip


def singular(thing: str) -> str:
    """One of THINGS."""
    for plural, one in SINGULARS:
        if thing.endswith(plural):
            return thing.removesuffix(plural) + one
    raise ValueError(thing)


def price_story(rng: Draws) -> Problem:
    """Prices with cents: several of a kind, or change."""
    thing = "dollars"
    if rng.random() < 0.5:
        cents, n = rng.choice((5 * rng.randrange(1, 200), rng.randrange(101, 2000))), rng.randrange(2, 10)
        total, question = cents * n, filled(rng, rng.wording(PRICE), a=money(rng, cents), n=n)
        work, key = multiply_columns(cents, n), f"price {cents}*{n}"
        first = f"{n} times {pointed(cents, 2)}. In cents: {cents}*{n}"
    else:
        n = rng.choice((5, 10, 20, 20, 50, 100, rng.randrange(5, 99)))
        cents = rng.choice((5 * rng.randrange(1, 20 * n), rng.randrange(1, 100 * n)))
        total, question = 100 * n - cents, filled(rng, rng.wording(PRICE_CHANGE), a=money(rng, cents), n=n)
        work, key = subtract_columns(100 * n, cents), f"price {100 * n}-{cents}"
        first = f"{n} minus {pointed(cents, 2)}. In cents: {100 * n}-{cents}"
    value = decimal(total, 100)
    trace = f"{first}\n{work}\nWith the point: {pointed(total, 2)}, that is {value}"
    return Problem("story", key, ask(rng, question), trace, f"The answer is {boxed(value)} {thing}.", value)


def money(rng: Draws, cents: int) -> str:
    """Cents as dollars: 2.50 or, at times, 2.5."""
    return pointed(cents, 2) if cents % 100 and rng.random() < 0.8 else decimal(cents, 100)
