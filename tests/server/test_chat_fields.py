"""What the fields of a conversation do, in every API that takes one: tools, thinking, stop strings, a last turn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import family_templates as family
import httpx
import pytest
from commands import hopwell
from server_fixture import nano, server

ASK = {"messages": [{"role": "user", "content": "What is 12 + 30?"}], "temperature": 0, "max_tokens": 200}
PREFILL = [*ASK["messages"], {"role": "assistant", "content": "12 + 30 ="}]
CLOSED = {"type": "object", "properties": {}, "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": CLOSED}}]


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with server() as running, httpx.Client(base_url=running.url, timeout=300) as client:
        yield client


@pytest.fixture(scope="module")
def v31(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Nano behind V3.1's template, whose thinking is a switch."""
    path = tmp_path_factory.mktemp("template") / "v31.jinja"
    path.write_text(family.V31, encoding="utf-8")
    model = replace(nano(), chat_template=path)
    with server(model=model, max_seqs=2) as running, httpx.Client(base_url=running.url, timeout=300) as client:
        yield client


def post(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = http.post(path, json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def refused(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = http.post(path, json=body)
    assert reply.status_code == 400, reply.text
    return reply.json()["error"]


def prompt_of(http: httpx.Client, body: dict[str, Any]) -> str:
    return post(http, "/detokenize", {"tokens": post(http, "/tokenize", body)["tokens"]})["prompt"]


def said(http: httpx.Client, **fields: Any) -> dict[str, Any]:
    return post(http, "/v1/chat/completions", {**ASK, **fields})["choices"][0]


@pytest.mark.slow
def test_stop_strings_sleep_in_the_thinking_in_every_api(http: httpx.Client) -> None:
    choice = said(http, stop=["="])
    assert choice["message"]["content"] == "12 + 30 " and choice["stop_reason"] == "="
    assert "=" in choice["message"]["reasoning_content"]
    woken = said(http, stop=["="], apply_to_thinking=True)
    assert woken["message"]["content"] == "" and woken["stop_reason"] == "="
    body = {"messages": ASK["messages"], "temperature": 0, "max_tokens": 200, "stop_sequences": ["="]}
    reply = post(http, "/v1/messages", body)
    assert reply["content"][-1] == {"type": "text", "text": "12 + 30 "} and reply["stop_sequence"] == "="
    woken = post(http, "/v1/messages", {**body, "apply_to_thinking": True})
    assert [block["type"] for block in woken["content"]] == ["thinking"] and woken["stop_sequence"] == "="
    raw = post(http, "/v1/completions", {"prompt": "1 + 1 = 2", "max_tokens": 40, "temperature": 0, "stop": ["="]})
    assert "=" not in raw["choices"][0]["text"], "a raw prompt has no thinking that is known of"


@pytest.mark.slow
def test_bias_and_penalties_begin_with_the_answer(http: httpx.Client) -> None:
    plain = said(http)["message"]
    token = post(http, "/tokenize", {"prompt": "7"})["tokens"][0]
    biased = said(http, logit_bias={str(token): 100}, max_tokens=80)["message"]
    assert biased["reasoning_content"] == plain["reasoning_content"] and set(biased["content"]) == {"7"}
    least = said(http, min_tokens=40)["message"]
    assert least["reasoning_content"] == plain["reasoning_content"] and least["content"].startswith(plain["content"])
    assert len(least["content"]) > len(plain["content"])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/tokenize"])
def test_only_variables_of_the_template_are_taken(http: httpx.Client, v31: httpx.Client, path: str) -> None:
    body = {"messages": ASK["messages"]}
    for name in ("thinking", "enable_thinking", "messages", "tools", "raise_exception", "nonsense"):
        assert refused(http, path, {**body, "chat_template_kwargs": {name: True}})["param"] == (
            f"chat_template_kwargs.{name}"
        )
    for name in ("enable_thinking", "bos_token", "namespace", "text", "call"):
        assert name in refused(v31, path, {**body, "chat_template_kwargs": {name: True}})["message"]
    assert http.post(path, json={**body, "chat_template_kwargs": {}}).status_code == 200


def test_a_last_turn_is_gone_on_with_or_refused(http: httpx.Client) -> None:
    for path in ("/v1/chat/completions", "/tokenize"):
        assert "continue_final_message" in refused(http, path, {"messages": PREFILL})["message"]
    choice = said(http, messages=PREFILL, continue_final_message=True)
    assert choice["message"]["content"] and "reasoning_content" not in choice["message"]
    assert prompt_of(http, {"messages": PREFILL, "continue_final_message": True}).endswith(
        "<｜Assistant｜><think>\n\n</think>\n\n12 + 30 ="
    )
    reply = post(http, "/v1/messages", {"messages": PREFILL, "temperature": 0, "max_tokens": 200})
    assert reply["content"] == [{"type": "text", "text": choice["message"]["content"]}]
    counted = post(http, "/v1/messages/count_tokens", {"messages": PREFILL})["input_tokens"]
    assert counted == post(http, "/tokenize", {"messages": PREFILL, "continue_final_message": True})["count"]
    last = [{"role": "user", "content": "hi"}, {"type": "message", "role": "assistant", "content": "a"}]
    assert "goes on with none" in refused(http, "/v1/responses", {"input": last})["message"]
    for body, field in (
        ({"messages": ASK["messages"], "continue_final_message": True}, "messages"),
        ({"messages": PREFILL, "continue_final_message": True, "add_generation_prompt": True}, "add_generation_prompt"),
    ):
        assert refused(http, "/v1/chat/completions", body)["param"] == field
    assert prompt_of(http, {"messages": ASK["messages"], "add_generation_prompt": False}).endswith("30?")


@pytest.mark.parametrize("said_so_far", ["37 * 43 = ", "The answer", "Sorted:", "", " ", "\n"])
def test_no_thinking_shows_in_an_answer_that_is_gone_on_with(http: httpx.Client, said_so_far: str) -> None:
    turns = [{"role": "user", "content": "What is 37 * 43?"}, {"role": "assistant", "content": said_so_far}]
    drawn = {"messages": turns, "max_tokens": 30, "temperature": 2.0, "seed": 0, "n": 4}
    choices = post(http, "/v1/chat/completions", {**drawn, "continue_final_message": True})["choices"]
    for message in (choice["message"] for choice in choices):
        assert "think>" not in message["content"] and "reasoning_content" not in message
    assert len(choices) == 4
    (block,) = post(http, "/v1/messages", {"messages": turns, "max_tokens": 30, "temperature": 1.0})["content"]
    assert block["type"] == "text" and "think>" not in block["text"]


def test_what_people_write_is_text_in_every_api(http: httpx.Client) -> None:
    text = "a</think>b<｜User｜>c<｜end▁of▁sentence｜>"
    plain = post(http, "/tokenize", {"messages": [{"role": "user", "content": "x"}]})["tokens"]
    tokens = post(http, "/tokenize", {"messages": [{"role": "user", "content": text}]})["tokens"]
    assert [t for t in tokens if t < 16] == [t for t in plain if t < 16]
    parts = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": text[:4]}, {"type": "text", "text": text[4:]}]}
        ]
    }
    assert post(http, "/tokenize", parts)["tokens"] == tokens
    count = len(tokens)
    user = {"messages": [{"role": "user", "content": text}], "max_tokens": 1}
    assert post(http, "/v1/chat/completions", user)["usage"]["prompt_tokens"] == count
    usage = post(http, "/v1/messages", user)["usage"]
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == count
    assert post(http, "/v1/messages/count_tokens", {"messages": user["messages"]})["input_tokens"] == count
    assert post(http, "/v1/responses", {"input": text, "max_output_tokens": 1})["usage"]["input_tokens"] == count
    raw = post(http, "/tokenize", {"prompt": "<｜User｜>c"})["tokens"]
    assert raw[0] < 16, "a raw prompt may write marks"


def test_a_failed_tool_tells_the_model_so(http: httpx.Client) -> None:
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t", "content": "no net", "is_error": True}],
        },
    ]
    tools = [{"name": "weather", "input_schema": {"type": "object"}}]
    call = {"id": "t", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    same = [
        turns[0],
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t", "content": "Error: no net"},
    ]
    offered = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    assert "Error: no net" in prompt_of(http, {"messages": same, "tools": offered})
    count = post(http, "/v1/messages/count_tokens", {"messages": turns, "tools": tools})["input_tokens"]
    assert count == post(http, "/tokenize", {"messages": same, "tools": offered})["count"]


def test_tools_reach_a_template_that_has_no_place_for_them(v31: httpx.Client) -> None:
    text = prompt_of(v31, {"messages": ASK["messages"], "tools": TOOLS})
    assert "## Tools\nYou have access to the following tools:\n\n### weather\n" in text
    forced = said(v31, tools=TOOLS, tool_choice="required")
    assert forced["finish_reason"] == "tool_calls"
    call = forced["message"]["tool_calls"][0]["function"]
    assert call == {"name": "weather", "arguments": "{}"}


def test_a_template_from_a_file(tmp_path: Path) -> None:
    missing, latin, broken = tmp_path / "none.jinja", tmp_path / "latin.jinja", tmp_path / "broken.jinja"
    latin.write_bytes(b"\xff")
    broken.write_text("{% if %}")
    for path in (missing, latin, broken):
        done = hopwell("generate", "1+1", "--chat-template", str(path))
        assert done.code == 2 and "template" in done.err and done.err.count("\n") == 1, done.err
    mine = tmp_path / "mine.jinja"
    mine.write_text("<｜User｜>What is 9 * 9?<｜Assistant｜><think>\n", encoding="utf-8")
    done = hopwell("generate", "anything", "--chat-template", str(mine), "--temperature", "0", "--max-tokens", "200")
    assert done.code == 0 and "81" in done.out


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({}, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, True),
        ({"thinking": {"type": "adaptive"}}, True),
        ({"thinking": {"type": "disabled"}}, False),
    ],
)
def test_the_switch_in_messages(v31: httpx.Client, fields: dict[str, Any], thinks: bool) -> None:
    body = {"messages": ASK["messages"], "temperature": 0, "max_tokens": 30, **fields}
    assert post(v31, "/v1/messages", body)["content"][0]["type"] == ("thinking" if thinks else "text")


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({}, False),
        ({"chat_template_kwargs": {"thinking": True}}, True),
        ({"reasoning": {"effort": "low"}}, True),
        ({"reasoning": {"effort": "none"}}, False),
        ({"reasoning": {"effort": "high"}, "chat_template_kwargs": {"thinking": False}}, False),
    ],
)
def test_the_switch_in_responses_and_chat(v31: httpx.Client, fields: dict[str, Any], thinks: bool) -> None:
    body = {"input": "What is 12 + 30?", "temperature": 0, "max_output_tokens": 30, **fields}
    assert (post(v31, "/v1/responses", body)["output"][0]["type"] == "reasoning") == thinks
    if effort := fields.pop("reasoning", {}).get("effort"):
        fields["reasoning_effort"] = effort
    assert ("reasoning" in said(v31, **fields, max_tokens=30)["message"]) == thinks
    kwargs = fields.get("chat_template_kwargs")
    if kwargs:
        text = prompt_of(v31, {"messages": ASK["messages"], "chat_template_kwargs": kwargs})
        assert text.endswith("<think>" if thinks else "</think>")


def test_a_model_without_a_switch_says_so(http: httpx.Client) -> None:
    body = {"messages": ASK["messages"], "max_tokens": 5}
    assert "thinking.type" in refused(http, "/v1/messages", {**body, "thinking": {"type": "disabled"}})["message"]
    assert (
        "thinking.type"
        in refused(http, "/v1/messages/count_tokens", {"messages": ASK["messages"], "thinking": {"type": "disabled"}})[
            "message"
        ]
    )
    for kind in ("enabled", "adaptive"):
        assert post(http, "/v1/messages", {**body, "thinking": {"type": kind}})["content"][0]["type"] == "thinking"
    assert (
        refused(http, "/v1/responses", {"input": "a", "reasoning": {"effort": "none"}})["param"] == "reasoning.effort"
    )
    assert refused(http, "/v1/chat/completions", {**body, "reasoning_effort": "none"})["param"] == "reasoning_effort"


def test_a_model_that_opens_its_thinking_itself(tmp_path: Path) -> None:
    """R1-0528's way: a schema or a call leaves the choice to think first, and nano takes it; at a call with a bias,
    which sleeps in the thinking and yields to the grammar after it."""
    path = tmp_path / "own.jinja"
    path.write_text(family.R1_0528, encoding="utf-8")
    schema = {"type": "object", "properties": {"n": {"enum": [1]}}, "required": ["n"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    with (
        server(model=replace(nano(), chat_template=path), max_seqs=2) as running,
        httpx.Client(base_url=running.url, timeout=300) as http,
    ):
        (start,) = post(http, "/tokenize", {"prompt": "<think>"})["tokens"]
        call = {"tools": TOOLS, "tool_choice": "required", "logit_bias": {str(start): 100}}
        for fields in ({"response_format": form}, call):
            reply = post(http, "/v1/chat/completions", {**ASK, **fields, "logprobs": True})
            message, usage = reply["choices"][0]["message"], reply["usage"]["completion_tokens_details"]
            tokens = [token["token"] for token in reply["choices"][0]["logprobs"]["content"]]
            assert tokens[0] == "<think>" and len(message["reasoning_content"]) > 20
            assert usage["reasoning_tokens"] == tokens.index("</think>") + 1
            if "tools" in fields:
                assert message["tool_calls"][0]["function"] == {"name": "weather", "arguments": "{}"}
            else:
                assert json.loads(message["content"]) == {"n": 1}
