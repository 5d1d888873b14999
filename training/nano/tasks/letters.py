"""Letters in words: how many there are of one, and how many in all, by spelling."""

from __future__ import annotations

from training.nano.tasks.problem import Problem, ask, boxed
from training.nano.tasks.wording import Draws, in_words

WORDS = (
    "apple", "cherry", "orange", "lemon", "melon", "raspberry", "blueberry", "cranberry", "pineapple", "tomato",
    "potato", "carrot", "onion", "pepper", "cucumber", "spinach", "broccoli", "cabbage", "garlic", "butter",
    "cheese", "bread", "coffee", "chocolate", "cookie", "pudding", "noodle", "pizza", "salad", "sandwich", "window",
    "kitchen", "bottle", "table", "chair", "letter", "mirror", "carpet", "pillow", "blanket", "ladder", "hammer",
    "needle", "scissors", "bicycle", "airplane", "railroad", "motorcycle", "balloon", "umbrella", "elephant",
    "giraffe", "kangaroo", "hippopotamus", "crocodile", "squirrel", "rabbit", "kitten", "puppy", "horse", "zebra",
    "tiger", "lion", "parrot", "penguin", "butterfly", "mosquito", "spider", "lobster", "octopus", "dolphin",
    "whale", "mountain", "river", "valley", "ocean", "island", "desert", "forest", "meadow", "volcano", "thunder",
    "lightning", "rainbow", "sunflower", "lavender", "tulip", "december", "tuesday", "wednesday", "tennessee",
    "alabama", "massachusetts", "california", "minnesota", "philadelphia", "europe", "america", "australia",
    "london", "berlin", "barcelona", "amsterdam", "copenhagen", "committee", "address", "success", "possession",
    "assess", "bookkeeper", "balance", "arithmetic", "mathematics", "algebra", "geometry", "number", "hundred",
    "thousand", "million", "parallel", "rhythm", "science", "history", "music", "language", "grammar", "sentence",
    "paragraph", "dictionary", "library", "university", "professor", "student", "teacher", "computer", "keyboard",
    "program", "internet", "telephone", "television", "network", "transformer", "attention", "intelligence",
    "model", "parameter", "happiness", "sadness", "friendship", "freedom", "holiday", "vacation", "birthday",
    "christmas", "family", "mother", "father", "brother", "sister", "grandmother", "neighbor", "engineer",
    "carpenter", "doctor", "lawyer", "president", "queen", "soldier", "yellow", "purple", "green", "silver",
    "little", "different", "difficult", "beautiful", "terrible", "wonderful", "necessary", "immediately",
    "tomorrow", "yesterday", "together", "between", "weather", "summer", "winter", "autumn", "spring", "morning",
    "evening", "dinner", "breakfast", "hello", "world", "please", "thanks", "goodbye", "welcome", "question",
    "answer", "street", "tree", "bee", "book", "dog", "cat", "egg", "moon", "sun", "star", "anna", "otto", "robert",
    "jessica", "matthew", "jennifer", "barbara", "ann", "bob", "tom", "emma", "william", "cell", "roll", "puzzle",
    "jazz", "quizzes", "zigzag", "raccoon", "cappuccino", "spaghetti", "lasagna", "vanilla", "cinnamon", "ginger",
    "pumpkin", "walnut", "peanut", "hazelnut", "strawberries", "berry", "straw", "blackberry", "gooseberry",
    "missouri", "misses", "mission",
)  # fmt: skip
SYLLABLES = (
    "ra", "re", "ri", "ro", "ru", "la", "le", "li", "lo", "lu", "ma", "me", "mi", "mo", "na", "ne", "ni", "no",
    "sa", "se", "si", "so", "su", "ta", "te", "ti", "to", "pa", "pe", "pi", "po", "ba", "be", "bi", "bo", "ca",
    "co", "cu", "da", "de", "di", "do", "ga", "go", "ha", "he", "ho", "wa", "we", "wi", "ber", "ry", "ter", "ing",
    "tion", "st", "str", "ss", "tt", "ll", "ch", "sh", "th", "ck", "ee", "oo", "ea", "ou", "er", "ar", "or", "al",
    "an", "en", "in", "on", "ly", "y",
)  # fmt: skip
COUNT = (
    "How many {x}'s are in {w}?", "How many {x}s are (there |)in (the word |){w}?",
    "(How many times|How often) does (the letter |){x} (appear|occur|show up|come up) in (the word |){w}?",
    "Count the (letter |){x}(s|'s|) in {w}.",
    "(How many|What number of) letters? {x} (does|has) (the word |){w} (have|contain|)(?|)",
    "How many {x} are in {w}?", "how many {x}'s does {w} have",
    "Count (how many times|how often) {x} (appears|occurs|is) in {w}.", "number of {x}'s in {w}",
    "(What is|Find|Give me) the number of {x}(s|'s) in (the word |){w}(?|.)",
    "In (the word |){w}, how many {x}(s|'s) are there?", "How often is (the letter |){x} in {w}?",
    "Tell me how many {x}(s|'s) (there are|are) in {w}.", "(Can|Could) you count the {x}(s|'s) in {w}?",
    "{w}: how many {x}?", "How many times do you write (the letter |){x} in {w}?",
    "The word is {w}. How many {x}(s|'s) (are there|does it have)?", "count {x} in {w}",
    "Spell {w}. How many {x}(s|'s)?", "Is there an {x} in {w}, and how many?",
    "How many of the letter {x} are in {w}?", "When I write {w}, how many {x}(s|'s) do I need?",
    "What is the (count|number) of the letter {x} in {w}?", "(Number|count|Count) of {x} in {w}(?|)",
    "The number of letters {x} in {w}(?|)", "I need the number of {x}'s in {w}.", "how many letter {x} in {w}",
)  # fmt: skip
LENGTH = (
    "How many letters are in {w}?", "How many letters (does|has) (the word |){w} (have|contain|got|)(?|)",
    "(How long is|What is the length of) the word {w}?", "Count the letters (in|of) {w}.",
    "(What is|Find) the number of letters (in|of) (the word |){w}(?|.)", "how many letters in {w}",
    "{w}: how many letters?", "How many letters (make up|are there in|are in) the word {w}?",
    "(Can|Could) you count the letters (in|of) {w}?", "The word {w} has how many letters?",
    "How many letters long is {w}?", "Tell me how many letters {w} has.", "letters in {w}?",
    "(How many|What number of) letters (do I|do you) need (to write|for) {w}?", "length of (the word |){w}",
)  # fmt: skip


def made_up(rng: Draws) -> str:
    """A word of syllables, or of any letters."""
    if rng.random() < 0.7:
        return "".join(rng.choice(SYLLABLES) for _ in range(rng.randrange(2, 6)))[:14]
    few = rng.sample("abcdefghijklmnopqrstuvwxyz", rng.randrange(2, 9))
    return "".join(rng.choice(few) for _ in range(rng.randrange(2, 11)))


def letters(rng: Draws) -> Problem:
    """One letter's count, or the length of a word; the words are real or made up."""
    word = rng.choice(WORDS) if rng.random() < 0.45 else made_up(rng)
    style = rng.choice(("{}", "{}", "{}", '"{}"', "'{}'", "“{}”"))
    shown = style.format(rng.choice((word, word, word, word, word.capitalize(), word.upper())))
    if rng.random() < 0.25:
        steps, answer = _length(word), str(len(word))
        return Problem(
            "letters",
            f"letters {word}",
            ask(rng, rng.wording(LENGTH).format(w=shown), exact=True),
            steps,
            f"The word has {boxed(answer)} letters.",
            answer,
        )
    letter = rng.choice(word) if rng.random() < 0.8 else rng.choice("abcdefghijklmnopqrstuvwxyz")
    count = word.count(letter)
    asked = rng.choice((letter, letter, letter, letter.upper(), f"'{letter}'", f'"{letter}"'))
    question = rng.wording(COUNT).format(x=asked, w=shown)
    return Problem(
        "letters",
        f"letter {letter} {word}",
        ask(rng, question, exact=True),
        count_steps(word, letter),
        boxed(count),
        str(count),
    )


def count_steps(word: str, letter: str) -> str:
    """The word letter by letter, with a running count after each hit."""
    seen, parts = 0, []
    for x in word:
        if x == letter:
            seen += 1
            parts.append(f"{x} ({in_words(seen)})")
        else:
            parts.append(x)
    return f"Count {letter} in {word}:\n" + "\n".join(parts) + f"\nThat is {seen}"


def _length(word: str) -> str:
    return f"Spell {word}:\n" + "\n".join(f"{i} {x}" for i, x in enumerate(word, 1)) + f"\nThat is {len(word)}"
