"""What the server tells of itself: models, health, metrics, tokens, settings; and emptying the prefix cache."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import hopwell
from hopwell.engine.loop import Engine
from hopwell.server.chat import render
from hopwell.server.errors import ApiError
from hopwell.server.protocol.completions import (
    DetokenizeReply,
    DetokenizeRequest,
    FlushReply,
    ModelCard,
    ModelList,
    ServerInfo,
    TokenizeReply,
    TokenizeRequest,
)
from hopwell.server.routing import ERRORS, service_of
from hopwell.server.service import Service

router = APIRouter(responses=ERRORS)


@router.get("/health")
async def health(http: HttpRequest) -> dict[str, str]:
    """200 while the engine runs."""
    if not service_of(http).engine.healthy:
        raise ApiError(503, "the engine has stopped; see the server's log", None, "engine")
    return {"status": "ok"}


@router.get("/ready")
async def ready(http: HttpRequest) -> dict[str, str]:
    """200 while new requests are accepted: not once the server drains."""
    service = service_of(http)
    if service.draining or not service.engine.healthy:
        raise ApiError(503, "the server takes no new requests", None, "draining")
    return {"status": "ready"}


@router.get(
    "/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}, response_class=Response
)
async def metrics(http: HttpRequest) -> Response:
    """Prometheus's text format."""
    return Response(generate_latest(http.app.state.registry), media_type=CONTENT_TYPE_LATEST)


def _card(service: Service) -> ModelCard:
    return ModelCard(
        id=service.name,
        object="model",
        created=service.started_at,
        owned_by="hopwell",
        root=str(service.loaded.path),
        parent=None,
        max_model_len=service.max_model_len,
    )


@router.get("/v1/models")
async def models(http: HttpRequest) -> ModelList:
    """The model that is served."""
    return ModelList(object="list", data=[_card(service_of(http))])


@router.get("/v1/models/{model:path}")
async def model_card(http: HttpRequest, model: str) -> ModelCard:
    """The same, by its name."""
    service_of(http).check_model(model)
    return _card(service_of(http))


@router.post("/tokenize", responses={200: {"model": TokenizeReply}})
async def tokenize(http: HttpRequest, body: TokenizeRequest) -> Response:
    """Tokens of a text or of a conversation."""
    service = service_of(http)
    service.check_model(body.model)
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "give prompt or messages, one of them", "prompt", "invalid_value")
    if body.prompt is not None:
        for name in ("tools",):
            if getattr(body, name) is not None:
                raise ApiError(400, f"{name} needs messages", name, "invalid_value")
        tokens = await service.encode(body.prompt, special=body.add_special_tokens is not False)
    else:
        if body.add_special_tokens is not None:
            raise ApiError(400, "add_special_tokens needs prompt; templates write their own", "add_special_tokens")
        tokens = await render(service, body.as_chat())
    more: dict[str, Any] = {}
    if body.return_token_strs:
        more["token_strs"] = [service.token_text(token) for token in tokens]
    reply = TokenizeReply(count=len(tokens), max_model_len=service.max_model_len, tokens=tokens, **more)
    return Response(reply.json_text(), media_type="application/json")


@router.post("/detokenize")
async def detokenize(http: HttpRequest, body: DetokenizeRequest) -> DetokenizeReply:
    """Text of tokens, special ones included."""
    service = service_of(http)
    service.check_model(body.model)
    known = service.loaded.model.config.vocab_size
    if body.tokens and max(body.tokens) >= known:
        raise ApiError(400, f"token {max(body.tokens)} does not exist; there are {known:,}", "tokens", "invalid_value")
    return DetokenizeReply(prompt=service.loaded.tokenizer.decode(body.tokens))


@router.get("/get_server_info")
async def server_info(http: HttpRequest) -> ServerInfo:
    """The settings in force, and the mean acceptance length where sglang's bench looks for it."""
    service = service_of(http)
    return ServerInfo(
        version=hopwell.__version__,
        model=service.name,
        deterministic=service.deterministic,
        settings={**asdict(service.engine.engine.config), **asdict(service.settings)},
        internal_states=[{"avg_spec_accept_length": service.engine.metrics.acceptance_length}],
    )


@router.post("/flush_cache")
async def flush_cache(http: HttpRequest) -> FlushReply:
    """Forgets all cached prefixes that no running request uses."""
    service = service_of(http)
    return FlushReply(flushed_pages=await service.engine.call(Engine.flush_cache))
