"""How norms, SwiGLU's middle and activation quantisation, which are bound by bytes, are shared out among programs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from hopwell.ops.sizes import cdiv, next_power_of_2
from hopwell.ops.variant import Variant

Op = Literal["add_norm", "silu_mul", "quantize"]

CHUNK = 1024
"""Values of a row that one program of `add_norm` handles, where there are few rows."""
MANY = 128
"""Rows above which a program handles more: there are programs enough, and each start costs."""


class Shape(NamedTuple):
    rows: int
    width: int


@dataclass(frozen=True, slots=True)
class RowsVariant(Variant):
    """How many programs share a row, and of how many values and rows each."""

    values: int
    """Of a row, a program's: a multiple of 128."""
    programs: int
    """That share a row."""
    rows: int = 1
    """Of a program."""


@lru_cache(maxsize=4096)
def choose(op: Op, shape: Shape) -> RowsVariant:
    """The cut of rows [rows, width]; these kernels have one form for all formats and devices."""
    many = shape.rows > (16 * MANY if op == "silu_mul" else MANY)
    at_once = 1
    if op == "add_norm":
        values = min(4 * CHUNK, next_power_of_2(shape.width)) if many else CHUNK
    elif op == "silu_mul":
        groups = min(16 if many else 8, next_power_of_2(cdiv(shape.width, 128)))
        values, at_once = 128 * groups, 16 // groups if many else 1
    else:
        values = 128 * min(32 if many else 8, next_power_of_2(shape.width // 128))
    programs = cdiv(shape.width, values)
    words = f"{values} values of {at_once} row{'s' * (at_once > 1)} a program"
    return RowsVariant("triton", f"{'many' if many else 'few'} rows: {words}", values, programs, at_once)
