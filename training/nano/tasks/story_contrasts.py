"""Stories whose facts go with several questions, so that the words, not the scene or the sizes, say what is calculated.

Each row: from which a, b and c are drawn; what is told; and by calculation what is asked. Slots as in "
    "story_formulas.py.
"""

from __future__ import annotations

from training.nano.tasks.story_contrasts_more import ANY, MORE_SCENES, MULTIPLE, Scene
from training.nano.tasks.story_formulas import LARGE, MEDIUM, SMALL, Formula

NOW = (
    "How many {t} is that by now?", "How many {t} does it make?", "How many of them are there afterwards?",
    "What does the @heap hold in the end?", "How many {t} does that leave or make?", "What is the new count?",
    "How many {t} would you count now?", "To how many {t} does it come?", "So how many {t} does the @heap have?",
)  # fmt: skip
START = (
    "How many {t} were there to start with?", "How many {t} had there been?", "What was the count before all this?",
    "How many {t} were in the @heap at the beginning?", "With how many {t} did the day begin?",
    "How many {t} must there have been earlier?",
)  # fmt: skip
BOTH = (
    "How many is that for the two of them?", "What is it if the two put everything on one @heap?",
    "How many {t} do the two have when they pool them?", "What do both counts add up to?",
    "How many {t} lie there if nobody keeps any?", "What is the sum of the two?",
)  # fmt: skip
FIRST_MORE = (
    "By how many is {p} in front of {q}?", "How many {t} more is that for {p}?", "What is {p}'s lead over {q}?",
    "How many would {q} still have to get to draw level with {p}?", "How much larger is the count of {p}?",
    "By what number does {p} beat {q}?",
)  # fmt: skip
SECOND_MORE = (
    "By how many is {q} in front of {p}?", "How many {t} more is that for {q}?", "What is {q}'s lead over {p}?",
    "How many would {p} still have to get to draw level with {q}?", "How much larger is the count of {q}?",
    "By what number does {q} beat {p}?",
)  # fmt: skip

SCENES: tuple[Scene, ...] = (
    ((ANY, ANY), (
        "{p} @got {a} {t} @day, and {q} @got {b}.", "@Day {p} @got {a} {t}. {q} @got {b} of them.",
        "{p}'s @box has {a} {t} in it, and {q}'s has {b}.",
        "There are two @boxes: {p}'s with {a} {t} and {q}'s with {b}.",
        "{q} is standing there with {b} {t}, {p} with {a}.", "While {q} @got {b} {t}, {p} @got {a}.",
        "{a} is the number of {t} that {p} @got; {q} @got {b}.", "{p}: {a} {t}. {q}: {b} {t}.",
    ), {"a+b": BOTH, "a-b": FIRST_MORE, "b-a": SECOND_MORE}),
    ((ANY, ANY), (
        "@Day a @place had {a} @people, @later it had {b}.", "{a} @people came to a @place @day and {b} came @later.",
        "@Later a @place counted {b} @people, while @day it had counted {a}.",
        "A @place wrote down its @people: {a} @day, {b} @later.", "The @place saw {a} @people @day. @Later it saw {b}.",
    ), {
        "a+b": ("How many people is that for both times?", "How many came all told?", "What is the sum of both counts?",
            "Counting both times, how many people came?"),
        "a-b": ("By how many did it shrink?", "How many fewer were there the second time?", "How many less is that?",
            "What is the drop from the first to the second?"),
        "b-a": ("By how many has it grown?", "How many more were there the second time?",
            "What is the rise from the first to the second?", "How many more is that than before?"),
    }),
    ((ANY, ANY), (
        "A @heap has {a} {t}. @Then {b} more @arrive.", "To a @heap of {a} {t} someone adds {b}.",
        "{p} @got {a} {t}. @Then @someone @brings {p} {b} more.", "With {a} {t} in the @heap, another {b} @arrive.",
        "{b} {t} @arrive where there were {a} already.", "@Someone puts {b} {t} on a @heap of {a}.",
        "A @place that had {a} {t} gets in {b} new ones.", "{p} had {a} {t} and @then @got {b} on top of them.",
        "Next to {a} old {t} {p} lays {b} new ones.", "The @heap grew by {b}. Before that it had {a} {t}.",
    ), {"a+b": NOW}),
    ((ANY, ANY), (
        "A @heap has {a} {t}. @Then {b} of them @vanish.", "From a @heap of {a} {t} someone takes {b}.",
        "{p} @got {a} {t}. @Then @someone @removes {b} of them.", "With {a} {t} in the @heap, {b} @vanish.",
        "{b} of the {t} @vanish where there were {a}.", "@Someone @removes {b} {t} from a @heap of {a}.",
        "A @place that had {a} {t} gets rid of {b}.", "{p} had {a} {t} and @then @lost {b} of those.",
        "The @heap shrank by {b}. Before that it had {a} {t}.", "{p} @lost {b} out of {a} {t}.",
    ), {"a-b": NOW}),
    ((ANY, ANY), (
        "{p} @lost {b} {t} and @then has {a}.", "After @someone @removes {b} {t}, the @heap has {a} more.",
        "{b} {t} @vanish, so that {a} are there now.", "{a} {t} are what {p} has after having sold {b}.",
        "@Someone took {b} {t} away, and {p} can still see {a}.", "{p} @lost {b} {t} but kept the other {a}.",
    ), {"a+b": START}),
    ((ANY, ANY), (
        "{p} @got {b} {t} and @then has {a} in all.", "After @someone adds {b} {t}, the @heap has {a}.",
        "{b} more {t} @arrive, so that now it is {a}.", "{a} {t} are what {p} has after having bought {b}.",
        "The {a} {t} of {p} include {b} that came @later.", "Only since {b} {t} @arrive does the @heap have {a}.",
    ), {"a-b": START}),
    ((ANY, ANY), (
        "Before a trip {p} had {a} {t}, after it {b}.", "The @heap held {a} {t} @day and holds {b} @later.",
        "{p} counts the {t}: first {a}, later {b}.", "@Day there were {a} {t}. @Later there are {b}.",
    ), {
        "a-b": ("How many went missing?", "How many have been taken in between?", "How many {t} got away?",
            "What number of {t} is no longer there?", "How many disappeared?"),
        "b-a": ("How many have been added?", "How many came in between?", "How many new ones are there?",
            "What number of {t} was put in?", "How many were gained?"),
    }),
    ((ANY, SMALL), (
        "{q} @got {b} {t} more than {p}.", "{q} has {b} {t} on top of what {p} has.", "{p} is {b} {t} behind {q}.",
        "{p} has {b} {t} less than {q}.", "It takes {p} another {b} {t} to equal {q}.",
        "Between {p} and {q} there is a gap of {b} {t}, and {q} is in front.",
    ), {
        "a+b": ("If {p} has {a}, what about {q}?", "{p} has {a}. What is the number of {q}?",
            "How many {t} are {q}'s if {a} are {p}'s?", "{p} comes to {a}. To how many does {q} come?"),
        "a-b": ("If {q} has {a}, what about {p}?", "{q} has {a}. What is the number of {p}?",
            "How many {t} are {p}'s if {a} are {q}'s?", "{q} comes to {a}. To how many does {p} come?"),
        "a+(a+b)": ("{p} has {a}. What do the two have in all?", "How many {t} have both if {p} has {a}?",
            "{p} has {a}. How many is that with those of {q}?", "If {p} has {a}, what is the sum for both?"),
        "a+(a-b)": ("{q} has {a}. What do the two have in all?", "How many {t} have both if {q} has {a}?",
            "{q} has {a}. How many is that with those of {p}?", "If {q} has {a}, what is the sum for both?"),
    }),
    ((MEDIUM, (2, 6)), (
        "{q} @got {x} as many {t} as {p}.", "{q}'s @heap of {t} is {x} as big as {p}'s.",
        "Compared with {p}, {q} has {x} the number of {t}.", "For each {o} of {p} there are {b} of {q}.",
    ), {
        "a*b": ("{p} has {a}. And {q}?", "If {p} has {a}, how many are {q}'s?", "With {a} for {p}, what is it for {q}?",
            "How many are {q}'s when {p} has {a}?"),
        "a/b": ("{q} has {a}. And {p}?", "If {q} has {a}, how many are {p}'s?", "With {a} for {q}, what is it for {p}?",
            "How many are {p}'s when {q} has {a}?"),
        "a+a*b": ("{p} has {a}. And the two in all?", "If {p} has {a}, how many is it for both?",
            "How many have the two when {p} has {a}?", "With {a} for {p}, what is the sum?"),
        "a*b-a": ("{p} has {a}. How many more is that for {q}?", "If {p} has {a}, by how many is {q} in front?",
            "How many more than {p}'s {a} does {q} have?", "With {a} for {p}, what is the difference?"),
    }),
    ((MEDIUM, SMALL), (
        "{b} @boxes stand there, {a} {t} in every one.", "Every @box takes {a} {t}, and {b} of them are full.",
        "{p} fills {b} @boxes and puts {a} {t} into each.", "{a} {t} fit in a bag. {p} has {b} such bags, all full.",
        "Each of {b} @people @got {a} {t}.", "{b} @people come, and every one of them brings {a} {t}.",
        "{p} does it {b} times, with {a} {t} each time.", "{p} makes {b} rounds, carrying {a} {t} a round.",
        "A @vehicle takes {a} {t} a trip and makes {b} trips.",
        "There are {a} {t} to a @box, and {b} such lots are there.",
        "{b} walls have {a} {t} apiece.",
        "{a} {t} are handed to each one in a group of {b}.",
        "{p} needs {a} {t} a meal, and it is for {b} meals.",
        "{a} {t} come with every meal. {p} orders {b} meals.",
        "A sheet shows {a} {t}. {p} prints {b} sheets.",
        "{b} @people work here, and each one made {a} {t}.",
        "Per page there are {a} {t}, and {p} has {b} pages.",
        "For {b} evenings {p} sells {a} {t} an evening.",
        "{a} {t} pass in an hour, and {p} watches for {b} hours.",
        "{b} trees carry {a} {t} each.",
    ), {
        "a*b": ("How many {t} altogether?", "How many {t} does that come to?", "How many {t} are there in all of them?",
            "What is the whole number of {t}?", "That makes how many {t}?", "How many {t} were there to count?"),
    }),
    ((MULTIPLE, SMALL), (
        "{a} {t} stand in {b} @boxes, equally many in each.", "{p} spreads {a} {t} over {b} @boxes, all alike.",
        "{b} @people get {a} {t} between them, each the same.",
        "{a} {t} for {b} @people, and nobody gets more than another.",
        "{p} has {b} days for {a} {t} and does as many each day.", "{b} @people took {a} {t} in equal parts.",
        "It took {b} rounds to bring {a} {t}, as many in each round.",
        "A @vehicle took {b} trips for {a} {t}, with the same load each trip.",
        "{b} meals need {a} {t}, every meal as many.",
        "{a} {t} are on {b} pages, evenly.",
        "{p} sold {a} {t} in {b} evenings, each evening as many.",
        "{a} {t} hang in {b} trees, on each as many as on the others.",
        "{p} cuts {a} cm of tape into {b} parts of one length, for {t}.",
        "{a} {t} must do for {b} meals, the same for each.",
        "{b} workers made {a} {t}, and all were equally fast.",
        "All {a} {t} of {p} are in {b} equal lots.",
    ), {
        "a/b": ("What does that make for one?", "How many {t} per one?", "How many are that for a single one?",
            "How many {t} is one part?", "What is the number for every one of them?", "How many {t} at a time?"),
    }),
    ((MULTIPLE, SMALL), (
        "{p} has {a} {t} and puts {b} into every @box.", "{a} {t} are packed, {b} to a @box.",
        "From {a} {t} {p} makes sets of {b}.", "{p} carries {a} {t}, {b} at a time.",
        "{a} {t} are used up at {b} a day.", "{p} sorts {a} {t} by putting {b} together each time.",
        "@People line up, {b} in a line, {a} in all.",
        "A @vehicle takes {b} {t} a trip, and {a} {t} have to be moved.",
        "{p} needs {b} {t} a meal and has {a} {t}.",
        "A page takes {b} {t}. {p} has {a} {t} for the book.",
        "{p} must sell {a} {t} and sells {b} an evening.",
        "{a} {t} are to be eaten, {b} each meal.",
        "Each @box is full with {b} {t}, and {p} has {a} {t}.",
        "{p} lays down {a} {t} in lines of {b}.",
        "It takes {b} {t} to make a chain, and {p} has {a}.",
        "{a} {t} were bought, always {b} at once.",
    ), {
        "a/b": ("How many times does that happen?", "How many such sets are there in the end?", "How often is that?",
            "What number of sets does it give?", "How many such lots does that make?",
            "After how many is it all gone?"),
    }),
    ((ANY, ANY), (
        "A lamp is {a} dollars, a sofa {b} dollars more.", "{p} runs {a} km, and {q} runs {b} km more.",
        "One wall is {a} cm wide and the next wall {b} cm wider.", "The cat weighs {a} kg; the dog is {b} kg heavier.",
        "Room one has {a} chairs, room two has {b} chairs more.", "{p} sleeps {a} minutes and {q} {b} minutes longer.",
        "The first song lasts {a} seconds, the second {b} seconds longer.", "{q} did {b} {t} more than the {a} of {p}.",
    ), {
        "a+b": ("What is it for the second?", "And the second alone?", "What is it for the other one?",
            "What does the second come to?", "Only for the second, how much is it?"),
        "a+(a+b)": ("What do the two come to?", "What is it for both?", "What is the sum of first and second?",
            "How much is that for the two of them?", "And the two in all?"),
    }),
    ((ANY, SMALL), (
        "A sofa is {a} dollars, a lamp {b} dollars less.", "{p} runs {a} km, and {q} runs {b} km less.",
        "One wall is {a} cm wide and the next wall {b} cm narrower.",
        "The dog weighs {a} kg; the cat is {b} kg lighter.",
        "Room one has {a} chairs, room two has {b} chairs less.", "{p} sleeps {a} minutes and {q} {b} minutes less.",
        "The first song lasts {a} seconds, the second is {b} seconds shorter.",
        "{q} did {b} {t} less than the {a} of {p}.",
    ), {
        "a-b": ("What is it for the second?", "And the second alone?", "What is it for the other one?",
            "What does the second come to?", "Only for the second, how much is it?"),
        "a+(a-b)": ("What do the two come to?", "What is it for both?", "What is the sum of first and second?",
            "How much is that for the two of them?", "And the two in all?"),
    }),
    ((SMALL, SMALL, ANY), (
        "{b} @boxes of {a} {t} come to the {c} {t} that {p} has.", "Besides {c} single {t}, {p} has {b} @boxes of {a}.",
        "{c} {t} lie on the table, and {b} @boxes hold {a} each.",
        "{p} owns {b} @boxes, {a} {t} in each, and {c} loose {t}.",
        "There are {c} old {t} and {b} @boxes of {a} new ones.",
    ), {
        "a*b+c": ("How many {t} are there in all?", "How many {t} is that with all of them?",
            "What is the number of all {t}?",
            "Everything counted, how many {t}?"),
        "a*b": ("How many {t} are in the @boxes?", "How many {t} is it without the {c}?", "How many {t} are packed?",
            "Not counting those {c}, how many {t}?"),
    }),
    ((SMALL, (6, 20), (2, 6)), (
        "There are {b} rows of {a} chairs. A choir sits in {c} of the rows.",
        "{p} has {b} @boxes of {a} {t} and opens {c} of them.",
        "A building has {b} floors with {a} flats. On {c} floors nobody lives.",
        "Of {b} days with {a} lessons, {c} days are free.",
        "{b} @vehicle loads of {a} {t} were ordered, and {c} loads came.",
    ), {
        "a*b-a*c": ("How many is that for the others?", "How many are not in those {c}?", "How many does that leave?",
            "What is the number without those {c}?"),
        "a*c": ("How many is that for those {c}?", "How many are in the {c}?", "What is the number for just the {c}?",
            "How many do the {c} come to?"),
        "a*b": ("How many is that for all {b}?", "How many are in the {b}?", "What is the number for all of them?",
            "How many do the {b} come to?"),
    }),
    ((SMALL, SMALL, SMALL), (
        "A ticket is {a} dollars. First {b} @people buy one, then {c} more.",
        "{p} earns {a} dollars an hour: {b} hours @day, "
        "{c} hours @later.", "At {a} dollars each, {p} @buys {b} {t} and {q} {c}.",
        "{a} {t} go in a @box. {p} fills {b}, {q} {c}.",
    ), {
        "a*b+a*c": ("How much is it for both?", "What does it all make?",
            "How much is that altogether, first and second?",
            "What is the whole of it?"),
        "a*b": ("How much is it for the first part?", "What does the first part make?",
            "How much is it without the second part?",
            "Only the first part: how much?"),
        "a*c": ("How much is it for the second part?", "What does the second part make?",
            "How much is it without the first part?",
            "Only the second part: how much?"),
    }),
    ((SMALL, SMALL, SMALL), (
        "{b} @boxes of {a} {t} are for {c} @people, the same for each.",
        "{c} @people share {b} @boxes with {a} {t} in each.",
        "{p} has {b} @boxes of {a} {t} and gives all {t} to {c} @people evenly.",
        "For {b} days {p} @got {a} {t} a day. All of them go to {c} @people in equal parts.",
    ), {
        "a*b/c": ("What does one of them get?", "How many {t} come to each?", "How many {t} for one of the {c}?",
            "What is one part?"),
        "a*b": ("How many {t} are shared?", "How many {t} are there before that?",
            "How many {t} is it for all of them?",
            "What is the number of {t} in the first place?"),
    }),
    *MORE_SCENES,
)  # fmt: skip
ALL_BUT = Formula("b", "", (LARGE, (2, 19)), (
    "{p} @lost every one of {his} {a} {t} but {b}. How many does {he} have?",
    "Except for {b}, all of the {a} {t} @vanish. How many stay?",
    "A @place had {a} @people, and all save {b} went home. How many stayed?",
    "{p} @lost all {a} {t} with the exception of {b}. How many are there still?",
    "Every one of {a} {t} but {b} was bad. How many were good?",
    "From a @heap of {a} {t} @someone takes all but {b}. What is still there?",
    "Not counting {b}, all {a} @people have left. How many are still there?",
    "All of {a} lights went out, {b} excepted. How many are burning?",
))  # fmt: skip


def line(fact: str, questions: tuple[str, ...]) -> str:
    """A whole story: what is told, and one of the ways to ask."""
    return f"{fact} ({'|'.join(questions)})"


CONTRASTS = (ALL_BUT, *(
    Formula(value, "", ranges, tuple(line(fact, questions) for fact in facts))
    for ranges, facts, asked in SCENES
    for value, questions in asked.items()
))  # fmt: skip
"""Stories of one kind a row."""
