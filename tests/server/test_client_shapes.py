"""Requests as other people's clients send them: served, or refused by a message that names the field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from server_fixture import Running, server

CHAT, RESPONSES, MESSAGES, COMPLETIONS = "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions"
ASK = [{"role": "user", "content": "What is 3+4?"}]
SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"], "additionalProperties": False}
EPHEMERAL = {"type": "ephemeral"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": "1"}'}}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    running: Running
    with server(max_seqs=4, cache_tokens=8192) as running, httpx.Client(base_url=running.url, timeout=300) as client:
        yield client


def chat(*messages: dict[str, Any], **fields: Any) -> tuple[str, dict[str, Any]]:
    return CHAT, {"messages": [*ASK, *messages, *ASK] if messages else ASK, "max_tokens": 2, **fields}


def echoed(**fields: Any) -> tuple[str, dict[str, Any]]:
    return chat({"role": "assistant", "content": "7", **fields})


def called(**fields: Any) -> tuple[str, dict[str, Any]]:
    turn = {"role": "assistant", "content": None, "tool_calls": [{**CALL, **fields}]}
    return chat(turn, {"role": "tool", "tool_call_id": "call_1", "content": "7", "name": "f"})


def responses(*items: dict[str, Any], **fields: Any) -> tuple[str, dict[str, Any]]:
    return RESPONSES, {"input": [*ASK, *items, *ASK] if items else ASK, "max_output_tokens": 2, **fields}


def messages(*turns: dict[str, Any], **fields: Any) -> tuple[str, dict[str, Any]]:
    return MESSAGES, {"messages": [*ASK, *turns], "max_tokens": 2, **fields}


def tool(**fields: Any) -> tuple[str, dict[str, Any]]:
    return messages(tools=[{"name": "f", "description": "F.", "input_schema": SCHEMA, **fields}])


def count(**fields: Any) -> tuple[str, dict[str, Any]]:
    return MESSAGES + "/count_tokens", {"messages": ASK, **fields}


CLAUDE_CODE = messages(
    {"role": "system", "content": [{"type": "text", "text": "# Environment", "cache_control": EPHEMERAL}]},
    {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
    ]},
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "7", "is_error": False,
         "cache_control": EPHEMERAL},
        {"type": "text", "text": "And now?"},
    ]},
    model="nano",
    system=[{"type": "text", "text": "You add."}, {"type": "text", "text": "Well.", "cache_control": EPHEMERAL}],
    tools=[{"name": "f", "description": "F.", "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema",
            **SCHEMA}}],
    metadata={"user_id": '{"device_id":"1"}'},
    thinking={"type": "adaptive", "display": "omitted"},
    context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    output_config={"effort": "high"},
    stream=True,
)  # fmt: skip
CODEX = responses(
    {"type": "message", "id": "msg_1", "role": "developer", "content": [{"type": "input_text", "text": "You add."}]},
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}],
     "encrypted_content": None},
    {"type": "function_call", "status": "completed", "id": "fc_1", "name": "close", "namespace": "agents",
     "arguments": "{}", "call_id": "call_1"},
    {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "closed"},
    model="nano",
    tools=[
        {"type": "function", "name": "exec", "description": "Runs.", "strict": False, "parameters": SCHEMA},
        {"type": "namespace", "name": "agents", "description": "Agents.", "tools": [
            {"type": "function", "name": "close", "description": "Ends one.", "strict": False, "parameters": SCHEMA}]},
    ],
    tool_choice="auto",
    parallel_tool_calls=True,
    reasoning={"summary": "auto"},
    store=False,
    include=["reasoning.encrypted_content"],
    prompt_cache_key="1",
    client_metadata={"session_id": "1"},
    stream=True,
)  # fmt: skip
SERVED = {
    "Claude Code": CLAUDE_CODE,
    "Codex": CODEX,
    "LiteLLM's second turn": echoed(reasoning_content="3+4", provider_specific_fields={"reasoning": "3+4"}),
    "LiteLLM's dump": echoed(function_call=None, images=[], thinking_blocks=[{"type": "thinking", "thinking": "3+4"}]),
    "openai's dump": echoed(refusal=None, annotations=[], audio=None, function_call=None, tool_calls=None),
    "openai's parsed": echoed(parsed={"x": "1"}, refusal=None),
    "openai's parsed call": called(function={**CALL["function"], "parsed_arguments": {"x": "1"}}, index=0),
    "a call without arguments": called(function={"name": "f", "arguments": ""}),
    "LiteLLM's call": called(provider_specific_fields={}),
    "names": chat({"role": "system", "content": "a", "name": "s"}, {"role": "user", "content": "a", "name": "bob"},
                  {"role": "assistant", "content": "a", "name": "amy"}),
    "cache marks": chat({"role": "user", "content": [{"type": "text", "text": "a", "cache_control": EPHEMERAL}]},
                        cache_control={**EPHEMERAL, "ttl": "1h"}, prompt_cache_retention="24h"),
    "a marked tool": chat(tools=[{"type": "function", "function": {"name": "f", "parameters": SCHEMA},
                                  "cache_control": EPHEMERAL}]),
    "advice": chat(reasoning_effort="low", verbosity="low", modalities=["text"], service_tier="auto", user="u",
                   store=False, metadata={"a": "b"}, parallel_tool_calls=True),
    "nulls": chat(audio=None, functions=None, function_call=None, prediction=None, web_search_options=None),
    "agents SDK": responses(include=[], tools=[]),
    "agents SDK, settings": responses(truncation="disabled", text={"verbosity": "low"}, reasoning={"effort": "low"},
                                      top_logprobs=0, parallel_tool_calls=True),
    "agents SDK, second turn": responses(
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "phase": "final_answer",
         "content": [{"type": "output_text", "text": "7", "annotations": [], "logprobs": []}]}),
    "LiteLLM's bridge": responses(
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "7"}]}),
    "inspect's first request": responses(reasoning={"effort": "low", "summary": "auto"}),
    "responses, stream options": responses(stream=True, stream_options={"include_usage": True}),
    "responses, nulls": responses(previous_response_id=None, conversation=None, prompt=None, max_tool_calls=3),
    "a budget": messages(thinking={"type": "enabled", "budget_tokens": 1024}),
    "effort": messages(output_config={"effort": "low"}, speed="standard", cache_control=EPHEMERAL),
    "a strict tool": tool(strict=True, cache_control=EPHEMERAL, eager_input_streaming=True, defer_loading=False),
    "a tool without parameters": messages(tools=[{"name": "f", "input_schema": {"type": "object"}}]),
    "redacted thinking": messages(
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "7"}]},
        *ASK),
    "count like Claude Code": count(
        system=[{"type": "text", "text": "a", "cache_control": EPHEMERAL}], cache_control=EPHEMERAL,
        tools=[{"name": "f", "input_schema": SCHEMA, "strict": True}], tool_choice={"type": "auto"},
        thinking={"type": "enabled", "budget_tokens": 1024}, output_config={"effort": "high"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVED)
def test_served(http: httpx.Client, name: str) -> None:
    path, body = SERVED[name]
    reply = http.post(path, json=body)
    assert reply.status_code == 200 and "_error" not in reply.text, reply.text


REFUSED = {
    "web search": (responses(tools=[{"type": "web_search", "external_web_access": True}]), "tools.0.type"),
    "an item by its id": (responses({"type": "item_reference", "id": "1"}), "input.1.type"),
    "encrypted thinking": (responses({"type": "reasoning", "encrypted_content": "x"}), "input.1.encrypted_content"),
    "log-probabilities": (responses(include=["message.output_text.logprobs"]), "include.0"),
    "no thinking": (responses(reasoning={"effort": "none"}), "reasoning.effort"),
    "a truncated input": (responses(truncation="auto"), "truncation"),
    "an image": (chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}),
                 "messages.1.content.0.type"),
    "a refusal": (echoed(refusal="no"), "messages.1.refusal"),
    "an unknown field inside": (echoed(mood="good"), "messages.1.mood"),
    "old functions": (chat(functions=[{"name": "f"}]), "functions"),
    "an audio answer": (chat(modalities=["audio"]), "modalities.0"),
}  # fmt: skip
REFUSED_MESSAGES = {
    "a document": (messages({"role": "user", "content": [{"type": "document", "source": {}}]}),
                   "messages.1.content.0.type"),
    "an image in a result": (
        messages({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "image", "source": {}}]}]}),
        "messages.1.content.0.content.0.type"),
    "a server's tool": (tool(type="web_search_20250305"), "tools.0.type"),
    "a late tool": (tool(defer_loading=True), "tools.0.defer_loading"),
    "cleared tool results": (messages(context_management={"edits": [{"type": "clear_tool_uses_20250919"}]}),
                             "context_management.edits.0.type"),
    "a container": (messages(container={"id": "1"}), "container"),
    "a small budget": (messages(thinking={"type": "enabled", "budget_tokens": 9}), "thinking.budget_tokens"),
    "a task's budget": (messages(output_config={"task_budget": {}}), "output_config.task_budget"),
    "a count": (count(temperature=1), "temperature"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(http: httpx.Client, name: str) -> None:
    (path, body), field = REFUSED[name]
    error = http.post(path, json=body).json()["error"]
    assert error["param"] == field and error["message"].startswith(field)


@pytest.mark.parametrize("name", REFUSED_MESSAGES)
def test_refused_by_name_in_anthropics_api(http: httpx.Client, name: str) -> None:
    (path, body), field = REFUSED_MESSAGES[name]
    reply = http.post(path, json=body)
    assert reply.status_code == 400 and reply.json()["error"]["message"].startswith(field), reply.text


def test_a_thread_is_refused_so_that_the_tool_runner_goes_on_without(http: httpx.Client) -> None:
    path, body = messages(thread={"type": "create"})
    error = http.post(path, json=body).json()["error"]
    assert error["message"].startswith("thread ")
    assert error["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


def test_hidden_thinking(http: httpx.Client) -> None:
    path, body = messages(thinking={"type": "adaptive", "display": "omitted"}, max_tokens=300, temperature=0)
    reply = http.post(path, json=body).json()
    thinking, text = reply["content"]
    assert thinking["thinking"] == "" and "7" in text["text"] and reply["usage"]["output_tokens"] > 20
    events = http.post(path, json={**body, "stream": True}).text
    assert '"thinking"' in events and "thinking_delta" not in events and "text_delta" in events


def test_thinking_is_signed_so_that_clients_send_it_back_as_thinking(http: httpx.Client) -> None:
    path, body = messages(max_tokens=300, temperature=0)
    thinking = http.post(path, json=body).json()["content"][0]
    assert thinking["type"] == "thinking" and thinking["signature"]
    text = http.post(path, json={**body, "stream": True}).text
    deltas = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ") and '"index": 0' in line]
    assert deltas[-1]["type"] == "content_block_stop"
    assert deltas[-2]["delta"] == {"type": "signature_delta", "signature": thinking["signature"]}
    again = [*body["messages"], {"role": "assistant", "content": [thinking, {"type": "text", "text": "7"}]}]
    more = {**body, "messages": [*again, {"role": "user", "content": "Now add 15."}]}
    assert http.post(path, json=more).status_code == 200


def test_a_prompt_is_read_into_the_cache(http: httpx.Client) -> None:
    path, body = messages(system="a b c " * 100, max_tokens=0)
    reply = http.post(path, json=body).json()
    assert (reply["content"], reply["stop_reason"], reply["usage"]["output_tokens"]) == ([], "max_tokens", 0)
    assert http.post(path, json={**body, "max_tokens": 1}).json()["usage"]["cache_read_input_tokens"] >= 64
    assert http.post(path, json={**body, "stream": True}).status_code == 400


def test_an_answer_by_schema_in_anthropics_api(http: httpx.Client) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "boolean"}}, "required": ["n"]}
    form = {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}
    for fields in ({"output_config": {"format": form}}, {"output_format": form}):
        path, body = messages(max_tokens=400, temperature=0, **fields)
        reply = http.post(path, json=body).json()
        assert isinstance(json.loads(reply["content"][-1]["text"])["n"], bool)
    path, body = messages(output_config={"format": form}, output_format={**form, "schema": schema})
    assert "output_format: is output_config.format by its older name" in http.post(path, json=body).text


@pytest.mark.parametrize("words", [["yes\n", 'no "so"', "größer"], ["\x7f</think>"]])
def test_one_of_a_choice(http: httpx.Client, words: list[str]) -> None:
    for path, body in (chat(max_tokens=300), (COMPLETIONS, {"prompt": "1+1=", "max_tokens": 30})):
        reply = http.post(path, json={**body, "structured_outputs": {"choice": words}}).json()["choices"][0]
        assert (reply.get("text") or reply["message"]["content"]) in words


def test_the_prompt_alone(http: httpx.Client) -> None:
    body = {"prompt": "1+1=2", "max_tokens": 0, "echo": True, "logprobs": 1}
    reply = http.post(COMPLETIONS, json=body).json()
    (choice,) = reply["choices"]
    assert (
        choice["text"] == "1+1=2" and choice["finish_reason"] == "length" and reply["usage"]["completion_tokens"] == 0
    )
    longer = http.post(COMPLETIONS, json={**body, "max_tokens": 1}).json()["choices"][0]["logprobs"]
    assert choice["logprobs"]["token_logprobs"] == longer["token_logprobs"][:-1]
    streamed = http.post(COMPLETIONS, json={**body, "stream": True}).text
    assert streamed.count("data: ") == 2 and '"text":"1+1=2"' in streamed
    refused = http.post(COMPLETIONS, json={**body, "echo": False})
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "max_tokens"


def test_a_call_names_its_namespace(http: httpx.Client) -> None:
    _, body = CODEX
    choice = {"type": "function", "name": "close"}
    reply = http.post(RESPONSES, json={**body, "stream": False, "tool_choice": choice, "max_output_tokens": 300}).json()
    (call,) = (item for item in reply["output"] if item["type"] == "function_call")
    assert (call["namespace"], call["name"]) == ("agents", "close")
