"""Random bursts against a whole server, across its processes: every answer is checked against the model alone.

    python -m benchmarks.storm --requests 1000 --kill --out storm.json

serves nano in each mode (drafts, prefix cache, overlap) with two API processes. Requests come in bursts, as streams and
whole, some with a schema; a fifth of the callers leave early. With --kill the engine's process, a rank's or an API's is
killed now and then: what it served must end with an error, and whatever is answered must still be right. Ends with 1 if
anything was wrong. With --tp the model lies over several ranks, and is held, in float32, to the model in one process;
with --dp there are several engines; with --disk-cache pages go to host memory and a disk, in modes that keep prefixes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.serving import served
from benchmarks.stress import MODES, Case, make_cases, references
from hopwell.cli.result import environment
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model

AT_ONCE = 48
"""Callers; the engine runs 32 sequences."""
LIFE = 35.0
"""Seconds between two kills: three ends of a process within 30 s of its start would end the server."""
SOON = 2.0
"""Seconds within which a request must end once what serves it is gone."""


@dataclass
class Outcome:
    """What came of one mode."""

    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    kills: list[tuple[float, str]] = field(default_factory=list)
    late: float = 0.0
    """The longest that a request went on after its server was gone, in seconds."""


def options(drafts: int, cache: bool, overlap: bool, given: argparse.Namespace) -> list[str]:
    """A server's, in one of the modes."""
    below = ("--host-cache-gb", "0.05", "--disk-cache", str(given.disk_cache), "--disk-cache-gb", "1")
    ranks = ("--tp", str(given.tp), "--ep", str(given.ep), "--dtype", "float32")
    return [
        *("--api-workers", "2", "--max-seqs", "32", "--max-batch-tokens", "512", "--cache-tokens", "2048"),
        *("--drafts", str(drafts), "--prefix-cache" if cache else "--no-prefix-cache"),
        "--overlap" if overlap else "--no-overlap",
        *(ranks if given.tp > 1 else ()),
        *(("--dp-attention",) if given.dp_attention else ()),
        *(("--dp", str(given.dp)) if given.dp > 1 else ()),
        *(below if given.disk_cache is not None and cache else ()),
    ]


def texts(loaded: LoadedModel, cases: Sequence[Case]) -> list[str]:
    """The text of each greedy answer, by the model alone."""
    found = []
    for case, tokens in zip(cases, references(loaded, cases), strict=True):
        decoder = loaded.tokenizer.decoder()
        ended = not case.params.ignore_eos and tokens[-1] in loaded.eos_token_ids
        found.append(decoder.push(tokens[:-1] if ended else tokens) + decoder.flush())
    return found


def body_of(case: Case, number: int) -> dict[str, Any]:
    """A case as a request."""
    p = case.params
    fields: dict[str, Any] = {"prompt": case.prompt, "temperature": 0, "max_tokens": p.max_tokens}
    fields |= {"ignore_eos": p.ignore_eos, "priority": case.priority, "latency_class": case.latency_class}
    fields["stream"] = number % 3 > 0
    if p.json_schema is not None:
        fields["structured_outputs"] = {"json": p.json_schema}
    if p.regex is not None:
        fields["structured_outputs"] = {"regex": p.regex}
    return fields


async def call(client: httpx.AsyncClient, case: Case, number: int, want: str, outcome: Outcome) -> None:
    """One request, from a burst to its end, or to when its caller leaves."""
    got, status, began = "", "cut off", time.monotonic()
    body = body_of(case, number)
    try:
        if body["stream"]:
            async with client.stream("POST", "/v1/completions", json=body) as reply:
                chunks = 0
                async for line in reply.aiter_lines():
                    if line == "data: [DONE]":
                        status = "error" if status == "error" else "ended"
                    elif line.startswith("data: "):
                        data = json.loads(line[6:])
                        if "error" in data:
                            status = "error"
                            continue
                        got += data["choices"][0]["text"]
                        chunks += 1
                        if case.abort_after is not None and chunks > case.abort_after:
                            status = "left"
                            break
        else:
            asking = client.post("/v1/completions", json=body)
            patience = None if case.abort_after is None else case.abort_after / 20
            reply = await asyncio.wait_for(asking, patience)
            status = "error"
            if reply.status_code == 200:
                status, got = "ended", reply.json()["choices"][0]["text"]
    except TimeoutError:
        status = "left"
    except httpx.HTTPError:
        status = "cut off"
    now = time.monotonic()
    outcome.ends[status] += 1
    if status in ("error", "cut off"):
        killed = [when for when, _ in outcome.kills if began - SOON < when < now]
        if killed:
            outcome.late = max(outcome.late, now - max([*killed, began]))
        elif not any(abs(began - when) < 10 for when, _ in outcome.kills):  # the engine was not up again yet
            outcome.wrong.append(f"request {number}: {status}, and nothing was killed")
    if not (want == got if status == "ended" else want.startswith(got)):
        outcome.wrong.append(f"request {number} ({status}): {got!r} in place of {want!r}")


async def storm(
    process: subprocess.Popen[str], url: str, cases: Sequence[Case], want: Sequence[str], seed: int, kill: bool
) -> Outcome:
    """All cases in bursts."""
    pick, outcome, seats = random.Random(seed), Outcome(), asyncio.Semaphore(AT_ONCE)
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=8)

    async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits) as client:

        async def seated(number: int) -> None:
            try:
                await call(client, cases[number], number, want[number], outcome)
            finally:
                seats.release()

        async def killer() -> None:
            while True:
                await asyncio.sleep(LIFE)
                pid, name = pick.choice(children(process.pid))
                outcome.kills.append((time.monotonic(), name))
                os.kill(pid, signal.SIGKILL)

        killing = asyncio.create_task(killer()) if kill else None
        tasks = []
        for number in range(len(cases)):
            await seats.acquire()
            tasks.append(asyncio.create_task(seated(number)))
            if pick.random() < 0.05:
                await asyncio.sleep(pick.expovariate(2.0))
        await asyncio.gather(*tasks)
        if killing is not None:
            killing.cancel()
        await idle(client, outcome)
    return outcome


async def idle(client: httpx.AsyncClient, outcome: Outcome) -> None:
    """In the end nothing runs, and no page is held; an engine that was killed last has to come up again before."""
    last = "nothing"
    for _ in range(900):
        try:
            text = (await client.get("/metrics")).text
            held = defaultdict[str, float](float)
            for name, value in re.findall(r"^(hopwell_\w+)\{[^}]*\} (\S+)$", text, re.M):
                held[name] += float(value)
            used = held["hopwell_pages_total"] - held["hopwell_pages_free"] - held["hopwell_pages_cached"]
            last = f"{held['hopwell_running']:g} run, {held['hopwell_waiting']:g} wait, {used:g} pages are held"
            if held["hopwell_running"] == held["hopwell_waiting"] == used == 0:
                return
        except (httpx.HTTPError, KeyError) as error:
            last = repr(error)
        await asyncio.sleep(0.1)
    outcome.wrong.append(f"in the end: {last}")


def children(pid: int) -> list[tuple[int, str]]:
    """The engine's processes, other ranks' among them, and the API's."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        line = Path(f"/proc/{child}/cmdline").read_text()
        names = {"engine.process": "engine", "engine.rank": "rank", "server.worker": "server"}
        kinds = [name for entry, name in names.items() if f"hopwell.{entry} " in line]
        found += [(int(child), kind) for kind in kinds]
        found += children(int(child)) if kinds == ["engine"] else []
    return found


def tier_hits(url: str) -> dict[str, int]:
    """Prompt tokens that tiers below the pool had, by tier, since the engine's last start."""
    text = httpx.get(url + "/metrics", timeout=300).text
    rows = re.findall(r'(?m)^hopwell_tier_hit_tokens_total\{.*tier="(\w+)".*\} (\S+)', text)
    return {tier: int(float(tokens)) for tier, tokens in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000, help="in each mode")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kill", action="store_true", help="processes, now and then")
    parser.add_argument("--tp", type=int, default=1, help="ranks that share every layer")
    parser.add_argument("--ep", type=int, default=1, help="1, or as --tp: with whole experts each")
    parser.add_argument("--dp-attention", action="store_true", help="each rank with sequences of its own")
    parser.add_argument("--dp", type=int, default=1, help="engines, each with its own ranks")
    parser.add_argument("--disk-cache", type=Path, help="folder for pages below the pool")
    parser.add_argument("--modes", type=int, nargs="*", help=f"some of 0 to {len(MODES) - 1}")
    parser.add_argument("--out", type=Path, help="JSON of the result")
    given = parser.parse_args()
    shared = set(os.listdir("/dev/shm"))
    loaded = load_model(None, device="cpu", dtype="float32" if given.tp > 1 else "auto")
    cases = make_cases(given.requests, range(10, loaded.model.config.vocab_size), given.seed)
    want = texts(loaded, cases)
    rows, wrong = [], 0
    for number in given.modes or range(len(MODES)):
        drafts, cache, overlap = MODES[number]
        began = time.monotonic()
        with served(*options(drafts, cache, overlap, given)) as (process, url):
            outcome = asyncio.run(storm(process, url, cases, want, given.seed, given.kill))
            found = tier_hits(url)
        if left := set(os.listdir("/dev/shm")) - shared:
            outcome.wrong.append(f"left in /dev/shm: {sorted(left)}")
        if process.returncode:
            outcome.wrong.append(f"the server ended with {process.returncode}")
        row = {
            "tp": given.tp,
            "ep": given.ep,
            "dp_attention": given.dp_attention,
            "dp": given.dp,
            "drafts": drafts,
            "prefix_cache": cache,
            "overlap": overlap,
            "requests": given.requests,
            **({} if given.disk_cache is None else {"tier_hit_tokens": found}),
        }
        row |= {
            "ends": dict(outcome.ends),
            "wrong": len(outcome.wrong),
            "kills": dict(Counter(n for _, n in outcome.kills)),
        }
        row |= {"slowest_end_after_a_kill_s": round(outcome.late, 2), "seconds": round(time.monotonic() - began, 1)}
        rows.append(row)
        wrong += len(outcome.wrong)
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        for fault in outcome.wrong[:5]:
            print(f"  WRONG: {fault}", flush=True)
    if given.out:
        result = {
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "cores": os.cpu_count(),
            "commit": environment()["commit"],
        }
        given.out.write_text(json.dumps({**result, "rows": rows}, indent=1) + "\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
