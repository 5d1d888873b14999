"""What does not fit is said before it is read, with what would."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch

from hopwell.checkpoint.synthetic import SyntheticWeights
from hopwell.engine.fitting import check_memory, check_room
from hopwell.model.config import ModelConfig
from hopwell.model.four_bits import FourBits
from hopwell.model.inventory import inventory
from hopwell.model.shipped import find_config
from hopwell.parallel.layout import Layout, LayoutError

H100, H200 = 79 << 30, 139 << 30


@functools.cache
def weights(name: str, four_bits: str | None) -> tuple[SyntheticWeights, ModelConfig]:
    values = find_config(name)
    if four_bits is None:
        return SyntheticWeights(values, inventory(ModelConfig.from_dict(values)), 0), ModelConfig.from_dict(values)
    found = FourBits.of(four_bits, "fp8")
    described = found.described(values)
    return SyntheticWeights(described, found.specs(values), 0), ModelConfig.from_dict(described)


LARGE = [
    ("deepseek-r1", None, 4, False, H200, r"take 17\d.\d GB of each GPU in the layout TP4.*; --tp 8 takes 8\d.\d of"),
    ("deepseek-r1", None, 8, False, H100, r"layout TP8.*; --tp 16 takes 4\d"),
    ("deepseek-r1", "nvfp4", 2, True, H200, r"layout TP2.*; --tp 4 takes 10\d.\d of each$"),
    ("kimi-k2", None, 1, False, H100, r"layout one rank.*; --tp 16"),
]


@pytest.mark.parametrize(
    ("name", "four_bits", "tp", "packed", "free", "says"),
    [
        ("deepseek-r1", "nvfp4", 4, False, H200, r"; --tp 16 takes .*, --tp 4 --four-bits packed takes 10\d"),
        ("deepseek-v2-lite", None, 1, False, 8 << 30, r"; --tp 16 takes"),
        ("deepseek-v2-lite", None, 1, False, 5 << 30, r"; no layout over up to 64 such GPUs fits"),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in LARGE),
    ],
)
@pytest.mark.slow
def test_a_layout_that_does_not_fit_names_those_that_do(
    name: str, four_bits: str | None, tp: int, packed: bool, free: int, says: str
) -> None:
    source, config = weights(name, four_bits)
    with pytest.raises(LayoutError, match=says):
        check_room(source, config, Layout(tp), packed, free)


@pytest.mark.slow
def test_attention_by_sequence_takes_more_of_each_gpu() -> None:
    """R1 in NVFP4 over four: attention's weights are whole on each, three quarters of them more than cut."""
    source, config = weights("deepseek-r1", "nvfp4")
    check_room(source, config, Layout(4, dp_attention=True), True, H200)
    says = r"take 11\d.\d GB .* layout TP4 DP attention.*; --tp 4 takes 10\d.\d of each$"
    with pytest.raises(LayoutError, match=says):
        check_room(source, config, Layout(4, dp_attention=True), True, (4 << 30) + 108 * 10**9)
    with pytest.raises(LayoutError, match=r"; --tp 8 --dp-attention takes 6\d.\d of each$"):
        check_room(source, config, Layout(4, dp_attention=True), True, 79 << 30)


@pytest.mark.parametrize(
    ("name", "four_bits", "tp", "free"),
    [
        pytest.param("deepseek-r1", None, 8, H200, marks=pytest.mark.slow),
        ("deepseek-r1", "nvfp4", 4, H200),
        ("deepseek-v2-lite", None, 1, H100),
        ("r1-slice", None, 1, H100),
    ],
)
def test_what_fits_is_let_through(name: str, four_bits: str | None, tp: int, free: int) -> None:
    source, config = weights(name, four_bits)
    check_room(source, config, Layout(tp), four_bits is not None, free)


def test_the_reckoning_is_what_four_gpus_held() -> None:
    """R1 in NVFP4 with FP8 attention over four H200s: 105.93 GB on each, measured."""
    result = Path(__file__).parents[2] / "benchmarks/results/whole-r1-nvfp4-tp4-h200-20261130.json"
    assert '"gb_per_gpu": 105.929' in result.read_text()
    source, config = weights("deepseek-r1", "nvfp4")
    with pytest.raises(LayoutError) as refused:
        check_room(source, config, Layout(4), True, 100 << 30)
    assert float(str(refused.value).split("take ")[1].split(" GB")[0]) == pytest.approx(105.93, rel=0.03)


def test_a_cpu_holds_plain_values() -> None:
    """Of V2-Lite, 16 B weights: 2 bytes each, or 4; what ranks do not share is in each of them."""
    source, config = weights("deepseek-v2-lite", None)
    check_memory(source, config, Layout(1), torch.bfloat16, 32 << 30)
    for layout, dtype, says in (
        (
            Layout(1),
            torch.float32,
            r"the weights take 6\d.\d GB in float32, and this machine has 34.4 GB of memory; `hop",
        ),
        (Layout(4), torch.float32, r"the weights take 6\d.\d GB in float32"),
    ):
        with pytest.raises(LayoutError, match=says):
            check_memory(source, config, layout, dtype, 32 << 30)
