"""/v1/completions: text or token ids, one or many, with echo and log-probabilities."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest

from hopwell.engine.core import FinishReason, Request, RequestError, RequestOutput, TokenLogprobs
from hopwell.server.errors import ApiError
from hopwell.server.protocol.completions import (
    CompletionChoice,
    CompletionLogprobs,
    CompletionReply,
    CompletionRequest,
)
from hopwell.server.routing import ERRORS, service_of, streamed
from hopwell.server.service import Count, Service, structure, unless_gone
from hopwell.server.sse import EventStream, event, primed

router = APIRouter()


@router.post("/v1/completions", responses={**streamed(CompletionReply), **ERRORS})
async def completions(http: HttpRequest, body: CompletionRequest) -> Response:
    """OpenAI's completions."""
    service = service_of(http)
    run = _Run(service, body, await _requests(service, http, body))
    ident = {"id": f"cmpl-{http.state.request_id}", "created": int(time.time()), "model": service.name}
    if body.stream:
        return EventStream(await primed(run.chunks(ident)), service.settings.write_timeout)
    reply = await unless_gone(http, run.whole(ident))
    return Response(reply.json_text(), media_type="application/json")


async def _requests(service: Service, http: HttpRequest, body: CompletionRequest) -> list[Request]:
    """One request a prompt.

    Raises:
        ApiError: a field cannot be honoured, or the model is another.
    """
    service.check_model(body.model)
    if body.stream_options is not None and not body.stream:
        raise ApiError(400, "stream_options needs stream: true", "stream_options", "invalid_value")
    prompts: list[str] | list[list[int]]
    if isinstance(body.prompt, str) or isinstance(body.prompt[0], int):
        prompts = [body.prompt]  # pyright: ignore[reportAssignmentType]
    else:
        prompts = body.prompt  # pyright: ignore[reportAssignmentType]
    scores = body.logprobs if body.echo else None
    try:
        limit = 16 if body.max_tokens is None else body.max_tokens
        limits = structure(body.structured_outputs)
        params = service.sampling(body, limit, logprobs=body.logprobs, prompt_logprobs=scores, **limits)
        requests = []
        for i, prompt in enumerate(prompts):
            tokens = await service.encode(prompt) if isinstance(prompt, str) else prompt
            requests.append(service.request(http, body, tokens, params, part=i))
            requests[-1].stream = bool(body.stream)
    except RequestError as error:
        raise ApiError.of(error) from None
    return requests


@dataclass(slots=True)
class _Answer:
    """A choice on its way."""

    text: str = ""
    scores: list[tuple[int, TokenLogprobs | None]] = field(default_factory=list)
    """Tokens with their log-probabilities; the first of a prompt has none."""
    tokens: int = 0
    offset: int = 0
    """Characters of the tokens before: the next token's `text_offset`."""
    begun: bool = False
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class _Run:
    """The choices of one call."""

    def __init__(self, service: Service, body: CompletionRequest, requests: list[Request]) -> None:
        self.service, self.body, self.requests = service, body, requests
        self.n = requests[0].params.n
        self.count = Count(prompt=sum(len(r.prompt) for r in requests))
        self.answers = [_Answer() for _ in range(len(requests) * self.n)]
        self._cached = [0] * len(requests)
        self._prompt_scores: dict[int, list[tuple[int, TokenLogprobs | None]]] = {}

    async def whole(self, ident: dict[str, Any]) -> CompletionReply:
        async for _ in self._gather(interval=1 << 31):
            pass
        choices = [self._choice(i) for i in range(len(self.answers))]
        return CompletionReply(object="text_completion", choices=choices, usage=self.count.usage(), **ident)

    async def chunks(self, ident: dict[str, Any]) -> AsyncGenerator[str, None]:
        options = self.body.stream_options
        usage = bool(options and options.continuous_usage_stats)

        def chunk(choices: list[CompletionChoice], usage: bool) -> str:
            extra: dict[str, Any] = {"usage": self.count.usage()} if usage else {}
            return event(CompletionReply(object="text_completion", choices=choices, **extra, **ident).json_text())

        async with aclosing(self._gather(self.service.settings.stream_interval)) as ready:
            async for index in ready:
                yield chunk([self._choice(index)], usage)
        if options and options.include_usage:
            yield chunk([], True)

    async def _gather(self, interval: int) -> AsyncGenerator[int, None]:
        """Indices of choices that have something to send."""
        async with aclosing(self.service.outputs(self.requests)) as outputs:
            async for place, output in outputs:
                self._cached[place] = output.cached_tokens
                self.count.cached = sum(self._cached)
                if output.prompt_logprobs is not None:
                    tokens = self.requests[place].prompt
                    self._prompt_scores[place] = list(zip(tokens, output.prompt_logprobs, strict=True))
                for index in self._add(place, output):
                    answer = self.answers[index]
                    ended = answer.finish_reason is not None
                    if ended or ((answer.text or answer.scores) and (not answer.begun or answer.tokens >= interval)):
                        yield index

    def _add(self, place: int, output: RequestOutput) -> list[int]:
        changed = []
        for gained in output.outputs:
            index = place * self.n + gained.index
            answer = self.answers[index]
            if self.body.echo and not answer.begun and not answer.tokens:
                prompt = self.requests[place].prompt
                answer.text = self.service.loaded.tokenizer.decode(prompt)
                answer.scores = list(self._prompt_scores.get(place, ()))
            self.count.completion += len(gained.tokens)
            answer.tokens += len(gained.tokens)
            answer.text += gained.text
            answer.scores += [(score.token, score) for score in gained.logprobs or ()]
            answer.stop_reason = gained.stop_reason
            if gained.finish_reason is not None:
                answer.finish_reason = "length" if gained.finish_reason is FinishReason.LENGTH else "stop"
            changed.append(index)
        return changed

    def _choice(self, index: int) -> CompletionChoice:
        """What a choice has to send; nothing of it is left."""
        answer = self.answers[index]
        choice = CompletionChoice(
            index=index,
            text=answer.text,
            logprobs=self._logprobs(answer) if self.body.logprobs is not None else None,
            finish_reason=answer.finish_reason,  # pyright: ignore[reportArgumentType]
            stop_reason=answer.stop_reason,
        )
        answer.text, answer.scores, answer.tokens, answer.begun = "", [], 0, True
        return choice

    def _logprobs(self, answer: _Answer) -> CompletionLogprobs:
        texts = [self.service.token_text(token) for token, _ in answer.scores]
        offsets = []
        for text in texts:
            offsets.append(answer.offset)
            answer.offset += len(text)
        top = [
            None if score is None else {self.service.token_text(t): p for t, p in reversed(score.top)}
            for _, score in answer.scores
        ]
        return CompletionLogprobs(
            tokens=texts,
            token_logprobs=[None if score is None else score.logprob for _, score in answer.scores],
            top_logprobs=top,
            text_offset=offsets,
        )
