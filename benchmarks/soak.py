"""An hour of good and hostile traffic on one server: who is good must not notice, and nothing may grow.

    python -m benchmarks.soak --minutes 60 --out soak.json

serves nano on 127.0.0.1 to two tenants. Phases alternate: in quiet ones only the good tenant calls, in hostile ones the
other sends everything of `soak_attacks.py` beside it. Ends with 1 if a bound is broken, and says which.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.serving import served
from hopwell.cli.result import environment

GOOD, HOSTILE = "good-tenant-key", "hostile-tenant-key"
KEYS = f"""
[good]
key = "{GOOD}"
latency_class = "interactive"
[hostile]
key = "{HOSTILE}"
requests_per_minute = 120
max_concurrent = 2
priority = 1
"""
GOOD_CALLERS, HOSTILE_CALLERS = 3, 2
PAUSE = 0.3
"""Mean seconds between a caller's requests."""
HEALTH = 1.0
"""Seconds within which /health must answer."""
WORSE = 2.0
"""Times a quiet server's p99 that a good caller may see."""
GROWTH = 1.05
SLACK = {"rss_mb": 32.0, "threads": 4.0, "descriptors": 8.0, "children": 2.0, "shm_kb": 64.0}
"""What may come on top of `GROWTH` between a third of the time and its end."""


@dataclass
class Phase:
    """What came of one phase."""

    kind: str
    ttft: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    calls: list[tuple[float, float]] = field(default_factory=list)
    """When each good call began, and seconds to its first token."""
    attacks: list[tuple[str, float, float]] = field(default_factory=list)
    """Name, begin and end of each."""
    samples: list[dict[str, float]] = field(default_factory=list)

    def line(self) -> str:
        """Milliseconds of good callers, and what the server held at the end."""
        ttft, whole = (quantile(values, 0.99) * 1e3 for values in (self.ttft, self.whole))
        now = ", ".join(f"{name} {value:,.0f}" for name, value in (self.samples or [{}])[-1].items())
        return f"{self.kind:8}{len(self.whole):5} good, p99 ttft {ttft:,.0f} ms, whole {whole:,.0f} ms; {now}"


def call(client: httpx.Client, phase: Phase, number: int) -> None:
    """One good request: a stream of 16 tokens."""
    body = {"prompt": f"{number}+{number}=", "max_tokens": 16, "ignore_eos": True, "stream": True}
    began, first = time.monotonic(), 0.0
    try:
        with client.stream("POST", "/v1/completions", json=body) as reply:
            lines = [first := first or time.monotonic() - began for line in reply.iter_lines() if line and reply]
            if reply.status_code != 200 or len(lines) < 2:
                phase.failures.append(f"status {reply.status_code}, {len(lines)} lines")
                return
    except httpx.HTTPError as error:
        phase.failures.append(repr(error))
        return
    phase.ttft.append(first)
    phase.calls.append((began, first))
    phase.whole.append(time.monotonic() - began)


def sample(pid: int) -> dict[str, float]:
    """What the server holds: its processes together, without those that it starts for what may explode."""
    pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    grandchildren = [Path(f"/proc/{pid}/task/{pid}/children").read_text().split() for pid in pids[1:]]
    shared = 0
    with suppress(OSError):
        shared = sum(entry.stat().st_size for entry in Path("/dev/shm").iterdir() if entry.is_file())
    return {
        "rss_mb": sum(int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) for status in statuses) / 1024,
        "threads": float(sum(int(re.findall(r"Threads:\s+(\d+)", status)[0]) for status in statuses)),
        "descriptors": float(sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)),
        "children": float(len(pids) - 1 + sum(map(len, grandchildren))),
        "shm_kb": shared / 1024,
    }


@contextmanager
def tenants_served() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server, for two tenants, with a cache that is soon all in use, and its URL."""
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder, "keys.toml")
        keys.write_text(KEYS)
        limits = ("--write-timeout", "5", "--head-timeout", "5", "--max-connections", "256")
        with served("--api-keys", str(keys), *limits, "--max-seqs", "16", "--cache-tokens", "32768") as server:
            yield server


def run_phase(kind: str, seconds: float, pid: int, url: str, seed: int, only: str) -> Phase:
    """One phase.

    Args:
        only: the attack to which hostile ones are limited; empty: all of them.
    """
    phase, end = Phase(kind), time.monotonic() + seconds

    def good(caller: int) -> None:
        pick = random.Random(f"{seed} {caller}")
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {GOOD}"}, timeout=60) as client:
            while time.monotonic() < end:
                call(client, phase, pick.randrange(100_000))
                time.sleep(pick.expovariate(1 / PAUSE))

    def hostile() -> None:
        script, port = Path(__file__).with_name("soak_attacks.py"), url.rpartition(":")[2]
        given = [port, HOSTILE, seconds, seed, HOSTILE_CALLERS, PAUSE, *([only] if only else [])]
        done = subprocess.run([sys.executable, script, *map(str, given)], stdout=subprocess.PIPE, text=True, check=True)
        for name, outcome, began, ended in map(json.loads, done.stdout.splitlines()):
            phase.statuses[f"{name}: {outcome}"] += 1
            phase.attacks.append((name, began, ended))

    def watch() -> None:
        with httpx.Client(base_url=url, limits=httpx.Limits(max_keepalive_connections=0), timeout=30) as client:
            while time.monotonic() < end:
                began = time.monotonic()
                try:
                    status = client.get("/health").status_code
                    if status != 200:
                        phase.failures.append(f"/health: {status}")
                except httpx.HTTPError as error:
                    phase.failures.append(f"/health: {error!r}")
                phase.health.append(time.monotonic() - began)
                phase.samples.append(sample(pid))
                time.sleep(0.5)

    threads = [threading.Thread(target=watch), *(threading.Thread(target=good, args=(i,)) for i in range(GOOD_CALLERS))]
    if kind == "hostile":
        threads.append(threading.Thread(target=hostile))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return phase


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def summary(phases: list[Phase]) -> dict[str, dict[str, float]]:
    """Milliseconds of good callers, by kind of phase."""
    rows = {}
    for kind in ("quiet", "hostile"):
        ttft = [value for phase in phases if phase.kind == kind for value in phase.ttft]
        whole = [value for phase in phases if phase.kind == kind for value in phase.whole]
        health = [value for phase in phases if phase.kind == kind for value in phase.health]
        rows[kind] = {
            "requests": float(len(whole)),
            **{f"ttft_p{int(q * 100)}_ms": quantile(ttft, q) * 1e3 for q in (0.5, 0.99)},
            **{f"whole_p{int(q * 100)}_ms": quantile(whole, q) * 1e3 for q in (0.5, 0.99)},
            "health_max_ms": max(health, default=0.0) * 1e3,
        }
    return rows


def held(phases: list[Phase]) -> dict[str, list[float]]:
    """The median of what the process held, over quiet phases."""
    quiet = [phase for phase in phases if phase.kind == "quiet" and phase.samples]
    return {name: [quantile([s[name] for s in phase.samples], 0.5) for phase in quiet] for name in SLACK}


def broken(phases: list[Phase], rows: dict[str, dict[str, float]], resources: dict[str, list[float]]) -> list[str]:
    """The bounds that do not hold."""
    faults = [f"a good caller in a {phase.kind} phase: {failure}" for phase in phases for failure in phase.failures]
    for phase in phases:
        faults += [f"a 500: {name}" for name in phase.statuses if name.endswith(": 500")]
    for kind, row in rows.items():
        if row["health_max_ms"] > HEALTH * 1e3:
            faults.append(f"/health took {row['health_max_ms']:.0f} ms in a {kind} phase")
    for name in ("ttft_p99_ms", "whole_p99_ms"):
        if not rows["hostile"][name] <= WORSE * rows["quiet"][name]:
            faults.append(f"{name}: {rows['hostile'][name]:.0f} among attacks, {rows['quiet'][name]:.0f} without")
    for name, medians in resources.items():  # until each attack has been seen, allocators take what they then keep
        early, late = medians[len(medians) // 3], medians[-1]
        if late > early * GROWTH + SLACK[name]:
            faults.append(f"{name} grew from {early:.0f} to {late:.0f}")
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="of all phases together")
    parser.add_argument("--phase", type=float, default=30.0, help="seconds of one phase")
    parser.add_argument("--only", default="", metavar="ATTACK", help="this one alone, to see what it does")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON of the result")
    given = parser.parse_args()
    count = max(5, round(given.minutes * 60 / given.phase)) | 1  # begins and ends quiet
    phases: list[Phase] = []
    with tenants_served() as (process, url):
        for i in range(count):
            kind, seconds = "hostile" if i % 2 else "quiet", given.minutes * 60 / count
            phases.append(run_phase(kind, seconds, process.pid, url, given.seed + i, given.only))
            print(f"{i + 1}/{count} {phases[-1].line()}", flush=True)
            if process.poll() is not None:
                raise SystemExit(f"the server ended with {process.returncode}")
    rows, resources = summary(phases), held(phases)
    faults = broken(phases, rows, resources)
    if process.returncode:
        faults.append(f"the server ended with {process.returncode}")
    statuses = sum((phase.statuses for phase in phases), Counter[str]())
    show(rows, resources, statuses, faults)
    blame(phases)
    if given.out:
        result = {
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
            "commit": environment()["commit"],
            "settings": {"minutes": given.minutes, "phases": count, "seed": given.seed},
            "good": rows,
            "held": resources,
            "attacks": dict(sorted(statuses.items())),
            "broken": faults,
        }
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(bool(faults))


def show(
    rows: dict[str, dict[str, float]], resources: dict[str, list[float]], statuses: Counter[str], faults: list[str]
) -> None:
    """Prints the tables."""
    print(f"\n{'':18}{'quiet':>10}{'hostile':>10}")
    for name in rows["quiet"]:
        print(f"{name:18}{rows['quiet'][name]:10,.0f}{rows['hostile'][name]:10,.0f}")
    for name, medians in resources.items():
        some = (medians[0], medians[1], medians[len(medians) // 2], medians[-1])
        print(f"{name:18}" + " -> ".join(f"{value:,.0f}" for value in some))
    for name, times in sorted(statuses.items()):
        print(f"{times:6} {name}")
    print("\n".join(f"BROKEN: {fault}" for fault in faults) or "every bound holds")


def blame(phases: list[Phase]) -> None:
    """Prints which attacks ran while the slowest good callers waited for their first token."""
    calls = [(first, began, phase) for phase in phases if phase.attacks for began, first in phase.calls]
    slow = sorted(calls, key=lambda call: call[0])[-40:]
    seen = Counter(
        name
        for first, began, phase in slow
        for name in {name for name, start, end in phase.attacks if start < began + first and end > began}
    )
    for name, times in seen.most_common(12):
        print(f"{times:6} of the {len(slow)} slowest first tokens: {name}")


if __name__ == "__main__":
    main()
