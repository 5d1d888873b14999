"""Percentages in small stories: what is the case, then which of two numbers is asked for.

Every situation may be followed by a question for the part (p % of n) or by one for what results (n less or plus p %),
so that the question, not the scene, decides what is calculated. {p} is the percentage, {n} the number.
"""

from __future__ import annotations

CUT = (
    "A coat costs {n} dollars and is {p}% off.", "The price of a lamp is {n} dollars. Today there is a {p}% discount.",
    "A bike that costs {n} dollars is sold with a discount of {p}%.",
    "I have a coupon for {p}% off. The shoes are {n} dollars.",
    "A shop gives {p}% off everything. A table there (is|costs) {n} dollars(| normally).",
    "Members (get|pay) {p}% (off|less). My order is {n} dollars.",
    "The store takes {p}% off a (sofa|bed|desk|carpet) of {n} dollars.",
    "(With|There is) a student discount of {p}%(| on everything). The laptop is {n} euros.",
    "On Black Friday a phone of {n} dollars is {p}% cheaper.", "A hotel room of {n} euros is reduced by {p}%.",
    "Regular price: {n} dollars. Discount: {p}%.", "The tag says {n} dollars, and a sign says {p}% off.",
    "My tickets would be {n} dollars, but I get a {p}% rebate.",
    "(Seniors|Children|Teachers) get a {p}% reduction on a ticket of {n} dollars.",
    "The dealer lowers the price of a {n} dollar car by {p}%.", "Because of a scratch, a {n} euro chair is {p}% off.",
    "{p}% is taken off a bill of {n} dollars.", "A jacket was {n} dollars before it was marked down by {p}%.",
    "There is a sale with {p}% off and I want a {n} dollar (dress|watch|tent).",
    "We ordered for {n} dollars and a promo code takes off {p}%.",
    "If I pay today, I get {p}% off my rent of {n} dollars.",
    "The original price of the (guitar|camera|ring) was {n} dollars, now it is {p}% less.",
    "A flight for {n} dollars is on offer, {p}% off.", "For paying early a customer gets {p}% off an invoice of {n} "
    "euros.", "{p} percent off, list price {n} dollars.", "My cart is {n} dollars and I have a {p}% voucher.",
    "I pay {p}% less than {n} dollars for a chair.", "Normally it is {n} dollars, with my card {p}% less.",
    "A store has {p}% off on a {n} dollar stove.", "{n} dollars is the old price of a tent, and {p}% comes off.",
    "My friend gets {p}% off {n} dollars at work.", "The book was {n} dollars when new, used it is {p}% off.",
)  # fmt: skip
CUT_RESULT = (
    "What do I pay?", "How much do I have to pay?", "What is the new price?", "What does it cost now?",
    "What is the price after the discount?", "How much (is|does) it (now|cost with the discount)?",
    "What is the final price?", "How much do I still pay?", "What's the sale price?", "so what does it cost",
    "What is the reduced price?", "Price to pay?", "How much money do I need?", "What is left to pay?",
    "What will be on the receipt?", "What amount is due?", "How much does one pay in the end?",
    "What does that come down to?", "What is it after the reduction?", "What would I be charged?",
    "How much am I going to spend?", "What is the discounted price?", "Tell me the price with the discount.",
    "I pay how much?", "what's my price", "How expensive is it now?",
    "What do I hand over?", "What is the bill then?", "With that off, what is the price?",
    "What's the cost in the end?", "How much is to pay?", "The new price is what?", "What does it sell for?",
    "How much will it take to buy it?",
)  # fmt: skip
CUT_PART = (
    "How much do I save?", "How much is the discount?", "What is the discount in dollars?", "What do I save?",
    "How much is taken off?", "How many dollars off is that?", "How big is the saving?", "What's the saving?",
    "By how much does the price drop?", "How much cheaper is it?", "By how many dollars is it cheaper?",
    "How much less do I pay?", "What is the reduction in money?", "what do I save with that",
    "How much money stays in my pocket?", "How much money is (saved|the discount worth)?",
    "What amount do they take off?", "How many dollars is the discount?", "Tell me how much I save.",
    "What is the size of the discount?", "What is the price cut?", "How much do they knock off?",
    "What comes off?", "How much do they take off?", "How much less is it?", "How much smaller is the price?",
    "What money do I not have to pay?", "What is the price drop?", "The saving is how much?", "How much is saved?",
)  # fmt: skip
ADDED = (
    "Dinner was {n} dollars and we tip {p}%.", "The bill is {n} dollars. I leave a {p}% tip.",
    "A phone costs {n} dollars plus {p}% sales tax.", "The tax is {p}%. My shopping is {n} dollars before tax.",
    "A hotel charges {n} euros and adds {p}% for service.", "I order for {n} dollars, and {p}% tax comes on top.",
    "The restaurant bill was {n} dollars. The tip should be {p}%.", "A taxi ride is {n} dollars and I tip {p}%.",
    "There is a {p}% fee on a ticket of {n} dollars.", "The net price is {n} euros and VAT is {p}%.",
    "The haircut was {n} dollars, and I want to tip {p}%.", "I borrow {n} dollars and pay {p}% interest after a year.",
    "{n} dollars are on a savings account at {p}% a year.", "An invoice of {n} euros gets {p}% VAT.",
    "Lunch for {n} dollars, tip {p}%.", "Sales tax here is {p}%, and the (book|toy|radio) is {n} dollars without it.",
    "The agent takes a fee of {p}% on a rent of {n} dollars.", "I buy a lamp for {n} dollars in a state with {p}% tax.",
    "The waiter brings a bill of {n} dollars. We give {p}% extra.", "A late fee of {p}% is added to {n} dollars.",
    "A bank pays {p}% a year on {n} dollars.", "My food is {n} dollars, the delivery service adds {p}%.",
    "{n} dollars for the meal and {p}% for the waiter.", "The price without tax is {n} dollars, the tax rate {p}%.",
    "I invest {n} dollars and gain {p}%.", "Customs add {p}% to a parcel worth {n} euros.",
    "The bill for our table is {n} dollars, and {p}% is the tip.",
    "Our supper cost {n} dollars; we want to tip {p}%.", "On a lunch of {n} dollars I give {p}% to the waiter.",
    "Shipping adds {p}% to an order of {n} dollars.", "A parcel is worth {n} euros, and the duty is {p}%.",
    "The cab is {n} dollars and the driver gets {p}% more.", "Without tax it is {n} dollars. Tax is {p}%.",
)  # fmt: skip
ADDED_RESULT = (
    "What is the total?", "How much is it in total?", "What do I pay in all?", "How much is it with everything?",
    "What is the whole amount?", "How much do we pay together with that?", "What is the final amount?",
    "What does it come to (in the end|in total)?", "What is the sum?", "total please", "How much is the complete bill?",
    "How much money is it then?", "What will the total be?", "So what's the total?",
    "What's the amount with it included?", "How much is that including everything?", "Total amount?",
    "What is the grand total?", "How much is it all in all?", "Tell me the total.", "what's the full amount",
    "How much is the full bill?", "What is the whole bill?", "What must be paid altogether?",
    "How much is everything?", "With that on top, how much is it?", "What do we hand over in all?",
    "What is the bill with that?", "How much is it complete?", "How much goes out of my pocket in all?",
    "What does it all cost?", "Altogether, please?",
)  # fmt: skip
ADDED_PART = (
    "How much is the extra?", "How much is added?", "How much is that part alone?", "How much comes on top?",
    "How many dollars is that alone?", "What is the extra amount?", "What is added, in money?",
    "How much more than before is that?", "How much is only the part that is added?", "Just the extra: how much is it?",
    "What amount is added?", "By how much does it go up?", "How big is the extra?", "How many dollars are added?",
    "Not the total, only the extra, please.", "Tell me only what is added.",
    "How much is just the extra?", "What is only the part on top?", "How much is it without the price itself?",
    "How much larger does that make the bill?", "How much is the added part?", "What does the bill grow by?",
    "How much is put on top?",
)  # fmt: skip
ADDED_NAMED = (
    (("How much is the tip?", "What is the tip?", "How many dollars is the tip?", "What tip is that?",
      "How large is the tip?", "What should the tip be?", "How much do I tip?", "Tip in dollars?",
      "How much does the waiter get?", "What do I leave as a tip?"), (
        "The bill is {n} dollars and I (tip|give a tip of) {p}%.", "Dinner for {n} dollars, {p}% tip.",
        "We ate for {n} dollars and want to tip {p} percent.", "My taxi was {n} dollars. I tip {p}%.",
        "I like to tip {p}%. The bill says {n} dollars.", "Our meal came to {n} dollars and we tip {p}%.",
        "The haircut is {n} dollars, with a {p}% tip.", "A waiter hopes for {p}% on a bill of {n} dollars.")),
    (("How much is the tax?", "What is the tax?", "How much tax do I pay?", "How many dollars is the tax?",
      "How much goes to the state?", "What tax is due?", "How high is the tax?", "Tax in dollars?",
      "What do I owe in taxes?", "How much tax is that?"), (
        "A radio is {n} dollars plus {p}% tax.", "The tax is {p}% and my shopping is {n} dollars.",
        "I earn {n} dollars. {p}% of it is taxed.", "On {n} dollars the tax rate is {p}%.",
        "I sold a house for {n} dollars. The tax is {p} percent.", "An income of {n} dollars is taxed at {p}%.",
        "Sales tax: {p}%. Price: {n} dollars.", "My bonus is {n} euros and {p}% goes to taxes.")),
    (("How much interest is that?", "What is the interest?", "How much interest do I get?", "How much do I gain?",
      "What interest comes in after a year?", "How much does the bank pay me?", "Interest for the year?",
      "What do I earn on it?"), (
        "I have {n} dollars in the bank at {p}% a year.", "A bank gives {p}% interest on {n} dollars for one year.",
        "My savings of {n} euros earn {p}% in a year.", "At {p}% I put {n} dollars away for one year.",
        "An account holds {n} dollars and pays {p} percent yearly.", "I lend a friend {n} dollars for {p}% interest.")),
    (("How much is the commission?", "What is the fee?", "How much is the fee?", "What does the agent get?",
      "How much money is the fee?", "What is the provision?"), (
        "An agent gets {p}% of a sale of {n} dollars.", "The fee is {p}% of {n} dollars.",
        "A site takes {p}% when I sell something for {n} dollars.", "He sold a car for {n} dollars at {p}% commission.",
        "My broker charges {p} percent on {n} dollars.", "I sell a painting for {n} euros, the gallery takes {p}%.")),
)  # fmt: skip
"""Questions for the part alone, and the situations that they go with."""
GROWN = (
    "My salary is {n} dollars and I get a raise of {p}%.",
    "Since last year a village of {n} people has become {p}% larger.",
    "Last year we had {n} members, this year {p}% more.", "The rent was {n} euros and goes up by {p}%.",
    "A shop sold {n} books in May and {p}% more in June.", "A farm had {n} hens. Their number grew by {p} percent.",
    "A tree of {n} cm grows {p}% in a year.", "Bread got {p}% more expensive. It was {n} cents.",
    "The price of gas rose {p}% from {n} cents.", "A stock at {n} dollars climbs {p}%.",
    "{n} visitors came last week, and {p}% more this week.", "My pay of {n} dollars is raised by {p}%.",
    "The school has {n} pupils. Next year there will be {p}% more.",
    "A worker makes {n} parts a day. The new machine makes {p}% more.", "A collection of {n} stamps gets {p}% bigger.",
    "The value of a house was {n} and rose by {p}%.", "A factory that built {n} cars now builds {p}% more.",
    "She ran {n} m in the first week and adds {p}% in the next.", "The team had {n} fans, then {p}% more came.",
    "A website had {n} readers. That went up {p}%.",
)  # fmt: skip
GROWN_RESULT = (
    "How much is it now?", "What is the new number?", "How many are there now?", "What is it after that?",
    "What is the new amount?", "How much is it then?", "How many is that now?", "What does it become?",
    "What is it in the end?", "What's the number afterwards?", "To what does it rise?", "What is the new value?",
    "How high is it now?", "How much will it be?", "Where does it stand now?", "What do we have then?",
    "What is the number now?", "How far up is it now?", "How much does that make now?", "What is it with the growth?",
    "What does that lead to?", "What has it become?", "The new number, please?",
)  # fmt: skip
GROWN_PART = (
    "How much more is that?", "By how much did it rise?", "How big is the increase?", "How many more are that?",
    "What is the increase?", "How much was added?", "What is the difference to before?", "How large is the growth?",
    "How much is the plus?", "How much higher is it?", "By what amount did it grow?", "What's the gain?",
    "How much came on top?", "What is the rise?", "How many came on top?", "What was gained?",
    "How much more is it than it was?", "What is the step up?",
)  # fmt: skip
LOST = (
    "I had {n} dollars and spent {p}% of it.", "A tank with {n} liters loses {p}% of its water.",
    "A baker made {n} rolls and sold {p}% of them.", "There were {n} birds in a tree and {p}% of them flew away.",
    "A town had {n} people. {p}% moved away.", "{p}% of the {n} eggs broke.", "From {n} apples {p}% went bad.",
    "My phone had {n} photos and I deleted {p}%.", "A battery of {n} mAh has used {p}% of its charge.",
    "{n} guests came to a party and {p}% left early.", "A shop had {n} chairs and sold {p} percent.",
    "I owed {n} dollars and paid back {p}%.", "A book has {n} pages and I have read {p}%.",
    "We must drive {n} km and have done {p}%.", "A farmer sold {p}% of his {n} sheep.",
    "A company with {n} workers let {p}% go.", "Out of {n} candies the kids ate {p}%.", "{p}% of {n} tickets are sold.",
    "The hall has {n} seats, {p}% of which are taken.", "A storm knocked down {p}% of {n} trees.",
    "An ice block of {n} grams melts by {p}%.", "She gave {p}% of her {n} books to a school.",
    "My bag weighed {n} grams and I took out {p}%.", "Of a wall of {n} stones, {p}% are built.",
)  # fmt: skip
LOST_RESULT = (
    "How much is left?", "What is left?", "How many are left?", "What remains?", "How many remain?",
    "How much is still there?", "How many are still there?", "What's the rest?", "How many are left over?",
    "How much is not gone?", "What is there after that?", "How much do we still have?", "How many stay?",
    "What is the number that remains?", "How many of them are left now?", "And what's left?", "How big is the rest?",
    "How much remains in the end?", "Tell me what is left.",
    "What is the number now?", "How many does that leave?", "How much does that leave?", "What stays?",
    "And what is the rest?", "How much is there now?", "How big is what remains?",
)  # fmt: skip
LOST_PART = (
    "How much is that part?", "How many is that?", "How many are gone?", "How much is gone?", "How much was that?",
    "How many was that?", "What number is gone?", "How many did that make?", "How large is the part that is gone?",
    "How much is already gone?", "How many are that?", "How much is missing now?", "What amount is gone?",
    "How many make that part?", "How much did that take?", "What was lost or used?", "In numbers, what is that part?",
    "What does that percentage come to?", "How large is the loss?",
)  # fmt: skip
GROUP = (
    "A {w} has {n} {m}. {p}% of them {v}.", "{p}% of the {n} {m} in a {w} {v}.", "Of {n} {m}, {p}% {v}.",
    "There are {n} {m} in a {w}, {p}% of whom {v}.", "{n} {m} were asked, and {p}% {v}.",
    "In a {w} with {n} {m}, {p} percent {v}.", "Out of {n} {m} {p}% {v}.", "We have {n} {m} here. {p} percent {v}.",
    "{p}% {v} among {n} {m}.", "I know {n} {m}, and {p}% of these {v}.", "If {p}% of {n} {m} {v}.",
    "A survey of {n} {m} says that {p}% {v}.", "Our {w} counts {n} {m}. {p}% of them {v}.",
    "My {w}: {n} {m}, {p}% {v}.", "From {n} {m} in the {w}, {p}% {v}.", "Let {p}% of {n} {m} be those who {v}.",
    "A {w} had {n} {m}, and {p}% {v}.", "Think of {n} {m}, {p}% of whom {v}.", "Suppose {p}% of the {n} {m} {v}.",
    "{n} {m} live here and {p}% {v}.",
)  # fmt: skip
GROUP_PART = (
    "How many {v}?", "How many {m} {v}?", "How many of them {v}?", "What number of {m} {v}?", "How many is that?",
    "How many {m} are that?", "Find the number of {m} who {v}.", "How many people {v}?", "That is how many {m}?",
    "So how many {v}?", "How many {m} is that?", "Can you tell how many {v}?", "Number of those who {v}?",
    "What is the number of those who {v}?", "How many {m} are in that part?", "In numbers, how many {v}?",
    "So how many {m} {v}?", "How many make up those {p}%?", "How many say that they {v}?",
)  # fmt: skip
GROUP_RESULT = (
    "How many do not?", "How many {m} do not?", "How many of them do not {v}?", "What number of {m} do not {v}?",
    "How many {m} do not {v}?", "And how many don't?", "How many are the others?", "How many {m} are left who do not?",
    "Find the number of {m} who do not {v}.", "How many don't {v}?", "How large is the rest who do not {v}?",
    "How many others are there?", "Number of those who don't {v}?",
    "What is the number of those who do not?", "How many {m} are in the other part?", "In numbers, how many don't?",
    "So how many {m} don't {v}?", "Leaving those out, how many {m}?", "How many of the {m} are not among them?",
)  # fmt: skip
GROUP_PLACES = ("school", "club", "village", "company", "town", "class", "hotel", "team", "camp", "choir", "gym",
                "museum", "hospital")  # fmt: skip
GROUP_PEOPLE = ("students", "members", "people", "workers", "guests", "children", "visitors", "adults", "pupils",
                "women", "teachers", "drivers", "players")  # fmt: skip
GROUP_VERBS = (
    "like tea", "walk to work", "have a dog", "wear glasses", "play chess", "drink coffee", "speak French", "own a car",
    "come by bus", "eat meat", "live in the city", "read every day", "pay by card", "know the answer", "sing",
    "sleep late", "vote yes", "want pizza", "use a bike", "smoke", "work at night", "like football", "travel by train",
    "take part", "swim well", "have a garden", "need help", "bring lunch", "get up early", "stay at home",
)  # fmt: skip

LESS = ((CUT, CUT_RESULT, CUT_PART), (LOST, LOST_RESULT, LOST_PART))
MORE = ((ADDED, ADDED_RESULT, ADDED_PART), (GROWN, GROWN_RESULT, GROWN_PART))
"""Situations, questions for what results, and questions for the part."""
