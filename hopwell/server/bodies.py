"""Request bodies as JSON, within limits: no body costs more memory and time than a fixed multiple of its size."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from hopwell.server.errors import bad_value

MAX_PARTS = 1 << 18
"""Parts of a body, by what they cost: an item of a list is one, an object, an array or a key `HEAVY`. R1's whole
context as token ids is 163,840; a body of so many is read in a tenth of a second, in which no stream goes on."""
HEAVY = 5
PLAIN = {
    "recursion limit": "it is nested too deep",
    "hex escape": "an escape \\uD800 to \\uDFFF stands without its other half",
}


def parse(body: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ApiError: 400, it is not JSON in UTF-8, nested deeper than 200, or holds too many parts.
    """
    if _parts(body) > MAX_PARTS and (_strings(body) > MAX_PARTS or _parts(_bare(body)) > MAX_PARTS):
        message = f"the body holds more than {MAX_PARTS // HEAVY:,} objects, or {MAX_PARTS:,} items; send less at once"
        raise bad_value(message, None)
    try:
        return from_json(body.removeprefix(b"\xef\xbb\xbf"), allow_inf_nan=False, cache_strings="none")
    except ValueError as error:
        said = str(error)
        reason = next((f"{plain}: {said}" for word, plain in PLAIN.items() if word in said), said)
        raise bad_value(f"the body is not valid JSON: {reason}", None) from None


def _parts(text: bytes) -> int:
    return HEAVY * (text.count(b"{") + text.count(b"[") + text.count(b":")) + text.count(b",")


def _strings(text: bytes) -> int:
    """How many strings a JSON text holds at least, each of them a part; quickly, for what holds very many."""
    return (text.count(b'"') - text.count(b'\\"')) // 2


def _bare(text: bytes) -> bytes:
    """A JSON text without its strings."""
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    return b"".join(text.split(b'"')[::2])
