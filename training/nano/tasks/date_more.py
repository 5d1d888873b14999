"""More ways to ask for dates, put at the end of the tables of dates.py: each with its twin that goes the other way."""

from __future__ import annotations

AFTER = (
    "{n} past {d}", "{n} from {d} on", "deadline: {n} after {d}", "The deadline is {n} after {d}. What date is that?",
    "I start on {d} and need {n}. On what date am I done?", "I borrow a book on {d} for {n}. When must it be back?",
    "{n} from {d} it ends. What date is that?", "{d} is the start. What date is it {n} later?", "the day {n} after {d}",
    "If I wait {n} from {d}, which date is it?", "Let {n} go by after {d}. What date is it?",
    "To {d} add {n}. Which date?", "{n} later than {d} is what date?", "{d} plus {n}, which date?",
    "Going forward {n} from {d}, what date do I reach?", "ahead {n} from {d}", "date in {n} if it is {d} now",
    "The parcel was sent on {d} and arrived {n} later. When did it arrive?", "Put {n} onto {d}.",
    "{n} are added to {d}. Date?", "{n} following {d}", "date: {d}, plus {n}", "What date follows {d} by {n}?",
    "The bill of {d} must be paid within {n}. What is the last date?", "Wind {d} forward by {n}.",
    "It was {d}. Now it is {n} later. What date is it?", "When {d} is {n} ago, what date is it?",
    "{d} was {n} ago. What date is it now?", "We leave {n} after {d}. On which date do we leave?",
    "{d} -> {n} later -> ?",
)  # fmt: skip
BEFORE = (
    "It is {n} until {d}. What date is it?", "{d} is {n} away. What date is it now?",
    "{n} to go until {d}. Which date is it?", "The exam on {d} is in {n}. What is the date now?",
    "I need {n} and must be done on {d}. When must I start?",
    "A letter came on {d} and was sent {n} earlier. When was it sent?", "{d} is the end. What date was it {n} earlier?",
    "From {d} take off {n}. Which date?", "{n} sooner than {d} is what date?", "{d} minus {n}, which date?",
    "Going back {n} from {d}, what date do I reach?", "the day {n} before {d}", "back {n} from {d}",
    "date {n} ago if it is {d} now", "{n} are subtracted from {d}. Date?", "{n} preceding {d}", "date: {d}, minus {n}",
    "What date precedes {d} by {n}?", "On {d} I had been there for {n}. When did I come?", "Take {n} off {d}.",
    "{d} less {n}", "Which date comes {n} sooner than {d}?", "Wind {d} back by {n}.",
    "It is {d}. What date was {n} earlier than this?", "When {d} is {n} ahead, what date is it?",
    "We leave {n} before {d}. On which date do we leave?", "I must book {n} before {d}. By which date?",
    "{d} -> {n} earlier -> ?",
)  # fmt: skip
BETWEEN = (
    "The party is on {b} and now it is {a}. How many days are left?", "{b} is the big day. It is {a} now. Days to go?",
    "Until {b} it is how many days, from {a}?", "{b} comes after {a}. By how many days?",
    "I must be there on {b}. It is {a}. How many days do I have?",
    "My birthday is {b} and we have {a}. Number of days until then?", "{b}, seen from {a}, is how many days ahead?",
    "How many days lie from {a} to {b}?", "day count between {a} and {b}",
    "I was born on {a} and my sister on {b}. How many days lie between?",
    "Start {a}, end {b}: how many days later is the end?", "How many days later than {a} is {b}?",
    "How many days earlier than {b} is {a}?", "Subtract {a} from {b}, in days.",
    "{a} was the start, {b} is the goal. Days?",
    "If I leave on {a} and come back on {b}, how many days are in between?",
    "How many days must pass after {a} to reach {b}?", "By how many days is {a} ahead of {b}?",
    "days until {b} from {a}", "{a} - {b}, number of days", "The gap between {a} and {b} in days?",
)  # fmt: skip
WEEKDAY_AFTER = (
    "{n} past {w}", "{n} later than {w} is what day?", "{w} is the start. What day is it {n} later?",
    "If I wait {n} from {w}, which day is it?", "{w} was {n} ago. What day is it now?", "What day follows {w} by {n}?",
    "Going forward {n} from {w}, which day do I reach?", "I start on {w} and need {n}. On what day am I done?",
    "It was {w}. Now it is {n} later. Which weekday is it?", "We leave {n} after {w}. On which day of the week?",
    "Let {n} go by after {w}. Which weekday is it?", "{n} are added to {w}. Which day is it?",
    "To {w} add {n}. Which weekday?", "weekday {n} after {w}?", "the weekday {n} from {w} on",
)  # fmt: skip
WEEKDAY_BEFORE = (
    "{w} is the end. What day was it {n} earlier?", "It is {n} until {w}. What day is it now?",
    "{w} is {n} away. Which weekday is it?", "What day precedes {w} by {n}?",
    "Going back {n} from {w}, which day do I reach?",
    "A letter came on {w} and was sent {n} earlier. On which day was it sent?",
    "We leave {n} before {w}. On which day of the week?", "Take {n} off {w}. Which weekday is it?",
    "{n} are subtracted from {w}. Which day is it?", "From {w} take off {n}. Which weekday?", "weekday {n} before {w}?",
    "{n} sooner than {w} is which day?", "On {w} I had been there for {n}. On what day did I come?",
    "back {n} from {w}",
)  # fmt: skip
