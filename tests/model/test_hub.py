"""That the hub is asked is said at once, and why it gave nothing in one line."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import huggingface_hub
import pytest
from commands import refused
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
from tiny import tiny_config

from hopwell.model.hub import HubError, fetch

NAME, SAID = "models/R1", "no folder models/R1 here; asking the hub for it"


def unreachable(*_: object, **__: object) -> str:
    raise LocalEntryNotFoundError("An error happened. Please check.\nAnd more") from OSError("Name not known\nor so")


def nobodys(*_: object, **__: object) -> str:
    raise RepositoryNotFoundError("404 Client Error. (Request ID: x)\n\nRepository Not Found", response=mock.Mock())


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.mark.parametrize(
    "command",
    [("inspect", NAME), ("warm", NAME, "--arch", "90"), ("generate", "-m", NAME, "x"), ("chat", NAME),
     ("pack", NAME, "out"), ("quantize", NAME, "out"), ("verify-cache", NAME)],
)  # fmt: skip
def test_each_command_says_that_it_asks_the_hub(
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    said = refused(*command, stdin="a question")
    assert said.endswith("here, and the hub does not give it: it cannot be reached: Name not known\n")
    assert [record.message for record in caplog.records] == [SAID] and len(said) < 150


def test_it_is_said_before_it_is_asked_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(tiny_config()))
    asked: list[list[str]] = []

    def snapshot(name: str, allow_patterns: list[str]) -> str:
        asked.append([record.message for record in caplog.records])
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    fetch(NAME, ["*.json"])
    fetch(NAME, ["*.safetensors"], again=True)
    assert asked == [[SAID], [SAID]]


def test_what_the_hub_does_not_have_or_may_not_be_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", nobodys)
    with pytest.raises(HubError, match=r"^it has no such model, or shows it only to others$"):
        fetch(NAME, ["config.json"])
    caplog.clear()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match=r"^HF_HUB_OFFLINE keeps it from being asked$"):
        fetch(NAME, ["config.json"])
    assert not caplog.records
