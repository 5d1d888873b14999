"""Choosing codes together: GPTQ's error feedback and coordinate descent, both for fixed scales.

Both minimise tr((Q - W) H (Q - W)^T), H = E[x x^T]. GPTQ (Frantar et al., 2022) rounds columns one after another and
moves the rest to make up for each error; coordinate descent then revisits every code, given all others.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hopwell.formats.blocks import BlockFormat
from hopwell.formats.elements import round_elements
from hopwell.precision.hessian import PrecisionError
from hopwell.precision.scales import neighbours

BLOCK = 128
"""Columns treated before the rest of the matrix is updated in one product."""
CACHE_BYTES = 1 << 20
"""Rows are treated so many at once that their candidates stay in a core's cache."""
Rounder = Callable[[Tensor, Tensor], Tensor]
"""(values [out, n], their columns [n]) -> nearest representable values."""


def gptq(w: Tensor, moments: Tensor, order: Tensor, round_columns: Rounder, damp: float) -> Tensor:
    """Representable values of W [out, in], rounded in `order` with error feedback.

    Args:
        moments: H, float32 [in, in].
        order: a permutation of the columns; those early are rounded best, those late carry the others' errors.
        damp: share of H's mean diagonal that is added to it.

    Raises:
        PrecisionError: H cannot be inverted at any damping.
    """
    factor = inverse_factor(moments[order][:, order], damp)
    rest, out = w[:, order].clone(), torch.empty_like(w)
    for start in range(0, w.shape[1], BLOCK):
        end = min(start + BLOCK, w.shape[1])
        columns = order[start:end]
        block, local = rest[:, start:end].t().contiguous(), factor[start:end, start:end]
        errors, chosen = torch.empty_like(block), torch.empty_like(block)
        for j in range(end - start):
            chosen[j] = round_columns(block[j].unsqueeze(1), columns[j : j + 1]).squeeze(1)
            errors[j] = (block[j] - chosen[j]) / local[j, j]
            block[j:] -= torch.outer(local[j, j:], errors[j])
        out[:, columns] = chosen.t()
        rest[:, end:] -= errors.t() @ factor[start:end, end:]
    return out


def coordinate_descent(w: Tensor, q: Tensor, moments: Tensor, round_columns: Rounder, sweeps: int) -> Tensor:
    """Sweeps over all columns, moving each code to its best place given the others (QuantEase, Behdin et al., 2023)."""
    q = q.clone()
    diagonal = moments.diagonal()
    read = (diagonal > 0).tolist()  # at once: on a GPU each look at a value waits for all work before it
    every = torch.arange(w.shape[1], device=w.device)
    for _ in range(sweeps):
        before = q.clone()
        gradient = (q - w) @ moments
        for start in range(0, w.shape[1], BLOCK):
            end = min(start + BLOCK, w.shape[1])
            columns = every[start:end]
            local = moments[start:end, start:end]
            slope, values = gradient[:, start:end].t().contiguous(), q[:, start:end].t().contiguous()
            moves = torch.zeros_like(values)
            for j in range(end - start):
                if not read[start + j]:
                    continue
                target = values[j] - slope[j] / diagonal[start + j]
                new = round_columns(target.unsqueeze(1), columns[j : j + 1]).squeeze(1)
                moves[j] = new - values[j]
                slope += torch.outer(local[j], moves[j])
            q[:, start:end] += moves.t()
            gradient += moves.t() @ moments[start:end]
        if torch.equal(q, before):
            break
    return q


def inverse_factor(moments: Tensor, damp: float) -> Tensor:
    """The upper Cholesky factor of (H + damping)^-1, the damping raised tenfold while H is not positive.

    Raises:
        PrecisionError: no damping helps: H is not finite.
    """
    identity = torch.eye(len(moments), device=moments.device)
    mean = moments.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny)
    for _ in range(4):
        lower, failed = torch.linalg.cholesky_ex(moments + damp * mean * identity)
        if not failed:
            factor, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
            if not failed:
                return factor
        damp *= 10
    raise PrecisionError("the second moments of a linear's inputs are not finite: calibration activations are broken")


def joint_descent(
    w: Tensor, q: Tensor, scale: Tensor, tensor_scale: Tensor, moments: Tensor, fmt: BlockFormat
) -> tuple[Tensor, Tensor]:
    """One sweep over blocks of columns, each given the best of several scales *with* the codes that go with it.

    A scale search alone judges a scale by plain rounding, which feedback never does. Here, for every candidate, the
    block's codes are rounded with error feedback inside the block, all other blocks fixed, and the change of the whole
    objective decides.

    Args:
        w, q: the matrix and its values so far [out, in].
        scale: block scales [out, blocks], as `fmt` stores them.

    Returns:
        New values and scales; the objective never rises.
    """
    q, scale, rows = q.clone(), scale.clone(), torch.arange(len(q), device=q.device)
    gradient = (q - w) @ moments
    at_once = max(16, CACHE_BYTES // (4 * fmt.columns * len(neighbours(fmt, scale[:1, 0]))))
    move = torch.empty_like(q[:, : fmt.columns])
    for block in range(scale.shape[1]):
        span = slice(block * fmt.columns, (block + 1) * fmt.columns)
        local = moments[span, span]
        factor = inverse_factor(local, 1e-3)
        # the block's best values were codes continuous: where the objective's slope vanishes
        target = q[:, span] - gradient[:, span] @ (factor.t() @ factor)
        for some in rows.split(at_once):
            tried = neighbours(fmt, scale[some, block])
            unit = tried * tensor_scale
            rest = target[some].t().unsqueeze(1).expand(-1, *tried.shape).clone()  # [columns, candidates, out]
            chosen = torch.empty_like(rest)
            for j in range(fmt.columns):
                chosen[j] = round_elements(fmt.elements, rest[j] / unit) * unit
                error = (rest[j] - chosen[j]) / factor[j, j]
                rest[j:] -= factor[j, j:, None, None] * error
            moves = (chosen - q[some, span].t().unsqueeze(1)).permute(1, 2, 0)  # [candidates, out, columns]
            change = ((moves @ local) * moves).sum(-1) + 2 * (moves * gradient[some, span]).sum(-1)
            least, index = change.min(0)
            move[some] = torch.where(
                (least < 0).unsqueeze(1), moves[index, torch.arange(len(some), device=q.device)], 0.0
            )
            scale[some, block] = torch.where(
                least < 0, tried[index, torch.arange(len(some), device=q.device)], scale[some, block]
            )
        q[:, span] += move
        gradient += move @ moments[span]
    return q, scale
