"""Further questions about numbers that nano must decline: other mathematics, clocks, units, and too little given."""

from __future__ import annotations

MORE_ADVANCED = (
    "(root mean square|quadratic mean|midrange|interquartile range|expected value) of {a} and {b}(?|)",
    "(Find|What is|Give) the (midrange|spread|quartiles|percentile|z-score|covariance|correlation) of {a}, {b}, "
    "{c}(.|?|)", "(difference|gap) between the (mean and the median|mode and the mean) of {a}, {b} and {c}(?|)",
    "How far apart are the largest and smallest of the primes below {a}?", "Which of {a}, {b} and {c} is the mode?",
    "the (middle|central) one of the sorted numbers {a}, {b}, {c}, as a median", "average deviation of {a}, {b}, {c}",
    "What is {a} raised to minus {b}?", "{a} raised to (-{b}|a third|1/2)(?|)", "the (-{b})th power of {a}",
    "{a} with the exponent (-{b}|1/2|0.5|-1)", "the fourth root of {a}", "(fifth|sixth|tenth) root of {a}(?|)",
    "(What is|Find) the {c}th root of {b}(?|.)", "the (square|cube) root of {a} to {b} places",
    "the imaginary part of {a} + {b}i", "What is {a} times i?", "(modulus|argument) of the complex number {a} + {b}i",
    "{a}! + {b}!", "{a}! / {b}!", "How many zeros are at the end of {a} factorial?", "double factorial of {a}",
    "How many trailing zeros does {a} factorial have?", "subfactorial of {a}", "gamma({a})", "y' + {a}y = {b}, find y",
    "Find the general solution of y' = {a}x + {b}.", "solve dy/dt = -{a}y",
    "(Find|Give|What is) the second derivative of {f}(.|?)", "the (first|third) derivative of {f}",
    "the gradient of {f}", "tangent (line |)(to|of) {f} at x = {a}",
    "Where is {f} (rising|falling|zero|largest|continuous)?", "maximum of {f}", "minimum of {f}(?|)",
    "(Find|What are) the (extrema|asymptotes|inflection points) of {f}(.|?)", "area under {f} from {b} to {a}",
    "Let f(x) = {f}. Compute f({a}).", "f({a}) if f(x) = {f}", "evaluate {f} at x = {a}", "for f(x) = {f} find f({b})",
    "h(x) = {f}; h({a}) = ?", "(Put|Insert) x = {a} in {f}.", "What is the value of {f} for x = {a}?",
    "compose f(x) = x + {a} with g(x) = {b}x", "the inverse function of {f}",
    "How steep is the line (through|from) ({a}, {b}) (and|to) ({c}, {a})?",
    "the line through ({a}, {b}) and ({c}, {b})", "midpoint (of|between) ({a}, {b}) and ({c}, {a})(?|)",
    "gradient of the line from ({a}, {b}) to ({b}, {c})", "(y-intercept|x-intercept|slope) of y = {a}x + {b}(?|)",
    "Where do y = {a}x and y = {b} - x meet?", "length of the vector ({a}, {b})",
    "angle between ({a}, {b}) and ({c}, {a})", "({a}, {b}) + ({c}, {a})", "{a} * ({b}, {c})",
    "({a}, {b}, {c}) times {a}", "scalar product of ({a}, {b}) and ({c}, {a})", "trace of [[{a}, {b}], [{c}, 1]]",
    "rank of the matrix [[{a}, {b}], [{c}, 2]]", "[[{a}, {b}], [{c}, 1]] + [[1, 2], [3, 4]]",
    "(volume|capacity|content) of a (box|crate|tank|room) (of|measuring|that is) {a} (by|x) {b} (by|x) {c}(?|)",
    "A box is {a} cm long, {b} cm wide and {c} cm high. What is its volume?",
    "What volume does a cube of edge {a} have?", "How much (fits in|space is in) a {a} x {b} x {c} (room|tank)?",
    "surface of a box {a} by {b} by {c}", "A cube has an edge of {a} cm. (What is its volume|How big is its surface)?",
    "radius of a circle with area {a}", "What is the diameter of a circle of circumference {a}?",
    "How long is the (diagonal|side) of a square with area {a}?",
    "area of a (semicircle|trapezoid|rhombus|pentagon|hexagon|parallelogram|sector|ring) with {a} and {b}",
    "A triangle has two sides {a} and {b}. How long is the third?",
    "A ladder of {a} m leans on a wall, {b} m away. How high does it reach?",
    "The legs of a right triangle are {a} and {b}. Find the long side.",
    "height of an equilateral triangle of side {a}",
    "Two angles of a triangle are {a} and {b} degrees. What is the third?",
    "What is the sum of the angles in a {a}-gon?", "{a} degrees plus {b} degrees plus what makes a triangle?",
    "perimeter of a (circle|hexagon|triangle) with {a}", "(sinh|cosh|tanh|arcsin|arccos|arctan|sec|csc|cot)({a})(?|)",
    "inverse sine of 0.{a}", "tan of {a} rad", "cos {a}°", "sin^2({a}) + cos^2({a})",
    "(natural|common|binary) log of {a}(?|)", "logarithm of {a} to (the |)base {b}(?|)", "which power of {b} is {a}",
    "To what power must I raise {b} to get {a}?", "{b} to what power is {a}?", "exp({a})",
    "How often must I double {b} to pass {a}?", "What is 10 log {a}?", "{a} dB in linear", "ln {a} - ln {b}",
    "log({a}) + log({b})", "{a}/{b} and {c}/{b} added", "{a}/{b} of a pizza plus {c}/{a} of a pizza",
    "a third and a quarter of something together", "(subtract|take) 1/{b} from {a}/{c}", "{a} thirds plus {b} quarters",
    "(bring|write) {a}/{b} in lowest terms", "(Cancel|Shorten|Expand) the fraction {a}/{b}(.| by {c}.)",
    "common denominator of 1/{a} and 1/{b}", "{a}/{b} : {c}/{a}", "Order the fractions 1/{a}, 1/{b} and 1/{c}.",
    "Is {a}/{b} larger than {b}/{c}?", "what fraction of {b} is {a} in lowest terms", "turn {a}.{b} into a fraction",
    "0.{a} as a fraction please", "the reciprocal of {a}", "one over {a} plus one over {b}",
    "is {a} a (prime|square|cube|perfect|fibonacci|triangular|lucky|palindromic) number(?|)",
    "(two|three|four) primes near {a}", "the prime (just |)(before|after|closest to) {a}", "primes between {a} and {b}",
    "split {a} into primes", "all factors of {a}", "What do {a} and {b} have as common divisors?",
    "common multiples of {a} and {b}", "HCF of {a} and {b}", "LCM({a}, {b}, {c})",
    "the smallest number that {a} and {b} divide", "smallest number divisible by {a}, {b} and {c}",
    "number of divisors of {a}", "sum of the divisors of {a}", "phi({a})", "euler totient of {a}", "{a}^{b} mod {c}",
    "inverse of {a} mod {b}", "{a} over {b}, continued fraction",
    "(digit sum|cross sum|digital root|number of digits) of {a}{b}(?|)", "mirror the number {a}{b}",
    "What is the last digit of {a}^{b}?", "read {a}{b} backwards", "add the digits of {a}{b}{c}",
    "product of the digits of {a}{b}",
    "{a} in (base 16|base 5|two's complement|gray code|words in French|scientific form)(?|)",
    "0x{a} in decimal", "0b1011 plus 0b110", "binary 1101 to decimal", "how do you write {a} in binary",
    "hex ff in decimal", "(AND|OR|XOR) of {a} and {b}", "shift {a} left by {b}", "XLV minus XII",
    "(MDC|XXIV|CXI) as a (number|decimal number)", "what does (LXX|CM|XLIX) stand for",
    "How is {a} written by the Romans?", "{a} as a roman number", "rational or irrational: sqrt({a})",
    "Is pi a rational number?", "(first|last) {a} digits of (pi|e)", "the {a}th digit of pi", "{a} pi", "pi^{b}",
    "{a}/pi", "area in terms of pi, r={a}",
    "probability to (draw|get|pick) {a} (aces|reds|wins) in {b} (draws|tries|cards)",
    "What's the (chance|probability) that {a} coins all show heads?", "odds of {a} sixes in {b} rolls",
    "How likely is a {a} with two dice?", "expected number of heads in {a} flips",
    "In how many ways can {a} kids form pairs?", "number of subsets of a set with {a} elements",
    "How many {b}-letter words from {a} letters?", "How many different PINs of {b} digits are there?",
    "{a} choose {b} times {c}", "C({a}, {b})", "P({a}, {b})", "{a}P{b}", "how many pairs can be made of {a} people",
    "{a} teams play each other once. How many games?", "number of diagonals in a {a}-gon",
    "the (sum|total) of {a} consecutive numbers from {b}", "sum of the squares up to {a}", "1 + 4 + 9 + ... + {a}",
    "2 + 4 + ... + {a}", "add all odd numbers below {a}", "{b} + {a} + ... (up to|until) {c}{a}",
    "all numbers from {b} to {a}, summed", "sum over k from 1 to {a}", "the product of the numbers 1 to {a}",
    "arithmetic series from {b} to {a}", "geometric series with ratio {b}", "the {a}th even number",
    "fill in the gap: {a}, ?, {c}", "which number does not fit: {a}, {b}, {c}, 1000",
    "the rule of {a}, {b}, {c}", "{a} percent of {b} percent", "{b}% twice in a row on {a}",
    "first {a}% off, then {b}% off {c}", "{a}% of {b} minus {c}% of {a}",
    "{a} dollars at {b} percent compounded yearly for {c} years",
    "How many years until {a} dollars become {c}00 at {b}%?",
    "loan of {a} dollars, {b}% interest, {c} months, monthly rate?", "annual growth if {b} becomes {a} in {c} years",
    "APR of {a}%", "{a} plus infinity", "infinity minus infinity", "zero to the zero", "what is the largest number",
    "biggest number below infinity",
    "(a|one|two|{a}) (million|billion|trillion|quadrillion) (plus|minus|times|by) (a|one|{b}) (million|thousand)(?|)",
    "half a billion", "How many thousands are in a million?", "{a} to the power of a million", "{a}e{b} + {c}",
    "{a} x 10^-{b}", "{a}.{b}e-{c}", "{a} ± {b}", "{a} ~ {b}", "{a} ?? {b}", "{a} @ {b}", "{a} # {b}", "{a} && {b}",
    "{a} → {b}", "{a} ≡ {b} mod {c}", "ratio {a} : {b} = {c} : x, in words", "in the ratio {a} to {b}, share {c}00",
    "is {a} proportional to {b}", "{a} is to {b} as {c} is to?", "round pi to {a} places", "floor of {a}.{b}",
    "ceiling of {a}.{b}", "the absolute value of {b} minus {a}", "sgn(-{a})", "max of {f} on [{b}, {a}]",
    "how do i prove that {a} is even", "prove that sqrt({a}) is irrational", "Why is {a} times 0 zero?",
    "(factor|expand|simplify|sketch|graph) ({f})", "expand (x + {a})^{b}", "multiply out (x+{a})(x+{b})",
    "complete the square in {f}", "partial fractions of 1/({f})", "polynomial division of {f} by x - {a}",
    "degree of {f}",
)  # fmt: skip
MORE_CALENDAR = (
    "The ride begins at {b}:{a} and is over at {c}:30. For how long do I sit?",
    "from {b}:10 to {c}:50, how (long|many minutes)(?|)",
    "The bus goes at {b}:{a} and takes {c} minutes. When does it arrive?", "{b}:{a} plus {c} minutes",
    "{b}:30 minus {a} minutes", "I go to bed at {b} pm and get up at {c} am. How long do I sleep?",
    "How many minutes are left until {b}:{a}?", "School starts at {b}:{a}. I need {c} minutes. When must I leave?",
    "The shop is open from {b} am to {c} pm. How many hours is that?",
    "My shift is from {b} to {c}. How many hours do I work?", "It is {b}:{a} now. What time was it {c} hours ago?",
    "{a} minutes after noon", "What will the clock show {a} minutes after {b}:{c}?", "half past {b} plus {a} minutes",
    "what time is quarter to {b}", "The flight departs at {b}:{a} and lands {c} hours later. When does it land?",
    "When do I arrive if I leave at {b} and drive {a} km?", "arrival time: {b}:{a} plus {c} hours",
    "The oven is on since {b}:{a}. It is {c}:15. For how long is it on?", "{b} o'clock plus {a} hours",
    "I was born on {d}. How old am I?", "which weekday is {d}", "Was {d} a (Monday|Sunday|Friday)?",
    "On what weekday will {d} be?", "{d} was which day?", "{d}: (Monday|Tuesday|weekend) or not?",
    "How many (months|weeks|years) from {d} to {e}?", "{a} months before {d}", "{a} years and {b} months after {d}",
    "the age of somebody born in {y}", "Born in {y}, how old in {y}?", "is {y} a leap year or not", "days in {m}?",
    "the month after {m}", "three months after {m}", "Which month is number {b}?", "what date is {a} days from today",
    "What date was it {a} days ago?", "How long until {m}?", "how many days till {d}", "days since {d}",
    "weeks since {d}", "the second (Monday|Friday) in {m}", "the (first|last) (Sunday|Tuesday) of {m} {y}",
    "moon phase on {d}", "sunrise on {d}", "calendar week of {d}", "How many hours does {m} have?",
    "How many Sundays has {y}?", "the year {a} years before {y}", "{y} in roman",
    "If today is {m} {b}, when is the new moon?", "clock in {v} when it is {b} pm in {u}",
    "{b} pm {v} time in {u} time", "What time is sunset in {v}?", "how late is it", "current time in {v}",
    "time until the {v} game", "date of {v} day in {y}",
)  # fmt: skip
MORE_MISSING = (
    "{p} drives at {a} km per hour. How long does the trip take?", "{p} drives {a} km to {P}. When does {p} arrive?",
    "{p} starts at {a} km per hour, {q} starts later at {b} km per hour. When does {q} catch up?",
    "At {a} km per hour, how far is it?", "{p} needs {a} hours to {P}. How fast does {p} drive?",
    "Each {t} is cheap. What do {a} cost?", "What do {a} {t} weigh?", "{a} {t} are in boxes. How many boxes are there?",
    "{p} packs {t} into {a} boxes. How many {t} go in each?", "Every box has {a} {t}. How many {t} are there in all?",
    "{p} earns {a} dollars an hour. How much does {p} earn?", "{p} works every day for {a} dollars. How much is that?",
    "{p} has {a} dollars and buys {t}. How much is left?", "{p} has {a} dollars and spends some. How much is left?",
    "{p} gave some {t} to {q}. Now {p} has {a}. How many did {p} give?",
    "{p} has {a} {t}, {q} has more. How many does {q} have?",
    "{q} has fewer {t} than {p}, who has {a}. How many does {q} have?",
    "{p} and {q} have {a} {t}. How many does {p} have?", "{p} is younger than {q}, who is {a}. How old is {p}?",
    "{p} will be older in {a} years. How old will {p} be?", "In {a} years, how old is {p}?",
    "{p} was born some years before {q}. How old is {p}?", "{p} is twice as old as {q}. How old are they?",
    "{p}'s age is a number. Which one?", "A rope is cut into pieces of {a} m. How many pieces are there?",
    "{p} cuts {a} m off a rope. How long is it now?", "A (pool|tank|bath) loses {a} liters an hour. When is it empty?",
    "A tap gives {a} liters a minute. When is the tank full?", "{p} reads {a} pages a day. When is the book finished?",
    "{p} has read {a} pages. How many are left?", "A book has {a} pages. How many are left to read?",
    "{a} of the {t} are red. How many are not?", "{a}% of the {t} are red. How many are that?",
    "{a}% of the people said yes. How many people is that?", "The price went up by {a}%. What is it now?",
    "It costs {a}% less now. What is the price?", "I got {a}% off. What did I save?",
    "The tip is {a}%. How much is it?", "{p} pays {a}% tax. How much is that?",
    "My {w} is now {a}% bigger. How big is it?", "{p} shares {t} with {a} friends. How many does each get?",
    "{a} kids get the same number of {t}. How many each?", "How many groups can {a} kids make?",
    "{a} kids form equal teams. How many are in a team?", "There are {a} rows of chairs. How many chairs are there?",
    "A hall has {a} chairs in rows. How many rows?", "Some seats of {a} are taken. How many are free?",
    "Of {a} seats many are taken. How many are free?", "A wall is {a} m long. What is its area?",
    "A garden has an area of {a}. How long is it?", "A room is {a} m wide. What is its perimeter?",
    "It was warm and got {a} degrees colder. What is the temperature?",
    "It is {a} degrees and gets colder. What is it then?", "The temperature fell from {a} degrees. What is it now?",
    "{p} had {t} and got {a} more. How many does {p} have?", "{p} lost {a} {t}. How many has {p} now?",
    "After eating {a} {t}, how many are left?", "{p} bought {a} {t} and {u}. How many {u} did {p} buy?",
    "How many {u} fit in a box with {a} {t}?",
    "{p} buys {a} {t} and pays with a {b} dollar note. How much change is it?",
    "{a} {t} and some {u} cost {b} dollars. What does one {w} cost?",
    "Two {t} and a {w} cost {a} dollars. What is the price of the {w}?",
    "{p} and {q} are {a} years old together. How old is {q}?", "Two numbers have the sum {a}. What are they?",
    "I think of a number and add {a}. What do I get?", "Take a number, double it. What is it?",
    "Guess which number I have if it is more than {a}.", "Which numbers make {a}?",
    "{p} counts {t} up to some number. Which?", "Add {a} to my number.", "{a} plus something is how much?",
    "{a} minus a few", "{a} times some number", "What is {a} more?", "How much is {a} less?",
    "{a} times as many, how many is that?", "twice as many as yesterday is how many", "half as many as {p}'s",
    "the rest is how much?", "how many remain", "what is the remainder then", "divided by {a}, what is it",
    "{a} percent off", "minus {a} please", "and then {a} more", "and the average?", "which one is bigger",
    "sort them from small to large", "what is the total of all of them", "how much change do I get",
    "how much per person", "how many each", "is that even or odd", "solve for x", "x = ?", "what is y if x is {a}",
    "{p} runs faster than {q}. By how much?", "Who has more {t}, {p} or {q}?", "{p} has {a} {t}. Who has more?",
    "How many {t} did {p} buy for {a} dollars?", "How many {t} do I get for {a} dollars?",
    "{p} gets {a} dollars for some {t}. What is one worth?", "The {t} cost {a} dollars. What does one cost?",
    "{p} pays {a} dollars for {t} and {u}. What do the {u} cost?", "A machine makes {t}. How many in {a} hours?",
    "A machine makes {a} {t} an hour. How many does it make?", "{a} machines make {t}. How long does it take?",
    "{a} painters paint a house. How long do they need?", "My car needs {a} liters. How far can I drive?",
    "Gas is {a} dollars. What do I pay?", "I walked {a} steps. How far is that?",
    "{p} sleeps {a} hours. When does {p} get up?", "Lunch is in {a} minutes. What time is it?",
    "What is my change from {a} dollars?", "I spend {a} dollars a day. How much in all?",
    "I saved money for {a} weeks. How much is it?", "A class has {a} boys. How many kids does it have?",
    "There are {a} girls and some boys. How many kids?", "A farmer has {a} cows and many sheep. How many animals?",
    "{a} cows and a few hens have how many legs?", "{p} and {a} friends eat cake. How many pieces are left?",
    "A cake is cut into pieces. {a} are eaten. How many are left?",
    "A bus stops and {a} people get on. How many are on the bus?",
    "{a} people get off the train. How many are still on it?",
    "A {w} is on offer for {a} dollars. How many percent is it cheaper?",
    "It costs {a} dollars now. How many percent off is that?",
    "I paid {a} dollars after the discount. How many percent did I save?",
    "The price rose to {a} dollars. By how many percent?",
    "The number of {t} grew to {a}. How many percent more is that?", "{p} scored {a} points. What percent is that?",
    "{a} of the {t} are bad. How many percent are bad?", "My salary is {a} after the raise. How big was the raise?",
    "{p} leaves a tip of {a}%. What is the total?", "{p} sold some {t} with {a}% profit. What was the profit?",
    "{a}% of my {t} are new. How many are new?", "What do I pay with a {a}% coupon?",
    "{a}% of them came. How many came?", "{p} divides {a} by a number. What is the result?", "Divide my {t} by {a}.",
    "What is the remainder of the {t} divided by {a}?", "Is my number divisible by {a}?",
    "{a} goes into a number {b} times and a bit. What is the bit?", "divided by {a}, is there a rest",
    "What is left over when the {t} are shared by {a} kids?", "How many {t} are left over in boxes of {a}?",
)  # fmt: skip
MORE_UNLIKE = (
    "{n} {a} by {m} {b}", "{n} {a} multiplied by {m} {b}", "{n} {a} / {m} {b}", "{n} {a} * {m} {b}",
    "{n} {a} with {m} {b}", "multiply {n} {a} by {m} {b}", "divide {n} {a} by {m} {b}", "subtract {n} {a} from {m} {b}",
    "add {n} {a} and {m} {b}", "{n} {a} added to {m} {b}", "{n} {a} take away {m} {b}", "{n} {a} over {m} {b}",
    "the product of {n} {a} and {m} {b}", "the difference of {n} {a} and {m} {b}", "the total of {n} {a} and {m} {b}",
    "{n} {a} x {m} {b}", "{m} {b} off {n} {a}", "which is more, {n} {a} or {m} {b}",
    "the average of {n} {a} and {m} {b}", "{n} {a} squared", "{n} {a} mod {m} {b}",
)  # fmt: skip
MORE_UNIT_PAIRS = (
    (
        "kg", "pounds",
    ), (
        "pounds", "kilograms",
    ), (
        "kilograms", "ounces",
    ), (
        "grams", "ounces",
    ), (
        "ounces", "kg",
    ), (
        "tons", "pounds",
    ),
    ("cm", "feet"), ("mm", "inches"), ("yards", "meters"), ("meters", "yards"), ("inches", "meters"), ("feet", "cm"),
    (
        "miles", "meters",
    ), (
        "nautical miles", "km",
    ), (
        "parsecs", "light years",
    ), (
        "Fahrenheit", "Kelvin",
    ), (
        "Kelvin", "Celsius",
    ),
    (
        "pints", "liters",
    ), (
        "quarts", "liters",
    ), (
        "tablespoons", "ml",
    ), (
        "cups", "grams",
    ), (
        "liters", "cubic meters",
    ), (
        "cubic feet", "liters",
    ),
    (
        "square meters", "acres",
    ), (
        "hectares", "square km",
    ), (
        "megabytes", "gigabytes",
    ), (
        "GB", "MB",
    ), (
        "bits", "bytes",
    ), (
        "kilowatts", "watts",
    ),
    (
        "calories", "kilojoules",
    ), (
        "joules", "watts",
    ), (
        "newtons", "kg",
    ), (
        "bar", "psi",
    ), (
        "pascals", "bar",
    ), (
        "volts", "watts",
    ), (
        "hertz", "rpm",
    ),
    (
        "m/s", "km/h",
    ), (
        "km/h", "m/s",
    ), (
        "pounds", "dollars",
    ), (
        "dollars", "yen",
    ), (
        "francs", "euros",
    ), (
        "rupees", "dollars",
    ), (
        "euros", "pounds",
    ),
    (
        "dollars", "pesos",
    ), (
        "ethers", "dollars",
    ), (
        "carats", "grams",
    ), (
        "grains", "grams",
    ), (
        "barrels", "liters",
    ), (
        "furlongs", "miles",
    ),
    (
        "hours", "kg",
    ), (
        "minutes", "meters",
    ), (
        "dollars", "hours",
    ), (
        "liters", "meters",
    ), (
        "cm", "grams",
    ), (
        "days", "dollars",
    ), (
        "kg", "hours",
    ),
    (
        "seconds", "liters",
    ), (
        "apples", "oranges",
    ), (
        "pages", "words",
    ), (
        "steps", "km",
    ), (
        "degrees", "minutes",
    ), (
        "nickels", "dimes",
    ),
    (
        "pennies", "quarters",
    ), (
        "dimes", "dollars",
    ), (
        "lumens", "watts",
    ), (
        "moles", "grams",
    ), (
        "decibels", "volts",
    ), (
        "spoons", "cups",
    ),
)  # fmt: skip
DIMENSIONS = (
    ("km", "m", "cm", "mm", "meters", "kilometers", "feet", "inches", "yards", "miles"),
    ("kg", "g", "grams", "kilograms", "pounds", "ounces", "tons", "mg"),
    ("hours", "minutes", "seconds", "days", "weeks", "years", "months"),
    ("dollars", "cents", "euros"), ("liters", "ml", "gallons", "quarts", "l"),
    ("degrees", "pieces", "people", "percent", "volts", "watts", "points"),
)  # fmt: skip
"""Units of one kind a row: none can be converted into one of another row."""
