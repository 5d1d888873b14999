"""Questions about numbers that nano must decline. {a}, {b} and {c} are small numbers, {f} a polynomial."""

from __future__ import annotations

PRIMES = (
    "Is {a} (a |)prime( number|)?", "(What are|Find|Give|List) the prime factors of {a}(.|?|)",
    "(Factor|Factorize|factorise|Factorise) {a}( into primes|).", "prime factorization of {a}",
    "What is the (greatest common divisor|gcd|greatest common factor) of {a} and {b}?", "gcd({a}, {b})",
    "lcm of {a} and {b}", "(What is|Find) the least common multiple of {a} and {b}(?|.)",
    "(List|Find|What are) (all |)the (factors|divisors) of {a}(.|?)", "What is the next prime after {a}?",
    "(List|Name) the first {a} primes.", "How many (primes|prime numbers) are (there |)below {a}?",
    "What are the divisors of {a}?", "Is {a} a perfect number?", "{a} prime or not?", "Are {a} and {b} coprime?",
    "How many (divisors|factors) does {a} have?", "Decompose {a} into prime factors.",
    "Write {a} as a product of primes.", "Find two primes that add to {a}.", "Is {a} a composite number?",
    "the {a}th prime", "Is {a} a square number?", "How many primes divide {a}?",
    "Give the prime decomposition of {a}.", "What is the smallest prime above {a}?", "the gcd of {a} and {b}",
    "Do {a} and {b} share a factor?",
)  # fmt: skip
ADVANCED = (
    "What is the (derivative|integral|antiderivative) of {f}?", "(Differentiate|Integrate|Derive) {f}.", "d/dx {f}",
    "∫ {f} dx", "lim x->0 {f}", "What is the limit of {f} (as|when) x goes to {a}?", "(sin|cos|tan)({a})",
    "(What is|Calculate) the (sine|cosine|tangent) of {a}( degrees|)(?|.)", "log({a})", "ln({a})",
    "log base {b} of {a}", "(What is|Compute) the logarithm of {a}(?|.)", "e^{a}", "What is {a} factorial?", "{a}!",
    "(Compute|Calculate) {a}!", "How many digits (of pi |does pi have)(do you know|)?",
    "(What is|Tell me) pi to {a} digits(?|.)", "pi * {a}", "What is pi times {a}?", "{a} choose {b}",
    "How many (permutations|combinations) of {a} (things|from {b}) are there?",
    "What is the probability of (rolling a {b}|two heads|a six) (with|on) a (die|coin|dice)?",
    "(What is|Find) the (median|mode|standard deviation|variance) of {a}, {b}, {c}(?|.)",
    "(Convert|What is|Write) {a} (to|in) (binary|hex|hexadecimal|octal|base 3)(.|?)",
    "(Convert|What is|Write) {a} (to|in|as) roman numerals(.|?)", "What is (XIV|XX|MCM|IX|XLII) in numbers?",
    "roman numeral for {a}", "abs({a} - {b})", "(What is|Find) the absolute value of {f}(?|.)", "What is i^{b}?",
    "(2+3i)({a}-i)", "({a} + {b}i) * (1 + i)", "Multiply the matrices [[{a}, {b}], [1, 2]] and [[0, 1], [1, 0]].",
    "(What is|Compute) the determinant of [[{a}, {b}], [{c}, 1]](?|.)",
    "(Find|What is) the next number( in the sequence|): {a}, {b}, {c}(.|?)", "What comes next: {a}, {b}, {c}, ...?",
    "(Sum|Add) (of |)(all |)the numbers from 1 to {a}.", "What is the sum of the first {a} (odd |even |)numbers?",
    "What is the {a}th (Fibonacci|prime|triangular) number?",
    "(Prove|Show) that {f} (is positive|has a root|is continuous).", "Expand {f}.", "(Simplify|Factor) {f}.",
    "Plot {f}.", "What is the (slope|graph|domain|inverse) of {f}?", "(Find|What is) the vertex of {f}(?|.)",
    "What is the area of a circle (with|of) radius {a}?",
    "(What is|Find) the circumference of a circle (with|of) (radius|diameter) {a}(?|.)",
    "(What is|Find) the volume of a (sphere|cube|cone|cylinder) (with|of) (radius|side|height) {a}(?|.)",
    "(Find|What is) the hypotenuse of a triangle with legs {a} and {b}(.|?)",
    "What is the area of a triangle with base {a} and height {b}?",
    "How many (sides|corners|edges) does a (cube|hexagon|pyramid) have?",
    "What is the angle (between|of) {a} and {b}?", "What is {a} in scientific notation?",
    "What is the square root of -{a}?", "sqrt(-{a})", "the {c}th root of {a}", "{a}^-{b}",
    "{a} to the power of -{b}", "{a}^0.{b}", "{a}^(1/{b})", "{a} to the power of a half",
    "What is infinity minus {a}?", "infinity / {a}", "{a} divided by infinity", "Is {a}.{b} rational?",
    "(Round|round) {a}.{b} to the nearest (whole number|ten|integer)(.|)",
    "What percent (of {a} is {b}|is {b} of {a})?", "{b} is what percent of {a}?",
    "(Increase|Decrease) {a} by {b}%.", "{a} plus {b}%", "What is the (ratio|proportion) of {a} to {b}?",
    "Simplify the (ratio|fraction) {a}/{b}(.|)", "(Reduce|Simplify) {a}/{b} to lowest terms.",
    "three (quarters|fifths|eighths) of {a}", "What is (a third|two thirds|three quarters|3/4|2/3|5/8) of {a}?",
    "{a} and a half plus {b} and a half", "1/{a} + 1/{b}", "{a}/{b} + {b}/{c}",
    "(Add|Multiply|Subtract) the fractions 1/{a} and {c}/{b}.",
    "How much interest do I get on {a} dollars at {b}% (in|for) {c} years?",
    "What is the compound interest on {a} at {b}%?", "{a} xor {b}", "{a} << {b}", "f(x) = {f}, what is f({a})?",
    "What is the cube of the square root of -{b}?", "Solve the differential equation y' = {a}y.",
    "Find the eigenvalues of [[{a}, {b}], [{c}, 2]].", "{a} (plus|times|over|minus) infinity",
    "infinity (times|plus|over) {a}", "What is {a} divided by infinite?",
    "{a} to the power of (one half|a third|minus one|pi|x|minus {b}|zero point {b})",
    "(Add|Sum) up the numbers 1 to {a}.", "1 + 2 + 3 + ... + {a}", "the sum of (1|one) through {a}",
    "Sum of the integers from {b} to {a}", "Add every number up to {a}.", "Solve y' = {a}x.",
    "Solve y'' + {a}y = 0.", "dy/dx = {a}y", "Find y if y' = {a}.",
    "(Solve|What is) the (matrix|vector|trigonometric|logarithmic|exponential) equation (of {a}|{f})(?|.)",
    "What is the (tangent|cotangent|secant|arcsin|arctan) of {a}?",
    "What is {a} in (base {c}|ternary|unary|morse code)?",
    "What is the (harmonic|geometric|weighted|moving) mean of {a} and {b}?", "{a} nand {b}", "{a} mod infinity",
    "What is {a}% more than {b}?", "{a} over pi", "pi / {a}", "pi + {a}", "e * {a}", "What is {a} times e?",
    "What is {a} to the infinite power?", "Estimate {a}.{b} times {c}.", "How many zeros does {a}! have?",
    "What is (one|a) {a}th of {b}?", "What is the (sum|product) of the digits of {a}?",
    "Reverse the digits of {a}.", "How many ways can I (order|arrange|choose) {a} (books|cards)?",
    "What are the odds of {a} to {b}?",
)  # fmt: skip
UNIT_PAIRS = (
    (
        "miles", "km",
    ), (
        "km", "miles",
    ), (
        "miles", "kilometers",
    ), (
        "kilometers", "miles",
    ), (
        "degrees Fahrenheit", "Celsius",
    ), (
        "Celsius", "Fahrenheit",
    ), (
        "inches", "cm",
    ), (
        "cm", "inches",
    ), (
        "pounds", "kg",
    ), (
        "kg", "pounds",
    ), (
        "feet", "meters",
    ), (
        "meters", "feet",
    ), (
        "gallons", "liters",
    ), (
        "liters", "gallons",
    ), (
        "dollars", "euros",
    ), (
        "euros", "dollars",
    ), (
        "yen", "dollars",
    ), (
        "ounces", "grams",
    ),
    (
        "acres", "hectares",
    ), (
        "knots", "km/h",
    ), (
        "km/h", "mph",
    ), (
        "mph", "km/h",
    ), (
        "km", "hours",
    ), (
        "kg", "liters",
    ), (
        "hours", "km",
    ), (
        "meters", "grams",
    ), (
        "light years", "km",
    ), (
        "bytes", "bits",
    ), (
        "joules", "calories",
    ), (
        "watts", "horsepower",
    ), (
        "degrees", "radians",
    ), (
        "cups", "ml",
    ), (
        "stones", "kg",
    ), (
        "bitcoins", "dollars",
    ), (
        "square meters", "square feet",
    ), (
        "volts", "amperes",
    ), (
        "pixels", "inches",
    ), (
        "teaspoons", "ml",
    ),
)  # fmt: skip
CALENDAR = (
    "What (weekday|day of the week) (was|is) {d}?", "(What|Which) day of the week (does|did) {d} fall on?",
    "{d} plus {a} months", "What date is {a} (months|years) after {d}?",
    "(Add|Subtract) {a} (months|years) (to|from) {d}.",
    "How many (months|years|weeks|hours) are (there |)between {d} and {e}?", "What day is it today?",
    "How many days until (Christmas|Easter|the weekend|summer)?", "What time is it {a} hours after {b} o'clock?",
    "It is {b} o'clock. What time is it in {a} hours?", "How long is it from {b}:15 to {a}:45?",
    "What time is it in {v}?", "When is the next (full moon|leap year|holiday|Friday the 13th)?",
    "Is {y} a leap year?", "How many (Mondays|Fridays|weekends|working days) are (there |)in {m}?",
    "What day was yesterday?", "What century is {y} in?", "Which zodiac sign is {d}?",
    "How old is somebody born on {d}?", "In which season is {d}?", "What is the last day of {m}?",
    "How many working days are there (from|between) {d} (to|and) {e}?",
    "The meeting starts at {b}:30 and takes {a} minutes. When does it end?", "What week of the year is {d}?",
    "Which quarter is {m} in?", "What month comes after {m}?", "What holiday is on {d}?", "What is the date today?",
    "What was the date a week ago?", "Which century was {y}?", "In (which|what) (century|decade|era) (was|is) {y}?",
    "How many years ago was {y}?", "What decade is {y}?", "How long ago is {y}?", "Was {y} a leap year?",
    "(What|Which) (year|century|decade) comes after {y}?", "What quarter is {d} in?",
    "How many days does {y} have?", "What season is {m}?", "How many days has {m}?",
    "What (era|age|period) is {y} in?", "How many hours are left on {d}?", "Which sign of the zodiac has {m}?",
    "What weekday will {d} be?",
)  # fmt: skip
MISSING = (
    "How many {t} does {p} have?", "{p} has {a} {t}. How old is {p}?",
    "{p} has {a} {t}. How many {u} does {q} have?",
    "{p} has {a} {t} and some {u}. How many {u} (are there|does {p} have)?",
    "{p} buys {a} {t}. How much does (it|that) cost?", "How much do {a} {t} cost?",
    "{p} is older than {q}. How old is {q}?", "{p} is {a} years old. How old is {q}?",
    "A train (leaves|goes|drives) at {a} km per hour. When does it arrive?",
    "A train leaves {P} at {a} mph and another (leaves|starts at) {Q} at {b} mph. (When|Where) do they meet?",
    "{p} reads {a} pages a day. How long does the book take?", "A car drives {a} km. How fast is it?",
    "{p} gives {a} {t} to {q}. How many does {p} have left?", "There are {t} and {u} in a box. How many {t}?",
    "{p} and {q} share some {t}. How many does each get?", "{p} has more {t} than {q}. How many does {p} have?",
    "A rectangle is {a} long. What is its area?", "{p} paid for {a} {t}. What is the change?",
    "It gets {a} degrees warmer. (How warm is it|What is the temperature)?",
    "{p} loses half of {his} {t}. How many are left?", "If {p} runs {a} km, how long does (he|she|it) take?",
    "{a} workers need some days. How long do {b} workers need?",
    "A (pool|tank) is filled in {a} hours by one (pump|pipe) and in {b} hours by another. How long do both need?",
    "{p} has a few {t} and buys {a} more. How many now?", "{p} has many {t} and eats {a}. How many are left?",
    "Half of the {t} are red. How many are blue?", "{p} walks to school every day. How far is it?",
    "{p} saves money every week. How much after {a} weeks?", "What is the price of {t}?",
    "{p} sells {a} {t}. How much (money |)does {p} (earn|make|get)?", "What is the number?", "What is x?",
    "What is the result?", "How much is it?", "What is the sum?", "Add the numbers.", "Sort the numbers.",
    "Which is larger?", "Divide by {a}", "Solve it.", "What is {a}% of it?", "Multiply it by {a}.", "Now add {a}.",
    "How many are left?", "Convert to meters.", "Subtract {a}", "(Take away|take off) {a}.",
    "(times|plus|minus) {a}", "(Double|Halve|Square) it.", "Half of that?", "Take the root of it.",
    "Split it into {a} parts.", "And {a} more?", "Multiply that by {a}", "Add {a} to it.", "by {a}",
    "{p} (sells|sold) {a} {t}. What does {p} (earn|get)( for them|)?",
    "{p} (sells|sold) {a} {t} at the market. How much money is that?",
    "{p} sells {t} for a good price. How much does {p} earn?", "{p} orders {a} {t}. How much must {p} pay?",
    "{p} earns money with {a} {t}. How much?", "{a} {t} are sold. How much money is it?",
    "How much did {p} (pay|earn|spend)?", "{p} has {a} {t}. How many {u}?",
    "{p} works {a} hours. How much does {p} earn?",
)  # fmt: skip
EQUATIONS = (
    "Solve {e}.", "(Solve|solve) for x: {e}", "{e}", "Find x if {e}.", "What is x if {e}?",
    "(Solve|solve) the equation {e}(.|)", "(Find|What are) the (roots|solutions) of {e}(.|?)",
    "(Can|Could) you solve {e}?", "{e}, x=?", "{e} solve for x", "(What|Which) x (solves|satisfies) {e}?",
    "Help me solve {e}", "For which x is {e}?", "If {e}, what is x?", "(Find|Give me) all x with {e}.",
)  # fmt: skip
