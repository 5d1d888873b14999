"""Ranks of a test, forked from a process that has imported what they need: torch and Triton take seconds to import."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.connection import wait


def fork_ranks(world: int, run: Callable[[int], None]) -> None:
    """Runs each rank in a process of its own. The first that fails ends this process, and the others with it.

    hazard: to be called before anything computes, since a fork has none of its parent's threads.
    """
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=run, args=(rank,), daemon=True) for rank in range(world)]
    for rank in ranks:
        rank.start()
    running = {rank.sentinel: rank for rank in ranks}
    while running:
        for sentinel in wait(list(running)):
            rank = running.pop(sentinel)  # type: ignore[index]
            rank.join()
            if rank.exitcode:
                sys.exit(f"{rank.name} ended with {rank.exitcode}")
