"""Engines over one model: each computes as its own settings say, whatever another is told."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
import torch

from hopwell.engine import defaults
from hopwell.engine.config import EngineConfigError
from hopwell.engine.defaults import engine_config
from hopwell.engine.engine import Engine
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.request import Request, SamplingParams
from hopwell.model.latent_cache import CacheFormatError

SETTINGS: tuple[dict[str, Any], ...] = (
    {"batch_invariant": True},
    {"batch_invariant": False, "activations": "fp8", "cache_dtype": "fp8", "drafts": 0},
    {"batch_invariant": False, "activations": "bf16"},
)
ANSWER = 128
"""Tokens: long enough for what is rounded otherwise to be drawn otherwise somewhere."""


@pytest.fixture(scope="module")
def nano() -> LoadedModel:
    return load_model(device="cpu", dtype="float32")


@pytest.mark.parametrize(
    ("device", "settings"),
    [
        ("cpu", {"four_bits": "packed"}),
        ("cpu", {"cache_policy": "arc", "prefix_cache": False}),
        ("cuda", {"cache_policy": "rai", "prefix_cache": False}),
        ("cpu", {"graphs": True}),
        ("cpu", {"hold_prompts": True}),
    ],
)
def test_what_would_have_no_effect_is_refused_by_name(device: str, settings: dict[str, Any]) -> None:
    with pytest.raises(EngineConfigError, match=f"^{next(iter(settings))} .*leave"):
        engine_config(settings, torch.device(device), has_mtp=True)


@pytest.mark.parametrize(
    ("device", "kernels", "way"), [("cpu", False, "expanded"), ("cuda", True, "packed"), ("cuda", False, "expanded")]
)
def test_four_bits_stay_packed_where_there_are_kernels_for_them(
    monkeypatch: pytest.MonkeyPatch, device: str, kernels: bool, way: str
) -> None:
    monkeypatch.setattr(defaults, "has_kernels", lambda _: kernels)
    assert engine_config({}, torch.device(device), has_mtp=True).four_bits == way


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"cache_tokens": 10**14}, r"^cache_tokens is 1e\+14, for which there is no memory; give [\d,]+ at the most$"),
        ({"host_cache_gb": 1e9}, r"^host_cache_gb is 1e\+09, for which there is no memory; give [\d,]+ at the most$"),
        ({"max_seqs": 10**8}, r"^max_seqs is 100,000,000; give 65,536 at the most$"),
    ],
)
def test_what_no_memory_holds_is_refused_by_name(nano: LoadedModel, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(EngineConfigError, match=says):
        nano.engine(nano.config(**settings))


def engine(nano: LoadedModel, settings: dict[str, Any]) -> Engine:
    built = nano.engine(nano.config(cache_tokens=1024, max_seqs=4, **settings))
    prompts = (text * 8 for text in ("What is 12 * 34?", "Why is the sky blue? "))
    for serial, prompt in enumerate(prompts):
        params = SamplingParams(temperature=3.0, seed=serial, max_tokens=ANSWER, ignore_eos=True)
        built.submit(Request(request_id=str(serial), prompt=nano.tokenizer.encode(prompt), params=params))
    return built


def tokens_of(engines: list[Engine]) -> list[dict[str, list[int]]]:
    """What each answers, a step of each in turn."""
    found: list[dict[str, list[int]]] = [{} for _ in engines]
    while any(one.has_work() for one in engines):
        for one, answers in zip(engines, found, strict=True):
            for output in one.step() if one.has_work() else []:
                answers.setdefault(output.request_id, []).extend(output.outputs[0].tokens)
    for one in engines:
        one.close()
    return found


@pytest.mark.slow
def test_engines_in_turn_answer_as_each_does_alone(nano: LoadedModel) -> None:
    alone = [tokens_of([engine(nano, settings)])[0] for settings in SETTINGS]
    assert tokens_of([engine(nano, settings) for settings in SETTINGS]) == alone
    assert all(len(answer) == ANSWER for answers in alone for answer in answers.values())
    assert alone[0] != alone[1], "settings that change nothing would prove nothing"


def test_engines_share_the_weights_and_nothing_of_the_model_changes(nano: LoadedModel) -> None:
    first, second = (engine(nano, settings) for settings in SETTINGS[:2])
    try:
        one, other = first.runner.model, second.runner.model
        assert one.embedding is other.embedding is nano.model.embedding  # type: ignore[attr-defined]
        a, b = (model.layers[1].attention for model in (one, other))  # type: ignore[attr-defined]
        assert a.qkv_a.data is b.qkv_a.data and a.qkv_a.rounds_from != b.qkv_a.rounds_from
        assert a.cache_scales is None and b.cache_scales is not None
        for part, name in ((one, "absorbed"), (a, "cache_scales"), (a.qkv_a, "rounds_from")):
            with pytest.raises(FrozenInstanceError):
                setattr(part, name, None)
    finally:
        first.close()
        second.close()


def test_what_cannot_be_is_said_before_weights_are_read(tmp_path: Path) -> None:
    def read(done: int, total: int, name: str) -> None:
        raise AssertionError("weights were read")

    with pytest.raises(CacheFormatError, match="'fp9'"):
        load_model(device="cpu", progress=read, settings={"cache_dtype": "fp9"})
