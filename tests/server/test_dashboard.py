"""docs/grafana.json: every expression of it, asked of a real Prometheus that scrapes a real server."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_fixture import Running, server

PROMETHEUS = shutil.which("prometheus")
DASHBOARD = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text(encoding="utf-8"))
TARGETS = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]
ABSENT_HERE = ("hopwell_gpu_", "hopwell_energy_", "hopwell_faults_total", "hopwell_latency_missed_total")
"""Metrics without a sample where there is no GPU, no fault and no promise broken."""
WINDOW = "1m"


def test_panels_fit_and_have_names_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["title"] for panel in panels}) == len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    cells = [(x, place["y"]) for place in places for x in range(place["x"], place["x"] + place["w"])]
    assert len(set(cells)) == len(cells), "none lies on another"


@contextmanager
def prometheus(running: Running, folder: Path) -> Iterator[httpx.Client]:
    """Prometheus scraping a server twice a second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {"job_name": "hopwell", "static_configs": [{"targets": [f"127.0.0.1:{running.port}"]}]}
    config = {"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")  # YAML holds JSON
    command = [
        PROMETHEUS or "", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            end = time.monotonic() + 120
            while time.monotonic() < end:
                with suppress(httpx.HTTPError):
                    if client.get("/-/ready").status_code == 200:
                        break
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait(60)


def answered(client: httpx.Client, expression: str) -> bool:
    """Whether an expression has an answer that is a number, or may have none here."""
    found = ask(client, expression)
    numbers = all(sample["value"][1] not in ("NaN", "+Inf") for sample in found)
    return any(name in expression for name in ABSENT_HERE) or (bool(found) and numbers)


def ask(client: httpx.Client, expression: str) -> list[dict[str, Any]]:
    """The samples of a query, with Grafana's variables filled in."""
    expression = expression.replace("$__rate_interval", WINDOW).replace("$model", "nano")
    assert "$" not in expression
    reply = client.get("/api/v1/query", params={"query": expression}).json()
    assert reply["status"] == "success", (expression, reply)
    return reply["data"]["result"]


@pytest.mark.slow
@pytest.mark.skipif(PROMETHEUS is None, reason="needs Prometheus: apt-get install prometheus")
def test_every_expression_has_an_answer(tmp_path: Path) -> None:
    body = {"prompt": "1+1=" * 40, "max_tokens": 60, "ignore_eos": True}
    with server(max_seqs=4, objective="energy") as running, prometheus(running, tmp_path) as client:
        end, unanswered = time.monotonic() + 120, list(TARGETS)
        while unanswered and time.monotonic() < end:
            httpx.post(f"{running.url}/v1/completions", json=body, timeout=300).raise_for_status()
            unanswered = [(title, expression) for title, expression in unanswered if not answered(client, expression)]
        assert not unanswered
        values = {
            expression: {
                sample["metric"].get("op", ""): float(sample["value"][1]) for sample in ask(client, expression)
            }
            for _, expression in TARGETS
        }
        by_title = {panel["title"]: values[panel["targets"][0]["expr"]] for panel in DASHBOARD["panels"]}
        assert sum(by_title["Where a step goes"].values()) == pytest.approx(1)
        assert 0 < by_title["Of the hardware's limit, all ops"][""] < 1.5
        assert {"experts", "attention", "o"} <= by_title["Of the limit, by op"].keys()
        held = {sample["metric"]["what"] for sample in ask(client, "hopwell_held_seconds_total")}
        assert held == {"steps", "prompts"}
        names = {sample["metric"]["model_name"] for sample in ask(client, "hopwell_steps_total")}
        assert names == {"nano"}, "the dashboard's variable"
