"""Which kernel serves is a pure function of op, shape, formats and device: no GPU and no Triton is needed to ask."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from hopwell.formats.blocks import FP8_BLOCK, FP8_CHANNEL, INT4_G32, MXFP4, NVFP4
from hopwell.formats.plain import BF16, PlainFormat
from hopwell.limits.catalogue import CatalogueError
from hopwell.ops import attention_choice, linear_choice, moe_choice, norm_choice
from hopwell.ops.device import BLACKWELL, HOPPER, PLAIN, Device
from hopwell.ops.variant import Formats

FOUR_BITS = [Formats(each, torch.bfloat16) for each in (NVFP4, MXFP4, INT4_G32)]
E4M3, BF16_ROWS = torch.float8_e4m3fn, torch.bfloat16
FP8, WIDENED, PLAIN_BF16 = Formats(FP8_BLOCK, E4M3), Formats(FP8_BLOCK, BF16_ROWS), Formats(BF16, BF16_ROWS)
INTERPRETER = Device("interpreter", 90, 132, interpreted=True)


@pytest.mark.parametrize(
    ("rows", "shape", "formats", "device", "name", "splits", "swap_ab"),
    [
        (1, (2112, 7168), FP8, HOPPER, "small_m_gluon", 8, True),
        (32, (2112, 7168), FP8, HOPPER, "small_m_gluon", 8, True),
        (32, (2112, 7168), WIDENED, HOPPER, "triton", 8, True),  # rows are not in the weight's own format
        (32, (2112, 7168), FP8, BLACKWELL, "triton", 8, True),
        (32, (2112, 7168), FP8, INTERPRETER, "triton", 8, True),
        (16, (4608, 7168), FP8, HOPPER, "triton", 4, True),  # 14 steps a part do not fit into shared memory
        (64, (2112, 7168), FP8, HOPPER, "triton", 8, False),
        (64, (2112, 7168), WIDENED, HOPPER, "triton", 8, True),
        (128, (7168, 16384), FP8, HOPPER, "triton", 2, False),
        (512, (7168, 2048), FP8, HOPPER, "triton", 1, False),  # 112 tiles for 132 multiprocessors
        (513, (7168, 2048), FP8, HOPPER, "persistent_gluon", 1, False),
        (513, (7168, 2048), PLAIN_BF16, HOPPER, "persistent_gluon", 1, False),
        (513, (7168, 2048), FP8, BLACKWELL, "triton", 1, False),
        (513, (7168, 896), FP8, HOPPER, "triton", 1, False),  # a reduction too short
    ],
)
def test_products(
    rows: int, shape: tuple[int, int], formats: Formats, device: Device, name: str, splits: int, swap_ab: bool
) -> None:
    found = linear_choice.choose("product", linear_choice.Shape(rows, *shape), formats, device)
    assert (found.name, found.splits, found.swap_ab) == (name, splits, swap_ab)
    assert found.why


@pytest.mark.parametrize("formats", FOUR_BITS)
@pytest.mark.parametrize("device", [HOPPER, BLACKWELL, INTERPRETER])
def test_four_bits_have_a_kernel_of_their_own(formats: Formats, device: Device) -> None:
    for rows, tile, splits in ((1, (64, 16), 4), (32, (64, 32), 4), (64, (128, 64), 8), (2048, (128, 128), 1)):
        found = linear_choice.choose("product", linear_choice.Shape(rows, 4096, 7168), formats, device)
        assert (found.name, found.tiling.rows, found.tiling.tokens, found.splits) == ("packed_triton", *tile, splits)
        assert linear_choice.choose("logits", linear_choice.Shape(rows, 16160, 7168), formats, device).splits == 1
    for tokens, rows, tile in ((1, 16, 64), (128, 16, 64), (500, 32, 64), (4096, 64, 128)):
        grouping = moe_choice.group(tokens, 9, 257, device, packed=True)
        assert grouping.tile == rows
        for op, widths in (("up", (4096, 7168)), ("down", (7168, 2048))):
            shape = moe_choice.Shape(tokens * 9, 257, grouping.tile, grouping.tile_count, *widths)
            chosen = moe_choice.choose(op, shape, formats, device)
            assert (chosen.name, chosen.tiling.rows) == ("packed_triton", tile) and chosen.run >= 1
    assert moe_choice.choose_op((7168, 2048), (formats, formats), HOPPER).name == "grouped"
    for tokens, run in ((1, 2), (8, 4), (32, 8), (128, 16)):  # of R1 over four GPUs
        grouping = moe_choice.group(tokens, 9, 257, HOPPER, tile=32 if tokens == 128 else None, packed=True)
        shape = moe_choice.Shape(tokens * 9, 257, grouping.tile, grouping.tile_count, 7168, 512)
        assert moe_choice.choose("down", shape, formats, HOPPER).run == run


def test_work_is_cut_for_the_multiprocessors_that_there_are() -> None:
    shape = linear_choice.Shape(1, 2112, 7168)
    few = linear_choice.choose("product", shape, FP8, Device.named("h20"))
    assert few.splits == 4 and Device.named("h20").multiprocessors == 78
    assert few.name == "triton"  # a part of 14 steps no longer fits into shared memory
    decode = [attention_choice.choose("decode", attention_choice.Shape(8, 16), False, Device("", 90, n)).splits
              for n in (16, 78, 132, 264)]  # fmt: skip
    assert decode == [2, 8, 16, 32]
    assert (
        linear_choice.choose("product", linear_choice.Shape(600, 7168, 2048), FP8, Device("", 90, 200)).name == "triton"
    )


def test_logits_are_complete() -> None:
    found = linear_choice.choose("logits", linear_choice.Shape(1, 16160, 7168), PLAIN_BF16, HOPPER)
    assert (found.name, found.splits, found.tiling.step) == ("triton", 1, 128)


@pytest.mark.parametrize(
    ("formats", "width_in", "device", "why"),
    [
        (PLAIN_BF16, 256, HOPPER, "cuBLAS serves bfloat16 matrices"),
        (Formats(FP8_CHANNEL, BF16_ROWS), 256, HOPPER, "cuBLAS serves fp8_channel matrices"),
        (Formats(NVFP4, BF16_ROWS), 200, HOPPER, "200 inputs are no whole blocks of 128"),
        (Formats(FP8_BLOCK, torch.float32), 256, HOPPER, "rows are float32; kernels take bf16"),
        (WIDENED, 200, HOPPER, "200 inputs are no whole blocks of 128"),
        (WIDENED, 256, PLAIN, "no Hopper or Blackwell GPU"),
        (WIDENED, 256, Device.named("rtx4090"), "no Hopper or Blackwell GPU"),
        (WIDENED, 256, Device("no Triton", 90, 132, triton=False), "no Hopper or Blackwell GPU"),
    ],
)
def test_products_that_stay_with_pytorch(formats: Formats, width_in: int, device: Device, why: str) -> None:
    found = linear_choice.choose("linear", linear_choice.Shape(8, 512, width_in), formats, device)
    assert (found.name, found.why) == ("torch", why)
    both = moe_choice.choose_op((width_in, 256), (formats, formats), device)
    assert both.name == ("grouped" if formats is PLAIN_BF16 else "torch")


@pytest.mark.parametrize(
    ("dtype", "matrix", "bf16", "float16", "name"),
    [
        (torch.bfloat16, True, True, True, "onednn_bf16"),
        (torch.bfloat16, False, True, True, "torch"),
        (torch.bfloat16, True, False, True, "torch"),
        (torch.float16, False, True, True, "fbgemm_float16"),
        (torch.float16, True, True, False, "torch"),
        (torch.float32, True, True, True, "torch"),
    ],
)
def test_a_cpu_s_libraries(dtype: torch.dtype, matrix: bool, bf16: bool, float16: bool, name: str) -> None:
    assert linear_choice.packing(dtype, matrix, bf16, float16).name == name


@pytest.mark.parametrize(
    ("tokens", "device", "name", "tile", "tile_count"),
    [
        (16, HOPPER, "leaders", 16, 144),
        (17, HOPPER, "sort", 16, 257 + 9),
        (64, HOPPER, "sort", 32, 257 + 18),
        (4096, HOPPER, "sort", 128, 257 + 288),
        (4096, BLACKWELL, "sort", 64, 257 + 576),  # 128 would spill
    ],
)
def test_groups(tokens: int, device: Device, name: str, tile: int, tile_count: int) -> None:
    found = moe_choice.group(tokens, 9, 257, device)
    assert (found.name, found.tile, found.tile_count) == (name, tile, tile_count)


@pytest.mark.parametrize(
    ("op", "tokens", "widths", "formats", "device", "name"),
    [
        ("up", 8, (512, 7168), FP8, HOPPER, "triton"),
        ("down", 8, (7168, 256), FP8, HOPPER, "small_m_gluon"),
        ("down", 8, (7168, 256), WIDENED, HOPPER, "triton"),
        ("down", 8, (7168, 640), FP8, HOPPER, "triton"),  # five blocks do not fit
        ("down", 8, (7168, 256), FP8, BLACKWELL, "triton"),
        ("up", 4096, (512, 7168), FP8, HOPPER, "persistent_gluon"),
        ("up", 4096, (512, 7168), WIDENED, HOPPER, "triton"),
        ("down", 4096, (7168, 256), FP8, HOPPER, "triton"),
        ("down", 4096, (7168, 2048), FP8, HOPPER, "persistent_gluon"),
        ("up", 4096, (2816, 2048), PLAIN_BF16, HOPPER, "persistent_gluon"),
    ],
)
def test_experts(
    op: moe_choice.Op, tokens: int, widths: tuple[int, int], formats: Formats, device: Device, name: str
) -> None:
    grouping = moe_choice.group(tokens, 9, 257, device)
    shape = moe_choice.Shape(tokens * 9, 257, grouping.tile, grouping.tile_count, *widths)
    assert moe_choice.choose(op, shape, formats, device).name == name


@pytest.mark.parametrize(
    ("tokens", "heads", "fp8", "device", "name", "programs"),
    [
        (4, 16, False, HOPPER, "triton_swap_ab", 16),
        (5, 16, False, HOPPER, "gluon_16", 16),
        (1, 128, False, HOPPER, "gluon_64", 64),
        (1, 16, True, HOPPER, "gluon_fp8", 16),
        (1, 32, True, HOPPER, "gluon_fp8", 16),  # as many programs as multiprocessors
        (2, 32, True, HOPPER, "gluon_fp8", 32),
        (1, 128, True, HOPPER, "gluon_fp8", 64),
        (1, 128, True, BLACKWELL, "triton", 32),
        (1, 16, False, BLACKWELL, "triton", 16),
        (5, 16, False, INTERPRETER, "triton", 16),
        (4, 16, False, INTERPRETER, "triton_swap_ab", 16),
    ],
)
def test_decode(tokens: int, heads: int, fp8: bool, device: Device, name: str, programs: int) -> None:
    found = attention_choice.choose("decode", attention_choice.Shape(tokens, heads), fp8, device)
    assert (found.name, found.heads) == (name, programs)


def test_prompts_attention_and_the_way_there() -> None:
    prompts = attention_choice.Shape(0, 16, tiles=10)
    assert attention_choice.choose("prefill", prompts, False, HOPPER).programs == 132  # they stay
    assert attention_choice.choose("prefill", prompts._replace(tiles=64), False, HOPPER).programs == 1024
    for shape, device in ((prompts._replace(aligned=False), HOPPER), (prompts, BLACKWELL)):
        assert attention_choice.choose("prefill", shape, False, device).name == "triton"
    assert [attention_choice.way(n).name for n in (127, 128)] == ["absorbed", "unabsorbed"]
    assert attention_choice.way(1, False).name == "unabsorbed"


def test_rows_are_shared_out_by_their_number() -> None:
    assert norm_choice.choose("add_norm", norm_choice.Shape(128, 7168)).programs == 7
    assert norm_choice.choose("add_norm", norm_choice.Shape(129, 7168)).programs == 2


def test_devices_are_known_by_name() -> None:
    assert Device.named("H200") == HOPPER and Device.of_arch(100) == BLACKWELL and Device.named("cpu") == PLAIN
    assert not PLAIN.has_kernels and HOPPER.has_gluon and not BLACKWELL.has_gluon and BLACKWELL.has_kernels
    with pytest.raises(CatalogueError, match="multiprocessors"):
        Device.named("gb300")
    assert PlainFormat(torch.float16).name == "float16"


@pytest.mark.slow
def test_nothing_here_needs_triton() -> None:
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import hopwell.ops.linear, hopwell.ops.moe, hopwell.ops.attention, hopwell.ops.attention_plan\n"
        "import hopwell.ops.norm_choice, hopwell.model.kernel_table"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
