"""Linear equations in one unknown, with whole solutions."""

from __future__ import annotations

from dataclasses import dataclass

from training.nano.tasks.powers import ORDINALS
from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.refusals import refusal
from training.nano.tasks.wording import Draws, in_words

WORDINGS = (
    "Solve {e}.", "(Solve|solve) for {v}: {e}", "Solve {e} for {v}.", "Find {v} if {e}.", "{e}",
    "{e}, {v}(=?|?| = ?)", "What is {v} (if|when|in) {e}?", "(Solve|solve) the equation {e}(.|)",
    "If {e}, (what is {v}|find {v}|how much is {v}|then {v} is)?", "{e} (find|solve for|solve) {v}",
    "(Can|Could) you (please |)solve {e}( for {v}| for me|)?",
    "(Find|Give me|Tell me) (the value of |){v}(:| when| for| if) {e}", "For which {v} is {e}?",
    "{e}. (What is|Find|How much is) {v}?", "(What|Which) (value of |){v} (solves|satisfies|makes) {e}?",
    "(Equation|equation): {e}", "(I need|I want to know) {v}: {e}",
    "(Given|Suppose|Let) {e}. (What is|Find) {v}(?|.)", "Determine {v} from {e}.", "(Help me|help me) solve {e}",
    "(How do I|how to) solve {e}(?|)", "(Work out|Calculate|Compute) {v}: {e}", "(When|If) {e}, {v} equals what?",
    "{e}, (what is|find|solve for|what's) {v}(?|)", "{e} {v}?", "What does {v} equal if {e}?",
    "what value does {v} have in {e}",
    "{e} - what is {v}?", "I need to solve {e}.", "(My homework|The exercise) is {e}. What is {v}?",
    "Please find {v}: {e}",
    "how much is {v} if {e}", "Let {e}. Then {v} = ?", "Tell me {v} if {e}.", "When is {e} true?",
    "For what {v} does {e} hold?",
    "We know that {e}. What is {v}?", "{v} = ? if {e}", "Isolate {v} in {e}.", "Find the unknown: {e}",
    "Find {v} so that {e}.",
    "What must {v} be (so that|if) {e}?", "Solve this: {e}", "(What's|Whats|what's) {v} in {e}(?|)",
    "Get {v} from {e}.",
    "(Rearrange|Resolve|Transform) {e} (for|to get) {v}(.|)", "Work out the unknown {v} in {e}.",
    "Tell me which {v} fits {e}.", "Which number must {v} be in {e}?", "{v} is unknown in {e}. Find it.",
    "{e} has which solution for {v}?", "Make {v} the subject: {e}", "(In|From) {e}, (what is|find) {v}(?|.)",
    "If it is true that {e}, which number is {v}?", "Bring {v} to one side in {e}.",
    "Is there a {v} with {e}? Which?", "the {v} of {e}", "the solution of {e}", "{e}: the unknown?",
    "Please get me {v}: {e}", "Read off {v} from {e}.", "Leave {v} alone on one side: {e}",
    "{e} is true for which {v}?", "{e}. Say what {v} stands for.", "Compute the unknown {v} of {e}",
)  # fmt: skip
PLUS = (
    "What number plus {n} (is|equals|makes|gives) {b}?",
    "I think of a number and add {n}. (I get|The result is|It gives) {b}. (What is the number|Which number is "
    "it|What number do I think of)?",
    "(Which|What) number do I (have to |need to |)add to {n} to get {b}?",
    "{n} plus (what|which number|how much) (is|equals|makes|gives) {b}?", "{n} + ? = {b}", "? + {n} = {b}",
    "What do I add to {n} to (get|make|reach) {b}?",
    "(A|Some) number (increased by|plus) {n} is {b}. (What is it|Find the number|Which one)?",
    "How much must I add to {n} to get {b}?", "___ + {n} = {b}",
    "{n} more than a number is {b}. What is (it|the number)?", "What plus {n} (is|equals|makes) {b}?",
    "what + {n} = {b}",
    "If I add {n} to a number I get {b}. (What is the number|Which number is it)?",
    "{b} is {n} more than (what|which number)?",
    "A number and {n} (make|are|give) {b} together. (What is it|Which number)?",
    "The sum of a number and {n} is {b}. (Find|What is) the number(.|?)",
    "(Adding {n} to|When {n} is added to) a number gives {b}. What is the number?", "{b} is what plus {n}?",
    "{b} = {n} + ?", "{b} = ? + {n}",
    "I add {n} to my number and it is {b}. What is my number?", "(Something|x) plus {n} is {b}. What is (it|x)?",
    "Two numbers add up to {b}. One is {n}. What is the other?", "How many more than {n} is {b}?",
    "{n} and how many make {b}?",
    "Which number must be added to {n} to make {b}?", "what do you add to {n} to make {b}",
    "from {n} to {b}, how much is it?",
    "I put {n} on top of a number and have {b}. Which number was it?",
    "Some number grows by {n} to {b}. What was it?",
    "I had a secret number, added {n}, and says {b}. What is the secret?",
    "A pair of numbers has the sum {b}. If one of them is {n}, find the other.",
    "{b} is the sum of two numbers, and {n} is one. The other?",
    "The sum is {b}, one part is {n}. What is the second part?", "{b} is made of {n} and another number. Which?",
    "{n} and a second number give {b} in sum. What is the second?", "{n} + what = {b}", "{n} + __ = {b}",
    "_ + {n} = {b}", "How much is missing from {n} to {b}?", "{n} needs how much more to be {b}?",
    "Fill the blank: {n} + ___ = {b}", "Which number and {n} come to {b}?",
    "{b} results when {n} is added to which number?", "To what number was {n} added to have {b}?",
)  # fmt: skip
MINUS = (
    "What number minus {n} (is|equals|makes|gives) {b}?",
    "I think of a number and (subtract|take away) {n}. (I get|The result is|It gives) {b}. (What is the "
    "number|Which number is it|What number do I think of)?",
    "? - {n} = {b}", "{n} less than (a|which|what) number is {b}?",
    "From which number (do|must) I (subtract|take) {n} to get {b}?",
    "(A|Some) number (decreased by|minus) {n} is {b}. (What is it|Find the number)?", "___ - {n} = {b}",
    "Which number is {b} after I take away {n}?", "What minus {n} (is|equals|makes) {b}?", "what - {n} = {b}",
    "{b} = ? - {n}",
    "If I (subtract|take) {n} from a number I get {b}. (What is the number|Which number is it)?",
    "{b} is {n} less than (what|which number)?",
    "{n} less than a number is {b}. What is (it|the number)?", "(Something|x) minus {n} is {b}. What is (it|x)?",
    "I take {n} from my number and it is {b}. What is my number?", "A number less {n} is {b}. Find it.",
    "The difference of a number and {n} is {b}. What is the number?",
    "When {n} is subtracted from a number, {b} is left. What is the number?",
    "I make a number smaller by {n} and have {b}. Which number was it?",
    "Some number falls by {n} to {b}. What was it?", "After losing {n} a number is {b}. What was the number?",
    "{n} off a number leaves {b}. Which number?", "what - {n} makes {b}", "_ - {n} = {b}", "__ minus {n} is {b}",
    "Fill the blank: ___ minus {n} = {b}", "{b} is left when {n} is taken from which number?",
    "Which number lies {n} above {b}, so that minus {n} it is {b}?",
    "My number, less {n}, comes to {b}. Which is it?", "From a number {n} was taken; now it is {b}. What was it?",
    "a number without {n} is {b}, find it", "If {n} is cut from a number, {b} stays. Name the number.",
)  # fmt: skip
TIMES = (
    "What number times {n} (is|equals|makes|gives) {b}?",
    "I think of a number and multiply it by {n}. (I get|The result is|It gives) {b}. (What is the number|Which "
    "number is it|What number do I think of)?",
    "{n} times (what|which number) (is|equals|makes|gives) {b}?", "{n} * ? = {b}", "? * {n} = {b}", "{n} x ? = {b}",
    "(A|Some) number (multiplied by|times) {n} is {b}. (What is it|Find the number)?",
    "(By what|With what) do I (have to |)multiply {n} to get {b}?", "___ * {n} = {b}",
    "Which number do I multiply by {n} to get {b}?", "What times {n} (is|equals|makes|gives) {b}?", "what x {n} = {b}",
    "{b} = {n} * ?",
    "If I multiply a number by {n} I get {b}. (What is the number|Which number is it)?",
    "{b} is {n} times (what|which number)?",
    "The product of a number and {n} is {b}. (Find|What is) the number(.|?)",
    "{n} times a number is {b}. What is (it|the number)?",
    "(Something|x) times {n} is {b}. What is (it|x)?", "My number times {n} is {b}. What is my number?",
    "how many times {n} is {b}",
    "{n} of what make {b}?", "{b} = ? * {n}", "Two numbers multiply to {b}. One is {n}. What is the other?",
    "{n} * what = {b}", "{n} * __ = {b}", "_ * {n} = {b}", "{b} = {n} times what?", "{b} = {n} x what",
    "{b} is the product of {n} and which number?", "The product is {b}, one factor is {n}. What is the other factor?",
    "A pair of numbers has the product {b}. If one of them is {n}, find the other.",
    "{n} equal numbers add up to {b}. Which number is it?", "Fill the blank: {n} x ___ = {b}",
    "A number taken {n} times makes {b}. Which?", "What must {n} be multiplied with so that {b} comes out?",
    "{n} times my secret number comes to {b}. What is the secret?", "Which factor turns {n} into {b}?",
    "Blow a number up {n} times and it is {b}. What was it?", "{n} lots of a number are {b}. The number?",
)  # fmt: skip
DOUBLED = (
    "(Twice|Two times) a number plus {n} is {b}. (What is the number|Find it|Which number is it)?",
    "I double a number and add {n}. (I get|The result is) {b}. (What is the number|Which number is it)?",
    "(Double|Twice) a number and {n} more (is|makes) {b}. What is (it|the number)?",
    "I think of a number, double it, add {n} and get {b}. (What is it|What is my number)?",
    "If you double a number and then add {n}, you get {b}. (Which|What) number is it?",
    "(I think of|Think of|I have) a number, double it(,| and) add {n}, (I get|you get|the result is) {b}. "
    "(What's|What is) (my|the) number?",
    "Twice my number plus {n} is {b}. What is my number?",
    "Doubling a number and adding {n} gives {b}. Find the number.",
    "{n} more than twice a number is {b}. What is (it|the number)?",
    "My number doubled plus {n} makes {b}. Which number is it?",
    "I take a number two times, add {n}, and it is {b}. What is the number?",
    "Two of my numbers and {n} more are {b}. What is my number?",
    "Start with a number. Double it. Add {n}. Now it is {b}. Which number was it?",
    "A number is doubled, then raised by {n}; that makes {b}. Name the number.",
    "{b} is {n} more than the double of which number?", "{b} is twice a number plus {n}. Find the number.",
    "The double of a secret number, plus {n}, is {b}. What is the secret?", "2 times what plus {n} is {b}?",
    "Doubled and with {n} added, what number gives {b}?",
)  # fmt: skip
SHARED = (
    "What number divided by {n} (is|equals|makes|gives) {b}?",
    "A number divided by {n} is {b}. (What is it|What is the number|Find the number)?",
    "I think of a number and divide it by {n}. (I get|The result is) {b}. What is the number?", "? / {n} = {b}",
    "___ / {n} = {b}",
    "If I divide a number by {n} I get {b}. (What is the number|Which number is it)?",
    "What divided by {n} (is|makes) {b}?", "{b} = ? / {n}",
    "(Something|x) divided by {n} is {b}. What is (it|x)?",
    "One {o} of a number is {b}. (What is it|What is the number|Find the number)?",
    "A {o} of my number is {b}. What is my number?", "{b} is one {o} of what number?", "Which number over {n} is {b}?",
    "what / {n} = {b}", "_ / {n} = {b}", "__ divided by {n} is {b}", "{b} is what over {n}?",
    "What number has {b} as its {o}?", "{b} is the {o} part of which number?", "{b} is a {o} of which number?",
    "The {o} of which number is {b}?", "What number cut into {n} parts gives parts of {b}?",
    "Fill the blank: ___ / {n} = {b}", "Split {n} ways, a number gives {b}. Which number?",
    "A number over {n} is {b}. Which?", "Divide what by {n} to get {b}?",
    "{b} is what I get when I divide my number by {n}. What is my number?",
    "Which number must be divided by {n} to make {b}?", "a number, divided by {n}, makes {b}, find it",
    "{n} equal parts of a number are {b} each. What is the number?",
    "I cut a number in {n} parts and each part is {b}. Which number?", "A {o} of it is {b}. What is all of it?",
)  # fmt: skip
LINE = (
    "{k} times a number {s} {n} (is|equals|makes|gives) {b}. (What is the number|Find it|Which number is it|What is "
    "it)?",
    "I multiply a number by {k} and {add} {n}. (I get|The result is|It gives) {b}. (What is the number|Which number "
    "is it)?",
    "I think of a number, multiply (it |)by {k}, {add} {n} and get {b}. (What is it|What is my number)?",
    "What number times {k} {s} {n} is {b}?",
    "If you multiply a number by {k} and {add} {n}, you get {b}. What is the number?",
    "{k} times my number {s} {n} is {b}. What is my number?", "my number times {k}, {s} {n}, is {b}. what is it",
    "Take a number times {k}, then {add} {n}: you get {b}. Find the number.",
    "{k} times something {s} {n} equals {b}. What is something?",
    "Some number is multiplied by {k}. Then I {add} {n} and get {b}. What was it?", "{k} x what {s} {n} = {b}?",
    "I pick a number. Times {k} and {s} {n} it is {b}. Which number?",
    "Start with a number. Multiply by {k}. {add} {n}. You have {b}. What was the number?",
    "A number goes times {k}, then {s} {n}, and out comes {b}. Find it.", "{b} is {k} times which number {s} {n}?",
    "{b} = {k} times a number {s} {n}. What is the number?",
    "A secret number by {k}, {s} {n}, makes {b}. Tell me the secret.",
    "If {k} of my numbers {s} {n} make {b}, what is my number?", "{k} * what {s} {n} = {b}", "{k} * __ {s} {n} = {b}",
    "I make a number {k} times as big, {add} {n}, to have {b}. The number?",
)  # fmt: skip
UNKNOWNS = "xxxxxynztakmpw"


@dataclass(frozen=True)
class Equation:
    """Two sides, the steps that solve it, and the solution."""

    left: str
    right: str
    steps: list[str]
    solution: int


def equation(rng: Draws) -> Problem:
    """One of eight shapes, from x+a=b to ax+b=cx+d, solved one transformation a line; or the same in words."""
    v = rng.choice(UNKNOWNS)
    roll = rng.random()
    if roll < 0.3:
        return _in_words(rng)
    if roll < 0.35:
        return _fraction(rng, v)
    made = rng.choice(SHAPES)(rng, v)
    if rng.random() < 0.12:
        made = Equation(made.right, made.left, [f"{made.left}={made.right}", *made.steps], made.solution)
    text = f"{made.left}={made.right}"
    shown = text if rng.random() < 0.3 else f"{_spaced(made.left)} = {_spaced(made.right)}"
    return _equation_problem(rng, made, v, rng.wording(WORDINGS).format(e=shown, v=v))


def _equation_problem(rng: Draws, made: Equation, v: str, question: str) -> Problem:
    text = f"{made.left}={made.right}"
    return Problem(
        "equation",
        text.replace(v, "x"),
        ask(rng, question),
        "\n".join([text, *made.steps]),
        f"{v} = {boxed(made.solution)}",
        str(made.solution),
        accepts=lambda given: given.replace(" ", "").rpartition("=")[2] == str(made.solution),
    )


def _in_words(rng: Draws) -> Problem:
    """A number that somebody thinks of; the trace writes the equation first."""
    x, n = _solution(rng), rng.randrange(1, 100)
    if x < 0 and rng.random() < 0.8:
        x = -x
    kind = rng.randrange(6)
    if kind < 2:
        n = n if kind == 0 else -n
        made = Equation(f"x{_signed(n)}", f"{x + n}", [f"x={x + n}{_signed(-n)}={x}"], x)
        question = rng.wording(PLUS if kind == 0 else MINUS).format(n=abs(n), b=x + n)
    elif kind == 2:
        n = rng.randrange(2, 13)
        made = Equation(f"{n}x", f"{n * x}", [f"x={n * x}/{n}={x}"], x)
        question = rng.wording(TIMES).format(n=n, b=n * x)
    elif kind == 4:
        n = rng.randrange(2, 13)
        made = Equation(f"x/{n}", f"{x}", [f"x={x}*{n}={x * n}"], x * n)
        question = rng.wording(SHARED).format(n=n, b=x, o=ORDINALS[n] if n > 2 else "half")
    elif kind == 5:
        k, n = rng.randrange(2, 10), rng.choice((-1, 1)) * (n % 50 + 1)
        b = k * x + n
        made = Equation(f"{k}x{_signed(n)}", f"{b}", [f"{k}x={b}{_signed(-n)}={b - n}", f"x={b - n}/{k}={x}"], x)
        k_words = rng.choice((str(k), in_words(k)))
        words = ("plus", "add") if n > 0 else ("minus", "subtract")
        question = rng.wording(LINE).format(k=k_words, s=words[0], add=words[1], n=abs(n), b=b)
    else:
        n, b = n % 50 + 1, 2 * x + n % 50 + 1
        made = Equation(f"2x+{n}", f"{b}", [f"2x={b}-{n}={b - n}", f"x={b - n}/2={x}"], x)
        question = rng.wording(DOUBLED).format(n=n, b=b)
    return _equation_problem(rng, made, "x", question)


def _fraction(rng: Draws, v: str) -> Problem:
    """a x = b or a x + n = b whose solution is not whole: refused."""
    a, n = rng.randrange(2, 13), rng.choice((0, _offset(rng, 50)))
    right = rng.choice([b for b in range(-60, 145) if b % a])
    left, steps = f"{a}{v}{_signed(n) if n else ''}", [f"{v}={right}/{a} no"]
    if n:
        steps = [f"{a}{v}={right + n}{_signed(-n)}={right}", *steps]
    text = f"{left}={right + n}"
    shown = text if rng.random() < 0.3 else f"{_spaced(left)} = {right + n}"
    messages = ask(rng, rng.wording(WORDINGS).format(e=shown, v=v))
    return refusal("equation", text.replace(v, "x"), messages, "\n".join([text, *steps]), "solution")


def _spaced(side: str) -> str:
    """Spaces around the operators, but not after a leading sign."""
    return side[0] + side[1:].replace("+", " + ").replace("-", " - ")


def _signed(n: int) -> str:
    return f"+{n}" if n >= 0 else str(n)


def _solution(rng: Draws) -> int:
    return rng.randrange(-12, 31)


def _offset(rng: Draws, limit: int) -> int:
    return rng.choice((-1, 1)) * rng.randrange(1, limit)


def _shift(rng: Draws, v: str) -> Equation:
    """x + n = b."""
    x, n = _solution(rng), _offset(rng, 100)
    return Equation(f"{v}{_signed(n)}", f"{x + n}", [f"{v}={x + n}{_signed(-n)}={x}"], x)


def _from(rng: Draws, v: str) -> Equation:
    """n - x = b."""
    x, n = _solution(rng), rng.randrange(1, 100)
    return Equation(f"{n}-{v}", f"{n - x}", [f"{v}={n}{_signed(x - n)}={x}"], x)


def _scale(rng: Draws, v: str) -> Equation:
    """a x = b."""
    x, a = _solution(rng), rng.randrange(2, 13)
    return Equation(f"{a}{v}", f"{a * x}", [f"{v}={a * x}/{a}={x}"], x)


def _share(rng: Draws, v: str) -> Equation:
    """x / a = b."""
    quotient, a = rng.randrange(-6, 21), rng.randrange(2, 10)
    return Equation(f"{v}/{a}", f"{quotient}", [f"{v}={quotient}*{a}={quotient * a}"], quotient * a)


def _line(rng: Draws, v: str) -> Equation:
    """a x + n = b."""
    x, a, n = _solution(rng), rng.randrange(2, 13), _offset(rng, 50)
    b = a * x + n
    return Equation(f"{a}{v}{_signed(n)}", f"{b}", [f"{a}{v}={b}{_signed(-n)}={b - n}", f"{v}={b - n}/{a}={x}"], x)


def _bracket(rng: Draws, v: str) -> Equation:
    """a (x + n) = b."""
    x, a, n = _solution(rng), rng.randrange(2, 10), _offset(rng, 13)
    inner = x + n
    steps = [f"{v}{_signed(n)}={a * inner}/{a}={inner}", f"{v}={inner}{_signed(-n)}={x}"]
    return Equation(f"{a}({v}{_signed(n)})", f"{a * inner}", steps, x)


def _share_shift(rng: Draws, v: str) -> Equation:
    """x / a + n = b."""
    quotient, a, n = rng.randrange(-6, 21), rng.randrange(2, 10), _offset(rng, 30)
    b = quotient + n
    steps = [f"{v}/{a}={b}{_signed(-n)}={quotient}", f"{v}={quotient}*{a}={quotient * a}"]
    return Equation(f"{v}/{a}{_signed(n)}", f"{b}", steps, quotient * a)


def _both(rng: Draws, v: str) -> Equation:
    """a x + n = c x + d, a > c."""
    x, c = _solution(rng), rng.randrange(2, 9)
    a, n = c + rng.randrange(1, 9), _offset(rng, 40)
    d = (a - c) * x + n
    steps = [
        f"{a}{v}-{c}{v}={d}{_signed(-n)}",
        f"{a - c}{v}={d - n}",
        f"{v}={d - n}/{a - c}={x}",
    ]
    return Equation(f"{a}{v}{_signed(n)}", f"{c}{v}{_signed(d)}", steps, x)


SHAPES = (_shift, _from, _scale, _share, _line, _line, _bracket, _share_shift, _both, _both)
