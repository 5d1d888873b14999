"""Every answer to a schema ends within its natural length: there is no white space to go on with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from server_fixture import nano

from hopwell import LLM, SamplingParams
from hopwell.chat.calls import DEEPSEEK
from hopwell.engine.request import FinishReason
from hopwell.server.protocol.chat import ChatRequest
from hopwell.server.tools import constraint, offered

INTEGER, BOOLEAN, NULL = ({"type": name} for name in ("integer", "boolean", "null"))
SMALL = {"type": "integer", "minimum": 0, "maximum": 9999}
WORD = {"type": "string", "pattern": "^[a-z]{1,8}$"}
SHORT = {"type": "string", "maxLength": 8}


def made(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False
    }  # fmt: skip


def listed(items: Any, least: int, most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


SCHEMAS = [
    made(answer=INTEGER), made(answer=SMALL), made(answer=BOOLEAN), made(answer=NULL), made(answer=SHORT), made(),
    made(a=SMALL, b=SMALL, sum=SMALL), made(answer={"type": ["boolean", "null"]}), made(answer={"enum": ["yes", "no"]}),
    made(kind={"const": "sum"}, value=SMALL), made(steps=listed(SHORT, 1, 3), answer=SMALL),
    made(values=listed(SMALL, 0, 4)), made(grid=listed(listed(BOOLEAN, 2, 2), 2, 2)),
    made(outer=made(inner=made(answer=SMALL))),
    {"type": "array", "prefixItems": [SMALL, WORD], "items": False, "minItems": 2},
    BOOLEAN, NULL, SMALL, listed(BOOLEAN, 2, 2), {"anyOf": [made(answer=SMALL), made(error=SHORT)]},
    made(answer={"$ref": "#/$defs/n"}) | {"$defs": {"n": SMALL}}, made(date={"type": "string", "format": "date"}),
    made(word=WORD, ok=BOOLEAN), made(answer=SMALL, unit={"enum": ["m", "cm", None]}),
    {"const": {"a": [1, {"b": None}]}},
    {"type": "object", "properties": {"answer": SMALL}, "additionalProperties": False},
]  # fmt: skip


@pytest.fixture(scope="module")
def llm() -> LLM:
    return LLM(nano(), max_seqs=len(SCHEMAS))


def forced(schema: dict[str, Any]) -> str:
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    body = ChatRequest.model_validate(
        {"messages": [{"role": "user", "content": "x"}], "tools": [tool], "tool_choice": "required"}
        | {"parallel_tool_calls": False}
    )
    return constraint(body, offered(body), nano().tokenizer, "deepseek_r1")["grammar"]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.slow
def test_answers_to_schemas_end(llm: LLM, temperature: float) -> None:
    prompt = llm.render([{"role": "user", "content": "What is 12 + 30?"}])
    prompt += llm.tokenizer.encode("12+30=42\n</think>", special=False)
    objects = [schema for schema in SCHEMAS if schema.get("type") == "object"]
    common: dict[str, Any] = {"temperature": temperature, "seed": 7, "max_tokens": 100}
    params = [SamplingParams(json_schema=schema, **common) for schema in SCHEMAS]
    params += [SamplingParams(grammar=forced(schema), **common) for schema in objects]
    for schema, done in zip([*SCHEMAS, *objects], llm.generate([prompt] * len(params), params), strict=True):
        (answer,) = done.answers
        assert answer.finish_reason is FinishReason.STOP, (schema, answer.text)
        text = (
            answer.text.partition("```json\n")[2].partition("\n```")[0] if DEEPSEEK.call in answer.text else answer.text
        )
        value = json.loads(text)
        spaces = len(json.dumps(value, ensure_ascii=False)) - len(
            json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        )
        inside = sum(text.count(" ") for text in texts(value))
        assert text.strip() == text and text.count(" ") - inside <= spaces, "one after a comma or colon at most"


def texts(value: Any) -> list[str]:
    """All texts in a JSON value."""
    if isinstance(value, dict):
        return [*value, *(text for inner in value.values() for text in texts(inner))]
    return (
        [text for inner in value for text in texts(inner)]
        if isinstance(value, list)
        else [value] * isinstance(value, str)
    )
