"""Who word problems are about: names and pronouns, and the verbs that agree with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from training.nano.tasks.wording import Draws

HE = (
    "Ben", "David", "Felix", "Hugo", "Jack", "Leo", "Omar", "Paul", "Sam", "Tom", "Max", "Tim", "Bob", "John",
    "Peter", "Mike", "James", "Carlos", "Ali", "Noah", "Liam", "Henry",
    "Mark", "Adam", "Eric", "Oscar", "Theo", "Luke", "Ryan", "Kevin", "Daniel", "Martin", "Victor", "Ivan", "Ahmed",
    "Raj", "Kenji", "Diego", "Simon", "Oliver", "Jonas", "Steve",
)  # fmt: skip
SHE = (
    "Anna", "Carla", "Emma", "Grace", "Ines", "Maria", "Nora", "Rosa", "Tina", "Lucy", "Mia", "Sara", "Ann", "Lisa",
    "Julia", "Kate", "Jane", "Olivia", "Sophie", "Laura", "Zoe", "Mary", "Alice",
    "Lena", "Eva", "Clara", "Ella", "Hannah", "Amy", "Sofia", "Nina", "Elena", "Helen", "Ruth", "Iris", "Fatima",
    "Priya", "Yuki", "Chloe", "Susan", "Linda", "Paula", "Megan",
)  # fmt: skip
THEY = ("Kim", "Alex", "Robin", "Sasha", "Chris", "The children", "The students", "My parents", "The neighbors")
OTHERS = (
    "A farmer", "A baker", "A teacher", "A boy", "A girl", "A man", "A woman", "A shop", "The school", "My brother",
    "My sister", "My friend", "My mother", "My father", "A student", "The library", "Mr. Smith", "Mrs. Brown",
    "A child",
)  # fmt: skip
NAMES = HE + SHE
GIVEN = (
    "a friend", "{x}", "{x}", "{x}", "{his} sister", "{his} brother", "{his} friend", "{his} friends",
    "{his} mother", "some kids", "a neighbor",
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """A subject: its name, the pronoun that stands for it later, and whether the name is plural."""

    subject: str
    pronoun: str
    his: str
    him: str
    plural: bool = False

    @property
    def s(self) -> str:
        """The ending of a verb after the name."""
        return "" if self.plural else "s"

    def filled(self, rng: Draws, template: str, later: bool, **values: Any) -> str:
        """A sentence: {P}, {p}, {his}, {him} are the person, {x} is another, {s}, {has}, {does}, {is} agree."""
        by_pronoun = later and rng.random() < 0.6
        name = self.pronoun if by_pronoun else self.subject
        plural = self.plural or (by_pronoun and self.pronoun == "they")
        other = rng.choice([x for x in NAMES if x != self.subject])
        given = rng.choice(GIVEN).format(x=other, his=self.his)
        inside = name if name == "I" or not name.startswith(("The ", "A ", "My ", "We")) else name[0].lower() + name[1:]
        first = self.pronoun == "I"
        return template.format(
            P=name[0].upper() + name[1:], p=inside, s="" if plural or first else "s",
            has="have" if plural or first else "has", does="do" if plural or first else "does",
            **{"is": "am" if first else "are" if plural else "is"}, his=self.his, him=self.him, x=given,
            X=given[0].upper() + given[1:], **values,
        )  # fmt: skip


def person(rng: Draws) -> Person:
    """He, she, they, or I."""
    roll = rng.random()
    if roll < 0.35:
        return Person(rng.choice(HE), "he", "his", "him")
    if roll < 0.62:
        return Person(rng.choice(SHE), "she", "her", "her")
    if roll < 0.68:
        return Person("We", "we", "our", "us", plural=True)
    if roll < 0.78:
        name = rng.choice(THEY)
        return Person(name, "they", "their", "them", plural=name.startswith(("The ", "My ")))
    if roll < 0.92:
        return Person("I", "I", "my", "me", plural=True)
    return Person(rng.choice(OTHERS), *rng.choice((("he", "his", "him"), ("she", "her", "her"))))
