"""Floor 4. Config, MLA, MoE, MTP and the forward pass, in terms of ops."""

from __future__ import annotations

from pathlib import Path

NANO = Path(__file__).with_name("nano")
"""The embedded model's files."""
