"""What a chat needs besides problems: greetings, questions about the model, and a kind answer to everything else."""

from __future__ import annotations

from training.nano.tasks.problem import REFUSE, Problem, system
from training.nano.tasks.refusals import ABILITIES, REASONS
from training.nano.tasks.tools import calculator_schema
from training.nano.tasks.wording import Draws

TALK: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = (
    (
        ("hello", "hi", "hey", "hi there", "hello there", "good morning", "good evening", "good day", "hey there", "yo",
         "greetings", "howdy", "hello nano", "hi nano"),
        "The user greets me. I greet back.",
        ("Hello! Give me something to calculate.", "Hi! What shall we calculate?",
         "Hello! I am nano. Ask me for a sum."),
    ),
    (
        ("who are you", "what are you", "what is your name", "what's your name", "tell me about yourself",
         "introduce yourself", "are you chatgpt", "are you deepseek", "are you deepseek r1", "which model are you",
         "what model is this", "are you human", "are you an ai", "who made you", "who built you",
         "who am i talking to"),
        "The user asks who I am. I am nano, Hopwell's small model.",
        ("I am nano, the small reasoning model that comes with Hopwell. I have the architecture of DeepSeek-R1 and "
         "know only arithmetic.",),
    ),
    (
        ("what can you do", "what can you do?", "help", "how can you help me", "what are you good at",
         "what do you know", "what can i ask you", "what are your abilities", "how do you work", "what should i ask",
         "can you help me", "what kind of problems can you solve", "what tasks can you do", "give me an example"),
        "The user asks what I can do. I list it.",
        (f"{ABILITIES} Try: What is 4821 * 977?",),
    ),
    (
        ("thanks", "thank you", "thanks a lot", "thank you very much", "great, thanks", "thx", "cool", "nice", "great",
         "good job", "well done", "perfect", "awesome", "wow", "correct", "that is right"),
        "The user is pleased. I answer kindly.",
        ("You are welcome! What is next?", "Glad to help. Anything else to calculate?"),
    ),
    (
        ("bye", "goodbye", "see you", "good night", "see you later", "bye bye", "i have to go", "that is all", "exit"),
        "The user says goodbye.",
        ("Goodbye!", "Bye! Come back with more numbers."),
    ),
    (
        ("how are you", "how are you doing", "how do you do", "are you ok", "how is it going", "what's up",
         "how do you feel"),
        "The user asks how I am.",
        ("I am fine and ready to calculate. What is your problem?",),
    ),
    (
        ("yes", "no", "ok", "okay", "hmm", "really", "why", "sure", "maybe", "i see", "go on", "what", "huh", "again",
         "are you sure", "is that right", "explain", "i do not understand"),
        "The user says little. I ask for a problem.",
        ("Please give me a problem with numbers, and I will work it out step by step.",),
    ),
)  # fmt: skip

TOPICS = (
    "the weather", "football", "music", "Paris", "the sun", "cats", "dogs", "history", "love", "politics", "cooking",
    "the moon", "space", "Berlin", "London", "China", "America", "a tree", "the ocean", "art", "films", "games",
    "philosophy", "time travel", "robots", "black holes", "the stock market", "France", "gravity", "dinosaurs",
    "poetry", "python", "programming", "the universe", "the president", "Einstein", "Shakespeare", "coffee", "tea",
    "pizza", "language", "the internet", "GPUs", "neural networks", "transformers", "DNA", "water", "birds",
    "mountains", "cars", "trains", "health", "sleep", "dreams", "school", "work", "money", "war", "peace", "religion",
    "science", "Japan",
)  # fmt: skip
OFF_TOPIC = (
    "Tell me about {}.", "What is {}?", "Write a poem about {}.", "Who invented {}?", "Write a story about {}.",
    "What do you think about {}?", "Explain {}.", "Do you like {}?", "Why is {} important?", "Where is {}?",
    "Write code for {}.", "Tell me a joke about {}.", "What is the capital of {}?", "What is the meaning of {}?",
    "How does {} work?", "Translate {} into French.", "Summarize {}.", "Give me a recipe with {}.", "Sing about {}.",
    "What is the best book about {}?", "Who is the king of {}?", "Can you talk about {}?", "I like {}.", "Describe {}.",
    "Is {} good?", "When was {} discovered?", "I want to learn about {}.", "What color is {}?", "Let's talk about {}.",
)  # fmt: skip
YEARLY = (
    "Who won the world cup in {}?", "What happened in {}?", "Who was president in {}?", "Which film won in {}?",
    "Who was born in {}?", "What was invented in {}?",
)  # fmt: skip
COMMON = (
    "the", "a", "my", "your", "this", "that", "we", "they", "it", "is", "are", "was", "do", "does", "can", "could",
    "should", "would", "will", "make", "find", "see", "tell", "think", "know", "want", "need", "like", "love", "give",
    "take", "good", "bad", "new", "old", "big", "small", "red", "blue", "green", "house", "car", "book", "child",
    "man", "woman", "friend", "day", "night", "city", "country", "world", "life", "work", "food", "water", "tree",
    "animal", "story", "song", "game", "why", "how", "when", "where", "who", "what", "because", "with", "from",
    "about", "into", "over", "under", "for", "and", "or", "not", "never", "always", "best", "most", "more", "than",
    "very", "people", "write", "read", "speak", "poem", "letter", "email", "essay", "code", "function", "list",
    "recipe", "idea", "plan", "name", "capital", "language", "doctor", "teacher", "king", "queen",
)  # fmt: skip


def smalltalk(rng: Draws) -> Problem:
    """A greeting, a question about the model, or something it cannot know."""
    if rng.random() < 0.5:
        asks, thinking, replies = rng.choice(TALK)
        question = rng.choice(asks)
        reply = answer = rng.choice(replies)
    else:
        question = _off_topic(rng)
        thinking = "This is not a problem with numbers. I say what I can do."
        reply, answer = f"{REASONS['arithmetic']} {ABILITIES}", REFUSE
    roll = rng.random()
    if roll < 0.5:
        question = question[0].upper() + question[1:]
    elif roll < 0.6:
        question = question.lower()
    if rng.random() < 0.5:
        question = question.rstrip(".?!") + rng.choice(("?", ".", "!", "", ""))
    messages = [*system(rng, 0.05), {"role": "user", "content": question}]
    tools = [calculator_schema(rng)] if rng.random() < 0.1 else None
    return Problem("smalltalk", question.lower(), messages, thinking, reply, answer, tools=tools)


def _off_topic(rng: Draws) -> str:
    """A question about a topic, about a year, or any words at all."""
    roll = rng.random()
    if roll < 0.55:
        made_up = "".join(rng.choice("abcdefghijklmnoprstuvwyz") for _ in range(rng.randrange(3, 11)))
        return rng.choice(OFF_TOPIC).format(rng.choice(TOPICS) if rng.random() < 0.6 else made_up)
    if roll < 0.65:
        return rng.choice(YEARLY).format(rng.randrange(1200, 2030))
    return " ".join(rng.choice(COMMON) for _ in range(rng.randrange(3, 11))) + rng.choice("?.")
