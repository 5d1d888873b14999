"""MLPerf's own load generator against a server: its arrivals, its clocks, its verdict.

    pip install mlcommons-loadgen
    python -m benchmarks.loadgen --qps 4 --seconds 120 --scale 32 --out loadgen.json
    python -m benchmarks.loadgen --url http://127.0.0.1:8000 --qps 2 --seconds 600 --promise interactive --flood 16

runs the Server scenario (Poisson arrivals) with the limits of MLPerf Inference's DeepSeek-R1: 99 of 100 requests within
2 s to the first token and 80 ms a token after it, or 1.5 s and 15 ms as `interactive`. Answers have the benchmark's
mean length, 3,886 tokens, divided by `--scale` for models with a smaller context, and a lognormal spread; prompts
are random tokens. Without --url nano is served. --flood: callers of the class `batch` at the same time, who must not
be felt.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import json
import math
import os
import platform
import random
import re
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.serving import served
from hopwell.cli.result import environment
from hopwell.engine.request import LATENCY_CLASSES

MEAN_ANSWER = 3886
"""Tokens, of MLPerf's DeepSeek-R1 (Inference v5.1)."""
SPREAD = 0.6
"""Standard deviation of the logarithm of lengths."""
SAMPLES = 512
FLOOD_TOKENS = 256


@dataclass
class Sample:
    """One request of the library that LoadGen picks from."""

    prompt: list[int]
    tokens: int


@dataclass
class Server:
    """What is under test: a server, spoken to from an event loop in a thread of its own."""

    url: str
    model: str
    promise: str
    samples: list[Sample]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    failures: list[str] = field(default_factory=list)
    tokens: int = 0
    flooded: int = 0
    """Tokens of the flood."""

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
        self.client = httpx.AsyncClient(base_url=self.url, timeout=600, limits=limits)
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def issue(self, queries: list[Any]) -> None:
        """LoadGen's call: begins requests and returns at once."""
        for query in queries:
            asyncio.run_coroutine_threadsafe(self._answer(query), self.loop)

    async def _answer(self, query: Any) -> None:
        import mlperf_loadgen as lg

        sample, count = self.samples[query.index], 0
        buffer = array.array("B", b"\0" * 4)  # LoadGen wants an answer; only its times are of interest
        place = buffer.buffer_info()[0]
        try:
            async with self.client.stream("POST", "/v1/completions", json=self._body(sample, self.promise)) as reply:
                reply.raise_for_status()
                async for line in reply.aiter_lines():
                    if not line.startswith("data: {"):
                        continue
                    data = json.loads(line[6:])
                    if "error" in data:
                        raise RuntimeError(data["error"]["message"])
                    if data["choices"] and not count:
                        count = 1
                        lg.FirstTokenComplete([lg.QuerySampleResponse(query.id, place, 4, 1)])
                    if data.get("usage"):
                        count = data["usage"]["completion_tokens"]
        except Exception as error:
            self.failures.append(repr(error))
        self.tokens += count
        lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, place, 4, max(count, 1))])

    async def flood(self) -> None:
        """One caller who asks for as much as it can, of the class without promises."""
        pick = random.Random()
        while True:
            sample = pick.choice(self.samples)
            body = self._body(Sample(sample.prompt, FLOOD_TOKENS), "batch") | {"stream": False}
            del body["stream_options"]
            try:
                reply = await self.client.post("/v1/completions", json=body)
                self.flooded += reply.json()["usage"]["completion_tokens"]
            except (httpx.HTTPError, KeyError) as error:
                self.failures.append(f"flood: {error!r}")
                await asyncio.sleep(1)

    def _body(self, sample: Sample, promise: str) -> dict[str, Any]:
        return {
            "model": self.model,
            "prompt": sample.prompt,
            "max_tokens": sample.tokens,
            "ignore_eos": True,
            "temperature": 0,
            "latency_class": promise,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


def samples(prompt: int, answer: float, vocab: int, longest: int, seed: int) -> list[Sample]:
    """Requests with random prompts; lognormal lengths, of these means.

    Args:
        longest: tokens of prompt and answer together that the model can take.
    """
    pick = random.Random(seed)
    made = []
    for _ in range(SAMPLES):
        long = pick.lognormvariate(math.log(answer) - SPREAD**2 / 2, SPREAD)
        many = pick.lognormvariate(math.log(prompt) - SPREAD**2 / 2, SPREAD)
        size = min(max(1, round(many)), longest // 2)
        tokens = [pick.randrange(10, vocab) for _ in range(size)]
        made.append(Sample(tokens, min(max(2, round(long)), longest - size)))
    return made


def run(server: Server, qps: float, seconds: float, folder: Path) -> dict[str, Any]:
    """LoadGen's verdict, and what it measured."""
    import mlperf_loadgen as lg

    promise = LATENCY_CLASSES[server.promise]
    assert promise.ttft is not None and promise.tpot is not None
    settings = lg.TestSettings()
    settings.scenario, settings.mode = lg.TestScenario.Server, lg.TestMode.PerformanceOnly
    settings.server_target_qps = qps
    settings.server_target_latency_percentile = 0.99
    settings.server_target_latency_ns = round(3600e9)  # the limits are those of tokens
    settings.min_duration_ms, settings.min_query_count = round(seconds * 1e3), 1
    settings.use_token_latencies = True
    settings.ttft_latency, settings.tpot_latency = round(promise.ttft * 1e9), round(promise.tpot * 1e9)
    output = lg.LogOutputSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    log = lg.LogSettings()
    log.log_output, log.enable_trace = output, False
    library = lg.ConstructQSL(SAMPLES, SAMPLES, lambda _: None, lambda _: None)
    system = lg.ConstructSUT(server.issue, lambda: None)
    began = time.monotonic()
    lg.StartTestWithLogSettings(system, library, settings, log)
    took = time.monotonic() - began
    lg.DestroySUT(system)
    lg.DestroyQSL(library)
    return {**read_summary((folder / "mlperf_log_summary.txt").read_text()), "seconds": round(took, 1)}


def read_summary(text: str) -> dict[str, Any]:
    """What LoadGen's summary says: valid or not, why not, and quantiles in milliseconds."""
    found: dict[str, Any] = {"valid": "Result is : VALID" in text}
    found["reasons"] = [line.strip() for line in re.findall(r"^ +\* (.+)$", text, re.M)]
    for line in text.splitlines():
        name, _, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if found_at := re.fullmatch(
            r"(50\.00|90\.00|99\.00) percentile (first token|time to output token).*\(ns\)", name
        ):
            kind = "ttft" if found_at[2] == "first token" else "tpot"
            found[f"{kind}_p{found_at[1][:2]}_ms"] = round(float(value) / 1e6, 3)
        elif name in ("Completed samples per second", "Completed tokens per second"):
            found[name.lower().replace(" ", "_")] = float(value)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="of a server; default: nano, served here")
    parser.add_argument("--qps", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, default=600.0, help="MLPerf's rules want 600 or more")
    parser.add_argument("--promise", choices=["server", "interactive"], default="server")
    parser.add_argument("--scale", type=float, default=1.0, help="answers are this many times shorter")
    parser.add_argument("--prompt", type=int, default=128, help="mean tokens of prompts")
    parser.add_argument("--flood", type=int, default=0, metavar="N", help="callers of the class batch beside it")
    parser.add_argument("--vocab", type=int, default=1000, help="prompts are made of tokens 10 to this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON of the result")
    given = parser.parse_args()
    if given.url is not None:
        row = measure(given, given.url)
    else:
        with served() as (_, url):
            row = measure(given, url)
    print(json.dumps(row, indent=1))
    if given.out:
        given.out.write_text(json.dumps(row, indent=1) + "\n")
    sys.exit(not row["valid"] or bool(row["failures"]))


def measure(given: argparse.Namespace, url: str) -> dict[str, Any]:
    """One run."""
    card = httpx.get(url + "/v1/models").json()["data"][0]
    library = samples(given.prompt, MEAN_ANSWER / given.scale, given.vocab, card["max_model_len"], given.seed)
    server = Server(url, card["id"], given.promise, library)
    floods = [asyncio.run_coroutine_threadsafe(server.flood(), server.loop) for _ in range(given.flood)]
    with tempfile.TemporaryDirectory() as folder:
        found = run(server, given.qps, given.seconds, Path(folder))
    for flood in floods:
        flood.cancel()
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count()},
        "commit": environment()["commit"],
        "model": card["id"],
        "scenario": "Server",
        "promise": given.promise,
        "target_qps": given.qps,
        "answer_mean_tokens": round(sum(sample.tokens for sample in library) / SAMPLES, 1),
        "answers_scaled_down_by": given.scale,
        "prompt_mean_tokens": round(sum(len(sample.prompt) for sample in library) / SAMPLES, 1),
        "flood_callers": given.flood,
        "flood_tokens_per_s": round(server.flooded / found["seconds"], 1),
        "tokens_per_s": round(server.tokens / found["seconds"], 1),
        "failures": server.failures[:20],
        **found,
    }


if __name__ == "__main__":
    main()
