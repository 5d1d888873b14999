"""What every route works with: the model that is served, its engine, and how a request's body becomes the engine's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar

from fastapi import Request as HttpRequest

from hopwell.cache.policy import Hint
from hopwell.engine.copies import AnyEngine
from hopwell.engine.frontend import Frontend
from hopwell.engine.prompt import Written
from hopwell.engine.request import Request, RequestError, SamplingParams, TooLongError
from hopwell.server.errors import CONSTRAINTS, ApiError, bad_value
from hopwell.server.protocol.chat import ChatRequest
from hopwell.server.protocol.common import Sampling, Structured
from hopwell.server.protocol.completions import CompletionRequest
from hopwell.server.settings import ServerSettings, Tenant
from hopwell.server.vocabulary import Vocabulary
from hopwell.system import yield_cores

T = TypeVar("T")
SAMPLING = (
    "temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty", "min_tokens",
    "seed", "n",
)  # fmt: skip
"""Of requests and the engine alike; None: as the model's authors recommend."""
LONG_TEXT = 4_000
"""Characters above which prompts are encoded in a thread, so that other streams go on."""
ENCODERS = 2
"""Threads that encode: a flood of long texts waits for them, and leaves the other cores to the engine."""


@dataclass
class Service:
    """One model, served."""

    loaded: Frontend
    engine: AnyEngine
    settings: ServerSettings
    names: tuple[str, ...]
    """That requests may use, the first its chief one; an answer is called as its request called the model."""
    started_at: int = field(default_factory=lambda: int(time.time()))
    draining: bool = False
    encoders: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(ENCODERS, "hopwell-encode", initializer=yield_cores)
    )

    @property
    def max_model_len(self) -> int:
        return self.engine.info.model_len

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What each token stands for."""
        return Vocabulary(self.loaded.tokenizer)

    @property
    def name(self) -> str:
        """The chief one."""
        return self.names[0]

    def check_model(self, name: str | None) -> str:
        """The name by which an answer calls the model: the one asked for, if it is the model's.

        Raises:
            ApiError: 404, it is another model's.
        """
        if name is None or name == str(self.loaded.path):
            return self.name
        if name not in self.names:
            served = " or ".join(map(repr, self.names))
            raise ApiError(404, f"model {name!r} is not served here; this is {served}", "model", "model_not_found")
        return name

    async def encode(self, texts: Sequence[str], special: bool = True) -> list[list[int]]:
        """Tokens of each text; long ones are encoded in threads of their own, where they stop nobody's stream.

        Raises:
            ApiError: 400, one is too long for the context, or the tokenizer cannot take it.
        """
        encode = partial(self.loaded.tokenizer.encode_all, texts, special)
        return await self._encoded(texts, encode, sum(map(len, texts)) > LONG_TEXT)

    async def encode_written(self, written: Written) -> list[int]:
        """Tokens of a conversation.

        Raises:
            ApiError: as `encode`.
        """
        if written.sign is None:
            return (await self.encode([written.text], special=False))[0]
        return await self._encoded([written.text], partial(self.loaded.prompts.encode, written), True)

    async def _encoded(self, texts: Sequence[str], encode: Callable[[], T], long: bool) -> T:
        """What `encode` makes of texts: of long ones in a thread, once none is too long for the context."""

        def checked() -> T:
            longest = self.loaded.tokenizer.longest
            for text in texts:
                if longest is not None and len(text) > longest * self.max_model_len:
                    raise TooLongError(len(text) // longest, None, self.max_model_len)
            return encode()

        try:
            return await asyncio.get_running_loop().run_in_executor(self.encoders, checked) if long else encode()
        except RequestError as error:
            raise ApiError.of(error) from None

    def sampling(self, body: Sampling, max_tokens: int | None, **more: Any) -> SamplingParams:
        """The engine's parameters of a request.

        Raises:
            RequestError: a value is out of range.
        """
        usual = self.loaded.default_params
        fields: dict[str, Any] = {
            name: getattr(usual, name) if (value := getattr(body, name)) is None else value for name in SAMPLING
        }
        fields["top_k"] = usual.top_k if body.top_k is None else max(body.top_k, 0)
        fields["stop"] = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
        fields["stop_token_ids"] = tuple(body.stop_token_ids or ())
        fields["ignore_eos"], fields["apply_to_thinking"] = bool(body.ignore_eos), bool(body.apply_to_thinking)
        fields["logit_bias"] = {int(token): bias for token, bias in (body.logit_bias or {}).items()}
        return SamplingParams(max_tokens=max_tokens, **fields, **more)

    def request(
        self,
        http: HttpRequest,
        body: ChatRequest | CompletionRequest,
        prompt: Sequence[int],
        params: SamplingParams,
        cache_tokens: int | None = None,
        part: int = 0,
    ) -> Request:
        """A request of the caller's: its tenant salts the cache and bounds its priority.

        Raises:
            RequestError: the prompt is empty.
            ApiError: 429, the tenant has no room for so many answers; 400, joules were asked for that nobody counts or
                that nothing would tell.
        """
        if body.include_energy:
            self._check_energy(body)
        http.state.seats.take(params.n)
        tenant: Tenant = http.state.tenant
        return Request(
            request_id=f"{http.state.request_id}-{part}",
            prompt=prompt,
            params=params,
            priority=max(tenant.priority, body.priority or 0) if body.priority is not None else tenant.priority,
            latency_class=body.latency_class or tenant.latency_class,
            cache_salt=tenant.name,
            cache_tokens=cache_tokens,
            cache_hint=_hint(body),
            stream=bool(body.stream),
        )

    def _check_energy(self, body: ChatRequest | CompletionRequest) -> None:
        if not self.engine.info.energy:
            raise bad_value("include_energy: this server has no energy counter", "include_energy")
        options = body.stream_options
        if body.stream and not (options and (options.include_usage or options.continuous_usage_stats)):
            raise bad_value("include_energy needs stream_options.include_usage in a stream", "include_energy")


def _hint(body: ChatRequest | CompletionRequest) -> Hint:
    """What the caller expects of the prompt's future, in our words or OpenAI's."""
    if body.cache_hint is not None:
        return Hint[body.cache_hint.upper()]
    return Hint.RETAIN if body.prompt_cache_retention == "24h" else Hint.NONE


def structure(body: Structured | None) -> dict[str, Any]:
    """The engine's constraint of `structured_outputs`.

    Raises:
        ApiError: 400, not exactly one is given.
    """
    if body is None:
        return {}
    given = {name: value for name, value in body if value is not None}
    if len(given) != 1:
        raise ApiError(400, "structured_outputs needs one of json, regex, choice and grammar", "structured_outputs")
    if body.choice is not None:
        words = (json.dumps(text, ensure_ascii=False).replace("\x7f", r"\u007f") for text in body.choice)
        return {"grammar": "start: " + " | ".join(words)}
    return given


def structure_names(body: Structured | None, other: str = "structured_outputs") -> dict[str, str]:
    """Where in a request the engine's constraint of `structure` stands, or else in what other field."""
    given = body.model_dump(by_alias=True, exclude_none=True) if body is not None else {}
    return dict.fromkeys(CONSTRAINTS, f"structured_outputs.{next(iter(given))}" if given else other)
