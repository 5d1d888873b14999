"""AWQ's, GPTQ's and W4AFP8's layouts as their own tools write them, number by number, for tests that read them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tiny import linear_shapes, random_tensors, write_checkpoint
from torch import Tensor

from hopwell.formats.fp8 import dequantize_fp8_block, quantize_fp8_block

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Outputs of a word, from the lowest bits up (AutoAWQ 0.2.9, `version` gemm)."""
IN_ORDER = tuple(range(8))
WIDTHS = {
    "vocab_size": 264, "hidden_size": 128, "intermediate_size": 256, "moe_intermediate_size": 128, "q_lora_rank": 128,
    "kv_lora_rank": 128, "v_head_dim": 32, "num_hidden_layers": 2, "n_routed_experts": 8, "num_nextn_predict_layers": 0,
}  # fmt: skip
"""Of `tiny_config`: every matrix reads whole groups of 128."""
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Quantised:
    """A matrix as both layouts have it before it is packed."""

    codes: Integers
    """[in, out], 0 to 15."""
    zeros: Integers
    """[groups, out], 0 to 15."""
    scales: Tensor
    """[groups, out], in the dtype that is stored."""
    index: Integers
    """[in], the group of each input."""

    def values(self) -> Tensor:
        """float64 [out, in]."""
        scales = self.scales.double().numpy()
        return torch.from_numpy(((self.codes - self.zeros[self.index]) * scales[self.index]).T.copy())


def draw(
    shape: tuple[int, int],
    group: int,
    seed: int = 0,
    symmetric: bool = False,
    ordered: bool = False,
    dtype: torch.dtype = torch.float16,
    least_zero: int = 0,
) -> Quantised:
    """A random matrix [out, in] of values near 1 / sqrt(in).

    Args:
        ordered: columns are in groups in any order.
        least_zero: the smallest zero point.
    """
    out, columns = shape
    random = np.random.default_rng(seed)
    groups = -(-columns // group)
    index = np.arange(columns) // group
    zeros = np.full((groups, out), 8) if symmetric else random.integers(least_zero, 16, (groups, out))
    scales = torch.from_numpy(random.uniform(0.05, 0.25, (groups, out)) * columns**-0.5).to(dtype)
    return Quantised(
        random.integers(0, 16, (columns, out)), zeros, scales, random.permutation(index) if ordered else index
    )


def words(values: Integers, order: tuple[int, ...]) -> Tensor:
    """[n, 8 m] of 0 to 15 as int32 [n, m], the value `order[i]` of eight at bits 4 i."""
    found = np.zeros((len(values), values.shape[1] // 8), np.uint32)
    for place, which in enumerate(order):
        found |= values[:, which::8].astype(np.uint32) << np.uint32(4 * place)
    return torch.from_numpy(found.view(np.int32))


def awq(q: Quantised) -> dict[str, Tensor]:
    """A module's tensors as AutoAWQ writes them."""
    return {"qweight": words(q.codes, AWQ_ORDER), "qzeros": words(q.zeros, AWQ_ORDER), "scales": q.scales}


def gptq(q: Quantised, second: bool = False) -> dict[str, Tensor]:
    """A module's tensors as AutoGPTQ writes them, or as GPTQModel does as gptq_v2."""
    return {
        "qweight": words(q.codes.T, IN_ORDER).t().contiguous(),
        "qzeros": words(q.zeros - (not second), IN_ORDER),
        "scales": q.scales,
        "g_idx": torch.from_numpy(q.index.astype(np.int32)),
    }


def signed(q: Quantised) -> dict[str, Tensor]:
    """A module's tensors in W4AFP8: two's complement, the even input in the low bits; zero points are in the middle."""
    nibbles = ((q.codes.T - 8) & 15).astype(np.uint8)
    return {
        "weight": torch.from_numpy(np.ascontiguousarray(nibbles[:, 0::2] | nibbles[:, 1::2] << 4).view(np.int8)),
        "weight_scale_inv": q.scales.t().contiguous(),
        "input_scale": torch.tensor(0.01),
    }


def described(method: str, group: int = 128, **others: Any) -> dict[str, Any]:
    """A `quantization_config` as tools write it."""
    if method == "w4afp8":
        return {"quant_method": "w4afp8", "group_size": group, "weight_block_size": [128, 128]} | others
    if method == "awq":
        return {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm", "zero_point": True} | others
    told = {"quant_method": "gptq", "bits": 4, "group_size": group, "sym": True, "desc_act": False}
    return told | {"checkpoint_format": "gptq", "true_sequential": True, "damp_percent": 0.01} | others


def write_pair(
    folder: Path, config: dict[str, Any], quantization: dict[str, Any], plain: Collection[str] = ()
) -> tuple[Path, Path]:
    """Two checkpoints of one model: in a layout of INT4, and with its values in float32.

    Args:
        plain: parts of names of linears that are left plain.
    """
    tensors = random_tensors(config)
    stored = dict(tensors)
    method = quantization["quant_method"]
    for seed, (module, shape) in enumerate(linear_shapes(config).items()):
        if any(part in module for part in plain):
            continue
        if method == "w4afp8" and ".experts." not in module:
            codes, scales = quantize_fp8_block(tensors[f"{module}.weight"])
            tensors[f"{module}.weight"] = dequantize_fp8_block(codes, scales, torch.float32)
            stored |= {f"{module}.weight": codes, f"{module}.weight_scale_inv": scales}
            continue
        symmetric, second = (
            quantization.get("sym", method == "w4afp8"),
            quantization.get("checkpoint_format") == "gptq_v2",
        )
        dtype = torch.bfloat16 if method == "w4afp8" else torch.float16
        ordered, least_zero = quantization.get("desc_act", False), int(method == "gptq" and not second)
        q = draw(shape, quantization["group_size"], seed, symmetric, ordered, dtype, least_zero)
        tensors[f"{module}.weight"] = q.values().float()
        stored.pop(f"{module}.weight")
        found = {"awq": awq, "gptq": partial(gptq, second=second), "w4afp8": signed}[method](q)
        stored |= {f"{module}.{suffix}": t for suffix, t in found.items()}
    return (
        write_checkpoint(folder / "int4", config | {"quantization_config": quantization}, stored),
        write_checkpoint(folder / "values", config, tensors),
    )
