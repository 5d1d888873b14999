"""The GPU benches on a machine without a GPU: one line that says what is missing."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from hopwell.cli.bench import bench
from hopwell.errors import HopwellError


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
@pytest.mark.parametrize("command", ["ceilings", "ops", "engine"])
def test_without_a_gpu_the_benches_say_so(command: str) -> None:
    result = CliRunner().invoke(bench, [command])
    assert isinstance(result.exception, HopwellError)
    assert "needs an NVIDIA GPU" in str(result.exception)
