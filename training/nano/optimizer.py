"""Muon for matrices, AdamW for the rest; float32 masters, and the rounded copies that the forward pass reads."""

from __future__ import annotations

import torch
from torch import Tensor

from hopwell.formats.fp8 import dequantize_fp8_block, quantize_fp8_block
from training.nano.network import FP8, Parameters

EXPERTS = ("moe_gate", "moe_up", "moe_down")
MUON = (*FP8, "eh_proj")
BETAS, EPS = (0.9, 0.95), 1e-10
MOMENTUM = 0.95


def orthogonalize(g: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix, nearly: five quintic Newton-Schulz steps (Jordan et al., Muon, 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return x.mT if tall else x


def _direction(g: Tensor) -> Tensor:
    return orthogonalize(g).float() * (0.2 * max(g.shape[-2:]) ** 0.5)


class Optimizer:
    """Steps all parameters. An update of Muon has the root mean square of one of AdamW (Liu et al., 2025)."""

    def __init__(self, masters: Parameters, expert_width: int, weight_decay: float) -> None:
        self.masters, self.width, self.decay = masters, expert_width, weight_decay
        self.first = {name: torch.zeros_like(p) for name, p in masters.items()}
        self.second = {name: torch.zeros_like(p) for name, p in masters.items() if name not in MUON}
        self.steps = 0

    @torch.no_grad()
    def step(self, gradients: Parameters, lr: float) -> None:
        self.steps += 1
        for name, g in gradients.items():
            p, m = self.masters[name], self.first[name]
            if name in MUON:
                m.lerp_(g.float(), 1 - MOMENTUM)
                direction = self._split_experts(name, g.float().lerp(m, MOMENTUM))
                p.mul_(1 - lr * self.decay).add_(direction, alpha=-lr)
                continue
            v = self.second[name]
            m.lerp_(g.float(), 1 - BETAS[0])
            v.lerp_(g.float().square(), 1 - BETAS[1])
            corrected = (v / (1 - BETAS[1] ** self.steps)).sqrt_().add_(EPS)
            p.addcdiv_(m, corrected, value=-lr / (1 - BETAS[0] ** self.steps))

    def _split_experts(self, name: str, g: Tensor) -> Tensor:
        """The direction of each matrix; of the experts', which are laid side by side, of each expert's own."""
        if name not in EXPERTS:
            return _direction(g)
        if name == "moe_down":
            parts = g.unflatten(-1, (-1, self.width)).movedim(-2, -3)  # [layers, experts, hidden, width]
            return _direction(parts).movedim(-3, -2).flatten(-2)
        return _direction(g.unflatten(-2, (-1, self.width))).flatten(-3, -2)


class Rounded:
    """The parameters as inference will read them: bf16, and FP8 blocks where the format has them once `fp8` is on.

    Gradients are taken with respect to these copies and applied to the masters (straight through the rounding).
    """

    def __init__(self, masters: Parameters, dtype: torch.dtype) -> None:
        self.masters, self.dtype = masters, dtype
        self.copies = {n: p.to(dtype, copy=True).requires_grad_() for n, p in masters.items()}

    @torch.no_grad()
    def refresh(self, fp8: bool) -> None:
        for name, copy in self.copies.items():
            master = self.masters[name]
            copy.copy_(fp8_round(master) if fp8 and name in FP8 else master)

    def take_gradients(self) -> Parameters:
        """The gradients since the last call."""
        gradients = {n: c.grad for n, c in self.copies.items() if c.grad is not None}
        for copy in self.copies.values():
            copy.grad = None
        return gradients


def fp8_round(w: Tensor) -> Tensor:
    """What is left of a matrix after R1's FP8: of its bf16 value, as the export writes it."""
    return dequantize_fp8_block(*quantize_fp8_block(w.bfloat16()), torch.bfloat16)
