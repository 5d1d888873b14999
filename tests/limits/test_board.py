"""A GPU's sensors, read from the real NVML where there is one, and what is made of what it says."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hopwell.limits.board import REASONS, read_board


class NVMLError(Exception):
    """As pynvml's."""


def library(**said: Any) -> Any:
    """A card that answers so; what it was not told of, it has no sensor for."""

    def missing(*_: Any) -> None:
        raise NVMLError

    names = ("PowerUsage", "CurrentClocksEventReasons", "Temperature", "ClockInfo", "HandleByUUID")
    functions = {f"nvmlDeviceGet{name}": said.get(name, missing) for name in names}
    constants = {"NVML_TEMPERATURE_GPU": 0, "NVML_CLOCK_SM": 1, "NVML_CLOCK_MEM": 2}
    return SimpleNamespace(nvmlInit=lambda: None, NVMLError=NVMLError, **functions, **constants)


def test_what_a_card_says() -> None:
    asked: list[str] = []
    card = library(
        HandleByUUID=lambda uuid: asked.append(uuid) or "handle", PowerUsage=lambda _: 412_500,
        Temperature=lambda _handle, _kind: 61, ClockInfo=lambda _handle, kind: {1: 1755, 2: 3201}[kind],
        CurrentClocksEventReasons=lambda _: 0x4 | 0x20 | 0x1,
    )  # fmt: skip
    board = read_board("1234-abcd", card)
    assert board is not None and asked == ["GPU-1234-abcd"]
    assert (board.watts, board.degrees, board.sm_mhz, board.memory_mhz) == (412.5, 61, 1755, 3201)
    assert board.slowed_by == ["power cap", "temperature"], "that it idles slows nothing"


def test_a_card_without_some_sensors_and_one_that_is_not_there() -> None:
    board = read_board("x", library(HandleByUUID=lambda _: "handle", PowerUsage=lambda _: 100_000))
    assert board is not None and (board.watts, board.degrees, board.sm_mhz, board.slowed_by) == (100.0, None, None, [])
    assert read_board("x", library()) is None


@pytest.mark.skipif(importlib.util.find_spec("pynvml") is None, reason="pip install nvidia-ml-py")
def test_the_names_are_nvmls_own() -> None:
    import pynvml

    bits = {
        value
        for name, value in vars(pynvml).items()
        if name.startswith(("nvmlClocksEventReason", "nvmlClocksThrottleReason")) and isinstance(value, int)
    }
    assert set(REASONS) <= bits
    for name in vars(library()):
        assert hasattr(pynvml, name), name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_real_card() -> None:
    board = read_board(str(torch.cuda.get_device_properties(0).uuid))
    assert board is not None and board.watts and 0 < board.watts < 2000 and board.sm_mhz
