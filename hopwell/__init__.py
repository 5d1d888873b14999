"""Hopwell: the DeepSeek-R1 family on NVIDIA GPUs, as close to the hardware's limit as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hopwell.version import __version__

__all__ = ["LLM", "SamplingParams", "__version__"]

if TYPE_CHECKING:
    from hopwell.engine.llm import LLM
    from hopwell.engine.request import SamplingParams


def __getattr__(name: str) -> Any:
    """Imports the engine (and with it torch) on first use, so that `import hopwell` costs nothing."""
    if name == "LLM":
        from hopwell.engine.llm import LLM

        return LLM
    if name == "SamplingParams":
        from hopwell.engine.request import SamplingParams

        return SamplingParams
    raise AttributeError(f"module 'hopwell' has no attribute {name!r}")
