"""Side by side with another engine: both load the same checkpoint from disk, one after the other, on this machine.

Each side is a process of its own, ours started twice unless told otherwise: with an empty kernel cache, and with a full
one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hopwell.bench.engine import decode_costs, step_costs
from hopwell.bench.side import MEASURED
from hopwell.errors import HopwellError
from hopwell.limits.ceilings import Ceilings
from hopwell.model.config import ModelConfig
from hopwell.model.sharding import share
from hopwell.parallel.layout import Layout
from hopwell.planner.work import distinct_experts

ROOT = Path(__file__).parents[2]
Rows = list[dict[str, Any]]
MILLIJOULES = "decode, mJ a token"


def sides(
    checkpoint: Path,
    task: dict[str, Any],
    peer_site: Path | None,
    say: Callable[[str], None] = print,
    once: bool = False,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Measures both; without `peer_site` ours alone.

    Args:
        task: as `side.measure` has it; `device` and `cache_dtype` are for our side.
        peer_site: the folder that vLLM is installed in, as `pip install --target` makes it.
        once: ours starts with an empty kernel cache alone; its `ready_s` is None then.

    Raises:
        HopwellError: a side failed; the message holds the last line it wrote.
    """
    with tempfile.TemporaryDirectory() as cache:
        own = [sys.executable, "-P", "-m", "hopwell.bench.own_side", str(checkpoint)]
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {"TRITON_CACHE_DIR": cache, "PYTHONPATH": os.pathsep.join(paths)}
        say("hopwell, empty kernel cache")
        brief = task if once else {**task, "decode": [[1, 64]], "prefill": [[1, 64]]}
        cold = run_side([*own, json.dumps(brief)], environment, say)
        ours = {**cold, "ready_s": None, "phases": None}
        if not once:
            say("hopwell, full kernel cache")
            ours = run_side([*own, json.dumps(task)], environment, say)
    ours["ready_cold_s"], ours["phases_cold"] = cold["ready_s"], cold["phases"]
    if peer_site is None:
        return ours, None
    say("vllm")
    return ours, peer_side(checkpoint, task, peer_site, say)


def peer_side(
    checkpoint: Path, task: dict[str, Any], peer_site: Path, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """vLLM's measurements; arguments and errors as `sides` has them."""
    site = {"PYTHONPATH": os.pathsep.join([str(peer_site), str(ROOT)])}
    script = str(ROOT / "hopwell/bench/peer_vllm.py")
    return run_side([sys.executable, script, str(checkpoint), json.dumps(task)], site, say)


def run_side(command: list[str], environment: Mapping[str, str], say: Callable[[str], None] = print) -> dict[str, Any]:
    """Runs a side's process and returns the JSON that it printed last, an object whose first field is `engine`; its
    measurements are told as they come.

    Args:
        environment: variables beside this process's own.

    Raises:
        HopwellError: it failed; the message holds the exception, or the last line it wrote.
    """
    heard: list[str] = []
    with (
        tempfile.TemporaryFile("w+") as printed,
        subprocess.Popen(
            command, stdout=printed, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
        ) as run,
    ):
        assert run.stderr is not None
        try:
            for line in filter(str.strip, run.stderr):
                heard.append(line.strip())
                if line.startswith(MEASURED):
                    say(f"  {line.strip()}")
        except KeyboardInterrupt:  # a peer's start takes minutes: what it was at
            say(f"  cut off; the last line it wrote: {heard[-1] if heard else 'none'}")
            raise
        code = run.wait()
        printed.seek(0)
        # a peer's workers may print after its result
        result = next((line for line in reversed(printed.read().splitlines()) if line.startswith('{"engine"')), None)
    if code != 0 or result is None:
        engine = "hopwell" if "hopwell.bench.own_side" in command else "vllm"
        raise HopwellError(f"{engine} has failed: {_why(heard)}")
    return json.loads(result)


def _why(heard: list[str]) -> str:
    """The last line that names an exception, or the last: a process may have warnings to give after its fault."""
    named = [line for line in heard if re.match(r"(\[\w+\]: )?[\w.]+(Error|Exception)\b", line)]
    return (named or heard or ["it wrote nothing"])[-1]


def compare(
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any] | None,
    config: ModelConfig,
    limit: Ceilings | None,
    drafts: int = 0,
    acceptance: float = 1.0,
    gpus: int = 1,
) -> Rows:
    """A row for each batch and context, each prompt shape, and the start: ours, theirs, the ratio, the limit.

    A ratio above 1 is in our favour. The limit counts the experts that evenly spread tokens would touch.

    Args:
        drafts, acceptance: a step's, and the tokens that a sequence gained with them.
        gpus: that share every layer; the limit is of one's share.
    """
    rows: Rows = []
    config = one_of(config, gpus)
    experts = config.n_routed_experts, config.router.top_k
    what = "decode, ms a token of each" if drafts else "decode step, ms"
    for index, row in enumerate(ours["decode"]):
        batch, context = row["batch"], row["context"]
        other = theirs["decode"][index] if theirs else {}
        floor = None
        if limit is not None:
            touched = distinct_experts(*experts, batch * (1 + drafts)), distinct_experts(*experts, batch)
            floor = 1e3 * limit.floor_of(decode_costs(config, batch, context, drafts, touched)) / acceptance
        rows.append({"what": what, "batch": batch, "context": context, "prompts": None,
                     **_pair(row["ms_per_step"], other.get("ms_per_step"), floor, lower=True)})  # fmt: skip
        if row["mj_per_token"] is not None:
            rows.append({"what": MILLIJOULES, "batch": batch, "context": context, "prompts": None,
                         **_pair(row["mj_per_token"], other.get("mj_per_token"), None, lower=True)})  # fmt: skip
    for index, row in enumerate(ours["prefill"]):
        prompts, tokens = row["prompts"], row["tokens"]
        floor = None
        if limit is not None:
            touched = distinct_experts(*experts, prompts * tokens)
            costs = step_costs(config, [tokens] * prompts, [tokens] * prompts, touched, drawn=prompts)
            floor = prompts * tokens / limit.floor_of(costs)
        other = theirs["prefill"][index]["tokens_per_s"] if theirs else None
        rows.append({"what": "prompts, tokens/s", "batch": None, "context": tokens, "prompts": prompts,
                     **_pair(row["tokens_per_s"], other, floor, lower=False)})  # fmt: skip
    starts = (("ready, s (kernels compiled before)", "ready_s"), ("ready, s (nothing compiled)", "ready_cold_s"))
    for what, key in starts:
        if ours[key] is None:
            continue
        other = theirs["ready_s"] if theirs else None
        rows.append({"what": what, "batch": None, "context": None, "prompts": None,
                     **_pair(ours[key], other, None, lower=True)})  # fmt: skip
    return rows


def _pair(ours: float, theirs: float | None, limit: float | None, lower: bool) -> dict[str, float | None]:
    ratio = None if theirs is None else theirs / ours if lower else ours / theirs
    percent = None if limit is None else 100 * (limit / ours if lower else ours / limit)
    return {"ours": ours, "theirs": theirs, "ratio": ratio, "limit": limit, "percent_of_limit": percent}


def one_of(config: ModelConfig, gpus: int) -> ModelConfig:
    """What one of several GPUs computes: its heads and widths, and of the head its rows."""
    return replace(share(config, Layout(gpus)), vocab_size=-(-config.vocab_size // gpus))
