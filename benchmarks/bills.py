"""What a server charges two tenants beside the GPU's own counter, and beside what it charges each of them alone.

    python -m benchmarks.bills v2-lite --seconds 60

Random weights, drawn where the server runs. Both tenants ask at once, in closed loops: one has many short prompts, the
other few long ones. All that is charged, and what idle time took, is held to NVML's counter. Then each asks alone:
shared steps cost both less, so their joules a token are told beside each other and not equal.
"""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from benchmarks import script
from hopwell.bench.serve import Load, bench_serve
from hopwell.bench.served import own_server
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows, rounded
from hopwell.errors import HopwellError
from hopwell.limits.power import gpu_counter, own_gpus
from hopwell.model.shipped import find_config
from hopwell.model.synthesis import synthesise

SAMPLE = re.compile(r"^hopwell_energy_(idle_|owed_)?joules(?:_total)?\{([^}]*)\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Tenant:
    """Somebody who asks."""

    name: str
    callers: int
    words: int
    tokens: int

    @property
    def key(self) -> str:
        return f"sk-{self.name}-0123456789abcdef"

    def ask(self, url: str, seconds: float) -> int:
        """For so long at least; returns the tokens of the answers."""
        load, answered = Load(input_words=self.words, output_tokens=self.tokens, spread=0.2), 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            (row,) = bench_serve(
                url, load, concurrency=[self.callers], requests=4 * self.callers, key=self.key, say=lambda _: None
            )
            if row["failed"]:
                raise HopwellError(f"{self.name}: {row['failed']} requests failed: {row['first_error']}")
            answered += round(row["requests"] * row["mean_osl"])
        return answered


TENANTS = Tenant("many", 24, 150, 128), Tenant("long", 6, 900, 64)


def billed(url: str) -> Counter[str]:
    """Joules so far by tenant, and of idle time and steps that are not paid yet."""
    text, found = httpx.get(f"{url}/metrics", timeout=10).text, Counter[str]()
    for other, labels, value in SAMPLE.findall(text):
        tenant = re.search(r'tenant="([^"]*)"', labels)
        found[other.rstrip("_") or (tenant[1] if tenant else "")] += float(value)  # type: ignore[assignment]
    return found


def turn(url: str, tenants: tuple[Tenant, ...], seconds: float) -> dict[str, Any]:
    """Some ask at once: what each is charged, and what the counter says."""
    counter = gpu_counter(*own_gpus(1))
    if counter is None:
        raise HopwellError("NVML has no energy counter of this GPU")
    tokens = dict.fromkeys((tenant.name for tenant in tenants), 0)

    def ask(tenant: Tenant) -> None:
        tokens[tenant.name] = tenant.ask(url, seconds)

    before, joules, began = billed(url), counter(), time.monotonic()
    threads = [threading.Thread(target=ask, args=(tenant,)) for tenant in tenants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(1.0)  # the counter moves every 100 ms, and idle time is charged when somebody asks
    after, used, took = billed(url), counter() - joules, time.monotonic() - began
    if not all(tokens.values()):
        raise HopwellError("a tenant's requests failed")
    charged = {name: after[name] - before[name] for name in after}
    row: dict[str, Any] = {"tenants": " and ".join(tokens), "seconds": took, "counter_joules": used}
    row |= {"charged_joules": sum(charged.values()), "charged_by_counter": sum(charged.values()) / used}
    row |= {"idle_joules": charged.get("idle", 0.0), "owed_joules": charged.get("owed", 0.0)}
    for name, count in tokens.items():
        row |= {
            f"{name}_tokens": count,
            f"{name}_joules": charged[name],
            f"{name}_mj_per_token": 1e3 * charged[name] / count,
        }
    return row


def main(
    model: Annotated[str, typer.Argument(help="A shipped config.")],
    seconds: Annotated[float, typer.Option(help="That both ask; each alone for a third of it.")] = 60.0,
    out: Out = None,
) -> None:
    """Charged joules beside counted ones."""
    with tempfile.TemporaryDirectory() as room:
        folder, keys = Path(room) / "model", Path(room) / "keys.toml"
        synthesise(find_config(model), folder, 0, at_load=True)
        lines = [f'[{tenant.name}]\nkey = "{tenant.key}"\n' for tenant in TENANTS]
        keys.write_text("".join(lines), encoding="utf-8")
        with own_server(str(folder), ["--energy", "--api-keys", str(keys), "--max-seqs", "64"]) as url:
            for tenant in TENANTS:
                tenant.ask(url, 1.0)  # what comes first is not counted
            rows = [turn(url, TENANTS, seconds), *(turn(url, (tenant,), seconds / 3) for tenant in TENANTS)]
    for row in rows:
        print_rows([rounded(row)])
    if out is not None:
        write_result(out, "bills", rows, model=model)


if __name__ == "__main__":
    script(main)
