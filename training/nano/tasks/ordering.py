"""Comparing two numbers and sorting short lists."""

from __future__ import annotations

from fractions import Fraction

from training.nano.tasks.columns import compare_digits
from training.nano.tasks.problem import Problem, ask, boxed, sized
from training.nano.tasks.wording import Draws, listed

LARGER = (
    "Which is (larger|bigger|greater), {a} or {b}?", "Which number is (bigger|larger|greater|higher): {a} or {b}?",
    "What is (greater|larger|bigger), {a} or {b}?", "Find the maximum of {a} and {b}.", "max({a}, {b})",
    "Is {a} or {b} (larger|bigger|greater)?", "{a} or {b}, (which|what) is (bigger|larger|greater|more|higher)(?|)",
    "{a} (or|vs|vs.|versus) {b}: which is (larger|bigger|greater)?", "(which|what) is more, {a} or {b}(?|)",
    "Which of {a} and {b} is (larger|bigger|greater)?",
    "Which is the (larger|bigger|greater) (number|one), {a} or {b}?",
    "(Tell me|Say) which is (bigger|larger), {a} or {b}.", "(larger|bigger): {a} or {b}?",
    "What is the (larger|bigger) of {a} and {b}?", "Of {a} and {b}, which is (larger|bigger|greater)?",
    "Is {a} (bigger|larger) or (is |){b}?",
    "(I have two numbers|Two numbers|Numbers): {a} and {b}. Which is (bigger|larger|greater)?",
    "Pick the (larger|bigger) (number|one): {a}, {b}",
    "(Who|Which) wins if the (larger|bigger) number wins: {a} or {b}?",
)  # fmt: skip
SMALLER = (
    "Which is smaller, {a} or {b}?", "Which number is (less|lower|smaller): {a} or {b}?", "min({a}, {b})",
    "What is (smaller|less|lower), {a} or {b}?", "Find the minimum of {a} and {b}.",
    "Is {a} or {b} (smaller|lower|less)?", "{a} or {b}, (which|what) is (smaller|less|lower)(?|)",
    "{a} (or|vs|vs.|versus) {b}: which is smaller?", "(which|what) is less, {a} or {b}(?|)",
    "Which of {a} and {b} is (smaller|lower)?", "Which is the (smaller|lower) (number|one), {a} or {b}?",
    "(Tell me|Say) which is smaller, {a} or {b}.", "What is the smaller of {a} and {b}?",
    "Of {a} and {b}, which is (smaller|less)?",
    "(I have two numbers|Two numbers|Numbers): {a} and {b}. Which is (smaller|lower)?",
    "Pick the smaller (number|one): {a}, {b}",
)  # fmt: skip
SYMBOL = (
    "Compare {a} and {b} with <, > or =.", "Compare {a} and {b}.", "Put <, > or = between {a} and {b}.",
    "{a} ? {b}, (use|with) <, > or =", "compare {a} (with|to) {b}",
    "Which sign (goes|belongs) between {a} and {b}: <, > or =?", "Fill in <, > or =: {a} _ {b}",
    "Compare the numbers {a} and {b}.", "How do {a} and {b} compare?",
)  # fmt: skip
ABOVE = (
    "Is {a} (larger|bigger|greater|more|higher) than {b}?",
    "Is it true that {a} is (larger|bigger|greater) than {b}?", "{a} > {b}?", "Is {a} > {b}?",
    "{a} is (bigger|larger|greater) than {b}, (right|true or false|yes or no)?",
    "Would you say {a} is (more|bigger) than {b}?",
    "(True or false|Yes or no): {a} is (larger|bigger|greater) than {b}(.|)", "is {a} above {b}?",
    "Does {a} (lie|come|rank) (above|higher than) {b}?", "{a} (bigger|larger|greater|higher) than {b}?",
    "Is {a} the (larger|bigger) one next to {b}?", "Do you think {a} is (larger|greater) than {b}?",
    "Does {a} exceed {b}?", "(Check|Tell me) (if|whether) {a} is (larger|bigger|greater) than {b}.",
    "{a} beats {b} in size, right?", "Can we say that {a} is (higher|larger) than {b}?",
    "Is {a} over {b} on the number line?",
)  # fmt: skip
BELOW = (
    "Is {a} (smaller|less|lower) than {b}?", "Is it true that {a} is (smaller|less) than {b}?", "{a} < {b}?",
    "Is {a} < {b}?", "{a} is (smaller|less) than {b}, (right|true or false|yes or no)?",
    "Would you say {a} is (less|smaller) than {b}?",
    "(True or false|Yes or no): {a} is (smaller|less) than {b}(.|)", "is {a} below {b}?",
    "Does {a} (lie|come|rank) (below|lower than) {b}?", "{a} (smaller|less|lower) than {b}?",
    "Is {a} the (smaller|lower) one next to {b}?", "Do you think {a} is (smaller|less) than {b}?",
    "Does {a} stay below {b}?", "(Check|Tell me) (if|whether) {a} is (smaller|less|lower) than {b}.",
    "Can we say that {a} is (lower|smaller) than {b}?", "Is {a} under {b} on the number line?",
)  # fmt: skip
LARGEST = (
    "(What|Which) is the (largest|biggest|greatest|highest)( number|) (of|among) {}?", "max({})",
    "(Find|Give me|Tell me) the (largest|biggest|greatest|highest)( number|) (of|in|among|from) {}(.|)",
    "Which (number |)is (the |)(largest|biggest|greatest|highest): {}?", "What is the maximum of {}?",
    "largest of {}", "{}: which is the (largest|biggest)?",
    "(Pick|Choose) the (largest|biggest|highest) (number |)(of|from) {}.",
    "Which of {} is (largest|biggest|the biggest|the largest)?", "Of {}, which is the (largest|biggest)?",
    "Among {}, which number is on top?", "{}: largest?", "the (largest|biggest|highest) of {}",
    "From {} take the (largest|biggest|highest).", "{}. (Which|What) is the (biggest|highest|greatest|top) one?",
    "In {}, what is the maximum?", "which one is (largest|biggest) in {}",
    "Here are {}. Name the (largest|biggest|highest).", "{}, and the biggest is?", "the max of {}",
    "No number of {} is larger than which one?", "Say which number is highest: {}",
)  # fmt: skip
SMALLEST = (
    "(What|Which) is the (smallest|lowest|least)( number|) (of|among) {}?", "min({})",
    "(Find|Give me|Tell me) the (smallest|lowest)( number|) (of|in|among|from) {}(.|)",
    "Which (number |)is (the |)(smallest|lowest): {}?", "What is the minimum of {}?", "smallest of {}",
    "{}: which is the (smallest|lowest)?", "(Pick|Choose) the (smallest|lowest) (number |)(of|from) {}.",
    "Which of {} is (smallest|the smallest|the lowest)?", "Of {}, which is the (smallest|lowest)?",
    "Among {}, which number is at the bottom?", "{}: smallest?", "the (smallest|lowest|least) of {}",
    "From {} take the (smallest|lowest).", "{}. (Which|What) is the (lowest|least|tiniest) one?",
    "In {}, what is the minimum?", "which one is (smallest|lowest) in {}", "Here are {}. Name the (smallest|lowest).",
    "{}, and the smallest is?", "the min of {}", "No number of {} is smaller than which one?",
    "Say which number is lowest: {}",
)  # fmt: skip
ASCENDING = (
    "Sort {} in ascending order.", "Sort these numbers: {}", "Sort {}.",
    "(Arrange|Sort|Put|Order) {} from (smallest|lowest|least) to (largest|biggest|highest|greatest).",
    "Order {} from (small|low) to (large|high|big).", "Put {} in (increasing|ascending|rising) order.",
    "(Sort|Order|Arrange) (ascending|upwards|increasing|smallest first): {}",
    "(Can|Could) you (sort|order|put in order) {}( for me|)?",
    "Put these (numbers |)in order( from smallest to biggest| from smallest to largest|): {}",
    "Order these (numbers |)from (smallest|least) to (biggest|greatest|largest): {}", "{} sorted",
    "{}: sort (them|these)(.| please)", "{} in (ascending |increasing |)order",
    "(Write|List|Give) {} (in order|from small to large|from smallest to largest).", "sort the (list|numbers) {}",
    "What is {} in (ascending|increasing|sorted) order?",
    "(I have|My numbers are|Here are) {}. (Sort them|Put them in order)(.|)",
    "Line up {} (starting with|beginning with) the smallest.", "Rank {} from lowest to highest.",
    "{}, smallest first", "sort {} (upwards|up|going up|rising)", "{} from low to high",
    "Begin with the smallest: {}", "{}: (smallest|lowest) to (largest|highest)", "Get {} into rising order.",
    "I want {} in order, small ones first.", "order {}", "{} (ordered|arranged)(.|)",
)  # fmt: skip
DESCENDING = (
    "Sort {} in descending order.", "Sort from (largest|biggest|highest) to (smallest|lowest): {}",
    "(Arrange|Sort|Put|Order) {} from (largest|biggest|highest|greatest) to (smallest|lowest|least).",
    "Order {} from (large|high|big) to (small|low).", "Put {} in (decreasing|descending|falling) order.",
    "(Sort|Order|Arrange) (descending|downwards|decreasing|largest first|biggest first): {}",
    "(Can|Could) you (sort|order) {} from (biggest|largest) to smallest?",
    "Put these (numbers |)in order from (biggest|largest|highest) to (smallest|lowest): {}",
    "{} sorted (in reverse|backwards|descending|from large to small)",
    "{}: sort (them|these) (descending|largest first)(.| please)", "{} in (descending|decreasing) order",
    "{}, (largest|biggest|highest) first(.| please)", "Sort with the (largest|biggest) first: {}",
    "{}: put the (largest|biggest) first(.|)", "(Write|List|Give) {} from (large to small|largest to smallest).",
    "sort {} (in reverse|descending|backwards)", "What is {} in (descending|decreasing|reverse) order?",
    "Line up {} (starting with|beginning with) the largest.", "Rank {} from highest to lowest.",
    "{} from high to low", "sort {} (downwards|down|going down|falling)", "Begin with the largest: {}",
    "{}: (largest|highest) to (smallest|lowest)", "Get {} into falling order.", "I want {} in order, big ones first.",
    "{} (ordered|arranged) (downwards|largest first|from the top down|in reverse order)", "{} in reverse order",
    "Reverse sort {}.", "(order|sort) {} with the biggest in front", "{} the other way round, highest number first",
    "{} (backwards|reversed|in reverse): big to small",
    "Sort {}, but (backwards|in reverse|the other way, big to small).",
)  # fmt: skip


def comparison(rng: Draws) -> Problem:
    """Larger, smaller, a sign, or yes and no, for two numbers, decimals and negative ones among them."""
    kind = rng.random()
    if kind < 0.2:
        return _extreme(rng)
    a, b = _pair(rng)
    x, y = Fraction(a), Fraction(b)
    sign = "<" if x < y else ">" if x > y else "="
    steps = _compare(a, b, sign)
    if kind < 0.35:
        above = rng.random() < 0.5
        question = rng.wording(ABOVE if above else BELOW)
        answer = "yes" if (sign == ">" if above else sign == "<") else "no"
        steps = f"{steps}\nIs {a} {'>' if above else '<'} {b}? {answer}"
    elif kind < 0.5:
        question, answer = rng.wording(SYMBOL), f"{a} {sign} {b}"
    else:
        larger = kind < 0.75
        question = rng.wording(LARGER if larger else SMALLER)
        answer = "equal" if sign == "=" else a if (sign == ">") == larger else b
    return Problem(
        "comparison",
        f"{min((x, a), (y, b))[1]}|{max((x, a), (y, b))[1]}",
        ask(rng, question.format(a=a, b=b)),
        steps,
        f"{boxed(answer)}",
        answer,
    )


def _extreme(rng: Draws) -> Problem:
    """The largest or smallest of three to six numbers, by keeping the best so far."""
    numbers, largest = _numbers(rng, rng.choice((3, 3, 3, 4, 5, 6))), rng.random() < 0.6
    best, steps = numbers[0], [f"Start: {numbers[0]}"]
    for n in numbers[1:]:
        better = n > best if largest else n < best
        steps.append(f"{n} and {best}: {'larger' if largest else 'smaller'} is {n if better else best}")
        best = n if better else best
    return Problem(
        "comparison",
        ("max " if largest else "min ") + " ".join(map(str, sorted(numbers))),
        ask(rng, rng.wording(LARGEST if largest else SMALLEST).format(listed(rng, numbers))),
        "\n".join(steps),
        boxed(best),
        str(best),
    )


def _numbers(rng: Draws, count: int) -> list[int]:
    """Numbers of up to three digits, negative ones at times."""
    digits, signs = rng.choice((1, 2, 2, 3, 3, 0)), rng.random() < 0.15
    numbers = [sized(rng, digits or rng.choice((1, 2, 3))) for _ in range(count)]
    return [n * rng.choice((-1, 1)) for n in numbers] if signs else numbers


def _pair(rng: Draws) -> tuple[str, str]:
    digits = rng.choice((1, 2, 3, 3, 4, 4))
    a = sized(rng, digits)
    roll = rng.random()
    if roll < 0.35:
        b = sized(rng, rng.choice((1, 2, 3, 4)))
    elif roll < 0.45:
        b = a
    else:  # close to a: the same leading digits
        b = max(0, a + rng.choice((-1, 1)) * sized(rng, rng.randrange(1, digits + 1)))
    if rng.random() < 0.35:
        a_text, b_text = _decimal(rng, a), _decimal(rng, b)
        if rng.random() < 0.3:  # 9.11 and 9.9: the same before the point
            b_text = a_text.partition(".")[0] + "." + _decimal(rng, b).partition(".")[2]
    else:
        a_text, b_text = str(a), str(b)
    if rng.random() < 0.12:
        signs = rng.choice((("-", "-"), ("-", "-"), ("-", ""), ("", "-")))
        a_text, b_text = (sign + n if Fraction(n) else n for sign, n in zip(signs, (a_text, b_text), strict=True))
    return a_text, b_text


def _decimal(rng: Draws, n: int) -> str:
    """n with a point before its last one to three digits."""
    p = rng.choice((1, 2, 2, 3))
    return f"{n // 10**p}.{n % 10**p:0{p}}"


def _compare(a: str, b: str, sign: str) -> str:
    """Both numbers padded to the same places, then place by place until one differs; signs first."""
    if "-" in a + b:
        if not ("-" in a and "-" in b):
            return f"Only {a if '-' in a else b} is negative.\nSo {a} {sign} {b}."
        without = {"<": ">", ">": "<", "=": "="}[sign]
        steps = _compare(a[1:], b[1:], without)
        return f"Both are negative, so without signs and turned round.\n{steps}\nSo {a} {sign} {b}."
    whole = max(len(n.partition(".")[0]) for n in (a, b))
    places = max(len(n.partition(".")[2]) for n in (a, b))
    padded = []
    for n in (a, b):
        left, _, right = n.partition(".")
        padded.append(f"{left:0>{whole}}" + (f".{right:0<{places}}" if places else ""))
    steps = compare_digits(*(p.replace(".", "") for p in padded))
    return f"Line up the digits: {padded[0]} and {padded[1]}\n{steps}\nSo {a} {sign} {b}."


def sorting(rng: Draws) -> Problem:
    """Three to seven numbers of up to three digits, by taking the smallest (or largest) again and again."""
    numbers = _numbers(rng, rng.choice((3, 4, 4, 5, 5, 6, 7)))
    descending = rng.random() < 0.35
    row = listed(rng, numbers)
    if rng.random() < 0.1:
        row = f"[{', '.join(map(str, numbers))}]"
    answer = ", ".join(map(str, sorted(numbers, reverse=descending)))
    return Problem(
        "sorting",
        " ".join(map(str, sorted(numbers))),
        ask(rng, rng.wording(DESCENDING if descending else ASCENDING).format(row)),
        sort_steps(numbers, descending),
        boxed(answer),
        answer,
    )


def sort_steps(numbers: list[int], descending: bool) -> str:
    """The trace of a sort by selection."""
    left, lines = list(numbers), [f"Take the {'largest' if descending else 'smallest'} each time."]
    while len(left) > 1:
        pick = max(left) if descending else min(left)
        lines.append(f"{' '.join(map(str, left))}: {'largest' if descending else 'smallest'} {pick}")
        left.remove(pick)
    return "\n".join([*lines, f"{left[0]} is last"])
