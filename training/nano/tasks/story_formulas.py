"""Word problems as a formula and the ways to tell it. {a}, {b} and {c} are its numbers.

{p}, {q} and {r} are people, {he} and {his} go with {p}; {t} and {u} are things, {o} is one of {t}; {x} says {b} times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Formula:
    """A calculation of one to three steps and its stories.

    Attributes:
        value: the calculation, with the operators + - * / and brackets; every step is whole and not negative.
        unit: what the answer counts; may be empty.
        ranges: from which each of a, b and c is drawn, both ends included.
        lines: whole stories.
    """

    value: str
    unit: str
    ranges: tuple[tuple[int, int], ...]
    lines: tuple[str, ...]

    @cached_property
    def any_size(self) -> bool:
        """Whether its numbers may be larger or smaller than `ranges` says: none is divided by or said in words."""
        return "/" not in self.value and self.value != "b" and not re.search(r"\{[xfF]\}", "".join(self.lines))


SMALL, MEDIUM, LARGE = (2, 12), (2, 60), (20, 400)

ONE_STEP = (
    Formula("a-b", "", (LARGE, MEDIUM), (
        "A class has {a} students. {b} of them are girls. How many (boys are there|are boys)?",
        "There are {a} {t} in a box. {b} are red and the rest are blue. How many are blue?",
        "A book has {a} pages. {p} has read {b}. How many pages (are left|are left to read|does {he} still have to "
        "read)?",
        "{p} needs {a} points (to win |)and has {b}. How many (more |)points (does {he} need|are missing)?",
        "A tank holds {a} liters. {b} liters are in it. How many liters (fit in|are missing)?",
        "{a} people are on a (bus|train). {b} get off. How many (people |)are (still |)(on the (bus|train)|left)?",
        "A rope is {a} m long. {p} cuts off {b} m. How long is (the rest|it now)?",
        "{p} wants a bike for {a} dollars and has saved {b}. How much (money |)does {he} still need?",
        "Of {a} {t}, {b} are sold. How many are (not sold|left|unsold)?",
        "It is {a} km to the city. {p} has driven {b} km. How (many km are left|far is it still)?",
        "{p} is {a} cm tall and {q} is {b} cm tall. How much taller is {p}?",
        "{p} scored {a} points, {q} scored {b}. How many (more points|points more) did {p} score?",
        "A movie is {a} minutes long. {p} has watched {b} minutes. How many minutes are left?",
        "There are {a} chairs and {b} guests. How many chairs (stay|are|remain) empty?",
        "{p} had {a} {t}. Now {he} has {b}. How many did {he} (lose|give away|eat|sell)?",
        "{p} had {a} dollars and now has {b}. How much did {he} spend?",
        "A shop ordered {a} {t}, but only {b} came. How many are missing?",
        "{p} has {a} {t} and {q} has {b}. How many (more does {p} have|fewer does {q} have)?",
        "One {o} costs {a} dollars, another costs {b}. What is the difference (in price|)?",
        "{a} kids are at a party. {b} go home. How many (kids |)(stay|are still there)?",
        "{p} picked {a} {t}, but {b} were bad. How many were good?",
        "There are {a} places in a hall and {b} are taken. How many are free?",
        "A farmer had {a} (sheep|hens|cows) and sold {b}. How many (sheep |hens |cows |)(are left|does (he|she) have "
        "now)?",
        "{p} weighs {a} kg and {q} weighs {b} kg. How much (heavier is {p}|lighter is {q})?",
        "A phone costs {a} dollars. {p} pays {b} dollars (now|today). How much does {he} still owe?",
        "A plane has {a} seats. {b} are full. How many are empty?",
        "Out of {a} {t}, {b} got lost. How many (are left|remain)?",
        "I need {a} dollars and I have {b}. How much (more do I need|is missing)?",
        "we were {a} people and {b} left. how many are we now",
        "My bag holds {a} {t}. {b} are in it. How many more can I put in?",
        "{p} lives {a} km away, {q} only {b} km. How much (farther|further) away is {p}?",
    )),
    Formula("a+b", "", (LARGE, LARGE), (
        "{a} birds sit (on|in) a tree. {b} more (come|land). How many birds are there (now|)?",
        "{p} read {a} pages on Monday and {b} on Tuesday. How many pages (in total|altogether|did {he} read)?",
        "There are {a} boys and {b} girls in a (class|school|club). How many (children|kids|students) are there?",
        "There are {a} red and {b} blue {t}. How many {t} are there (in total|together|in all)?",
        "A shirt costs {a} dollars and shoes cost {b}. How much (do they cost together|is that|do both cost)?",
        "{p} gave away {b} {t} and has {a} left. How many did {he} have (at first|before)?",
        "After spending {b} dollars, {p} has {a} dollars left. How much did {he} have before?",
        "{p} ran {a} m and then {b} m (more|). How far did {he} run?",
        "A bus has {a} passengers. At a stop {b} get on. How many are on the bus now?",
        "{p} sold {a} {t} yesterday and {b} today. How many (is that in total|did {he} sell)?",
        "{p} has {a} dollars and (gets|earns|finds) {b} more. How much does {he} have?",
        "A train has {a} people on board. {b} more get in. How many now?",
        "A farm has {a} cows and {b} sheep. How many animals (is that|are there|does it have)?",
        "{p} drove {a} km before lunch and {b} km after it. How (far|many km) in (all|total)?",
        "We were {a} people, then {b} more joined us. How many are we?",
        "{p} took {b} {t} out of a box and {a} are still in it. How many were in the box?",
        "I paid {a} dollars for food and {b} for a taxi. How much did I pay (in all|together)?",
        "{a} adults and {b} children visit a museum. How many visitors is that?",
        "A tree was {a} cm tall and grew {b} cm. How tall is it now?",
        "On Monday {a} people came, on Tuesday {b}. How many people came on both days?",
        "My team scored {a} points in the first half and {b} in the second. What is the total?",
        "{p} ate {b} of {his} {t}. {a} are left. How many were there?",
    )),
    Formula("a*b", "", ((2, 60), SMALL), (
        "{p} reads {a} pages a day. How many pages (does {he} read |)in {b} days?",
        "There are {b} (boxes|bags|packs) with {a} {t} each. How many {t} (are there|is that|in total)?",
        "{p} earns {a} dollars (an|per) hour. How much does {he} earn in {b} hours?",
        "A car (drives|goes) {a} km per hour. How far does it (get|go|drive) in {b} hours?",
        "There are {b} rows (of|with) {a} chairs. How many chairs (are there|is that)?",
        "Each of {b} (kids|children|friends) has {a} {t}. How many {t} do they have (together|in total|)?",
        "{p} runs {a} km every day. How (far|many km) does {he} run in {b} days?",
        "A ticket costs {a} dollars. How much do {b} tickets cost?",
        "There are {b} groups of {a} (students|people). How many (students|people) is that?",
        "A machine makes {a} parts (a|per|every) minute. How many parts does it make in {b} minutes?",
        "A pack has {a} {t}. How many {t} are in {b} packs?", "{b} packs of {a} {t}. How many {t} (in all|are that)?",
        "{p} saves {a} dollars (a|every|each) (week|month|day). How much (does {he} have|is that) after {b} "
        "(weeks|months|days)?",
        "One {o} weighs {a} grams. What do {b} {t} weigh?",
        "{b} people each pay {a} dollars. How much is that (together|)?",
        "Every {o} costs {a} dollars. {p} buys {b}. How much does {he} pay?",
        "A bus holds {a} people. How many people (fit in|can ride in) {b} buses?",
        "{p} works {b} days for {a} dollars a day. How much (money |)does {he} get?",
        "A train travels at {a} km per hour. What distance does it cover in {b} hours?",
        "{p} has {b} bags. In each bag are {a} {t}. How many {t} does {he} have?",
        "A house has {b} floors with {a} windows each. How many windows does it have?",
        "If one box holds {a} {t}, how many do {b} boxes hold?",
        "For one cake I need {a} grams of sugar. How much do I need for {b} cakes?",
        "{b} tables with {a} chairs at each. How many chairs?", "A cat eats {a} grams a day. How much in {b} days?",
        "I pay {a} dollars a month. How much is that in {b} months?",
        "There are {a} {t} per bag. I buy {b} bags. How many {t}?",
        "{p} drinks {a} cups every day for {b} days. How many cups is that?",
        "A plant grows {a} cm (a|per) week. How many cm does it grow in {b} weeks?",
        "{b} friends bring {a} {t} each. How many {t} are there?",
        "{p} does {a} jumps a minute for {b} minutes. How many jumps?",
    )),
    Formula("a*7", "", (MEDIUM,), (
        "{p} reads {a} pages a day. How many pages (does {he} read |)in a week?",
        "{p} saves {a} dollars (every|each|a) day. How much (does {he} save |)in (a|one) week?",
        "I (walk|run) {a} km every day. How many km (is that in|do I (walk|run) in|per) (a|one) week?",
        "A baker sells {a} (cakes|loaves) a day. How many (cakes |loaves |)(in a week|per week|does (he|she) sell in "
        "a week)?",
        "A hen farm gets {a} eggs a day. How many eggs (are that |)in one week?",
        "{p} drinks {a} glasses of water (a|per) day. How many (glasses |)is that (a|per) week?",
        "{a} (emails|calls|visitors) a day make how many in a week?",
        "If I learn {a} words a day, how many do I learn in a week?",
        "{p} works out {a} minutes daily. How many minutes per week is that?",
    )),
    Formula("a*12", "", (MEDIUM,), (
        "{p} pays {a} dollars a month. How much (does {he} pay |is that |)(in a year|a year|per year)?",
        "{p} saves {a} dollars (every|each|a) month. How much (does {he} save |)in (a|one) year?",
        "{p} buys {a} dozen eggs. How many eggs (is that|does {he} have|are that)?",
        "How many {t} are (in |){a} dozen?", "A club costs {a} euros a month. What does it cost a year?",
        "A box holds a dozen {t}. How many {t} are in {a} boxes?", "There are {a} dozen {t}. How many {t}?",
        "I read {a} books a month. How many books in a year?",
    )),
    Formula("a*b", "", (MEDIUM, (2, 6)), (
        "{p} has {a} {t}. {q} has {x} as many. How many (does {q} have|{t} does {q} have)?",
        "{q} is {x} as old as {p}. {p} is {a}. How old is {q}?",
        "{p} has {a} {t} and {q} has {x} as many( as {p}|). How many does {q} have?",
        "{q} has {x} as many {t} as {p}. {p} has {a}. How many does {q} have?",
        "{p} is {a} (years old|). {q} is {x} as old. How old is {q}?",
        "A {o} costs {a} dollars, a bike {x} as much. What does the bike cost?",
        "If {p} is {a} and {q} is {x} as old, how old is {q}?",
        "The red rope is {a} m long. The blue one is {x} as long. How long is the blue one?",
        "{p} ran {a} km. {q} ran {x} as far. How far did {q} run?", "My sister is {a}. I am {x} as old. How old am I?",
        "Yesterday {a} people came, today {x} as many. How many came today?",
        "{p} earns {a} dollars and {q} earns {x} as much. What does {q} earn?",
        "My box weighs {a} kg. Yours is {x} as heavy. How heavy is yours?",
        "{q} picked {x} as many {t} as {p}, who picked {a}. How many did {q} pick?",
    )),
    Formula("a/2", "", ((4, 300),), (
        "{p} has {a} {t}. {q} has half as many. How many does {q} have?",
        "{p} eats half of {his} {a} {t}. How many are left?",
        "Half of the {a} {t} are red. How many are red?",
        "{p} is {a}. {q} is half as old. How old is {q}?",
        "{p} had {a} {t} and gave half of them to {q}. How many does {p} have now?",
        "A {o} was {a} dollars and is now half price. What does it cost?",
        "{q} is half as old as {p}, who is {a}. How old is {q}?",
        "Half of {a} students are girls. How many girls are there?",
        "{p} lost half of {his} {a} dollars. How much is left?",
        "{p} spends half of {his} {a} dollars. How much does {he} have left?",
        "There are {a} {t}. Half of them break. How many are left?",
        "{p} sold half of {a} {t}. How many did {he} sell?", "I had {a} {t} and ate half. How many now?",
        "We share {a} dollars between the two of us. How much does each get?",
        "Two friends share {a} {t} equally. How many does each get?",
        "{p} and {q} split {a} {t} evenly. How many does each (get|have)?",
        "A pair shares {a} dollars. How much does each of them get?",
    )),
    Formula("a/3", "", ((6, 240),), (
        "Three friends share {a} {t} equally. How many does each (one |)get?",
        "A third of {a} {t} are red. How many are red?",
        "{p} gave a third of {his} {a} {t} to {q}. How many did {q} get?",
        "{p}, {q} and {r} share {a} {t}. How many does each get?",
        "Three kids split {a} dollars (evenly|equally). How much does each get?",
        "One third of the {a} students walk to school. How many walk?",
        "{a} {t} are split between three people. How many each?",
        "We are three and have {a} {t}. How many for each of us?",
    )),
    Formula("a-a/b", "", ((6, 120), (2, 5)), (
        "{p} has {a} {t} and gives {f} of them away. How many are left?",
        "{p} had {a} dollars and spent {f} of it. How much is left?",
        "There are {a} {t}. {F} of them are sold. How many remain?",
        "{F} of the {a} students are ill. How many are not?", "{p} eats {f} of {a} {t}. How many are left (over|)?",
        "A tank of {a} liters loses {f} of its water. How much is left?", "Of {a} {t}, {f} are bad. How many are good?",
    )),
    Formula("a/b", "", ((6, 144), SMALL), (
        "{b} (pens|apples|{t}) cost {a} dollars. How much (is|does) one( cost|)?",
        "A (car|train|bus|bike) (goes|drives|travels) {a} km in {b} hours. (How fast is it|What is its speed|How many "
        "km per hour is that)?",
        "{p} has {a} dollars. A {o} costs {b} dollars. How many {t} can {he} buy?",
        "A book has {a} pages. {p} reads {b} pages a day. How many days does {he} need?",
        "How many {t} for {b} dollars each can I buy (with|for) {a} dollars?",
        "A rope of {a} m is cut into pieces of {b} m. How many pieces (are there|does that give)?",
        "{p} saves {b} dollars a week. How many weeks (until {he} has|to save|does {he} need for) {a} dollars?",
        "If {b} {t} cost {a} dollars, (how much is one|what does one cost|what is the price of one)?",
        "{p} earns {a} dollars in {b} hours. How much (does {he} earn |is that |)(per|an) hour?",
        "How long does it take to drive {a} km at {b} km per hour?", "{a} km at {b} km per hour: how many hours?",
        "{p} works {b} hours and gets {a} dollars. What is {his} pay per hour?",
        "{a} (students|kids|people) are split into groups of {b}. How many groups (are there|is that)?",
        "{a} {t} go into boxes of {b}. How many boxes (are needed|do I need)?",
        "A box of {a} {t} is shared by {b} kids. How many each?",
        "There are {a} {t} and {b} kids. How many does each kid get?",
        "{p} has {a} {t} and puts them into {b} bags evenly. How many are in each bag?",
        "{b} friends share a bill of {a} dollars. How much does each pay?",
        "We split {a} dollars {b} ways. How much is it for each?",
        "A factory makes {a} cars in {b} days. How many a day?", "{p} walks {a} km in {b} days. How many km per day?",
        "{a} {t} in {b} equal rows. How many in a row?",
        "The dinner was {a} dollars for {b} people. What does each one pay?",
        "A team of {b} has {a} {t} to share. How many for each one?", "{a} pages in {b} days: how many pages a day?",
        "{p} types {a} words in {b} minutes. How many words per minute?",
        "With {a} dollars, how many {b} dollar tickets can I buy?",
        "{b} boxes hold {a} {t} in total. How many are in one box?",
        "{p} must read {a} pages in {b} days. How many a day?",
        "A {a} km trip takes {b} hours. What is the speed?", "{b} equal pieces are cut from {a} cm. How long is one?",
    )),
    Formula("b", "", (LARGE, (2, 19)), (
        "A farmer has {a} (sheep|cows|hens). All but {b} (die|run away|are sold). How many are left?",
        "{p} has {a} {t} and sells all but {b}. How many (are left|does {he} have)?",
        "There are {a} {t} on a table. All but {b} fall down. How many stay on the table?",
        "All but {b} of the {a} {t} are gone. How many remain?",
        "{p} had {a} {t}. All except {b} broke. How many are left?",
        "Of {a} birds, all but {b} fly away. How many birds stay?",
    )),
    Formula("a-b", "", ((20, 90), (2, 19), (2, 60)), (
        "{p} has {a} {t} and {c} {u}. {he} eats {b} {t}. How many {t} are left?",
        "{p} is {c} years old and has {a} {t}. {he} gives away {b}. How many {t} does {he} have?",
        "In a {c} year old house there are {a} chairs. {b} break. How many chairs are left?",
        "{p} has {a} {t} and {q} has {c}. {p} loses {b}. How many does {p} have?",
        "A bus with {c} seats has {a} passengers. {b} get off. How many passengers are left?",
        "At {c} o'clock there are {a} people. {b} go home. How many people are still there?",
        "{p} has {a} {t}. {q}, who is {c}, takes {b} of them. How many does {p} have left?",
    )),
    Formula("a+b", "", (MEDIUM, MEDIUM, MEDIUM), (
        "{p} has {a} red {t}, {b} blue {t} and {c} {u}. How many {t} does {he} have?",
        "{p} is {c} years old. {he} has {a} {t} and gets {b} more. How many {t} (does {he} have|now)?",
        "There are {a} cats, {b} dogs and {c} trees in a park. How many animals are there?",
        "In {c} minutes {p} counts {a} cars, later {b} more. How many cars is that?",
        "{p} has {a} {t}, {q} has {b} {t} and {c} {u}. How many {t} do they have together?",
    )),
    Formula("a+b", "years", (MEDIUM, (2, 40)), (
        "{p} is {a} (years old|). How old will {he} be in {b} years?", "{p} is {a} now. In {b} years, how old is {he}?",
        "{q} is {b} years younger than {p}. {q} is {a}. How old is {p}?",
        "I am {a} years old. How old will I be in {b} years?",
        "{p} is {b} years older than {q}, and {q} is {a}. How old is {p}?",
        "What age will {p} have {b} years from now, being {a} today?",
        "How old will I be in {b} years if I am {a} now?", "{b} years ago {p} was {a}. How old is {he} now?",
        "My dog is {a}. How old is it in {b} years?", "{p} turned {a} today. What age is {he} {b} years later?",
    )),
    Formula("a-b", "years", ((20, 90), (2, 19)), (
        "{p} is {a} (years old|). How old was {he} {b} years ago?", "{p} is {a} and {q} is {b}. How much older is {p}?",
        "{p} is {b} years older than {q}. {p} is {a}. How old is {q}?", "I am {a}. How old was I {b} years ago?",
        "{q} is {b} years younger than {p}, who is {a}. How old is {q}?",
        "{p} is {a}, {q} is {b}. How many years older is {p}?",
        "In {b} years {p} will be {a}. How old is {he} now?",
        "What was the age of {p} {b} years ago, if {he} is {a} now?",
        "{q} is {b}. {p} is {a}. (By how many years is {p} older|What is the age difference)?",
    )),
    Formula("a-b", "", (LARGE, MEDIUM), (
        "{p} and {q} have {a} {t} together. {p} has {b}. How many does {q} have?",
        "Together {p} and {q} have {a} dollars. {b} of them belong to {p}. How much does {q} have?",
        "There are {a} cars and bikes in a street. {b} are bikes. How many cars are there?",
        "A school has {a} teachers and students. {b} are teachers. How many are students?",
        "Two numbers make {a}. One of them is {b}. What is the other?",
        "A trip of {a} km: the first day {p} does {b} km. How many are left for the second?",
        "In a zoo are {a} birds and monkeys, {b} of them birds. How many monkeys?",
        "{p} paid {a} dollars for a {o} and a book. The book was {b}. What was the {o}?",
        "A fence is {a} m long. {b} m are painted. How many m are not painted?",
        "A game has {a} levels and {p} finished {b}. How many levels remain?",
        "{a} tickets were printed and {b} sold. How many are unsold?",
        "My phone has {a} GB and {b} GB are used. How many GB are free?",
        "It was {a} degrees at noon and {b} degrees at night. How much colder was the night?",
        "{p} jumps {a} cm, {q} {b} cm. By how many cm is {p} better?",
        "{p} had {a} pages to write and wrote {b}. How many to go?",
        "A jar held {a} candies, now it holds {b}. How many were eaten?",
        "A plane flies at {a} m and sinks by {b} m. How high is it?",
        "{p} owes {q} {a} dollars and pays back {b}. How much does {p} owe now?",
    )),
    Formula("a*2", "", ((2, 200),), (
        "{a} pairs of {t}: how many {t} (are that|is that)?", "{p} has {a} pairs of shoes. How many shoes is that?",
        "Each of {a} kids has two {t}. How many {t} do they have?",
        "{p} has {a} {t}. {q} has double that. How many does {q} have?",
        "{p} had {a} dollars and doubled it. How much is it now?",
        "A bike has 2 wheels. How many wheels do {a} bikes have?",
        "A recipe needs {a} grams. How many grams for twice the recipe?",
        "{p} walks {a} km to work and the same way back. How many km is that?",
        "The number of {t} doubles from {a}. How many are there?",
        "If everyone of {a} people brings 2 {t}, how many {t} are there?",
        "A trip there takes {a} minutes, and the same back. How long is it both ways?",
    )),
)  # fmt: skip
"""Stories of one kind a row."""
