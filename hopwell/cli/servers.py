"""A running server, as commands name it and ask it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hopwell.errors import HopwellError

if TYPE_CHECKING:
    from httpx import Response

T = TypeVar("T")
Key = Annotated[str | None, typer.Option(help="API key.", envvar="HOPWELL_API_KEY")]


def with_scheme(url: str | None) -> str | None:
    """An option's callback: host and port alone are called by http."""
    return url if url is None or "://" in url else f"http://{url}"


def ask(url: str, path: str, key: str | None, read: Callable[[Response], T]) -> T:
    """What is read of an answer of `hopwell serve`.

    Raises:
        HopwellError: nothing answers there, or not so.
    """
    import httpx

    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        reply = httpx.get(f"{url.rstrip('/').removesuffix('/v1')}{path}", headers=headers, timeout=10)
        if reply.status_code == 401:
            raise HopwellError(f"{url}: the server wants a key; give --key or set HOPWELL_API_KEY")
        if reply.status_code != 200:
            raise HopwellError(f"{url}: answers {reply.status_code}{_said(reply)}")
        return read(reply)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
        raise HopwellError(f"{url}: {error}; is `hopwell serve` running there?") from None


def _said(reply: Response) -> str:
    """A server's own words, or a guess."""
    try:
        return f": {reply.json()['error']['message']}"
    except (ValueError, LookupError, TypeError):
        return "; is `hopwell serve` running there?"
