"""Stories of one to three steps from several sides: supplies that last, loads of two kinds, places that stay free,
what is still to come, ways of two parts. Facts each with the questions that go with them, as in story_contrasts.py.
"""

from __future__ import annotations

from training.nano.tasks.story_contrasts_more import ANY, MULTIPLE, Scene
from training.nano.tasks.story_formulas import LARGE, MEDIUM, SMALL, Formula

LASTING: tuple[Scene, ...] = (
    ((MULTIPLE, SMALL), (
        "{a} {t} are enough for {b} days, as many each day.", "A store of {a} {t} keeps a camp going for {b} days.",
        "In {b} days {a} {t} are eaten up, always the same number.", "{p} makes {a} {t} do for {b} days.",
        "A crate with {a} {t} is empty after {b} days.", "{b} days long {p} lives on {a} {t}.",
        "For {b} days there is food: {a} {t}.", "It takes {b} days to use {a} {t}.",
        "Within {b} days all {a} {t} of a @box are used.", "The supply of {a} {t} is gone in {b} days.",
        "{p} plans {a} {t} for {b} days and eats the same number daily.",
        "Every day the same number of {t} goes; after {b} days {a} have gone.",
        "A bag holds {a} {t}, and {p} takes {b} days to finish it.", "Over {b} days, {a} {t} are fed to a horse.",
        "With {a} {t} a ship's cook can manage {b} days.", "The cat needs {b} days for a sack of {a} {t}.",
    ), {
        "a/b": ("How many is it a day?", "How many go in one day?", "What is the number for a day?",
            "How many does one day take?", "Per day, how many is that?", "How many {t} are taken daily?",
            "What is needed for a single day?", "How many {t} does each of the days get?",
            "Each day, how many is it?"),
    }),
    ((SMALL, SMALL), (
        "{a} {t} are eaten each day, and the pack lasts {b} days.", "A camp uses {a} {t} a day, for {b} days.",
        "The box lasts {b} days if {a} {t} a day are taken.", "{p} needs {a} {t} a day, and they last {b} days.",
        "For {b} days, {a} {t} go every day.", "Daily use: {a} {t}. It lasts {b} days.",
        "After {b} days with {a} {t} a day the sack is empty.", "One day takes {a} {t}. {b} days are planned.",
        "A horse eats {a} {t} daily and is away for {b} days.",
    ), {
        "a*b": ("How many {t} were in it?", "How many are needed in all?", "What is the whole supply?",
            "How many {t} must there be at the start?", "How many is that for the whole time?",
            "All days together, how many {t}?", "How large was the supply?"),
    }),
    ((MULTIPLE, SMALL), (
        "{p} has {a} {t} and uses {b} of them a day.", "There are {a} {t}. Each day {b} go.",
        "Of {a} {t}, {b} are eaten daily.", "{b} {t} a day are taken from {a}.",
        "A camp with {a} {t} needs {b} daily.", "{a} {t} are stored, and {b} a day are handed out.",
        "Daily {p} takes {b} {t} out of a chest with {a}.",
    ), {
        "a/b": ("How many days do they last?", "For how many days is that enough?",
            "After how many days are none left?",
            "How long do they last, in days?", "When is the last one gone, in days?", "How many days can it go on?"),
        "a-b": ("How many are there after the first day?", "What is left after just one day?",
            "One day later, how many are there?"),
    }),
    ((MULTIPLE, SMALL), (
        "{p} sorts {a} {t} into rows with {b} in each, and uses all.",
        "Until all {a} {t} are gone, {p} puts {b} into every @box.",
        "{a} {t} are laid out, {b} to a row, till none is left.",
        "{p} goes on putting {b} {t} on each plate until the {a} {t} are used.",
        "Each row gets {b} {t}. All of the {a} {t} are placed.", "{b} at a time, {p} places {a} {t} in heaps.",
        "{p} gives every @box {b} {t} and has none of {a} left then.",
        "All {a} {t} are tied in bunches of {b}.", "{a} {t} go into sets, with {b} in each of them.",
    ), {
        "a/b": ("How many of these are there?", "So how many does that make?",
            "How many come out of it?", "What number of them is it?", "How many are filled?", "Count them: how many?"),
    }),
)  # fmt: skip
LOADS: tuple[Scene, ...] = (
    ((SMALL, MEDIUM, SMALL, SMALL), (
        "{a} @boxes have {b} {t} each, and {c} others have {d} {t} each.",
        "In {a} of the @boxes are {b} {t} each, in the other {c} are {d} each.",
        "{p} fills {a} @boxes with {b} {t} and {c} with {d}.",
        "{b} {t} are in each of {a} bags, {d} in each of {c} jars.",
        "We have {a} crates of {b} {t} and {c} crates of {d}.",
        "There are {a} rows with {b} {t} and {c} rows with {d}.",
        "{a} vans carry {b} {t} each, {c} carts carry {d} {t} each.",
        "{p} packs {b} {t} in each of {a} cases. {c} more cases hold {d} {t} each.",
        "{a} times {p} brings {b} {t}, and {c} times {d} {t}.",
        "With {b} {t} in each of {a} drawers and {d} in each of {c} others, {p} is done.",
        "{a} large @boxes hold {b} {t} apiece; {c} small ones hold {d} apiece.",
        "On {a} days {p} makes {b} {t} a day, on {c} days {d}.",
    ), {
        "a*b+c*d": ("How many is that in all?", "What is the number of all of them?", "Altogether, how many?",
            "How many does it come to?", "What do they make together?", "What is the total?", "So how many in total?",
            "All in all it is how many?"),
        "a*b": ("How many is it without the last {c}?", "How many is it for the first {a} alone?"),
    }),
    ((SMALL, (3, 40), (2, 60)), (
        "{p} takes {a} rides at {b} dollars and a cap at {c} dollars.",
        "{a} {t} are {b} dollars each, and a bag is {c} dollars.",
        "For {c} dollars there is a map, and {a} {t} are {b} dollars each.",
        "A cake is {c} dollars. {p} adds {a} {t} at {b} dollars apiece.",
        "{p} pays {b} dollars for each of {a} {t}, and {c} dollars for a book.",
        "On the list: one lamp, {c} dollars, and {a} {t}, {b} dollars each.",
        "{a} nights at {b} dollars and breakfast for {c} dollars.",
        "{p} buys {a} {t} for {b} dollars each. A belt for {c} dollars comes with them.",
        "Each {o} is {b} dollars; {a} are bought, and a vase for {c} dollars too.",
        "The {t} are {b} dollars each, the hat is {c} dollars. {p} wants {a} {t} and the hat.",
        "{a} hours of skating at {b} dollars an hour and a tea for {c} dollars.",
    ), {
        "a*b+c": ("What is the price of it all?", "What do I pay for everything?", "How much money is that?",
            "How much is to be paid?", "What is the sum?", "What does everything come to?", "How much goes out?",
            "How many dollars in all?", "What will the bill say?"),
        "a*b": ("How much are the {a} alone?", "Without the {c} dollars, what is it?"),
    }),
    ((SMALL, SMALL, SMALL), (
        "{c} clubs with {b} @people each get {a} {t} for every one of these.",
        "Every one of {b} kids in each of {c} groups wants {a} {t}.",
        "{a} {t} per child, {b} children in a group, {c} groups.",
        "In {c} tents sleep {b} hikers each, and each hiker has {a} {t}.",
        "{c} farmers have {b} fields each, with {a} {t} on every field.",
        "A team has {b} players. {c} teams play, and each player needs {a} {t}.",
        "{b} @people from each of {c} towns come, and all bring {a} {t}.",
        "For each kid there are {a} {t}. There are {c} rooms with {b} kids.",
        "{p}'s house has {c} floors, {b} rooms on a floor and {a} {t} in a room.",
        "Each of {c} kids buys {b} {t} for {a} dollars apiece.", "{c} shops sell {b} {t} each, {a} dollars for one.",
        "{b} {t} at {a} dollars each: {c} @people order that.", "{c} @people order {b} {t} each. One is {a} dollars.",
        "Every month {b} {t} at {a} dollars are bought. {c} months go by.",
    ), {
        "a*b*c": ("How much is it in all?", "What is the total?", "How much does it come to altogether?",
            "So what is it for all of them?", "What do all of them make?", "Altogether, how much?"),
    }),
    ((LARGE, SMALL, SMALL), (
        "{p} has {b} @boxes of {a} {t} and gives {c} @boxes away.",
        "A ship with {b} decks has {a} beds on each. {c} decks are full and the others empty.",
        "There are {b} rows of {a} seats, and {c} of the rows are full.",
        "{b} buses with {a} seats come. {c} of them are full, in the others nobody sits.",
        "Each of {b} shelves has {a} {t}. {c} shelves are cleared.",
        "{a} {t} are in each of {b} crates, and {c} of the crates are sold.",
        "Of {b} floors with {a} rooms each, {c} are rented.",
        "{c} out of {b} trucks with {a} {t} each have left.",
    ), {
        "a*b-a*c": ("How many are in the others?", "How many is that in those that remain?",
            "What is the number without these {c}?", "How many are in the ones left?",
            "What is it for the rest of them?"),
    }),
)  # fmt: skip
PLACES: tuple[Scene, ...] = (
    ((SMALL, MEDIUM, ANY), (
        "{c} @people are in a tent with {a} rows, and every row has {b} chairs.",
        "In a hall stand {a} rows of {b} chairs each, and {c} @people have come.",
        "{a} rows with {b} places each; {c} places have been given out.",
        "A boat has {a} benches for {b}, and {c} @people sit.",
        "{c} of the places in {a} rows of {b} are sold.", "There are {a} tables for {b} and {c} guests.",
        "{p} sets up {a} rows, {b} chairs in each. Then {c} @people sit down.",
        "A circus with {a} rows, {b} seats per row, has sold {c} tickets.",
        "{a} wagons have {b} places each. {c} travelers get in.",
        "In every one of {a} rooms are {b} beds. {c} beds are used.",
        "With {b} seats in each of {a} rows, a stage is watched by {c} @people.",
        "{c} cars stand in a garage of {a} floors with {b} places a floor.",
    ), {
        "a*b-c": ("How many are still free?", "How many have nobody in them?", "How many could still come?",
            "How many more can be taken in?", "How many stay empty?", "For how many others is there a place?",
            "How many of the places are not used?", "What number is free?"),
    }),
)  # fmt: skip
HEAPS: tuple[Scene, ...] = (
    ((LARGE, ANY), (
        "{p} starts with {a} {t}. {q} borrows {b} of these.", "Of {p}'s {a} {t}, {q} takes {b} on loan.",
        "{p} owned {a} {t} and lends {b} to {q}.", "{a} {t} lie there, then {q} carries off {b}.",
        "At first {p} has {a} {t}; {b} of them go to {q}.", "{q} asks for {b} of the {a} {t} and gets them.",
        "{p} was given {a} {t} and passes {b} on.", "{p} gets {a} {t}. Out of these {b} are taken away.",
        "{a} {t} came to {p}, and {b} of those went on to {q}.", "Somebody picks {b} {t} out of the {a} in a @box.",
        "{b} of the {t} that {p} has, {a} in number, are lent to {q}.", "From {p}'s {a} {t} {b} are handed to {q}.",
        "{p} sees {a} {t}, and {b} of them get broken.",
    ), {
        "a-b": ("How many does that leave?", "How many is it then?", "What is the count now?", "How many stay there?",
            "What number of {t} is it after that?", "So how many {t} are left?", "With how many does it end?",
            "How many {t} does it come to now?"),
    }),
    ((LARGE, ANY), (
        "{p} starts with {a} {t}. {q} brings {b} more.", "To the {a} {t} of {p} {q} adds {b}.",
        "{p} owned {a} {t} and borrows {b} from {q}.", "{a} {t} lie there, then {q} lays {b} beside them.",
        "At first {p} has {a} {t}; {b} more come from {q}.",
        "{p} asks {q} for {b} {t}, having {a} already, and gets them.",
        "{p} was given {a} {t} and finds {b}.", "{p} gets {a} {t}. {b} others are put with these.",
        "{a} {t} came to {p}, and {b} followed.", "Somebody drops {b} {t} into a @box with {a}.",
        "{b} {t} of {q} join the {a} that {p} has.", "{q} pays {p} back {b} {t}; {a} were there already.",
    ), {
        "a+b": ("So how many does that make?", "How many is it then?", "What is the count now?",
            "How many are there now?", "What number of {t} is it after that?", "So how many {t} are there?",
            "With how many does it end?", "How many {t} does it come to now?"),
    }),
    (((3, 90), (2, 60)), (
        "{p} has {a} {t} and would need {b} more to have as many as {q}.", "{p} with {a} {t} is {b} short of {q}.",
        "If {p}, who has {a} {t}, got {b} more, it would be as many as {q} has.",
        "{q} has as many {t} as {p} would with {b} more. {p} has {a} so far.",
        "{b} {t} are missing for {p} to reach {q}. {p} has {a}.", "{p} has {a} {t}, {b} too few to be level with {q}.",
        "To be even with {q}, {p} must add {b} to {a} {t}.",
    ), {
        "a+b": ("How many {t} has {q}?", "How many is that for {q}?", "What is the number of {q}?",
            "And {q}, how many?"),
        "a+(a+b)": ("How many {t} do the two have together?", "What is it for both of them?", "What is their sum?",
            "How many {t} are there with both?"),
    }),
    ((MULTIPLE, (2, 9)), (
        "{p} pays {a} dollars, month by month.", "Each month it is {a} dollars.", "A room costs {a} dollars per month.",
        "{p} puts {a} dollars aside monthly.", "The fee is {a} dollars, to be paid every month.",
        "Month after month {a} dollars go out.", "They ask {a} dollars for a month.",
    ), {
        "a*b": ("How much is it after {b} months?", "What are {b} months?", "In {b} months, what does it come to?",
            "How much money is that for {b} months?", "{b} months make how much?", "What is it over {b} months?"),
    }),
)  # fmt: skip
WAYS: tuple[Scene, ...] = (
    (((20, 90), SMALL, (20, 90), SMALL), (
        "For {b} hours a @vehicle does {a} km an hour, and {c} km an hour for {d} hours after that.",
        "{a} km per hour is the speed for {b} hours. Then it is {c} km per hour for {d} hours.",
        "With {a} km an hour it goes {b} hours, with {c} km an hour {d} hours.",
        "A @vehicle first needs {b} hours at {a} km an hour and later {d} hours at {c} km an hour.",
        "The first {b} hours are done at {a} km an hour, the last {d} hours at {c}.",
        "At {a} km an hour {p} rides for {b} hours. For {d} more hours it is {c} km an hour.",
        "{b} hours: {a} km an hour. {d} hours: {c} km an hour.",
        "{p} travels {b} hours, {a} km in each, and {d} hours, {c} km in each.",
        "Going {a} km in an hour for {b} hours and {c} km in an hour for {d} hours, {p} arrives.",
    ), {
        "a*b+c*d": ("How many km is it in all?", "How far is that?", "What is the whole way in km?",
            "How long is the way?",
            "What distance does it make?", "How many km lie behind {p} then?", "How far does it get?"),
        "b+d": ("How many hours is that in all?", "How long does it take, in hours?"),
        "a*b": ("How far is the first part?", "How many km are done in the first {b} hours?"),
    }),
)  # fmt: skip
AGES: tuple[Scene, ...] = (
    (((5, 60), (2, 30)), (
        "{p} is {a} today, {q} was born {b} years before.", "{q} is {b} years ahead of {p}, who is {a}.",
        "When {p} was born, {q} was {b}. {p} is {a} today.", "{p} is {a} years old. That is {b} years less than {q}.",
        "{q} had lived {b} years when {p} came. Now {p} is {a}.", "{p}, aged {a}, is {b} years younger than {q}.",
    ), {
        "a+b": ("How old is {q}?", "What is the age of {q}?", "And {q}, how old?", "How many years old is {q}?"),
        "a+(a+b)": ("How old are they together?", "What is the sum of their ages?", "What do both ages make?"),
    }),
)  # fmt: skip
SIDES = tuple(
    Formula(value, "", ranges, tuple(f"{fact} ({'|'.join(questions)})" for fact in facts))
    for ranges, facts, asked in (*LASTING, *LOADS, *PLACES, *HEAPS, *WAYS, *AGES)
    for value, questions in asked.items()
)
"""Stories of one kind a row."""
