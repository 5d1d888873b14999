"""Words of a story for others that leave its calculation as it is, and sentences that tell nothing of it."""

from __future__ import annotations

import re

from training.nano.tasks.letters import WORDS
from training.nano.tasks.wording import Draws

SWAPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (r"How many are left\?", "", ("How many remain?", "What number is left?", "How many are still there?",
        "How many are not gone?", "What's left?", "How many does that leave?")),
    (r"How much is left\?", "", ("How much remains?", "What is left over?", "What remains?", "What does that leave?",
        "How much is still there?")),
    (r"\b(in total|altogether|in all)(?=[?.])", "", ("in total", "altogether", "in all", "all together", "in sum",
        "all told", "overall")),
    (r"\bcosts(?= \d)", "", ("is", "is sold at", "goes for", "comes at", "is priced at", "sells for")),
    (r"\bbuys\b", "", ("gets", "purchases", "picks up", "orders", "takes")),
    (r"\bbought\b", "", ("got", "purchased", "picked up", "ordered", "took")),
    (r"\bgave away\b", "", ("handed out", "donated", "parted with", "passed on")),
    (r"\bdollars\b", r"\$|\bdollar\b|\bcents\b", ("euros", "pounds", "francs", "coins", "pesos", "crowns", "dollars")),
    (r"\bkids\b", r"\bkid\b|\bchildren\b|\bgirls\b|\bboys\b", ("children", "pupils", "students", "players",
        "neighbors", "cousins", "scouts")),
    (r"\bfriends\b", r"\bfriend\b", ("classmates", "cousins", "neighbors", "colleagues", "people", "brothers")),
    (r"\bkm\b", r"\bmiles?\b", ("miles", "kilometers", "km")),
    (r"\bboxes\b", r"\bbox\b|\bcrates\b|\bbags\b|\bpacks\b", ("crates", "cartons", "bags", "baskets", "packets",
        "cases", "drawers", "tins")),
    (r"\bbags\b", r"\bbag\b|\bboxes\b|\bpacks\b", ("sacks", "boxes", "packets", "baskets", "nets", "cartons")),
    (r"\bpacks\b", r"\bpack\b|\bboxes\b|\bbags\b", ("packets", "packages", "sets", "bundles", "boxes")),
    (r"\bpages\b", r"\bbook\b|\bpage\b|\breads?\b", ("sheets", "lines", "forms", "letters")),
    (r"\bbus\b", r"\bstop\b|\bbuses\b", ("train", "tram", "ship", "ferry", "plane")),
    (r"\bbirds\b", r"\bfl(y|ies|ew)\b|\btree\b|\bbird\b", ("cats", "fish", "frogs", "deer", "mice")),
    (r"\bgroups\b", r"\bgroup\b", ("teams", "classes", "crews")),
    (r"\brows\b", r"\brow\b", ("lines", "columns", "blocks")),
    (r"\bseats\b", r"\bseat\b", ("places", "chairs", "spots")),
    (r"\bequally\b", "", ("evenly", "fairly", "in equal parts")),
    (r"\bevenly\b", "", ("equally", "fairly", "in equal parts")),
    (r"\b(an|per) hour\b", r"\bhours\b", ("an hour", "per hour", "every hour", "each hour")),
    (r"\ba day\b", r"\bA day\b", ("per day", "each day", "every day", "daily")),
    (r"\ba week\b", r"\bin a week\b|\bA week\b", ("per week", "each week", "every week", "weekly")),
    (r"\bon Monday\b", r"\bthan on\b", ("on Sunday", "yesterday", "in the morning", "in April", "last week")),
    (r"\bon Tuesday\b", r"\bthan on\b", ("on Saturday", "today", "in the evening", "in May", "this week")),
    (r"\bhas read\b", "", ("has finished", "is done with", "got through")),
    (r"\bcookies|cakes|muffins\b", "", ("pies", "biscuits", "pastries", "bars")),
    (r"\bmore come\b", "", ("more arrive", "others come", "new ones come", "more show up", "more turn up")),
    (r"\bare left\b", "", ("remain", "are left over", "are still left")),
    (r"\bWhat does (he|she) pay\?", "", (r"How much does \1 pay?", r"What must \1 pay?", r"What is \1 charged?")),
    (r"\bHow much does (he|she) pay\?", "", (r"What does \1 pay?", r"What must \1 pay?", r"How much must \1 pay?")),
)  # fmt: skip
"""A pattern, what must not stand in a story for it to be swapped, and what may stand instead."""


NOUNS = (
    "chair", "table", "lamp", "game", "coat", "shirt", "phone", "bike", "car", "truck", "van", "boat", "plane", "wagon",
    "train", "tower", "house", "hotel", "school", "museum", "zoo", "farm", "camp", "hall", "room", "window", "door",
    "jar", "sack", "bag", "plate", "cup", "cake", "egg", "pizza", "apple", "cookie", "flower", "stone", "brick",
    "tile", "bottle", "ball", "rope", "ribbon", "fence", "road", "river", "card", "stamp", "album", "farmer", "baker",
    "teacher", "worker", "player", "guest", "visitor", "ticket", "hat", "tent", "taxi", "machine", "printer", "candle",
    "elevator", "friend", "team", "garden", "map", "meal", "pen", "gym", "laptop", "crate", "basket", "tray", "shop",
)  # fmt: skip
NOUN = re.compile(rf"\b({'|'.join(NOUNS)})s?\b")
ANY_NOUN = tuple(word for word in WORDS[:96] if not word.endswith(("y", "s", "ch", "to")))
ASIDES = (
    "It is Sunday.", "The weather is fine.", "It rains.", "Everybody is happy.", "This is a true story.", "Listen.",
    "Here is what happened.", "It was a long day.", "Think about this.", "We are at the sea.", "I like such things.",
    "My friend told me this.", "There is music.", "The sun shines.", "It is cold outside.", "Do not hurry.",
    "Nobody was in a hurry.", "That was in winter.", "The dog sleeps.", "I saw this in town.", "Read with care.",
)  # fmt: skip


def with_nouns(rng: Draws, text: str) -> str:
    """A story in which one or two nouns, at all of their places, are words that stories seldom tell of."""
    found = list(dict.fromkeys(NOUN.findall(text)))
    chosen = rng.sample(found, min(len(found), rng.choice((1, 1, 2))))
    for noun, other in zip(chosen, rng.sample(ANY_NOUN, len(chosen)), strict=True):
        text = re.sub(rf"\b([Aa])n? {noun}\b", rf"\1{'n' if other[0] in 'aeiou' else ''} {other}", text)
        text = re.sub(rf"\b{noun}(?=s?\b)", other, text)
    return text


def with_aside(rng: Draws, text: str, often: float = 0.05) -> str:
    """At times a story after a sentence that has nothing to do with it."""
    return f"{rng.choice(ASIDES)} {text}" if rng.random() < often else text


def varied(rng: Draws, text: str, often: float = 0.3) -> str:
    """At times a story in which one or two words, at all of their places, are others."""
    if rng.random() < often / 2:
        text = with_nouns(rng, text)
    if rng.random() > often:
        return text
    able = [swap for swap in SWAPS if re.search(swap[0], text) and not (swap[1] and re.search(swap[1], text))]
    for pattern, _, others in rng.sample(able, min(len(able), rng.choice((1, 2)))):
        text = re.sub(pattern, rng.choice(others), text)
    return text
