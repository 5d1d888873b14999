"""Schemas and grammars made to hurt, in every place that takes one: refused, and nobody else feels it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hostile import Attacked, request, within
from hostile_grammars import DEEP, ENDLESS, SLOW

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


@pytest.fixture
def server(hardy_server: Attacked) -> Attacked:
    return hardy_server


@pytest.fixture(autouse=True)
def still_answers(server: Attacked) -> Iterator[None]:
    before = server.rss()
    yield
    server.answers()
    assert server.rss() - before < 300


def structured(constraint: dict[str, Any], **more: Any) -> dict[str, Any]:
    ((name, value),) = constraint.items()
    given = {"json" if name == "json_schema" else name: value}
    return {"prompt": "a", "max_tokens": 50, "structured_outputs": given, **more}


def formatted(schema: Any) -> dict[str, Any]:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    return {"messages": [{"role": "user", "content": "a"}], "response_format": wanted}


def tooled(schema: Any) -> dict[str, Any]:
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    return {"messages": [{"role": "user", "content": "a"}], "tools": [tool], "tool_choice": "required"}


DEFINITIONS = DEEP["10,000 definitions"]["json_schema"]
FORMAT = {"type": "json_schema", "name": "x", "schema": DEFINITIONS}
ATTACKS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (COMPLETIONS, structured(constraint, n=4)) for name, constraint in DEEP.items()},
    **{name: (COMPLETIONS, structured(constraint, n=4)) for name, constraint in SLOW.items()},
    "multiples": (COMPLETIONS, structured(ENDLESS["multiples"])),
    "response_format": (CHAT, formatted(DEFINITIONS)),
    "tools": (CHAT, tooled(DEFINITIONS)),
    "text.format": (RESPONSES, {"input": "a", "text": {"format": FORMAT}}),
}
BROKEN = {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}, "required": ["a"]}
LONG = ["multiples", *SLOW]
"""Five seconds each."""


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        *((name, False) for name in ATTACKS if name not in LONG),
        ("options", True),
        *(pytest.param(name, False, marks=pytest.mark.slow) for name in LONG),
    ],
)
def test_a_hostile_grammar_is_refused(server: Attacked, name: str, stream: bool) -> None:
    path, body = ATTACKS[name]
    reply = server.under(lambda: server.post(path, {**body, "stream": stream}))
    if stream and reply.status_code == 200:  # its first tokens were easy
        assert name in SLOW
        error = json.loads(reply.text.split("data: ")[-2])["error"]
    else:
        assert reply.status_code == 400, reply.text
        error = reply.json()["error"]
    assert error["type"] == "invalid_request_error" and "\n" not in error["message"]


@pytest.mark.parametrize(("field", "body"), [("tools", tooled(BROKEN)), ("response_format", formatted(BROKEN))])
def test_the_field_at_fault_is_the_clients_own(server: Attacked, field: str, body: dict[str, Any]) -> None:
    reply = server.post(CHAT, body)
    error = reply.json()["error"]
    assert reply.status_code == 400 and error["param"] == field and error["message"].startswith(field), reply.text


def test_departed_callers_take_their_grammars_along(server: Attacked) -> None:
    """Six of them, with n = 128 and grammars that take for ever, whole and streamed; then somebody with a schema."""
    calls = []
    for i in range(6):
        body = json.dumps(structured(list(ENDLESS.values())[i % 4], n=128, stream=i % 2 == 0)).encode()
        calls.append(server.connect(request("POST", COMPLETIONS, body)))
    time.sleep(1.0)
    for call in calls:
        call.close()
    began = time.monotonic()
    reply = server.under(lambda: server.post(COMPLETIONS, structured({"json_schema": SCHEMA}, max_tokens=30)))
    assert reply.status_code == 200 and time.monotonic() - began < 30
    assert within(120, lambda: server.metric("hopwell_running") == server.metric("hopwell_waiting") == 0)
