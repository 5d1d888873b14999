"""What a user may name a model by, and the configs cut from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from tiny import tiny_config

from hopwell.model import NANO
from hopwell.model.config import ConfigError, ModelConfig
from hopwell.model.shipped import find_config, shipped_config, shipped_names, tensor_parallel_share, truncate


def test_every_shipped_config_can_be_honoured() -> None:
    for name in shipped_names():
        ModelConfig.from_dict(find_config(name))
    assert find_config(None) == find_config("nano") == find_config(str(NANO))
    assert shipped_config("../nano/config") is None, "no way out of the folder of configs"


def test_a_folder_or_file_goes_before_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r1-tp8").mkdir()
    (tmp_path / "r1-tp8" / "config.json").write_text('{"mine": 1}')
    assert find_config("r1-tp8") == find_config("r1-tp8/config.json") == {"mine": 1}


def test_of_a_hub_name_only_the_config_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[tuple[str, list[str]]] = []

    def fetch(repo: str, allow_patterns: list[str]) -> str:
        fetched.append((repo, allow_patterns))
        (tmp_path / "config.json").write_text(json.dumps(tiny_config()))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert find_config("someone/some-model")["hidden_size"] == 64
    assert fetched == [("someone/some-model", ["config.json"])]

    def fail(*_: Any, **__: Any) -> str:
        raise OSError("no such repository\nand more lines")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ConfigError, match=r"^someone/some-model: .* the hub does not give it: no such repository$"):
        find_config("someone/some-model")
    for name in ("a/b/c", "./x/y", "/x/y", "x"):
        with pytest.raises(ConfigError, match="no such folder or file; shipped configs are"):
            find_config(name)


def test_depth_and_share() -> None:
    config = tiny_config("r1")
    assert truncate(config) == config
    small = truncate(config, layers=2, dense=0, mtp=False)
    assert (small["num_hidden_layers"], small["first_k_dense_replace"], small["num_nextn_predict_layers"]) == (2, 0, 0)
    assert truncate(tiny_config("r1", first_k_dense_replace=3), layers=2)["first_k_dense_replace"] == 2
    for bad in ({"layers": 2, "dense": 3}, {"layers": 0}):
        with pytest.raises(ConfigError, match="give --dense at most --layers"):
            truncate(config, **bad)
    half = tensor_parallel_share(config, 2)
    assert (half["num_attention_heads"], half["moe_intermediate_size"], half["vocab_size"]) == (2, 16, 64)
    assert half["n_routed_experts"] == config["n_routed_experts"] and half["hidden_size"] == config["hidden_size"]
    with pytest.raises(ConfigError, match="num_attention_heads is 4, which 3 GPUs cannot share"):
        tensor_parallel_share(config, 3)


def test_a_config_is_found_however_its_name_is_written() -> None:
    for name in ("r1", "R1", "DeepSeek-R1"):
        assert shipped_config(name) == shipped_config("deepseek-r1") is not None
    assert shipped_config("R1-TP8") == shipped_config("r1-tp8") is not None
    assert shipped_config("deepseek-v2") is None, "V2 is another model than V2-Lite"
