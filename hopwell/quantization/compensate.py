"""Adaptive error compensation of one matrix: refinements tried in order, each kept only if held-out rows agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hopwell.formats.blocks import BlockFormat, Quantized, over_elements, quantize, tensor_scale_for
from hopwell.quantization.gptq import Rounder, coordinate_descent, gptq, joint_descent
from hopwell.quantization.hessian import Inputs, damping
from hopwell.quantization.scales import search_scales


@dataclass(frozen=True, slots=True)
class Methods:
    """Which refinements to try; each can be left out, for ablation."""

    scales: bool = True
    """Block scales weighted by E[x^2], over an expanded range."""
    feedback: bool = True
    """GPTQ, columns in order of E[x^2]."""
    sweeps: int = 3
    """Of coordinate descent."""
    joint: bool = True
    """Scales chosen anew together with their codes, then coordinate descent again."""
    damp: float | None = None
    """GPTQ's damping; None chooses by the number of tokens."""


@dataclass(slots=True)
class Compensated:
    """A quantised matrix and how it came about."""

    quantized: Quantized
    errors: dict[str, float] = field(default_factory=dict)
    """Squared output error on held-out rows, relative to the output's own square, of every rung tried."""
    rung: str = "rtn"
    """The refinement that was kept."""

    @classmethod
    def plain(cls, q: Quantized, w: Tensor, inputs: Inputs) -> Compensated:
        """Plain rounding alone, with its error."""
        signal = inputs.judge.error(w) or 1.0
        return cls(q, {"rtn": inputs.judge.error(q.dequantize() - w) / signal})

    @property
    def before(self) -> float:
        """Relative squared error of plain rounding."""
        return self.errors["rtn"]

    @property
    def after(self) -> float:
        """Relative squared error of what was kept: never above `before`."""
        return self.errors[self.rung]


def peak_of(matrices: Sequence[Tensor]) -> Tensor:
    """The largest magnitude of matrices that must share NVFP4's tensor scale."""
    return torch.stack([w.abs().amax() for w in matrices]).amax()


def rounded(matrices: Sequence[Tensor], fmt: BlockFormat) -> list[Quantized]:
    """Such matrices, rounded plainly."""
    scale = tensor_scale_for(fmt, peak_of(matrices))
    return [quantize(w, fmt, tensor_scale=scale) for w in matrices]


def compensate(
    w: Tensor, inputs: Inputs, fmt: BlockFormat, methods: Methods = Methods(), peak: Tensor | None = None
) -> Compensated:
    """Quantises W [out, in] for the inputs it gets.

    Args:
        inputs: second moments to fit to, and the held-out rows that judge.
        peak: `peak_of` this matrix and those with which it shares a scale; default: of this one.

    Returns:
        The best of plain rounding, scale search, GPTQ and coordinate descent on the held-out rows.

    Raises:
        ValueError: the shape does not fit the format, or W holds NaN or infinity.
    """
    w = w.float()
    peak = w.abs().amax() if peak is None else peak
    signal = inputs.judge.error(w) or 1.0
    result = Compensated(quantize(w, fmt, tensor_scale=tensor_scale_for(fmt, peak)))

    def offer(rung: str, q: Quantized) -> None:
        result.errors[rung] = inputs.judge.error(q.dequantize() - w) / signal
        if rung == "rtn" or result.errors[rung] < result.after:
            result.quantized, result.rung = q, rung

    offer("rtn", result.quantized)
    scale, tensor_scale = result.quantized.scale, result.quantized.tensor_scale
    diagonal = inputs.moments.diagonal()
    if methods.scales:
        tensor_scale = tensor_scale_for(fmt, peak, room=True)
        scale = search_scales(w, fmt, tensor_scale, diagonal)
        offer("scales", quantize(w, fmt, scale, tensor_scale))
    rounder = Rounder(fmt, over_elements(fmt, scale * tensor_scale, w.shape))
    q = quantize(w, fmt, scale, tensor_scale).dequantize()
    if methods.feedback:
        damp = damping(inputs.tokens, w.shape[1]) if methods.damp is None else methods.damp
        order, factor = inputs.feedback(damp)
        q = gptq(w, inputs.moments, order, rounder, damp, factor)
        offer("gptq", rounder.quantized(q, scale, tensor_scale))
    if methods.sweeps:
        ridge = diagonal.mean() * damping(inputs.tokens, w.shape[1]) / 10
        damped = inputs.moments + ridge * torch.eye(w.shape[1], device=w.device)
        q = coordinate_descent(w, q, damped, rounder, methods.sweeps)
        offer("descent", rounder.quantized(q, scale, tensor_scale))
        if methods.joint and fmt.rows == 1 and fmt.columns:
            q, scale = joint_descent(w, q, scale, tensor_scale, damped, fmt)
            rounder = Rounder(fmt, over_elements(fmt, scale * tensor_scale, w.shape))
            q = coordinate_descent(w, q, damped, rounder, methods.sweeps)
            offer("joint", rounder.quantized(q, scale, tensor_scale))
    return result
