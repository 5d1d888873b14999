"""Tables of results: numbers to the right, nothing cut where the output is no terminal."""

from __future__ import annotations

import pytest

from hopwell.cli.tables import print_rows, short


def test_numbers_stand_to_the_right_and_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"name": "a" * 150, "tokens_a_second": 12.5, "limit": None},
        {"name": "b", "tokens_a_second": 1000, "limit": "-"},
    ]
    print_rows(rows)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert "tokens a second" in lines[0] and "a" * 150 in lines[2] and "…" not in "".join(lines)
    assert lines[2].index("12.5") + 4 == lines[3].index("1000") + 4


def test_a_word_longer_than_its_column_is_folded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hopwell.cli.tables.UNBOUND", 40)
    monkeypatch.delenv("COLUMNS", raising=False)
    print_rows([{"a": "fifth-generation cores " * 5, "b": "docs/printed-kernel.md " * 5, "c": "x " * 50}], wrap=True)
    said = capsys.readouterr().out
    assert "…" not in said and "".join(said.split()).count("x") == 50


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (999, "999"), (999.6, "1k"), (1234, "1.23k"), (71_424, "71.4k"), (4_230_000, "4.23M"),
     (9.996e8, "1G"), (2.5e13, "25T"), (1e16, "1e+04T")],
)  # fmt: skip
def test_counts_are_short(value: float, text: str) -> None:
    assert short(value) == text


def test_parameters_are_in_billions() -> None:
    assert short(671_026_419_200, (" k", " M", " B"), digits=5) == "671.03 B"
    assert short(1_026_408_232_448, (" k", " M", " B"), digits=5) == "1026.4 B"


def test_columns_without_any_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"kl": 0.0, "budget": None, "kept": ""}, {"kl": 0.1, "budget": None, "kept": None}])
    out = capsys.readouterr().out
    assert "kl" in out and "budget" not in out and "kept" not in out
