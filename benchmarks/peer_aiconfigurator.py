"""AIConfigurator 0.12 on the planner's public rows, in an environment of its own: only planner_beside.py starts this.

    pip install --target /tmp/aic aiconfigurator==0.12.0
    PYTHONPATH=/tmp/aic python -m benchmarks.planner_beside aiconfigurator_core-0.12.0-*.whl

Reads questions as JSON on stdin, writes one answer each as JSON on stdout; imports nothing of Hopwell.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from typing import Any


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """ms to the first token and between tokens by its aggregated estimate, or what it says instead."""
    from aiconfigurator.cli.api import cli_estimate

    begin = time.perf_counter()
    try:
        found = cli_estimate(**question)
    except Exception as error:  # whatever it refuses with is its answer
        return {"fault": f"{type(error).__name__}: {error}"}
    return {
        "ttft_ms": found.ttft,
        "tpot_ms": found.tpot,
        "over_memory": found.kv_cache_warning is not None,
        "watts": found.power_w,
        "seconds": round(time.perf_counter() - begin, 2),
    }


def main() -> None:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    stdout, sys.stdout = sys.stdout, sys.stderr
    json.dump([answer(question) for question in json.load(sys.stdin)], stdout)


if __name__ == "__main__":
    main()
