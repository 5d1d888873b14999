"""More ways to say the four operations, put at the end of arithmetic.py's tables; the sign may come first or last."""

from __future__ import annotations

ADD_NOUNS = (
    "{a} and another {b}", "{a} with {b} added", "{a} topped up by {b}", "{a} raised by {b}",
    "the outcome of {a} plus {b}", "{a} plus another {b}", "the number you get from {a} plus {b}",
    "the result of adding {b} to {a}", "{a} and {b} summed up", "the amount of {a} plus {b}", "{a} plus {b}, added up",
    "{b} on top of {a}", "{a} with another {b} added to it", "the addition of {a} and {b}", "{a} once {b} is added",
    "{a} after gaining {b}",
)  # fmt: skip
ADD = (
    "Plus {b}, what does {a} become?", "With {b} added, what is {a}?", "To {a}, add {b}.",
    "Adding {b} to {a} gives what?", "{b} is added to {a}. What is it then?", "{a} grows by {b}. What is it then?",
    "Where do I land if I go up {b} from {a}?", "From {a} you count {b} up. Where are you?",
    "{a} is raised by {b}. Result?", "Start at {a}, go up {b}.", "Which number is {b} above {a}?",
    "If {b} comes to {a}, how much is it?", "What comes out when {a} and {b} are added?", "Sum, please: {a} and {b}",
    "addition: {a} and {b}", "what do {a} and {b} add up to", "{a}, then {b} more: how much?", "Put {b} on top of {a}.",
    "How much do I have with {a} and another {b}?", "{a} gets {b} more. What does it come to?",
    "Count {a} and {b} together.", "{b} must be put onto {a}. What do I have?",
    "Counting on {b} from {a}, where do I end?", "Up by {b} from {a} is what?", "how much is {a} if i put {b} on it",
    "First addend {a}, second addend {b}: sum?", "If both {a} and {b} are counted, how much is it?",
    "I add two numbers, {a} and {b}. What comes out?", "{a} goes up by {b}", "Which sum do {a} and {b} have?",
)  # fmt: skip
SUBTRACT_NOUNS = (
    "{a} with {b} taken off", "{a} once {b} is off", "{a} after losing {b}", "{a} lowered by {b}",
    "{a} diminished by {b}", "{a} cut by {b}", "what is left of {a} without {b}", "the result of taking {b} from {a}",
    "the outcome of {a} minus {b}", "{a} shortened by {b}", "{b} off {a}", "{b} deducted from {a}", "{a} with {b} gone",
    "the number {b} below {a}", "the subtraction of {b} from {a}", "{a} minus {b}, subtracted",
    "the rest of {a} after taking {b} away",
)  # fmt: skip
SUBTRACT = (
    "With {b} subtracted, {a} is what?", "Without {b}, how much is {a}?", "From {a}, subtract {b}.",
    "Taking {b} from {a} gives what?", "{b} is subtracted from {a}. What is it then?",
    "{a} falls by {b}. What is it then?", "Where do I land if I go down {b} from {a}?",
    "{a} loses {b}. What does it come to?", "If {b} is taken off {a}, how much is it?",
    "What comes out when {b} is subtracted from {a}?", "From {a}, {b} is taken. What stays?",
    "subtraction: {b} from {a}", "subtraction: {a} minus {b}", "{a}, then {b} less: how much?", "Pull {b} off {a}.",
    "{a} is lowered by {b}. Result?", "{b} must come off {a}. What do I have?", "Of {a} I lose {b}. What is left?",
    "Counting back {b} from {a}, where do I end?", "{b} fewer than {a} is how many?", "{b} below {a} is which number?",
    "Minuend {a}, subtrahend {b}: difference?", "{a} has {b} taken out. What is it now?",
    "Give away {b} of {a}. How much is kept?", "Down by {b} from {a} is what?", "how much is {a} if i take {b} off it",
    "I subtract {b}, starting with {a}. What comes out?", "{a} goes down by {b}",
    "Once {b} is subtracted, what is {a}?", "Less by {b}, what does {a} become?",
    "{a} is there and {b} goes. How much stays?",
)  # fmt: skip
MULTIPLY_NOUNS = (
    "{a} times the number {b}", "{a} lots of {b}", "{a} groups of {b}", "{a} sets of {b}", "{a} by {b}, multiplied,",
    "the multiplication of {a} by {b}", "{a} and {b} as a product", "the result of multiplying {a} by {b}",
    "the outcome of {a} times {b}", "the answer to {a} times {b}", "the value of {a} times {b}",
    "the product {a} times {b}", "{a} when multiplied by {b}", "{a} after multiplication by {b}",
)  # fmt: skip
MULTIPLY = (
    "Times {b}, how much does {a} make?", "Multiplied by {b}, what does {a} become?",
    "{a} is multiplied by {b}. What is it then?", "Multiplying {a} by {b} gives what?",
    "What comes out when {a} is multiplied by {b}?", "multiplication: {a} by {b}",
    "Multiply the number {a} by the number {b}.", "The factors are {a} and {b}. Product?",
    "With {a} and {b} as factors, what results?", "If {a} is taken {b} times, what is it?",
    "I take {a}, and I take it {b} times. How much is that?", "Find {a} times {b}.", "so {a} times {b} makes?",
    "{a}, {b} times over: how much?", "What is the outcome of {a} multiplied by {b}?", "Let me have {a} times {b}.",
    "long multiplication: {a} by {b}", "Work out how much {a} times {b} is.", "Would you multiply {a} by {b}?",
    "{a} has to be multiplied by {b}.", "The task is to multiply {a} by {b}.", "Which product do {a} and {b} have?",
    "Once {a} is multiplied by {b}, what is it?",
)  # fmt: skip
DIVIDE_NOUNS = (
    "{a} under division by {b}", "the quotient from {a} and {b}", "{a} to be divided by {b}",
    "one of {b} equal shares of {a}", "{a} parted into {b} equal shares", "the number of times {b} is in {a}",
    "dividing {a} by {b}", "{a} / {b} with the remainder", "the size of one part when {a} is divided {b} ways",
    "the division with {a} above and {b} below", "{a} divided, by {b} that is,",
)  # fmt: skip
DIVIDE = (
    "Divided by {b}, how much is {a}?", "Over {b}, {a} makes what?", "{a} is divided by {b}. What is it then?",
    "The divisor is {b}, the dividend {a}. What is the quotient?", "How much is one part if {a} has {b} equal parts?",
    "{a} is split evenly {b} ways. One share is?", "In how many groups of {b} does {a} fall?",
    "How many whole times is {b} in {a}, and what is left?", "I have {a} and want {b} equal parts. How big is each?",
    "With {b} equal parts, how much of {a} is in each?", "{a} / {b}: quotient and remainder",
    "Both the quotient and the remainder of {a} and {b}, please.",
    "Quotient first, remainder after it: {a} divided by {b}", "Not only the remainder: {a} divided by {b} in full",
    "{a} in groups of {b}: how many groups, and how many over?", "{b} is the divisor for {a}. What is the outcome?",
    "How does {a} split by {b}, with what is left over?", "I do not ask for the remainder alone: {a} divided by {b}",
    "Once {a} is divided by {b}, what is it?",
)  # fmt: skip
DIFFERENCE = (
    "How big is the difference if I compare {a} and {b}?", "By what do {a} and {b} differ?",
    "One number is {a}, the other {b}. How far apart are they?", "From one to the other, {a} and {b}, how far is it?",
    "How many steps are there from {a} to {b}?", "How far do you have to go from {a} to {b}?",
    "the distance of {a} and {b}", "{a} and {b}, how much is between them?",
    "How much is missing from the smaller to the larger of {a} and {b}?", "Which difference do {a} and {b} have?",
    "Subtract the smaller from the larger: {a}, {b}", "the larger minus the smaller of {a} and {b}",
    "How much more is the larger of {a} and {b}?", "how much bigger is the bigger one of {a} and {b}",
    "Take {a} and {b} and give me their difference.", "I see {a} and {b}. How much lies in between?",
    "How wide apart do {a} and {b} lie?",
)  # fmt: skip
