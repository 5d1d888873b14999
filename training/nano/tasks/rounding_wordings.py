"""Things that are put into containers: how many of these are needed, how many are full, how many things are left over.

A fact goes with each of the three questions, so that the question decides. {a} {t} are put into {w}, {b} in each; one
of {w} is a {v}.
"""

from __future__ import annotations

CONTAINED = (
    ("people", "boat", "boats"), ("hikers", "tent", "tents"), ("eggs", "carton", "cartons"), ("cans", "crate",
    "crates"),
    ("photos", "page", "pages"), ("guests", "table", "tables"), ("letters", "sack", "sacks"), ("kids", "cabin",
    "cabins"),
    ("bottles", "shelf", "shelves"), ("books", "box", "boxes"), ("plants", "tray", "trays"), ("singers", "row", "rows"),
    ("tiles", "pack", "packs"), ("tourists", "taxi", "taxis"), ("apples", "bag", "bags"), ("bricks", "cart", "carts"),
    ("pupils", "bench", "benches"), ("workers", "truck", "trucks"), ("candles", "case", "cases"), ("fans", "bus",
    "buses"),
    ("buns", "basket", "baskets"), ("skiers", "gondola", "gondolas"), ("players", "room", "rooms"),
    ("coins", "roll", "rolls"),
)  # fmt: skip
FACTS = (
    "{a} {t} go into {w} of {b}.", "There are {a} {t}. A {v} takes {b}.",
    "Each {v} has room for {b} {t}. There are {a} {t}.",
    "We have {a} {t} and {w} for {b} each.", "{b} {t} fit in a {v}, and there are {a} {t}.",
    "{p} puts {a} {t} into {w}, {b} to a {v}.", "A {v} holds {b} {t}. {p} counts {a} {t}.",
    "{a} {t} are waiting. No {v} takes more than {b}.", "The {w} are for {b} {t} each. {a} {t} are there.",
    "For {a} {t} there are {w} that hold {b}.", "One {v}: {b} {t}. All in all: {a} {t}.",
    "It is a case of {a} {t}, with {b} in every {v}.", "{p} fills one {v} after another with {b} {t}, from {a} {t}.",
    "{w} with places for {b} {t} stand ready, and {a} {t} arrive.", "At most {b} {t} can be in one {v}. There are {a}.",
    "A {v} is full with {b} {t}. {p} has {a} of them.", "{a} is the number of {t}, {b} the number for one {v}.",
    "Out of {a} {t}, {b} at a time go into a {v}.", "{t} come {b} to a {v}. Today there are {a}.",
    "In the @place are {a} {t}, and {b} of them fill a {v}.", "@Day {a} {t} had to be put into {w} for {b}.",
    "{p} has {a} {t}. {he} can get {b} into each {v}.", "The rule is {b} {t} per {v}. {p} has {a} {t}.",
    "A @place sends {a} {t} in {w}, each with {b} at most.", "{a} {t} here, {w} of {b} there.",
    "We are talking of {a} {t}, and of {w} with {b} {t} in each.",
)  # fmt: skip
NEEDED = (
    "How many {w} are needed for all?", "How many {w} does it take to hold them all?", "How many {w} must there be?",
    "So that none is left out, how many {w} are needed?", "What is the smallest number of {w} that is enough?",
    "How many {w} does {p} need?", "How many {w} have to come?", "At least how many {w} is that?",
    "To get all of them in, how many {w} do we need?",
    "How many {w} are in use at the end, the last one maybe not full?",
    "How many {w} should be ordered so that all have a place?", "What number of {w} will do for everything?",
    "how many {w} do i need at least", "Counting the last one too, even if it is not full: how many {w}?",
    "How many {w} do they all take up?", "With how few {w} can it be done?", "Everything has to go in. How many {w}?",
    "If nothing may stay behind, how many {w} are there?", "How many {w} would you get for that?",
    "Tell me how many {w} to bring for all.", "The number of {w} needed?",
    "For every one to be in a {v}, how many {w}?",
    "How many {w} must be rented?", "How many {w} are necessary?", "In the end, how many {w} hold something?",
)  # fmt: skip
FULL = (
    "How many {w} are full?", "How many {w} get full?", "How many full {w} does that make?",
    "How many {w} can be filled completely?", "Counting only full ones, how many {w} is that?",
    "How many whole {w} come out of it?", "How many {w} have no free place?", "What number of {w} is quite full?",
    "how many complete {w}", "Only {w} with all their {b} count. How many?", "To how many full {w} does it come?",
    "How many times is a {v} full?", "How many {w} are filled up to the last place?",
    "Up to how many full {w} is it enough?",
    "A {v} that is not full does not count. How many do?", "How many {w} with exactly {b} are there?",
    "The number of full {w}, please.", "How many {w} could be closed because they are full?",
    "How many of the {w} have {b} in them?", "Leaving out what does not fill one, how many {w} are there?",
    "How many full {w} can be made?", "Say how many {w} end up full.", "Full {w}: how many?",
    "For how many full {w} is that enough?", "How many {w} can {p} fill to the top?",
)  # fmt: skip
OVER = (
    "How many are left over when all {w} are full?", "How many do not fill a {v}?", "How many {t} are left over?",
    "How many {t} remain outside full {w}?", "How many are over after filling as many {w} as possible?",
    "How many {t} do not get into a full {v}?", "What is left over besides the full {w}?",
    "And the {t} left over: how many?",
    "How many {t} has the last {v} if it is not full?", "how many are left without a full {v}",
    "How many {t} are still there once no more {w} can be filled?", "The {t} that make no full {v}, how many are they?",
    "How many stay loose?", "Apart from full {w}, how many {t} are there?",
    "What number of {t} is too few for one more {v}?",
    "When only full {w} leave, how many {t} stay?", "With only full {w} allowed, how many {t} are left?",
    "Not the {w}, the rest: how many {t} is it?", "How many {t} does {p} keep because they fill no {v}?",
    "The rest that does not fill a {v} is how big?", "If the full {w} are taken away, how many {t} are here?",
    "Which number of {t} is over?", "How many single {t} are over at the end?",
    "How many {t} would be alone in a {v} that is not full?", "Say how many {t} are left over.",
)  # fmt: skip
WHOLE_NEEDED = (
    "A wall of {a} cm is covered by boards {b} cm wide. How many boards must {p} buy?",
    "{p} wants {a} dollars and saves {b} dollars a week. After how many weeks is it enough?",
    "A book has {a} pages. With {b} pages an evening, on which evening is it finished?",
    "A lift carries {b} people. How often must it go up for {a} people?",
    "How many trips does a ferry for {b} cars make to bring {a} cars across?",
    "{p} must learn {a} words and learns {b} a day. How many days does {he} need until all are learned?",
    "One can of paint is enough for {b} m of fence. How many cans for {a} m?",
    "A pack has {b} plates. For {a} guests, how many packs do I have to buy?",
    "The machine prints {b} cards a minute. After how many full minutes are {a} cards ready?",
    "How many coins of {b} dollars does one need to pay at least {a} dollars?",
    "Water comes in cans of {b} liters. The tank takes {a} liters. How many cans to fill it?",
    "how many tickets for {b} people must a group of {a} buy",
    "It costs {a} dollars. How many {b} dollar notes must I put down at least?",
    "{a} kg of sand are moved, {b} kg at a time. How many times must {p} go?",
    "A dentist sees {b} people a day. On how many days does she work for {a} people?",
    "From {b} kids on another helper is needed: one helper for each {b} kids or fewer. How many helpers for {a} kids?",
    "If {p} does {b} sums a day, how many days does {he} take for all {a} sums?",
    "A card holds {b} stamps. {p} has {a} stamps. What is the least number of cards?",
    "We need {a} chairs and they come in sets of {b}. How many sets do we order?",
    "{a} meters of pipe are laid from pipes of {b} m. How many pipes have to be there?",
)  # fmt: skip
"""Whole questions for how many are enough."""
WHOLE_FULL = (
    "A {v} costs {b} dollars. How many {w} can {p} get for {a} dollars?",
    "How many {w} at {b} dollars each can I afford with {a} dollars?",
    "From {a} cm of ribbon {p} cuts pieces of {b} cm. How many pieces of this length come out?",
    "With {a} dollars in hand and rides at {b} dollars, how many rides are possible?",
    "{b} eggs make a cake. How many cakes can be made with {a} eggs?",
    "How many chairs of {b} screws each can be built from {a} screws?",
    "A game lasts {b} minutes. How many games can be finished in {a} minutes?",
    "{a} points are there, and each prize takes {b} points. How many prizes is it?",
    "How many shirts are sewn from {a} buttons if a shirt takes {b}?",
    "{p} has {a} beads. A bracelet takes {b}. How many bracelets can {he} finish?",
    "how many {b} dollar presents do {a} dollars pay for",
    "A toy needs {b} wheels. For how many toys are {a} wheels enough?",
    "A song is {b} minutes long. How many times can it be heard to the end in {a} minutes?",
    "Of a plank of {a} cm, how many boards of {b} cm can be sawn?",
    "How many teams of {b} can {a} players make, with no small team?",
    "{a} g of dough, and a bun takes {b} g. How many buns can be shaped?",
    "The budget is {a} dollars, a chair is {b} dollars. How many chairs at most?",
    "At most how many times does {b} go into {a} as a whole?",
    "{p} gives {b} stars for a badge and owns {a} stars. How many badges can {he} have?",
    "If one lamp takes {b} bulbs, how many lamps can {a} bulbs fill?",
)  # fmt: skip
"""Whole questions for how many are full."""
