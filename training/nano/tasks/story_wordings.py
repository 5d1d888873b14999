"""Sentences of word problems about prices, shares, ways, ages, seats and degrees."""

from __future__ import annotations

SUM_OF_TWO = (
    "{p} has {n} {t} and {q} has {m} {t}.", "{p} has {n} {t}. {q} has {m}( {t}|).",
    "{p} (owns|found|bought|picked) {n} {t} and {q} (owns|found|bought|picked) {m}.",
    "There are {n} {t} (at|with) {p} and {m} (at|with) {q}.", "{p} has got {n} {t}, {q} {m}.",
    "{p} (collects|made|counts) {n} {t}, (and |){q} (collects|made|counts) {m}.",
    "{p} brings {n} {t} and {q} brings {m}.", "If {p} has {n} {t} and {q} has {m}.",
    "{p} (brought|baked|read|sold) {n} {t} and {q} (brought|baked|read|sold) {m}.",
    "{p} brought {n} {t}, {q} brought {m}.", "{p} comes with {n} {t} and {q} comes with {m}.",
    "{p} carries {n} {t} and {q} {m}.", "{p} has {n} {t}, {q} has {m}.", "{p} got {n} {t}, and {q} got {m}.",
    "In {p}'s bag are {n} {t}, in {q}'s bag {m}.", "{p} counted {n} {t}. {q} counted {m}.",
    "{n} {t} belong to {p} and {m} to {q}.", "{p} won {n} {t} and {q} won {m}.", "{p} owns {n} {t}, {q} owns {m} {t}.",
    "{p} and {q} have {n} and {m} {t}.", "{p} needs {n} {t} and {q} needs {m}.",
    "{p} put {n} {t} on the table, {q} put {m}.", "{n} {t} are with {p}. {m} {t} are with {q}.",
)  # fmt: skip
TOGETHER = (
    "How many {t} do they have (together|in total|altogether|in all)?",
    "How many {t} (are there|are that) (in total|altogether|together|in all)?",
    "How many (do they have|have they) (together|in all|in total)?", "What is the total( number of {t}|)?",
    "(Together|In total), how many {t} (do they have|are there)?", "How many {t} is that (together|in all)?",
    "How many {t} do {p} and {q} have (together|in total)?",
    "They put them together. How many {t} (are there|is that)?", "How many {t} do both have?",
    "How many {t} have {p} and {q} (together|in all)?", "How many {t} do {p} and {q} own altogether?",
    "What do {p} and {q} have in total?",
    "How many {t} would they have together?", "So how many {t} are there in all?", "How many {t} do the two have "
    "altogether?", "What is their total?", "How many {t} are there between them?", "How many is that for both?",
    "Added up, how many {t} is it?", "How many {t} do they have when they add them?", "What number of {t} do they have "
    "together?", "How many {t} lie there in total?", "Count all {t}. How many?", "All in all, how many {t} have they?",
    "How many {t} in total for {p} and {q}?",
)  # fmt: skip
DIFFERENCE = (
    "How many more {t} does {p} have( than {q}|)?", "How many {t} more does {p} have than {q}?",
    "What is the difference?", "How many fewer {t} does {q} have( than {p}|)?", "By how many {t} does {p} (win|lead)?",
    "How many {t} does {q} need to have as many as {p}?", "How many (more|extra) does {p} have?",
    "How many more does {p} have than {q}?", "What is the difference between {p} and {q}?",
    "How many more than {q} has {p}?", "By how many {t} does {p} have more?", "By how many is {q} behind?",
    "How many {t} is {q} behind {p}?", "How many {t} does {q} have less than {p}?", "How many is {p} ahead?",
    "How many are missing for {q} to have as many as {p}?", "How many more would {q} need to catch up?",
    "How much bigger is {p}'s number?",
)  # fmt: skip
COMPARED = (
    "{p} has {n} {t}. {q} has {m} {x}. How many {t} does {q} have?",
    "{p} has {n} {t} and {q} has {m} {x}. How many (does {q} have|has {q})?",
    "If {p} has {n} {t} and {q} {m} {x}, how many does {q} have?",
    "{p} found {n} {t}. {q} found {m} {x}. How many did {q} find?",
    "{p} (made|sold|read) {n} {t}, {q} {m} {x}. How many {t} did {q} (make|sell|read)?",
    "{p} picked {n} {t}. {q} picked {m} {x}. How many {t} were picked by {q}?",
    "How many {t} does {q} have if {p} has {n} and {q} has {m} {x}?",
    "{p} got {n} {t} and {q} got {m} {x}. What did {q} get?",
    "{p} baked {n} {t}. {q} baked {m} {x}. What number did {q} bake?",
    "While {p} owns {n} {t}, {q} owns {m} {x}. How many does {q} own?",
    "{p} counted {n} {t} and {q} {m} {x}. How many {t} did {q} count?",
)  # fmt: skip
MORE_LESS = (("more", "more( than that|)", "more"), ("fewer", "less", "fewer( than that|)"))
COST_ONE = (
    "(One|A|Each) {o} costs {p} {u}. (How much|What) do {n} {t} cost?",
    "If (a|one) {o} costs {p} {u}, how much (do|are) {n} {t}( cost|)?",
    "(One|Each) {o} is {p} {u}. How much (are|is) {n}( of them| {t}|)?", "What do {n} {t} cost at {p} {u} each?",
    "How much (are|do I pay for|is the price of) {n} {t} at {p} {u} (each|apiece|a piece)?",
    "{n} {t} at {p} {u} each, (how much|what does it cost|how much is that)?",
    "I buy {n} {t} for {p} {u} each. (How much do I pay|What do I pay|What is the total)?",
    "{n} {t}, each {p} {u}: what is the (total|price)?",
    "The price of (a|one) {o} is {p} {u}. What is the price of {n}?",
    "A shop sells {t} for {p} {u} each. How much (are|do you pay for) {n}?",
    "What do I pay for {n} {t} if (a|one) {o} is {p} {u}?", "{p} {u} is the price of one {o}. What do {n} cost?",
    "Every {o} is {p} {u}. What is the price for {n}?", "We need {n} {t}. Each is {p} {u}. What do we pay?",
    "How expensive are {n} {t} if each one is {p} {u}?", "For one {o} I pay {p} {u}. What do I pay for {n}?",
    "{n} people each buy a {o} for {p} {u}. How much is that together?", "At {p} {u} per {o}, how much is it for {n}?",
    "A {o} is {p} {u}. How much money do I need for {n}?", "What would {n} {t} cost me at {p} {u} apiece?",
    "The {t} are {p} {u} each. I take {n}. How much?", "If I want {n} {t} and one is {p} {u}, what is the cost?",
)  # fmt: skip
BUY = (
    "{P} (buy{s}|bought) {n} {t} (at|for) {c} {u} each.", "{P} buy{s} {n} {t}, each for {c} {u}.",
    "{P} want{s} {n} {t} that cost {c} {u} each.", "{P} take{s} {n} {t} at {c} {u} (each|apiece).",
    "{P} order{s} {n} {t} for {c} {u} each.", "{P} get{s} {n} {t} at {c} {u} each.",
    "{P} choose{s} {n} {t} for {c} {u} (each|a piece).", "{P} (pick{s}|picked) {n} {t} at {c} {u} each.",
    "At {c} {u} each, {p} buy{s} {n} {t}.", "{n} {t} are bought by {p} for {c} {u} each.",
    "{P} need{s} {n} {t}. Each costs {c} {u}.", "One costs {c} {u}, and {p} buy{s} {n} {t}.",
    "{P} put{s} {n} {t} for {c} {u} each in the cart.", "For {c} {u} a piece {p} get{s} {n} {t}.",
)  # fmt: skip
EACH_COST = (
    "{P} buy{s} {n} {t} at {c} {u} each and {m} {o} at {q} {u} each.",
    "{P} (buy{s}|bought) {n} {t} for {c} {u} each and {m} {o} for {q} {u} each.",
    "{P} get{s} {n} {t} ({c} {u} each) and {m} {o} ({q} {u} each).",
    "{P} take{s} {n} {t} for {c} {u} each. {P} also take{s} {m} {o} for {q} {u} each.",
    "{P} order{s} {n} {t} at {c} {u} and {m} {o} at {q} {u} each.",
    "{P} want{s} {n} {t}, {c} {u} each, and {m} {o}, {q} {u} each.",
    "For {c} {u} each {p} buy{s} {n} {t}, and for {q} {u} each {m} {o}.",
    "{P} need{s} {n} {t} at {c} {u} each, and {m} {o} at {q} {u} each.",
    "{n} {t} for {c} {u} each and {m} {o} for {q} {u} each are bought by {p}.",
    "{P} put{s} {n} {t} ({c} {u} each) and {m} {o} ({q} {u} each) into the cart.",
    "First {p} buy{s} {n} {t} at {c} {u} each, then {m} {o} at {q} {u} each.",
    "{P} choose{s} {n} {t} that cost {c} {u} each and {m} {o} that cost {q} {u} each.",
    "{P} pick{s} {n} {t} for {c} {u} each, as well as {m} {o} for {q} {u} each.",
)  # fmt: skip
PAID = (
    "{P} pay{s} with {n} {u}.", "{P} (give{s}|gave) {n} {u}.", "{P} pay{s} with a {n} {u} (note|bill).",
    "{P} hand{s} over {n} {u}.", "{P} {has} {n} {u}.", "{P} put{s} {n} {u} on the table.", "{P} use{s} a {n} {u} bill.",
    "{P} hand{s} the shop {n} {u}.", "{P} pay{s} using {n} {u}.", "{P} lay{s} down {n} {u}.",
    "{P} give{s} the seller {n} {u}.", "{P} pay{s} {n} {u} in cash.", "{P} {has} a {n} {u} note.",
    "{P} offer{s} {n} {u}.",
)  # fmt: skip
CHANGE = (
    "How much change {does} {p} get( back|)?", "How much (money |){does} {p} get back?", "What is the change?",
    "How much is the change?", "How much (money |)is left?", "How much {does} {p} have left?",
    "What change {does} {p} (get|receive)?", "What {does} {p} get back?",
    "What change is that?", "How much comes back?", "How much will {p} get back?", "What sum is returned to {him}?",
    "How much does the shop give back?", "What amount of change {does} {p} get?", "What {is} {p} given back?",
    "How big is the change?", "And the change?", "How much money {does} {p} keep?",
)  # fmt: skip
TOTAL_COST = (
    "How much is that in total?", "What is the total cost?", "How much {does} {p} pay( in total| altogether|)?",
    "(What|How much) does it cost( in total|)?", "How much (money |)is that( altogether|)?",
    "What is the (total|bill|price)?", "(How much money|What) {does} {p} (spend|need)( in total|)?",
    "What {does} {p} have to pay?", "How much must {p} pay?", "What does it all cost?", "How much is the bill?",
    "How much is it all together?", "What sum {does} {p} pay?", "How much money {does} {p} need for it?",
    "What is to be paid?", "How much is due?", "So what is the cost?", "How much will it be in all?",
    "What does everything come to?", "Add it up: what is the price?", "How much {does} {p} spend in all?",
)  # fmt: skip
SHARED = (
    "{n} {t} are shared equally (among|between) {k} {f}. How many (does|will) each (one |)(get|have)?",
    "{p} shares {n} {t} equally (among|with|between) {k} {f}. How many {t} does each( one|) get?",
    "{k} {f} share {n} {t} (equally|evenly|fairly). How many (does each get|does each one get|for each)?",
    "There are {n} {t} for {k} {f}. How many (does each get|for each|{t} per person)?",
    "How many {t} does each of {k} {f} get (from|out of|if they share) {n}?",
    "{p} divides {n} {t} (equally |evenly |)among {k} {f}. How many {t} (does each get|are there for each)?",
    "If {k} {f} share {n} {t}, how many does each (one |)get?", "{n} {t} for {k} {f}: how many each?",
    "Split {n} {t} (equally |evenly |)between {k} {f}. How many (each|does each get)?",
    "{k} {f} have {n} {t} and split them (equally|evenly). How many does each (get|have|take)?",
    "{p} hands out {n} {t} to {k} {f} equally. How many (does each|did each one) get?",
    "Among {k} {f}, {p} divides {n} {t} fairly. How many does each get?",
    "{k} {f} get {n} {t} together and each takes the same number. How many is that?",
    "{n} {t} have to be divided among {k} {f}. How many for each of them?",
    "How many {t} for each if {k} {f} share {n}?",
    "{p} has {n} {t} for {k} {f}. Everyone should get the same. How many is it?",
    "{p} gives {n} {t} to {k} {f}, the same number to each. How many does one get?",
    "A bag of {n} {t} is divided between {k} {f}. What does each get?",
    "If {n} {t} go to {k} {f} in equal parts, what does one of them get?",
    "Every one of {k} {f} gets an equal part of {n} {t}. How big is it?", "{k} {f}, {n} {t}: how many for each?",
    "We have {n} {t} and {k} {f}. How many can each take?",
    "{n} {t} were given to {k} {f} in equal shares. How many did each get?",
)  # fmt: skip
GROUPS = (
    "{p} puts {n} {t} into {k} {b}, the same number in each. How many (are in each|{t} are in each|does each hold)?",
    "There are {n} {t} in {k} {b}. How many {t} (are in each|in one of them)?",
    "{n} {t} are packed in {b} of {k}. How many {b} (are there|are needed|does {p} need)?",
    "{p} packs {n} {t} in {b} of {k}. How many {b} (are that|is that|does {p} need|can {p} fill)?",
    "How many {b} of {k} {t} can {p} (fill|make) with {n}( {t}|)?",
    "{n} {t} and {k} {b}: how many (in each|{t} go in each)?",
    "(A|Each) (bag|box) holds {k} {t}. How many (bags|boxes) (do {n} {t} need|for {n} {t}|are needed for {n} {t})?",
    "{p} fills {k} {b} equally with {n} {t}. How many {t} go into each?",
    "There are {n} {t} and {k} (teams|groups|tables). How many {t} (per|for each|for every) (team|group|table)?",
    "How many {b} does {p} need for {n} {t} if each takes {k}?",
    "{p} sorts {n} {t} into {b} of {k}. How many {b} result?", "{n} {t} fill {b} of {k} each. How many {b} are full?",
    "{p} puts {k} {t} into each of the {b} until all {n} are used. How many {b} is that?",
    "With {k} {t} in each, how many {b} are made from {n}?",
    "{p} spreads {n} {t} over {k} {b} evenly. How many are in one?",
    "In {k} {b} there are {n} {t}, the same number in each. How many in one?",
    "{n} {t} were packed into {k} equal {b}. How many does one have?",
    "Equally many of {n} {t} go into {k} {b}. How many are in each of them?",
    "{p} arranges {n} {t} in {b} of {k}. What is the number of {b}?",
)  # fmt: skip
LEFT_OVER = (
    "How many {t} does each get?", "How many (does each one get|are there for each)?", "How many {t} for each( one|)?",
    "What does each (one |)get?", "How many {t} does every one of them get?", "What is the share of each?",
    "How many {t} is that for each?", "How many {t} does one of them get?", "How big is each share?",
    "What does everyone get?", "How many {t} per head?", "How many {t} will each have?",
)  # fmt: skip
TRIP = (
    "A {c} (drives|travels|goes|runs) {h} hours at {v} km per hour.",
    "A {c} (drives|travels|goes) at {v} km (per|an) hour for {h} hours.",
    "A {c} goes {v} km per hour. It (drives|travels|runs) {h} hours.",
    "A {c} is {h} hours on the road at {v} km per hour.",
    "The speed of a {c} is {v} km per hour and it travels {h} hours.",
    "The {c} does {v} km in an hour. It runs for {h} hours.", "For {h} hours a {c} goes {v} km per hour.",
    "At {v} km per hour a {c} travels {h} hours.", "A {c} needs {h} hours and goes {v} km per hour.",
    "A {c} makes {v} km each hour for {h} hours.", "A {c} is driven {h} hours. Its speed is {v} km per hour.",
    "During {h} hours a {c} moves at {v} km per hour.", "With a speed of {v} km per hour a {c} drives {h} hours.",
)  # fmt: skip
TRIP_TWO = (
    "A {c} drives {h} hours at {v} km per hour and then {k} hours at {w} km per hour.",
    "A {c} (travels|goes) {h} hours at {v} km per hour, then {k} hours at {w} km per hour.",
    "A {c} runs at {v} km per hour for {h} hours and at {w} km per hour for {k} hours.",
    "First a {c} goes {v} km per hour for {h} hours, then {w} km per hour for {k} hours.",
    "A {c} covers {v} km per hour for {h} hours and {w} km per hour for {k} more hours.",
    "A {c} drives at {v} km per hour for {h} hours. Then it drives at {w} km per hour for {k} hours.",
    "For {h} hours a {c} drives at {v} km per hour, and for {k} hours at {w} km per hour.",
    "A {c} is on the road {h} hours at {v} km per hour and {k} hours at {w} km per hour.",
    "A {c} does {h} hours at {v} km per hour before lunch and {k} hours at {w} km per hour after it.",
    "At {v} km per hour a {c} travels {h} hours, after that {k} hours at {w} km per hour.",
    "A {c} makes {v} km an hour for {h} hours, later {w} km an hour for {k} hours.",
)  # fmt: skip
DISTANCE = (
    "How far does it (drive|go|travel)?", "How many km is that in total?", "What distance does it cover?",
    "How many km (does it (drive|travel|go)|is that)?", "How far is that( in total|)?",
    "What is the (total |)distance?", "(How long|How far) is the (trip|way)?",
    "How many kilometers (is that|does it go)?", "How far does it get?", "How many km are driven?",
    "What is the length of the trip?", "How many km does it make?", "How far away is it then?",
    "How long is the way, in km?", "How many km lie behind it?", "How far has it gone?",
    "How many km is the whole trip?", "What is the way in km?",
)  # fmt: skip
AGE_OLDER = (
    "{p} is {n}. {q} {is} {m} years older. How old {is} {q}?",
    "{p} is {n} years old. {q} {is} {m} years older( than {p}|). How old {is} {q}?",
    "{q} {is} {m} years older than {p}. {p} is {n}. How old {is} {q}?",
    "{p} is {n} years old and {q} {is} {m} years older. (What is the age of {q}|How old {is} {q})?",
    "If {p} is {n} and {q} {is} {m} years older, how old {is} {q}?",
    "How old {is} {q} if {p} is {n} and {q} {is} {m} years older?",
    "{p} is {n} now. {q} {is} older by {m} years. How old {is} {q}?",
    "What is the age of {q}, {m} years older than {p}, who is {n}?", "{p} is {n} years of age. {q} {is} {m} years "
    "older. What is the age of {q}?", "{q} {is} older than {p} by {m} years. {p} is {n}. What age {is} {q}?",
    "By {m} years {q} {is} older than {p}, who "
    "is {n}. How old {is} {q}?", )  # fmt: skip
AGE_YOUNGER = (
    "{p} is {n}. {q} {is} {m} years younger. How old {is} {q}?",
    "{p} is {n} years old. {q} {is} {m} years younger( than {p}|). How old {is} {q}?",
    "{q} {is} {m} years younger than {p}. {p} is {n}. How old {is} {q}?",
    "{p} is {n} years old and {q} {is} {m} years younger. (What is the age of {q}|How old {is} {q})?",
    "If {p} is {n} and {q} {is} {m} years younger, how old {is} {q}?",
    "How old {is} {q} if {p} is {n} and {q} {is} {m} years younger?",
    "{p} is {n} now. {q} {is} younger by {m} years. How old {is} {q}?",
    "What is the age of {q}, {m} years younger than {p}, who is {n}?", "{p} is {n} years of age. {q} {is} {m} years "
    "younger. What is the age of {q}?", "{q} {is} younger than {p} by {m} years. {p} is {n}. What age {is} {q}?",
    "{p} is {n}, and {q} {is} {m} years younger. So how old {is} {q}?", "By {m} years {q} {is} younger than {p}, who "
    "is {n}. How old {is} {q}?", )  # fmt: skip
AGE_TIMES = (
    "{p} is {n} years old. {q} {is} {m} times as old.", "{p} is {n}. {q} {is} {m} times as old( as {p}|).",
    "{q} {is} {m} times as old as {p}, who is {n}.", "{p} is {n} and {q} {is} {m} times that age.",
    "{p} is {n} years old and {q} {is} {m} times older.", "{q} {is} {m} times the age of {p}, who is {n}.",
    "The age of {p} is {n}, and {q} {is} {m} times as old.", "{m} times as old as {p}, who is {n}, {is} {q}.",
    "{p} is {n}, {q} {is} {m} times as old.", "If {p} is {n}, {q} {is} {m} times as old.",
)  # fmt: skip
AGE_SUM = (
    "How old are they together?", "What is the sum of (their|the two) ages?",
    "(Together|In total), how old are they?", "How many years (are they together|do they have together)?",
    "What do their ages add up to?",
    "What age do they have together?", "How many years old are they in sum?", "Add their ages: how much is it?",
    "What is their age together?", "How old are both together?", "What is the total of their ages?",
)  # fmt: skip
AGE_LATER = (
    "How old will {q} be in {y} years?", "In {y} years, how old will {q} be?",
    "What will be the age of {q} in {y} years?", "How old will {q} be {y} years from now?",
    "{y} years later, how old (is|will be) {q}?", "After {y} more years, how old will {q} be?",
    "What age will {q} have in {y} years?", "How old will {q} be when {y} years have passed?",
    "What is the age of {q} {y} years later?", "How old will {q} be after {y} years?",
)  # fmt: skip
SEATS = (
    "A {c} has {n} rows of {m} seats. {k} seats are taken.",
    "A {c} has {n} rows with {m} seats each. {k} (seats |)are taken.",
    "There are {n} rows of {m} seats in a {c}. {k} people sit down.",
    "In a {c} (are|there are) {n} rows with {m} seats in each. {k} are (full|taken|used).",
    "A {c} with {n} rows of {m} seats has {k} visitors.",
    "{n} rows of {m} seats are in the {c}, and {k} seats are taken.",
    "In {n} rows of a {c} are {m} seats each. {k} seats have been sold.",
    "{k} people sit in a {c} with {n} rows of {m} seats.",
    "{n} rows, {m} seats in each: that is a {c}. {k} people are in it.",
    "A {c} has {n} rows, each with {m} seats, and {k} guests.",
    "The {c} seats {m} people in each of its {n} rows. {k} people came.",
)  # fmt: skip
FREE_SEATS = (
    "How many seats are free?", "How many are (empty|free)?", "How many seats are (left|empty|not taken)?",
    "How many free seats are there?", "How many more people (fit in|can sit)?", "What number of seats is (free|empty)?",
    "How many seats are unused?", "How many seats remain?", "How many places are still free?",
    "How many are not taken?", "How many seats can still be sold?", "What is the number of free seats?",
)  # fmt: skip
AREA = (
    "A rectangle is {n} (m|cm|meters|) (long|wide) and {m} (m|cm|meters|) (wide|high). What is (its|the) area?",
    "What is the area of a rectangle (of|with sides|with sides of) {n} (by|and) {m}?",
    "(Find|Calculate) the area of a {n} by {m} rectangle.",
    "A (room|garden|field) is {n} by {m} meters. (What|How large|How big) is (its|the) area?",
    "How (big|large) is the area of a {n} x {m} rectangle?",
    "The sides of a rectangle are {n} and {m}. (What is its area|Area)?", "rectangle {n} by {m}, area?",
)  # fmt: skip
PERIMETER = (
    "A rectangle is {n} (m|cm|meters|) long and {m} (m|cm|meters|) wide. What is (its|the) perimeter?",
    "What is the perimeter of a rectangle (of|with sides|with sides of) {n} (by|and) {m}?",
    "(Find|Calculate) the perimeter of a {n} by {m} rectangle.",
    "A (room|garden|field) is {n} by {m} meters. (What|How long) is (its|the) perimeter?",
    "The sides of a rectangle are {n} and {m}. (What is its perimeter|Perimeter)?",
    "rectangle {n} by {m}, perimeter?",
)  # fmt: skip
WARMER = (
    "It is {a} degrees and (gets|becomes) {n} degrees warmer. (What is the temperature|How warm is it|How many "
    "degrees is it)( now|)?",
    "The temperature is {a} degrees( in the morning|) and rises by {n}( degrees|). What is (the temperature|it)( "
    "now|)?",
    "It was {a} degrees. (It|The temperature) (rises|rose|went up|goes up) (by |){n} degrees. (What is it "
    "now|What is the temperature|How many degrees is it)?",
    "At (noon|night|six) it is {a} degrees, later it is {n} degrees warmer. (How warm|What temperature) is it "
    "then?",
    "The thermometer shows {a} and climbs {n} degrees. What does it show?",
    "(From|Starting at) {a} degrees it gets {n} degrees warmer. What is the temperature?",
)  # fmt: skip
COLDER = (
    "It is {a} degrees and (gets|becomes) {n} degrees colder. (What is the temperature|How cold is it|How many "
    "degrees is it)( now|)?",
    "The temperature is {a} degrees( in the morning|) and (falls|drops) by {n}( degrees|). What is (the "
    "temperature|it)( now|)?",
    "It was {a} degrees. (It|The temperature) (falls|fell|drops|dropped|went down|goes down) (by |){n} degrees. "
    "(What is it now|What is the temperature|How many degrees is it)?",
    "At (noon|night|six) it is {a} degrees, later it is {n} degrees colder. (How cold|What temperature) is it "
    "then?",
    "The thermometer shows {a} and falls {n} degrees. What does it show?",
    "(From|Starting at) {a} degrees it gets {n} degrees colder. What is the temperature?",
)  # fmt: skip
