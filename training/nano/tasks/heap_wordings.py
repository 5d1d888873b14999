"""Sentences about a heap of things that grows and shrinks. {P} or {p} is whose it is; people.py says what else."""

from __future__ import annotations

THINGS = (
    "apples", "books", "pencils", "marbles", "coins", "stickers", "cards", "eggs", "oranges", "stamps", "shells",
    "cookies", "candies", "balls", "flowers", "toys", "stones", "buttons", "pens", "cakes", "muffins", "pears",
    "bananas", "tickets", "shirts", "plates", "bottles", "chairs", "birds", "sheep", "hats", "cups", "photos",
    "games", "puzzles", "lemons", "carrots", "sweets", "chocolates", "nuts",
)  # fmt: skip
BOXES = ("boxes", "bags", "packs", "baskets", "cartons", "crates", "bowls", "shelves", "groups", "rows")
HAVE = (
    "{P} {has} {n} {t}.", "{P} had {n} {t}.", "{P} own{s} {n} {t}.",
    "There are {n} {t} in {his} (box|bag|room|house|basket|kitchen). (These|They) belong to {p}.",
    "{P} start{s} with {n} {t}.", "{P} {has} got {n} {t}.", "{P} bought {n} {t}.",
    "{P} {has} {n} {t} in (a box|a bag|the fridge|the garden|stock|{his} room).",
    "{P} collect{s} {t} and {has} {n}.", "{P} found {n} {t}.", "{P} made {n} {t}.", "At first {p} {has} {n} {t}.",
    "{P} keep{s} {n} {t}.", "{P} picked {n} {t}.", "In the morning {p} {has} {n} {t}.", "Say {p} {has} {n} {t}.",
    "{P} got {n} {t} (for {his} birthday|at the market|from {x}|yesterday).", "Suppose {p} {has} {n} {t}.",
    "If {p} {has} {n} {t}.", "{P} brought {n} {t}.", "{P} bring{s} {n} {t}.", "{P} got {n} {t} from {x}.",
    "{P} hold{s} {n} {t}.", "{P} kept {n} {t} in a drawer.", "{P} baked {n} {t}.", "{P} see{s} {n} {t}.",
    "{P} wrote down {n} {t}.", "{P} borrowed {n} {t}.", "{P} make{s} {n} {t}.",
    "{P} find{s} {n} {t} (on the road|in the garden|under the bed).",
)  # fmt: skip
GAINS = (
    "{P} get{s} {n} more.", "Then {p} find{s} {n} more.", "{P} (buy{s}|bought) {n} more( {t}|).",
    "{X} gave {him} {n} (more|{t}|more {t}).", "{P} (receive{s}|received|got) {n} (more|{t}|more {t}).",
    "{P} pick{s} up another {n}.", "{P} (win{s}|won) {n} more.", "{P} (find{s}|found) {n} more {t}.",
    "{P} (make{s}|made) another {n}.", "Then {n} more (come|are added|arrive).",
    "{P} (add{s}|added) {n} (more|to them|{t}).", "Later {p} (get{s}|got|buy{s}|bought) {n} (more|others).",
    "{P} (earn{s}|earned|collect{s}|collected) {n} more.", "{P} (take{s}|took) {n} more from the shop.",
    "{X} bring{s} {him} {n} (more|{t}).", "{P} order{s} {n} more( {t}|).",
    "And {p} (get{s}|buy{s}|find{s}) {n} more.", "{P} borrow{s} {n} (more |)from {x}.",
    "{X} hand{s} {him} {n} {t}.", "{P} make{s} {n} more.",
    "{P} (borrow{s}|borrowed) {n} (more|{t}|others) (from {x}|at the library).",
    "{P} (earn{s}|earned) another {n}.", "Then {p} (take{s}|took) {n} more.",
    "{P} (bring{s}|brought) (home |)another {n}.", "{X} (lends|lent|sends|sent) {him} {n}( more|).",
    "{P} now (find{s}|found|discover{s}) another {n}.",
    "{P} (collect{s}|collected|gather{s}|gathered) another {n}.",
    "{X} (offers|offered) {him} {n} more and {p} take{s} them.", "{P} (get{s}|got) {n} as a (gift|present).",
)  # fmt: skip
LOSSES = (
    "{P} (give{s}|gave) away {n}( of them|).", "Then {p} (lose{s}|lost) {n}( of them|).",
    "{P} (sell{s}|sold) {n}( of them| of the {t}|).",
    "{n} of (the {t}|them) (break|broke|are broken|get lost|go bad|fall off).",
    "{P} (give{s}|gave) {n} (to {x}|{t} to {x}|of them to {x}|away to {x}).", "{P} (use{s}|used) {n}( of them|).",
    "{P} (eat{s}|ate) {n}( of them|).", "{P} (throw{s}|threw) away {n}( of them|).",
    "{P} (donate{s}|donated) {n}( of them| {t}|).",
    "{P} (share{s}|shared|hand{s} out|handed out) {n} (with {x}|of them with {x}).",
    "{X} (takes|took|stole|steals|ate|got) {n} (of them|from {him}).",
    "{P} then (drop{s}|dropped|lose{s}|sold|ate|eat{s}|use{s}) {n}( {t}|).",
    "{P} (give{s}|gave) {x} {n}( {t}| of them|).", "{P} (send{s}|sent|bring{s}|brought) {n} (of them |)to {x}.",
    "{P} (put{s}|leave{s}|left) {n} of them (away|at school|behind).",
    "{P} (pay{s}|paid|spend{s}|spent) {n}( of them|).",
    "After that {p} (sell{s}|eat{s}|lose{s}|break{s}) {n}( of them|).",
    "{P} (return{s}|returned) {n} (of them|{t}).", "{X} (borrows|borrowed|buys|bought) {n} (from {him}|of them).",
    "{n} {t} (are gone|disappear|fly away|roll away|are sold|are eaten).", "{P} offer{s} {n} to {x}.",
    "{P} burn{s} {n}( of them|).", "{P} (trade{s}|swap{s}) away {n}( of them|).", "{P} lend{s} {n} to {x}.",
    "{X} (wants|needs|keeps) {n} and {p} give{s} them( away|).",
    "{P} (offer{s}|offered) {x} {n} of them, and they are gone.", "{n} of them (go|went) bad.",
    "{n} (get|got) (lost|broken|stolen|eaten).", "{n} (break|broke).", "{P} (feed{s}|fed) {n} to the dog.",
    "{P} (throw{s}|threw) {n} (into the trash|in the bin|out).", "{X} borrows {n} of the {t}.",
    "{P} (leave{s}|left) {n} on the bus.", "{P} (hand{s}|handed) {n} (over |)to {x}.",
    "{n} of the {t} (fall down|are thrown away|turn bad|are broken).", "{X} steals {n} {t}.",
    "{P} no longer {has} {n} of them.",
)  # fmt: skip
PACKS = (
    "{P} (buy{s}|bought) {k} {b} of {n} {t} each.", "{P} (get{s}|got) {k} {b} with {n} {t} in each.",
    "Then {p} (receive{s}|received) {k} {b}, each with {n} {t}.", "{X} gives {him} {k} {b} of {n} {t} each.",
    "{P} find{s} {k} {b} with {n} {t} each.", "{P} fill{s} {k} more {b} with {n} {t} each.",
    "{k} more {b} come, each with {n} {t}.", "{P} add{s} {k} {b} of {n}.",
)  # fmt: skip
LEFT = (
    "How many {t} {does} {p} have (now|left|)?",
    "How many {t} {does} {p} have (in the end|at the end|in total|then|altogether)?",
    "How many {t} are (left|there now|there)?", "How many {does} {p} have( now| left|)?",
    "How many are left( over|)?", "How many {t} (are left|remain)( over|)?",
    "How many (remain|are there now|are there)?", "What number of {t} {does} {p} have( now|)?",
    "(Now how|How) many {t} {has} {p}( got|)( now|)?", "How many {t} is that( now|)?",
    "(Tell me|Say|Calculate|Find) how many {t} {p} {has}( now| left|).", "How many {t} {has} {p} (got |)left?",
    "With how many {t} {does} {p} end up?", "How many {t} (remain with|are left for) {him}?", "how many now?",
    "So how many {t} {does} {p} (still |)have?", "What is left?", "How many {t} {does} {p} still (own|have)?",
    "How many {t} (is|are) that now?", "How many {t} is it (now|then)?", "What is the number of {t} now?",
    "How many {t} are that?", "That is how many {t}?", "So how many is that?",
    "Count the {t}: how many (are there|{does} {p} have)?",
)  # fmt: skip
MONEY = (
    "{P} {has} {n} {t}.", "{P} had {n} {t}.", "{P} {has} {n} {t} in {his} (pocket|bank|wallet|purse).",
    "{P} saved {n} {t}.", "{P} earned {n} {t}.", "{P} start{s} with {n} {t}.",
    "{P} got {n} {t} (for {his} birthday|from {x}).", "There (are|were) {n} {t} in {his} (wallet|account).",
    "{P} took {n} {t} (with {him}|to the market).", "{P} {has} saved {n} {t}.",
)  # fmt: skip
SPEND = (
    "{P} (spend{s}|spent) {n} {t} on (lunch|a book|food|games|a gift|shoes|a movie|a ticket).",
    "{P} (spend{s}|spent) {n}( {t}|)( for food| on books|).",
    "{P} (buy{s}|bought) (a book|a toy|lunch|a game|a shirt|food) for {n} {t}.",
    "{P} (pay{s}|paid) {n} {t} for (lunch|a toy|a ticket|a cake|dinner).",
    "{P} (lose{s}|lost|give{s} away|gave away) {n}( {t}|).", "{P} (give{s}|gave) {n} {t} to {x}.",
    "(Lunch|A book|The ticket|A toy|The bus) costs {him} {n} {t}.", "{P} lend{s} {n} {t} to {x}.",
    "{P} (use{s}|used) {n} {t} for (the bus|food|a gift).",
    "Then {p} buy{s} (something|a thing|a present) that costs {n} {t}.", "{X} borrowed {n} {t} from {him}.",
    "{P} donate{s} {n} {t}.", "A (toy|book|ticket|meal|coat) costs {n}( {t}|) and {p} buy{s} it.",
    "(A book|A shirt|The meal) for {n} {t} is paid from it.", "{P} (buy{s}|bought) a ticket that costs {n}( {t}|).",
    "(Dinner|A game|The trip) costs {n} {t}.", "{P} need{s} {n} {t} for the bus.",
    "The toy costs {him} {n}( {t}|).",
)  # fmt: skip
BACK = (
    "How much (money |){does} {p} have (left|now|)?", "How much (money |)is left?",
    "How much (money |)(remains|{does} {p} still have)?", "How much {has} {p} left?",
    "(What|How much) {does} {p} have left( over|)?", "How many {t} {does} {p} have left?",
    "(Tell me|Find) how much (money |){p} {has} left.",
)  # fmt: skip
BEFORE = (
    "Now {p} {has} {n} {t}. How many did {p} have (at first|before|at the start|in the beginning)?",
    "Now {p} {has} {n}. How many {t} were there (at first|before|in the beginning)?",
    "After that {p} {has} {n}( {t}|). (With how many|How many) did {p} start( with|)?",
    "Then {p} {has} {n} {t}. What did {p} start with?",
    "That leaves {him} with {n}. How many {t} were there before?",
    "In the end {p} {has} {n}. How many {t} did {p} have before( that|)?",
    "Now there are {n} {t}. How many were there (at first|before)?",
    "{P} now {has} {n}. How many {t} did {p} have to begin with?",
)  # fmt: skip
