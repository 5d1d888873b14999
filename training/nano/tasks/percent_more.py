"""More ways to ask for percentages: facts and questions that go together freely, and lines for percent_wordings.py.

What is known is told first or last: the whole, a part, or two numbers of which one became the other. {p} is the
percentage, {n} the whole, {a} and {b} a part and its whole, {b} and {c} what was and what is.
"""

from __future__ import annotations

WHOLE_TOLD = (
    "The whole is {n}.", "All of it is {n}.", "100% is {n}.", "In all there are {n}.", "A number is {n}.",
    "There are {n} in total.", "The full amount is {n}.", "I have {n} altogether.", "{n} belongs to 100%.",
    "The complete price is {n} dollars.", "A full tank is {n} liters.", "The club has {n} @people.",
    "The way is {n} km.", "The book has {n} pages.", "{n} points are possible.", "{n} is what 100% makes.",
    "Everything together makes {n}.", "{n} is the number that I start from.", "Let us take {n}.",
    "My pay is {n} dollars.", "{n} @people were asked.", "Base value: {n}.", "I think of {n}.",
    "The bill says {n} dollars.",
)  # fmt: skip
"""The whole is known: its part is asked for."""
PART_ASKED = (
    "How much is {p}% of that?", "What is {p}%?", "And {p}%?", "How much would {p}% be?", "What does {p}% come to?",
    "What is a part of {p}%?", "How many are {p}%?", "Find {p}% of it.", "{p}% of that is what?",
    "How large is a {p}% part?", "What number belongs to {p}%?", "{p}% makes how much?", "Give me {p}%.",
    "I need {p}% of this. How much is it?", "so what is {p}%", "Which number stands for {p}%?",
    "How much do I get with {p}%?", "Only {p}% of it: how much?", "What would one pay for {p}% of it?",
    "To what does {p}% of it amount?", "Which part is {p}%?", "What is {p} percent of this number?",
)  # fmt: skip
PART_TOLD = (
    "{p}% of a number are {a}.", "{a} is {p}% of the whole.", "{p} percent of the @people, that is {a}, are here.",
    "{a} eggs broke, which is {p}% of all.", "{p}% of my pay is {a} dollars.",
    "I have {a} dollars; that is {p}% of the price.", "{a} km are done, {p}% of the way.",
    "We sold {a} tickets, and that was {p}% of them.", "{p}% makes {a}.", "{p}% comes to {a}.", "{a} belongs to {p}%.",
    "A part of {p}% is {a}.", "{a} stands for {p}%.", "The {a} @people who came are {p}% of the club.",
    "The tank has {a} liters and is {p}% full.", "{a} points were {p}% of what was possible.",
    "I paid {a} dollars down, {p}% of the price.", "{p}% of the seats, {a} in number, are taken.",
    "The first {a} pages are {p}% of the book.", "{a} grams of it are sugar, and that is {p}%.",
    "{p} percent is what I have: {a}.", "Only {p}% came, and they were {a}.", "My share is {p}%, which is {a} dollars.",
    "{p}% = {a}.",
)  # fmt: skip
"""A part is known: the whole is asked for."""
WHOLE_ASKED = (
    "How much is the whole?", "What is 100%?", "How much is all of it?", "What is the full number?",
    "How much is the total?", "What is the total?", "How many are there in all?", "What is everything together?",
    "What does the whole come to?", "How much would be 100%?", "And all of it?", "What is the complete amount?",
    "So how much is 100 percent?", "What would be the whole?", "how much is it all", "What number is it a part of?",
    "Of what is that a part?", "From which number was it taken?", "Find the whole.", "How large is the whole thing?",
    "What does 100% make?", "How much in total, then?", "And 100%?", "What number belongs to 100%?",
    "How much is it if nothing is missing?",
)  # fmt: skip
RATIO_TOLD = (
    "{a} of the {b} @people in a @place are ill.", "There are {b} @people and {a} of them sing.",
    "Of {b} eggs {a} broke.", "A jar for {b} beans has {a} in it.", "I have done {a} of {b} tasks.",
    "From a wage of {b} dollars {a} dollars go to rent.", "{b} tickets were printed, {a} are sold.",
    "The whole is {b}, a part of it is {a}.", "I needed {b} points and got {a}.",
    "A test has {b} questions; {a} of my answers were right.", "{a} out of {b} lamps are on.",
    "My goal was {b} km, and I ran {a}.", "We planted {b} trees and {a} grew.",
    "A film takes {b} minutes. {a} are over.", "{b} @people could come, and {a} did.",
    "There is room for {b} cars, and {a} are parked.", "She saved {a} of the {b} dollars she got.",
    "In a bag with {b} marbles {a} are green.", "{b} grams of dough hold {a} grams of butter.",
    "Out of {b} days {a} were rainy.", "{a} kids of a group of {b} can swim.",
    "In all {b} cups were washed, and {a} had cracks.", "I got {a} where {b} was the most one can get.",
    "{a} is the part and {b} the total.", "100% would be {b}, and I have {a}.", "{b} is all there is, {a} is mine.",
    "{a} shots of {b} were goals.", "{a} @people voted yes out of {b} who voted.",
)  # fmt: skip
"""A part and its whole are known: the percentage is asked for."""
RATIO_ASKED = (
    "What percent is that?", "How many percent is it?", "What is that in percent?", "What is the percentage?",
    "As a percentage?", "Give that in percent.", "in percent please?", "How much is that in percent?",
    "What percentage does that make?", "Which percentage is this?", "How large is that part in percent?",
    "What share is it, in percent?", "Work out the percentage.", "Express it in percent.", "So how many percent?",
    "Percent?", "What percent would you write?", "Turn that into percent.", "I need it in percent.",
    "How do I say that in percent?", "Can you tell the percentage?", "The part is how many percent?",
    "How many % are these?", "To what percentage does it come?",
)  # fmt: skip
CHANGE_TOLD = (
    "It was {b} and is {c} now.", "From {b} it went to {c}.", "The price was {b} dollars; today it is {c} dollars.",
    "A @place had {b} @people last year and has {c} this year.", "First {b}, then {c}.",
    "@Day I counted {b}, @later {c}.", "Before: {b}. After: {c}.", "We started with {b} and ended with {c}.",
    "My rent used to be {b} dollars. Now it is {c} dollars.", "Where there were {b}, there are {c} now.",
    "The old number is {b}, the new one {c}.", "It stood at {b}, and it stands at {c} now.",
    "Once it cost {b}, now it costs {c}.", "I weighed {b} kg and weigh {c} kg now.",
    "The score went from {b} points to {c} points.", "It is {c} now. Before it was {b}.",
    "{c} is what {b} has turned into.",
)  # fmt: skip
"""What was and what is are known: the change is asked for."""
ROSE_ASKED = (
    "By how many percent did it rise?", "How many percent more is that?", "What is the increase in percent?",
    "What percent was gained?", "How much did it go up, in percent?", "What's the growth in percent?",
    "How many percent were added?", "How many percent higher is it?", "up by what percent?",
    "What is the change in percent?", "By what percent has it changed?", "What is the percentage change?",
    "How large is the step in percent?", "In percent, how big is the gain?", "The rise is how many percent?",
    "How many percent did it climb?",
)  # fmt: skip
FELL_ASKED = (
    "By how many percent did it fall?", "How many percent less is that?", "What is the decrease in percent?",
    "What percent was lost?", "How much did it go down, in percent?", "What's the loss in percent?",
    "How many percent were taken off?", "How many percent lower is it?", "down by what percent?",
    "What is the change in percent?", "By what percent has it changed?", "What is the percentage change?",
    "How large is the step in percent?", "In percent, how big is the drop?", "The fall is how many percent?",
    "How many percent did it sink?",
)  # fmt: skip
OF = (
    "If {p}% of {n} @people leave, how many leave?", "With {p}% off {n} dollars, how many dollars come off?",
    "{n} goes up {p}%. How much is that step?", "I only ask for the part: {p}% of {n}",
    "{n} is the number, {p} the percentage. What is the part?", "base {n}, rate {p}%: part?",
    "A rise of {p}% on {n} is a rise by how much?", "A drop of {p}% on {n} is a drop by how much?",
    "What does {p}% off take from {n} dollars?", "From {n} dollars I put {p}% away. How much is put away?",
    "Each year {p}% of {n} @people move. How many move in a year?", "{p} of every hundred out of {n}: how many?",
    "how many out of {n} are {p}%", "The rate is {p}% and the amount {n}. How much is it?", "{p}% is wanted of {n}",
    "My share of {n} dollars is {p}%. What do I get?", "I want to know how many {p}% of {n} @people are.",
    "{n} - what is {p}% of this?", "On {n} dollars, what does {p}% make?",
    "{p}% for me, of {n} dollars in all. What is mine?", "{p}% out of {n} dollars is spent. How much is spent?",
    "What is added when {n} rises by {p}%?", "What is taken off when {n} falls by {p}%?",
    "If {n} shrinks by {p}%, how much goes?",
)  # fmt: skip
LOWERED = (
    "{p}% voucher, {n} dollar basket: price?", "voucher {p}%, basket {n} dollars, what do I pay",
    "a {n} dollar tent with {p}% rebate comes to what", "{n} dollars, promo code for {p}% off. to pay?",
    "my {n} dollar fare with a {p}% railcard is how much", "{p}% goes off {n} dollars at the till. what's left to pay",
    "list price {n}, discount {p}%, net price?", "{n}, and then {p}% off that: what is it?",
    "With {p}% off, {n} is how much?", "What is {n} once {p}% has gone?",
    "{p}% has been taken from {n}. What is there?", "Pull {p}% off {n}.", "{n} goes down {p}%",
    "{n} less {p} percent of it", "Which price is {p}% under {n} dollars?", "{p}% under {n} is what?",
    "All of {n} but {p}%: how much is it?", "What is left after {p}% of {n} is gone?",
    "{n} is cut by {p}%, giving what?", "I lower {n} by {p}%. Result?", "Giving up {p}% of {n} leaves me with what?",
    "If {p}% of {n} @people leave, how many stay?", "My {n} dollars lose {p}% of their value. What are they worth?",
    "{p}% cheaper than {n} dollars is how much?", "{p}% fewer than {n}?", "{p}% smaller than {n}?",
    "a decrease of {p}% from {n}, what is it then", "{n}, down {p}%", "{n} with a cut of {p}%",
    "What number is {n} after it falls {p}%?", "From {n} dollars I put {p}% away. How much do I keep out?",
    "Each year {p}% of {n} @people move away. How many are left after one year?",
    "{n} dollars, to be paid without {p}% of it: how much?", "What is {n} dollars if {p}% need not be paid?",
)  # fmt: skip
RAISED = (
    "{p}% surcharge, {n} dollar basket: price?", "surcharge {p}%, basket {n} dollars, what do I pay",
    "a {n} dollar tent with {p}% customs comes to what", "{n} dollars, a fee of {p}% on top. to pay?",
    "my {n} dollar fare with a {p}% extra for the night is how much",
    "{p}% goes onto {n} dollars at the till. what's to pay", "net price {n}, tax {p}%, price with tax?",
    "{n}, and then {p}% on top of that: what is it?", "With {p}% on top, {n} is how much?",
    "What is {n} once {p}% has come on top?", "{p}% has been put on {n}. What is there?", "Push {n} up by {p}%.",
    "{n} goes up {p}%", "{n} and {p} percent of it on top", "Which price is {p}% over {n} dollars?",
    "{p}% over {n} is what?", "{n} is raised by {p}%, giving what?", "I raise {n} by {p}%. Result?",
    "Winning {p}% on {n} leaves me with what?", "If {n} @people become {p}% more, how many is it?",
    "My {n} dollars gain {p}% in value. What are they worth?", "{p}% dearer than {n} dollars is how much?",
    "{p}% more than {n}?", "{p}% larger than {n}?", "an increase of {p}% from {n}, what is it then", "{n}, up {p}%",
    "{n} with a rise of {p}%", "What number is {n} after it rises {p}%?",
    "{n} dollars without tax, and the tax is {p}%: what is it with tax?",
    "Including {p}% tax, what does {n} dollars become?", "{n} dollars, to be paid with {p}% on it: how much?",
)  # fmt: skip
RATIO = (
    "{b} is the base. What percent is {a}?", "Base {b}, value {a}: percent?",
    "If all of it is {b}, {a} is how many percent?", "When {b} counts as 100%, how many percent is {a}?",
    "Let {b} be 100%. Find the percent for {a}.", "100% is {b}. And {a} is how many percent?",
    "Say {b} is everything. How many percent is {a}?", "{a} - how many percent of {b}?", "percent for {a} of {b}",
    "how much is {a} of {b}, in %", "% of {b} that is {a}?", "{a} beside {b} as the whole: what percentage?",
    "I know the part, {a}, and the whole, {b}. What is the percentage?", "Relative to {b}, what percent is {a}?",
    "Taking {b} as the whole, {a} is what percent of it?", "What percent must I take of {b} to get {a}?",
    "To get {a} from {b}, what percent do I take?", "how many % is {a} when {b} is the total",
    "{a} in a total of {b}: percentage?", "To what percentage of {b} does {a} amount?",
    "{a} amounts to how many percent of {b}?", "the percentage that {a} is of {b}", "find what percent {a} is of {b}",
    "{a} is a part of {b}. Tell me the percent.", "{a} to {b} as a percentage",
    "Compare {a} with {b}: it is how many percent of it?", "If {b} belongs to 100%, which percent belongs to {a}?",
    "How many percent do you have with {a} of {b}?",
)  # fmt: skip
PART = (
    "{f} goes from {n}. How much goes?", "{n} in all, and {f} is mine. How much is mine?",
    "I cut {n} and take {f}. How much is it?", "{f} of this: {n}", "{f} part of {n}", "the {f} that I get of {n}",
    "If I get {f} and the whole is {n}, how much do I get?",
    "Of my {n} dollars, {f} is for rent. How much is the rent?", "{f} of {n} @people: how many?",
    "how do I get {f} of {n}", "{n} @people, and {f} come. How many come?",
)  # fmt: skip
MULTIPLE = (
    "take {m} {n}", "I have {n}, you have {m} that. How much is yours?", "Make it {m} {n}.", "{m} {n}, how much is it?",
    "If {n} is one, what is {m} that?", "If it were {m} {n}, how much?",
)  # fmt: skip
