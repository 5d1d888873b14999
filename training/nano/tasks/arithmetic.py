"""The four operations on whole numbers of up to four digits."""

from __future__ import annotations

from dataclasses import dataclass

from training.nano.tasks.columns import add_columns, divide_columns, multiply_columns, subtract_columns
from training.nano.tasks.problem import ASKS, Problem, ask, boxed, sized
from training.nano.tasks.wording import Draws


@dataclass(frozen=True)
class Operation:
    """How an operation is written and said.

    Attributes:
        signs: notation, each with how often; no wording, so never held out.
        nouns: what stands in a question for a value.
        sentences: whole questions.
    """

    signs: tuple[tuple[str, int], ...]
    nouns: tuple[str, ...]
    sentences: tuple[str, ...]


ADD = Operation(
    (("{a}+{b}", 6), ("{a} + {b}", 6), ("{a} plus {b}", 5), ("{a} +{b}", 1), ("{a} and {b} added", 1), ("{a} Plus {b}",
        1)),
    (
        "the sum of {a} and {b}", "{a} and {b} added( together|)", "the total of {a} and {b}",
        "{a} and {b} (together|in total|combined)", "{a} added to {b}", "{a} increased by {b}", "{b} more than {a}",
        "the (number|value) {b} (above|larger than) {a}", "{a} and {b}( in sum|, added|)", "{a} with {b} on top",
        "{a} (added|summed) with {b}",
    ),
    (
        "(Add|Sum) {a} and {b}(.| for me.| please.)", "Add {a} to {b}.",
        "What (do|will) you get (when|if) you add {a} and {b}?",
        "How much (are|is|make|do) {a} and {b} (together|make|in total|altogether)?",
        "If I add {b} to {a}, what (is the result|do I get|is it)?",
        "(Can|Could) you (please |)add {a} and {b}( for me|)?", "Put {a} and {b} together.",
        "{a} and {b}: what is (their|the) sum?",
        "(I have|Take|Start with) {a} and add {b}. (What is it|How much is that|What do I get)?",
        "add up {a} and {b}", "Increase {a} by {b}.", "Find the (sum|total) of {a} and {b}.",
        "(Numbers|Two numbers): {a} and {b}. (Their sum|The sum|Add them)(?|)", "What is {a} with {b} added?",
        "(What|Which) number is {b} more than {a}?", "How much is {b} on top of {a}?",
        "What do {a} and {b} make (combined|if combined|when combined)?", "Combine {a} and {b} into one sum.",
        "What is {b} more than {a}, (please|in numbers)?", "What's the total if I (have|take) {a} and (get|add) {b}?",
        "add {a} {b}",
        "How many are {a} and {b}?", "(Join|Total up|Tally) {a} and {b}.",
        "If you have {a} and get {b} more, how (many|much) is it?", "{a} and {b} more(?|)",
    ),
)  # fmt: skip
SUBTRACT = Operation(
    (("{a}-{b}", 6), ("{a} - {b}", 6), ("{a} minus {b}", 5)),
    (
        "the difference {a} - {b}", "{a} take away {b}", "{b} subtracted from {a}", "{b} less than {a}",
        "{a} less {b}", "{a} decreased by {b}", "{a} reduced by {b}", "{b} taken (away |)from {a}",
        "{a} without {b}", "{a} with {b} off", "{a} down {b}",
    ),
    (
        "Subtract {b} from {a}(.| please.)", "Take {b} (away |)from {a}.",
        "What (is left|remains) (if|when) you take {b} (away |)from {a}?",
        "If I subtract {b} from {a}, what (is the result|do I get|is it)?",
        "(Can|Could) you (please |)subtract {b} from {a}( for me|)?",
        "What do you get (when|if) you (take|subtract) {b} from {a}?", "Decrease {a} by {b}.",
        "(I have|Start with|Take) {a} and (take away|subtract) {b}. (What is it|How much is (left|that)|What do "
        "I get)?",
        "What is {a} with {b} taken away?", "Reduce {a} by {b}.",
        "(What is|How much is) left of {a} (after|if) (I take|you take|taking) {b}(| away)?",
        "If I have {a} and lose {b}, what is left?",
        "Remove {b} from {a}.", "Deduct {b} from {a}.", "take {b} off {a}", "{b} from {a} (leaves|is) what?",
        "There are {a} points and {b} are taken off. What is left?", "Lower {a} by {b}.",
        "What does {a} make when {b} is taken off?", "By {b} I want to reduce {a}. What do I get?",
        "Which number is {b} below {a}?", "Take {b} off the number {a}.", "Minus {b}, what is {a}?",
        "If {b} goes away from {a}, what stays?", "From {a} you count {b} down. Where are you?",
        "Start at {a}, go down {b}.", "I want {b} taken from {a}.", "How much is {a} once {b} is gone?",
    ),
)  # fmt: skip
MULTIPLY = Operation(
    (("{a}*{b}", 6), ("{a} * {b}", 6), ("{a} times {b}", 5), ("{a} x {b}", 3), ("{a} × {b}", 3), ("{a}x{b}", 1),
     ("{a}×{b}", 1), ("{a}·{b}", 1), ("{a} · {b}", 1), ("{a} X {b}", 1)),
    (
        "the product of {a} and {b}", "{a} multiplied by {b}", "{a} multiplied with {b}",
        "{a} and {b} multiplied( together|)", "{a} (taken|repeated) {b} times",
    ),
    (
        "Multiply {a} (by|with|and) {b}(.| please.)",
        "What (do|will) you get (when|if) you multiply {a} (by|and|with) {b}?",
        "If I multiply {a} by {b}, what (is the result|do I get|is it)?",
        "(Can|Could) you (please |)multiply {a} (by|and) {b}( for me|)?", "Find the product of {a} and {b}.",
        "{a} and {b}: what is (their|the) product?", "multiply {a} and {b} together", "Take {a} times {b}.",
        "(I have|Start with|Take) {a} and multiply (it |)by {b}. (What is it|How much is that|What do I get)?",
        "How much (is|are) {a} times {b}?", "What is {a} by {b}, multiplied?", "How many are {a} groups of {b}?",
        "What do you get for {a} lots of {b}?", "{a} times {b} makes what?", "Compute {a} multiplied with {b}.",
        "do {a} times {b}", "If I have {a} {b} times, how much is it?",
    ),
)  # fmt: skip
DIVIDE = Operation(
    (("{a}/{b}", 6), ("{a} / {b}", 6), ("{a} divided by {b}", 5), ("{a} ÷ {b}", 3), ("{a}÷{b}", 1), 
     ("{a} over {b}", 1), ("{a} : {b}", 1)),
    (
        "the quotient of {a} and {b}", "{a} split (into|by) {b}", "{a} (shared|divided) by {b}",
        "{a} split into {b} equal parts", "the result of dividing {a} by {b}", "{a} divided into {b}",
        "{a} divided up by {b}", "the ratio {a} by {b} in whole numbers", "{a} cut into {b} equal parts",
        "{a} distributed over {b}", "the division of {a} by {b}",
        "the division {a} / {b}", "{a} shared out among {b}", "{a} parted by {b}", "{a} div {b} with its remainder",
        "the quotient {a} : {b}", "{a} broken into {b} equal parts", "the whole quotient of {a} by {b}",
        "{a} in {b} equal shares", "the quotient when {a} is divided by {b}", "{a} divided evenly by {b}",
        "the answer to {a} divided by {b}", "the value of {a} divided by {b}", "{a} by {b}, divided,",
        "{a} divided equally among {b}", "one part of {a} split {b} ways",
        "the whole-number quotient of {a} and {b}", "what {a} divided by {b} makes",
        "the solution of {a} divided by {b}", "a {b}th part of {a}, by division,", "{a} when divided by {b}",
        "{a} after division by {b}", "the outcome of {a} / {b}", "{a} chopped into {b} like parts",
        "the share of each if {a} is divided by {b}", "the number of {b}s in {a}",
    ),
    (
        "Divide {a} by {b}(.| please.)", "How (many times|often) does {b} (go|fit) into {a}?",
        "What (do|will) you get (when|if) you divide {a} by {b}?",
        "If I divide {a} by {b}, what (is the result|do I get|is it)?",
        "(Can|Could) you (please |)divide {a} by {b}( for me|)?", "Find the quotient of {a} and {b}.",
        "Split {a} into {b} equal parts.", "Divide {a} into {b} (equal |)parts.", "Share {a} equally among {b}.",
        "(I have|Start with|Take) {a} and divide (it |)by {b}. (What is it|How much is that|What do I get)?",
        "How much is {a} divided by {b}?", "Divide {a} by {b}. Give the quotient and the remainder.",
        "What is {a} divided by {b}, with remainder?", "Divide {a} evenly by {b}.", "What is {a} split {b} ways?",
        "How many {b}s are in {a}?", "How many times is {b} (contained |)in {a}?", "do {a} divided by {b}",
        "Compute the division {a} by {b}.", "{a} into {b} parts(?|)", "Suppose {a} is divided by {b}. What comes out?",
        "When {a} is divided by {b}, what is the quotient?", "Division: {a} by {b}",
        "What comes out when {a} is divided by {b}?", "Dividing {a} by {b} gives what?",
        "{a} is to be divided by {b}. The result?", "By {b} I want to divide {a}. What do I get?",
        "Which number results from dividing {a} by {b}?", "I want {a} divided by {b}.", "Please split {a} by {b}.",
        "Tell me the quotient of {a} and {b}, with the remainder if there is one.", "{a} gets divided by {b}. Result?",
        "What is the outcome of {a} divided by {b}?", "Let me have {a} divided by {b}.",
        "Into {b} equal parts goes {a}. How big is each?", "{a} shared equally by {b} makes how much for each?",
        "How much does each get if {a} is shared by {b}?", "I share {a} among {b} people. What does each get?",
        "How many groups of {b} can I make from {a}?", "How many {b}s fit into {a}?",
        "How many times can I take {b} from {a}?", "{b} goes into {a} how many times?", "How often is {b} in {a}?",
        "What is the quotient if {a} is the dividend and {b} the divisor?", "Dividend {a}, divisor {b}: quotient?",
        "With {a} as dividend and {b} as divisor, what results?", "My calculator is broken: {a} divided by {b}?",
        "Work out how much {a} divided by {b} is.", "Perform the division {a} / {b}.", "Carry out {a} divided by {b}.",
        "long division: {a} by {b}", "Use long division for {a} and {b}.", "Show me {a} divided by {b}.",
        "Give quotient and remainder of {a} by {b}.", "State the quotient and the rest of {a} / {b}.",
        "What do I have after dividing {a} by {b}?", "After {a} is divided by {b}, what number do I have?",
        "how much would {a} divided by {b} be", "Each of {b} gets the same part of {a}. How much is it?",
        "Distribute {a} evenly over {b}. How much for one?", "{a} and {b}: what is their quotient?",
        "find {a} divided by {b}", "so {a} by {b} makes?", "Would you divide {a} by {b}?", "Kindly divide {a} by {b}.",
        "{a} has to be divided by {b}.", "The quotient of {a} and {b} is what?",
        "Into {a}, how many times does {b} go?", "Break {a} into {b} equal parts.",
        "Cut {a} into {b} equal pieces. How big is one?", "divide the number {a} by the number {b}",
        "I must divide {a} by {b}, what's the answer?", "The task is to divide {a} by {b}.",
        "Once you divide {a} by {b}, what does it make?", "If {a} were divided by {b}, how much would it be?",
        "Now {a} is shared by {b}. What is one share?", "Is there a quick answer to {a} divided by {b}?",
        "Split up {a} among {b}, please.", "{a} through {b}", "{a} divided through {b} is?", "quotient of {a} by {b}",
        "{b} equal shares of {a}: how big is one?", "You have {a}. Divide it by {b}.",
        "Here is {a}. Divide by {b}, what is it?", "{a}, divide that by {b}", "What does dividing {a} by {b} give?",
        "{a} divided by {b}, what is the answer?", "answer to {a} divided by {b}?",
        "{a} divided by {b}, the result with remainder", "whole number division of {a} by {b}",
        "integer division: {a} by {b}, with the rest",
        "If a pupil divides {a} by {b}, what number does she (write|find|see|note)?",
        "If someone splits {a} {b} ways, how big is a share?", "When I divide {a} by {b}, which number comes out?",
        "What would come out if {a} were cut into {b} equal parts?",
        "(Can|Could) you say what {a} divided by {b} (makes|is|comes to)?",
        "Is it hard to divide {a} by {b}? What comes out?", "Do you have the result of {a} divided by {b}?",
        "How many sets of {b} are in {a}?", "How many sets of {b} can be formed from {a}?",
        "Out of {a}, how many {b}s can one take?", "How many times over is {b} in {a}?",
        "I make lots of {b} from {a}. How many lots?", "How many bundles of {b} does {a} give?",
        "{a} in bundles of {b}: how many?", "Count the {b}s in {a}.", "Quotient and remainder, please: {a} by {b}",
        "What are quotient and remainder when dividing {a} by {b}?",
        "{a} over {b}, with quotient and remainder, gives?", "with remainder: {a} divided by {b}",
        "My sister asks what {a} divided by {b} is.", "My sum is {a} divided by {b}. What do I write?",
        "The number {a} is cut in {b} equal parts. What is one of them?",
        "Let {a} be split in {b} like parts. How large is a part?", "Find the number you get by dividing {a} by {b}.",
        "Divide, please: {a} by {b}", "to divide: {a} by {b}", "a division problem: {a} by {b}",
        "{a} / {b} with long division", "{b} into {a}, please", "How does {a} divide by {b}?",
        "What does {b} into {a} make?", "By dividing {a} through {b}, what do you get?",
        "I was told to divide {a} by {b}. What is right?", "Say what comes of {a} divided by {b}.",
        "Give me one part of {a} cut into {b} parts.", "Take the number {a} and divide it by the number {b}.",
        "Start from {a}, divide by {b}, end at?", "{a} must be parted by {b}. How much?",
        "{a} is the dividend. The divisor is {b}. And the quotient?",
        "Dividing {a} by {b} is easy, I hear. Tell me the result.", "Which quotient do {a} and {b} have?",
        "how big is {a} divided by {b}", "For {a} divided by {b} I get stuck. What is it?",
    ),
)  # fmt: skip


DIFFERENCE = (
    "the difference (between|of) {a} and {b}", "What is the difference between {a} and {b}?",
    "How far apart are {a} and {b}?",
    "the difference of the numbers {a} and {b}", "(Find|Calculate|Give me) the difference between {a} and {b}(.|)",
    "difference between {a} and {b}(?|)",
    "By how much do {a} and {b} differ?", "How much do {a} and {b} differ?", "What's the gap between {a} and {b}?",
    "{a} and {b}: what is the difference?",
    "How large is the difference of {a} and {b}?", "(The|the) distance between {a} and {b} on the number line(?|)",
    "Tell me the difference between {a} and {b}.",
    "the (difference|gap|distance) from {a} to {b}", "difference of {a}, {b}",
    "the difference (between|of) the numbers {a} and {b}", "{a} versus {b}, the difference",
    "(Work out|Say|State|Show) the difference of {a} and {b}(.|)",
    "I need the difference between the two numbers {a} and {b}.", "What difference is there between {a} and {b}?",
    "difference: {a} and {b}", "{a} and {b} differ by (what|how much)?",
    "How (big|large|wide) is the (gap|step|distance) between {a} and {b}?", "{a} and {b} are how far apart?",
    "gap between {a} and {b}", "How many lie between {a} and {b}, as a difference?",
    "The numbers are {a} and {b}. Their difference?", "{a}, {b}: difference?",
    "How much must the smaller of {a} and {b} grow to equal the larger?", "what separates {a} and {b}",
    "the two numbers {a} and {b}: how far from each other?",
    "(Can|Could) you give me the difference between {a} and {b}?",
)  # fmt: skip
"""Asked of the larger and the smaller number, in either order."""


def phrase(rng: Draws, operation: Operation, a: object, b: object) -> str:
    """A question for the value of an operation: in signs most often, else in words or as a sentence of its own."""
    roll = rng.random()
    if roll < 0.3:
        question = rng.wording(operation.sentences).format(a=a, b=b)
    else:
        signs, weights = zip(*operation.signs, strict=True)
        words = rng.choices(signs, weights)[0] if roll < 0.85 else rng.wording(operation.nouns)
        question = rng.wording(ASKS).format(words.format(a=a, b=b))
    return question[0].upper() + question[1:] if rng.random() < 0.5 else question


MEASURES = (
    "${}", "€{}", "{} dollars", "{} euros", "{} apples", "{} books", "{} km", "{} m", "{} cm", "{} kg", "{} grams",
    "{} liters", "{} hours",
    "{} minutes", "{} days", "{} years", "{} points", "{} people", "{} pages", "{} degrees", "{} miles", "{} eggs",
    "{} cents",
)  # fmt: skip
NEXT = (
    "What (number |)comes after {a}?", "What is the (next number|number) after {a}?", "Which number follows {a}?",
    "the number after {a}",
    "What is one more than {a}?", "{a} and one more(?|)", "What is the successor of {a}?", "one more than {a}",
    "After {a} comes what?",
)  # fmt: skip
PREVIOUS = (
    "What (number |)comes before {a}?", "What is the (last number|number) before {a}?",
    "Which number is just before {a}?", "the number before {a}",
    "What is one less than {a}?", "What is the predecessor of {a}?", "one less than {a}", "Before {a} comes what?",
)  # fmt: skip


def measured(rng: Draws, sign: str, a: object, b: object) -> tuple[object, object]:
    """Operands with a unit, at times: both of a sum or difference, one of a product, the first of a quotient."""
    if rng.random() < 0.93:
        return a, b
    unit = rng.choice(MEASURES)
    if sign == "*" and rng.random() < 0.5:
        return a, unit.format(b)
    return unit.format(a), unit.format(b) if sign in "+-" else b


def length(rng: Draws) -> int:
    """Digits of an operand: long ones more often."""
    return rng.choices((1, 2, 3, 4), (2, 3, 4, 5))[0]


def addition(rng: Draws) -> Problem:
    """a + b, up to four digits each."""
    a, b, asked = sized(rng, length(rng)), sized(rng, length(rng)), None
    if rng.random() < 0.03:
        b, asked = 1, rng.wording(NEXT).format(a=a)
    work = f"Add the columns from the right.\n{add_columns(a, b)}"
    return _problem(rng, "addition", ADD, a, "+", b, work, str(a + b), f"{min(a, b)}+{max(a, b)}", asked)


def subtraction(rng: Draws) -> Problem:
    """a - b, up to four digits each; negative one time in five or so."""
    a, b = sized(rng, length(rng)), sized(rng, length(rng))
    if a < b and rng.random() < 0.6:
        a, b = b, a
    asked = None
    if rng.random() < 0.1:
        asked = rng.wording(DIFFERENCE).format(a=a, b=b)
        a, b = max(a, b), min(a, b)
    elif a and rng.random() < 0.03:
        b, asked = 1, rng.wording(PREVIOUS).format(a=a)
    work = f"Subtract the columns from the right.\n{subtract_columns(a, b)}"
    return _problem(rng, "subtraction", SUBTRACT, a, "-", b, work, str(a - b), f"{a}-{b}", asked)


def multiplication(rng: Draws) -> Problem:
    """a x b, up to four digits each."""
    a, b = sized(rng, length(rng)), sized(rng, length(rng))
    work = f"Multiply digit by digit.\n{multiply_columns(a, b)}"
    return _problem(rng, "multiplication", MULTIPLY, a, "*", b, work, str(a * b), f"{min(a, b)}*{max(a, b)}")


def division(rng: Draws) -> Problem:
    """a / b of up to four digits, half of them exact; otherwise the answer is `quotient remainder rest`."""
    b = max(1, sized(rng, rng.choices((1, 2, 3, 4), (5, 7, 6, 2))[0]))
    a = max(b, sized(rng, rng.choices((2, 3, 4), (2, 4, 6))[0])) if rng.random() < 0.95 else sized(rng, length(rng))
    if rng.random() < 0.5:
        a -= a % b
    quotient, rest = divmod(a, b)
    answer = f"{quotient} remainder {rest}" if rest else str(quotient)
    return _problem(rng, "division", DIVIDE, a, "/", b, f"Long division.\n{divide_columns(a, b)}", answer, f"{a}/{b}")


def _problem(
    rng: Draws,
    task: str,
    operation: Operation,
    a: int,
    sign: str,
    b: int,
    work: str,
    answer: str,
    key: str,
    asked: str | None = None,
) -> Problem:
    """A question about a and b, the work in the thinking, and the equation as the answer."""
    question = ask(rng, asked or phrase(rng, operation, *measured(rng, sign, a, b)))
    return Problem(task, key, question, work, f"{a} {sign} {b} = {boxed(answer)}", answer)
