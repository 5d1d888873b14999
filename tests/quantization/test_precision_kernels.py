"""The kernels that choose codes, against the loops in plain PyTorch that say what they mean: on a GPU compiled, without
one in Triton's interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from hopwell.formats.blocks import FORMATS, NVFP4, BlockFormat, Quantized, over_elements, quantize
from hopwell.formats.elements import round_elements
from hopwell.ops.device import plain_ops
from hopwell.quantization.compensate import compensate
from hopwell.quantization.gptq import Rounder, coordinate_descent, gptq, joint_descent
from hopwell.quantization.hessian import Inputs, second_moments
from hopwell.quantization.outliers import high_low

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

ELEMENTS = ["nvfp4", *(pytest.param(name, marks=pytest.mark.slow) for name in ("int4_g32", "fp8_channel"))]


@contextmanager
def kernels() -> Iterator[None]:
    """Within, kernels choose the codes, on a CPU too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hopwell.quantization.gptq.on_gpu", lambda x: True)
        yield


def correlated(rows: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(width, width, generator=generator) * torch.logspace(0, -2, width)[:, None]
    return (torch.randn(rows, width, generator=generator) @ mixing).to(DEVICE)


def matrix(rows: int, width: int) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(3)).to(DEVICE)


def rounder_of(q: Quantized) -> Rounder:
    return Rounder(q.format, over_elements(q.format, q.scale * q.tensor_scale, q.shape))


def objective(w: Tensor, q: Tensor, moments: Tensor) -> float:
    d = (q - w).double()
    return float(((d @ moments.double()) * d).sum())


def assert_as_good(w: Tensor, found: Tensor, wanted: Tensor, moments: Tensor) -> None:
    """The same values in the interpreter. A GPU adds a product before it rounds: a tie that tips moves all that follows
    it, and the objective stays where it was."""
    assert objective(w, found, moments) == pytest.approx(objective(w, wanted, moments), rel=1e-2)
    if DEVICE == "cpu":
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", ELEMENTS)
def test_a_block_is_rounded_with_feedback_as_in_plain_pytorch(name: str) -> None:
    w, moments = matrix(13, 160), second_moments(correlated(400, 160))
    rounder = rounder_of(quantize(w, FORMATS[name]))
    order = torch.argsort(moments.diagonal(), descending=True)
    with plain_ops():
        wanted = gptq(w, moments, order, rounder, 0.01)
    with kernels():
        found = gptq(w, moments, order, rounder, 0.01)
    assert_as_good(w, found, wanted, moments)


@pytest.mark.parametrize("name", ELEMENTS)
def test_a_block_descends_as_in_plain_pytorch(name: str) -> None:
    w, moments = matrix(13, 160), second_moments(correlated(400, 160))
    moments[7] = moments[:, 7] = 0.0  # a column that nothing reads stays
    start = quantize(w, FORMATS[name])
    rounder, q = rounder_of(start), start.dequantize()
    with plain_ops():
        wanted = coordinate_descent(w, q, moments, rounder, 1)
    with kernels():
        found = coordinate_descent(w, q, moments, rounder, 1)
    assert torch.equal(found[:, 7], q[:, 7]) and not torch.equal(found, q)
    assert_as_good(w, found, wanted, moments)


@pytest.mark.parametrize(
    "fmt",
    [FORMATS["nvfp4"], *(pytest.param(FORMATS[n], marks=pytest.mark.slow) for n in ("mxfp4", "int4_g128"))],
    ids=lambda f: f.name,
)
@pytest.mark.slow
def test_scales_and_codes_are_chosen_together_as_in_plain_pytorch(fmt: BlockFormat) -> None:
    rows, width = (2, 128) if fmt.columns == 128 else (19, 2 * fmt.columns)
    w, moments = matrix(rows, width), second_moments(correlated(300, width))
    start = quantize(w, fmt)
    given = (w, start.dequantize(), start.scale, start.tensor_scale, moments, fmt)
    with plain_ops():
        wanted, wanted_scale = joint_descent(*given)
    with kernels():
        found, scale = joint_descent(*given)
    assert not torch.equal(scale, start.scale)
    assert_as_good(w, found, wanted, moments)
    if DEVICE == "cpu":
        assert torch.equal(scale, wanted_scale)


@pytest.mark.parametrize("elements", ["e2m1", "int4", "e4m3"])
def test_rounding_is_exact_with_its_ties_and_signs(elements: str) -> None:
    """Every half of a gap, what lies beside it, and what saturates, through the kernel that feeds errors back: a lone
    column under scale 1 is only rounded."""
    from hopwell.quantization import gptq_triton

    # a grid that no kind's elements are finer than, up to the largest; above, only saturation is left
    fine = {"e2m1": torch.arange(0, 7, 0.5), "int4": torch.arange(0.0, 10)}.get(elements)
    if fine is None:
        fine = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    middle = (fine[1:] + fine[:-1]) / 2
    above, below = middle.nextafter(2 * middle), middle.nextafter(torch.zeros(()))
    values = torch.cat((fine, middle, above, below, torch.tensor([1e6])))
    values = torch.cat((values, -values)).to(DEVICE)
    one = torch.ones(1, 1, device=DEVICE)
    chosen, errors = gptq_triton.feed_back(values[:, None], torch.ones_like(values)[:, None], 2 * one, elements)
    wanted = round_elements(elements, values)
    assert torch.equal(chosen[:, 0], wanted) and torch.equal(errors[:, 0], (values - wanted) / 2)


@pytest.mark.slow
def test_residual_columns_are_fitted_by_kernels_as_in_plain_pytorch() -> None:
    w, inputs = matrix(4, 32), Inputs.of(correlated(200, 32))
    with plain_ops():
        start = compensate(w, inputs, NVFP4)
        wanted = high_low(w, inputs, start, 16)
    with kernels():
        found = high_low(w, inputs, start, 16)
    assert found.rung == wanted.rung == "columns_joint" and found.after < start.after
    assert found.after == pytest.approx(wanted.after, rel=0.02)


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_gpu_compensates_as_well_as_a_cpu(name: str) -> None:
    """With kernels, with plain PyTorch on the GPU, and on the CPU: other bits, the same errors on held-out rows."""
    w, x = matrix(260, 1152), correlated(2000, 1152)
    done = compensate(w, Inputs.of(x), FORMATS[name])
    with plain_ops():
        plain = compensate(w, Inputs.of(x), FORMATS[name])
    on_cpu = compensate(w.cpu(), Inputs.of(x.cpu()), FORMATS[name])
    columns, columns_on_cpu = (
        high_low(m, Inputs.of(v), start, 128) for m, v, start in ((w, x, done), (w.cpu(), x.cpu(), on_cpu))
    )
    assert columns.after == pytest.approx(columns_on_cpu.after, rel=0.05) and columns.quantized.columns.is_cuda
    assert done.quantized.elements.is_cuda and done.quantized.scale.is_cuda and done.quantized.tensor_scale.is_cuda
    assert done.after <= done.before and list(done.errors) == list(on_cpu.errors)
    for rung, error in done.errors.items():
        assert error == pytest.approx(plain.errors[rung], rel=0.02)
        assert error == pytest.approx(on_cpu.errors[rung], rel=0.02)
