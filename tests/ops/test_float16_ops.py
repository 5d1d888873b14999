"""float16 matrices before float32 rows on a CPU: the values, and a row's independence from its batch, bit for bit.

The whole file runs once more in a process that is shown AVX2 alone.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from hopwell.formats.matrices import Plain
from hopwell.ops import cpu, cpu_float32, linear, moe, moe_experts, norm, router
from hopwell.ops.alike import rows_are_summed_alike
from hopwell.ops.weight import Weight

AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2",
}  # fmt: skip
LIMITED = os.environ.get("FBGEMM_ENABLE_INSTRUCTIONS") == "AVX2"
pytestmark = pytest.mark.skipif(not cpu.cpu_packs_float16(), reason="PyTorch packs no float16 on this CPU")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def half(*shape: int, seed: int) -> Weight:
    return Weight(Plain((torch.randn(*shape, generator=generator(seed)) / shape[-1] ** 0.5).half()))


@pytest.mark.parametrize(("width_in", "width_out"), [(384, 832), (256, 2304), (2048, 384), (96, 17), (7168, 64)])
def test_values_and_rows(width_in: int, width_out: int) -> None:
    """Rows 1 to 64, and some that fill blocks of the library and one more."""
    x = torch.randn(400, width_in, generator=generator(1))
    plain = half(width_out, width_in, seed=2)
    packed = half(width_out, width_in, seed=2).prepare()
    assert packed.packed is not None
    whole = linear.linear(x, packed)
    exact = x.double() @ plain.data.double().T
    assert (whole - exact).abs().max() < 1e-5 * width_in**0.5
    assert torch.allclose(linear.linear(x, plain), whole, rtol=0, atol=1e-5 * width_in**0.5)
    for rows in (*range(1, 65), 120, 121, 122, 127, 241, 361, 399):
        assert torch.equal(linear.linear(x[:rows], packed), whole[:rows]), rows
        assert torch.equal(linear.linear(x[-rows:], packed), whole[-rows:]), rows


def test_both_ops_of_the_library_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for a thread, where PyTorch has it, the other for more."""
    x, matrix = torch.randn(40, 384, generator=generator(14)), torch.randn(300, 384, generator=generator(15)).half()
    direct = cpu.pack_float16(matrix)
    assert isinstance(direct, torch.Tensor) == cpu._calls_fbgemm()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    quantized = cpu.pack_float16(matrix)
    assert isinstance(quantized, torch.ScriptObject)
    for rows in (1, 2, 3, 16, 40):
        assert torch.equal(cpu.by_float16(x[:rows], direct), cpu.by_float16(x[:rows], quantized)), rows


@pytest.mark.parametrize("fuse_below", [0, moe_experts.FUSE_BELOW_BYTES])
def test_a_row_of_experts_does_not_depend_on_its_batch(fuse_below: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fused and one by one; and both ways are the plain sum."""
    monkeypatch.setattr(moe_experts, "FUSE_BELOW_BYTES", fuse_below)
    plain = moe_experts.Experts(half(16, 256, 384, seed=3), half(16, 384, 128, seed=4))
    experts = moe_experts.Experts(half(16, 256, 384, seed=3), half(16, 384, 128, seed=4)).fuse()
    assert (experts.fused is not None) == bool(fuse_below)
    x = torch.randn(64, 384, generator=generator(5))
    gate, bias = torch.randn(16, 384, generator=generator(6)), torch.randn(16, generator=generator(7)) * 0.1
    config = router.RouterConfig(top_k=4, n_group=4, topk_group=2)
    ids, weights = router.route(x, gate, bias, config)
    whole = moe.moe(x, ids, weights, experts)
    assert torch.allclose(moe.reference(x, ids, weights, plain), whole, atol=1e-5)
    for rows in range(1, 65):
        part_ids, part_weights = router.route(x[:rows], gate, bias, config)
        assert torch.equal(part_ids, ids[:rows]) and torch.equal(part_weights, weights[:rows])
        assert torch.equal(moe.moe(x[:rows], part_ids, part_weights, experts), whole[:rows]), rows
        assert torch.equal(norm.rms_norm(x[:rows], x[0], 1e-6), norm.rms_norm(x, x[0], 1e-6)[:rows])


@pytest.mark.parametrize("columns", [64, 192, 1024])
def test_a_row_of_attention_does_not_depend_on_its_batch(columns: int) -> None:
    """Beside other queries, other sequences and more columns that it does not see."""
    queries, rows = torch.randn(2, 300, 576, generator=generator(8)), torch.randn(2, 1088, 576, generator=generator(9))
    scores = cpu_float32.product(queries, rows.transpose(1, 2))
    weights = torch.zeros_like(scores)
    weights[..., :columns] = scores[..., :columns].softmax(dim=-1)
    mixed = cpu_float32.weighted_sum(weights, rows)
    assert torch.allclose(mixed.double(), weights.double() @ rows.double(), atol=1e-5)
    for few in (*range(1, 70), 96, 97, 130, 299):
        part = cpu_float32.product(queries[:1, :few], rows[:1, :columns].transpose(1, 2))
        assert torch.equal(part, scores[:1, :few, :columns]), few
        sums = cpu_float32.weighted_sum(weights[:1, :few, :columns], rows[:1, :columns])
        assert torch.equal(sums, mixed[:1, :few]), few


@pytest.mark.parametrize(("experts", "hidden"), [(16, 384), (64, 2048)])
def test_a_row_of_router_scores_does_not_depend_on_its_batch(experts: int, hidden: int) -> None:
    x, gate = torch.randn(512, hidden, generator=generator(10)), torch.randn(experts, hidden, generator=generator(11))
    whole = cpu_float32.linear(x, gate)
    assert torch.allclose(whole, torch.nn.functional.linear(x, gate), atol=1e-3)
    for rows in range(router.ROWS, 512, router.ROWS):
        assert torch.equal(cpu_float32.linear(x[:rows], gate), whole[:rows]), rows


@pytest.mark.parametrize("rule", cpu_float32.RULES)
def test_each_rule_gives_the_product(rule: cpu_float32.RowRule) -> None:
    """Whichever this CPU keeps; of rows that it cuts, fills up, or takes as they are."""
    left, right = torch.randn(2, 100, 64, generator=generator(12)), torch.randn(2, 64, 32, generator=generator(13))
    for rows in (1, 4, 7, 48, 49, 100):
        got = cpu_float32._product(left[:, :rows], right, rule)
        assert torch.allclose(got, left[:, :rows] @ right, atol=1e-5), rows


def test_what_float16_cannot_hold_is_not_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows_are_summed_alike(torch.float16) and not rows_are_summed_alike(torch.float32)
    assert cpu.rows_alike() == 3 or not LIMITED, "AVX2 adds up one and two rows in an order of their own"
    monkeypatch.setattr(cpu_float32, "alike", lambda: False)
    assert not rows_are_summed_alike(torch.float16)


@pytest.mark.skipif(LIMITED, reason="this is that process")
@pytest.mark.slow
def test_with_avx2_alone() -> None:
    command = [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=os.environ | AVX2)
    assert done.returncode == 0, done.stdout[-2000:]
