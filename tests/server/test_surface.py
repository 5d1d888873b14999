"""The surface byte by byte: what benches and dashboards of others read, and bodies as they send them."""

from __future__ import annotations

import gzip
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError
from server_fixture import Running, nano, server

from hopwell.engine.frontend import Frontend
from hopwell.model import NANO
from hopwell.server.errors import invalid
from hopwell.server.protocol.completions import CompletionRequest

ASK = {"messages": [{"role": "user", "content": "What is 3+4?"}], "temperature": 0}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with server(cache_tokens=2048, max_seqs=4, max_model_len=1024) as it:
        yield it


@pytest.fixture
def http(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=300) as client:
        yield client


def chunks(text: str) -> list[dict[str, Any]]:
    """The events of a stream, whose form is checked: `data: JSON`, an empty line each, [DONE] last."""
    events = text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""] and all(re.match(r"data: \S.*\Z", event) for event in events[:-1])
    return [json.loads(event[6:]) for event in events[:-2]]


def test_a_chat_stream_to_the_byte(http: httpx.Client) -> None:
    reply = http.post("/v1/chat/completions", json={**ASK, "stream": True, "stream_options": {"include_usage": True}})
    assert reply.headers["content-type"].startswith("text/event-stream") and reply.headers["x-request-id"]
    *parts, last = chunks(reply.text)
    assert {(part["object"], part["model"], part["id"], part["created"]) for part in [*parts, last]} == {
        ("chat.completion.chunk", "nano", last["id"], last["created"])
    }
    first = parts[0]["choices"][0]["delta"]
    assert first["role"] == "assistant" and first["reasoning_content"] == first["reasoning"] != ""
    assert all("role" not in part["choices"][0]["delta"] for part in parts[1:])
    assert [part["choices"][0]["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + ["stop"]
    assert all("usage" not in part for part in parts)
    assert last["choices"] == [] and last["usage"]["completion_tokens"] >= len(parts)
    whole = http.post("/v1/chat/completions", json=ASK).json()
    assert whole["object"] == "chat.completion" and whole["usage"]["total_tokens"] == last["usage"]["total_tokens"]


def test_a_completions_stream_to_the_byte(http: httpx.Client) -> None:
    body = {"prompt": "1+1=", "max_tokens": 6, "ignore_eos": True, "stream": True, "logprobs": 1, "temperature": 0}
    parts = chunks(http.post("/v1/completions", json={**body, "stream_options": {"include_usage": True}}).text)
    assert {part["object"] for part in parts} == {"text_completion"}
    assert parts[-1]["choices"] == [] and parts[-1]["usage"]["completion_tokens"] == 6
    choices = [part["choices"][0] for part in parts[:-1]]
    assert sum(len(choice["logprobs"]["tokens"]) for choice in choices) == 6
    assert [choice["finish_reason"] for choice in choices][-1] == "length"
    offsets = [at for choice in choices for at in choice["logprobs"]["text_offset"]]
    assert offsets == sorted(offsets) and offsets[0] == 0


CLIENTS = {
    "vllm bench serve": ("/v1/completions", {
        "model": "nano", "prompt": "1+1=", "repetition_penalty": 1.0, "max_tokens": 4, "logprobs": None, "stream": True,
        "stream_options": {"include_usage": True}, "ignore_eos": True, "temperature": 0.0}),
    "vllm bench serve, chat": ("/v1/chat/completions", {
        "model": "nano", "messages": [{"role": "user", "content": [{"type": "text", "text": "1+1="}]}],
        "max_completion_tokens": 4, "stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True}),
    "sglang.bench_serving": ("/v1/completions", {
        "model": "nano", "prompt": "1+1=", "temperature": 0.0, "best_of": 1, "max_tokens": 4, "stream": True,
        "ignore_eos": True}),
    "AIPerf": ("/v1/chat/completions", {
        "model": "nano", "messages": [{"role": "user", "content": "1+1="}], "max_completion_tokens": 4, "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True}, "ignore_eos": True}),
    "GuideLLM": ("/v1/completions", {
        "model": "nano", "prompt": "1+1=", "max_tokens": 4, "stop": None, "ignore_eos": True, "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True}}),
    "evalscope perf": ("/v1/completions", {
        "model": "nano", "prompt": [20, 30, 40], "max_tokens": 4, "min_tokens": 4, "top_k": 20, "n": 1, "seed": 1,
        "repetition_penalty": 1.1, "stop_token_ids": [1], "stream": True, "stream_options": {"include_usage": True}}),
}  # fmt: skip


@pytest.mark.parametrize("name", CLIENTS)
def test_bodies_of_known_clients_are_served(http: httpx.Client, name: str) -> None:
    path, body = CLIENTS[name]
    reply = http.post(path, json=body)
    assert reply.status_code == 200, reply.text
    parts = chunks(reply.text)
    if "stream_options" in body:
        assert parts[-1]["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        ("/v1/chat/completions", {"reasoning_effort": "none"}, "reasoning_effort"),
        ("/v1/chat/completions", {"store": True}, "store"),
        ("/v1/chat/completions", {"audio": {"voice": "x"}}, "audio"),
        ("/v1/chat/completions", {"top_logprobs": 2}, "top_logprobs"),
        ("/v1/chat/completions", {"stream_options": {"include_usage": True}}, "stream_options"),
        ("/v1/chat/completions", {"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ("/v1/chat/completions", {"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs"),
        ("/v1/chat/completions", {"tool_choice": "required"}, "tool_choice"),
        ("/v1/chat/completions", {"n": 129}, "n"),
        ("/v1/chat/completions", {"temperature": 3}, "temperature"),
        ("/v1/chat/completions", {"latency_class": "fast"}, "latency_class"),
        ("/v1/chat/completions", {"cache_hint": "pin"}, "cache_hint"),
        ("/v1/completions", {"prompt": "a", "best_of": 2}, "best_of"),
        ("/v1/completions", {"prompt": "a", "suffix": "b"}, "suffix"),
        ("/v1/completions", {"prompt": "a", "cache_salt": "mine"}, "cache_salt"),
        ("/v1/responses", {"input": "a", "previous_response_id": "resp_1"}, "previous_response_id"),
        ("/v1/responses", {"input": "a", "background": True}, "background"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    http: httpx.Client, path: str, change: dict[str, Any], param: str
) -> None:
    body = {**ASK, **change} if "chat" in path else change
    reply = http.post(path, json=body)
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error["param"].split(".")[0] == param and error["type"] == "invalid_request_error" and error["message"]


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/v1/chat/completions", {**ASK, "store": True}, "store: only false is supported by this server"),
        ("/v1/completions", {"prompt": "a", "best_of": 2}, "best_of: only 1 is supported by this server"),
        ("/v1/completions", {"prompt": "a", "suffix": "b"}, "suffix: only '' is supported by this server"),
        (
            "/v1/responses",
            {"input": "a", "truncation": "auto"},
            "truncation: only 'disabled' is supported by this server",
        ),
        (
            "/v1/responses",
            {"input": "a", "conversation": "c"},
            "conversation is not supported by this server; remove it",
        ),
    ],
)
def test_refusals_speak_of_json_and_not_of_python(
    http: httpx.Client, path: str, body: dict[str, Any], told: str
) -> None:
    assert http.post(path, json=body).json()["error"]["message"] == told


def test_errors_of_anthropics_api_have_its_shape(http: httpx.Client) -> None:
    reply = http.post("/v1/messages", json={"messages": [], "max_tokens": 1})
    assert reply.status_code == 400
    assert reply.json()["type"] == "error" and reply.json()["error"]["type"] == "invalid_request_error"
    assert http.get("/nowhere").json()["error"]["type"] == "not_found_error"


def test_more_than_one_name(running: Running, http: httpx.Client) -> None:
    running.service.names = ("nano", "small", "small:latest")
    try:
        assert [card["id"] for card in http.get("/v1/models").json()["data"]] == ["nano", "small", "small:latest"]
        assert http.get("/v1/models/small:latest").json()["id"] == "small:latest"
        for path, body in (
            ("/v1/chat/completions", {**ASK, "max_tokens": 1}),
            ("/v1/completions", {"prompt": "1", "max_tokens": 1}),
            ("/v1/responses", {"input": "1", "max_output_tokens": 1}),
            ("/v1/messages", {"messages": ASK["messages"], "max_tokens": 1}),
        ):
            assert http.post(path, json={**body, "model": "small"}).json()["model"] == "small", path
            assert http.post(path, json=body).json()["model"] == "nano", path
            assert http.post(path, json={**body, "model": "large"}).status_code == 404, path
    finally:
        running.service.names = ("nano",)


LONG = "1+" * 800
OVERFLOW = {
    "/v1/chat/completions": ({"messages": [{"role": "user", "content": LONG}]}, "messages"),
    "/v1/completions": ({"prompt": LONG}, "prompt"),
    "/v1/responses": ({"input": LONG}, "input"),
}


@pytest.mark.parametrize("path", OVERFLOW)
def test_an_overflow_is_worded_as_openais_clients_look_for_it(http: httpx.Client, path: str) -> None:
    body, field = OVERFLOW[path]
    error = http.post(path, json=body).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", field)
    assert re.match(r"This model's maximum context length is 1024 tokens\. However, .* \d{4} tokens", error["message"])
    limit = "max_output_tokens" if "responses" in path else "max_tokens"
    shorter = {**body, field: "1" if isinstance(body[field], str) else ASK["messages"], limit: 5000}
    error = http.post(path, json=shorter).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", limit)
    assert re.search(r"1024 tokens.*you requested (\d+) tokens \(\d+ in the messages, 5000 in the", error["message"])


def test_an_answer_whose_length_nobody_gave_is_as_long_as_the_context_lets_it(http: httpx.Client) -> None:
    prompts = [[5] * 1020, [5] * 1000]
    for body in ({}, {"ignore_eos": True}):
        reply = http.post("/v1/completions", json={"prompt": prompts, **body})
        assert reply.status_code == 200, reply.text
    assert reply.json()["usage"]["completion_tokens"] == 4 + 16
    for extra in (0, 1):
        error = http.post("/v1/completions", json={"prompt": [5] * (1024 + extra)}).json()["error"]
        assert (error["code"], error["param"]) == ("context_length_exceeded", "prompt")


def test_an_overflow_is_worded_as_anthropics_clients_look_for_it(http: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": LONG}], "max_tokens": 10}
    message = http.post("/v1/messages", json=body).json()["error"]["message"]
    assert re.fullmatch(r"prompt is too long: \d{4} tokens > 1024 maximum", message)
    message = http.post("/v1/messages", json={**ASK, "max_tokens": 5000}).json()["error"]["message"]
    assert re.match(r"input length and `max_tokens` exceed context limit: \d+ \+ 5000 > 1024, decrease", message)


BAD = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
     "messages.0.content.0"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "x": 1}]}]},
     "messages.0.content.0.x"),
    ("/v1/chat/completions", {"messages": [{"role": "assistant", "content": "a", "x": 1}]}, "messages.0.x"),
    ("/v1/chat/completions", {"messages": [{"role": "narrator", "content": "a"}]}, "messages.0.role"),
    ("/v1/chat/completions", {"messages": [{"content": "a"}]}, "messages.0.role"),
    ("/v1/chat/completions", {"messages": [{"role": "user"}]}, "messages.0.content"),
    ("/v1/chat/completions", {**ASK, "stop": [""]}, "stop.0"),
    ("/v1/chat/completions", {**ASK, "logit_bias": {"a": 1}}, "logit_bias.a"),
    ("/v1/chat/completions", {**ASK, "logit_bias": {"05": 1, "5": 2}}, "logit_bias.05"),
    ("/v1/completions", {"prompt": "a", "logit_bias": {"00": 1}}, "logit_bias.00"),
    ("/v1/chat/completions", {**ASK, "tools": [{"type": "function", "function": {"name": "f", "parameters":
     {"type": "string"}}}]}, "tools.0.function.parameters"),
    ("/v1/responses", {"input": "a", "tools": [{"type": "function", "name": "f", "parameters": {"type": ["array"]}}]},
     "tools.0.parameters"),
    ("/v1/chat/completions", {**ASK, "tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
    ("/v1/chat/completions", {**ASK, "response_format": {"type": "xml"}}, "response_format.type"),
    ("/v1/completions", {"prompt": [1, "a"]}, "prompt"),
    ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
     "input.0.content.0"),
    ("/v1/responses", {"input": "a", "text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
    ("/tokenize", {"messages": [{"role": "user", "content": 1}]}, "messages.0.content"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "field"), BAD)
def test_a_refusal_names_the_field_by_its_place_in_the_body(
    http: httpx.Client, path: str, body: dict[str, Any], field: str
) -> None:
    error = http.post(path, json=body).json()["error"]
    assert error["param"].startswith(field) and error["message"].startswith(error["param"])


def test_a_refusal_is_logged_with_its_reason_and_none_of_the_text(
    http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hopwell.server")
    secret = {"messages": [{"role": "user", "content": "secret words"}], "secret words": 1}
    for body in (secret, {**secret, "temperature": 9}, {**ASK, "model": "secret words"}, {**ASK, "top_k": "secret"}):
        assert http.post("/v1/chat/completions", json=body).status_code in (400, 404)
    told = [record.msg for record in caplog.records if record.msg["event"] == "request"]
    lines = [
        line for line in told if line["path"] == "/v1/chat/completions"
    ]  # the last test's may come after its reply
    assert [(line["code"], line["param"]) for line in lines] == [
        ("unsupported_parameter", "(a name that is not plain)"),
        ("invalid_value", "temperature"),
        ("model_not_found", "model"),
        ("invalid_value", "top_k"),
    ]
    assert lines[1]["kind"] == "less_than_equal" and "secret" not in repr(lines)


def test_whoever_names_no_sampling_gets_what_the_models_authors_advise() -> None:
    advised = replace(nano(), default_params=Frontend.open(NANO).default_params)  # the other servers here are greedy
    body = {"input": "a", "max_output_tokens": 1}
    with server(model=advised, max_seqs=1) as running, httpx.Client(base_url=running.url, timeout=300) as http:
        for more, drawn_at in (({}, (0.6, 0.95)), ({"temperature": 0}, (0.0, 0.95)), ({"top_p": 1}, (0.6, 1.0))):
            reply = http.post("/v1/responses", json={**body, **more}).json()
            assert (reply["temperature"], reply["top_p"]) == drawn_at


@pytest.mark.parametrize(
    ("prompt", "param", "says"),
    [
        ([1, 2, -5], "prompt.2", "prompt.2: -5 is no token id; give whole numbers from 0"),
        ([1, "a"], "prompt.1", "prompt.1: 'a' is no token id"),
        ([[1], [2, 0.5]], "prompt.1.1", "prompt.1.1: 0.5 is no token id"),
        ([], "prompt", "prompt: Value should have at least 1 item"),
        ([[]], "prompt.0", "prompt.0: Value should have at least 1 item"),
        (["a", 1], "prompt.1", "prompt.1: Input should be a valid string"),
        (7, "prompt", "prompt: Input should be a string, a list of strings, token ids or a list of lists of them"),
    ],
)
def test_a_prompt_is_told_what_it_was_meant_to_be(prompt: object, param: str, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CompletionRequest.model_validate({"prompt": prompt})
    fault = invalid(caught.value.errors(), {"prompt": prompt})
    assert fault.param == param and fault.message.startswith(says)


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("chat/completions", {"stop": ["a"] * 17}, "stop: List should have at most 16 items"),
        ("chat/completions", {"stop": 5}, "stop: Input should be a string or a list of strings"),
        ("chat/completions", {"stop": ""}, "stop: String should have at least 1 character"),
        ("chat/completions", {"stop": ["a", 5]}, "stop.1: Input should be a valid string"),
        ("chat/completions", {"messages": [{"role": "user", "content": 5}]},
         "messages.0.content: Input should be a string or a list of objects"),
        ("messages", {"system": 5}, "system: Input should be a string or a list of objects"),
        ("messages", {"stop_sequences": ["a"] * 17}, "stop_sequences: List should have at most 16 items"),
        ("responses", {"input": 5}, "input: Input should be a string or a list of objects"),
        ("responses", {"input": []}, "input: List should have at least 1 item"),
    ],
)  # fmt: skip
def test_of_several_types_none_is_passed_over(http: httpx.Client, path: str, body: dict[str, Any], says: str) -> None:
    asked = {} if path == "responses" else {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
    reply = http.post(f"/v1/{path}", json={**asked, **body})
    error = reply.json()["error"]
    assert reply.status_code == 400 and error["message"].startswith(says)
    assert path == "messages" or error["param"] == says.partition(":")[0]


def test_a_parameter_of_the_address_is_named(http: httpx.Client) -> None:
    reply = http.get("/v1/limits", params={"engine": "x"})
    error = reply.json()["error"]
    assert reply.status_code == 400 and error["param"] == "engine" and error["message"].startswith("engine: ")


def test_the_structured_example_of_the_docs_ends_by_itself(http: httpx.Client) -> None:
    page = (Path(__file__).parents[2] / "docs/serving.md").read_text(encoding="utf-8")
    body = json.loads(page.partition("```json\n")[2].partition("```")[0])
    (choice,) = http.post("/v1/chat/completions", json={**body, "temperature": 0}).json()["choices"]
    answer = json.loads(choice["message"]["content"])
    assert choice["finish_reason"] == "stop" and answer["unit"] in ("mm", "cm", "m", "km")
    schema = body["response_format"]["json_schema"]["schema"]
    assert all({"enum", "maxLength", "maximum"} & part.keys() for part in schema["properties"].values())


@pytest.mark.parametrize("body", [[], "a", 7, True])
def test_a_body_that_is_no_object_is_told_so(http: httpx.Client, body: object) -> None:
    error = http.post("/v1/completions", json=body).json()["error"]
    assert error["message"].startswith("the body is ") and error["message"].endswith("; give a JSON object")


def test_models_and_settings(http: httpx.Client) -> None:
    (card,) = http.get("/v1/models").json()["data"]
    assert card["id"] == "nano" and card["object"] == "model" and card["root"] and card["max_model_len"] == 1024
    info = http.get("/get_server_info").json()
    assert info["settings"]["max_seqs"] == 4 and info["internal_states"][0]["avg_spec_accept_length"] >= 1
    assert isinstance(info["batch_invariant"], bool)
    settings = info["settings"]
    assert settings["max_model_len"] == 1024 and settings["cache_tokens"] >= 1024 and settings["cache_tokens"] % 64 == 0
    assert settings["cache_dtype"] in ("bfloat16", "float32") and settings["activations"] == settings["cache_dtype"]
    assert settings["tp"] == settings["ep"] == 1 and not settings["dp_attention"]
    assert not settings["graphs"] and not settings["hold_prompts"], "in force on a CPU, under objective latency"
    assert settings["batch_invariant"] == info["batch_invariant"]
    assert http.get("/health").status_code == http.get("/ready").status_code == 200


def test_tokens_there_and_back(http: httpx.Client) -> None:
    told = http.post("/tokenize", json={"prompt": "What is 3+4?", "return_token_strs": True}).json()
    assert told["count"] == len(told["tokens"]) == len(told["token_strs"]) and told["max_model_len"] == 1024
    assert http.post("/detokenize", json={"tokens": told["tokens"]}).json()["prompt"] == "What is 3+4?"
    chat = http.post("/tokenize", json={"messages": ASK["messages"]}).json()
    usage = http.post("/v1/chat/completions", json={**ASK, "max_tokens": 1}).json()["usage"]
    assert chat["count"] == usage["prompt_tokens"]


def test_metrics_follow_what_happens(http: httpx.Client) -> None:
    def read() -> dict[str, float]:
        text = http.get("/metrics").text
        return {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}

    http.post("/flush_cache", json={})
    before = read()
    long = [f"{i} and " * 300 for i in range(3)]  # together more than the cache of 2,048 tokens
    for prompt in [*long, long[0], "short", "short"]:
        assert http.post("/v1/completions", json={"prompt": prompt, "max_tokens": 8}).status_code == 200
    after = read()

    def gained(name: str) -> float:
        return after[name] - before[name]

    for own, alias in (
        ("hopwell_prompt_tokens_total", "vllm:prompt_tokens_total"),
        ("hopwell_generated_tokens_total", "vllm:generation_tokens_total"),
        ("hopwell_cache_lookup_tokens_total", "vllm:prefix_cache_queries_total"),
        ("hopwell_draft_steps_total", "vllm:spec_decode_num_drafts_total"),
        ("hopwell_drafted_tokens_total", "vllm:spec_decode_num_draft_tokens_total"),
        ("hopwell_ttft_seconds_count", "vllm:time_to_first_token_seconds_count"),
        ("hopwell_itl_seconds_count", "vllm:inter_token_latency_seconds_count"),
    ):
        assert gained(own) == gained(alias) > 0, own
    for name in (
        *("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"),
        *("vllm:spec_decode_num_accepted_tokens_total", "vllm:spec_decode_num_accepted_tokens_per_pos_total"),
        *("vllm:e2e_request_latency_seconds_count", "hopwell_latency_missed_total", "hopwell_acceptance_length"),
    ):
        assert name in after
    assert gained("hopwell_ttft_seconds_count") == 6
    assert gained("hopwell_cache_evicted_pages_total") == gained("hopwell_cache_eviction_age_seconds_count") > 0
    assert gained("hopwell_cache_recomputed_tokens_total") >= 64, "the first prompt came again after it was given up"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("responses", "prompt"),
        ("responses", "messages"),
        ("responses", "max_tokens"),
        ("responses", "response_format"),
        ("chat/completions", "prompt"),
    ],
)
def test_a_field_that_another_route_has_is_refused_under_its_own_name(
    http: httpx.Client, path: str, field: str
) -> None:
    body = {"input": "x"} if path == "responses" else ASK
    error = http.post(f"/v1/{path}", json={**body, field: "x"}).json()["error"]
    assert error["param"] == field and error["code"] == "unsupported_parameter"


@pytest.mark.parametrize(
    ("kind", "value"), [("regex", "("), ("regex", r"\bx"), ("grammar", "start: none"), ("json", {"not": {}})]
)
def test_a_constraint_is_named_by_its_place(http: httpx.Client, kind: str, value: Any) -> None:
    for path, body in (("chat/completions", ASK), ("completions", {"prompt": "1+1="})):
        reply = http.post(f"/v1/{path}", json={**body, "structured_outputs": {kind: value}})
        error = reply.json()["error"]
        assert reply.status_code == 400 and error["param"] == f"structured_outputs.{kind}", error
        assert error["message"].startswith(f"structured_outputs.{kind} ")


WRONG = {"type": "nope"}
TOOL = {"name": "f", "parameters": {}}
CALL = {"type": "function_call", "call_id": "c", "name": "f"}
MISNAMED: list[tuple[str, dict[str, Any], str]] = [
    ("messages", {"output_config": {"format": {"type": "json_schema", "schema": WRONG}}}, "output_config.format"),
    (
        "messages",
        {
            "output_config": {"format": {"type": "json_schema", "schema": {}}},
            "tools": [{"name": "f", "input_schema": {}}],
            "tool_choice": {"type": "any"},
        },
        "output_config.format",
    ),
    ("responses", {"text": {"format": {"type": "json_schema", "name": "x", "schema": WRONG}}}, "text.format"),
    (
        "responses",
        {
            "text": {"format": {"type": "json_object"}},
            "tools": [{"type": "function", **TOOL}],
            "tool_choice": "required",
        },
        "text.format",
    ),
    (
        "responses",
        {"input": [{"content": "x", "role": "user"}, {**CALL, "arguments": "{"}]},
        "input.1.arguments",
    ),
    ("chat/completions", {"max_completion_tokens": 100_000}, "max_completion_tokens"),
]


@pytest.mark.parametrize(("path", "fields", "name"), MISNAMED)
def test_a_refusal_names_no_field_of_another_route(
    http: httpx.Client, path: str, fields: dict[str, Any], name: str
) -> None:
    """Anthropic's errors have only their words to say it."""
    body = {"input": "x"} if path == "responses" else {"messages": ASK["messages"]}
    reply = http.post(f"/v1/{path}", json={**body, **({"max_tokens": 5} if path == "messages" else {}), **fields})
    error = reply.json()["error"]
    assert reply.status_code == 400 and error.get("param", name) == name, error
    assert error["message"].startswith((name, "This model's maximum context length")), error


def test_a_pattern_that_cannot_be_used_is_told_why(http: httpx.Client) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "pattern": "^(?=a)b"}}}
    reply = http.post("/v1/chat/completions", json={**ASK, "response_format": form})
    assert reply.status_code == 400 and "look-ahead" in reply.json()["error"]["message"]


def test_a_coded_body_is_refused_by_its_coding(http: httpx.Client) -> None:
    body, kind = json.dumps({"prompt": "1+1=", "max_tokens": 1}).encode(), {"content-type": "application/json"}
    for coding, content in (("gzip", gzip.compress(body)), ("br", body), ("identity, gzip", body)):
        reply = http.post("/v1/completions", content=content, headers={**kind, "content-encoding": coding})
        assert reply.status_code == 400 and reply.json()["error"]["param"] == "content-encoding"
    reply = http.post("/v1/completions", content=body, headers={**kind, "content-encoding": "Identity"})
    assert reply.status_code == 200


def test_a_body_that_is_too_large_is_not_asked_for(running: Running) -> None:
    """Who sends `Expect: 100-continue` waits to hear whether his body is wanted."""
    head = "POST /v1/completions HTTP/1.1", "host: localhost", "content-type: application/json", "expect: 100-continue"
    for length, first in ((1 << 40, b"HTTP/1.1 413 "), (2, b"HTTP/1.1 100 ")):
        with socket.create_connection(("127.0.0.1", running.port), timeout=300) as connection:
            connection.sendall("\r\n".join([*head, f"content-length: {length}", "", ""]).encode())
            assert connection.recv(1000).startswith(first)


def test_a_route_says_which_methods_it_takes(http: httpx.Client) -> None:
    for path in ("/health", "/v1/models", "/"):
        assert http.options(path).headers["allow"] == "GET, HEAD" and http.head(path).status_code == 200
    assert http.options("/v1/completions").headers["allow"] == "POST"


def test_what_the_server_takes_as_a_whole(running: Running) -> None:
    head, body = exchange(running, b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 204 ") and b"\r\nallow: GET, HEAD, POST\r\n" in head and body == b""
    head, _ = exchange(running, b"OPTIONS * HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 421 ")


CHUNKED, HIDDEN = b"transfer-encoding: chunked\r\n", b"0\r\n\r\nGET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
FRAMES = {
    "two lengths": (b"HTTP/1.1", CHUNKED + b"content-length: %d\r\n" % len(HIDDEN), 400),
    "two lengths, the other first": (b"HTTP/1.1", b"content-length: 5\r\n" + CHUNKED, 400),
    "chunks of HTTP/1.0": (b"HTTP/1.0", CHUNKED, 400),
    "HTTP/2": (b"HTTP/2.0", b"", 505),
}


@pytest.mark.parametrize(("version", "headers", "status"), FRAMES.values(), ids=FRAMES)
def test_a_request_whose_end_is_in_doubt_is_refused_and_the_last_of_its_connection(
    running: Running, version: bytes, headers: bytes, status: int
) -> None:
    """A proxy that believes the other header would send the next client's request within this one's body."""
    for path in (b"/health", b"/v1/completions", b"/v1/messages"):
        head, body = exchange(running, b"POST %s %s\r\nhost: localhost\r\n%s\r\n%s" % (path, version, headers, HIDDEN))
        assert head.startswith(b"HTTP/1.1 %d " % status) and b"\r\nconnection: close" in head.lower()
        assert json.loads(body)["error"]["type"] == "invalid_request_error"  # and no second answer behind it


def exchange(running: Running, request: bytes) -> tuple[bytes, bytes]:
    """All that the server says to a request until it closes, its head apart."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=300) as connection:
        connection.sendall(request)
        head, _, body = b"".join(iter(lambda: connection.recv(1 << 16), b"")).partition(b"\r\n\r\n")
    return head, body


def test_another_http_parser_that_happens_to_be_installed_changes_nothing() -> None:
    script = (
        "import sys, types; sys.modules['httptools'] = types.ModuleType('httptools')\n"
        "from hopwell.server.connections import Guarded; print(Guarded.__mro__[1].__name__)"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "H11Protocol"


def test_a_target_may_be_a_whole_url(running: Running) -> None:
    """As clients send it that take the server for a proxy; its host is the one that counts."""
    for target, host, status in (
        (f"http://localhost:{running.port}/v1/models/na%6Eo?x=1", "localhost", b"200"),
        ("http://evil.example/health", "localhost", b"421"),
        (f"http://127.0.0.1:{running.port}", "evil.example", b"200"),
        ("ftp://localhost/health", "localhost", b"404"),
        ("http://[/health", "localhost", b"4"),
    ):
        with socket.create_connection(("127.0.0.1", running.port), timeout=300) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 " + status), target


@pytest.mark.parametrize("path", ["/health/", "/metrics/", "/v1/models/", "/v1/models/nano/", "/limits/", "//"])
def test_a_slash_at_the_end_asks_for_nothing_else(running: Running, path: str) -> None:
    """No redirect: behind a proxy that ends TLS its absolute address would be a wrong one."""
    answer = httpx.get(f"http://127.0.0.1:{running.port}{path}", timeout=300)
    assert answer.status_code == 200


def test_a_slash_at_the_end_of_a_post(running: Running) -> None:
    body = {"model": "nano", "prompt": "1 + 1", "max_tokens": 1}
    answer = httpx.post(f"http://127.0.0.1:{running.port}/v1/completions/", json=body, timeout=300)
    assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] == 1
