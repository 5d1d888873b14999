"""The application: routes, error shapes, the gate, the pages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import hopwell
from hopwell.engine.request import EngineDownError
from hopwell.server import chat_routes, completions_routes, info_routes, messages_routes, plan_routes, responses_routes
from hopwell.server.errors import ApiError, invalid
from hopwell.server.gate import Gate
from hopwell.server.ledger import Ledger
from hopwell.server.pages import CONTENT_POLICY, FOLDER, PAGES, page
from hopwell.server.service import Service
from hopwell.server.settings import Tenant


def create_app(service: Service, tenants: Sequence[Tenant] = (), ledger: Ledger | None = None) -> FastAPI:
    """The application of a service, whose engine is connected.

    Args:
        tenants: who may call; with none, everybody.
        ledger: what they use, if several APIs share it.
    """
    app = FastAPI(title="Hopwell", version=hopwell.__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.service = service
    app.state.parsing = asyncio.Lock()
    app.state.planning = plan_routes.Planning()
    for module in (chat_routes, completions_routes, responses_routes, messages_routes, info_routes, plan_routes):
        app.include_router(module.router)
    app.add_middleware(Gate, settings=service.settings, tenants=tenants, ledger=ledger)
    if origins := service.settings.cors_origins:  # outermost: a browser's preflight carries no key
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "retry-after"],
        )
    _errors(app)

    for path in PAGES:
        _add_page(app, path)
    app.mount("/page", StaticFiles(directory=FOLDER))
    return app


def _add_page(app: FastAPI, path: str) -> None:
    html = page(path)

    @app.get(path, include_in_schema=False)
    async def answer() -> HTMLResponse:
        return HTMLResponse(html, headers={"content-security-policy": CONTENT_POLICY})


def _errors(app: FastAPI) -> None:
    """Every error in the shape of the API it belongs to; its reason goes to the gate, for the log."""

    def answer(http: HttpRequest, error: ApiError) -> Response:
        http.state.refusal = error.logged()
        return error.response(http.url.path)

    @app.exception_handler(ApiError)
    async def api_error(http: HttpRequest, error: ApiError) -> Response:
        return answer(http, error)

    @app.exception_handler(EngineDownError)
    async def engine_down(http: HttpRequest, error: EngineDownError) -> Response:
        return answer(http, ApiError(503, str(error), None, "engine"))

    @app.exception_handler(RequestValidationError)
    async def not_valid(http: HttpRequest, error: RequestValidationError) -> Response:
        refusal = invalid(error.errors(), error.body)
        refusal.sent = True
        return answer(http, refusal)

    @app.exception_handler(HTTPException)
    async def http_error(http: HttpRequest, error: HTTPException) -> Response:
        said = f"{http.method} {http.url.path}: {error.detail}"
        headers = dict(error.headers or {})
        if headers.get("Allow") == "GET":  # as the gate does
            headers["Allow"] = "GET, HEAD"
        return answer(http, ApiError(error.status_code, said, headers=headers))
