"""Countdown: reach a target from three numbers, each used once."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from hopwell.cli.calculator import evaluate
from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.refusals import refusal
from training.nano.tasks.wording import Draws, listed

WORDINGS = (
    "Use {n} to (make|get|reach) {t}.", "Using the numbers {n}, (reach|make|get) {t}.",
    "Countdown: {n}. Target {t}.", "Make {t} (from|with|out of) {n}. Use each number once.",
    "Reach {t} with {n}, using + - * / and each number once.", "The (goal|target) is {t}: use {n}.",
    "Given {n}, (reach|make) (the goal |){t}.", "Combine {n} to (get|make) {t}.",
    "How can you get {t} (from|with) {n}?", "(Numbers|Given): {n}. (Target|Goal): {t}.",
    "(Can|Could) you (make|get|reach) {t} (from|with|using) {n}?", "make {t} using {n}",
    "Find (a way to make|an expression for) {t} (with|from|using) {n}.",
    "I have (the numbers |){n}. How (do|can) I (make|get|reach) {t}?", "Put {n} together to (make|get) {t}.",
    "(The target is|My target is) {t}, (the|my) numbers are {n}.", "With {n}, (make|reach|get) {t}.",
    "Get {t} using (only |){n} and + - * /.", "From {n} make {t}.",
    "(Which|What) expression of {n} (gives|makes|equals) {t}?", "Play countdown: (make |){t} (from|with) {n}.",
    "Write {t} with the numbers {n}( and + - * /|).", "Use each of {n} once to (get|make) {t}.",
    "countdown {n} to {t}", "Reach {t} from {n}.",
)  # fmt: skip


def countdown(rng: Draws) -> Problem:
    """Three numbers up to 20 and a reachable target up to 200; one that cannot be reached is refused."""
    while True:
        numbers = [rng.randrange(1, 21) for _ in range(3)]
        if reachable := _reach(numbers):
            break
    target = rng.choice(sorted(reachable)) if rng.random() < 0.95 else rng.randrange(1, 201)
    steps, answer = search(numbers, target)
    key = " ".join(map(str, sorted(numbers))) + f"|{target}"
    messages = ask(rng, rng.wording(WORDINGS).format(n=listed(rng, numbers), t=target))
    if answer is None:
        return refusal("countdown", key, messages, "\n".join(steps), "unreachable")
    return Problem(
        "countdown",
        key,
        messages,
        "\n".join(steps),
        f"{boxed(answer)} = {target}",
        answer,
        accepts=lambda given: accepts(given, numbers, target),
    )


def search(numbers: Sequence[int], target: int) -> tuple[list[str], str | None]:
    """Leaves out each number in turn, lists what the other two would have to make, and what they do make.

    Returns:
        The trace, and the expression found or None.
    """
    lines = [f"Target {target} from {' '.join(map(str, numbers))}"]
    for out in range(3):
        c = numbers[out]
        a, b = (n for i, n in enumerate(numbers) if i != out)
        needs, made = _needs(target, c), _pairs(a, b)
        lines.append(f"Without {c}: " + ", ".join(step for step, _, _ in needs))
        lines.append(f"{a} and {b}: " + ", ".join(step for step, _, _ in made))
        for _, value, inner in made:
            for _, need, outer in needs:
                if value is not None and value == need:
                    answer = outer.format(f"({inner})")
                    return [*lines, f"Match {value}: {answer}={target}"], answer
        lines.append("No match")
    return lines, None


Step = tuple[str, int | None, str]
"""What is written, the value if whole, and the expression (for a need, with a place for the other two)."""


def _needs(target: int, c: int) -> list[Step]:
    """Values r such that r and c make the target, by a sum, a difference or a product."""
    near: Step
    if target >= c:
        near = (f"{target}-{c}={target - c}", target - c, f"{{}}+{c}")
    else:
        near = (f"{c}-{target}={c - target}", c - target, f"{c}-{{}}")
    needs: list[Step] = [near, (f"{target}+{c}={target + c}", target + c, f"{{}}-{c}")]
    if target % c == 0:
        needs.append((f"{target}/{c}={target // c}", target // c, f"{{}}*{c}"))
    else:
        needs.append((f"{target}/{c} no", None, ""))
    return needs


def _pairs(a: int, b: int) -> list[Step]:
    """What two numbers make: sum, difference, product, and quotient if whole."""
    high, low = max(a, b), min(a, b)
    pairs: list[Step] = [
        (f"{a}+{b}={a + b}", a + b, f"{a}+{b}"),
        (f"{high}-{low}={high - low}", high - low, f"{high}-{low}"),
        (f"{a}*{b}={a * b}", a * b, f"{a}*{b}"),
    ]
    if high % low == 0:
        pairs.append((f"{high}/{low}={high // low}", high // low, f"{high}/{low}"))
    else:
        pairs.append((f"{high}/{low} no", None, ""))
    return pairs


def _reach(numbers: Sequence[int]) -> set[int]:
    """Targets from 1 to 200 that `search` can reach."""
    found: set[int] = set()
    for out in range(3):
        c = numbers[out]
        a, b = (n for i, n in enumerate(numbers) if i != out)
        for _, value, _ in _pairs(a, b):
            if value is not None:
                found |= {t for t in (value + c, abs(value - c), value * c) if 1 <= t <= 200}
    return found


def accepts(given: str, numbers: Sequence[int], target: int) -> bool:
    """Whether an expression makes the target and uses each number exactly once."""
    try:
        tree = ast.parse(given.strip(), mode="eval")
        used = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, int)]
        return sorted(used) == sorted(numbers) and evaluate(given) == target
    except (SyntaxError, ValueError, ZeroDivisionError, TypeError):
        return False
