"""The process of a rank but the first: loads its share of a model and repeats rank 0's calls."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hopwell.control import as_child
from hopwell.logs import log_json
from hopwell.parallel.launch import Lines, follow, join
from hopwell.parallel.layout import Layout


def main() -> None:
    """Entry of the process (`RANK` of `engine/parallel.py`). Rank 0 sends `start`; it answers `loaded`, or `failed` and
    why."""
    control, start = as_child()
    log_json()
    layout, lines = join(control, start)
    try:
        from hopwell.engine.parallel import Follower

        follower = Follower(_load(start.fields, layout, lines))
    except Exception as error:  # what a user can mend, rank 0 finds too, and says in its own words
        control.send("failed", reason=str(error) or repr(error))
        lines.block.lose(layout.rank)
        os._exit(1)
    control.send("loaded")
    follow(control, layout.rank, lines, follower)


def _load(fields: dict[str, Any], layout: Layout, lines: Lines) -> Any:
    from hopwell.engine.loading import load_share

    return load_share(Path(fields["model"]), layout, lines.exchange, fields["device"], fields["dtype"])
