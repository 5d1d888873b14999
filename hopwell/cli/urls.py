"""How a server is named on the command line."""

from __future__ import annotations


def with_scheme(url: str | None) -> str | None:
    """An option's callback: host and port alone are called by http."""
    return url if url is None or "://" in url else f"http://{url}"
