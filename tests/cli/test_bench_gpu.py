"""The GPU benches on a machine without a GPU: one line that says what is missing."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from hopwell.cli import app
from hopwell.cli.bench import bench
from hopwell.errors import HopwellError


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
@pytest.mark.parametrize("command", [["ceilings"], ["engine"], ["whole", "nano"]])
def test_without_a_gpu_the_benches_say_so(command: list[str]) -> None:
    result = CliRunner().invoke(bench, command)
    assert isinstance(result.exception, HopwellError)
    assert "needs an NVIDIA GPU" in str(result.exception)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_warm_wants_to_know_for_what() -> None:
    result = CliRunner().invoke(app, ["warm"])
    assert isinstance(result.exception, HopwellError)
    assert "say which with --arch 90 or --arch 100" in str(result.exception)


@pytest.mark.parametrize("shape", ["8y", "0x4", "8x", "²x4", "8x2048x1"])
def test_a_strange_shape_of_prompts_is_named(shape: str) -> None:
    result = CliRunner().invoke(bench, ["against", "x", "--prompts", shape])
    assert isinstance(result.exception, HopwellError)
    assert shape in str(result.exception) and "8x2048" in str(result.exception)
