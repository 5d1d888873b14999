"""/v1/completions: text or token ids, one or many, with echo and log-probabilities."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest

from hopwell.engine.request import FinishReason, Request, RequestError, RequestOutput, SamplingParams, TokenLogprobs
from hopwell.engine.tokenizer import StreamDecoder
from hopwell.server.answers import Count, outputs_of
from hopwell.server.errors import ApiError, bad_value
from hopwell.server.protocol.completions import CompletionChoice, CompletionLogprobs, CompletionReply, CompletionRequest
from hopwell.server.routing import ERRORS, JsonRoute, service_of, streamed
from hopwell.server.service import Service, structure, structure_names
from hopwell.server.sse import EventStream, event, primed

DEFAULT_TOKENS = 16
"""Of an answer whose length was not given, as OpenAI has it."""
router = APIRouter(route_class=JsonRoute)


@router.post("/v1/completions", responses={**streamed(CompletionReply), **ERRORS})
async def completions(http: HttpRequest, body: CompletionRequest) -> Response:
    """OpenAI's completions."""
    service = service_of(http)
    run = _Run(service, body, await _requests(service, http, body))
    ident = {
        "id": f"cmpl-{http.state.request_id}",
        "created": int(time.time()),
        "model": service.check_model(body.model),
    }
    if body.stream:
        return EventStream(await primed(run.chunks(ident)))
    reply = await run.whole(ident)
    return Response(reply.json_text(), media_type="application/json")


async def _requests(service: Service, http: HttpRequest, body: CompletionRequest) -> list[Request]:
    """One request a prompt.

    Raises:
        ApiError: a field cannot be honoured, or the model is another.
    """
    service.check_model(body.model)
    if body.stream_options is not None and not body.stream:
        raise bad_value("stream_options needs stream: true", "stream_options")
    if body.max_tokens == 0 and not body.echo:
        raise bad_value("max_tokens: 0 asks for the prompt alone; it needs echo: true", "max_tokens")
    prompts: list[Any] = (
        [body.prompt] if isinstance(body.prompt, str) or isinstance(body.prompt[0], int) else body.prompt
    )
    scores = body.logprobs if body.echo else None
    try:
        limit = DEFAULT_TOKENS if body.max_tokens is None else max(body.max_tokens, 1)
        limits = structure(body.structured_outputs)
        params = service.sampling(body, limit, logprobs=body.logprobs, prompt_logprobs=scores, **limits)
        http.state.seats.check(len(prompts) * params.n)
        tokens: list[list[int]] = await service.encode(prompts) if isinstance(prompts[0], str) else prompts
        each = [params if body.max_tokens is not None else _as_fits(params, service, prompt) for prompt in tokens]
        return [service.request(http, body, *one, part=i) for i, one in enumerate(zip(tokens, each, strict=True))]
    except RequestError as error:
        raise ApiError.of(error) from None


def _as_fits(params: SamplingParams, service: Service, prompt: Sequence[int]) -> SamplingParams:
    """With the default of tokens, or as many as the context has left: nobody asked for more."""
    room = service.max_model_len - len(prompt)
    return replace(params, max_tokens=min(DEFAULT_TOKENS, max(room, 1)))


@dataclass(frozen=True, slots=True)
class _Score:
    """A token with its log-probability; the first of a prompt has none."""

    token: int
    offset: int
    logprobs: TokenLogprobs | None


@dataclass(slots=True)
class _Answer:
    """A choice on its way."""

    text: str = ""
    scores: list[_Score] = field(default_factory=list)
    """Of tokens whose text is still to come too, since a stop string may yet cut it off."""
    tokens: int = 0
    offset: int = 0
    """Characters that the tokens before have completed: the next token's `text_offset`."""
    sent: int = 0
    """Characters."""
    begun: bool = False
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class _Run:
    """The choices of one call."""

    def __init__(self, service: Service, body: CompletionRequest, requests: list[Request]) -> None:
        self.service, self.body, self.requests = service, body, requests
        self.names = structure_names(body.structured_outputs)
        self.n = requests[0].params.n
        factors = service.settings.factors if body.include_energy else None
        self.count = Count(prompt=sum(len(r.prompt) for r in requests), factors=factors)
        self.answers = [_Answer() for _ in range(len(requests) * self.n)]
        self._cached = [0] * len(requests)
        self._decoders = [service.loaded.tokenizer.decoder() for _ in self.answers]
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
        async with aclosing(outputs_of(self.service, self.requests, self.names)) as outputs:
            async for place, output in outputs:
                self._cached[place] = output.cached_tokens
                if output.finished:
                    self.count.end(output)
                self.count.cached = sum(self._cached)
                if output.prompt_logprobs is not None:
                    tokens = self.requests[place].prompt
                    self._prompt_scores[place] = list(zip(tokens, output.prompt_logprobs, strict=True))
                for index in self._add(place, output):
                    answer = self.answers[index]
                    ended = answer.finish_reason is not None
                    told = (answer.text or answer.scores) and answer.tokens >= interval
                    if ended or told or not answer.begun:  # the first token at once, though it may have no text yet
                        yield index

    def _add(self, place: int, output: RequestOutput) -> list[int]:
        changed = []
        for gained in output.outputs:
            index = place * self.n + gained.index
            answer = self.answers[index]
            if self.body.echo and not answer.begun and not answer.tokens:
                prompt, decoder = self.requests[place].prompt, self.service.loaded.tokenizer.decoder()
                answer.text = self.service.loaded.tokenizer.decode(prompt)
                for token, score in self._prompt_scores.get(place, ()):
                    self._score(answer, decoder, token, score)
                answer.offset += len(decoder.flush())  # the answer's text begins with a character of its own
            if self.body.max_tokens == 0:  # the engine gives one token at least
                answer.finish_reason = "length"
                changed.append(index)
                continue
            self.count.completion += len(gained.tokens)
            answer.tokens += len(gained.tokens)
            answer.text += gained.text
            for score in gained.logprobs or ():
                self._score(answer, self._decoders[index], score.token, score)
            answer.stop_reason = gained.stop_reason
            if gained.finish_reason is not None:
                answer.finish_reason = "length" if gained.finish_reason is FinishReason.LENGTH else "stop"
            changed.append(index)
        return changed

    def _score(self, answer: _Answer, decoder: StreamDecoder, token: int, score: TokenLogprobs | None) -> None:
        answer.scores.append(_Score(token, answer.offset, score))
        answer.offset += len(decoder.push([token]))

    def _choice(self, index: int) -> CompletionChoice:
        """What a choice has to send; nothing of it is left but scores of tokens whose text is still to come."""
        answer = self.answers[index]
        answer.sent += len(answer.text)
        choice = CompletionChoice(
            index=index,
            text=answer.text,
            logprobs=self._logprobs(answer) if self.body.logprobs is not None else None,
            finish_reason=answer.finish_reason,  # pyright: ignore[reportArgumentType]
            stop_reason=answer.stop_reason,
        )
        answer.text, answer.tokens, answer.begun = "", 0, True
        return choice

    def _logprobs(self, answer: _Answer) -> CompletionLogprobs:
        ended = answer.finish_reason is not None
        ready = [score for score in answer.scores if ended or score.offset < answer.sent]
        answer.scores = answer.scores[len(ready) :]
        found = [score.logprobs for score in ready]
        return CompletionLogprobs(
            tokens=[self.service.vocabulary.text(score.token) for score in ready],
            token_logprobs=[None if score is None else score.logprob for score in found],
            top_logprobs=[None if score is None else self._top(score) for score in found],
            text_offset=[min(score.offset, answer.sent) for score in ready],
        )

    def _top(self, score: TokenLogprobs) -> dict[str, float]:
        """The best alternatives and, as in OpenAI's API, the token itself."""
        best = {self.service.vocabulary.text(token): logprob for token, logprob in reversed(score.top)}
        return {self.service.vocabulary.text(score.token): score.logprob} | best
