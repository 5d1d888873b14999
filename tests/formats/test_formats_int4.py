"""AWQ's and GPTQ's INT4 against a formula in float64, bit for bit; what no engine could read is refused by name."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from int4_checkpoints import Quantised, awq, draw, gptq, signed
from torch import Tensor

from hopwell.formats.int4 import Described, blocks_of, with_bf16_scales
from hopwell.formats.layouts import packed
from hopwell.formats.matrices import Int4, Int4Zeros, Matrix, Plain
from hopwell.formats.packed import pack, why_not

GPTQ1, GPTQ2 = Described(zero_offset=1), Described(zero_offset=0)
SHAPE = (24, 256)


def exact(matrix: Matrix, q: Quantised) -> bool:
    return torch.equal(matrix.dequantize(torch.float32).double(), q.values())


@settings(max_examples=60, deadline=None)
@given(
    layout=st.sampled_from(["awq", "gptq", "gptq_v2"]),
    rows=st.integers(1, 12),
    groups=st.integers(1, 5),
    group=st.sampled_from([8, 32, 64, 96, 128, 256]),
    symmetric=st.booleans(),
    dtype=st.sampled_from([torch.float16, torch.bfloat16]),
    told=st.booleans(),
    seed=st.integers(0, 99),
)
def test_values_are_the_formula_s(
    layout: str, rows: int, groups: int, group: int, symmetric: bool, dtype: torch.dtype, told: bool, seed: int
) -> None:
    shape = 8 * rows, groups * group
    q = draw(shape, group, seed, symmetric, dtype=dtype, least_zero=int(layout == "gptq"))
    offset = {"awq": None, "gptq": 1, "gptq_v2": 0}[layout]
    tensors = awq(q) if layout == "awq" else gptq(q, layout == "gptq_v2")
    matrix = packed(tensors, shape, Described(group if told else None, offset))
    assert matrix.shape == shape and exact(matrix, q)
    if group % 32:
        assert isinstance(matrix, Plain)
    else:
        assert isinstance(matrix, Int4 if symmetric else Int4Zeros)
        assert str(matrix.format.name) == blocks_of(group) == ("int4_g32" if group % 128 else "int4_g128")


@pytest.mark.parametrize(("columns", "group"), [(256, 128), (256, 64), (256, 256), (96, 32), (48, 16), (20, 20)])
def test_two_s_complement_in_bytes(columns: int, group: int) -> None:
    q = draw((24, columns), group, symmetric=True, dtype=torch.bfloat16)
    tensors = {suffix: t for suffix, t in signed(q).items() if suffix != "input_scale"}
    matrix = packed(tensors, (24, columns))
    assert exact(matrix, q) and isinstance(matrix, Plain if group % 32 else Int4)


@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("symmetric", [True, False])
def test_columns_whose_groups_have_any_order_become_values(group: int, symmetric: bool) -> None:
    q = draw(SHAPE, group, symmetric=symmetric, ordered=True, least_zero=1)
    matrix = packed(gptq(q), SHAPE, GPTQ1)
    assert isinstance(matrix, Plain) and exact(matrix, q)


def test_a_last_group_of_fewer_columns_goes_by_its_index() -> None:
    q = draw((16, 192), 128, least_zero=1)
    for described in (GPTQ1, Described(128, 1)):
        assert exact(packed(gptq(q), (16, 192), described), q)


def test_gptq_without_an_index_is_in_order() -> None:
    q = draw(SHAPE, 64, least_zero=1)
    tensors = {suffix: t for suffix, t in gptq(q).items() if suffix != "g_idx"}
    matrix = packed(tensors, SHAPE, Described(64, 1))
    assert isinstance(matrix, Int4Zeros) and exact(matrix, q)


@pytest.mark.parametrize("layout", ["awq", "gptq"])
@pytest.mark.parametrize("group", [32, 64, 128, 256])
@pytest.mark.parametrize("symmetric", [True, False])
def test_kernels_take_it_packed(layout: str, group: int, symmetric: bool) -> None:
    """With scales that bf16 holds to the bit; else with scales rounded to it, each value within 2^-8 of itself."""
    for dtype in (torch.bfloat16, torch.float16):
        q = draw((64, 256), group, symmetric=symmetric, dtype=dtype, least_zero=1)
        matrix = packed(awq(q) if layout == "awq" else gptq(q), (64, 256), GPTQ1)
        ready = with_bf16_scales(matrix)
        assert (why_not(matrix) is None) == (dtype == torch.bfloat16) and why_not(ready) is None
        values = pack(ready).dequantize().double()
        assert torch.equal(values, ready.dequantize().double())
        if dtype == torch.bfloat16:
            assert exact(pack(matrix), q)
        assert bool(((values - q.values()).abs() <= 2**-8 * q.values().abs()).all())


def test_what_is_in_no_int4_is_left_as_it_is() -> None:
    plain = Plain(torch.ones(2, 2))
    assert with_bf16_scales(plain) is plain


def without(tensors: dict[str, Tensor], suffix: str) -> dict[str, Tensor]:
    return {name: t for name, t in tensors.items() if name != suffix}


Q = draw(SHAPE, 128, least_zero=1)
AWQ, GPTQ = awq(Q), gptq(Q)
FAULTS: dict[str, tuple[dict[str, Tensor], Described, str]] = {
    "no zero points": (without(AWQ, "qzeros"), GPTQ1, "qzeros is missing"),
    "no scales": (without(AWQ, "scales"), GPTQ1, "scales is missing"),
    "an index beside AWQ": (AWQ | {"g_idx": GPTQ["g_idx"]}, GPTQ1, "g_idx does not go with AWQ's INT4"),
    "a weight beside": (GPTQ | {"weight": torch.ones(SHAPE)}, GPTQ1, "weight does not go with GPTQ's INT4"),
    "eight bits": (
        GPTQ | {"qweight": torch.zeros(64, 24, dtype=torch.int32)}, GPTQ1,
        r"qweight has shape \[64, 24\], expected \[32, 24\]",
    ),
    "codes in bytes": (GPTQ | {"qweight": GPTQ["qweight"].to(torch.int8)}, GPTQ1, "qweight is int8, expected int32"),
    "scales that are whole numbers": (AWQ | {"scales": AWQ["qzeros"]}, GPTQ1, "scales is int32, expected float16"),
    "groups that columns do not fill": (
        AWQ | {"scales": torch.ones(3, 24).half(), "qzeros": torch.zeros(3, 3, dtype=torch.int32)}, GPTQ1,
        r"qzeros has shape \[3, 3\], expected \[2, 3\]",
    ),
    "groups of another size than config.json's": (
        AWQ, Described(64), r"qzeros has shape \[2, 3\], expected \[4, 3\]",
    ),
    "groups that do not divide": (
        AWQ | {"scales": torch.ones(3, 24).half(), "qzeros": torch.zeros(3, 3, dtype=torch.int32)}, Described(96),
        "scales is of groups of 96 columns, which do not divide 256",
    ),
    "an index out of range": (
        GPTQ | {"g_idx": torch.full((256,), 2, dtype=torch.int32)}, GPTQ1, "g_idx must be from 0 to 1",
    ),
    "an index below": (
        GPTQ | {"g_idx": torch.full((256,), -1, dtype=torch.int32)}, GPTQ1, "g_idx must be from 0 to 1",
    ),
    "a short index": (GPTQ | {"g_idx": torch.zeros(8, dtype=torch.int32)}, GPTQ1, r"g_idx has shape \[8\]"),
    "a zero point of 16, or 0": (
        GPTQ | {"qzeros": torch.tensor([[0, 0, 15 << 20], [0, 0, 0]], dtype=torch.int32)}, GPTQ1,
        "qzeros has 15 for output 21 of group 0, a zero point that the format 'gptq' has no code for",
    ),
    "GPTQ that no config tells of": (GPTQ, Described(), "qzeros may mean two things: config.json must say"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_faults_name_the_tensor(case: str) -> None:
    tensors, described, text = FAULTS[case]
    with pytest.raises(ValueError, match=text) as caught:
        packed(tensors, SHAPE, described)
    assert "\n" not in str(caught.value)


def test_the_second_format_has_a_code_for_every_zero_point() -> None:
    q = draw(SHAPE, 32, seed=3)
    assert set(q.zeros.flatten().tolist()) == set(range(16))
    assert exact(packed(gptq(q, second=True), SHAPE, GPTQ2), q)


@pytest.mark.parametrize(("config", "told"), [
    ({}, Described()),
    ({"quant_method": "fp8", "group_size": 128}, Described()),
    ({"quant_method": "awq", "group_size": 128}, Described(128)),
    ({"quant_method": "gptq", "group_size": 32, "sym": False}, Described(32, 1)),
    ({"quant_method": "gptq", "group_size": -1, "checkpoint_format": "gptq_v2"}, Described(None, 0, True)),
    ({"quant_method": "gptq", "group_size": 64, "format": "GPTQ_V2", "sym": True}, Described(64, 0, True)),
    ({"quant_method": "gptq", "checkpoint_format": "marlin"}, Described(None, None, True)),
])  # fmt: skip
def test_what_config_json_tells(config: dict[str, object], told: Described) -> None:
    assert Described.of({"quantization_config": config}) == told
