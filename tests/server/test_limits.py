"""/v1/limits, the meter's counters in /metrics, and `hopwell top`, over a real server."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import msgspec
import pytest
from commands import hopwell, refused
from prometheus_client.parser import text_string_to_metric_families
from server_fixture import Running, nano, server
from terminal import HOPWELL, Terminal

from hopwell.limits.board import Board
from hopwell.limits.history import Report
from hopwell.server.settings import Tenant

LONG = {"prompt": "1+1=", "max_tokens": 120, "ignore_eos": True, "temperature": 0}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A server that has been used."""
    with server(max_seqs=4) as it:
        httpx.post(f"{it.url}/v1/completions", json={**LONG, "n": 2}, timeout=300).raise_for_status()
        yield it


def report_of(running: Running) -> Report:
    return msgspec.json.decode(httpx.get(f"{running.url}/v1/limits", timeout=60).content, type=Report)


def counters(running: Running) -> dict[tuple[str, str], float]:
    """Samples of /metrics by name and op."""
    families = text_string_to_metric_families(httpx.get(f"{running.url}/metrics", timeout=60).text)
    return {(s.name, s.labels.get("op", "")): s.value for family in families for s in family.samples}


def test_a_report(running: Running) -> None:
    report = report_of(running)
    c = nano().model.config
    assert report.on and report.steps >= report.measured > 0 and report.bytes_per_s > 0
    assert sum(row.us for row in report.rows) == pytest.approx(report.measured_us)
    assert {row.layer for row in report.rows} == {None, *range(c.num_hidden_layers + 1)}
    for row in report.rows:
        assert row.us >= 0 and (row.bound is None) == (row.percent is None) == (row.gb_per_s is None)
        if row.percent is not None:
            assert row.limit_us == pytest.approx(row.us * row.percent / 100)
    assert sum(row.us for row in report.ops) == pytest.approx(report.measured_us + report.host_us)
    assert sum(point.tokens for point in report.history) == 240
    assert report.history[-1].board is None, "a CPU has no board"
    assert report.now is not None and report.now.at >= report.history[-1].at
    assert (report.now.running, report.now.waiting, report.now.steps) == (0, 0, 0), (
        "it is idle, whatever the last step saw"
    )
    assert report.now.pages_total == report.history[-1].pages_total > report.now.pages_used


def test_reports_are_plain_json(running: Running) -> None:
    reply = httpx.get(f"{running.url}/v1/limits", timeout=60)
    assert reply.headers["content-type"] == "application/json"
    schema = httpx.get(f"{running.url}/openapi.json", timeout=60).json()
    known = schema["components"]["schemas"]["Report"]["properties"]
    assert set(reply.json()) == set(known)


def test_counters(running: Running) -> None:
    before, report = counters(running), report_of(running)
    httpx.post(f"{running.url}/v1/completions", json=LONG, timeout=300).raise_for_status()
    after = counters(running)
    assert after["hopwell_meter_steps_total", ""] > before["hopwell_meter_steps_total", ""] > 0
    for row in report.ops:
        if row.op == "host":
            continue
        assert after["hopwell_meter_op_seconds_total", row.op] > before["hopwell_meter_op_seconds_total", row.op] > 0
        if row.percent is not None:
            spent = after["hopwell_meter_op_seconds_total", row.op] - before["hopwell_meter_op_seconds_total", row.op]
            least = [found["hopwell_meter_op_limit_seconds_total", row.op] for found in (before, after)]
            assert 0 < least[1] - least[0] < 3 * spent
    assert after["hopwell_limit_bytes_per_second", ""] == report.bytes_per_s


def test_top(running: Running) -> None:
    shown = hopwell("top", running.url, "--once")
    assert shown.code == 0 and not shown.err
    report = report_of(running)
    for row in report.ops:
        assert re.search(rf"^ {re.escape(row.op)} +[\d,]+ +[\d.]+ %", shown.out, re.M), row.op
    assert "GB/s" in shown.out and "of the host" in shown.out and "tokens/s" in shown.out
    assert "layer 0" not in shown.out
    by_layer = hopwell("top", running.url, "--once", "--layers").out
    assert "layer 0" in by_layer and "MTP layer" in by_layer
    document = json.loads(hopwell("top", running.url + "/v1", "--json").out)
    assert document["layers"] == nano().model.config.num_hidden_layers


def test_top_says_what_is_wrong(running: Running) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert "is `hopwell serve` running there?" in refused("top", f"http://127.0.0.1:{free.getsockname()[1]}")
    assert "answers 404" in refused("top", running.url + "/page")
    with server(meter=False) as silent:
        assert "start it with --meter" in refused("top", silent.url)
        assert report_of(silent) == Report(on=False)
        assert not [name for name, _ in counters(silent) if name.startswith("hopwell_meter")]


def test_top_before_the_first_step() -> None:
    with server() as fresh:
        assert "no step yet" in hopwell("top", fresh.url, "--once").out


@pytest.mark.slow
def test_top_goes_on_until_it_is_interrupted() -> None:
    """It is drawn again as the server works, and tells of a server that has gone."""
    with Terminal(*HOPWELL, "top", "http://127.0.0.1:9", "--once") as terminal:
        terminal.until("is `hopwell serve` running there?")
        assert terminal.leave() == 2
    with ExitStack() as serving:
        url = serving.enter_context(server(max_seqs=2)).url
        with Terminal(*HOPWELL, "top", url, "--interval", "0.2") as terminal:
            terminal.until("no step yet")
            httpx.post(f"{url}/v1/completions", json=LONG, timeout=300).raise_for_status()
            terminal.until("attention")
            terminal.until("of the host")
            serving.close()
            terminal.until("running there?")
            terminal.type("\x03")
            assert terminal.leave() == 130


def test_where_there_are_sensors_they_are_told() -> None:
    """What the meter has read of a GPU's board reaches whoever asks."""
    with server(max_seqs=2) as running:
        meter = running.host.engine.meter
        assert meter is not None
        meter.history.board = Board(watts=412.5, degrees=61, sm_mhz=1755, slowed_by=["power cap"])
        httpx.post(f"{running.url}/v1/completions", json={**LONG, "max_tokens": 20}, timeout=300).raise_for_status()
        report = report_of(running)
        assert report.now is not None and report.now.board == report.history[-1].board == meter.history.board
        found = counters(running)
        assert (found["hopwell_gpu_watts", ""], found["hopwell_gpu_degrees", ""]) == (412.5, 61)
        assert ("hopwell_gpu_memory_mhz", "") not in found
        assert "412 W, 61 C, 1755 MHz, slowed by power cap" in hopwell("top", running.url, "--once").out


def test_a_key_is_needed_where_there_are_keys() -> None:
    with server(tenants=[Tenant(name="a", key="alice-key")]) as guarded:
        assert httpx.get(f"{guarded.url}/v1/limits", timeout=300).status_code == 401
        assert "give --key" in refused("top", guarded.url)
        assert hopwell("top", guarded.url, "--once", "--key", "alice-key").code == 0
