"""Side by side through HTTP: both engines serve the same checkpoint, one after the other, to the same clients.

What is sent is the same to both, drawn from one seed: random token ids, so that neither tokenizer nor prefix cache
helps, answers of full length, every token a chunk of its own stream.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopwell.bench.against import ROOT
from hopwell.bench.peer_vllm import BY_GPUS, SETTINGS
from hopwell.bench.serve import Load, bench_serve
from hopwell.bench.served import own_server, server
from hopwell.errors import HopwellError

TURNS, FEWEST = 3, 8
"""Requests of a caller in a closed loop, and of a level at least."""
ARRIVALS = 15.0
"""Seconds for which callers arrive at a rate."""
COMPARED = (("output_tokens_per_s", False), ("ttft_p50_ms", True), ("ttft_p99_ms", True), ("tpot_p50_ms", True),
            ("itl_p99_ms", True))  # fmt: skip
"""What is set beside each other, and whether less is better."""


@dataclass(frozen=True)
class Case:
    """Prompts and answers of one length."""

    input_tokens: int
    output_tokens: int
    concurrency: Sequence[int] = ()
    """Callers at once, level by level."""
    rates: Sequence[float] = ()
    """Poisson arrivals a second."""


@dataclass(frozen=True)
class Loads:
    """What both are asked."""

    vocabulary: int
    cases: Sequence[Case]
    clients: int = 1
    """Processes that ask."""
    seed: int = 1

    @property
    def longest(self) -> int:
        """Tokens of a request."""
        return max(case.input_tokens + case.output_tokens for case in self.cases)

    @property
    def most(self) -> int:
        """Callers at once."""
        return max([1, *(callers for case in self.cases for callers in case.concurrency)])


def serve_sides(
    checkpoint: Path,
    loads: Loads,
    peer_site: Path | None,
    options: Sequence[str] = (),
    say: Callable[[str], None] = print,
    gpus: int = 1,
) -> list[dict[str, Any]]:
    """Rows of `bench_serve` with an `engine` each; without `peer_site` ours alone.

    Args:
        peer_site: the folder that vLLM is installed in, as `pip install --target` makes it.
        options: of our `serve`.
        gpus: over which each lies, tensor-parallel.

    Raises:
        HopwellError: a server ended before it was ready, or requests failed.
    """
    most = max(loads.most, 256)
    rows = []
    with own_server(str(checkpoint), ["--max-seqs", str(most), "--tp", str(gpus), *options]) as url:
        rows += _asked(url, loads, "hopwell", say)
    if peer_site is not None:
        with peer_server(checkpoint, loads.longest, most, peer_site, gpus) as url:
            rows += _asked(url, loads, "vllm", say)
    return rows


@contextmanager
def peer_server(checkpoint: Path, longest: int, most: int, site: Path, gpus: int = 1) -> Iterator[str]:
    """vLLM's own server, for requests of up to `longest` tokens, `most` at once; gives its URL."""
    arguments = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint), "--max-model-len",
                 str(max(longest, 8192)), "--max-num-seqs", str(most), "--max-num-batched-tokens", "8192",
                 "--no-enable-prefix-caching", "--tensor-parallel-size", str(gpus)]  # fmt: skip
    environment = {**SETTINGS, **BY_GPUS[gpus > 1], "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    with server(arguments, "vllm", "/health", environment) as url:
        yield url


def _asked(url: str, loads: Loads, engine: str, say: Callable[[str], None]) -> list[dict[str, Any]]:
    say(engine)
    asked = {"turns": TURNS, "requests": FEWEST, "clients": loads.clients, "say": lambda line: say(f"  {line}")}
    warm = {**asked, "say": lambda _: None}
    rows: list[dict[str, Any]] = []
    for case in loads.cases:
        load = Load(input_words=case.input_tokens, output_tokens=case.output_tokens, spread=0.0,
                    vocabulary=loads.vocabulary, seed=loads.seed)  # fmt: skip
        # what is met for the first time is compiled or captured now, and not counted
        bench_serve(url, load, concurrency=[min(32, max([*case.concurrency, 1]))], **warm)
        rows += bench_serve(url, load, concurrency=case.concurrency, rates=[], **asked)
        for rate in case.rates:
            rows += bench_serve(url, load, rates=[rate], **{**asked, "requests": max(FEWEST, round(ARRIVALS * rate))})
    for row in rows:
        if row["failed"]:
            raise HopwellError(f"{engine}: {row['failed']} of {row['requests']} failed, first: {row['first_error']}")
    return [{"engine": engine, **row} for row in rows]


def beside(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of each level: what is compared, ours, theirs, and the ratio, above 1 in our favour."""
    ours = [row for row in rows if row["engine"] == "hopwell"]
    theirs = [row for row in rows if row["engine"] != "hopwell"]
    table = []
    several = len({(row["mean_isl"], row["mean_osl"]) for row in rows}) > 1
    for index, row in enumerate(ours):
        level = f"callers {row['concurrency']:g}" if row["concurrency"] else f"rate {row['rate']:g}"
        if several:
            level = f"{row['mean_isl']:g} in, {row['mean_osl']:g} out, {level}"
        for name, less in COMPARED:
            line: dict[str, Any] = {"load": level, "what": name.replace("_", " "), "ours": row[name]}
            if theirs:
                other = theirs[index][name]
                line |= {"theirs": other, "ratio": other / row[name] if less else row[name] / other}
            table.append(line)
    return table


def vocabulary_of(checkpoint: Path) -> int:
    """
    Raises:
        HopwellError: its config does not say.
    """
    try:
        return int(json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["vocab_size"])
    except OSError as error:
        raise HopwellError(f"{checkpoint / 'config.json'}: {error.strerror}") from None
    except (ValueError, KeyError) as error:
        raise HopwellError(f"{checkpoint / 'config.json'}: {error!r}") from None
