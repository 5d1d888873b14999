"""Synthetic checkpoints: any config of the family at its real size, with random weights in R1's own layout on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import REPORT_BYTES, new_folder, read_config, read_json, write_json
from hopwell.checkpoint.reader import SYNTHETIC, Checkpoint
from hopwell.checkpoint.shards import write_shards
from hopwell.checkpoint.synthetic import SyntheticWeights
from hopwell.model import NANO
from hopwell.model.config import ConfigError, ModelConfig
from hopwell.model.four_bits import FourBits
from hopwell.model.inventory import inventory
from hopwell.model.probe import probe
from hopwell.version import __version__

SPARE_BYTES = 64 << 20
"""Room for config.json, the index and the report."""
DEVICES = ("cpu", "cuda")
PROBED = {"cpu": 1, "cuda": 4}
"""Routers that are measured unless told otherwise. The first needs no expert, each further one a layer of them."""
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
SPACE = "\u0120"
"""As a byte-level tokenizer's words have it."""


def synthesise(
    values: Mapping[str, Any],
    out: Path,
    seed: int,
    device: str = "cpu",
    probed: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    four_bits: FourBits | None = None,
    at_load: bool = False,
) -> dict[str, Any]:
    """Writes a checkpoint of `values`, a config.json's contents, whole or not at all.

    Args:
        device: where weights are drawn and routers measured.
        probed: routers to measure; None: as `PROBED` has it.
        four_bits: the formats of networks and attention, in place of the config's own.
        at_load: no weights are written: who loads the folder draws them (`drawn_at_load`).

    Returns:
        What is written to `hopwell_synth.json`: seed, sizes, and under `routing` what each router did.

    Raises:
        ConfigError: the config cannot be honoured.
        CheckpointError: `out` exists, its disk is too small or fails, or there is no such device.
    """
    specs = None
    if four_bits is not None:
        specs, values = four_bits.specs(values), four_bits.described(values)
    config = ModelConfig.from_dict(values)
    method = config.quantization.method
    if specs is None and method not in (None, "fp8"):
        raise ConfigError(
            f"config.json: quantization_config.quant_method is {method!r}; FP8 blocks ('fp8') and bf16 can be written"
        )
    _check_device(device)
    weights = SyntheticWeights(values, inventory(config) if specs is None else specs, seed, device)
    total = weights.total_bytes
    report = {
        "hopwell": __version__,
        "seed": seed,
        "device": device,
        "tensors": len(weights.specs),
        "bytes": total,
        "at_load": at_load,
        "routing": [],
    }
    with new_folder(out, (0 if at_load else total) + SPARE_BYTES) as folder:
        if at_load:
            report["four_bits"] = None if four_bits is None else four_bits.names
        else:
            write_shards(folder, weights, progress)
            if progress is not None:
                progress(total, total, "measuring routers")
            checkpoint = Checkpoint.of_shards(folder, dict(values))
            routing = probe(checkpoint, PROBED[device] if probed is None else probed, seed, device)
            report["routing"] = [asdict(row) for row in routing]
            checkpoint.close()
        write_json(folder / SYNTHETIC, report)
        _write_tokenizer(config, folder)
        if four_bits is not None and (own := four_bits.modelopt_file(values)) is not None:
            write_json(folder / "hf_quant_config.json", own)
        write_json(folder / "config.json", dict(values))  # last: a folder without it is no checkpoint
    return report


def drawn_at_load(folder: Path) -> SyntheticWeights | None:
    """The weights of a folder that was written without them; None: it has its own, or none.

    Raises:
        CheckpointError, ConfigError: its report or its config cannot be read.
    """
    if not (folder / SYNTHETIC).exists() or any(folder.glob("*.safetensors")):
        return None
    report, values = read_json(folder / SYNTHETIC, REPORT_BYTES), read_config(folder / "config.json")
    if not report.get("at_load"):
        return None
    names, seed = report.get("four_bits"), report.get("seed")
    whole = names is None or (isinstance(names, list) and len(names) == 2 and all(isinstance(n, str) for n in names))
    if not whole or type(seed) is not int or seed < 0:
        raise CheckpointError(
            f"{folder / SYNTHETIC}: four_bits or seed is not as it was written; write the folder again"
        )
    specs = inventory(ModelConfig.from_dict(values)) if names is None else FourBits.of(*names).specs(values)
    weights = SyntheticWeights(values, specs, seed)
    weights.path = folder
    return weights


def _write_tokenizer(config: ModelConfig, folder: Path) -> None:
    """Nano's tokenizer, where its tokens are within the vocabulary: engines want one before they serve a folder. Each
    further id is a word of its own (` t4711`), for random weights choose among all, and a token without text is not
    streamed."""
    if config.vocab_size < ModelConfig.from_file(NANO).vocab_size:
        return
    for name in TOKENIZER:
        shutil.copyfile(NANO / name, folder / name)
    told = json.loads((folder / TOKENIZER[0]).read_text(encoding="utf-8"))
    words = told["model"]["vocab"]
    known = {*words.values(), *(token["id"] for token in told["added_tokens"])}
    words |= {f"{SPACE}t{index}": index for index in range(config.vocab_size) if index not in known}
    write_json(folder / TOKENIZER[0], told)


def _check_device(device: str) -> None:
    if device not in DEVICES:
        raise CheckpointError(f"device {device!r} is unknown; give {' or '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise CheckpointError("device 'cuda' is not there: PyTorch sees no GPU; give cpu")
