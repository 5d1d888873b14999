"""What calibration keeps of a linear's inputs: their second moments, and rows held out to judge by."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hopwell.errors import HopwellError
from hopwell.quantization.stages import stage


class PrecisionError(HopwellError):
    """A conversion cannot be done as asked; the message says what stands against it."""


HELD_OUT_SHARE = 4
"""One calibration row in so many is held out: it chooses nothing but whether a refinement is kept."""
ENOUGH_TO_JUDGE = 64
"""Held-out rows below which an expert borrows the layer's."""


@dataclass(slots=True)
class Inputs:
    """A linear's inputs: float32 second moments E[x x^T] [in, in], and held-out rows [n, in]."""

    moments: Tensor
    held_out: Tensor
    tokens: int
    """Rows behind `moments`."""
    judge: Judge = field(init=False)
    """Holds `held_out`."""
    _feedback: dict[float, tuple[Tensor, Tensor]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.judge = Judge(self.held_out)

    @classmethod
    @stage("moments")
    def of(cls, x: Tensor, name: str = "input", keep: int = 4096) -> Inputs:
        """Splits rows [n, in] by position: every fourth is held out (`keep` at most).

        Raises:
            PrecisionError: a row holds NaN or infinity; the message names the linear.
        """
        x = x.float()
        finite = x.isfinite().all(1)
        if not finite.all():
            row = int((~finite).nonzero()[0])
            raise PrecisionError(
                f"{name}: the activation of calibration row {row} holds NaN or infinity; the model fails"
            )
        held = torch.arange(len(x), device=x.device) % HELD_OUT_SHARE == HELD_OUT_SHARE - 1
        fit = x[~held]
        return cls(second_moments(fit), x[held][:keep].contiguous(), len(fit))

    @classmethod
    def nothing(cls, width: int, device: torch.device | str = "cpu") -> Inputs:
        """No statistics at all."""
        return cls(torch.zeros(0, 0, device=device), torch.zeros(0, width, device=device), 0)

    def feedback(self, damp: float) -> tuple[Tensor, Tensor]:
        """GPTQ's order of columns, those with the largest E[x^2] first, and `inverse_factor` in that order.

        Kept: a large Hessian takes longer to factor than a matrix to round, and gate and up read the same inputs.
        """
        if damp not in self._feedback:
            order = torch.argsort(self.moments.diagonal(), descending=True, stable=True)
            self._feedback[damp] = order, inverse_factor(self.moments[order][:, order], damp)
        return self._feedback[damp]

    @stage("moments")
    def mixed_with(self, layer: Inputs, share: float) -> Inputs:
        """An expert's own statistics with `share` of the whole layer's.

        Few tokens make a Hessian that misleads GPTQ; the layer's, though of other tokens, keeps it sane. An expert
        with few held-out rows of its own is judged by the layer's as well.
        """
        moments = layer.moments if not self.tokens else torch.lerp(self.moments, layer.moments, share)
        held_out = self.held_out
        if len(held_out) < ENOUGH_TO_JUDGE:
            held_out = torch.cat((held_out, layer.held_out[: 2 * ENOUGH_TO_JUDGE]))
        return Inputs(moments, held_out, self.tokens)


@stage("factor")
def inverse_factor(moments: Tensor, damp: float) -> Tensor:
    """The upper Cholesky factor of (H + damping)^-1, the damping raised tenfold while H is not positive.

    Raises:
        PrecisionError: no damping helps: H is not finite.
    """
    for _ in range(4):
        factor, failed = _try_factor(moments, damp)
        if not failed:
            return factor
        damp *= 10
    raise PrecisionError("the second moments of a linear's inputs are not finite: calibration activations are broken")


@stage("factor")
def inverse_factors(moments: Tensor, damp: float) -> Tensor:
    """`inverse_factor` of many small matrices [blocks, n, n], with one look at the outcome of all."""
    factors, failed = _try_factor(moments, damp)
    return torch.stack([inverse_factor(m, damp) for m in moments]) if failed.any() else factors


def _try_factor(moments: Tensor, damp: float) -> tuple[Tensor, Tensor]:
    """The upper Cholesky factors of inverses of [..., n, n], and which failed, [...]."""
    identity = torch.eye(moments.shape[-1], device=moments.device)
    mean = moments.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(torch.finfo(torch.float32).tiny)
    lower, failed = torch.linalg.cholesky_ex(moments + damp * mean[..., None, None] * identity)
    lower = torch.where((failed != 0)[..., None, None], identity, lower)  # which always has an inverse
    factor, again = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
    return factor, (failed != 0) | (again != 0)


def second_moments(x: Tensor) -> Tensor:
    """E[x x^T] over rows [n, in]; zeros if there are none."""
    return x.t() @ x / max(len(x), 1)


def output_error(difference: Tensor, held_out: Tensor) -> float:
    """Mean squared norm of what `difference` [out, in] does to held-out rows [n, in]."""
    return float((held_out @ difference.t()).square().sum(dtype=torch.float64)) / max(len(held_out), 1)


class Judge:
    """Held-out rows [n, in] to hold one rounding after another against.

    Where rows are many, their second moments say the same for a fraction of the products: sum |Dx|^2 = tr(D X^T X D^T).
    """

    def __init__(self, held_out: Tensor) -> None:
        self.held_out = held_out
        self.many = len(held_out) > 2 * held_out.shape[1]
        self._gram: Tensor | None = None

    @stage("judge")
    def error(self, difference: Tensor) -> float:
        """As `output_error`, to about six digits."""
        if not self.many:
            return output_error(difference, self.held_out)
        if self._gram is None:
            self._gram = second_moments(self.held_out)
        return float(((difference @ self._gram) * difference).sum(dtype=torch.float64))


def layer_share(tokens: int, width: int) -> float:
    """How much of the layer's Hessian an expert's gets: half while its tokens are few, less when they suffice.

    Measured on emulated experts: mixing half beat both the expert's own and the layer's Hessian from 64 to 512 tokens.
    """
    if tokens < width / 2:
        return 0.5
    return 0.3 if tokens < 4 * width else 0.0


def damping(tokens: int, width: int) -> float:
    """Share of the mean diagonal added to a Hessian before it is inverted: more where tokens are few."""
    return 0.10 if tokens < 2 * width else 0.01
