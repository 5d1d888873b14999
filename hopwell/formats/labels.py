"""Formats by the names that configs, reports and commands have for them."""

from __future__ import annotations

from enum import StrEnum


class Label(StrEnum):
    """A weight's format. What it means is told by `formats.blocks.FORMATS` and `formats.plain`."""

    PLAIN = "plain"
    """bf16, float16 or float32 values."""
    FP8_BLOCK = "fp8_block"
    FP8_CHANNEL = "fp8_channel"
    FP8_TENSOR = "fp8_tensor"
    """One scale a matrix; read, and never written."""
    NVFP4 = "nvfp4"
    MXFP4 = "mxfp4"
    INT4_G32 = "int4_g32"
    INT4_G128 = "int4_g128"
    OTHER = "other"
    """Of a stored matrix: any that no op multiplies as it is."""
