"""Compensation: objectives that must fall, optima found by enumeration, and the guard that plain rounding backs."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from hopwell.formats.blocks import FORMATS, INT4_G32, NVFP4, over_elements, quantize, tensor_scale_for
from hopwell.quantization.compensate import Methods, Rounder, compensate
from hopwell.quantization.gptq import coordinate_descent, gptq, joint_descent
from hopwell.quantization.hessian import (
    Inputs,
    PrecisionError,
    inverse_factor,
    inverse_factors,
    output_error,
    second_moments,
)
from hopwell.quantization.outliers import high_low
from hopwell.quantization.scales import candidates, search_scales


def correlated(rows: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator) * torch.logspace(0, -2, width)[:, None]
    return torch.randn(rows, width, generator=generator) @ mixing


def objective(w: Tensor, q: Tensor, moments: Tensor) -> float:
    d = (q - w).double()
    return float(((d @ moments.double()) * d).sum())


@pytest.fixture
def w() -> Tensor:
    return torch.randn(48, 128, generator=torch.Generator().manual_seed(3))


def test_gptq_is_the_greedy_least_squares_of_its_definition(w: Tensor) -> None:
    """Each column is rounded, then all later ones move to the exact least-squares optimum: by dense solves, float64."""
    w, x = w[:6, :32], correlated(400, 32)
    moments = second_moments(x)
    order = torch.argsort(moments.diagonal(), descending=True)
    q0 = quantize(w, INT4_G32)
    rounder = Rounder(INT4_G32, over_elements(INT4_G32, q0.scale, w.shape))
    damp = 0.01
    h = (moments + damp * moments.diagonal().mean() * torch.eye(32)).double()
    rest, chosen = w.double().clone(), torch.zeros_like(w)
    for place, column in enumerate(order.tolist()):
        chosen[:, column] = rounder(rest[:, column : column + 1].float(), torch.tensor([column]))[:, 0]
        error = rest[:, column] - chosen[:, column]
        later = order[place + 1 :]
        if len(later):
            rest[:, later] += error[:, None] * torch.linalg.solve(h[later][:, later], h[later, column])[None]
    found = gptq(w, moments, order, rounder, damp)
    assert (found != chosen).float().mean() < 0.02  # float32 may take another side of a tie
    assert objective(w, found, h.float()) == pytest.approx(objective(w, chosen, h.float()), rel=0.02)


def test_each_stage_lowers_the_objective_that_it_minimises(w: Tensor) -> None:
    moments = second_moments(correlated(2000, 128))
    start = quantize(w, NVFP4)
    rounder = Rounder(NVFP4, over_elements(NVFP4, start.scale * start.tensor_scale, w.shape))
    order = torch.argsort(moments.diagonal(), descending=True)
    rounded = start.dequantize()
    fed = gptq(w, moments, order, rounder, 0.01)
    swept = coordinate_descent(w, fed, moments, rounder, 3)
    joint, scale = joint_descent(w, swept, start.scale, start.tensor_scale, moments, NVFP4)
    values = [objective(w, q, moments) for q in (rounded, fed, swept, joint)]
    assert values == sorted(values, reverse=True) and values[1] < 0.7 * values[0] and values[3] < values[2]
    assert torch.equal(scale.to(torch.float8_e4m3fn).float(), scale)
    again = coordinate_descent(w, swept, moments, rounder, 50)
    settled = coordinate_descent(w, again, moments, rounder, 1)
    assert torch.equal(again, settled)  # a fixed point: no single code can improve


def test_descent_finds_no_code_that_enumeration_improves() -> None:
    torch.manual_seed(5)
    w, moments = torch.randn(1, 16), second_moments(correlated(100, 16))
    start = quantize(w, NVFP4)
    unit = start.scale * start.tensor_scale
    rounder = Rounder(NVFP4, over_elements(NVFP4, unit, w.shape))
    q = coordinate_descent(w, start.dequantize(), moments, rounder, 100)
    best = objective(w, q, moments)
    grid = [s * v for s, v in itertools.product((-1, 1), (0, 0.5, 1, 1.5, 2, 3, 4, 6))]
    for column, value in itertools.product(range(16), grid):
        other = q.clone()
        other[0, column] = value * unit.item()
        assert objective(w, other, moments) >= best * (1 - 1e-5)


def test_scale_search_takes_the_best_candidate_of_every_block(w: Tensor) -> None:
    weights = torch.rand(128) + 0.1
    tensor_scale = tensor_scale_for(NVFP4, w.abs().amax(), room=True)

    def errors(scale: Tensor) -> Tensor:
        d = quantize(w, NVFP4, scale, tensor_scale).dequantize() - w
        return (d.square() * weights).unflatten(1, (-1, 16)).sum(-1)

    plain = quantize(w, NVFP4, tensor_scale=tensor_scale).scale
    tried = [(plain * m).clamp(2.0**-9, 448).to(torch.float8_e4m3fn).float() for m in candidates(NVFP4)]
    least = torch.stack([errors(s) for s in tried]).amin(0)
    torch.testing.assert_close(errors(search_scales(w, NVFP4, tensor_scale, weights)), least)


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("tokens", [5, 40, 2000])
def test_never_worse_than_plain_rounding_on_the_rows_that_judge(w: Tensor, name: str, tokens: int) -> None:
    inputs = Inputs.of(correlated(tokens, 128, seed=tokens))
    done = compensate(w, inputs, FORMATS[name])
    plain = output_error(quantize(w, FORMATS[name]).dequantize() - w, inputs.held_out)
    assert output_error(done.quantized.dequantize() - w, inputs.held_out) <= plain
    assert done.after <= done.before and done.rung in done.errors
    assert done.quantized.scale.isfinite().all()
    if tokens == 2000:
        assert done.after < 0.6 * done.before


def test_methods_are_separable(w: Tensor) -> None:
    inputs = Inputs.of(correlated(1000, 128))
    rungs = {
        frozenset(compensate(w, inputs, NVFP4, m).errors)
        for m in (Methods(False, False, 0), Methods(True, False, 0), Methods(False, True, 0), Methods(joint=False))
    }
    assert rungs == {
        frozenset({"rtn"}),
        frozenset({"rtn", "scales"}),
        frozenset({"rtn", "gptq"}),
        frozenset({"rtn", "scales", "gptq", "descent"}),
    }


def test_residual_channels_cost_bytes_and_buy_accuracy(w: Tensor) -> None:
    inputs = Inputs.of(correlated(2000, 128))
    start = compensate(w, inputs, NVFP4)
    some, all_of_them = high_low(w, inputs, start, 32), high_low(w, inputs, start, 128)
    assert start.after > some.after > 10 * all_of_them.after
    kept = some.quantized
    assert some.after == pytest.approx(inputs.judge.error(kept.dequantize() - w) / inputs.judge.error(w))
    assert kept.nbytes == NVFP4.nbytes((48, 128)) + NVFP4.nbytes((48, 32)) - 4 + 4 * 32  # one tensor scale
    assert kept.columns.tolist() == sorted(set(kept.columns.tolist())) and kept.columns.dtype == torch.int32


@pytest.mark.parametrize("name", FORMATS)
def test_fitting_all_codes_to_the_residuals_beats_adding_them(w: Tensor, name: str) -> None:
    rows = correlated(2500, 128)
    inputs, fresh = Inputs.of(rows[:2000]), rows[2000:]
    start = compensate(w, inputs, FORMATS[name])
    added, fitted = (high_low(w, inputs, start, 32, fit) for fit in (False, True))
    plain, without, *errors = (
        output_error(q.dequantize() - w, fresh)
        for q in (quantize(w, FORMATS[name]), start.quantized, added.quantized, fitted.quantized)
    )
    assert fitted.rung.startswith("columns_") and plain > without >= errors[0] > 1.1 * errors[1]


def test_residuals_that_do_not_help_are_zeros(w: Tensor) -> None:
    """Held-out rows unlike those that were fitted to: nothing may end worse than without."""
    inputs = Inputs(second_moments(correlated(2000, 128)), torch.eye(128)[:1], 2000)
    start = compensate(w, inputs, NVFP4)
    done = high_low(w, inputs, start, 16)
    assert done.after <= start.after <= done.before
    exact = quantize(w, NVFP4).dequantize()
    nothing = high_low(exact, inputs, compensate(exact, inputs, NVFP4), 16)
    assert nothing.rung == "none" and torch.equal(nothing.quantized.dequantize(), exact)


def test_an_expert_without_tokens_takes_the_layers_statistics(w: Tensor) -> None:
    layer = Inputs.of(correlated(500, 128))
    nothing = Inputs.of(torch.zeros(0, 128)).mixed_with(layer, 0.5)
    assert torch.equal(nothing.moments, layer.moments) and len(nothing.held_out) > 0
    done = compensate(w, nothing, NVFP4)
    assert done.after < done.before and done.quantized.scale.isfinite().all()


def test_a_hessian_is_factored_once_for_all_that_read_its_inputs() -> None:
    inputs = Inputs.of(correlated(500, 128))
    order, factor = inputs.feedback(0.01)
    assert inputs.feedback(0.01)[1] is factor and inputs.feedback(0.1)[1] is not factor
    assert torch.equal(factor, inverse_factor(inputs.moments[order][:, order], 0.01))


def test_many_small_factors_are_those_of_each_alone() -> None:
    moments = torch.stack([second_moments(correlated(100, 16, seed)) for seed in range(5)])
    torch.testing.assert_close(inverse_factors(moments, 1e-3), torch.stack([inverse_factor(m, 1e-3) for m in moments]))
    moments[2] = torch.eye(16)
    moments[2, 0, 1] = moments[2, 1, 0] = 1.005  # positive once it is damped ten times as much
    found = inverse_factors(moments, 1e-3)
    torch.testing.assert_close(found[3], inverse_factor(moments[3], 1e-3))
    assert found.isfinite().all()
    torch.testing.assert_close(found[2], inverse_factor(moments[2], 1e-2))


def test_broken_activations_are_refused_by_name() -> None:
    x = torch.ones(8, 16)
    x[3, 2] = torch.nan
    with pytest.raises(PrecisionError, match=r"layers\.0\.q_proj: .* row 3 holds NaN"):
        Inputs.of(x, "layers.0.q_proj")
    with pytest.raises(PrecisionError, match="not finite"):
        inverse_factor(torch.full((4, 4), torch.nan), 0.01)
