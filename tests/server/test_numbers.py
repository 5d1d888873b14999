"""Numbers that a client computes with agree with the text that it got: offsets, counts, indices, statuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from server_fixture import server

CHAT = {"messages": [{"role": "user", "content": "What is 12 + 30?"}], "temperature": 0, "max_tokens": 200}
SPLIT = "aé你😀👩‍👧z"
"""Characters of one to four bytes, which are several tokens of nano's each."""


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with server(max_seqs=8) as running, httpx.Client(base_url=running.url, timeout=300) as client:
        yield client


def post(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = http.post(path, json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def events(http: httpx.Client, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    with http.stream("POST", path, json={**body, "stream": True}) as reply:
        lines = [line[6:] for line in reply.iter_lines() if line.startswith("data: ") and line != "data: [DONE]"]
    return [json.loads(line) for line in lines]


def raw(token: str) -> bytes:
    """A token's bytes from its name in completions."""
    if not token.startswith("bytes:"):
        return token.encode()
    return bytes(int(number, 16) for number in token.removeprefix("bytes:\\x").split("\\x"))


def check(choice: dict[str, Any]) -> None:
    text, scores = choice["text"], choice["logprobs"]
    tokens, offsets = scores["tokens"], scores["text_offset"]
    assert len(tokens) == len(offsets) == len(scores["token_logprobs"]) == len(scores["top_logprobs"])
    assert offsets == sorted(offsets) and (not offsets or offsets[-1] <= len(text))
    for token, offset in zip(tokens, offsets, strict=True):
        left = text[offset:].encode()
        assert left.startswith(raw(token)) or b"".join(map(raw, tokens)).startswith(text.encode())
        if not token.startswith("bytes:") and len(token) <= len(text) - offset:
            assert text[offset : offset + len(token)] == token
    for token, top in zip(tokens, scores["top_logprobs"], strict=True):
        assert top is None or (token in top and len(top) in (3, 4))


@pytest.mark.parametrize(
    ("echo", "stop", "text"),
    [
        (False, None, SPLIT),
        (True, ["👩‍"], "aé你😀"),
        (False, ["\u200d", "never"], "aé你😀👩"),
        (True, ["é你"], "a"),
    ],
)
def test_offsets_are_places_in_the_text(http: httpx.Client, stop: list[str] | None, text: str, echo: bool) -> None:
    prompt = "日本"
    body = {"prompt": [prompt, "x"], "structured_outputs": {"regex": SPLIT}, "logprobs": 3, "n": 2, "echo": echo}
    body |= {"max_tokens": 60, "temperature": 0, "stream_options": {"include_usage": True}}
    body |= {"stop": stop} if stop else {}
    chunks = events(http, "/v1/completions", body)
    del body["stream_options"]
    whole = post(http, "/v1/completions", body)
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2, 3]
    said = 0
    for choice in whole["choices"]:
        before = (prompt, "x")[choice["index"] // 2] if echo else ""
        assert choice["text"] == before + text
        check(choice)
        asked = len(post(http, "/tokenize", {"prompt": before})["tokens"]) if echo else 0
        said += len(choice["logprobs"]["tokens"]) - asked
        mine = [c["choices"][0] for c in chunks if c["choices"] and c["choices"][0]["index"] == choice["index"]]
        assert "".join(c["text"] for c in mine) == choice["text"]
        for name in ("tokens", "text_offset", "token_logprobs"):
            streamed = [value for c in mine for value in c["logprobs"][name]]
            assert streamed == choice["logprobs"][name]
        shown = 0
        for c in mine[:-1]:
            shown += len(c["text"])
            assert all(offset < shown for offset in c["logprobs"]["text_offset"]), "no token before its text"
    assert whole["usage"]["completion_tokens"] == said == chunks[-1]["usage"]["completion_tokens"]


def test_alternatives_have_names_of_their_own(http: httpx.Client) -> None:
    body = {"prompt": "é", "structured_outputs": {"regex": "[你好世界]{3}"}, "logprobs": 20, "max_tokens": 20}
    for top in post(http, "/v1/completions", body)["choices"][0]["logprobs"]["top_logprobs"]:
        assert len(top) >= 20
    tokens = post(http, "/tokenize", {"prompt": "<think>你", "return_token_strs": True})
    assert b"".join(map(raw, tokens["token_strs"])).decode() == "<think>你"


def test_bytes_of_a_chat_are_its_text(http: httpx.Client) -> None:
    body = {**CHAT, "structured_outputs": {"regex": SPLIT}, "logprobs": True, "top_logprobs": 2, "n": 2}
    reply = post(http, "/v1/chat/completions", body)
    total = 0
    for choice in reply["choices"]:
        tokens = choice["logprobs"]["content"]
        total += len(tokens)
        text = bytes(byte for token in tokens for byte in token["bytes"]).decode()
        thought, _, said = text.partition("</think>")
        assert choice["message"]["reasoning_content"] == thought.strip("\n")
        assert said.removesuffix("<｜end▁of▁sentence｜>") == choice["message"]["content"] == SPLIT
        thinking = [token["token"] for token in tokens].index("</think>") + 1
    assert reply["usage"]["completion_tokens"] == total
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] == 2 * thinking
    answered = post(http, "/v1/responses", {"input": "What is 12 + 30?", "temperature": 0})["usage"]
    assert answered["output_tokens_details"]["reasoning_tokens"] == thinking


@pytest.mark.parametrize(("limit", "last"), [(10, "reasoning"), (44, "message")])
def test_what_was_cut_says_so(http: httpx.Client, limit: int, last: str) -> None:
    body = {"input": "What is 12 + 30?", "temperature": 0, "max_output_tokens": limit}
    reply = post(http, "/v1/responses", body)
    assert reply["status"] == "incomplete" and reply["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in reply["output"]][-1] == "incomplete"
    assert all(item["status"] == "completed" for item in reply["output"][:-1])
    assert reply["output"][-1]["type"] == last and reply["output"][-1]["content"][0]["text"]
    stream = events(http, "/v1/responses", body)
    done = [event["item"] for event in stream if event["type"] == "response.output_item.done"]
    assert [item["status"] for item in done] == [item["status"] for item in reply["output"]]
    assert stream[-1]["type"] == "response.incomplete"
    assert [item["id"] for item in stream[-1]["response"]["output"]] == [item["id"] for item in done]
    whole = post(http, "/v1/responses", {**body, "max_output_tokens": 300})
    assert whole["status"] == "completed" and {item["status"] for item in whole["output"]} == {"completed"}


def test_a_call_that_a_stop_string_cuts_is_none_to_carry_out(http: httpx.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Ulm"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    body = {**CHAT, "tools": [tool], "tool_choice": "required", "stop": ["Ul"]}
    choice = post(http, "/v1/chat/completions", body)["choices"][0]
    assert choice["finish_reason"] == "stop" and choice["stop_reason"] == "Ul"
    assert post(http, "/v1/chat/completions", {**body, "stop": ["Bonn"]})["choices"][0]["finish_reason"] == "tool_calls"
