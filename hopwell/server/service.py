"""What every route works with: the model that is served, its engine, and how a request goes in and comes out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request as HttpRequest

from hopwell.engine.async_engine import AsyncEngine
from hopwell.engine.batch import FAULTS
from hopwell.engine.core import FinishReason, Request, RequestError, RequestOutput, SamplingParams, SequenceOutput
from hopwell.engine.loading import LoadedModel
from hopwell.server.errors import ApiError
from hopwell.server.protocol.common import (
    CompletionDetails,
    PromptDetails,
    Sampling,
    Structured,
    Usage,
)
from hopwell.server.settings import ServerSettings, Tenant

T = TypeVar("T")
log = logging.getLogger("hopwell.server")


def _byte_alphabet() -> dict[str, int]:
    """Byte-level BPE writes each byte as one visible character: itself, or the next free one from U+0100 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + i): byte for i, byte in enumerate(hidden)}


BYTE_OF = _byte_alphabet()
LONG_TEXT = 20_000
"""Characters above which a prompt is encoded in a thread, so that other streams go on."""


@dataclass
class Service:
    """One model, served."""

    loaded: LoadedModel
    engine: AsyncEngine
    settings: ServerSettings
    name: str
    started_at: int = field(default_factory=lambda: int(time.time()))
    draining: bool = False

    @property
    def max_model_len(self) -> int:
        return self.engine.engine.model_len

    @property
    def deterministic(self) -> bool:
        """Whether a request's tokens are the same whatever shares its batch."""
        return self.engine.engine.config.deterministic and self.loaded.deterministic

    def check_model(self, name: str | None) -> None:
        """Refuses another model's name; none means the one that is served.

        Raises:
            ApiError: 404.
        """
        if name is not None and name not in (self.name, str(self.loaded.path)):
            raise ApiError(404, f"model {name!r} is not served here; this is {self.name!r}", "model", "model_not_found")

    async def encode(self, text: str, special: bool = True) -> list[int]:
        """Tokens of a text.

        Raises:
            ApiError: 400, the text is not valid Unicode.
        """
        try:
            if len(text) > LONG_TEXT:
                return await asyncio.to_thread(self.loaded.tokenizer.encode, text, special)
            return self.loaded.tokenizer.encode(text, special)
        except (UnicodeEncodeError, TypeError) as error:
            raise ApiError(400, f"the text cannot be encoded: {error}", "prompt", "invalid_value") from None

    def token_text(self, token: int) -> str:
        """One token's text; bytes that are no whole character become replacement characters."""
        return self.loaded.tokenizer.decode([token])

    def token_bytes(self, token: int) -> bytes:
        """One token's bytes, undoing the byte-level alphabet of its vocabulary entry."""
        entry = self.loaded.tokenizer.inner.id_to_token(token) or ""
        if all(character in BYTE_OF for character in entry):
            return bytes(BYTE_OF[character] for character in entry)
        return self.token_text(token).encode()

    def sampling(self, body: Sampling, max_tokens: int | None, **more: Any) -> SamplingParams:
        """The engine's parameters of a request.

        Raises:
            RequestError: a value is out of range.
        """
        usual = self.loaded.default_params
        fields: dict[str, Any] = {
            name: getattr(usual, name) if (value := getattr(body, name)) is None else value
            for name in (
                "temperature",
                "top_p",
                "min_p",
                "presence_penalty",
                "frequency_penalty",
                "repetition_penalty",
                "min_tokens",
                "seed",
                "n",
            )
        }
        fields["top_k"] = usual.top_k if body.top_k is None else max(body.top_k, 0)
        fields["stop"] = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
        fields["stop_token_ids"] = tuple(body.stop_token_ids or ())
        fields["ignore_eos"] = bool(body.ignore_eos)
        fields["logit_bias"] = {int(token): bias for token, bias in (body.logit_bias or {}).items()}
        return SamplingParams(max_tokens=max_tokens, **fields, **more)

    def request(
        self,
        http: HttpRequest,
        body: Sampling,
        prompt: Sequence[int],
        params: SamplingParams,
        cache_tokens: int | None = None,
        part: int = 0,
    ) -> Request:
        """A request of the caller's: its tenant salts the cache and bounds its priority.

        Raises:
            RequestError: the prompt is empty.
        """
        tenant: Tenant = http.state.tenant
        return Request(
            request_id=f"{http.state.request_id}-{part}",
            prompt=prompt,
            params=params,
            priority=max(tenant.priority, body.priority or 0) if body.priority is not None else tenant.priority,
            latency_class=body.latency_class or tenant.latency_class,
            cache_salt=tenant.name,
            cache_tokens=cache_tokens,
        )

    async def outputs(self, requests: Sequence[Request]) -> AsyncGenerator[tuple[int, RequestOutput], None]:
        """Outputs of requests that run side by side, each with its request's place; leaving early cancels them all.

        Raises:
            ApiError: one of them cannot be served; none goes on.
        """
        queue: asyncio.Queue[tuple[int, RequestOutput | BaseException]] = asyncio.Queue()

        async def read(place: int, request: Request) -> None:
            try:
                async with aclosing(self.engine.generate(request)) as stream:  # pyright: ignore[reportArgumentType]
                    async for output in stream:
                        queue.put_nowait((place, output))
            except Exception as error:
                queue.put_nowait((place, error))

        tasks = [asyncio.create_task(read(place, request)) for place, request in enumerate(requests)]
        left, answers = len(tasks), [_Done() for _ in tasks]
        try:
            while left:
                place, output = await queue.get()
                if isinstance(output, RequestError):
                    raise ApiError.of(output)
                if isinstance(output, BaseException):
                    raise ApiError(500, "the engine has failed; see the server's log", None, "engine") from output
                answers[place].add(output)
                if output.finished:
                    left -= 1
                    answers[place].log(requests[place], output)
                for answer in output.outputs:
                    _check_fault(answer)
                yield place, output
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def structure(body: Structured | None) -> dict[str, Any]:
    """The engine's constraint of `structured_outputs`.

    Raises:
        ApiError: 400, not exactly one is given.
    """
    if body is None:
        return {}
    given = {name: value for name, value in body if value is not None}
    if len(given) != 1:
        raise ApiError(400, "structured_outputs needs exactly one of json, regex, grammar", "structured_outputs")
    return given


@dataclass(slots=True)
class _Done:
    """What a request has come to so far, for its line in the log."""

    tokens: int = 0
    ends: list[str] = field(default_factory=list)

    def add(self, output: RequestOutput) -> None:
        for answer in output.outputs:
            self.tokens += len(answer.tokens)
            if answer.finish_reason is not None:
                self.ends.append(answer.finish_reason)

    def log(self, request: Request, last: RequestOutput) -> None:
        """Says what the engine did, and whether the latency class was honoured."""
        timing = last.timing
        assert timing is not None
        times = {"queued_ms": timing.queued, "ttft_ms": timing.ttft, "tpot_ms": timing.tpot}
        log.info(
            {
                "event": "answer",
                "request_id": request.request_id,
                "finish": self.ends,
                "prompt_tokens": len(request.prompt),
                "cached_tokens": last.cached_tokens,
                "tokens": self.tokens,
                **{name: None if value is None else round(value * 1e3, 1) for name, value in times.items()},
                "latency_class": request.latency_class,
                "met": timing.met,
            }
        )


def _check_fault(answer: SequenceOutput) -> None:
    if answer.finish_reason is FinishReason.ERROR:
        status, code = (400, "unsatisfiable") if answer.error == FAULTS["unsatisfiable"] else (500, "request_failed")
        raise ApiError(status, answer.error or "this request has failed", None, code)
    if answer.finish_reason is FinishReason.ABORT:
        raise ApiError(503, "the server is shutting down; try again", None, "overloaded")


@dataclass
class Count:
    """Tokens of a request, for its usage."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0

    def usage(self) -> Usage:
        return Usage(
            prompt_tokens=self.prompt,
            completion_tokens=self.completion,
            total_tokens=self.prompt + self.completion,
            prompt_tokens_details=PromptDetails(cached_tokens=self.cached),
            completion_tokens_details=CompletionDetails(reasoning_tokens=self.reasoning),
            prompt_cache_hit_tokens=self.cached,
            prompt_cache_miss_tokens=self.prompt - self.cached,
        )


async def unless_gone(http: HttpRequest, work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work`, or cancels it when the client leaves.

    Raises:
        ApiError: 499 in the log; nobody reads it.
    """

    async def gone() -> None:
        while (await http.receive())["type"] != "http.disconnect":
            pass

    task, watch = asyncio.ensure_future(work), asyncio.create_task(gone())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(499, "the client has left")
        return task.result()
    finally:
        watch.cancel()
        task.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)
