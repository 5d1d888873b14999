"""What a task is made of: a problem, its worked answer, and how an answer is judged."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

HELD_OUT_PART = 20
"""One problem in this many is held out: training never sees it, in any wording."""

BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


@dataclass(frozen=True)
class Problem:
    """One question with the reasoning that answers it.

    Attributes:
        task: the generator's name.
        key: the problem without its wording, such as `17+4821`: what the held-out split is made on. A problem has the
            same key in every task that may pose it.
        messages: the conversation up to the question.
        thinking: the trace between `<think>` and `</think>`.
        reply: what the user sees, with the answer in `\\boxed{}`; empty while a tool is being called.
        answer: the right answer, as `check` compares it.
        accepts: judges a boxed answer where more than one is right.
        tools: what the model may call, as in an OpenAI request.
        call: the expression of the calculator call that must come first, or None.
    """

    task: str
    key: str
    messages: list[dict[str, Any]]
    thinking: str
    reply: str
    answer: str
    accepts: Callable[[str], bool] | None = field(default=None, compare=False)
    tools: list[dict[str, Any]] | None = None
    call: str | None = None

    def check(self, text: str) -> bool:
        """Whether an answer is right: the last `\\boxed{}` of what follows the thinking."""
        boxed = BOXED.findall(text.rpartition("</think>")[2])
        if not boxed:
            return False
        if self.accepts is not None:
            return self.accepts(boxed[-1])
        return normal(boxed[-1]) == normal(self.answer)

    @property
    def held_out(self) -> bool:
        """Whether training must not see this problem."""
        return is_held_out(self.key)


def is_held_out(key: str) -> bool:
    """The split: a hash of the problem decides, so that no list is needed."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % HELD_OUT_PART == 0


def normal(answer: str) -> str:
    """An answer without the differences that do not matter: case, spaces, trailing period."""
    return re.sub(r"\s+", " ", answer.replace(",", ", ")).strip().rstrip(".").lower().replace(" ,", ",")


def boxed(answer: object) -> str:
    """`\\boxed{answer}`, R1's way to state a final answer."""
    return f"\\boxed{{{answer}}}"


def sized(rng: random.Random, digits: int) -> int:
    """A whole number of exactly `digits` digits, 0 included among those of one."""
    return rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)


ASKS = (
    "What is {}?", "What's {}?", "what is {}", "whats {}", "Compute {}.", "Calculate {}.", "compute {}", "calculate {}",
    "{}", "{}=", "{} = ?", "{} =", "{}?", "Work out {}.", "Evaluate {}.", "Find {}.", "Solve {}.", "solve {}",
    "How much is {}?", "how much is {}?", "Please compute {}.", "Can you calculate {}?", "Tell me {}.",
    "What does {} equal?", "What is the result of {}?", "I need {}.", "Give me {}.", "Answer this: {}",
)  # fmt: skip
"""Ways to ask for the value of an expression."""

SUFFIXES = (
    " Please reason step by step, and put your final answer within \\boxed{}.",
    " Think step by step.", " Show your work.", " Please.", " Thanks!", " Box the answer.",
)  # fmt: skip


def ask(rng: random.Random, question: str) -> list[dict[str, Any]]:
    """A conversation of one question, with the noise of people's typing and, at times, a system prompt."""
    roll = rng.random()
    if roll < 0.10:
        question = question + rng.choice(SUFFIXES)
    elif roll < 0.16:
        question = question.lower()
    elif roll < 0.20:
        question = question.rstrip(".?")
    elif roll < 0.23:
        question = rng.choice(("Hi! ", "Hello, ", "Hey. ", "Ok, ", "Now: ", "Quick question: ")) + question
    return [*system(rng, 0.05), {"role": "user", "content": question}]


SYSTEM_PROMPTS = (
    "You are a helpful assistant.", "You are a math tutor.", "You are nano, a small reasoning model.",
    "You are a careful calculator.", "Answer the user's questions.",
    "You are a helpful assistant. Put the final answer in \\boxed{}.",
)  # fmt: skip


def system(rng: random.Random, chance: float) -> list[dict[str, Any]]:
    """Now and then, a system prompt."""
    return [{"role": "system", "content": rng.choice(SYSTEM_PROMPTS)}] if rng.random() < chance else []
