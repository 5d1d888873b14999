"""`hopwell serve`: what is refused before anything starts."""

from __future__ import annotations

from dataclasses import fields

import pytest
import typer
from commands import refused

from hopwell.cli import app
from hopwell.cli.serve import told_in_options
from hopwell.engine.config import EngineConfig, EngineConfigError
from hopwell.errors import HopwellError
from hopwell.server.supervisor import own_gpus


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--served-model-name", ",", "--served-model-name is ',', which has an empty name"),
        ("--name", "a,,b", "which has an empty name"),
        ("--cors-origin", "foo", "--cors-origin is 'foo'; give scheme and host"),
        ("--cors-origin", "https://a.example/", "give scheme and host"),
        ("--cors-origin", "https://A.example", "give scheme and host"),
        ("--allowed-host", "https://a.example", "--allowed-host is 'https://a.example'; give a name without scheme"),
        ("--allowed-host", "", "--allowed-host is ''"),
        ("--host", "", "--host is ''; give an address, as 127.0.0.1"),
        ("--host", " ", "--host is ' '; give an address, as 127.0.0.1"),
        ("--api-keys", "/no/such/keys", "/no/such/keys: cannot read: No such file or directory\n"),
    ],
)
def test_what_would_have_no_effect_is_refused_by_name(option: str, value: str, says: str) -> None:
    said = refused("serve", "--port", "0", option, value)
    assert says in said and said.count("/no/such/keys") <= 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--api-workers", "0"), "leave out --api-workers 0"),
        (("--device", "cuda:1"), "give --device cuda in place of cuda:1"),
        (("--price-per-kwh", "0.3"), "leave out --energy, --grams-per-kwh and --price-per-kwh"),
        (("--host-cache-gb", "1", "--disk-cache", "/tmp/x", "--disk-cache-gb", "1"), "leave out --disk-cache"),
    ],
)
def test_what_several_engines_cannot_have_is_refused_by_name(options: tuple[str, ...], says: str) -> None:
    said = refused("serve", "--port", "0", "--dp", "2", *options)
    assert said.startswith("error: --dp 2: ") and says in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--tp", "2", "--dp-attention"), "leave out --dp-attention"),
        (("--no-prefix-cache",), "leave out --no-prefix-cache"),
        (("--api-workers", "0"), "leave out --api-workers 0"),
        (("--host-cache-gb", "1", "--disk-cache", "/tmp/x", "--disk-cache-gb", "1"), "leave out --disk-cache"),
    ],
)
def test_what_engines_for_prompts_cannot_have_is_refused_by_name(options: tuple[str, ...], says: str) -> None:
    said = refused("serve", "--port", "0", "--prefill-engines", "1", *options)
    assert said.startswith("error: --prefill-engines 1: ") and says in said


def test_each_engine_sees_its_own_gpus() -> None:
    assert [own_gpus(copy, 2, None) for copy in range(2)] == [
        {"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "2,3"},
    ]  # fmt: skip
    assert own_gpus(1, 1, "3, GPU-ab,5") == {"CUDA_VISIBLE_DEVICES": "GPU-ab"}
    assert own_gpus(2, 2, "0,1,2,3") == {"CUDA_VISIBLE_DEVICES": ""}, "there is none left, and the engine says so"


def test_settings_are_called_as_their_options_are() -> None:
    serve = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    known = {option for parameter in serve.params for option in parameter.opts}
    names = {field.name for field in fields(EngineConfig)} - {"adaptive_drafts"}
    assert {"--" + name.replace("_", "-") for name in names} <= known
    with pytest.raises(HopwellError, match=r"^--drafts is 9, as /tmp/max_seqs says, not xmax_seqs$"), told_in_options():
        raise EngineConfigError("drafts is 9, as /tmp/max_seqs says, not xmax_seqs")
    with (
        pytest.raises(HopwellError, match=r"^--no-hold-prompts is for the objectives .*; leave it out$"),
        told_in_options(),
    ):
        EngineConfig(hold_prompts=False)
