"""Which way attention is computed, absorbed or not, and which kernels compute it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, overload

from hopwell.ops.device import Device
from hopwell.ops.sizes import cdiv
from hopwell.ops.variant import Variant

UNABSORBED_FROM = 128
"""Queries of one sequence from which rebuilding keys and values is cheaper than attending in latent space."""
PERSISTENT_BELOW = 64
"""Tiles of queries a head below which the programs of the prefill kernel stay and take tile after tile."""


class Shape(NamedTuple):
    """What attention's kernels are chosen by."""

    tokens: int
    """Queries, of all sequences."""
    heads: int
    rank: int = 512
    """Of the latent."""
    splits: int = 1
    """KV splits to merge."""
    tiles: int = 0
    """Of queries, a head: of prompts."""
    aligned: bool = True
    """Prompts' rows can be copied 16 bytes at a time."""


@dataclass(frozen=True, slots=True)
class QueryVariant(Variant):
    """How queries are carried into the latent space."""

    tile: int
    """Tokens of a program."""
    columns: int
    """Of the latent."""


@dataclass(frozen=True, slots=True)
class DecodeVariant(Variant):
    """How attention in latent space is computed: which side of the product the heads are on, how far ahead pages are
    fetched."""

    swap_ab: bool
    """Pages on the matrix unit's long side and heads on the short one: `_decode`, for bf16 caches on Hopper and few
    heads. Else heads on the long side."""
    heads: int
    """Heads of a program."""
    warps: int
    stages: int
    ahead: bool = True
    """Page numbers are read a page early; `_decode` alone may do without."""
    gluon: bool = False
    """On Hopper: `_decode_64`; for 16 heads a program `_decode_16`; for an FP8 cache `_decode_codes`, of any number."""
    splits: int = 1
    """KV splits of a sequence's context (flash-decoding)."""


@dataclass(frozen=True, slots=True)
class MergeVariant(Variant):
    """How the KV splits are merged and carried out of the latent space."""

    beside: int
    """Splits that a program merges side by side."""
    tile: int
    """Tokens that it handles."""


@dataclass(frozen=True, slots=True)
class PrefillVariant(Variant):
    """How prompts attend, un-absorbed."""

    programs: int
    """That share the tiles of all heads."""


@overload
def choose(op: Literal["query"], shape: Shape, fp8_cache: bool, device: Device) -> QueryVariant: ...
@overload
def choose(op: Literal["decode"], shape: Shape, fp8_cache: bool, device: Device) -> DecodeVariant: ...
@overload
def choose(op: Literal["merge"], shape: Shape, fp8_cache: bool, device: Device) -> MergeVariant: ...
@overload
def choose(op: Literal["prefill"], shape: Shape, fp8_cache: bool, device: Device) -> PrefillVariant: ...
@lru_cache(maxsize=4096)
def choose(op: str, shape: Shape, fp8_cache: bool, device: Device) -> Variant:
    """The variant of one of attention's kernels: queries into the latent space, attention there, its splits merged and
    carried out, or prompts' attention on rebuilt keys and values."""
    return {"query": _query, "decode": _decode, "merge": _merge, "prefill": _prefill}[op](shape, fp8_cache, device)


def way(new_tokens: int, fixed: bool | None = None) -> Variant:
    """`absorbed`, in latent space (MQA, 576/512), or `unabsorbed`, keys and values rebuilt (MHA, 192/128).

    Args:
        new_tokens: of one sequence, in this step.
        fixed: `Transformer.absorbed`; None lets the number decide.
    """
    if fixed is not None:
        return Variant("absorbed" if fixed else "unabsorbed", "fixed for the model")
    if new_tokens < UNABSORBED_FROM:
        return Variant("absorbed", f"fewer than {UNABSORBED_FROM} new tokens a sequence")
    return Variant("unabsorbed", f"{UNABSORBED_FROM} new tokens a sequence, or more")


def _query(shape: Shape, fp8_cache: bool, device: Device) -> QueryVariant:
    """Narrow programs where wide ones would leave multiprocessors idle."""
    tile = 16 if shape.tokens <= 16 else 32 if shape.tokens <= 32 else 64
    programs = shape.heads * (shape.rank // 128) * cdiv(shape.tokens, tile)
    columns = 64 if programs < device.multiprocessors else 128
    return QueryVariant("triton", f"tiles of {tile} tokens x {columns} latent columns", tile, columns)


def _decode(shape: Shape, fp8_cache: bool, device: Device) -> DecodeVariant:
    """On Hopper as `benchmarks.gpu --part forms` found it."""
    few, heads = shape.heads <= 16, "at most 16 heads" if shape.heads <= 16 else "more than 16 heads"
    cache, splits = "an FP8 cache" if fp8_cache else "a bf16 cache", _splits(shape.tokens, shape.heads, device)
    if device.has_gluon and fp8_cache:
        idle = 2 * shape.tokens * splits <= device.multiprocessors and 16 < shape.heads <= 32
        how = (64, 8, 1) if shape.heads > 32 else (16 if few or idle else 32, 4, 1)
        why = f"{cache} and {heads} on Hopper" + (", multiprocessors left" if idle else "")
        return DecodeVariant("gluon_fp8", why, False, *how, gluon=True, splits=splits)
    if device.has_gluon and (shape.tokens > 4 or not few):
        how = (16, 4, 1) if few else (64, 8, 1)
        why = f"{cache} and {heads} on Hopper"
        return DecodeVariant("gluon_16" if few else "gluon_64", why, False, *how, gluon=True, splits=splits)
    if not few or fp8_cache or device.capability >= 100 or shape.tokens > 4:
        why = f"{cache} and {heads}" + (" on Blackwell" if device.capability >= 100 else "")
        return DecodeVariant("triton", why, False, 16 if few else 32, 8, 3, splits=splits)
    why = f"{cache}, {heads} and at most 4 queries on Hopper"
    return DecodeVariant("triton_swap_ab", why, True, 16, 4, 2, ahead=False, splits=splits)


def _splits(tokens: int, heads: int, device: Device) -> int:
    """Cuts of a sequence's context, a power of two: enough for every multiprocessor to have one."""
    programs = tokens * cdiv(heads, 64)
    splits = 1
    while splits < 64 and programs * splits * 2 <= device.multiprocessors:
        splits *= 2
    return splits


def _merge(shape: Shape, fp8_cache: bool, device: Device) -> MergeVariant:
    """Each program reads a head's matrix, so there are no more of them than multiprocessors if that can be. The same
    for all steps of as many splits, for each is compiled ahead."""
    splits, heads, sms = shape.splits, shape.heads, device.multiprocessors
    tokens = 128 if splits == 1 else 1 << ((sms // (cdiv(heads, 64) * splits)).bit_length() - 1)
    beside, tile = min(splits, 16), 16 // min(splits, 16)
    while beside > 1 and heads * cdiv(tokens, tile) > sms:
        beside, tile = beside // 2, tile * 2
    while tile < 64 and heads * cdiv(tokens, tile) > 2 * sms:
        tile *= 2
    return MergeVariant("triton", f"{beside} of {splits} splits side by side, {tile} tokens a program", beside, tile)


def _prefill(shape: Shape, fp8_cache: bool, device: Device) -> PrefillVariant:
    """Programs that stay hide the start of a short tile; long tiles, which differ more, go to whoever becomes free."""
    every = shape.tiles * shape.heads
    if not device.has_gluon or not shape.aligned:
        why = "rows cannot be copied 16 bytes at a time" if device.has_gluon else "the Gluon kernel is for Hopper"
        return PrefillVariant("triton", why, every)
    programs = every if shape.tiles >= PERSISTENT_BELOW else min(every, device.multiprocessors)
    return PrefillVariant("gluon", "Hopper: softmax runs beside another warpgroup's products", programs)
