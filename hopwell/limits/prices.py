"""What GPUs cost and what a machine hall adds, with date and source; anybody's own figures override them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hopwell.errors import HopwellError
from hopwell.limits.catalogue import catalogue

PATH = Path(__file__).with_name("prices.toml")


class PriceError(HopwellError):
    """A price list cannot be used; the message names the key and what may stand there."""


class Range(NamedTuple):
    """A figure that is not known exactly: about P10, P50, P90."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class Price:
    """Of one kind of GPU; USD."""

    rent: Range
    """A GPU and hour, rented for long."""
    own: Range
    """A GPU and hour of one's own."""
    buy: Range
    resale: Range
    provisioned_kw: float
    rack: int
    """GPUs in a rack."""
    cooling: str
    source: str


@dataclass(frozen=True, slots=True)
class Facility:
    """What stands round the GPUs."""

    fixed_w: float
    network_w: float
    fans_w: Mapping[str, float]
    supply: float
    pue: Mapping[str, float]
    electricity: Range
    """USD a kWh."""
    co2: Range
    """kg a kWh."""
    colocation: Range
    """USD a provisioned kW and month, without electricity."""
    source: str

    def kilowatts(self, board_w: float, cooling: str) -> float:
        """At the meter, a GPU whose board takes `board_w`."""
        inside = board_w + self.fixed_w + self.network_w + self.fans_w[cooling]
        return inside / self.supply * self.pue[cooling] / 1e3


@dataclass(frozen=True, slots=True)
class Prices:
    """A price list."""

    date: str
    gpus: Mapping[str, Price]
    facility: Facility
    files: tuple[str, ...]
    """Where it comes from: the built-in list and the user's."""

    def of(self, gpu: str) -> Price:
        """The price of a GPU of the catalogue.

        Raises:
            PriceError: none is known.
        """
        if gpu not in self.gpus:
            known = ", ".join(self.gpus)
            raise PriceError(f"no price of {gpu} is known; give --prices FILE with [gpu.{gpu}], or one of {known}")
        return self.gpus[gpu]


def read_prices(path: Path | None = None) -> Prices:
    """The built-in list, overridden key by key by a file of the same form.

    Raises:
        PriceError: the file cannot be read, or a key of it is unknown or holds something else.
    """
    if path is None:
        return parse_prices("", "")
    try:
        return parse_prices(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeError) as error:
        raise PriceError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def parse_prices(text: str, path: str) -> Prices:
    """The same with a list that is at hand.

    Args:
        text: TOML; an empty one overrides nothing.
        path: what errors call it.

    Raises:
        PriceError: it is no TOML, or a key of it is unknown or holds something else.
    """
    values = tomllib.loads(PATH.read_text(encoding="utf-8"))
    try:
        _merge(values, tomllib.loads(text), path)
    except (ValueError, RecursionError) as error:
        raise PriceError(f"{path}: cannot be read as a price list in TOML: {error}") from None
    facility = dict(values["facility"])
    for name in ("electricity", "co2", "colocation"):
        facility[name] = _range(facility[name], f"facility.{name}")
    for name in ("fixed_w", "network_w", "supply"):
        facility[name] = _above(facility[name], f"facility.{name}")
    for name in ("fans_w", "pue"):
        facility[name] = {key: _above(value, f"facility.{name}.{key}") for key, value in facility[name].items()}
    gpus = {}
    for name, entry in values["gpu"].items():
        missing = {"rent", "own", "buy", "resale", "provisioned_kw"} - entry.keys()
        if name not in catalogue():
            raise PriceError(f"{path}: [gpu.{name}] is not in the catalogue; GPUs there are {', '.join(catalogue())}")
        if missing:
            raise PriceError(f"{path}: [gpu.{name}] lacks {', '.join(sorted(missing))}")
        ranges = {key: _range(entry[key], f"gpu.{name}.{key}") for key in ("rent", "own", "buy", "resale")}
        _above(ranges["rent"].low, f"gpu.{name}.rent")
        gpus[name] = Price(
            **ranges,
            provisioned_kw=_above(entry["provisioned_kw"], f"gpu.{name}.provisioned_kw"),
            rack=_count(entry.get("rack", 32), f"gpu.{name}.rack"),
            cooling=_cooling(entry.get("cooling", "air"), facility, name),
            source=str(entry.get("source", path)),
        )
    return Prices(str(values["date"]), gpus, Facility(**facility), ("built in", *([path] if text else [])))


def _merge(into: dict[str, Any], given: Mapping[str, Any], where: str, prefix: str = "") -> None:
    for key, value in given.items():
        new_gpu = prefix == "gpu." and isinstance(value, dict)
        if key not in into and not new_gpu:
            known = ", ".join(sorted(into))
            raise PriceError(f"{where}: {prefix}{key} is not known; keys there are {known}")
        if isinstance(into.get(key), dict) and not isinstance(value, dict):
            raise PriceError(f"{where}: {prefix}{key} is {value!r}; it is a table of keys")
        if isinstance(value, dict) and isinstance(into.get(key, {}), dict):
            base = into.setdefault(key, {})
            if new_gpu and not base:
                base.update(value)
                continue
            _merge(base, value, where, f"{prefix}{key}.")
        else:
            into[key] = value


def _above(value: Any, name: str) -> float:
    """A number above 0."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e9:
        raise PriceError(f"price {name} is {value!r}; give a number above 0")
    return float(value)


def _count(value: Any, name: str) -> int:
    """A whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise PriceError(f"price {name} is {value!r}; give a whole number above 0")
    return value


def _cooling(value: Any, facility: Mapping[str, Any], gpu: str) -> str:
    known = facility["pue"].keys() & facility["fans_w"].keys()
    if not isinstance(value, str) or value not in known:
        raise PriceError(f"price gpu.{gpu}.cooling is {value!r}; give {' or '.join(sorted(known))}")
    return value


def _range(value: Any, name: str) -> Range:
    """One number, or low, middle, high."""
    numbers = value if isinstance(value, list) else [value, value, value]
    right = len(numbers) == 3 and all(
        isinstance(n, int | float) and not isinstance(n, bool) and 0 <= n < 1e12 for n in numbers
    )
    if not right or sorted(numbers) != numbers:
        raise PriceError(f"price {name} is {value!r}; give a number, or three that rise: low, middle, high")
    return Range(*map(float, numbers))
