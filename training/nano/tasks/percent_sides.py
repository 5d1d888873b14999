"""Percentages from more sides: people in one of two places, wholes and parts, what came on top, what was taken.

{p} is the percentage, {n} the whole, {a} a part of it. The same fact goes with questions for either number.
"""

from __future__ import annotations

TWO_PLACES = (
    ("workers", "at home", "at work"), ("kids", "indoors", "outdoors"), ("sailors", "on board", "on land"),
    ("cats", "on the roof", "in the yard"), ("books", "on the shelf", "in use"), ("sheep", "in the barn", "outside"),
    ("cars", "on the road", "in the garage"), ("pupils", "in class", "on a trip"),
    ("cups", "on the table", "in the sink"),
    ("fish", "in the pond", "in the tank"), ("boats", "at sea", "in port"), ("guests", "upstairs", "downstairs"),
    ("tools", "in the box", "on the bench"), ("players", "in the game", "on the bench"),
    ("coins", "in the bag", "on the floor"),
    ("doctors", "on duty", "off duty"), ("tickets", "for adults", "for kids"),
    ("singers", "from the north", "from the south"),
    ("dogs", "awake", "asleep"), ("shops", "open today", "closed today"), ("people", "for it", "against it"),
    ("trains", "on time", "late"), ("lights", "on", "off"), ("answers", "true", "false"),
)  # fmt: skip
"""Those that are spoken of, and the two places or states of which each has one."""
PLACED = (
    "{n} {m} in all, {p}% are {x} and the others {y}.", "There are {n} {m}: {p}% {x}, all others {y}.",
    "{p}% of the {n} {m} are {x}. The others are {y}.", "{n} {m}; {x}: {p}%. The rest: {y}.",
    "We count {n} {m}, with {p}% of them {x}.", "{p}% {x}, from {n} {m}.", "Of all {n} {m}, {p} percent are {x} now.",
    "Right now {p}% of {n} {m} are {x}.", "{p} percent {x}, the rest {y}; {n} {m} in all.",
    "Today {p}% are {x}. In all it is {n} {m}.", "If {p}% of {n} {m} are {x}, the others are {y}.",
    "There are {n} {m} in a @place, {p}% of which are {x}.", "I see that of {n} {m} {p}% are {x}.",
    "{x} or {y}: of {n} {m}, {p}% are {x}.", "{n} {m} belong to the @place and {p}% are {x} at noon.",
    "With {n} {m}, and {p}% of them {x}, the rest are {y}.", "Each of the {n} {m} is {x} or {y}; {p}% are {x}.",
    "It is said that {p}% of {n} {m} are {x}.",
)  # fmt: skip
PLACED_TOLD = (
    "How many are {x}?", "How many {m} are {x}?", "What is the number of {m} {x}?", "And {x}, how many is that?",
    "how many {x}", "So how many would be {x}?", "Tell me how many {m} are {x}.", "Number of {m} {x}?",
    "Find how many are {x}.", "What number is {x}?", "{x}: how many {m}?", "Give me the number of those {x}.",
)  # fmt: skip
PLACED_OTHER = (
    "How many are {y}?", "How many {m} are {y}?", "What is the number of {m} {y}?", "And {y}, how many is that?",
    "how many {y}", "So how many would be {y}?", "Tell me how many {m} are {y}.", "Number of {m} {y}?",
    "Find how many are {y}.", "What number is {y}?", "{y}: how many {m}?", "Give me the number of those {y}.",
    "How many are not {x}?", "How many {m} are not {x}?", "All that are not {x}: how many?",
)  # fmt: skip
WHOLE_TOLD = (
    "We start from {n}.", "{n} is the whole.", "The sum of everything is {n}.", "The entire amount is {n}.",
    "Full, it is {n}.", "{n} counts as all.", "A pot of {n} dollars is there.", "Altogether we have {n} @people.",
    "The complete number is {n}.", "Together it is {n}.", "Take {n} as 100%.", "Let 100% be {n}.", "My number is {n}.",
    "A truck is loaded with {n} kg.", "The trip is {n} km long.", "As the whole we have {n}.", "{n} makes it complete.",
    "What I have is {n}, all counted.", "The full price says {n} dollars.",
)  # fmt: skip
PART_ASKED = (
    "How many is {p}%?", "What number is {p}%?", "How big is a share of {p}%?", "{p}% is how much?",
    "What would {p}% of it be?", "And {p}% of it?", "Now I want {p}%.", "Find {p}%.", "Tell me {p}% of this.",
    "What part of it, as a number, is {p}%?", "To {p}% belongs which number?", "How much belongs to {p}%?",
    "What do {p}% make?", "What do I get if I take {p}%?", "I take {p}%. How much do I have?",
    "so how much is {p} percent", "{p} percent: how much?", "Please give {p}% of that.",
)  # fmt: skip
PART_TOLD = (
    "{p}% make {a}.", "{a} makes {p}%.", "It is known that {p}% is {a}.", "We know: {p}% are {a}.",
    "A share of {p}% comes to {a}.", "What I see is {p}% of it: {a}.", "{a} is there, and that is just {p}%.",
    "With {a} I am at {p}%.", "At {p}% the counter shows {a}.", "{a} km, and {p}% of the way is behind us.",
    "Having paid {a} dollars, I have paid {p}%.", "{p}% have been counted so far, which makes {a}.",
    "After {p}% of the work {a} parts are ready.", "{a} of the @people voted, a turnout of {p}%.",
    "{p}% full means {a} liters.", "{a} seats are sold, which means {p}% of all.",
    "The {p}% that I own are {a} dollars.",
    "A {p}% part has {a} in it.", "If {p}% is {a}:", "Let {p}% be {a}.",
)  # fmt: skip
WHOLE_ASKED = (
    "What is all of it?", "How much is it in full?", "What would the full amount be?", "How many would all be?",
    "What is the number for 100%?", "And for 100%?", "Then how much is 100%?", "Tell me the whole.",
    "What is the whole number?", "How much is it all together?", "How much does all of it make?",
    "What is the sum of everything?", "What would it be with nothing missing?", "To 100% belongs which number?",
    "How big is the full thing?", "What comes out for the whole?", "so the whole is", "100% are how much?",
    "From how much was that taken?", "What is the complete number?",
)  # fmt: skip
CAME = (
    "There were {n} @people, and {p}% more joined.", "{n} @people stood there when {p}% more arrived.",
    "The @place had {n} {m}, and {p}% more were bought.", "{n} {m} first, then {p}% as many in addition.",
    "A list of {n} names grew by {p}%.", "To {n} {m} come {p}% new ones.",
    "{n} trees grew here; {p}% more were planted.",
    "The club of {n} wins {p}% new members.", "The pile of {n} {m} gets {p}% larger.",
    "{p}% more {m} arrive where {n} have been.", "On top of {n} {m} there are {p}% more now.",
    "After {n} visits in May there were {p}% more in June.", "I had {n} {m} and got {p}% more.",
    "A flock of {n} birds became {p}% bigger.", "{n} seats were not enough, so {p}% more were put up.",
    "From {n} readers the paper rose by {p}%.", "Sales of {n} went up by {p}%.", "{n} users, plus {p}% in a week.",
)  # fmt: skip
CAME_RESULT = (
    "How many are there now?", "How many is that in all?", "To how many does it come?", "What is the new number?",
    "What does it lead to?", "How many does it make now?", "What number is reached?", "So how many are there then?",
    "With those, how many is it?", "What is the total now?", "How large is the number now?", "Where does that end?",
    "What does it grow to?", "Old and new together, how many?", "How many after that?", "What do we have now?",
)  # fmt: skip
CAME_PART = (
    "How many have come on top of that?", "How many are new?", "How many more is that?", "By how many did it grow?",
    "What number was added?", "How large is the increase?", "Only the new ones: how many?", "How many were added?",
    "How many is the growth?", "How much more is that?", "The new ones alone are how many?", "What was the gain?",
)  # fmt: skip
WENT = (
    "There were {n} @people, and {p}% went home.", "{n} @people stood there when {p}% left.",
    "The @place had {n} {m}, and {p}% were sold.", "{n} {m} first, then {p}% of these are gone.",
    "A list of {n} names lost {p}%.", "Of {n} {m} {p}% are thrown out.", "{n} trees grew here; {p}% were cut down.",
    "The club of {n} loses {p}% of its members.", "The pile of {n} {m} gets {p}% smaller.",
    "{p}% of the {m} vanish where {n} have been.", "Out of {n} {m}, {p}% get broken.",
    "After {n} visits in May there were {p}% less in June.", "I had {n} {m} and gave {p}% away.",
    "A flock of {n} birds became {p}% smaller.", "{n} seats were too many, so {p}% were taken away.",
    "From {n} readers the paper fell by {p}%.", "Sales of {n} went down by {p}%.", "{n} users, minus {p}% in a week.",
)  # fmt: skip
WENT_RESULT = (
    "How many are there now?", "How many is that after it?", "To how many does it come?", "What is the new number?",
    "What does it lead to?", "How many does it leave?", "What number is reached?", "So how many are there then?",
    "Without those, how many is it?", "What is the number now?", "How large is the number now?", "Where does that end?",
    "What does it shrink to?", "How many are still here?", "How many after that?", "What do we have now?",
)  # fmt: skip
WENT_PART = (
    "How many went?", "How many are no longer there?", "How many less is that?", "By how many did it shrink?",
    "What number was lost?", "How large is the decrease?", "Only those that went: how many?",
    "How many were taken off?",
    "How many is the loss?", "How much less is that?", "Those that are gone are how many?", "What was the loss?",
)  # fmt: skip
COUNTED = ("cups", "chairs", "hens", "books", "lamps", "stamps", "roses", "tiles", "bikes", "coats", "toys", "plates")
"""What {m} stands for where things come and go."""
