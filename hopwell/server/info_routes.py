"""What the server tells of itself: models, health, metrics, tokens, settings; and emptying the prefix cache."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import msgspec
from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import hopwell
from hopwell.limits.history import Report
from hopwell.server.chat import render
from hopwell.server.errors import ApiError, bad_value
from hopwell.server.metrics import EngineCollector
from hopwell.server.protocol.common import MAX_TOKENS
from hopwell.server.protocol.completions import (
    TEMPLATED,
    DetokenizeReply,
    DetokenizeRequest,
    FlushReply,
    FlushRequest,
    ModelCard,
    ModelList,
    ServerInfo,
    TokenizeReply,
    TokenizeRequest,
)
from hopwell.server.routing import ERRORS, JsonRoute, service_of
from hopwell.server.service import Service
from hopwell.server.settings import Tenant

router = APIRouter(responses=ERRORS, route_class=JsonRoute)


def _check_runs(service: Service) -> None:
    if trouble := service.engine.trouble:
        raise ApiError(503, f"the engine does not run: {trouble}; see the server's log", None, "engine")


@router.get("/health")
async def health(http: HttpRequest) -> dict[str, str]:
    """200 while the engine runs: not once its thread has died, or while a step hangs."""
    _check_runs(service_of(http))
    return {"status": "ok"}


@router.get("/ready")
async def ready(http: HttpRequest) -> dict[str, str]:
    """200 while new requests are accepted: not once the server drains, nor while the engine does not run."""
    service = service_of(http)
    _check_runs(service)
    if service.draining:
        raise ApiError(503, "the server takes no new requests", None, "draining")
    return {"status": "ready"}


@router.get(
    "/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}, response_class=Response
)
async def metrics(http: HttpRequest) -> Response:
    """Prometheus's text format."""
    service = service_of(http)
    found = EngineCollector(await service.engine.all_metrics(), service.name, service.engine.count > 1)
    return Response(generate_latest(found), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/limits", responses={200: {"model": Report}})
async def limits(http: HttpRequest, engine: int | None = None) -> Response:
    """What the last seconds' steps took, op by op and layer by layer, of what the device can do; and the last minutes
    second by second. `on` is false where the meter is off. Of several engines `engine` says which, from 1 on."""
    engines = service_of(http).engine
    if engine is not None and not 1 <= engine <= engines.count:
        raise bad_value(f"engine is {engine}; give 1 to {engines.count}", "engine")
    report = await engines.limits(None if engine is None else engine - 1)
    return Response(msgspec.json.encode(report), media_type="application/json")


def _card(service: Service, name: str) -> ModelCard:
    return ModelCard(
        id=name,
        object="model",
        created=service.started_at,
        owned_by="hopwell",
        root=str(service.loaded.path),
        parent=None,
        max_model_len=service.max_model_len,
    )


@router.get("/v1/models")
async def models(http: HttpRequest) -> ModelList:
    """The model that is served, by each of its names."""
    service = service_of(http)
    return ModelList(object="list", data=[_card(service, name) for name in service.names])


@router.get("/v1/models/{model:path}")
async def model_card(http: HttpRequest, model: str) -> ModelCard:
    """The same, by one name."""
    service = service_of(http)
    return _card(service, service.check_model(model))


@router.post("/tokenize", responses={200: {"model": TokenizeReply}})
async def tokenize(http: HttpRequest, body: TokenizeRequest) -> Response:
    """Tokens of a text or of a conversation."""
    service = service_of(http)
    service.check_model(body.model)
    if (body.prompt is None) == (body.messages is None):
        raise bad_value("give prompt or messages, one of them", "prompt")
    if body.prompt is not None:
        for name in TEMPLATED:
            if getattr(body, name) is not None:
                raise bad_value(f"{name} needs messages", name)
        (tokens,) = await service.encode([body.prompt], special=body.add_special_tokens is not False)
    else:
        if body.add_special_tokens is not None:
            raise ApiError(400, "add_special_tokens needs prompt; templates write their own", "add_special_tokens")
        tokens = await render(service, body.as_chat())
    if len(tokens) > MAX_TOKENS:
        raise ApiError(400, f"{len(tokens):,} tokens are more than {MAX_TOKENS:,}; send less at once", "prompt")

    def write() -> str:
        more: dict[str, Any] = {}
        if body.return_token_strs:
            more["token_strs"] = [service.vocabulary.text(token) for token in tokens]
        reply = TokenizeReply(count=len(tokens), max_model_len=service.max_model_len, tokens=tokens, **more)
        return reply.json_text()

    return Response(await asyncio.to_thread(write), media_type="application/json")


@router.post("/detokenize")
async def detokenize(http: HttpRequest, body: DetokenizeRequest) -> DetokenizeReply:
    """Text of tokens, special ones included."""
    service = service_of(http)
    service.check_model(body.model)
    known = service.engine.info.vocab_size
    if body.tokens and max(body.tokens) >= known:
        raise bad_value(f"token {max(body.tokens)} does not exist; there are {known:,}", "tokens")
    return DetokenizeReply(prompt=await asyncio.to_thread(service.loaded.tokenizer.decode, body.tokens))


@router.get("/get_server_info")
async def server_info(http: HttpRequest) -> ServerInfo:
    """The settings in force, and the mean acceptance length where sglang's bench looks for it."""
    service = service_of(http)
    counted = await service.engine.metrics()
    return ServerInfo(
        version=hopwell.__version__,
        model=service.name,
        batch_invariant=service.engine.info.batch_invariant,
        settings={**service.engine.info.settings, **asdict(service.settings)},
        internal_states=[{"avg_spec_accept_length": counted.acceptance_length}],
    )


@router.post("/flush_cache")
async def flush_cache(http: HttpRequest, body: FlushRequest | None = None) -> FlushReply:
    """Forgets all cached prefixes that no running request uses; on a server with keys, for tenants who may."""
    tenant: Tenant = http.state.tenant
    if not tenant.flush_cache:
        raise ApiError(403, f"{tenant.name} may not; give it flush_cache = true in the file of keys", None, "forbidden")
    return FlushReply(flushed_pages=await service_of(http).engine.flush_cache())
