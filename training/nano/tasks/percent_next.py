"""Percentages where it must be read what they are of: what was before beside what will be, levels of a charge, and what
a number leads to. {p} is the percentage, {n} the number.
"""

from __future__ import annotations

BEFORE_LESS = (
    "All prices went down {p}%. A @thing costs {n} dollars now.", "It is {n} dollars now, after {p}% were cut.",
    "They lowered it by {p}%, down to {n} dollars.", "The price of a @thing fell {p}%; today it is {n} dollars.",
    "A phone used {p}% of its charge, and {n} units are in it.", "{p}% evaporated. {n} ml are in the glass now.",
    "The herd shrank {p}% and counts {n} now.", "I sold {p}% of my shares and hold {n} now.",
    "With {p}% fewer visitors there were {n}.", "A @thing is at {n} dollars since it was made {p}% cheaper.",
    "{p}% have left the club, which now counts {n}.", "It went down by {p}%, and it shows {n} at present.",
    "The old price less {p}% is {n} dollars.", "Reduced by {p}% to {n} euros.",
    "The lake fell {p}% and holds {n} liters now.", "From an amount {p}% were taken, which leaves {n}.",
    "After the loss of {p}% there are {n} of them left.", "My weight went down {p}% to {n} kg.",
)  # fmt: skip
BEFORE_MORE = (
    "All prices went up {p}%. A @thing costs {n} dollars now.", "It is {n} dollars now, after {p}% were put on.",
    "They raised it by {p}%, up to {n} dollars.", "The price of a @thing rose {p}%; today it is {n} dollars.",
    "A phone was charged {p}% further than it was, and {n} units are in it.",
    "With tax of {p}% the receipt says {n} dollars.",
    "The herd grew {p}% and counts {n} now.", "I added {p}% to my shares and hold {n} now.",
    "With {p}% more visitors there were {n}.", "A @thing is at {n} dollars since it was made {p}% dearer.",
    "The club won {p}% and now counts {n}.", "It went up by {p}%, and it shows {n} at present.",
    "{n} dollars, tax of {p}% being part of it.", "Raised by {p}% to {n} euros.",
    "The lake rose {p}% and holds {n} liters now.", "To an amount {p}% were added, which makes {n}.",
    "After a gain of {p}% there are {n} of them here.", "My weight went up {p}% to {n} kg.",
)  # fmt: skip
BEFORE_ASKED = (
    "What did it start with?", "How much was that before it happened?", "What was it until then?", "And earlier?",
    "What number did it come from?", "How much before the change?", "What was the value at the outset?",
    "What was it at the very beginning?", "The old value?", "What had there been?", "Find what it was at first.",
    "How much was it to start with?", "Before that happened, how much was it?", "What was the full amount?",
    "What was the price or number before?", "How large had it been?", "Undo the change: how much is it?",
)  # fmt: skip
LEVEL = (
    "A phone holds {n} mAh and is at {p}%.", "The battery of {n} mAh shows {p}%.",
    "My tank takes {n} liters and is {p}% full.",
    "The gauge of a {n} liter tank is at {p}%.", "A disk of {n} GB is {p}% full.",
    "A bar of {n} steps has got to {p}%.",
    "The scooter's battery has {n} units when full. It says {p}%.", "Of a {n} page book I am at {p}%.",
    "A download of {n} MB stands at {p}%.", "The reservoir for {n} liters is filled to {p}%.",
    "A game of {n} points: {p}% are done.", "A charge of {n} units, now at {p}%.",
)  # fmt: skip
LEVEL_IN = (
    "How much is in it?", "How much has it now?", "How much is that?", "How much is there at this point?",
    "What amount does it stand at?", "In numbers, where does it stand?", "How much is it right now?",
    "How many does it show, not in percent?", "What does that level come to?",
)  # fmt: skip
LEVEL_OUT = (
    "How much is missing to the full?", "How much more would fill or finish it?", "How much is still to come?",
    "How far is it from the full number?", "What is it short of the whole?", "How much until it is complete?",
    "What is not in it yet?", "How much does it lack?",
)  # fmt: skip
WENT_ON = (
    "A blog had {n} readers, and then {p}% more.", "The choir of {n} gets {p}% new singers.",
    "{n} was the count, and it climbed {p}%.", "There were {n} views, and that went {p}% up.",
    "A band of {n} fans gains {p}% in a year.", "Some {n} members become {p}% more.", "{n}, and this goes up {p}%.",
    "A tax of {p}% is laid upon {n} dollars.", "Supper is {n} dollars, and {p}% go to the waiter on top.",
    "{n} dollars before tax, tax {p}%.", "For our table it is {n} dollars, and we add {p}%.",
)  # fmt: skip
FELL_ON = (
    "A blog had {n} readers, and then {p}% fewer.", "The choir of {n} loses {p}% of its singers.",
    "{n} was the count, and it dropped {p}%.", "There were {n} views, and that went {p}% down.",
    "A band of {n} fans shrinks {p}% in a year.", "Some {n} members become {p}% less.", "{n}, and this goes down {p}%.",
    "{p}% of {n} dollars are spent.", "Of {n} dollars in a purse {p}% are gone.",
    "{n} dollars before a discount of {p}%.",
    "For our table it is {n} dollars, and {p}% is let off.",
)  # fmt: skip
LEADS_TO = (
    "Where does that lead?", "What does it go to?", "What number is it then?", "How much does that make now?",
    "What comes out of it?", "Where does it stand after that?", "What does it grow or shrink to?",
    "What is the count afterwards?", "What is it in the end, all in all?", "How much is it once that is done?",
    "What is the sum when that is done?", "After that, how much is there?",
)  # fmt: skip
THE_PART = (
    "How much is that change?", "By how much does it change?", "What is the change as a number?",
    "How many is it that change?",
    "How big is the step, not in percent?", "How much comes or goes?", "What does that percentage make?",
    "As a number, what is the percentage?", "How much is only the difference?",
)  # fmt: skip
NET_TOLD = (
    "{n} dollars net, and {p}% tax.", "The net price is {n} dollars; tax is {p}%.",
    "Without tax {n} dollars. Tax: {p}%.",
    "Tax of {p}% is still to be added to {n} dollars.", "{n} euros before VAT, the VAT being {p}%.",
)  # fmt: skip
GROSS_ASKED = (
    "What is the gross price?", "How much is it gross?", "What is the price with tax?", "With the tax, how much?",
    "What does one pay, tax and all?", "How much does the customer pay?", "gross?",
)  # fmt: skip
TAX_ASKED = (
    "How much is the tax?", "What is the tax in money?", "How much of that goes to the state?",
    "Only the tax: how much?",
    "How much tax is put on?",
)  # fmt: skip
MORE = ((WENT_ON, LEADS_TO, THE_PART), (NET_TOLD, GROSS_ASKED, TAX_ASKED))
LESS = ((FELL_ON, LEADS_TO, THE_PART), (LEVEL, LEVEL_OUT, LEVEL_IN))
"""Situations, questions for what results, and questions for the part, as in percent_contexts.py."""
