"""What a client is told when a request cannot be served, in the shape its API has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.responses import JSONResponse

from hopwell.engine.request import RequestError, TooLongError

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    421: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    505: "invalid_request_error",
}
PLAIN = re.compile(r"[\w.-]{1,100}")
"""Names of fields that may stand in the log."""
KINDS = {
    "invalid": (400, "invalid_value"),
    "too_long": (400, "context_length_exceeded"),
    "overloaded": (503, "overloaded"),
}
"""Status and code of the engine's refusals."""
FIELDS = {
    "/v1/chat/completions": {"prompt": "messages"},
    "/v1/responses": {
        "prompt": "input",
        "messages": "input",
        "max_tokens": "max_output_tokens",
        "max_completion_tokens": "max_output_tokens",
        "response_format": "text.format",
    },
    "/v1/messages": {"response_format": "output_config.format", "stop": "stop_sequences"},
}
"""What a route calls the fields of the engine and of chat completions, over which it is built."""
DETAILS = {"thread": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}}
"""At which Anthropic's tool runner goes on with the whole history in each request."""
CONSTRAINTS = ("json_schema", "regex", "grammar")
"""What constrains an answer, as the engine names it."""

JSON_TYPES = {list: "an array", str: "a string", int: "a number", float: "a number", bool: "true or false"}

TYPE_WORDS = {"string_type": "a string", "dict_type": "an object", "model_type": "an object"}
"""What is asked for by pydantic's complaints about a type."""


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of HTTP.
        param: the field at fault, as a path such as `messages.0.content`.
        code: a stable word for programs.
        headers: to add to the answer, such as Retry-After.
        claude: the message where Anthropic's clients look for another than OpenAI's.
        kind: of a complaint about a field, as the log has it.
        sent: whether `param` is as the client's own body has it; else a route may call it by another name (`FIELDS`).
    """

    claude: str | None = None
    kind: str | None = None
    sent = False

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
    def of(cls, error: RequestError, names: Mapping[str, str] | None = None) -> ApiError:
        """The engine's refusal. What the context cannot hold is worded as clients look for it, to shorten and retry.

        Args:
            names: fields that the request calls otherwise than the engine does, such as what became its grammar.
        """
        status, code = KINDS[error.kind]
        result = cls(status, str(error), error.field, code)
        if error.field is not None and (name := (names or {}).get(error.field)):
            result.param, result.message = name, result.message.replace(error.field, name, 1)
        if isinstance(error, TooLongError):
            result.message, result.claude = _too_long(error)
        return result

    def logged(self) -> dict[str, Any]:
        """The reason as the log has it: never a word of what the client sent."""
        param = self.param if self.param is None or PLAIN.fullmatch(self.param) else "(a name that is not plain)"
        return {"code": self.code, "param": param, "kind": self.kind}

    def body(self, path: str) -> dict[str, Any]:
        """JSON of the error: Anthropic's shape under /v1/messages, OpenAI's elsewhere."""
        kind = TYPES.get(self.status, "api_error")
        root = (self.param or "").partition(".")[0]
        param = self.param if self.sent else FIELDS.get(path, {}).get(root, self.param)
        message = self.message
        if param and self.param and message.startswith(f"{self.param} "):
            message = param + message.removeprefix(self.param)
        if path.startswith("/v1/messages"):
            details = {"details": DETAILS[self.param]} if self.param in DETAILS else {}
            return {"type": "error", "error": {"type": kind, "message": self.claude or message, **details}}
        return {"error": {"message": message, "type": kind, "param": param, "code": self.code}}

    def response(self, path: str) -> JSONResponse:
        return JSONResponse(self.body(path), self.status, self.headers)


def bad_value(message: str, param: str | None) -> ApiError:
    """A field that cannot be honoured as it is: 400."""
    return ApiError(400, message, param, "invalid_value")


def _too_long(error: TooLongError) -> tuple[str, str]:
    """OpenAI's and Anthropic's words: their clients read the numbers."""
    prompt, answer, context = error.prompt, error.answer, error.context
    most = f"This model's maximum context length is {context} tokens. However, "
    if answer is None:
        return (
            f"{most}your messages resulted in at least {prompt} tokens: the prompt is too long. Please reduce the"
            " length of the messages.",
            f"prompt is too long: {prompt} tokens > {context} maximum",
        )
    return (
        f"{most}you requested {prompt + answer} tokens ({prompt} in the messages, {answer} in the completion)."
        " Please reduce the length of the messages or completion.",
        f"input length and `max_tokens` exceed context limit: {prompt} + {answer} > {context}, decrease input length or"
        " `max_tokens` and try again",
    )


def invalid(errors: Sequence[Any], body: Any) -> ApiError:
    """One of pydantic's complaints, as one line that names the field.

    Where a value could be one of several things, pydantic complains once for each; the complaint that came furthest
    is about what was meant. Of several there, one about the value itself is; if all are about its type, they are told
    together.

    Args:
        body: what was validated, to tell its keys from pydantic's names of alternatives.
    """
    placed = [(_place_of(error, body), error) for error in errors]
    place = max((place for place, _ in placed), key=len)
    first = _told([error for other, error in placed if other == place])
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        key = first["ctx"]["discriminator"].strip("'")
        place = [*place, "type" if key.endswith("()") else key]
    field = ".".join(place) or None
    code = "invalid_value"
    match first["type"]:
        case "extra_forbidden" | "none_required":
            message, code = f"{field} is not supported by this server; remove it", "unsupported_parameter"
        case "union_tag_invalid":
            tag, known = first["ctx"]["tag"][:80], first["ctx"]["expected_tags"]
            message, code = f"{field}: {tag!r} is not supported by this server; known: {known}", "unsupported_value"
        case "union_tag_not_found":
            message = f"{field}: Field required"
        case "literal_error" if field and (only := _only(first["ctx"]["expected"])):
            message = f"{field}: only {only} is supported by this server"
        case "missing" if field is None:
            message = "the body is empty; send a JSON object"
        case "model_attributes_type" if field is None:
            message = f"the body is {JSON_TYPES.get(type(body), 'no object')}; give a JSON object"
        case "json_invalid":
            field, message = None, f"the body is not valid JSON: {first.get('ctx', {}).get('error', first['msg'])}"
        case _:
            reason = first["msg"].removeprefix("Value error, ")
            message = f"{field}: {reason}" if field else reason
    result = ApiError(400, message, field, code)
    result.kind = first["type"]
    return result


def _only(expected: str) -> str | None:
    """The one value that there may be, as JSON has it; None: there are several, as "'a' or 'b'"."""
    if " or " in expected:
        return None
    return {"True": "true", "False": "false"}.get(expected, expected)


def _told(errors: Sequence[Any]) -> Any:
    """One of the complaints at one place, or what stands for all: none of the types there may be was given."""
    for error in errors:
        if not error["type"].endswith("_type"):
            return error
    wanted = dict.fromkeys(_wanted(error) for error in errors)
    return errors[0] if len(wanted) == 1 else {**errors[0], "msg": f"Input should be {' or '.join(wanted)}"}


def _wanted(error: Any) -> str:
    """What a complaint about a type asks for."""
    if error["type"] == "list_type":
        return f"a list of {'strings' if 'str]' in str(error['loc'][-1]) else 'objects'}"
    return TYPE_WORDS.get(error["type"], str(error["msg"]).removeprefix("Input should be "))


def _place_of(error: Any, body: Any) -> list[str]:
    """Where in the body, or which parameter of the address."""
    loc = error["loc"]
    return [str(loc[-1])] if loc[:1] == ("query",) else _place(loc, body, error["type"] == "missing")


def _place(loc: Sequence[str | int], body: Any, missing: bool) -> list[str]:
    """The keys and indices of a complaint's place that the body has; the rest are pydantic's names of alternatives.

    Args:
        missing: the last key is not there, which is the complaint.
    """
    if not loc:
        return []
    first, rest = loc[0], loc[1:]
    if missing and not rest:
        return [] if first == "body" else [str(first)]
    without = _place(rest, body, missing)
    has = first in body if isinstance(body, dict) else isinstance(body, list) and first in range(len(body))
    if has:
        within = [str(first), *_place(rest, body[first], missing)]  # pyright: ignore[reportArgumentType, reportCallIssue]
        if len(within) > len(without):
            return within
    return without
