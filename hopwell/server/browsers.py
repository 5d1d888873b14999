"""Browsers send what any page asks them to: under which names the server answers, and whose pages may change things.

A page whose name its owner points to 127.0.0.1 (DNS rebinding) has the server's own origin to a browser, and only the
Host header tells. A page of another origin may post without asking first, and only the Origin header tells.
"""

from __future__ import annotations

import ipaddress
import socket

from starlette.types import Scope

from hopwell.server.errors import ApiError
from hopwell.server.settings import ServerSettings

READS = ("GET", "HEAD", "OPTIONS")


def check_host(scope: Scope, settings: ServerSettings) -> None:
    """Refuses names that are not the server's own: loopback, the address it listens on, and `allowed_hosts`. On all
    addresses (0.0.0.0, ::) every address is its own, and the machine's name.

    Raises:
        ApiError: 421.
    """
    given = _header(scope, b"host")
    if not given or "*" in settings.allowed_hosts:
        return
    name = _name(given)
    if _loopback(name) or name in {_name(host) for host in (settings.host, *settings.allowed_hosts)}:
        return
    address = _address(settings.host)
    if (address is not None and address.is_unspecified) and (_address(name) or name == socket.gethostname().lower()):
        return
    raise ApiError(421, f"no server of the name {name[:100]!r}; start it with --allowed-host {name[:100]}", "host")


def check_origin(scope: Scope, settings: ServerSettings) -> None:
    """Refuses posts of pages that are neither the server's own nor of an allowed origin.

    Raises:
        ApiError: 403.
    """
    origin = _header(scope, b"origin")
    if not origin or scope["method"] in READS or {"*", origin} & set(settings.cors_origins):
        return
    if origin.rpartition("://")[2] != _header(scope, b"host"):
        raise ApiError(403, f"pages of {origin[:100]!r} may not call; start the server with --cors-origin", "origin")


def _header(scope: Scope, wanted: bytes) -> str:
    return next((value.decode("latin-1").lower() for name, value in scope["headers"] if name == wanted), "")


def _name(host: str) -> str:
    """The name or address of a Host header, without its port."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0].removesuffix(".")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _loopback(name: str) -> bool:
    address = _address(name)
    return name == "localhost" or name.endswith(".localhost") or (address is not None and address.is_loopback)
