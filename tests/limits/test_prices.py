"""Price lists: the built-in one is whole and sourced, a user's overrides it key by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopwell.limits.catalogue import catalogue
from hopwell.limits.prices import PriceError, read_prices


def test_the_built_in_list_is_plausible() -> None:
    prices = read_prices()
    for name, price in prices.gpus.items():
        assert name in catalogue() and price.source
        assert 0.1 < price.own.low <= price.rent.high < 20 and 0 < price.resale.middle < price.buy.middle
        assert price.provisioned_kw * 1e3 > catalogue()[name].tdp
    assert abs(prices.facility.kilowatts(550, "air") - 1.09) < 0.03  # PowerX: H100
    assert abs(prices.facility.kilowatts(890, "air") - 1.57) < 0.03  # PowerX: B200
    with pytest.raises(PriceError, match=r"no price of RTX4090 is known; give --prices FILE with \[gpu.RTX4090\]"):
        prices.of("RTX4090")


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('date = "2026-11-01"\n[gpu.H100]\nrent = 0.9\n[facility]\nelectricity = 0.3\n', encoding="utf-8")
    prices = read_prices(path)
    assert prices.of("H100").rent == (0.9, 0.9, 0.9) and prices.of("H100").buy == read_prices().of("H100").buy
    assert prices.facility.electricity.middle == 0.3 and prices.date == "2026-11-01"
    path.write_text(
        "[gpu.L40S]\nrent = 1\nown = 1\nbuy = 9000\nresale = 5000\nprovisioned_kw = 0.6\n", encoding="utf-8"
    )
    assert read_prices(path).of("L40S").cooling == "air"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gpu.H100]\nrnt = 1", r"gpu.H100.rnt is not known; keys there are buy"),
        ("[gpu.H100]\nrent = [3, 2, 1]", r"gpu.H100.rent is \[3, 2, 1\]; give a number, or three that rise"),
        ("[gpu.H100]\nrent = -1", "gpu.H100.rent"),
        ("[gpu.L40S]\nrent = 1", r"\[gpu.L40S\] lacks buy"),
        ("[gpu.h200]\nrent = 1", r"\[gpu.h200\] is not in the catalogue"),
        ("[gpu.H2000]\nrent = 1", r"\[gpu.H2000\] is not in the catalogue; GPUs there are A100, H100,"),
        ("rent", "cannot be read"),
        ("gpu.H100 = 3", r"gpu.H100 is 3; it is a table"),
        ("[gpu.H100]\nrent = 0", "gpu.H100.rent is 0.0; give a number above 0"),
        ("[gpu.H100]\ncooling = 'oil'", "gpu.H100.cooling is 'oil'; give air or liquid"),
        ("[gpu.H100]\nrack = 0.3", "gpu.H100.rack is 0.3; give a whole number above 0"),
        ("[facility]\nsupply = 0", "facility.supply is 0; give a number above 0"),
        ("[facility.pue]\nair = 'x'", "facility.pue.air"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PriceError, match=message):
        read_prices(path)


def test_a_file_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(PriceError) as caught:
        read_prices(tmp_path / "mine.toml")
    assert str(caught.value) == f"{tmp_path / 'mine.toml'}: cannot be read: No such file or directory"
