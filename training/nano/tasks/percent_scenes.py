"""More situations and questions for percent_contexts.py, where they are put at the end of the tables of the same names.

SHRUNK goes with GROWN: the same things that become less instead of more, so that one word decides.
"""

from __future__ import annotations

CUT = (
    "{n} dollars was the price of the skates; the shop now takes {p}% less.",
    "They ask {n} dollars for a kayak, but with my card I get {p}% off.",
    "Today everything is {p}% cheaper. I picked boots that cost {n} dollars.",
    "A @place sells a stool for {n} dollars and lowers this by {p}%.", "Price: {n} euros, minus {p}% for members.",
    "{p}% off. Old price {n} dollars.", "The {n} dollar blender is marked {p}% down.",
    "With the app I save {p}% on a {n} dollar order.", "My boots, {n} dollars, were reduced by {p}%.",
    "The seller lets me have a {n} dollar rug at {p}% less.", "On Sundays a {n} euro museum pass is {p}% less.",
    "If you bring a friend, {p}% is taken off the fee of {n} dollars.", "A voucher cuts my bill of {n} euros by {p}%.",
    "The scarf: {n} dollars, {p}% off.", "{n} bucks for the helmet, {p}% off today.",
    "By {p}% they reduced a drum that was {n} dollars.", "There was {p}% off, so I got the {n} dollar fan.",
    "Because I pay cash, {p}% of the {n} dollars is dropped.", "Sofa {n} dollars, clearance {p}% off.",
    "A pan of {n} dollars goes for {p}% under its price.", "An order worth {n} dollars earns me a rebate of {p}%.",
    "The bill is {n} dollars and I need not pay {p}% of it.",
    "A {n} dollar suit hangs in the window with a sticker: {p}% off.",
    "I want the {n} euro (globe|vase|mirror), and it is {p}% off.",
)  # fmt: skip
CUT_RESULT = (
    "What is paid at the till?", "So I pay what?", "At what price do I get it?", "What does that make the price?",
    "To what does the price fall?", "Which price do I pay then?", "What stays to be paid?",
    "What will my card be charged?", "what do i end up paying", "How much does it go for?", "Name the price I pay.",
    "What does the shop get from me?", "What is the price once that is off?", "How low is the price now?",
    "Which amount do I owe them?", "What is the price today?", "What do I pay in the end?", "What is the price then?",
    "How much is it after that?", "What does that leave me to pay?", "Down to what price does it go?",
    "The price I pay is what?", "How much must I have with me to buy it?",
)  # fmt: skip
CUT_PART = (
    "The price comes down by how much?", "What does the discount amount to?", "How much do I not have to pay?",
    "What's the discount worth in money?", "Which amount is deducted?", "How much is the price lowered?",
    "How much money does that save me?", "What is subtracted from the price?", "How much less is that than before?",
    "how much off is that in money", "The difference to the old price is what?", "What's taken away from the price?",
    "How much below the old price is it?", "How much do I get off?", "Only the discount, please: how much is it?",
    "Not the new price, just the saving: how much?", "By what amount is it reduced?", "How far does the price drop?",
    "How much lower is what I pay?", "I do not want the new price. How much do I save?",
)  # fmt: skip
ADDED = (
    "{n} dollars is the bare price, and {p}% tax is added.", "For delivery they put {p}% on an order of {n} dollars.",
    "A room is {n} euros and the city adds {p}% on top.", "My order is {n} dollars, with {p}% for packing on top.",
    "The meal was {n} dollars. I round up by a tip of {p}%.", "There is {p}% tax to be added to a {n} dollar kettle.",
    "To the {n} dollars on the bill we add {p}% for the staff.", "Fee: {p}%, to be added to {n} dollars.",
    "I owe {n} dollars and {p}% more as interest.", "{n} dollars plus service of {p}%.",
    "A ticket is {n} dollars, and the website charges {p}% extra.",
    "When paying by card, {p}% is put on top of {n} dollars.", "The barber asks {n} dollars and I add {p}%.",
    "Net {n} euros, tax {p}%.", "By law {p}% is added to a price of {n} dollars.", "Our bill: {n} dollars. Tip: {p}%.",
    "I lend {n} dollars and get {p}% more back.", "A {n} dollar pizza night, and {p}% for the driver.",
    "Price: {n} euros, plus {p}% for strangers.", "The {n} dollar blender is marked {p}% up.",
)  # fmt: skip
ADDED_RESULT = (
    "What do I pay with it?", "How much with that added?", "What's the price with everything on it?",
    "What sum is due?", "What is the amount including that?", "To how much does it add up?", "and all together?",
    "How much must I hand over?", "What does the whole come to?", "How much is the bill with it?",
    "So the full amount is?", "With that included, what is it?", "How much money changes hands?",
    "What do I pay in the end?", "What is the price then?", "How much is it after that?",
    "Up to what amount does it go?", "What is the sum of price and extra?",
)  # fmt: skip
ADDED_PART = (
    "How much is only that?", "What is put on top, in money?", "How much more do I pay because of it?",
    "The added part alone is how much?", "What does that extra come to?", "By what amount does the price rise?",
    "How much of it is extra?", "What is the surcharge in money?", "I only want the extra: how much?",
    "How much above the first price is that?", "What's the additional amount?", "How much does that add?",
    "I know the price. How much is the rest that comes on top?", "Without the price, how much is that?",
)  # fmt: skip
GROWN = (
    "A club of {n} @people grows by {p}%.", "The number of {n} stores is raised by {p}%.",
    "Traffic of {n} cars a day went up by {p}%.", "A loan of {n} dollars grew {p}%.",
    "{n} pupils in spring; in autumn it was {p}% more.", "Our output was {n}. It has risen by {p}%.",
    "A puppy of {n} grams gains {p}%.", "A savings pot of {n} dollars became {p}% bigger.",
    "The water stood at {n} cm and rose by {p}%.", "From {n} the count rises {p}%.",
    "By {p}% a price of {n} dollars was raised.", "A forest of {n} trees gets {p}% more trees.",
    "Prices went up {p}%; the table was {n} euros before that.", "A blog with {n} fans wins {p}% more.",
    "The crowd of {n} swells by {p}%.", "An hourly wage of {n} cents climbs {p}%.",
    "Rain was {n} mm, then {p}% more the next month.", "At first it was {n}, then {p}% was added.",
    "The team made {n} points last season and {p}% more in this one.",
    "It is {p}% higher than last year, when it was {n}.",
)  # fmt: skip
GROWN_RESULT = (
    "Where does that take it?", "What figure is that now?", "What's the result of that?", "What is it changed to?",
    "What number comes out?", "Which number is it from then on?", "What is the outcome?", "What do we end up with?",
    "It is how much afterwards?", "How much is there once that has happened?", "What does the new number come to?",
    "Up to what does it go?", "With that on top, what is it?", "How large is it by now?",
)  # fmt: skip
GROWN_PART = (
    "The change is how large?", "How much has come in addition?", "By how many did it go up?", "How much did it gain?",
    "How far did it rise?", "How much is the addition?", "How big was the step?", "How much of it is new?",
    "What's the difference between then and now?", "How much larger did it get?",
)  # fmt: skip
SHRUNK = (
    "My salary is {n} dollars and it is cut by {p}%.",
    "Since last year a village of {n} people has become {p}% smaller.",
    "Last year we had {n} members, this year {p}% fewer.", "The rent was {n} euros and goes down by {p}%.",
    "A shop sold {n} books in May and {p}% fewer in June.", "A farm had {n} hens. Their number fell by {p} percent.",
    "A candle of {n} mm gets {p}% shorter in an hour.", "Bread got {p}% cheaper. It was {n} cents.",
    "The price of gas fell {p}% from {n} cents.", "A stock at {n} dollars drops {p}%.",
    "{n} visitors came last week, and {p}% fewer this week.", "My pay of {n} dollars is lowered by {p}%.",
    "The school has {n} pupils. Next year there will be {p}% fewer.",
    "A worker makes {n} parts a day. On hot days it is {p}% less.", "A collection of {n} stamps gets {p}% smaller.",
    "The value of a house was {n} and sank by {p}%.", "She ran {n} m in the first week and {p}% less in the next.",
    "The team had {n} fans, then {p}% turned away.", "A website had {n} readers. That went down {p}%.",
    "A club of {n} @people shrinks by {p}%.", "Traffic of {n} cars a day went down by {p}%.",
    "A debt of {n} dollars fell {p}%.", "{n} pupils in spring; in autumn it was {p}% less.",
    "Our output was {n}. It has sunk by {p}%.", "A dog of {n} grams loses {p}%.",
    "A savings pot of {n} dollars became {p}% smaller.", "The water stood at {n} cm and sank by {p}%.",
    "From {n} the count falls {p}%.", "By {p}% a price of {n} dollars was lowered.",
    "A forest of {n} trees loses {p}% of its trees.", "Prices went down {p}%; the table was {n} euros before that.",
    "A blog with {n} fans loses {p}%.", "The crowd of {n} thins out by {p}%.",
    "An hourly wage of {n} cents drops {p}%.", "Rain was {n} mm, then {p}% less the next month.",
    "At first it was {n}, then {p}% was taken away.",
    "The team made {n} points last season and {p}% fewer in this one.",
    "It is {p}% lower than last year, when it was {n}.",
)  # fmt: skip
SHRUNK_RESULT = (
    "How much is it now?", "What is the new number?", "How many are there now?", "What is it after that?",
    "What is the new amount?", "How much is it then?", "How many is that now?", "What does it become?",
    "What is it in the end?", "What's the number afterwards?", "To what does it fall?", "What is the new value?",
    "How low is it now?", "How much will it be?", "Where does it stand now?", "What do we have then?",
    "How far down is it now?", "What is it with the loss?", "Where does that take it?", "What figure is that now?",
    "What's the result of that?", "What is it changed to?", "What number comes out?",
    "Which number is it from then on?", "What is the outcome?", "What do we end up with?", "It is how much afterwards?",
    "How much is there once that has happened?", "Down to what does it go?", "With that off, what is it?",
    "How small is it by now?", "What does the new number come to?", "What does that leave it at?",
)  # fmt: skip
SHRUNK_PART = (
    "How much less is that?", "By how much did it fall?", "How big is the decrease?", "How many fewer are that?",
    "What is the decrease?", "How much was taken off?", "What is the difference to before?", "How large is the drop?",
    "How much is the minus?", "How much lower is it?", "By what amount did it shrink?", "What's the loss?",
    "How much went away?", "What is the fall?", "How much less is it than it was?", "The change is how large?",
    "By how many did it go down?", "How much did it lose?", "How far did it fall?", "How big was the step?",
    "How much of it has gone?", "What's the difference between then and now?", "How much smaller did it get?",
)  # fmt: skip
LOST = (
    "{p}% of a stock of {n} lamps has been sold.", "We had {n} plates, and {p}% broke.",
    "From a sack of {n} kg, {p}% was eaten by mice.", "A choir of {n} lost {p}% of its singers.",
    "I have used {p}% of {n} minutes.", "{n} liters were in the barrel before {p}% ran out.",
    "{p}% of my {n} dollars went to the dentist.", "Fire took {p}% of a forest of {n} trees.",
    "Out of a roll of {n} cm, {p}% has been cut off.", "She had {n} plants. {p}% dried up.",
    "The @place had {n} @people; {p}% have gone home.", "By noon {p}% of {n} buns were sold.",
    "An exam has {n} questions and I am through with {p}%.", "{p}% of the {n} tickets went in an hour.",
    "A phone with {n} photos gets rid of {p}% of them.", "Of {n} dollars in my purse {p}% is spent.",
    "@Day there were {n} apples, {p}% of which are gone @later.", "{n} eggs, {p}% used for a cake.",
    "@Someone took {p}% of our {n} chairs.",
)  # fmt: skip
LOST_RESULT = (
    "How much does one find there afterwards?", "What's still left of it?", "How many are not gone?",
    "How much can still be used?", "Without that part, how much is it?", "What is left when that is gone?",
    "How many does one count after that?", "With those off, how many are there?", "How big is the other part?",
    "what is still there", "How much is untouched?", "How many would still be there?",
    "Not counting what is gone, how many are there?", "If you take that away, what is it?",
    "How much has not been lost or used?", "And the part that stays, how much is it?", "How many does that leave us?",
)  # fmt: skip
LOST_PART = (
    "The part that went: how much is it?", "Count what is gone. How many?", "How many does that percentage stand for?",
    "Only the gone part: how many?", "How much of it went?", "What was taken, as a number?",
    "What does the loss come to?", "How much less is there now?", "How many have gone by now?",
    "not what is left but what is gone: how much?", "How many do we have less than before?",
    "Never mind what is left: how much went?",
)  # fmt: skip
GROUP = (
    "{n} {m} belong to the {w}, and {p}% of those {v}.", "In our {w} {p}% of {n} {m} {v}.",
    "Take a {w} of {n} {m} in which {p}% {v}.", "Say {p}% of {n} {m} {v}.",
    "I asked {n} {m}. {p}% told me that they {v}.", "Among the {n} {m} of a {w}, {p} percent {v}.",
    "There are {n} {m}. Those who {v} are {p}%.", "Of all {n} {m} here, {p}% {v}.",
    "A {w} says that {p}% of its {n} {m} {v}.", "{n} {m} come to the {w}. {p}% {v}.",
    "A count of {n} {m} shows that {p}% {v}.", "{p}% of us {n} {m} {v}.",
    "The {w} has {n} {m}, and those who {v} make up {p}%.",
)  # fmt: skip
GROUP_PART = (
    "How many {m} belong to that part?", "How many does that make?", "Those who {v}: how many are they?",
    "Count those who {v}.", "How many {m} can say that they {v}?", "The part who {v} is how many?",
    "What does that come to in {m}?", "How many heads is that share?", "How many out of the {n} {v}?",
    "I want the number of those who {v}.", "That share is how many {m}?", "Only those: how many {m}?",
    "How many {m} would we find among them?",
)  # fmt: skip
GROUP_RESULT = (
    "If those are not counted, how many {m} is it?", "Without them, how many {m} are there?",
    "Take them away: how many {m} stay?", "Apart from those, how many {m} are there?",
    "How many {m} are they who do not {v}?", "How many {m} are on the other side?", "How many {m} belong to the rest?",
    "Count those who do not {v}.", "How many {m} can not say that?", "Besides these, how many {m} are there?",
    "I want the number of those who do not {v}.", "How many out of the {n} do not {v}?",
    "And how many {m} are none of those?", "How many {m} would be left if those went away?", "The others are how many?",
    "Except for these, how many {m} is that?", "With those taken out, how many {m} remain?",
)  # fmt: skip
KEPT = (
    "{p}% of {n} tickets are still there.", "A tank of {n} liters is still {p}% full.",
    "Of {n} @people in a @place {p}% have stayed.", "I have kept {p}% of my {n} stamps.",
    "After the storm {p}% of {n} trees stood.", "A sack of {n} kg has {p}% left in it.",
    "{p}% of a pay of {n} dollars is left at the end of the month.", "There were {n} buns, and {p}% were not sold.",
    "From {n} glasses {p}% did not break.", "{n} players began and {p}% are still in the game.",
    "Of {n} dollars I still have {p}%.", "The pool held {n} liters; {p}% of that is in it now.",
    "{p}% of {n} seeds lived.", "A candle of {n} mm has burnt until {p}% was left.", "My {n} cards are down to {p}%.",
    "{p}% remain of {n} sheep.", "Only {p}% of the {n} lamps still work.", "A team of {n} is down to {p}%.",
    "{n} eggs were there, and {p}% of them are whole.", "The phone had {n} minutes and shows {p}% of that.",
)  # fmt: skip
"""What stays is told as a percentage, so that what is left is the part and what is gone the rest."""
KEPT_GONE = (
    "How much is gone?", "How many are gone?", "How much is missing?", "How much went?", "How many were lost?",
    "What is no longer there?", "How many went away?", "How much less is it than at first?",
    "By how much did it go down?", "What number is gone?", "How much was there that is not there now?",
    "How many did not stay?", "How large was the loss?", "How many are we short of?", "How much has it lost?",
    "And how many of them are not there?",
)  # fmt: skip
KEPT_LEFT = (
    "How much is left?", "How many are left?", "How many are still there?", "What remains?", "How much is that?",
    "What is still there?", "How many stayed?", "How many is that?", "How much is it now?",
    "How many does one still find?", "What number is left?", "How many have not gone?", "How much can still be used?",
    "And how much is still there?", "How many of them are there today?", "What does that make in numbers?",
)  # fmt: skip
SIDES = (
    "{p}% of {n} {m} are {x}, and the others are {y}.", "A @place has {n} {m}. {p}% are {x}, the rest {y}.",
    "Of {n} {m} {p}% are {x}; all others are {y}.", "{n} {m}: {p}% {x}, the rest {y}.",
    "There are {n} {m}, {x} or {y}, and {p}% are {x}.", "{n} {m} are there. {p}% of them are {x}.",
    "{p}% of our {n} {m} are {x}.", "I have {n} {m}, of which {p}% are {x}.", "We looked at {n} {m} and {p}% were {x}.",
    "In a @place {p}% of {n} {m} are {x}.", "The share of {x} ones is {p}%, and there are {n} {m}.",
    "Each of {n} {m} is {x} or {y}. Those that are {x} make up {p}%.", "{n} {m}, {p}% {x}.",
)  # fmt: skip
"""Of things that are either {x} or {y}, the share of one side is told."""
SIDE_TOLD = (
    "How many {m} are {x}?", "How many are {x}?", "What is the number of {x} {m}?", "How many {x} ones are there?",
    "how many {x} {m}", "And the {x} ones: how many?", "Count the {x} {m}.", "How many would you find that are {x}?",
    "{x} ones, how many is that?",
)  # fmt: skip
SIDE_OTHER = (
    "How many {m} are {y}?", "How many are {y}?", "What is the number of {y} {m}?", "How many {y} ones are there?",
    "how many {y} {m}", "And the {y} ones: how many?", "Count the {y} {m}.", "How many would you find that are {y}?",
    "{y} ones, how many is that?",
)  # fmt: skip
