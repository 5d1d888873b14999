"""Structured output: answers satisfy their constraint with any number of drafts, and rollback leaves no trace."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from tiny_tokenizer import EOS, byte_tokenizer
from torch import Tensor
from toy import ToyModel, ask, run, toy_engine

from hopwell.engine.constraints import with_usual_json
from hopwell.engine.grammar import GrammarCompiler, GrammarState
from hopwell.engine.request import FinishReason, Request, SamplingParams
from hopwell.engine.thinking import Thinking

VOCAB = 262
THINK, THINK_END = (byte_tokenizer().token_to_id(mark) for mark in ("<think>", "</think>"))
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "size": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "size"],
    "additionalProperties": False,
}


@cache
def alone(constraint: str) -> dict[str, list[int]]:
    """Tokens of constrained requests that no draft and no other request comes near, by id."""
    done = run(toy_engine(ToyModel(vocab=VOCAB)), constrained(json.loads(constraint)))
    return {name: completion.answers[0].tokens for name, completion in done.items()}


def constrained(constraint: dict[str, Any]) -> list[Request]:
    """Ten seeds."""
    return [ask([40 + i], str(i), temperature=1.0, seed=i, max_tokens=200, **constraint) for i in range(10)]


def compiler() -> GrammarCompiler:
    return GrammarCompiler(byte_tokenizer().to_str(), VOCAB, EOS)


@pytest.mark.parametrize(
    ("grammar", "allowed"),
    [
        ("start: %json " + json.dumps(SCHEMA), ""),
        ("start: %json true", ""),
        ('start: %json {"x-guidance": {"item_separator": ","}}', ""),
        ('start: %json {"x-guidance": {"whitespace_flexible": true}}', " \n\t"),
        ('// "\nnever: "%json {" /%json \\/"/\nstart: (never | %json\n{"const": {"%json {": "/"}} | %json {})', ""),
    ],
)
def test_json_in_a_callers_grammar_has_no_more_white_space(grammar: str, allowed: str) -> None:
    compiled = compiler()
    state = GrammarState(compiled.compile(SamplingParams(grammar=grammar)), compiled)
    (brace,) = byte_tokenizer().encode("{", add_special_tokens=False).ids
    assert state.push(brace) == 1
    mask = state.allowed()
    spaces = {space: byte_tokenizer().encode(space, add_special_tokens=False).ids[0] for space in " \n\t"}
    assert {space for space, token in spaces.items() if mask[token]} == set(allowed)


@pytest.mark.parametrize(
    "text",
    ['"' * 99_999, '"\\' * 50_000, "/\\" * 50_000, "%json {" * 15_000, "%json " * 15_000, "%json{}" * 15_000],
    ids=["quotes", "escapes", "regexes", "objects", "marks", "rules"],
)
def test_a_grammar_that_is_none_is_read_once(text: str) -> None:
    """Each took minutes or hours if its end was looked for from every place in it."""
    with_usual_json(text * 10)


@pytest.mark.parametrize("drafts", [0, 1, 3])
@pytest.mark.parametrize(
    "constraint",
    [
        {"regex": r"[a-c]{3,8}-[0-9]{2}"},
        {"json_schema": SCHEMA},
        {"grammar": 'start: "(" (start | "x") ")"'},
        {"regex": rf"<think>[a-c]</think>-{byte_tokenizer().id_to_token(EOS)}"},
    ],
)
def test_answers_satisfy_their_constraint(constraint: dict[str, Any], drafts: int) -> None:
    """Together with unconstrained requests; the same answers with drafts as without."""
    requests = constrained(constraint)
    others = [ask([60 + i], f"free{i}", max_tokens=40, ignore_eos=True) for i in range(3)]
    engine = toy_engine(ToyModel(vocab=VOCAB), drafts=drafts)
    done = run(engine, [*requests, *others])
    plain = alone(json.dumps(constraint))
    for request in requests:
        answer = done[request.request_id].answers[0]
        assert answer.tokens == plain[request.request_id]
        assert answer.finish_reason is FinishReason.STOP
        if "regex" in constraint:
            assert re.fullmatch(constraint["regex"], answer.text)
        elif "json_schema" in constraint:
            found = json.loads(answer.text)
            assert set(found) == {"name", "size"} and 0 <= found["size"] <= 99 and len(found["name"]) <= 6
        else:
            depth = answer.text.count("(")
            assert answer.text == "(" * depth + "x" + ")" * depth
    assert all(len(done[o.request_id].answers[0].tokens) == 40 for o in others)


@pytest.mark.parametrize("drafts", [0, 2])
def test_thinking_is_free_and_the_answer_is_not(drafts: int) -> None:
    """The schema holds after `</think>`; before it anything goes, but the end."""
    engine = toy_engine(ToyModel(vocab=VOCAB), drafts=drafts)
    bias = {THINK_END: 1.6}  # or a random model would think for long
    requests = [
        ask(
            [40 + i],
            str(i),
            temperature=1.0,
            seed=i,
            max_tokens=400,
            regex="[a-z]{2}",
            thinking=Thinking(THINK, THINK_END, begun=True),
            logit_bias=bias,
            apply_to_thinking=True,
        )
        for i in range(8)
    ]
    ended = 0
    for completion in run(engine, requests).values():
        answer = completion.answers[0]
        assert (answer.finish_reason is FinishReason.STOP) == (THINK_END in answer.tokens and answer.tokens[-1] == EOS)
        if answer.finish_reason is FinishReason.STOP:
            ended += 1
            thought, _, said = answer.text.partition("</think>")
            assert re.fullmatch("[a-z]{2}", said), (thought, said)
            assert EOS not in answer.tokens[:-1]
    assert ended >= 4


def test_following_a_draft_and_back_leaves_no_trace() -> None:
    grammar = GrammarState(compiler().compile(SamplingParams(regex="ab*c")), compiler())
    a, b, c = (byte_tokenizer().token_to_id(x) for x in "abc")

    def allowed() -> set[int]:
        return set(grammar.allowed().nonzero()[0].tolist())

    before = allowed()
    assert before == {a}
    taken = [grammar.push(token) for token in (a, b, b)]
    assert allowed() == {b, c}
    assert grammar.push(a) is None, "a token that the grammar forbids changes nothing"
    assert allowed() == {b, c}
    taken += [grammar.push(c), grammar.push(EOS)]
    assert allowed() == {EOS}
    assert taken == [1, 1, 1, 1, 0]
    grammar.pop(4)
    assert allowed() == before
    grammar.push(a)
    grammar.restart()
    assert allowed() == before


class Mute(ToyModel):
    """A model that cannot say "a"."""

    def logits(self, hidden: Tensor) -> Tensor:
        scores = super().logits(hidden)
        scores[:, byte_tokenizer().token_to_id("a")] = float("-inf")
        return scores


@pytest.mark.parametrize("drafts", [0, 2])
def test_a_constraint_that_nothing_satisfies_ends_its_request_alone(drafts: int) -> None:
    engine = toy_engine(Mute(vocab=VOCAB), drafts=drafts)
    done = run(engine, [ask([9], "stuck", regex="[bc]{3}a"), ask([9], "ok", max_tokens=9, ignore_eos=True)])
    stuck = done["stuck"].answers[0]
    assert stuck.finish_reason is FinishReason.ERROR
    assert "satisfies" in (stuck.error or "")
    assert re.fullmatch("[bc]{3}", stuck.text)
    assert len(done["ok"].answers[0].tokens) == 9
    assert engine.metrics.faults == {"unsatisfiable": 1}


def test_a_bias_yields_to_a_grammar() -> None:
    a = byte_tokenizer().token_to_id("a")
    done = run(toy_engine(ToyModel(vocab=VOCAB)), [ask([9], regex="a{3}", logit_bias={a: -1e9})])
    assert done["r"].text == "aaa"


def test_preemption_keeps_the_place_in_the_grammar() -> None:
    engine = toy_engine(ToyModel(vocab=VOCAB), pages=4)
    regex = "[ab]{150}[cd]{20}"
    requests = [ask([30 + i] * 20, str(i), regex=regex, max_tokens=180) for i in range(4)]
    done = run(engine, requests)
    assert engine.metrics.preemptions > 0
    assert all(re.fullmatch(regex, d.answers[0].text) for d in done.values())
