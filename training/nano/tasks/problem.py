"""What a task is made of: a problem, its worked answer, and how an answer is judged."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from training.nano.tasks.wording import Draws, typed

HELD_OUT_PART = 20
"""One problem in this many is held out: training never sees it, in any wording."""

BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
NUMBER = re.compile(r"\d")
REFUSE = "refuse"
"""The answer of a problem that nano cannot solve: a reply without any number."""


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
        answer: the right answer, as `check` compares it, or REFUSE.
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
        """Whether an answer is right: the last `\\boxed{}` of what follows the thinking; no number in a refusal."""
        reply = text.rpartition("</think>")[2]
        boxed = BOXED.findall(reply)
        if self.answer == REFUSE:
            return bool(reply.strip()) and not boxed and not NUMBER.search(reply)
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
    "(What is|What's|what is|whats|What is|Whats) {}(?||.|?)", "(Compute|Calculate|compute|calculate) {}(.|)",
    "{}(|=|?| =| = ?)", "(Work out|Evaluate|Find|Solve|solve|work out) {}(.||:)",
    "(How much is|how much is|How much does) {}(?|)",
    "(Please|please) (compute|calculate|work out|do|solve) {}(.|)",
    "(Can|Could) you (please |)(calculate|work out|compute|do) {}(?| for me?)", "Tell me (|what) {}( is|).",
    "What does {} (equal|make|give|come to)?", "What is the (result|value|answer) of {}?",
    "I need (|to know |the result of |the answer to ){}.", "Give me (|the value of |the answer to ){}.",
    "Answer this: {}", "(What|what) do you get (for|from|when you do|if you do) {}?",
    "(hey|Hey) (can|could) you (do|compute|figure out) {}(?|)",
    "{} (is what|equals what|equals|makes|is|gives)(?|)",
    "(I have to|I need to|I want to) (calculate|solve|know) {}(.|)", "Let me know what {} is.",
    "Do you know (what |){}( is|)?", "Figure out {}.", "(Help me with|help with|I need help with) {}(.|)",
    "(My homework|The exercise|The task) (is|says)(:|) {}(.|)", "{}, (please|thanks|quickly|what is it?|how much?)",
    "(And|So) what is {}?", "What would {} be?", "Say what {} is.", "Determine {}.", "Simplify {}.",
    "(Quick|Quickly): {}", "(How|how) do I (calculate|solve|do|work out) {}?", "What (number|value) is {}?",
    "Could you tell me (what |){}( is|)?",
    "{}. (What is it|How much is it|What is the result|What does that make)?", "Next: {}", "Try {}.",
    "Do this one: {}", "(What is|What's) the answer to {}?", "Please give (me |)(the result of|the value of|) {}.",
    "I wonder what {} is.", "(Find|Get|Give) the (result|value|answer): {}", "(Do|do) {} (for me|please|now)(.|)",
    "What comes out of {}?", "{} comes to what?", "Solve this for me: {}", "(My|The) (calculation|problem|task): {}",
    "(Result|Value|Answer) of {}?", "I'd like (to have |to know |){}.",
    "(Show|Write|Type|Print) (the result of |){}.", "How (do|would) you work out {}?", "Any idea what {} is?",
    "If you had {}, how much (would it be|is it)?", "(compute|evaluate|calculate|find): {}",
    "What (should|must|do) I write for {}?", "{} - what do I put?",
    "(Let's|Let us|We must|We need to|I must) (find|get|work out) {}.", "Can we get {}?", "Quickly tell me {}.",
    "(On|For|In) (my|the) test: {}", "Please, what's {}?", "{} gives me what?", "In numbers, what is {}?",
    "What results from {}?", "(I ask|My question is|I want to ask) (what|how much) {} is.",
    "(He|She|My son|The teacher) (wants|asks for) {}.", "{}, what is (that|the answer|the result)?",
    "Which result does {} have?", "(Have you got|Do you have) {}?",
    "I am looking for {}.",
)  # fmt: skip
"""Ways to ask for the value of an expression."""


def ask(rng: Draws, question: str, exact: bool = False) -> list[dict[str, Any]]:
    """A conversation of one question, typed as people type, with a system prompt at times."""
    return [*system(rng, 0.05), {"role": "user", "content": typed(rng, question, exact)}]


SYSTEM_PROMPTS = (
    "You are a helpful assistant.", "You are a math tutor.", "You are nano, a small reasoning model.",
    "You are a careful calculator.", "Answer the user's questions.",
    "You are a helpful assistant. Put the final answer in \\boxed{}.",
)  # fmt: skip


def system(rng: Draws, chance: float) -> list[dict[str, Any]]:
    """Now and then, a system prompt."""
    return [{"role": "system", "content": rng.choice(SYSTEM_PROMPTS)}] if rng.random() < chance else []
