"""Every task's problems, traces and answers, checked by means other than those that made them."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from math import isqrt

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from hopwell.cli.calculator import calculator, evaluate
from hopwell.model import NANO
from training.nano.tasks import REFUSE, TASKS, TRAINING_MIX, Draws, held_out_problems, training_problem
from training.nano.tasks.chains import GROUPED
from training.nano.tasks.columns import divide_columns
from training.nano.tasks.countdown import accepts, search
from training.nano.tasks.dates import MONTHS
from training.nano.tasks.formula_stories import FORMULAS, worked_formula
from training.nano.tasks.powers import cube_root, raise_power, square_root
from training.nano.tasks.problem import Problem, is_held_out
from training.nano.tasks.quadratics import same_set
from training.nano.tasks.render import BOS, EOS, SPECIAL_TOKENS, examples, prompt_text, tool_messages
from training.nano.tasks.story_formulas import Formula

EQUALITY = re.compile(r"(?<![\w.^)+\-*/])[-(]*\d[\d+\-*/().]*(?:=-?[\d+\-*/().]*\d\)?)+(?![-+*/a-z\d(])")


WITHOUT_SUMS = ("comparison", "sorting", "letters", "outside", "tool_call", "tool_turn", "smalltalk")


def problems(task: str, count: int = 150, seed: int = 5) -> list[Problem]:
    rng = Draws(f"{task}{seed}")
    return [TRAINING_MIX[task][0](rng) for _ in range(count)]


def declined(problem: Problem) -> bool:
    return problem.answer == REFUSE


def answered(task: str, count: int = 150) -> list[Problem]:
    """Problems that have an answer."""
    return [problem for problem in problems(task, count) if not declined(problem)]


@pytest.mark.parametrize("task", TRAINING_MIX)
def test_every_step_of_a_trace_is_true(task: str) -> None:
    """Each chain `a+b=c` of plain numbers in the trace is recomputed exactly."""
    found = 0
    for problem in problems(task):
        for chain in EQUALITY.findall(problem.thinking):
            sides = [evaluate(re.sub(r"(?<!\d)0+(?=\d)", "", side)) for side in chain.split("=")]
            assert len(set(sides)) == 1, (chain, problem.thinking)
            found += 1
    assert found > 100 or task in WITHOUT_SUMS


@pytest.mark.parametrize("task", TRAINING_MIX)
def test_own_reply_is_accepted_and_a_wrong_one_is_not(task: str) -> None:
    for problem in problems(task):
        if problem.task == "smalltalk":
            continue
        assert problem.check(f"{problem.thinking}\n</think>\n\n{problem.reply}")
        assert not problem.check(f"{problem.thinking} 1")
        assert not problem.check("\\boxed{}")
        wrong = f"{problem.reply} It is 7." if declined(problem) else problem.reply.replace("boxed{", "boxed{1")
        assert not problem.check(wrong)


@pytest.mark.parametrize("task", ["addition", "subtraction", "multiplication", "division", "expression", "signed"])
def test_arithmetic_answers(task: str) -> None:
    for problem in answered(task):
        quotient, _, rest = problem.answer.partition(" remainder ")
        if "?" in problem.key:
            sum_, _, said = problem.key.partition("?")
            assert (problem.answer == "yes") == (evaluate(sum_) == int(said))
            continue
        squares = re.sub(r"(\d+)\^2", r"(\1*\1)", problem.key)
        value = evaluate(re.sub(r"sqrt\((\d+)\)", lambda n: str(isqrt(int(n[1]))), squares))
        if task == "division" and rest:
            a, b = map(int, problem.key.split("/"))
            assert int(quotient) * b + int(rest) == a and 0 < int(rest) < b
        else:
            assert value == int(quotient)


def test_decimal_and_percentage_answers() -> None:
    for problem in problems("decimal"):
        assert Fraction(problem.answer) == evaluate(problem.key)


PERCENTAGES = {
    r"([\d.]+)%([\d.]+)": lambda p, n: p * n / 100,
    r"(\d+)-(\d+)%": lambda n, p: n * (100 - p) / 100,
    r"(\d+)\+(\d+)%": lambda n, p: n * (100 + p) / 100,
    r"(\d+)/(\d+) percent(?: more| less)?": lambda a, b: 100 * a / b,
    r"(\d+)% of x=(\d+)": lambda p, a: 100 * a / p,
    r"(\d+)/(\d+) of (\d+)": lambda top, bottom, n: n * top / bottom,
    r"(\d+)\*(\d+)": lambda a, b: a * b,
}
"""Kinds of percentages by their keys, and what each asks for."""


def test_percentage_answers() -> None:
    seen = set()
    for problem in answered("percentage", 600):
        pattern, found = next((p, m) for p in PERCENTAGES if (m := re.fullmatch(p, problem.key)))
        assert Fraction(problem.answer) == PERCENTAGES[pattern](*map(Fraction, found.groups())), problem.key
        seen.add(pattern)
    assert seen == set(PERCENTAGES)


def test_chains_say_the_operations_that_they_ask_for() -> None:
    names = {"+": "sum|plus", "-": "difference|minus", "*": "product|times"}
    for _, inner, lines in GROUPED:
        for line in lines:
            assert re.search(f"({names[inner]}).*" + r"\{a\}|\{a\} (" + names[inner] + r") \{b\}", line), line


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: f"{formula.value} {formula.lines[0][:20]}")
def test_a_formulas_stories_tell_its_numbers_and_its_steps_come_out(formula: Formula) -> None:
    names = set(re.findall("[abc]", formula.value)) - ({"a"} if formula.value == "b" else set())
    for line in formula.lines:
        told = {name for name in "abc" if f"{{{name}}}" in line} | ({"b"} if re.search(r"\{[xfF]\}", line) else set())
        assert names <= told, line
    for a, b, c in ((24, 3, 4), (48, 2, 5), (60, 5, 2), (100, 4, 300)):
        shown = formula.value.replace("a", str(a)).replace("b", str(b)).replace("c", str(c))
        done = worked_formula(formula.value, {"a": a, "b": b, "c": c})
        assert done is None or done[1] in (None, evaluate(shown))


def test_story_answers() -> None:
    for problem in answered("story", 400):
        kind, _, rest = problem.key.partition(" ")
        if kind in ("story", "price"):
            assert Fraction(problem.answer) * (100 if kind == "price" else 1) == evaluate(rest)
        steps = re.findall(r"=(-?\d+)$", problem.thinking)
        assert kind == "price" or not steps or steps[-1] == problem.answer or kind == "before"


def test_division_tries_no_multiple_that_is_two_off() -> None:
    for a in range(0, 9999, 7):
        for b in (1, 2, 9, 11, 48, 101, 206, 999, 1234):
            for line in divide_columns(a, b).split("\n")[1:-1]:
                times = int(line.partition("*")[0].split()[-1])
                guess = re.search(r"try (\d).* (fits|too big)", line)
                if guess:
                    assert int(guess[1]) - times == (guess[2] == "too big")
                else:
                    assert times == 0


def test_ordering_answers() -> None:
    for problem in problems("sorting"):
        numbers = [int(n) for n in problem.answer.split(", ")]
        assert sorted(numbers) == [int(n) for n in problem.key.split()]
        assert numbers == sorted(numbers, reverse="largest" in problem.thinking)
    for problem in problems("comparison"):
        if problem.key.startswith("m"):
            kind, *numbers = problem.key.split()
            assert int(problem.answer) == {"max": max, "min": min}[kind](map(int, numbers))
            continue
        low, high = map(Fraction, problem.key.split("|"))
        words = problem.answer.split()
        if problem.answer in ("yes", "no"):
            asked = re.search(r"Is (\S+) ([<>]) (\S+)\?", problem.thinking)
            assert asked
            x, y = Fraction(asked[1]), Fraction(asked[3])
            assert (problem.answer == "yes") == (x < y if asked[2] == "<" else x > y)
        elif len(words) == 3:
            x, y = Fraction(words[0]), Fraction(words[2])
            assert {"<": x < y, ">": x > y, "=": x == y}[words[1]]
        elif problem.answer == "equal":
            assert low == high
        else:
            assert Fraction(problem.answer) in (low, high)


def test_equations_hold_at_their_solution() -> None:
    for problem in answered("equation"):
        x = f"({problem.answer})"
        left, right = re.sub(r"(?<=\d)(?=[x(])", "*", problem.key).replace("x", x).split("=")
        assert evaluate(left) == evaluate(right)


def test_countdown_judges_by_value_and_by_the_numbers_used() -> None:
    assert accepts("(25-3)*4", [25, 3, 4], 88)
    assert not accepts("25*4-12", [25, 3, 4], 88)
    assert not accepts("(25-3)*4", [25, 3, 4], 89)
    assert not accepts("__import__('os')", [1, 2, 3], 6)
    for problem in answered("countdown"):
        numbers, target = problem.key.split("|")
        assert accepts(problem.answer, [int(n) for n in numbers.split()], int(target))
    assert search([1, 1, 1], 200)[1] is None


def test_date_answers() -> None:
    seen = set()
    for problem in problems("date", 400):
        if plain := re.fullmatch(r"(\d{4}-\d\d-\d\d)([+-]|\.\.)(.+)", problem.key):
            start, sign = date.fromisoformat(plain[1]), plain[2]
            if sign == "..":
                assert int(problem.answer) == (date.fromisoformat(plain[3]) - start).days
            else:
                end = start + timedelta(days=int(plain[3]) * (1 if sign == "+" else -1))
                assert problem.answer == f"{MONTHS[end.month - 1]} {end.day}, {end.year}"
            seen.add(sign)
        else:
            day = date(2024, 1, 1) + timedelta(days=int(problem.key[0]) + int(problem.key[1:]))  # a Monday
            assert problem.answer == day.strftime("%A")
    assert seen == {"+", "-", ".."}


def test_powers_and_roots() -> None:
    assert raise_power(2, 10)[1] == 1024 and raise_power(10, 6)[1] == 10**6 and raise_power(-3, 3)[1] == -27
    assert raise_power(2, 14)[1] is None and raise_power(7, 0)[1] == 1
    for n in range(0, 9802, 7):
        assert square_root(n)[1] == (isqrt(n) if isqrt(n) ** 2 == n else None)
    assert [n for n in range(1001) if cube_root(n)[1] is not None] == [i**3 for i in range(11)]


def test_quadratic_equations_hold_at_their_solutions() -> None:
    for problem in answered("quadratic"):
        text = re.sub(r"(?<=[\dx)])(?=[x(])", "*", problem.key.replace("x^2", "x*x"))
        left, right = text.split("=")
        for x in problem.answer.split(", "):
            assert evaluate(left.replace("x", f"({x})")) == evaluate(right.replace("x", f"({x})")), problem.key
    assert same_set("3, -3", "-3, 3") and same_set("x = 3 or x = -3", "-3, 3") and not same_set("3", "-3, 3")


def test_remainders_averages_and_quotients() -> None:
    for problem in problems("remainder"):
        a, b = map(int, problem.key.split("%"))
        assert problem.answer in ({str(a % b)} if problem.answer.isdigit() else {"yes", "no", "even", "odd"})
    for problem in answered("average"):
        numbers = list(map(int, problem.key.split()[1:]))
        assert Fraction(problem.answer) == Fraction(sum(numbers), len(numbers))
    for problem in answered("quotient"):
        if problem.key.startswith("round "):
            given, size, places = problem.key.split()[1:]
            unit = Decimal(10) ** -int(places) if "." in given else Decimal(size)
            steps = (Decimal(given) / unit).quantize(Decimal(1), ROUND_HALF_UP)
            assert Decimal(problem.answer) == steps * unit
            continue
        fraction, _, places = problem.key.partition(" to ")
        exact = evaluate(fraction.removesuffix(" decimal"))
        assert abs(Fraction(problem.answer) - exact) <= (Fraction(5, 10 ** (int(places) + 1)) if places else 0)


def test_letters() -> None:
    for problem in problems("letters"):
        kind, *rest = problem.key.split()
        assert int(problem.answer) == (rest[1].count(rest[0]) if kind == "letter" else len(rest[0]))


def test_unit_answers() -> None:
    """One unit is converted both ways by a table of its own."""
    metres = {"km": 1000, "kilometers": 1000, "m": 1, "meters": 1, "cm": Fraction(1, 100), "mm": Fraction(1, 1000)}
    metres["centimeters"] = metres["cm"]
    seconds = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1, "weeks": 604800}
    checked = joined = 0
    for problem in problems("unit", 600):
        if both := re.fullmatch(r"(\d+)([a-z]+)(\d+)>([a-z]+)", problem.key):
            big, small = both[2], both[4]
            if big in seconds and small in seconds:
                assert (
                    int(problem.answer) * seconds[small] == int(both[1]) * seconds[big] + int(both[3]) * seconds[small]
                )
                joined += 1
            continue
        given, units = problem.key.split(" ")
        a, b = units.split(">")
        a = a if a in metres or a in seconds else f"{a}s"
        for table in (metres, seconds):
            if a in table and b in table and " " not in problem.answer:
                assert Fraction(problem.answer) * table[b] == Fraction(given) * table[a]
                checked += 1
    assert checked > 100 and joined > 10


TALK = ("smalltalk", "outside")
"""Without problems that could be held out: questions are, by their wording."""


def test_held_out_problems_are_never_trained_on() -> None:
    rng = Draws(1)
    assert not any(p.held_out for p in (training_problem(rng) for _ in range(3000)) if p.task not in TALK)
    for task in TASKS:
        some = held_out_problems(task, 20, seed=3)
        assert len({p.key for p in some}) == 20 and all(p.held_out for p in some)
    assert held_out_problems("addition", 5, seed=3) != held_out_problems("addition", 5, seed=4)
    assert sum(is_held_out(str(n)) for n in range(20000)) == pytest.approx(1000, rel=0.15)


def test_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known: addition"):
        held_out_problems("poetry", 1, seed=0)


@pytest.mark.parametrize(
    ("expression", "result"),
    [("2+2", "4"), ("7/8", "0.875"), ("1/3", "0.333333"), ("-(2*3)", "-6"), ("0.1+0.2", "0.3"), ("10/4*2", "5"),
     ("1e20/3", "33333333333333333333.333333"), ("1e300*1e300/3", "3" * 600 + ".333333"), ("-1/10000000", "0")],
)  # fmt: skip
def test_calculator(expression: str, result: str) -> None:
    assert calculator(expression) == result


TOO_LONG = "*".join(["1e300"] * 15)


@pytest.mark.parametrize(
    "expression", ["", "1/0", "2**99", TOO_LONG, "print(1)", "x", "1;2", "(" * 300, "True+1"]
)  # fmt: skip
def test_calculator_refuses_what_is_not_arithmetic(expression: str) -> None:
    assert calculator(expression).startswith("error: ")


def template_text(problem_messages: list[dict], tools: list[dict] | None) -> str:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    source = json.loads((NANO / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"]
    return environment.from_string(source).render(
        messages=problem_messages, tools=tools, bos_token=BOS, eos_token=EOS, add_generation_prompt=True
    )


@pytest.mark.slow
def test_chat_template_renders_what_training_saw() -> None:
    rng = Draws(2)
    for _ in range(100):
        problem = training_problem(rng)
        assert template_text(problem.messages, problem.tools) == prompt_text(problem.messages, problem.tools)
        if problem.call:
            messages = [*problem.messages, *tool_messages(problem.call, problem.answer)]
            assert template_text(messages, problem.tools) == prompt_text(messages, problem.tools)


def test_earlier_turns_lose_their_thinking() -> None:
    turns = [
        {"role": "user", "content": "2+2"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\n\\boxed{4}"},
        {"role": "user", "content": "double"},
    ]
    expected = f"{BOS}<｜User｜>2+2<｜Assistant｜>\\boxed{{4}}{EOS}<｜User｜>double<｜Assistant｜><think>\n"
    assert template_text(turns, None) == expected


def test_tokenizer_round_trip_single_digits_and_special_ids() -> None:
    tokenizer = Tokenizer.from_file(str(NANO / "tokenizer.json"))
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == list(range(len(SPECIAL_TOKENS)))
    rng = Draws(4)
    for _ in range(200):
        for prompt, completion in examples(training_problem(rng)):
            text = prompt + completion
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            assert tokenizer.decode(ids, skip_special_tokens=False) == text
            assert len(ids) < 768
    assert tokenizer.encode("12345+678=", add_special_tokens=False).tokens == list("12345+678=")
    strange = "Größe 你好 🙂 \t\r\n x²"
    assert tokenizer.decode(tokenizer.encode(strange, add_special_tokens=False).ids) == strange
