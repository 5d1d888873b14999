"""Agents and evaluations of other people's packages in a loop with nano: it asks for a tool, gets the result and
answers; it streams, keeps to a schema, and says when its context is full."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from server_fixture import Running, server

pytestmark = pytest.mark.slow
ASK, CALL, PRODUCT = "What is 3+4?", "What is 123456 * 789?", "97406784"
LONG = "1+" * 1500
SCHEMA = {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}
TOOL = {"name": "calculator", "description": "Evaluate an arithmetic expression.", "parameters": SCHEMA}
TOOLS = [{"type": "function", "function": TOOL}]


class Sum(BaseModel):
    """An answer."""

    answer: int


def calculator(expression: str) -> str:
    """Evaluate an arithmetic expression.

    Args:
        expression: What to evaluate.
    """
    left, operator, right = re.split(r"([+*])", expression.replace(" ", ""))
    return str(int(left) + int(right) if operator == "+" else int(left) * int(right))


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True"}
    quiet = {**local, "OPENAI_AGENTS_DISABLE_TRACING": "1", "DO_NOT_TRACK": "1"}
    with pytest.MonkeyPatch.context() as patch, server(max_seqs=8, cache_tokens=16384, max_model_len=2048) as it:
        for name, value in quiet.items():
            patch.setenv(name, value)
        yield it


@pytest.fixture
def v1(running: Running) -> str:
    return running.url + "/v1"


@pytest.mark.parametrize("provider", ["hosted_vllm", "deepseek", "openai/responses", "anthropic"])
def test_litellm(running: Running, provider: str) -> None:
    litellm = pytest.importorskip("litellm")
    base = running.url if provider == "anthropic" else running.url + "/v1"
    args = {"model": f"{provider}/nano", "api_base": base, "api_key": "none", "max_tokens": 400, "temperature": 0}
    turn = {"role": "user", "content": CALL}
    whole = litellm.completion(messages=[turn], tools=TOOLS, **args).choices[0].message
    echoes = [whole, whole.model_dump()]
    if provider != "openai/responses":
        chunks = list(litellm.completion(messages=[turn], tools=TOOLS, stream=True, **args))
        echoes.append(litellm.stream_chunk_builder(chunks).choices[0].message)
    for echo in echoes:
        call_id = (echo if isinstance(echo, dict) else echo.model_dump())["tool_calls"][0]["id"]
        result = {"role": "tool", "tool_call_id": call_id, "name": "calculator", "content": PRODUCT}
        after = litellm.completion(messages=[turn, echo, result], tools=TOOLS, **args)
        assert PRODUCT in after.choices[0].message.content
    reply = litellm.completion(messages=[{"role": "user", "content": ASK}], response_format=Sum, **args)
    assert Sum.model_validate_json(reply.choices[0].message.content)
    if provider != "openai/responses":
        with pytest.raises(litellm.ContextWindowExceededError):
            litellm.completion(messages=[{"role": "user", "content": LONG}], **args)


@pytest.fixture(scope="module")
def proxy(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a client of LiteLLM's proxy is made with. The proxy has nano behind three models, one for each API."""
    pytest.importorskip("litellm_proxy_extras")
    folder = tmp_path_factory.mktemp("litellm")
    models = {"chat": "openai/nano", "bridge": "openai/responses/nano", "claude": "anthropic/nano"}
    config, key = ["model_list:"], "sk-" + secrets.token_hex(32)  # it does not start without a key
    for name, model in models.items():
        base = running.url + ("" if name == "claude" else "/v1")
        params = f"{{model: {model}, api_base: '{base}', api_key: none}}"
        config.append(f"- {{model_name: {name}, litellm_params: {params}}}")
    (folder / "config.yaml").write_text("\n".join([*config, f"general_settings: {{master_key: {key}}}"]))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("litellm")), "--config", "config.yaml", "--telemetry", "False"]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log, cwd=folder
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_alive(process, url, folder / "log")
        yield {"base_url": url, "api_key": key, "max_retries": 0}
    finally:
        process.terminate()
        process.wait(60)


def wait_until_alive(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + 600  # it imports for long
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url + "/health/liveliness", timeout=300).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail("LiteLLM's proxy did not start:\n" + log.read_text())


@pytest.mark.parametrize("model", ["chat", "bridge", "claude"])
def test_litellms_proxy(proxy: dict[str, Any], model: str) -> None:
    import openai

    client = openai.OpenAI(**proxy | {"base_url": proxy["base_url"] + "/v1"})
    args: dict[str, Any] = {"model": model, "max_tokens": 400, "temperature": 0}
    turn, ask = {"role": "user", "content": CALL}, {"role": "user", "content": ASK}
    message = client.chat.completions.create(messages=[turn], tools=TOOLS, **args).choices[0].message
    with client.chat.completions.stream(messages=[turn], tools=TOOLS, **args) as stream:
        streamed = stream.get_final_completion().choices[0].message
    for echo in (message, streamed):
        result = {"role": "tool", "tool_call_id": echo.tool_calls[0].id, "content": PRODUCT}
        after = client.chat.completions.create(messages=[turn, echo.model_dump(), result], tools=TOOLS, **args)
        assert PRODUCT in after.choices[0].message.content
    chunks = client.chat.completions.create(messages=[ask], stream=True, **args)
    assert "7" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "7" in client.responses.create(model=model, input=ASK, max_output_tokens=400, temperature=0).output_text
    reply = client.chat.completions.parse(messages=[ask], response_format=Sum, **args)
    assert isinstance(reply.choices[0].message.parsed, Sum)
    with pytest.raises(openai.BadRequestError, match="ContextWindowExceeded"):
        client.chat.completions.create(messages=[{"role": "user", "content": LONG}], **args)


@pytest.mark.parametrize("model", ["chat", "claude"])
def test_litellms_proxy_as_anthropics_api(proxy: dict[str, Any], model: str) -> None:
    import anthropic

    client = anthropic.Anthropic(**proxy)
    args: dict[str, Any] = {"model": model, "max_tokens": 400, "extra_body": {"temperature": 0}}
    args |= {"tools": [anthropic.beta_tool(calculator)], "messages": [{"role": "user", "content": CALL}]}
    call, reply = client.beta.messages.tool_runner(**args)
    assert call.content[-1].type == "tool_use" and PRODUCT in reply.content[-1].text
    for stream in client.beta.messages.tool_runner(stream=True, **args):
        reply = stream.get_final_message()
    assert PRODUCT in reply.content[-1].text


@pytest.mark.parametrize("api", ["OpenAIResponsesModel", "OpenAIChatCompletionsModel"])
def test_openai_agents(v1: str, api: str) -> None:
    agents = pytest.importorskip("agents")
    import openai

    async def go() -> None:
        client = openai.AsyncOpenAI(base_url=v1, api_key="none", max_retries=0)
        model = getattr(agents, api)("nano", client)
        reasoning = openai.types.shared.Reasoning(effort="low")
        settings = agents.ModelSettings(temperature=0, max_tokens=500, verbosity="low", reasoning=reasoning)
        tools = [agents.function_tool(calculator)]
        agent = agents.Agent("a", instructions="Be brief.", model=model, model_settings=settings, tools=tools)
        result = await agents.Runner.run(agent, CALL)
        assert PRODUCT in result.final_output
        again = await agents.Runner.run(agent, [*result.to_input_list(), {"role": "user", "content": "What is 2+2?"}])
        assert "2+2" in again.final_output
        streamed = agents.Runner.run_streamed(agent, CALL)
        assert len([event async for event in streamed.stream_events()]) > 10 and PRODUCT in streamed.final_output
        form = agents.Agent("a", model=model, model_settings=settings, output_type=Sum)
        assert isinstance((await agents.Runner.run(form, ASK)).final_output, Sum)
        with pytest.raises(openai.BadRequestError) as full:
            await agents.Runner.run(agent, LONG)
        assert full.value.code == "context_length_exceeded"
        await client.close()

    asyncio.run(go())


def test_anthropics_tool_runner_with_thinking(running: Running) -> None:
    import anthropic

    client = anthropic.Anthropic(base_url=running.url, api_key="none", max_retries=0)
    args: dict[str, Any] = {"model": "nano", "max_tokens": 1500, "extra_body": {"temperature": 0}}
    args |= {"tools": [anthropic.beta_tool(calculator)], "messages": [{"role": "user", "content": CALL}]}
    for thinking in ({"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}):
        call, reply = client.beta.messages.tool_runner(thinking=thinking, **args)
        assert [block.type for block in call.content] == ["thinking", "tool_use"] and PRODUCT in reply.content[-1].text
        for stream in client.beta.messages.tool_runner(thinking=thinking, stream=True, **args):
            reply = stream.get_final_message()
        assert PRODUCT in reply.content[-1].text
    form = client.messages.parse(
        model="nano", max_tokens=400, messages=[{"role": "user", "content": ASK}], output_format=Sum
    )
    assert isinstance(form.parsed_output, Sum)
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        client.messages.create(model="nano", max_tokens=10, messages=[{"role": "user", "content": LONG}])


@pytest.mark.parametrize("api", ["chat", "responses", "anthropic"])
def test_langchain(running: Running, api: str) -> None:
    messages = pytest.importorskip("langchain_core.messages")
    tools = pytest.importorskip("langchain_core.tools")
    fields: dict[str, Any] = {"model": "nano", "api_key": "none", "max_retries": 0}
    if api == "anthropic":
        thinking = {"type": "enabled", "budget_tokens": 1024}
        chat = pytest.importorskip("langchain_anthropic").ChatAnthropic
        model = chat(base_url=running.url, max_tokens=1500, thinking=thinking, **fields)
    else:
        more = {"use_responses_api": True, "reasoning": {"effort": "low"}} if api == "responses" else {}
        chat = pytest.importorskip("langchain_openai").ChatOpenAI
        model = chat(base_url=running.url + "/v1", temperature=0, **fields, **more)
    bound = model.bind_tools([tools.tool(calculator)])
    first = messages.HumanMessage(CALL, name="bob" if api == "chat" else None)
    for streamed in (False, True):
        answer = sum(bound.stream([first]), start=messages.AIMessageChunk("")) if streamed else bound.invoke([first])
        results = [messages.ToolMessage(PRODUCT, tool_call_id=call["id"]) for call in answer.tool_calls]
        assert results and PRODUCT in bound.invoke([first, answer, *results]).text
    assert isinstance(model.with_structured_output(Sum, method="json_schema").invoke(ASK), Sum)
    with pytest.raises(pytest.importorskip("langchain_core.exceptions").ContextOverflowError):
        model.invoke(LONG)


@pytest.mark.parametrize("api", ["chat", "responses", "anthropic"])
def test_pydantic_ai(running: Running, api: str) -> None:
    pytest.importorskip("pydantic_ai")
    from pydantic_ai import Agent
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    if api == "anthropic":
        model: Any = AnthropicModel("nano", provider=AnthropicProvider(base_url=running.url, api_key="none"))
    else:
        kind = OpenAIChatModel if api == "chat" else OpenAIResponsesModel
        model = kind("nano", provider=OpenAIProvider(base_url=running.url + "/v1", api_key="none"))
    settings: Any = {"max_tokens": 500, "extra_body": {"temperature": 0}}
    agent = Agent(model, instructions="Be brief.", tools=[calculator], model_settings=settings)

    async def go() -> None:
        first = await agent.run(CALL)
        assert PRODUCT in first.output
        again = await agent.run(CALL, message_history=first.all_messages())
        assert PRODUCT in again.output
        async with agent.run_stream(CALL) as stream:
            assert PRODUCT in await stream.get_output()
        form = Agent(model, output_type=Sum, model_settings=settings)
        assert isinstance((await form.run(ASK)).output, Sum)

    asyncio.run(go())


@pytest.mark.parametrize("name", ["openai/nano", "vllm/nano", "anthropic/nano"])
def test_inspect_ai(running: Running, name: str, tmp_path: Path) -> None:
    pytest.importorskip("inspect_ai")
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import GenerateConfig, get_model
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate, use_tools
    from inspect_ai.tool import tool

    @tool(name="calculator")
    def product() -> Any:
        async def execute(expression: str) -> str:
            """Evaluate an arithmetic expression.

            Args:
                expression: What to evaluate.
            """
            return calculator(expression)

        return execute

    base = running.url if name.startswith("anthropic") else running.url + "/v1"
    more = {"responses_api": True} if name == "openai/nano" else {}
    config = GenerateConfig(max_tokens=500, temperature=0)
    model = get_model(name, base_url=base, api_key="none", config=config, **more)
    samples = [Sample(ASK, target="7"), Sample(CALL, target=PRODUCT)]
    task = Task(dataset=samples, solver=[use_tools(product()), generate()], scorer=includes())
    (log,) = eval(task, model=model, log_dir=str(tmp_path), display="none")
    assert log.status == "success" and log.results.scores[0].metrics["accuracy"].value == 1.0, log.error
    assert asyncio.run(model.generate(LONG)).stop_reason == "model_length"
