"""What a client is told when a request cannot be served, in the shape its API has."""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse

from hopwell.engine.core import RequestError

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
STATUS = {"invalid": 400, "too_long": 400, "overloaded": 503}
CODES = {"too_long": "context_length_exceeded", "overloaded": "overloaded", "invalid": "invalid_value"}


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of HTTP.
        param: the field at fault, as a path such as `messages.0.content`.
        code: a stable word for programs.
        headers: to add to the answer, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.headers = status, message, param, code, headers

    @classmethod
    def of(cls, error: RequestError) -> ApiError:
        """The engine's refusal."""
        return cls(STATUS[error.kind], str(error), error.field, CODES[error.kind])

    def body(self, path: str) -> dict[str, Any]:
        """JSON of the error: Anthropic's shape under /v1/messages, OpenAI's elsewhere."""
        kind = TYPES.get(self.status, "api_error")
        if path.startswith("/v1/messages"):
            return {"type": "error", "error": {"type": kind, "message": self.message}}
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self, path: str) -> JSONResponse:
        return JSONResponse(self.body(path), self.status, self.headers)


def invalid(errors: list[Any]) -> ApiError:
    """The first of pydantic's complaints, as one line that names the field."""
    first = errors[0]
    where = [str(part) for part in first["loc"] if part != "body"]
    field = ".".join(where) or None
    if first["type"] == "extra_forbidden":
        message = f"{field} is not supported by this server; remove it"
    elif first["type"] == "missing" and field is None:
        message = "the body is empty; send a JSON object"
    elif first["type"] == "model_attributes_type" and field is None:
        message = "the body is no JSON object, or its content-type is not application/json"
    elif first["type"] == "json_invalid":
        field, message = None, f"the body is not valid JSON: {first.get('ctx', {}).get('error', first['msg'])}"
    else:
        reason = first["msg"].removeprefix("Value error, ")
        message = f"{field}: {reason}" if field else reason
    code = "unsupported_parameter" if first["type"] == "extra_forbidden" else "invalid_value"
    return ApiError(400, message, field, code)
