"""/v1/plan: a question to the planner and its answer, for the page `/plan` and for programs."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, Response

from hopwell.bounded import Bounded, BoundedError, Limits
from hopwell.server.errors import ApiError, bad_value
from hopwell.server.protocol.plan import PlanChoices, PlanReply, PlanRequest
from hopwell.server.routing import ERRORS, JsonRoute
from hopwell.server.settings import Tenant

LIMITS = Limits(seconds=30.0, memory=256 << 20, stack=16 << 20, reply=4 << 20)
"""An answer takes half a second and curves five, on a core that has nothing else to do."""
PLACES, SHARE = 8, 4
"""Questions that wait for the one at work, itself included: of everybody, and of one tenant."""
NO_MODEL = re.compile(r"no such file or shipped model|^the model's name is empty")
OPTIONS = {"class": "latency_class"}
"""Options of the command that are fields of another name."""

router = APIRouter(responses=ERRORS, route_class=JsonRoute)


class Planning:
    """Computes answers one after another in a child process, which yields to whoever streams, within `LIMITS`.

    The child starts with the first question and then stays; whoever leaves takes his question along.
    """

    def __init__(self) -> None:
        self._child = Bounded("hopwell.planner.form:answerer", limits=LIMITS)
        self._asked: Counter[str] = Counter()

    async def ask(self, tenant: str, question: dict[str, Any] | None) -> Any:
        """The answer to a question; None: the choices that a form offers.

        Raises:
            ApiError: 400, naming the field; 429 or 503, too many questions wait.
        """
        if self._asked[tenant] >= SHARE:
            said = f"{SHARE} of your questions wait already; wait for one"
            raise ApiError(429, said, None, "too_many_running", {"retry-after": "1"})
        if self._asked.total() >= PLACES:
            raise ApiError(503, f"{PLACES} questions wait already; try again", None, "overloaded", {"retry-after": "2"})
        self._asked[tenant] += 1
        try:
            return await self._child.run(question)
        except BoundedError as error:
            raise _refusal(error) from None
        finally:
            self._asked[tenant] -= 1


def _refusal(error: BoundedError) -> ApiError:
    """What became of a question, and the field that its message is about."""
    said = str(error)
    match error.kind, error.type:
        case "start", _:
            return ApiError(503, "plans cannot be made now; try later", None, "overloaded")
        case "raised", "ConfigError":
            return bad_value(said, "config")
        case "raised", "PriceError":
            field = "gpus" if said.startswith("no price of") else "prices"
            return bad_value(_by_fields(said), field)
        case "raised", "PlanError":
            if NO_MODEL.search(said):
                return bad_value(said, "model")
            option = re.search(r"--([a-z]+)", said)
            return bad_value(_by_fields(said), OPTIONS.get(option[1], option[1]) if option else "gpus")
        case "raised", _:
            return bad_value("numbers so far out cannot be reckoned with", None)
        case _:
            return bad_value(f"the question asks for too much: {said}; ask for fewer GPUs", "gpus")


def _by_fields(said: str) -> str:
    """A message that names the command's options, with the names of fields."""
    return re.sub(r"--([a-z]+)( FILE)?", lambda found: OPTIONS.get(found[1], found[1]), said)


async def _reply(http: HttpRequest, question: dict[str, Any] | None) -> Response:
    planning: Planning = http.app.state.planning
    tenant: Tenant = http.state.tenant
    return JSONResponse(await planning.ask(tenant.name, question))


@router.get("/v1/plan", responses={200: {"model": PlanChoices}})
async def choices(http: HttpRequest) -> Response:
    """What may be asked: models, GPUs with their prices, latency classes, and what holds where nothing is given."""
    return await _reply(http, None)


@router.post("/v1/plan", responses={200: {"model": PlanReply}})
async def plan(http: HttpRequest, body: PlanRequest) -> Response:
    """Which GPUs, how many, in which layout, at what latency, watts and price."""
    return await _reply(http, body.model_dump(exclude_none=True))
