"""Streams: the first token leaves at once, text or not; what waits is kept alive; an early error has its own status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx
import pytest
from server_fixture import Running, server

from hopwell.server import sse
from hopwell.server.errors import ApiError


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with server() as running:
        yield running


def events(running: Running, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    with httpx.stream("POST", running.url + path, json={**body, "stream": True}, timeout=300) as reply:
        assert reply.status_code == 200, reply.read()
        lines = [line[6:] for line in reply.iter_lines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def test_a_first_token_without_text_is_told(running: Running) -> None:
    """A token that is a part of a character: the reader learns that the answer has begun, and when."""
    tokenizer = running.service.loaded.tokenizer
    (part, *_), bias = tokenizer.encode("日", special=False), 100.0
    assert tokenizer.decoder().push([part]) == ""
    asked: dict[str, Any] = {"max_tokens": 3, "logit_bias": {str(part): bias}, "ignore_eos": True}
    first = events(running, "/v1/completions", {"prompt": "a", **asked})[0]
    assert first["choices"][0]["text"] == "" and first["choices"][0]["finish_reason"] is None
    messages = [{"role": "user", "content": "a"}]
    asked["apply_to_thinking"] = True
    first = events(running, "/v1/chat/completions", {"messages": messages, **asked})[0]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert events(running, "/v1/messages", {"messages": messages, "max_tokens": 3})[0]["type"] == "message_start"
    assert events(running, "/v1/responses", {"input": "a", "max_output_tokens": 3})[0]["type"] == "response.created"


async def slow(*pieces: str | ApiError, wait: float = 0.15) -> AsyncGenerator[str, None]:
    for piece in pieces:
        await asyncio.sleep(wait)
        if isinstance(piece, ApiError):
            raise piece
        yield piece


async def sent(events: sse.Primed, alive: asyncio.Event | None = None) -> str:
    """What a stream sends to a client that stays, and that says when it was told to wait."""
    text = ""

    async def send(message: Any) -> None:
        nonlocal text
        body = message.get("body", b"").decode()
        text += body
        if alive is not None and body == sse.ALIVE:
            alive.set()

    async def receive() -> Any:
        await asyncio.Event().wait()

    await sse.EventStream(events)({"type": "http", "path": "/v1/completions"}, receive, send)
    return text


def test_what_waits_gets_its_headers_and_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "PATIENCE", 0.05)

    async def main() -> None:
        alive = asyncio.Event()

        async def late() -> AsyncGenerator[str, None]:
            for number in (1, 2):
                await alive.wait()
                alive.clear()
                yield f"data: {number}\n\n"

        text = await sent(await sse.primed(late(), patience=0.05), alive)
        assert text.startswith(sse.ALIVE) and text.replace(sse.ALIVE, "") == "data: 1\n\ndata: 2\n\n" + sse.DONE

    asyncio.run(main())


def test_an_error_before_the_first_event_has_a_status_and_a_late_one_is_an_event() -> None:
    async def main() -> None:
        with pytest.raises(ApiError):
            await sse.primed(slow(ApiError(400, "no")))
        text = await sent(await sse.primed(slow(ApiError(400, "no")), patience=0.01))
        assert '"message": "no"' in text

    asyncio.run(main())


def test_whoever_leaves_before_the_first_event_closes_its_source() -> None:
    closed: list[bool] = []

    async def endless() -> AsyncGenerator[str, None]:
        try:
            await asyncio.Event().wait()
            yield ""
        finally:
            closed.append(True)

    async def main() -> None:
        for patience in (10.0, 0.01):
            priming = asyncio.create_task(sse.primed(endless(), patience))
            await asyncio.sleep(0.1)
            if priming.done():
                await priming.result().aclose()
            else:
                priming.cancel()
                await asyncio.gather(priming, return_exceptions=True)
        assert closed == [True, True]

    asyncio.run(main())
