"""The process of a rank but the first: loads its share of a model and repeats rank 0's calls."""

from __future__ import annotations

import os
from pathlib import Path

from hopwell.control import as_child
from hopwell.logs import log_json
from hopwell.parallel.launch import follow, join


def main() -> None:
    """Entry of the process (`RANK` of `engine/parallel.py`). Rank 0 sends `start`; it answers `loaded`, or `failed` and
    why."""
    control, start = as_child()
    log_json()
    layout, lines, place = join(control, start)
    try:
        from hopwell.engine.loading import load_share
        from hopwell.engine.parallel import Follower

        own = {name: start.fields[name] for name in ("device", "dtype", "packed")}
        loaded, exchange = load_share(Path(start.fields["model"]), layout, lines, place, **own)
        follower = Follower(loaded, exchange, loaded.model.device)
    except Exception as error:  # what a user can mend, rank 0 finds too, and says in its own words
        control.send("failed", reason=str(error) or repr(error))
        lines.block.lose(layout.rank)
        os._exit(1)
    control.send("loaded")
    follow(control, layout.rank, lines, follower)
