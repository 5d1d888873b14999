"""Requests made to hurt: each is refused by name, within limits of time and memory, and /health answers meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hostile import Attacked

CALL = '{"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": %s}}]}]}'
CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"


@pytest.fixture
def server(hardy_server: Attacked) -> Attacked:
    return hardy_server


@pytest.fixture(autouse=True)
def still_answers(server: Attacked) -> Iterator[None]:
    yield
    server.answers()


def when_sent(make: Callable[..., bytes]) -> Callable[..., Callable[[], bytes]]:
    """A body is made when it is sent: all of them together are a second and 150 MB of each worker."""
    return lambda *args, **fields: partial(make, *args, **fields)


@when_sent
def many(head: str, piece: str, count: int) -> bytes:
    """A body whose last field is a list of `count` times the same."""
    return f"{head}[{','.join([piece] * count)}]}}".encode()


@when_sent
def keys(head: str, value: str, count: int, tail: str = "}") -> bytes:
    """A body that ends in `count` fields of numbers for names."""
    return (head + ",".join(f'"{i}":{value}' for i in range(count)) + tail).encode()


@when_sent
def call(arguments: str) -> bytes:
    return (CALL % json.dumps(arguments)).encode()


@when_sent
def say(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def turn(*content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": list(content)}]


LONG = "word " * 1_600_000
HALF = "a" * 5_000_000
BODIES: dict[str, tuple[str, bytes | Callable[[], bytes], str]] = {
    "items of no kind": (RESPONSES, many('{"input":', "{}", 40_000), "input"),
    "many items of no kind": (RESPONSES, many('{"input":', "{}", 60_000), "objects"),
    "items of a wrong kind": (RESPONSES, many('{"input":', '{"type":"x"}', 20_000), "input"),
    "messages of a wrong kind": (CHAT, many('{"messages":', "1", 250_000), "messages.0"),
    "messages": (CHAT, many('{"messages":', '{"role":"user","content":"a"}', 100_000), "objects"),
    "unknown fields": (CHAT, keys('{"messages":[],', "1", 40_000), "64 fields"),
    "unknown fields inside": (
        MESSAGES, keys('{"max_tokens":1,"messages":[{"role":"user",', "1", 40_000, "}]}"), "64 fields"),
    "biases": (COMPLETIONS, keys('{"prompt":"a","logit_bias":{', "1", 1_000_000, "}}"), "objects"),
    "biases that are none": (COMPLETIONS, keys('{"prompt":"a","logit_bias":{', '""', 40_000, "}}"), "logit_bias"),
    "empty lists": (COMPLETIONS, many('{"prompt":"a","logit_bias":', "[]", 4_000_000), "objects"),
    "tokens": (COMPLETIONS, many('{"prompt":', "1000", 3_000_000), "objects"),
    "tokens to decode": ("/detokenize", many('{"tokens":', "1000", 3_000_000), "objects"),
    "stop tokens": (COMPLETIONS, many('{"prompt":"a","stop_token_ids":', "7", 250_000), "stop_token_ids"),
    "prompts": (COMPLETIONS, many('{"prompt":', '"a"', 250_000), "prompt"),
    "nested metadata": (RESPONSES, b'{"input":"a","metadata":' + b'{"a":' * 300 + b"1" + b"}" * 301, "nested"),
    "nested without end": (CHAT, b"[" * 40_000, "nested"),
    "half a surrogate as a label": (RESPONSES, b'{"input":"a","metadata":{"a":"\\ud800"}}', "uD800"),
    "half a surrogate as a key": (CHAT, b'{"messages":[],"chat_template_kwargs":{"\\udfff":1}}', "uD800"),
    "a broken character": (CHAT, b'{"messages":[],"user":"\xff"}', "JSON"),
    "not a number": (CHAT, b'{"messages":[],"temperature":NaN}', "JSON"),
    "nested arguments": (CHAT, call("[" * 1000 + "]" * 1000), "arguments"),
    "deeply nested arguments": (CHAT, call("[" * 100_000), "arguments"),
    "half a surrogate in arguments": (CHAT, call('{"a": "\\ud800"}'), "arguments"),
    "nothing but reasoning": (RESPONSES, b'{"input":[{"type":"reasoning"}]}', "reasoning"),
    "blocks too long together": (
        MESSAGES, say(max_tokens=1, messages=turn(*[{"type": "text", "text": HALF}] * 2)), "8388608"),
    "parts too long together": (RESPONSES, say(input=turn(*[{"type": "input_text", "text": HALF}] * 2)), "8388608"),
    "a long prompt": (COMPLETIONS, say(prompt=LONG), "4096 tokens"),
    "a long conversation": (CHAT, say(messages=[{"role": "user", "content": LONG}]), "4096 tokens"),
    "a long text to tokenize": ("/tokenize", say(prompt=LONG), "4096 tokens"),
    "spaces to count": (
        MESSAGES + "/count_tokens", say(messages=[{"role": "user", "content": " " * 8_000_000}]), "4096 maximum"),
    "many long prompts": (COMPLETIONS, say(prompt=["word " * 1_000] * 2048, max_tokens=4096), "4096 in the completion"),
}  # fmt: skip


LONG = ("many long prompts",)  # read before they are refused: many seconds


@pytest.mark.parametrize("name", [pytest.param(b, marks=pytest.mark.slow if b in LONG else ()) for b in BODIES])
def test_a_body_is_refused_by_name(server: Attacked, name: str) -> None:
    path, made, word = BODIES[name]
    body = made if isinstance(made, bytes) else made()
    before = server.rss()
    reply = server.under(lambda: server.post(path, body))
    assert reply.status_code == 400, reply.text
    assert word in reply.json()["error"]["message"] and len(reply.headers["x-request-id"]) == 32
    assert server.rss() - before < 700
