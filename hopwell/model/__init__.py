"""Floor 4. Config, MLA, MoE, MTP and the forward pass, in terms of ops."""

from __future__ import annotations

from pathlib import Path

NANO = Path(__file__).with_name("nano")
"""The embedded model's files."""
CONFIGS = NANO.with_name("configs")
"""Of released models, a config.json each."""
SHORT_NAMES = {
    "r1": "deepseek-r1",
    "v3": "deepseek-v3",
    "v3.1": "deepseek-v3.1",
    "v2-lite": "deepseek-v2-lite",
    "k2": "kimi-k2",
}


def place_of(model: str | Path | None) -> Path:
    """Where a model of that name would be: the embedded one by no name, or by nano where nothing of that name is
    here."""
    return NANO if model is None or (str(model) == "nano" and not Path("nano").exists()) else Path(model)


def shipped_name(name: str) -> str:
    """A shipped config's name, however it is written: r1, DeepSeek-R1."""
    return SHORT_NAMES.get(name.lower(), name.lower())
