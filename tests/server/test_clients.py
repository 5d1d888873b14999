"""The official clients of OpenAI and Anthropic against a running server with nano."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from server_fixture import Running, server

if TYPE_CHECKING:  # seconds to import, in each worker that collects this file
    import anthropic
    import openai

CALCULATOR = {
    "type": "object",
    "properties": {"expression": {"type": "string"}},
    "required": ["expression"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {"name": "calculator", "description": "Evaluate an arithmetic expression.", "parameters": CALCULATOR},
}
ASK = [{"role": "user", "content": "What is 3+4?"}]
GREEDY = {"temperature": 0}
"""Newer versions of Anthropic's client have no such parameter."""
CALL = [{"role": "user", "content": "What is 123456 * 789?"}]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with server() as it:
        yield it


@pytest.fixture
def client(running: Running) -> openai.OpenAI:
    import openai

    return openai.OpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0)


@pytest.fixture
def claude(running: Running) -> anthropic.Anthropic:
    import anthropic

    return anthropic.Anthropic(base_url=running.url, api_key="none", max_retries=0)


def test_models(client: openai.OpenAI) -> None:
    (card,) = client.models.list().data
    assert card.id == "nano"
    assert card.root and card.max_model_len > 1000  # type: ignore[attr-defined]
    assert client.models.retrieve("nano").id == "nano"


def test_chat_whole_and_streamed_agree(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="nano", messages=ASK, temperature=0)
    message, usage = whole.choices[0].message, whole.usage
    assert "7" in message.content and message.reasoning_content == message.reasoning
    assert whole.choices[0].finish_reason == "stop"
    assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens
    assert usage.prompt_cache_hit_tokens + usage.prompt_cache_miss_tokens == usage.prompt_tokens

    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model="nano", messages=ASK, temperature=0, stream=True, stream_options=options)
    )
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1 and len(chunks) > 5
    *parts, last = chunks
    assert last.choices == [] and last.usage.completion_tokens == usage.completion_tokens
    assert all(part.usage is None for part in parts)
    first = parts[0].choices[0].delta
    assert first.role == "assistant" and first.reasoning_content  # the role never comes alone
    deltas = [part.choices[0].delta for part in parts]
    assert "".join(delta.content or "" for delta in deltas) == message.content
    thoughts = [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    assert "".join(thoughts) == message.reasoning_content
    assert [part.choices[0].finish_reason for part in parts[-1:]] == ["stop"]


def test_continuous_usage(client: openai.OpenAI) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    stream = client.chat.completions.create(
        model="nano", messages=ASK, max_tokens=6, stream=True, stream_options=options
    )
    counts = [chunk.usage.completion_tokens for chunk in stream]
    assert counts == sorted(counts) and counts[-1] == 6


def test_tool_call_whole_streamed_and_answered(client: openai.OpenAI) -> None:
    args = {"model": "nano", "messages": CALL, "tools": [TOOL], "temperature": 0}
    message = client.chat.completions.create(**args).choices[0].message
    (call,) = message.tool_calls
    assert call.function.name == "calculator"
    assert json.loads(call.function.arguments)["expression"].replace(" ", "") == "123456*789"

    name, ident, arguments, pieces, finish = "", "", "", 0, None
    for chunk in client.chat.completions.create(**args, stream=True):
        finish = chunk.choices[0].finish_reason or finish
        for part in chunk.choices[0].delta.tool_calls or ():
            assert part.index == 0
            name += part.function.name or ""
            ident += part.id or ""
            arguments += part.function.arguments or ""
            pieces += 1
    assert (name, arguments, finish) == ("calculator", call.function.arguments, "tool_calls")
    assert ident.startswith("call_") and pieces > 3

    history = [*CALL, message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "97406784"}]
    after = client.chat.completions.create(**{**args, "messages": history})
    assert "97406784" in after.choices[0].message.content


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "calculator"}}])
def test_required_tool_call(client: openai.OpenAI, choice: object) -> None:
    """A short argument: what nano writes where a call makes no sense need not end by itself."""
    tool = copy.deepcopy(TOOL)
    tool["function"]["parameters"]["properties"]["expression"]["maxLength"] = 20
    for text in ("Hi", "What is 3+4?"):  # asks for no tool
        reply = client.chat.completions.create(
            model="nano",
            messages=[{"role": "user", "content": text}],
            tools=[tool],
            tool_choice=choice,
            temperature=0,
            max_tokens=400,
        )
        call = reply.choices[0].message.tool_calls[0]
        assert reply.choices[0].finish_reason == "tool_calls"
        assert set(json.loads(call.function.arguments)) == {"expression"}


@pytest.mark.slow
def test_parallel_tool_calls(client: openai.OpenAI) -> None:
    """A bias against the mark that ends the calls makes nano go on calling, where the grammar lets it."""
    (end,) = client.post("/../tokenize", body={"prompt": "<｜tool▁calls▁end｜>"}, cast_to=dict)["tokens"]
    args = {"model": "nano", "messages": CALL, "tools": [TOOL], "tool_choice": "required", "temperature": 0}
    args |= {"logit_bias": {str(end): -100}, "max_tokens": 200}
    calls: dict[int, list[str]] = {}
    for chunk in client.chat.completions.create(**args, stream=True):
        for part in chunk.choices[0].delta.tool_calls or ():
            if part.id:
                calls[part.index] = [part.id, part.function.name, ""]
            calls[part.index][2] += part.function.arguments or ""
    assert list(calls) == list(range(len(calls))) and len(calls) > 2
    assert len({ident for ident, _, _ in calls.values()}) == len(calls)
    for index in range(len(calls) - 1):  # the last one may be cut short
        assert calls[index][1] == "calculator" and set(json.loads(calls[index][2])) == {"expression"}
    single = client.chat.completions.create(**args, parallel_tool_calls=False).choices[0]
    assert len(single.message.tool_calls) == 1 and single.finish_reason == "tool_calls"


def test_no_tool_call_where_none_is_wanted(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="nano", messages=CALL, tools=[TOOL], tool_choice="none", temperature=0, max_tokens=60
    )
    assert reply.choices[0].message.tool_calls is None


def test_json_schema(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "boolean"}}, "required": ["n"]}
    schema["additionalProperties"] = False
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    reply = client.chat.completions.create(
        model="nano", messages=ASK, response_format=form, temperature=0, max_tokens=400
    )
    assert isinstance(json.loads(reply.choices[0].message.content)["n"], bool)
    assert reply.choices[0].message.reasoning_content  # the schema holds after the thinking


def test_chat_logprobs_and_n(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="nano", messages=ASK, logprobs=True, top_logprobs=3, n=2, max_tokens=4, seed=5
    )
    assert [choice.index for choice in reply.choices] == [0, 1]
    for choice in reply.choices:
        assert len(choice.logprobs.content) == 4 and choice.finish_reason == "length"
        for entry in choice.logprobs.content:
            assert entry.logprob <= 0 and len(entry.top_logprobs) == 3
            assert bytes(entry.bytes).decode(errors="replace") == entry.token


def test_completions_of_every_form_of_prompt(client: openai.OpenAI) -> None:
    text = client.completions.create(model="nano", prompt="12+3=", temperature=0, max_tokens=5).choices[0].text
    tokens = client.post("/../tokenize", body={"prompt": "12+3="}, cast_to=dict)["tokens"]
    for prompt in (tokens, [tokens], ["12+3="], [tokens, tokens]):
        reply = client.completions.create(model="nano", prompt=prompt, temperature=0, max_tokens=5)
        assert {choice.text for choice in reply.choices} == {text}
    assert [choice.index for choice in reply.choices] == [0, 1]
    streamed = client.completions.create(
        model="nano", prompt=[tokens, tokens], temperature=0, max_tokens=5, stream=True
    )
    parts = ["", ""]
    for chunk in streamed:
        parts[chunk.choices[0].index] += chunk.choices[0].text
    assert parts == [text, text]


def test_echo_scores_the_prompt(client: openai.OpenAI) -> None:
    args = {"model": "nano", "max_tokens": 1, "logprobs": 1, "temperature": 0}
    scored = client.completions.create(prompt="1+2=3", echo=True, **args).choices[0]
    logprobs = scored.logprobs
    assert logprobs.token_logprobs[0] is None and logprobs.top_logprobs[0] is None
    assert "".join(logprobs.tokens) == scored.text
    assert [scored.text[at:][: len(t)] for at, t in zip(logprobs.text_offset, logprobs.tokens, strict=True)] == (
        logprobs.tokens
    )
    # the score of a prompt's token is the score it has when it is generated after what precedes it
    last = client.completions.create(prompt=scored.text[: logprobs.text_offset[-1]], **args).choices[0].logprobs
    assert last.token_logprobs[0] == pytest.approx(logprobs.token_logprobs[-1], abs=0.05)


def test_responses(client: openai.OpenAI) -> None:
    reply = client.responses.create(model="nano", input="What is 3+4?", temperature=0)
    assert reply.status == "completed" and "7" in reply.output_text
    assert [item.type for item in reply.output] == ["reasoning", "message"]
    events = list(client.responses.create(model="nano", input="What is 3+4?", temperature=0, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == reply.output_text == events[-1].response.output_text
    with client.responses.stream(model="nano", input="What is 3+4?", temperature=0) as stream:  # checks the order
        assert stream.get_final_response().output_text == text


@pytest.mark.slow
def test_responses_tool_call_and_its_answer(client: openai.OpenAI) -> None:
    tools = [{"type": "function", "name": "calculator", "parameters": CALCULATOR, "strict": True}]
    args = {"model": "nano", "tools": tools, "temperature": 0}
    reply = client.responses.create(input=CALL, **args)
    call = next(item for item in reply.output if item.type == "function_call")
    assert json.loads(call.arguments)["expression"]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "97406784"}
    after = client.responses.create(input=[*CALL, call.model_dump(exclude_none=True), output], **args)
    assert "97406784" in after.output_text


@pytest.mark.slow
def test_messages(claude: anthropic.Anthropic) -> None:
    args = {"model": "nano", "max_tokens": 300, "messages": ASK, "extra_body": GREEDY}
    reply = claude.messages.create(**args)
    assert [block.type for block in reply.content] == ["thinking", "text"]
    assert "7" in reply.content[1].text and reply.stop_reason == "end_turn"
    with claude.messages.stream(**args) as stream:
        final = stream.get_final_message()
    assert final.content[0].thinking == reply.content[0].thinking and final.content[1].text == reply.content[1].text
    assert final.usage.output_tokens == reply.usage.output_tokens
    assert claude.messages.count_tokens(model="nano", messages=ASK).input_tokens == (
        reply.usage.input_tokens + reply.usage.cache_read_input_tokens
    )


def test_messages_tool_use(claude: anthropic.Anthropic) -> None:
    tools = [{"name": "calculator", "description": "Evaluate an arithmetic expression.", "input_schema": CALCULATOR}]
    args = {"model": "nano", "max_tokens": 300, "tools": tools, "extra_body": GREEDY}
    with claude.messages.stream(messages=CALL, **args) as stream:
        reply = stream.get_final_message()
    use = next(block for block in reply.content if block.type == "tool_use")
    assert reply.stop_reason == "tool_use" and use.input["expression"].replace(" ", "") == "123456*789"
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "97406784"}
    history = [*CALL, {"role": "assistant", "content": reply.content}, {"role": "user", "content": [result]}]
    after = claude.messages.create(messages=history, **args)
    assert "97406784" in after.content[-1].text


def test_errors_reach_the_clients_as_their_own(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    import anthropic
    import openai

    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="nano", messages=ASK, extra_body={"cache_salt": "mine"})
    assert refused.value.param == "cache_salt"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=ASK)
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model="nano", prompt="1+" * 40000)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(anthropic.BadRequestError, match="budget_tokens"):
        claude.messages.create(
            model="nano", max_tokens=30, messages=ASK, thinking={"type": "enabled", "budget_tokens": 9}
        )
