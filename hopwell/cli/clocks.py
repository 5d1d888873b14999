"""`hopwell clocks`: what a server's GPUs run at, and how much lower they might."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopwell.cli.outputs import AsJson
from hopwell.cli.servers import Key, ask, with_scheme
from hopwell.errors import HopwellError

if TYPE_CHECKING:
    from httpx import Response

    from hopwell.limits.advice import Seen

GAPS, STEPS = "hopwell_itl_seconds_bucket", "hopwell_step_seconds_bucket"


def clocks(
    url: Annotated[
        str, typer.Argument(help="A server of hopwell serve whose GPUs are this machine's.", callback=with_scheme)
    ] = "http://127.0.0.1:8000",
    mode: Annotated[
        str, typer.Option(help="observe, or advise. This version never sets a clock: act is refused.")
    ] = "advise",
    promise: Annotated[str, typer.Option(help="The latency class to keep: interactive or server.")] = "server",
    seconds: Annotated[float, typer.Option(min=2, help="How long to look.")] = 10.0,
    gpus: Annotated[str | None, typer.Option(help="The server's GPUs as NVML numbers them, such as 0,1.")] = None,
    low: Annotated[int, typer.Option(help="The lowest clock to advise, MHz, 1000 or more.")] = 1200,
    as_json: AsJson = False,
    key: Key = None,
) -> None:
    """Say which clock would still keep a server's promise of latency, and why; it only observes and advises.

    Decoding waits for memory: a lower clock of the multiprocessors costs it little and saves energy. Nothing is set;
    what is advised may be tried by hand, and this command says what it has saved.
    """
    from hopwell.engine.request import LATENCY_CLASSES
    from hopwell.limits.advice import advise
    from hopwell.limits.clocks import import_nvml, whitelist

    if mode not in ("observe", "advise"):
        known = "give observe or advise"
        raise HopwellError(
            f"--mode act: this version sets no clock of a real card; {known}" if mode == "act" else
            f"--mode {mode} is unknown; {known}"
        )  # fmt: skip
    limit = LATENCY_CLASSES[promise].tpot if promise in LATENCY_CLASSES else None
    if limit is None:
        raise HopwellError(f"--promise {promise} promises no seconds a token; give interactive or server")
    nvml = import_nvml()
    indices = list(range(nvml.nvmlDeviceGetCount())) if gpus is None else _numbers(gpus)
    allowed = whitelist(nvml, indices, low)
    seen = look(nvml, indices, url, key, seconds)
    advice = advise(seen, allowed, limit) if mode == "advise" else None
    if as_json:
        print(json.dumps({"mode": mode, "promise": promise, "seen": asdict(seen),
                          "advice": None if advice is None else asdict(advice)}))  # fmt: skip
        return
    for index, card in zip(indices, seen.cards[-1], strict=True):
        watts = "" if card.watts is None else f", {card.watts:.0f} W"
        slowed = f"; {', '.join(card.slowed_by)}" if card.slowed_by else ""
        print(f"GPU {index}, {card.name}: {card.sm_mhz} of {card.max_mhz} MHz{watts}{slowed}")
    if advice is None:
        joules = seen.joules_per_token
        print(f"{seen.tokens:,} tokens in {seen.seconds:.0f} s" + (f", {joules:.3g} J each" if joules else ""))
        return
    print(("advice: " if advice.mhz else "advice: leave the clocks; ") + advice.why)
    for line in advice.evidence:
        print(f"  {line}")
    if advice.mhz is not None:
        cards = ",".join(map(str, indices))
        print(f"to try it: sudo nvidia-smi -i {cards} -lgc {allowed[0]},{advice.mhz}; to undo: -i {cards} -rgc;")
        print("then look again under the same load and compare the joules a token")


def look(nvml: Any, indices: list[int], url: str, key: str | None, seconds: float) -> Seen:
    """Watches a server and its cards, once a second.

    Raises:
        HopwellError: nothing answers there.
    """
    from hopwell.limits.advice import Seen
    from hopwell.limits.clocks import read_cards

    began, first = time.monotonic(), scrape(url, key)
    cards, waiting, cache, last, pace = [read_cards(nvml, indices)], 0.0, 0.0, first, 0.0
    while (left := began + seconds - time.monotonic()) > 0:
        time.sleep(min(1.0, left))
        last = scrape(url, key)
        cards.append(read_cards(nvml, indices))
        total = last["hopwell_pages_total"]
        waiting = max(waiting, last["hopwell_waiting"])
        pace = max(pace, last.get("hopwell_pace_seconds", 0.0))
        cache = max(cache, 1 - (last["hopwell_pages_free"] + last["hopwell_pages_cached"]) / total)
    told = STEPS if pace else GAPS
    counts = sorted((float(name.partition(" ")[2]), last[name] - first[name]) for name in last if told in name)
    return Seen(
        seconds=time.monotonic() - began,
        tokens=int(last["hopwell_generated_tokens_total"] - first["hopwell_generated_tokens_total"]),
        gap=next((bound for bound, count in counts if count >= 0.95 * counts[-1][1] > 0 and bound < 1e9), None),
        waiting=int(waiting),
        cache=cache,
        cards=cards,
        paced=pace > 0,
    )


def scrape(url: str, key: str | None) -> dict[str, float]:
    """A server's /metrics by name, summed over its engines; buckets of gaps and of steps by name and bound.

    Raises:
        HopwellError: nothing answers there, or it is no server of ours.
    """
    from prometheus_client.parser import text_string_to_metric_families

    def read(reply: Response) -> dict[str, float]:
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(reply.text):
            for sample in family.samples:
                name = f"{sample.name} {sample.labels['le']}" if sample.name in (GAPS, STEPS) else sample.name
                found[name] = found.get(name, 0.0) + sample.value
        found["hopwell_waiting"]  # or it is another's
        return found

    return ask(url, "/metrics", key, read)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise HopwellError(f"--gpus {text!r} is no list of numbers; give, for instance, 0,1") from None
