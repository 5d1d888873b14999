"""generation_config.json: how the model's authors advise to sample, and where answers end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hopwell.checkpoint.files import read_json
from hopwell.engine.request import RequestError, SamplingParams
from hopwell.model.reading import ConfigError, FieldReader

FILE = "generation_config.json"


def read_generation(folder: Path, config: Mapping[str, Any]) -> tuple[SamplingParams, tuple[int, ...]]:
    """Sampling parameters, and the tokens that end an answer: those of the file, or else of config.json.

    Raises:
        CheckpointError, ConfigError: a file cannot be read, or holds what cannot be; the message names the field.
    """
    path = folder / FILE
    found = read_json(path) if path.exists() else {}
    read = FieldReader(found, file=str(path))
    ends = read.token_ids("eos_token_id") or FieldReader(config).token_ids("eos_token_id")
    if not read.boolean("do_sample", False):
        return SamplingParams(temperature=0.0), ends
    params: dict[str, Any] = {}
    for name in ("temperature", "top_p", "min_p", "repetition_penalty"):
        if found.get(name) is not None:
            params[name] = read.number(name, 0.0, 1e6)
    if found.get("top_k") is not None:  # -1 and 0: all, by other engines' ways to write it
        params["top_k"] = max(0, read.integer("top_k", -1, 1 << 31))
    try:
        return SamplingParams(**params), ends
    except RequestError as error:
        raise ConfigError(f"{path}: {error}; mend the file") from None
