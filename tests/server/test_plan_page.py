"""The planner's page in a real Chromium, wide and on a phone; and its route, from outside."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest
from browser import NEEDED, PHONE, browser, find, shot, text
from commands import hopwell
from server_fixture import Running, server

from hopwell.planner.model import shipped_path
from hopwell.server.settings import Tenant

SMALL = {"gpus": "h200,b200", "rate": 5}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with server() as it:
        yield it


@pytest.fixture
def http(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=300) as client:
        yield client


@pytest.mark.slow
def test_the_route_says_what_the_command_prints(http: httpx.Client) -> None:
    reply = http.post("/v1/plan", json={**SMALL, "input": 2048, "tpot": "30ms", "curves": True})
    assert reply.status_code == 200
    found = reply.json()
    printed = json.loads(hopwell("plan", "deepseek-r1", "--gpus", "h200,b200", "--rate", "5", "--input", "2048",
                                 "--tpot", "30ms", "--json").out)  # fmt: skip
    assert {name: found[name] for name in printed} == printed
    assert found["in_words"]["table"][0]["GPUs"] == f"{printed['options'][0]['gpus']} x {printed['options'][0]['gpu']}"
    assert len(found["plots"]) == 3 and all(ElementTree.fromstring(plot) is not None for plot in found["plots"])
    choices = http.get("/v1/plan").json()
    assert "deepseek-r1" in choices["models"] and choices["usual"]["input"] == "1k"


def test_a_config_and_prices_of_ones_own(http: httpx.Client) -> None:
    config = json.loads(shipped_path("v2-lite").read_text(encoding="utf-8"))
    mine = {**SMALL, "config": config, "model": "mine", "prices": "[gpu.H200]\nrent = 0.01\n"}
    found = http.post("/v1/plan", json=mine).json()
    assert found["model"] == "mine" and found["options"][0]["gpu"] == "H200" and found["parameters"] < 17e9
    assert "mine" in found["options"][0]["start"]


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"gpus": "h300"}, "gpus", "gpus: 'h300' is not in the catalogue; nearest are"),
        ({"gpus": "l40s"}, "gpus", "no price of L40S"),
        ({"tpot": "fast"}, "tpot", "give it as 30ms"),
        ({**SMALL, "tpot": 0.1}, "tpot", "best reachable"),
        ({"rate": 1, "users": 2}, "rate", "exclude each other"),
        ({"input": "163k"}, "input", "reads 163,840 at most"),
        ({"latency_class": "gold"}, "latency_class", "is not known"),
        ({"by": "colour"}, "by", "is not known"),
        ({"model": "/etc/passwd"}, "model", "no such file or shipped model"),
        ({"model": "hopwell/model/configs/kimi-k2.json"}, "model", "no such file or shipped model"),
        ({"model": ""}, "model", "name is empty"),
        ({"config": {"model_type": "llama"}}, "config", "model_type"),
        ({"gpus": "h200", "tails": True}, "tails", "tails needs rate"),
        ({"gpus": "a100", "precisions": "fp8"}, "gpus", "A100: no engine that may be used serves the model"),
        ({"prices": "[gpu.H200]\nrnt = 1"}, "prices", "gpu.H200.rnt is not known"),
        ({"prices": "x = " + "[" * 20_000}, "prices", "cannot be read"),
        ({"prices": "rent"}, "prices", "cannot be read"),
        ({"sure": 2}, "sure", "less than or equal to 0.99"),
        ({"colour": 1}, "colour", "not supported"),
    ],
)
def test_a_fault_names_its_field(http: httpx.Client, body: dict[str, object], field: str, message: str) -> None:
    reply = http.post("/v1/plan", json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, field), error
    assert message in error["message"] and "--" not in error["message"]


def test_keys_hold_and_too_many_at_once_wait_their_turn() -> None:
    with server(tenants=[Tenant(name="a", key="alice-key")]) as guarded:
        assert httpx.get(f"{guarded.url}/plan", timeout=300).status_code == 200
        assert httpx.get(f"{guarded.url}/v1/plan", timeout=300).status_code == 401
        assert httpx.post(f"{guarded.url}/v1/plan", json=SMALL, timeout=300).status_code == 401
        codes: list[int] = []

        def ask() -> None:
            headers = {"authorization": "Bearer alice-key"}
            codes.append(httpx.post(f"{guarded.url}/v1/plan", json=SMALL, headers=headers, timeout=300).status_code)

        threads = [threading.Thread(target=ask) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(codes) == {200, 429} and codes.count(200) >= 4


@pytest.mark.slow
def test_streams_go_on_meanwhile(running: Running) -> None:
    """And whoever leaves takes his question along."""
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{running.url}/v1/plan", json={"curves": True}, timeout=1)
    body = {"prompt": "1+1=", "max_tokens": 200, "ignore_eos": True, "stream": True}
    asked = threading.Thread(target=lambda: httpx.post(f"{running.url}/v1/plan", json={"curves": True}, timeout=300))
    gaps, last = [], time.monotonic()
    with httpx.stream("POST", f"{running.url}/v1/completions", json=body, timeout=300) as reply:
        asked.start()
        for _ in reply.iter_lines():
            gaps.append(time.monotonic() - last)
            last = time.monotonic()
    assert len(gaps) > 100 and max(gaps[1:]) < 2.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    asked.join()


class TestPage:
    pytestmark = NEEDED

    def test_a_plan(self, running: Running, tmp_path: Path) -> None:
        with browser(tmp_path) as chrome:
            chrome.get(running.url)
            find(chrome, "nav a[href='/plan']").click()
            find(chrome, "#gpus input[name=gpu]")
            shot(chrome, "plan-empty")
            find(chrome, "#demand option[value=rate]").click()
            find(chrome, "#go").click()
            assert re.match(r"\d+ x \w+, ", text(chrome, "#answer:has(.tiles) h2"))
            assert len(chrome.find_elements("css selector", ".tiles div")) == 6
            assert "10 requests a second" in text(chrome, ".question")
            assert "p50, p95, p99: " in text(chrome, ".card")
            rows = chrome.find_elements("css selector", "tbody tr")
            assert len(rows) >= 6
            find(chrome, ".plots svg circle title")
            assert len(chrome.find_elements("css selector", ".plots svg")) == 3
            shot(chrome, "plan-wide")
            shot(chrome, "plan-wide-whole", whole=True)
            chrome.refresh()
            assert "10 requests a second" in text(chrome, ".question"), "the address holds the question"

    def test_on_a_phone(self, running: Running, tmp_path: Path) -> None:
        with browser(tmp_path, PHONE, dark=True) as chrome:
            chrome.get(f"{running.url}/plan")
            find(chrome, "#gpus input[name=gpu]")
            shot(chrome, "plan-phone-form", whole=True)
            find(chrome, "#go").click()
            find(chrome, ".plots svg")
            width, wide = chrome.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
            assert (width, wide) == (PHONE[0], PHONE[0]), "nothing sticks out sideways"
            for control in chrome.find_elements("css selector", "#form select, #form input:not([type=checkbox]), #go"):
                assert not control.is_displayed() or control.size["height"] >= 33, "a thumb can reach it"
            shot(chrome, "plan-phone", whole=True)

    def test_a_fault_stands_beside_its_field(self, running: Running, tmp_path: Path) -> None:
        with browser(tmp_path) as chrome:
            chrome.get(f"{running.url}/plan")
            find(chrome, "#gpus input[name=gpu]")
            find(chrome, "#tpot").send_keys("0.1ms")
            find(chrome, "#go").click()
            told = text(chrome, "[data-field=tpot] .fault")
            assert "“Between tokens” 0.10ms cannot be promised; the best reachable is" in told and "--" not in told
            box = find(chrome, "#tpot")
            assert box.get_attribute("aria-invalid") == "true" and chrome.switch_to.active_element == box
            shot(chrome, "plan-fault")
            box.clear()
            find(chrome, "details > summary").click()
            find(chrome, "#prices").send_keys("rent")
            find(chrome, "#go").click()
            assert "cannot be read as a price list" in text(chrome, "[data-field=prices] .fault")
            assert not chrome.find_elements("css selector", "[data-field=tpot] .fault")
            find(chrome, "#prices").clear()
            (tmp_path / "other.json").write_text('{"model_type": "llama"}', encoding="utf-8")
            find(chrome, "#config").send_keys(str(tmp_path / "other.json"))
            find(chrome, "#go").click()
            assert "config.json: model_type is 'llama'" in text(chrome, "[data-field~=config] .fault")
            assert not chrome.find_elements("css selector", "#form :is(input, select, textarea):not([aria-label])"
                                            ":not(label input):not([id])"), "each control has a label"  # fmt: skip

    def test_a_key_is_asked_for(self, tmp_path: Path) -> None:
        with server(tenants=[Tenant(name="a", key="alice-key")]) as guarded, browser(tmp_path) as chrome:
            chrome.get(f"{guarded.url}/plan")
            find(chrome, "#ask-key[open] #key").send_keys("alice-key\n")
            find(chrome, "#gpus input[name=gpu]")
