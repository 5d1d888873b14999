"""More facts that go with several questions, as in story_contrasts.py: prices, speeds, several steps, ages."""

from __future__ import annotations

from training.nano.tasks.story_formulas import LARGE, MEDIUM, SMALL

ANY, MULTIPLE = (2, 300), (6, 144)
Scene = tuple[tuple[tuple[int, int], ...], tuple[str, ...], dict[str, tuple[str, ...]]]

MORE_SCENES: tuple[Scene, ...] = (
    ((SMALL, MULTIPLE), (
        "One {o} costs {a} dollars.", "A shop asks {a} dollars for a {o}.", "For a {o} you pay {a} dollars.",
        "The sign says: {t}, {a} dollars apiece.", "You get a {o} for {a} dollars.", "A {o} comes at {a} dollars.",
    ), {
        "a*b": ("How much money do {b} of them take?", "What does {p} spend on {b}?",
            "{p} @buys {b}. What is the bill?",
            "What is the cost of {b} of those?", "How much must be paid for {b}?", "What is owed for {b} such {t}?"),
        "b/a": ("How many can {p} afford with {b} dollars?", "How many {t} is {b} dollars enough for?",
            "{p} spends {b} dollars. How many does that buy?", "What number of {t} do {b} dollars pay for?"),
        "b-a": ("{p} hands over {b} dollars for one. What comes back?", "What remains of {b} dollars after buying one?",
            "How much is left of {b} dollars if {p} @buys one?", "{p} has {b} dollars and @buys one. What stays?"),
        "a+b": ("A sofa is {b} dollars more than that. What does the sofa cost?",
            "With it {p} @buys a sofa for {b} dollars. "
            "What is the sum?", "It goes up by {b} dollars. How much is one now?",
            "How much is one with a map for {b}?"),
    }),
    ((SMALL, MULTIPLE), (
        "A @vehicle does {a} km in an hour.", "A @vehicle moves at {a} km per hour.",
        "Every hour a @vehicle covers {a} km.",
        "A @vehicle gets {a} km further every hour.",
        "With each hour a @vehicle leaves {a} km behind it.",
        "The speed of a @vehicle is {a} km an hour.", "{a} km an hour is how fast a @vehicle goes.",
    ), {
        "a*b": ("How far has it come when {b} hours are over?", "How many km are {b} hours of that?",
            "What way does it make in {b} hours?", "It is out for {b} hours. How many km is that?"),
        "b/a": ("How many hours are {b} km?", "What time does it take for {b} km, in hours?",
            "It has {b} km to go. How many hours is that?", "When it has done {b} km, how many hours are over?"),
    }),
    ((SMALL, MULTIPLE), (
        "{p} makes {a} {t} an hour.", "In an hour {p} gets {a} {t} done.", "{p} manages {a} {t} in each hour.",
        "It is {a} {t} an hour that {p} can do.", "Hour after hour {p} finishes {a} {t}.",
    ), {
        "a*b": ("How many in {b} hours?", "What is done when {b} hours are over?", "How many {t} are {b} hours' work?",
            "{he} goes on for {b} hours. How many {t} is that?"),
        "b/a": ("How many hours for {b}?", "How long until {b} are done?", "How many hours' work are {b} {t}?",
            "{he} has to do {b}. How many hours is that?"),
    }),
    ((ANY, ANY), (
        "A @place has {a} @people, and {b} of them are new.", "Of {a} @people in a @place {b} are sick.",
        "{b} of the {a} @people in a @place are tall.", "There are {a} @people, {b} of whom wear hats.",
    ), {
        "a-b": ("How many are not?", "Of how many can that not be said?", "How many others are there?",
            "What is the number of the others?", "How many are the rest?"),
    }),
    ((ANY, ANY), (
        "A @place has {a} new @people and {b} old ones.", "{a} girls and {b} boys are in a @place.",
        "In a @place there are {a} women and {b} men.", "{a} of the @people came by bus and {b} on foot.",
    ), {
        "a+b": ("How many people are that?", "What is the number of all of them?", "How many are there, both kinds?",
            "How many heads is that in all?"),
        "a-b": ("How many more are of the first kind?", "By how many is the first number larger?",
            "What is the difference?", "How many fewer are of the second kind?"),
        "b-a": ("How many more are of the second kind?", "By how many is the second number larger?",
            "How many fewer are of the first kind?", "How far ahead are the second?"),
    }),
    ((LARGE, ANY), (
        "A tank takes {a} liters, and {b} liters are in it.", "A @box is made for {a} {t}; there are {b} in it.",
        "{p} wants {a} dollars and has got {b}.", "The way is {a} km, and {b} km are done.",
        "{p} has {a} pages to do and is through with {b}.", "Of {a} beds in a hotel {b} are in use.",
        "A job takes {a} hours. {p} has put in {b}.", "The goal is {a}, and so far it is {b}.",
    ), {
        "a-b": ("How much is still to go?", "How much more would it take?", "How much is open?",
            "What is still missing?",
            "How much would make it complete?", "How far is that from the full number?"),
    }),
    ((LARGE, ANY), (
        "A tank takes {a} liters, and there is still room for {b}.", "{p} wants {a} dollars and is {b} short.",
        "Of a way of {a} km there are {b} km to go.", "{p} has {a} pages to do, {b} of them still ahead.",
        "Of {a} beds in a hotel nobody is using {b}.", "A job takes {a} hours, and {b} are yet to come.",
    ), {
        "a-b": ("How much is done or filled?", "How much has been used up?", "How much is it at this point?",
            "How much is no longer open?", "How much is that so far?"),
    }),
    ((ANY, ANY, SMALL), (
        "A {o} is {a} dollars and a radio {b} dollars.", "{p} looks at a {o} for {a} dollars and a radio for {b}.",
        "For {a} dollars you get a {o}, for {b} dollars a radio.",
        "The shop has a radio at {b} dollars and a {o} at {a}.",
    ), {
        "a+b": ("What does {p} spend on one of each?", "How much is one of each?",
            "What is the bill if {p} takes the two?",
            "How much do you hand over for the two of them?"),
        "a-b": ("How much dearer is the {o}?", "How much cheaper is the radio?", "By how much does the {o} cost more?",
            "What is saved by taking the radio?"),
        "b-a": ("How much dearer is the radio?", "How much cheaper is the {o}?",
            "By how much does the radio cost more?",
            "What is saved by taking the {o}?"),
        "(a+b)*c": ("What are {c} of each?", "How much for {c} {t} and {c} radios?",
            "{p} takes {c} of each. What is the bill?",
            "{c} people each take one of each. How much is it?"),
        "a*c+b": ("What are {c} {t} and one radio?", "How much for {c} {t} plus a radio?",
            "{p} takes {c} {t} and a radio. What "
            "is the bill?", "What does {p} pay for {c} {t} with one radio?"),
        "a+b*c": ("What are {c} radios and one {o}?", "How much for {c} radios plus a {o}?",
            "{p} takes {c} radios and a {o}. What "
            "is the bill?", "What does {p} pay for {c} radios with one {o}?"),
    }),
    ((ANY, ANY, ANY), (
        "A game begins at {a} points. {p} first gains {b} and then loses {c}.",
        "{p} has {a} dollars, earns {b}, spends {c}.",
        "{a} @people are in a @place. {b} come in and {c} go out.", "To {a} liters {b} are added; {c} run out.",
        "A @heap of {a} {t} gets {b} more before {c} of them @vanish.", "First {a} {t}, then {b} more, then {c} off.",
    ), {
        "a+b-c": ("Where does it stand now?", "How much is it after that?", "What is it at the end?",
            "How much does that make?",
            "What is the number now?"),
        "a+b": ("How much was it at its highest?", "How much was it before the last change?",
            "What was it after the first "
            "change?", "What would it be without the last part?"),
    }),
    ((ANY, ANY, ANY), (
        "A game begins at {a} points. {p} first loses {b} and then gains {c}.",
        "{p} has {a} dollars, spends {b}, earns {c}.",
        "{a} @people are in a @place. {b} go out and {c} come in.", "From {a} liters {b} run out; {c} are added.",
        "A @heap of {a} {t} loses {b} before {c} more @arrive.", "First {a} {t}, then {b} off, then {c} more.",
    ), {
        "a-b+c": ("Where does it stand now?", "How much is it after that?", "What is it at the end?",
            "How much does that make?",
            "What is the number now?"),
        "a-b": ("How much was it at its lowest?", "How much was it before the last change?",
            "What was it after the first "
            "change?", "What would it be without the last part?"),
    }),
    ((LARGE, ANY, ANY), (
        "A game begins at {a} points. {p} first loses {b} and then another {c}.",
        "{p} has {a} dollars, spends {b}, then {c}.",
        "{a} @people are in a @place. {b} leave early and {c} late.",
        "From {a} liters {b} run out, and after that {c}.",
        "A @heap of {a} {t} loses {b}, and @then {c} more @vanish.", "First {a} {t}, then {b} off, then {c} off.",
        "{p} cuts {b} cm and then {c} cm from a ribbon of {a} cm.",
        "A sack of {a} kg: {b} kg were used @day, {c} kg @later.",
    ), {
        "a-b-c": ("Where does it stand now?", "How much is it after that?", "What is there at the end?",
            "How much does that "
            "leave?", "What is the number now?", "How much is not gone?"),
        "b+c": ("How much went off in all?", "How much is gone by now?", "By how much did it go down altogether?",
            "What are the two losses together?"),
    }),
    ((ANY, ANY, ANY), (
        "{p} @got {a} {t}, {q} @got {b} and {r} @got {c}.", "Of three @boxes one has {a} {t}, one {b} and one {c}.",
        "A @place had {a} @people @day, then {b}, then {c}.", "{p} ran {a} m, swam {b} m and walked {c} m.",
        "The team made {a}, {b} and {c} points in three games.", "There are {a} small, {b} middle and {c} large {t}.",
    ), {
        "a+b+c": ("What do the three come to?", "How much is that in all three?", "What is the sum of it all?",
            "How much is it, everything counted?", "What do they add up to?", "How much does the whole make?"),
        "a+b": ("What do the first two come to?", "How much is it without the third?",
            "What is the sum of the first two?",
            "How much is that, leaving out the last?"),
    }),
    ((MEDIUM, MEDIUM, SMALL), (
        "{p} has {a} red {t}, {b} blue {t} and {c} @boxes.", "{a} red and {b} blue {t} are to go to {c} @people.",
        "{c} @people look after {a} red and {b} blue {t}.",
    ), {
        "(a+b)/c": ("If each gets the same number of {t}, how many is that?", "How many {t} for each in equal parts?",
            "Shared out fairly, how many {t} is that for one?", "How many {t} per one, all alike?"),
        "a+b": ("How many {t} are there, whatever the color?", "How many {t} of both colors?",
            "Red and blue, how many {t}?",
            "How many {t} are that in all?"),
        "a-b": ("How many more red than blue {t} are there?", "By how many do the red {t} lead?",
            "How many blue {t} would make the colors equal?", "How many fewer are blue?"),
    }),
    ((LARGE, ANY, SMALL), (
        "A tent costs {a} dollars. {p} put {b} dollars aside and adds {c} each week.",
        "{p} has typed {b} of {a} pages and types {c} an hour.",
        "Of {a} plants {p} has watered {b}, and {he} waters {c} a minute.",
        "A pool takes {a} liters. It has {b}, and a pump adds {c} a minute.",
    ), {
        "(a-b)/c": ("How long until it is done?", "How long does the rest take?", "After what time is it complete?",
            "How much time is still needed?", "For how long does it go on?"),
        "a-b": ("How much is still to do?", "How much is still missing?", "What is left at this moment?",
            "How much is the rest?"),
    }),
    (((10, 144), SMALL, SMALL), (
        "{b} {t} cost {a} dollars.", "For {b} {t} {p} paid {a} dollars.", "You get {b} {t} for {a} dollars.",
        "{a} dollars buy {b} {t}.", "A pack of {b} {t} is {a} dollars.",
    ), {
        "a/b": ("What is that for one?", "What does it make apiece?", "How much is a single one?",
            "How much is it per {o}?"),
        "a/b*c": ("At that rate, how much are {c}?", "How much would it be for {c}?", "And what would {c} of them be?",
            "{p} wants {c}. What does that come to?"),
        "a*c": ("What do {c} times as many cost?", "{p} takes that {c} times. How much is it?",
            "How much is it {c} times over?",
            "How much are {c} such lots?"),
    }),
    ((MEDIUM, SMALL, ANY), (
        "{p} sold {b} {t} at {a} dollars each. The stand cost {c} dollars.",
        "{p} gets {a} dollars a day for {b} days and has to give {c} dollars for food.",
        "{b} @people pay {a} dollars each, and {c} dollars of it go to the driver.",
    ), {
        "a*b-c": ("How much is left over for the rest?", "What remains in the end?", "What stays when that is paid?",
            "How much is gained?"),
        "a*b": ("How much comes in before that is paid?", "How much money came in?", "What were the takings?",
            "How much is it without taking anything off?"),
    }),
    ((MEDIUM, SMALL, ANY), (
        "A gym takes {c} dollars to join and {a} dollars a month.",
        "A taxi takes {c} dollars at the start and {a} dollars a km.",
        "A boat costs {c} dollars and {a} dollars more for each hour.",
        "{p} pays {c} dollars once and {a} dollars every time.",
        "A @place asks {a} dollars for each person and {c} dollars for the room.",
    ), {
        "a*b+c": ("What is it all for {b}?", "What do {b} come to with everything?", "How much does one owe for {b}?",
            "How much is it, start to end, for {b}?", "With {b} of those, how much is due?"),
        "a*b": ("What do {b} come to without the first part?", "Leaving out what is paid once, how much are {b}?",
            "How much is it for {b} alone?", "How much of that is for the {b}?"),
    }),
    ((SMALL, SMALL, LARGE), (
        "{p} has {c} {t}. {b} @people take {a} each.", "Of {c} {t} {p} gives {a} to each of {b} @people.",
        "{p} takes {c} dollars to the market and @buys {b} {t} at {a} dollars.",
        "{b} tickets at {a} dollars are paid out of {c} dollars.", "From {c} cm of tape {b} strips of {a} cm are cut.",
    ), {
        "c-a*b": ("What is left after that?", "How much is not used?", "How much is still there?",
            "What is over in the end?",
            "How much remains?"),
        "a*b": ("How much is used for that?", "How much goes away?", "How much is that, all together?",
            "What does it take away?"),
    }),
    ((SMALL, SMALL, SMALL), (
        "{c} @boxes hold {b} bags, and each bag has {a} {t}.",
        "There are {c} tables, {b} plates on each, {a} {t} on a plate.",
        "{c} days long {p} works {b} hours and makes {a} {t} an hour.",
        "Each of {c} @people buys {b} packs of {a} {t}.",
    ), {
        "a*b*c": ("How many {t} does that make?", "How many {t} is it altogether?", "What is the number of all {t}?",
            "How many {t} come together?"),
        "a*b": ("How many {t} is that for just one of the {c}?", "How many {t} is it for one of them?",
            "What is the number of {t} for the first of them?", "Only one of the {c}: how many {t}?"),
    }),
    ((SMALL, SMALL, SMALL), (
        "{c} @boxes have {b} {t} each, and {a} of all those {t} are bad.",
        "{b} rows of {c} chairs stand there; {a} are broken.",
        "{p} ordered {b} packs of {c} {t}, but {a} {t} are missing.",
        "{b} tables for {c} people, with {a} places not used.",
    ), {
        "b*c-a": ("How many are fine or in use?", "How many are good for something?", "How many does that leave?",
            "Taking those off, how many are there?"),
        "b*c": ("How many should there be?", "How many is that with those counted too?",
            "How many are there, good or not?",
            "What is the full number?"),
    }),
    ((MULTIPLE, (2, 5)), (
        "{p} @lost {f} of {a} {t}.", "{F} of the {a} {t} that {p} had @vanish.",
        "{p} @got {a} {t} and passed {f} on to {q}.",
        "{f} of the {a} {t} on a @heap are blue.", "A @place has {a} @people, {f} of them from abroad.",
    ), {
        "a/b": ("How many is that part?", "How many are those?", "What is that in numbers?",
            "How many make up that part?"),
        "a-a/b": ("How many are all the others?", "How many are not in that part?", "What does the other part come to?",
            "How many is it without them?"),
    }),
    ((ANY, ANY), (
        "{p} is {a} years old.", "{p} is now {a}.", "At the moment {p} is {a} years of age.",
        "{p} has just turned {a}.",
    ), {
        "a+b": ("How old is that when {b} more years are over?", "What will the age be after {b} birthdays more?",
            "How old does that make {p} {b} years on?", "{q} is {b} years older. And how old is {q}?"),
        "a-b": ("How old was that {b} years back?", "What was the age {b} birthdays earlier?",
            "How old did that make {p} {b} years before?", "{q} is {b} years younger. And how old is {q}?"),
        "b-a": ("In how many years will that be {b}?", "How many years is it until {p} turns {b}?",
            "How many birthdays are missing to {b}?", "{q} is {b}. How many years does {q} have on {p}?"),
    }),
)  # fmt: skip
