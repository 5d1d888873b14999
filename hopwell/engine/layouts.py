"""In which ways a model may be laid over so many ranks: what divides, what this version runs there, and what fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import torch

from hopwell.engine.device import unlaid
from hopwell.engine.fitting import SPARE_BYTES
from hopwell.formats.blocks import FORMATS
from hopwell.formats.labels import Label
from hopwell.formats.packed import PACKABLE
from hopwell.model.config import ModelConfig
from hopwell.model.footprint import Weights
from hopwell.model.inventory import inventory
from hopwell.model.schema import Row, row_of
from hopwell.model.sharding import cut_side, share
from hopwell.parallel.layout import MOST_RANKS, Layout, LayoutError

WHICH = {"cpu": "processes", "cuda": "GPUs"}
OF_EACH = {"cpu": "process", "cuda": "GPU"}


Block = tuple[Row, tuple[int, ...], tuple[int, int]]
"""A matrix, its shape, and how many rows and columns of it stay together."""


@dataclass(frozen=True, slots=True)
class Held:
    """A model as a device of a kind will hold it."""

    config: ModelConfig
    weights: Weights
    blocks: frozenset[Block] = frozenset()
    """Of matrices that stay as they are stored."""
    packed_for: Layout | None = None
    """Of a snapshot, the only one that it is for."""

    @classmethod
    def on_gpus(cls, config: ModelConfig, weights: Weights, labels: Mapping[str, str], packed: bool) -> Held:
        """
        Args:
            labels: formats of matrices, by module, where a checkpoint says otherwise than its config.
            packed: whether four bits stay packed.
        """
        found = set[Block]()
        for spec in inventory(config):
            if spec.is_scale or not spec.quantisable or (row := row_of(spec.name)).kind.held != "stored":
                continue
            default = Label.FP8_BLOCK if spec.dtype == torch.float8_e4m3fn else Label.PLAIN
            kind = FORMATS.get(labels.get(spec.module, default))
            if kind is not None and (kind.name == Label.FP8_BLOCK or (packed and kind in PACKABLE)):
                found.add((row, spec.shape, (kind.rows, kind.columns)))
        return cls(config, weights, frozenset(found))


@dataclass(frozen=True, slots=True)
class Place:
    """Devices of one host."""

    kind: str
    """"cpu" or "cuda"."""
    free: int
    """Bytes: of each GPU; of a CPU's memory, which all ranks share."""
    count: int = MOST_RANKS
    """GPUs that there are."""

    def room(self, ranks: int) -> int:
        """Bytes that a rank's weights may take."""
        return self.free - SPARE_BYTES if self.kind == "cuda" else self.free // ranks


@dataclass(frozen=True, slots=True)
class Way:
    """Engines, each a whole model over ranks of its own."""

    layout: Layout
    copies: int

    @property
    def ranks(self) -> int:
        return self.copies * self.layout.world

    @property
    def name(self) -> str:
        """As TP4, or 2 engines of TP2."""
        return self.layout.name if self.copies == 1 else f"{self.copies} engines of {self.layout.name}"


def size(nbytes: float) -> str:
    """In words."""
    return f"{nbytes / 1e9:,.1f} GB" if nbytes >= 1e8 else f"{nbytes / 1e6:,.0f} MB"


def ways(held: Held, place: Place, ranks: int, copies: bool) -> list[Way]:
    """All ways in which so many ranks run a model there, the largest layouts first; of as large ones TP, then those
    with whole experts, then those that attend by sequence.

    Args:
        copies: several engines will do.

    Raises:
        LayoutError: there are not so many GPUs, nothing divides, or nothing fits; the message says what would do.
    """
    if ranks > MOST_RANKS:
        raise LayoutError(f"--gpus is {ranks}; give 1 to {MOST_RANKS}")
    if ranks > place.count:
        gpus = f"{place.count} GPU{'' if place.count == 1 else 's'}"
        raise LayoutError(f"--gpus {ranks}: this machine has {gpus}; give no more than that")
    dividing = list(_dividing(held, place.kind, ranks, copies))
    if not dividing:
        raise LayoutError(f"--gpus {ranks}: {_undivided(held, place, ranks, copies)}")
    fitting = [way for way in dividing if _fits(held, place, way)]
    if not fitting:
        raise LayoutError(f"--gpus {ranks}: {_too_large(held, place, dividing, copies)}")
    return fitting


def hypothetical(held: Held, place: Place, ranks: int) -> list[Layout]:
    """Layouts that divide and fit, and that this version refuses on such devices; one engine over all ranks."""
    found = (layout for layout in _all(ranks) if _divides(held, place.kind, layout))
    refused = (layout for layout in found if unlaid(place.kind, layout) is not None)
    return [layout for layout in refused if _fits(held, place, Way(layout, 1))]


def _all(world: int) -> Iterator[Layout]:
    yield Layout(world)
    if world > 1:
        yield Layout(world, ep=True)
        yield Layout(world, dp_attention=True)
        yield Layout(world, ep=True, dp_attention=True)


def _dividing(held: Held, kind: str, ranks: int, copies: bool) -> Iterator[Way]:
    for world in (n for n in range(ranks, 0, -1) if ranks % n == 0 and (copies or n == ranks)):
        for layout in _all(world):
            if unlaid(kind, layout) is None and _divides(held, kind, layout):
                yield Way(layout, ranks // world)


def _divides(held: Held, kind: str, layout: Layout) -> bool:
    """Whether fields of the config divide, and on a GPU no block of a matrix that stays as it is stored is cut."""
    if held.packed_for is not None:
        return layout == held.packed_for
    with suppress(LayoutError):
        share(held.config, layout)
        return kind != "cuda" or layout.world == 1 or not _splits_a_block(held, layout)
    return False


def _splits_a_block(held: Held, layout: Layout) -> bool:
    cuts = (
        (shape[side], block[side]) for row, shape, block in held.blocks if (side := cut_side(row, layout)) is not None
    )
    return any(length % layout.tp or length // layout.tp % block for length, block in cuts)


def _fits(held: Held, place: Place, way: Way) -> bool:
    return held.weights.on_each(way.layout) <= place.room(way.ranks)


def _undivided(held: Held, place: Place, ranks: int, copies: bool) -> str:
    if (packed_for := held.packed_for) is not None:
        remedy = (
            f"give --gpus {packed_for.world}, or a multiple with serve"
            if unlaid(place.kind, packed_for) is None
            else ""
        )
        return f"the snapshot was packed for {packed_for.name}; {remedy or 'pack it again'}"
    config = held.config
    fields = ("num_attention_heads", "intermediate_size", "moe_intermediate_size", "n_routed_experts")
    told = ", ".join(f"{name} {getattr(config, name)}" for name in fields)
    most = min(place.count, MOST_RANKS)
    could = [n for n in range(1, most + 1) if any(_dividing(held, place.kind, n, copies))]
    near = [str(n) for n in (max((n for n in could if n < ranks), default=0), next((n for n in could if n > ranks), 0))]
    remedy = " or ".join(n for n in near if n != "0")
    return f"{ranks} {WHICH[place.kind]} cannot share {told}; give --gpus {remedy}"


def _too_large(held: Held, place: Place, dividing: list[Way], copies: bool) -> str:
    least = min(dividing, key=lambda way: held.weights.on_each(way.layout))
    taken, free = held.weights.on_each(least.layout), place.room(least.ranks)
    told = f"the weights take {size(taken)} of each {OF_EACH[place.kind]} as {least.name}"
    told += f", where {size(max(free, 0))} are left for them"
    elsewhere = (n for n in range(1, MOST_RANKS + 1) if n != least.ranks)
    for n in elsewhere:
        for way in _dividing(held, place.kind, n, copies):
            if _fits(held, place, way):
                return f"{told}; --gpus {n} takes {size(held.weights.on_each(way.layout))} as {way.name}"
    return f"{told}; up to {MOST_RANKS} such {WHICH[place.kind]} do not do"
