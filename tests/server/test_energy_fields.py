"""Joules in answers, log and metrics of a real server with a simulated counter, and refusals without one."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from commands import hopwell, refused
from prometheus_client.parser import text_string_to_metric_families
from server_fixture import Running, server

from hopwell.engine import energy as energy_counters
from hopwell.engine import loaded as loaded_models
from hopwell.server.settings import ServerSettings, Tenant

MESSAGES = [{"role": "user", "content": "1+1="}]
CHAT: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 20, "include_energy": True}
SAID = "include_energy: this server has no energy counter"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A counter of 150 W."""
    for module in (loaded_models, energy_counters):
        monkeypatch.setattr(module, "find_counter", lambda *_: lambda: 150 * time.perf_counter())


@pytest.fixture
def running(counted: None) -> Iterator[Running]:
    settings = ServerSettings(drain_timeout=5.0, grams_per_kwh=400.0, price_per_kwh=0.3)
    with server(settings, [Tenant(name="alice", key="alice-key"), Tenant(name="bob", key="bob-key-1")]) as it:
        yield it


def post(running: Running, path: str, body: dict[str, Any], key: str = "alice-key") -> httpx.Response:
    return httpx.post(f"{running.url}{path}", json=body, headers={"authorization": f"Bearer {key}"}, timeout=300)


def samples(running: Running) -> dict[tuple[str, ...], float]:
    headers = {"authorization": "Bearer alice-key"}
    families = text_string_to_metric_families(httpx.get(f"{running.url}/metrics", headers=headers, timeout=60).text)
    return {
        (s.name, *(s.labels[label] for label in ("tenant", "phase") if label in s.labels)): s.value
        for family in families
        for s in family.samples
        if "energy" in s.name
    }


def test_joules_where_they_were_asked_for(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hopwell.server")
    usage = post(running, "/v1/chat/completions", CHAT).raise_for_status().json()["usage"]
    energy = usage["energy"]
    assert energy["joules"] == pytest.approx(energy["prompt_joules"] + energy["decode_joules"]) and energy["joules"] > 0
    assert energy["grams_co2"] == pytest.approx(energy["joules"] / 3.6e6 * 400)
    assert energy["price"] == pytest.approx(energy["joules"] / 3.6e6 * 0.3)
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    line = next(line for line in lines if line.get("event") == "answer")
    assert line["joules"] == pytest.approx(energy["joules"], rel=1e-4) and line["grams_co2"] > 0
    plain = post(running, "/v1/chat/completions", {**CHAT, "include_energy": False}).raise_for_status()
    assert "energy" not in plain.json()["usage"]

    body = {"prompt": ["1+1=", "2+2="], "max_tokens": 8, "include_energy": True}
    both = post(running, "/v1/completions", body, "bob-key-1").raise_for_status().json()["usage"]["energy"]
    assert both["joules"] > 0

    streamed = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    text = post(running, "/v1/chat/completions", streamed).raise_for_status().text
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert chunks[-1]["usage"]["energy"]["joules"] > 0 and not any("usage" in chunk for chunk in chunks[:-1])

    found = samples(running)
    assert found["hopwell_energy_joules_total", "bob", "decode"] > 0
    bob = sum(found["hopwell_energy_joules_total", "bob", phase] for phase in ("prompt", "decode"))
    assert bob == pytest.approx(both["joules"])
    assert found["hopwell_energy_joules_total", "alice", "prompt"] > 0
    assert found[("hopwell_energy_idle_joules_total",)] > 0 and ("hopwell_energy_owed_joules",) in found


def test_a_stream_that_would_not_tell_is_refused(running: Running) -> None:
    reply = post(running, "/v1/chat/completions", {**CHAT, "stream": True})
    assert reply.status_code == 400 and "stream_options.include_usage" in reply.json()["error"]["message"]
    assert reply.json()["error"]["param"] == "include_energy"


def test_without_a_counter_it_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (loaded_models, energy_counters):
        monkeypatch.setattr(module, "find_counter", lambda *_: None)
    with server() as running:
        for path, body in (
            ("/v1/chat/completions", CHAT),
            ("/v1/completions", {"prompt": "1", "include_energy": True}),
        ):
            reply = httpx.post(f"{running.url}{path}", json=body, timeout=300)
            assert reply.status_code == 400
            assert reply.json()["error"]["message"] == SAID and reply.json()["error"]["param"] == "include_energy"
        assert "hopwell_energy" not in httpx.get(f"{running.url}/metrics", timeout=60).text
    assert "no energy counter here" in refused("generate", "1+1=", "--json", "--grams-per-kwh", "400")
    assert "leave --no-energy out" in refused("generate", "1+1=", "--json", "--no-energy", "--price-per-kwh", "1")
    assert "no energy counter here" in refused("generate", "1+1=", "--energy"), "told before --json is missed"
    assert "energy" not in json.loads(hopwell("generate", "1+1=", "--json", "--temperature", "0").out)


def test_generate_tells_joules(counted: None) -> None:
    ran = hopwell("generate", "1+1=", "2+2=", "--json", "--temperature", "0", "--energy", "--price-per-kwh", "0.3")
    assert ran.code == 0, ran
    for line in ran.out.splitlines():
        energy = json.loads(line)["energy"]
        assert set(energy) == {"joules", "prompt_joules", "decode_joules", "price"} and energy["joules"] > 0
