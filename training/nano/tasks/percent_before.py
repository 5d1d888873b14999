"""What something was before it fell or rose by some percent: what is left in percent, then the whole."""

from __future__ import annotations

from training.nano.tasks import percent_next as further
from training.nano.tasks.columns import divide_columns
from training.nano.tasks.decimals import decimal, pointed
from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.refusals import refusal
from training.nano.tasks.wording import Draws

LESS = (
    "After a fall by {p}% it is {n}.", "A @thing is {p}% off and costs {n} dollars now.",
    "With {p}% taken off, a @thing is {n} dollars.",
    "I paid {n} dollars for a @thing, and that was {p}% less than usual.",
    "The sale takes {p}% off. A @thing in the sale is {n} dollars.",
    "{n} dollars is the price of a @thing after {p}% off.",
    "A @thing got {p}% cheaper. Now it is {n} euros.", "My coupon of {p}% brought a @thing down to {n} euros.",
    "The number of members sank by {p}% to {n}.", "A tank lost {p}% of its water, and {n} liters are left in it.",
    "{p} percent of the seeds are gone. {n} seeds remain.", "Having spent {p}% of the money, {n} dollars are left.",
    "A @thing is reduced by {p}%, so that one pays {n} dollars.", "Less {p}%, the bill is {n} dollars.",
    "After the shop cut a price by {p}%, it says {n} dollars.",
    "Today a @thing costs {n} dollars, which is {p}% under the old price.",
    "At {p}% off, I get a @thing for {n} euros.", "A village shrank by {p}% and has {n} people.",
    "Prices dropped {p}%. This @thing is now at {n} dollars.",
    "With the club discount of {p}% a @thing comes to {n} euros.",
    "Someone sells a @thing {p}% below its price, for {n} dollars.", "{n} is what is there when {p}% were taken away.",
    "The @thing was marked down {p}% and sells at {n} dollars.", "{p}% of a rope was cut off, and {n} cm are there.",
    "A battery lost {p}% of its charge. It has {n} units.", "A runner's time fell by {p}% to {n} seconds.",
)  # fmt: skip
MORE = (
    "After a rise by {p}% it is {n}.", "A @thing went up by {p}% and costs {n} dollars now.",
    "With {p}% tax on top, a @thing is {n} dollars.", "My rent rose by {p}%. It is {n} dollars now.",
    "{n} euros is the price of a @thing with {p}% tax in it.", "A @thing got {p}% dearer. Now it is {n} euros.",
    "A town grew by {p}% and has {n} people.", "The pay went up {p}%, to {n} dollars.",
    "A tip of {p}% made the bill {n} dollars.",
    "This year there are {n} visitors, {p}% more than last year.", "Plus {p}%, the bill is {n} dollars.",
    "After the shop raised a price by {p}%, it says {n} dollars.",
    "Today a @thing costs {n} dollars, which is {p}% over the old price.",
    "A plant grew {p}% and stands {n} cm high.", "Prices climbed {p}%. This @thing is now at {n} dollars.",
    "Including a fee of {p}%, I paid {n} euros for a @thing.", "{n} is what is there when {p}% were added.",
    "Someone sells a @thing {p}% above what he paid, for {n} dollars.", "The number of members went up by {p}% to {n}.",
    "A load got {p}% heavier and weighs {n} kg.", "My savings grew by {p}% to {n} dollars.",
    "The fare rose {p}%, so that one pays {n} dollars.", "We sold {n} cards, {p}% more than before.",
    "A farm harvests {n} kg this time, an increase of {p}%.", "The crew was made {p}% larger and has {n} people.",
    "{n} dollars is the total with a service charge of {p}%.",
)  # fmt: skip
ASKED = (
    "What was it before?", "How much was it before?", "What was the number before the change?", "And before that?",
    "What was the original value?", "How much had it been at first?", "What was the old number?",
    "Find the value before.",
    "From what did it start?", "What had it been?", "Without the change, how much was it?", "What is the first value?",
    "How much was there in the beginning?", "Work out the number before.", "What did it begin at?",
    "The starting value, please?",
    "To what amount was the percentage applied?", "How much is it without that change?", "Before this, what was it?",
    "what was it originally", "Calculate what it was earlier.", "Go back: what was the amount before?",
    "Which amount had it been until then?", "How high was it before?", "What was the amount to begin with?",
)  # fmt: skip
WHOLE_LESS = (
    "What did a @thing cost if it is {n} dollars after {p}% off?",
    "If {n} is left when {p}% is taken away, what was there?",
    "how much was a @thing before {p}% off if i pay {n} dollars", "Which number less {p}% is {n}?",
    "From which number do I take {p}% to get {n}?", "{p}% off, final price {n} dollars. Full price?",
    "The full price of a @thing is what, if {n} dollars is the price with {p}% off?",
    "x minus {p}% of x is {n}. Which number is x?",
    "I pay {n} dollars after a {p}% discount. What is the price without the discount?",
    "Which price, lowered by {p}%, gives {n} dollars?", "{n} dollars after {p}% off: what before?",
    "What was the list price of a @thing that I got for {n} euros with {p}% off?",
    "A number falls by {p}% and becomes {n}. What was the number?",
    "find the old price: now {n} dollars, {p}% cheaper than before",
    "On the label is {n} dollars, already {p}% less. What would it be without the sale?",
)  # fmt: skip
WHOLE_MORE = (
    "What did a @thing cost if it is {n} dollars after a rise of {p}%?",
    "If {n} is there when {p}% is added, what was there?",
    "how much was a @thing before {p}% tax if i pay {n} dollars", "Which number plus {p}% is {n}?",
    "To which number do I add {p}% to get {n}?", "{p}% tax in it, final price {n} dollars. Price without tax?",
    "The price of a @thing before tax is what, if {n} dollars has {p}% tax on top?",
    "x plus {p}% of x is {n}. Which number is x?",
    "I pay {n} dollars after a {p}% rise. What was the price without the rise?",
    "Which price, raised by {p}%, gives {n} dollars?", "{n} dollars after {p}% up: what before?",
    "What was the net price of a @thing that is {n} euros with {p}% added?",
    "A number grows by {p}% and becomes {n}. What was the number?",
    "find the old price: now {n} dollars, {p}% dearer than before",
    "On the bill is {n} dollars, already with a {p}% tip. What would it be without the tip?",
)  # fmt: skip


def percent_before(rng: Draws) -> Problem:
    """The number that, less or more p %, is n; what does not end within two places is refused."""
    less, endless = rng.random() < 0.6, rng.random() < 0.06
    while True:
        p = rng.choice((10, 20, 25, 50, 5, 15, 30, 40, 60, 75, rng.randrange(1, 96)))
        kept = 100 - p if less else 100 + p
        n = rng.randrange(1, 1000)
        if rng.random() < 0.75:  # a whole number before
            n = kept * rng.randrange(1, 1000) // 100
        if n and n < 2000 and (n * 10000 % kept == 0) != endless:
            break
    whole, told = (WHOLE_LESS, LESS + further.BEFORE_LESS) if less else (WHOLE_MORE, MORE + further.BEFORE_MORE)
    if rng.random() < 0.35:
        question = rng.wording(whole)
    else:
        question, asked = rng.wording(told), rng.wording(ASKED + further.BEFORE_ASKED)
        question = f"{asked} {question}" if asked.endswith("?") and rng.random() < 0.15 else f"{question} {asked}"
    sign = "-" if less else "+"
    steps = [
        f"{n} is 100% {'less' if less else 'more'} {p}%: 100{sign}{p}={kept}",
        f"{kept}% are {n}, so {n}*100/{kept}, to two places: {n}0000/{kept}",
        divide_columns(n * 10000, kept),
    ]
    key, messages = f"x{sign}{p}%={n}", ask(rng, question.format(p=p, n=n))
    if endless:
        return refusal("percentage", key, messages, "\n".join([*steps, "It does not end."]), "endless")
    value = decimal(n * 100, kept)
    steps.append(f"With the point: {pointed(n * 10000 // kept, 2)}, that is {value}")
    return Problem("percentage", key, messages, "\n".join(steps), boxed(value), value)
