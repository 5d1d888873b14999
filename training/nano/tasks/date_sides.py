"""Dates told from several sides: what begins or ends, what lies ahead or behind, either of two dates first.

{d} is a date, {n} so many days; from {a} to {b} the days are counted. Facts go with questions of the same side, so that
begin and end decide which way it goes.
"""

from __future__ import annotations

LASTING = (
    "The work takes {n}.", "The course lasts {n}.", "A trip goes on for {n}.", "The repair needs {n}.",
    "Painting the house is a matter of {n}.", "The project is planned for {n}.", "It needs {n} in all.",
    "The exhibition runs for {n}.", "A cure takes {n}.", "Its length is {n}.", "The voyage is {n} long.",
    "We count on {n} for it.", "{n} are what the job takes.", "The camp is {n} long.", "Building the boat takes {n}.",
    "This cheese ripens for {n}.", "The delivery takes {n}.", "For that task {n} are set aside.",
    "The contract is good for {n}.", "It goes on for {n}.",
)  # fmt: skip
BEGINS = (
    "It begins on {d}.", "It starts on {d}.", "The first step is on {d}.", "On {d} it is begun.", "We begin on {d}.",
    "The beginning is on {d}.", "It gets going on {d}.", "The start is set for {d}.", "{d} is when it starts.",
    "It is from {d} on.", "We set out on {d}.", "I can start on {d}, not before.", "Its opening is on {d}.",
    "{d} is day zero.",
)  # fmt: skip
ENDS = (
    "It ends on {d}.", "It has to be ready on {d}.", "It is over on {d}.", "It must be finished by {d}.",
    "The finish is on {d}.", "It has to be done by {d}.", "The last step falls on {d}.", "Its end is set for {d}.",
    "{d} is when it ends.", "By {d} all has to be complete.", "We want to be through with it on {d}.",
    "Its closing is on {d}.", "They need it on {d}.", "{d} is the deadline.",
)  # fmt: skip
ASK_END = (
    "When does it end?", "When is it over?", "On what date is it finished?", "When will it be ready?",
    "What is the date of the end?", "Which date is the end?", "By what date is it complete?", "When is it done?",
    "On which date does it close?", "Until what date does it go?", "What date ends it?", "Find the date of the finish.",
    "the end date?",
)  # fmt: skip
ASK_BEGIN = (
    "When does it begin?", "When does it have to start?", "On what date must it be started?",
    "When should we begin at the latest?", "What is the date of the start?", "Which date is the start?",
    "By what date must it be under way?", "When did it start?", "On which date does it open?",
    "From what date on does it go?", "What date begins it?", "Find the date of the beginning.", "the start date?",
)  # fmt: skip
NOW = (
    "It is {a} today.", "Now it is {a}.", "The calendar says {a}.", "We have {a} now.", "Today's date is {a}.",
    "This is {a}.", "At present it is {a}.", "I write this on {a}.", "Right now it is {a}.", "The date now: {a}.",
    "Today we have {a}.", "I look at my calendar on {a}.",
)  # fmt: skip
GOAL = (
    "I have to arrive on {b}.", "The exam is on {b}.", "Our train goes on {b}.", "They marry on {b}.",
    "My vacation starts on {b}.", "The concert is on {b}.", "On {b} I turn ten.", "The rent is due on {b}.",
    "We move on {b}.", "School begins on {b}.", "They expect me on {b}.", "{b} is the day of the race.",
    "The offer is good until {b}.", "The match takes place on {b}.", "I fly home on {b}.",
)  # fmt: skip
ASK_LEFT = (
    "How many days are left?", "How many days must I wait?", "In how many days is that?", "How many days to go?",
    "How many days remain?", "How many days ahead is that?", "How many days are there until then?",
    "How long is it until then, in days?", "How many more days is it?", "After how many days is that?",
    "days left?", "How many nights are there till then?", "For how many days do I have to wait?",
    "How many days off is it?",
)  # fmt: skip
PAST = (
    "I moved here on {a}.", "The shop opened on {a}.", "The baby was born on {a}.", "We met on {a}.",
    "It was planted on {a}.", "The letter was posted on {a}.", "I last saw her on {a}.", "It stopped raining on {a}.",
    "On {a} I gave up smoking.", "The bill was sent on {a}.", "They left on {a}.", "He broke his leg on {a}.",
)  # fmt: skip
PRESENT = (
    "It is {b} today.", "Now it is {b}.", "The calendar says {b}.", "We have {b} now.", "Today's date is {b}.",
    "This is {b}.", "At present it is {b}.", "I write this on {b}.", "Right now it is {b}.", "The date now: {b}.",
    "Today we have {b}.",
)  # fmt: skip
ASK_SINCE = (
    "How many days ago was that?", "How many days is that ago?", "How many days have passed since then?",
    "How many days are over since?", "For how many days has that been so?", "How long ago is it, in days?",
    "How many days lie behind me?", "How many days back is that?", "Since then, how many days?",
    "It is how many days later now?", "days since then?", "How many days have gone by?",
)  # fmt: skip
AFTER = (
    "Forward from {d} by {n}: what date?", "Onward from {d}, {n}. Which date?", "From {d} count forward {n}.",
    "With {d} as the start, {n} forward is what date?", "Begin with {d}. Go forward by {n}. Which date?",
    "Let the calendar run forward {n} from {d}.", "forwards {n}: {d}", "Ahead by {n}, beginning with {d}: the date?",
    "On {d} I say: in {n}. Which date do I mean?", "The stamp says {d}. Best within {n}. Until which date is that?",
    "Turn the calendar {n} ahead. It showed {d}.", "{n} more than {d} is which date?", "{d} and then {n}: what date?",
    "Starting with {d}, add {n} to it.", "A seed of {d} sprouts after {n}. On which date?",
    "I wait {n}, beginning on {d}. Which date is it then?", "By {n} later than {d}: date?",
    "Going ahead in time by {n} from {d} leads to?", "A child is born {n} after {d}. On which date?",
    "Until {n} after {d}, please: what date is that?",
)  # fmt: skip
BEFORE = (
    "Back from {d} by {n}: what date?", "Backward from {d}, {n}. Which date?", "From {d} count backward {n}.",
    "With {d} as the end, {n} back is what date?", "Begin with {d}. Go backward by {n}. Which date?",
    "Let the calendar run backward {n} from {d}.", "backwards {n}: {d}", "Back by {n}, beginning with {d}: the date?",
    "On {d} I say: {n} ago. Which date do I mean?", "The stamp says {d}. It was made {n} before. On which date?",
    "Turn the calendar {n} back. It showed {d}.", "{n} less than {d} is which date?",
    "{d} and {n} before that: what date?", "Starting with {d}, take {n} from it.",
    "A plant of {d} was sown {n} before. On which date?", "I have waited {n} when it is {d}. Since which date?",
    "By {n} earlier than {d}: date?", "Going back in time by {n} from {d} leads to?",
    "A child was born {n} before {d}. On which date?",
    "To be in time on {d}, I must leave {n} sooner. On which date?", "It takes {n}. To have it on {d}, I order when?",
    "{n} are needed until {d}. On which date is the start?", "All must be done on {d}, with {n} of work. Begin when?",
    "By {d} I want to have had {n} of practice. From which date on?",
)  # fmt: skip
BETWEEN = (
    "{b} is the goal, {a} is today. How many days?", "Till {b}, how many days are there, counted from {a}?",
    "At {a} I start waiting for {b}. How many days do I wait?", "{b} lies how many days after {a}?",
    "{a} lies how many days before {b}?", "I am to be somewhere on {b}, and it is {a}. How many days is that?",
    "How many days sooner than {b} is {a}?", "My sister comes on {b}. We write {a}. How many days until she comes?",
    "With today being {a}, how many days is it to {b}?", "days from {a} on until {b}, please",
    "The ticket is for {b}. I bought it on {a}. How many days before?", "Since {a} how many days have passed on {b}?",
    "How many days old is on {b} what was made on {a}?", "On {b}, how many days ago was {a}?",
    "On {a}, how many days ahead is {b}?", "The two dates are {b} and {a}. How many days lie between them?",
    "{b} and {a}: how many days apart?", "How far apart in days are {b} and {a}?", "days between {b} and {a}",
    "{b} comes, {a} is now, so how many days?",
    "If one goes on from {a} until it is {b}, how many days does that take?",
)  # fmt: skip
