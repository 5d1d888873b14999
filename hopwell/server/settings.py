"""How a server is set up."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from hopwell.engine.request import LATENCY_CLASSES
from hopwell.errors import HopwellError
from hopwell.limits.energy import Factors

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\sA-Z]+")
"""As browsers send it: in small letters, without a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Limits of one server."""

    max_body_bytes: int = 16 << 20
    """A larger body is refused with 413, before it is read."""
    body_timeout: float = 30.0
    """Seconds a client has to send its body."""
    head_timeout: float = 15.0
    """Seconds that a new connection, or one that has begun a request, has to send its head."""
    write_timeout: float = 60.0
    """Seconds that a client may take nothing of its answer before its connection is cut."""
    max_connections: int = 4096
    """Open at once; fewer where the system allows fewer open files."""
    drain_timeout: float = 60.0
    """Seconds that running requests have to end after SIGTERM."""
    stream_interval: int = 1
    """Tokens gathered into one chunk of a stream; the first token is sent at once."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call from a browser; `*` is every one."""
    host: str = "127.0.0.1"
    """The address that is listened on."""
    grams_per_kwh: float | None = None
    """Of CO2; None: answers tell none."""
    price_per_kwh: float | None = None
    """In any currency; likewise."""
    allowed_hosts: tuple[str, ...] = ()
    """More names under which the server may be called; `*` is every one."""

    def __post_init__(self) -> None:
        """Refuses what no browser can send, and no user means.

        Raises:
            HopwellError: an origin or a host is none.
        """
        if not self.host.strip():  # a socket would take it for every address
            raise HopwellError(f"--host is {self.host!r}; give an address, as 127.0.0.1, or 0.0.0.0 for all of them")
        for origin in self.cors_origins:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise HopwellError(f"--cors-origin is {origin!r}; give scheme and host, as https://a.example, or *")
        for host in self.allowed_hosts:
            if not host or re.search(r"[/\s]", host):
                raise HopwellError(
                    f"--allowed-host is {host!r}; give a name without scheme or path, as a.example, or *"
                )

    @property
    def factors(self) -> Factors:
        """What a kilowatt-hour is reckoned at."""
        return Factors(self.grams_per_kwh, self.price_per_kwh)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A caller, by its key."""

    name: str = ""
    key: str = ""
    requests_per_minute: int | None = None
    max_concurrent: int | None = None
    priority: int = 0
    """Of its requests; a request may ask for a later turn, not for an earlier one."""
    latency_class: str = "server"
    flush_cache: bool = False
    """Whether it may empty the prefix cache, which is everybody's."""


ANONYMOUS = Tenant(flush_cache=True)
"""Everybody, on a server without keys."""


class KeysError(HopwellError):
    """The file of API keys cannot be used; the message names the entry."""


def read_keys(path: Path) -> list[Tenant]:
    """Reads tenants from TOML: one table a tenant, with its `key` and, if wanted, its limits.

        [alice]
        key = "sk-..."
        requests_per_minute = 600

    Raises:
        KeysError: the file is missing or malformed, a key is short or used twice.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KeysError(f"{path}: cannot read: {error.strerror}") from None
    except ValueError as error:
        raise KeysError(f"{path}: {error}") from None
    known = {field.name for field in fields(Tenant)} - {"name"}
    tenants: list[Tenant] = []
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise KeysError(f"{path}: {name} is not a table; write [tenant] and below it key = ...")
        if unknown := table.keys() - known:
            raise KeysError(f"{path}: {name}.{min(unknown)} is unknown; known: {', '.join(sorted(known))}")
        key = table.get("key")
        if not isinstance(key, str) or not re.fullmatch(r"[\x21-\x7e]{8,}", key):
            raise KeysError(f"{path}: {name}.key needs 8 or more printable ASCII characters without spaces")
        if any(key == tenant.key for tenant in tenants):
            raise KeysError(f"{path}: {name}.key is another tenant's too; give each its own")
        if table.get("latency_class", "server") not in LATENCY_CLASSES:
            raise KeysError(f"{path}: {name}.latency_class is none of {', '.join(LATENCY_CLASSES)}")
        if type(table.get("flush_cache", False)) is not bool:
            raise KeysError(f"{path}: {name}.flush_cache is {table['flush_cache']!r}; give true or false")
        for limit in ("requests_per_minute", "max_concurrent", "priority"):
            low = None if limit == "priority" else 1
            value = table.get(limit, 1)
            if type(value) is not int or (low is not None and value < low):
                raise KeysError(f"{path}: {name}.{limit} is {value!r}; give a whole number{' above 0' if low else ''}")
        tenants.append(Tenant(name=name, **table))
    if not tenants:
        raise KeysError(f"{path}: there is no tenant; write [tenant] and below it key = ...")
    return tenants
