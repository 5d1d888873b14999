"""What a client requires can be written in each format, and is read back as it was meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from reply_streams import FORMATS, MARKS, Reply, meaning, parse, written
from tiny_tokenizer import EOS, byte_tokenizer
from tokenizers import AddedToken

from hopwell.engine.grammar import GrammarCompiler
from hopwell.engine.request import SamplingParams
from hopwell.engine.tokenizer import Tokenizer
from hopwell.server.errors import ApiError
from hopwell.server.protocol.chat import ChatRequest, Function
from hopwell.server.tools import _arguments, constraint, offered

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
BODY = ChatRequest.model_validate(
    {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "get-weather", "parameters": SCHEMA}}],
        "tool_choice": "required",
    }
)


def tokenizer(format: str) -> Tokenizer:
    inner = byte_tokenizer()
    inner.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in MARKS[format]])
    return Tokenizer(inner, {})


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "deepseek_v32"])
def test_grammar_takes_the_calls_of_its_format(format: str) -> None:
    tokens = tokenizer(format)
    compiler = GrammarCompiler(tokens.inner.to_str(), tokens.inner.get_vocab_size(), EOS)
    grammar = constraint(BODY, offered(BODY), tokens, format)["grammar"]

    def taken(reply: Reply) -> bool:
        ids = tokens.encode(written(reply, format), special=False)
        return compiler.compile(SamplingParams(grammar=grammar)).try_consume_tokens(ids) == len(ids)

    call = ("get-weather", {"city": "Köln"})
    for reply in (Reply(None, "", [call]), Reply(None, "", [call, call])):
        assert taken(reply)
        assert meaning(parse([written(reply, format)], False, format=format)) == reply
    assert not taken(Reply(None, "", [("get-wether", {"city": "Köln"})]))
    assert not taken(Reply(None, "", [("get-weather", {"city": 7})]))
    assert not taken(Reply(None, "It rains.", []))


def test_tags_cannot_be_required() -> None:
    with pytest.raises(ApiError, match="deepseek_v32"):
        constraint(BODY, offered(BODY), tokenizer("deepseek_v32"), "deepseek_v32")


PROPERTIES = {"properties": {"n": {"enum": [1]}}, "required": ["n"], "additionalProperties": False}
LOOSE = {
    "no type": PROPERTIES,
    "more types": {**PROPERTIES, "type": ["object", "null"]},
    "branches": {"anyOf": [{"type": "string"}, {"type": "object", **PROPERTIES}]},
    "a reference": {"$ref": "#/$defs/it", "$defs": {"it": PROPERTIES}},
    "listed": {"enum": [5, None, {"n": 1}]},
}


def taker(schema: dict[str, Any]) -> Callable[[Any], bool]:
    """Whether a required call may have these arguments."""
    tokens = tokenizer("deepseek_r1")
    compiler = GrammarCompiler(tokens.inner.to_str(), tokens.inner.get_vocab_size(), EOS)
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    body = ChatRequest.model_validate({**BODY.model_dump(exclude_unset=True), "tools": [tool]})
    grammar = constraint(body, offered(body), tokens, "deepseek_r1")["grammar"]

    def taken(arguments: Any) -> bool:
        ids = tokens.encode(written(Reply(None, "", [("f", arguments)]), "deepseek_r1"), special=False)
        return compiler.compile(SamplingParams(grammar=grammar)).try_consume_tokens(ids) == len(ids)

    return taken


@pytest.mark.parametrize("schema", LOOSE.values(), ids=LOOSE)
def test_a_required_call_has_an_object_whatever_else_its_schema_would_take(schema: dict[str, Any]) -> None:
    taken = taker(schema)
    assert taken({"n": 1})
    assert not any(taken(other) for other in (None, 5, "n", [], {}))


def test_a_required_call_has_arguments_of_its_schema_alone() -> None:
    """A model may otherwise go on with names of its own; a schema that speaks of others gets them."""
    named = {"type": "object", "properties": {"n": {"enum": [1]}}, "required": ["n"]}
    assert taker(named)({"n": 1}) and not taker(named)({"n": 1, "m": 2})
    assert taker({**named, "additionalProperties": True})({"n": 1, "m": 2})
    assert taker({**named, "required": ["n", "m"]})({"n": 1, "m": 2}), "one that only `required` names"
    for required in (5, [["n"]], [{}]):
        tool = Function(name="f", parameters={**named, "required": required})
        assert "additionalProperties" not in _arguments(tool), "no schema, which its compiler refuses"
