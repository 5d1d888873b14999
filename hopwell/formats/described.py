"""How a config.json describes the formats of a checkpoint, for engines that read compressed-tensors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from hopwell.formats.blocks import FORMATS
from hopwell.formats.labels import Label

PACKED_NAMES: dict[str, str] = {
    Label.NVFP4: "nvfp4-pack-quantized",
    Label.MXFP4: "mxfp4-pack-quantized",
    Label.INT4_G32: "pack-quantized",
    Label.INT4_G128: "pack-quantized",
    Label.FP8_BLOCK: "float-quantized",
    Label.FP8_CHANNEL: "float-quantized",
}
"""compressed-tensors' names for formats."""
EIGHT_BITS = {"num_bits": 8, "type": "float", "symmetric": True, "dynamic": True}
ROUNDED_ROWS: dict[str, dict[str, Any]] = {
    Label.NVFP4: {
        "num_bits": 4,
        "type": "float",
        "symmetric": True,
        "dynamic": "local",
        "strategy": "tensor_group",
        "group_size": 16,
    },
    Label.FP8_BLOCK: {**EIGHT_BITS, "strategy": "group", "group_size": 128},
    Label.FP8_CHANNEL: {**EIGHT_BITS, "strategy": "token"},
}
"""How rows may be rounded before they meet a format's weights. vLLM knows `input_global_scale` only where that is said
of NVFP4, which it multiplies in bf16 on Hopper all the same; for FP8 it has no kernel there that leaves rows alone."""


def compressed_config(layered: Mapping[str, str], ignore: Sequence[str]) -> dict[str, Any]:
    """compressed-tensors' `quantization_config`: of one format, modules by their kind; of several, by expressions where
    those tell them apart.

    Args:
        layered: formats of modules.
        ignore: modules that are plain.
    """
    labels = sorted(set(layered.values()))
    names = {PACKED_NAMES[label] for label in labels}
    others = {label: [*(m for m, found in layered.items() if found != label), *ignore] for label in labels}
    targets = {label: _targets((m for m, f in layered.items() if f == label), others[label]) for label in labels}
    groups = {
        f"group_{i}": {
            "targets": ["Linear"] if len(labels) == 1 else targets[label],
            "weights": _weights(label),
            "input_activations": ROUNDED_ROWS.get(label),
            "format": PACKED_NAMES[label],
        }
        for i, label in enumerate(labels)
    }
    return {
        "quant_method": "compressed-tensors",
        "format": names.pop() if len(names) == 1 else "mixed-precision",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": _targets(ignore, layered),
    }


def _targets(mine: Iterable[str], others: Collection[str]) -> list[str]:
    """Modules by expressions in which the numbers of layers and experts are open, where those match none of `others`:
    readers that join a layer's experts into one module find no expert by its name."""
    found: dict[str, list[str]] = {}
    for name in mine:
        found.setdefault(re.sub(r"\\\.\d+(?=\\\.)", r"\\.\\d+", re.escape(name)), []).append(name)
    targets: list[str] = []
    for expression, names in sorted(found.items()):
        matches = re.compile(expression).fullmatch
        open_ = r"\d+" in expression and not any(map(matches, others))
        targets += [f"re:{expression}$"] if open_ else sorted(names)
    return targets


def _weights(label: str) -> dict[str, Any]:
    fmt = FORMATS[label]
    strategies: dict[str, str] = {Label.NVFP4: "tensor_group", Label.FP8_BLOCK: "block", Label.FP8_CHANNEL: "channel"}
    strategy = strategies.get(label, "group")
    return {
        "num_bits": fmt.bits,
        "type": "int" if fmt.elements == "int4" else "float",
        "strategy": strategy,
        "symmetric": True,
        "dynamic": False,
        "group_size": fmt.columns if fmt.bits == 4 else None,
        "block_structure": [128, 128] if strategy == "block" else None,
    }
