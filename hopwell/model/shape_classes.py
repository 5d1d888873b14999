"""The steps that between them reach every kernel a model can ever launch.

Kernels are compiled for a shape class, not a shape: the number of tokens enters only through tile sizes and through
the number of cuts of a reduction or a context. One step for each class is enough to have all of them.
"""

from __future__ import annotations

from hopwell.model.config import ModelConfig
from hopwell.ops.attention_choice import Shape, choose
from hopwell.ops.device import Device
from hopwell.ops.moe_choice import tile_rows

Lengths = tuple[list[int], list[int]]
"""New tokens of each sequence, and tokens of each that the cache holds after the step."""

GRAPH_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Rows of the steps that are captured whole as CUDA graphs."""
LONG = 129
"""Rows from which products are cut as those of thousands are."""
LOGIT_ROWS = (1, 17, 33, 65, LONG)
"""Rows drawn from, one number for each class of a product."""


def eager_batches(config: ModelConfig, max_rows: int, device: Device, packed: bool = False) -> list[Lengths]:
    """Steps of `LONG` to `max_rows` rows, one for each class of kernels that such steps launch on a device.

    Args:
        packed: the experts are packed in four bits.
    """
    if max_rows < LONG:
        return []
    prompts: dict[int, int] = {}  # rows by rows of an expert's tile: one prompt each
    for wanted in (1, 3, 12, 22, 43):
        rows = -(-wanted * config.n_routed_experts // config.router.top_k)
        rows = min(max(rows, LONG), max_rows)
        prompts.setdefault(tile_rows(rows * config.router.top_k, config.n_routed_experts, device, packed), rows)
    found: list[Lengths] = [([rows], [rows]) for rows in prompts.values()]
    # sequences that decode beside a prompt's chunk: their number decides into how many cuts their contexts are split
    decoding: dict[int, int] = {}
    for count in range(1, LONG):
        decoding.setdefault(choose("decode", Shape(count, config.num_attention_heads), False, device).splits, count)
    found += [([1] * count + [LONG], [2] * count + [LONG]) for count in decoding.values() if count + LONG <= max_rows]
    return [*found, ([1] * LONG, [2] * LONG), ([max_rows], [max_rows])]
