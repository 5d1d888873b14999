"""The page of the live meter in a real headless Chromium, by hand and eye of selenium."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from browser import NEEDED, PHONE, browser, find, shot, text
from server_fixture import Running, nano, server

from hopwell.server.settings import Tenant

pytestmark = NEEDED


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with server(max_seqs=4, cache_tokens=8192) as it:
        yield it


@contextmanager
def at_work(running: Running) -> Iterator[None]:
    """Answers are made all the time, of several lengths, three at once."""
    stop = threading.Event()

    def ask(words: int) -> None:
        while not stop.is_set():
            body = {"prompt": "1+1=" * words, "max_tokens": 30 + 10 * words, "ignore_eos": True}
            httpx.post(f"{running.url}/v1/completions", json=body, timeout=300).raise_for_status()

    threads = [threading.Thread(target=ask, args=(words,)) for words in (1, 20, 60)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def until(reached: Callable[[], bool], seconds: float = 60) -> None:
    """Waits for something on the page."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it does not come to be"
        time.sleep(0.05)


def test_before_the_first_step_it_says_what_to_do(tmp_path: Path) -> None:
    with server() as fresh, browser(tmp_path) as chrome:
        chrome.get(fresh.url)
        find(chrome, "nav a[href='/limits']").click()
        until(lambda: text(chrome, "#status") == "No step yet: ask the model something.")
        httpx.post(
            f"{fresh.url}/v1/completions", json={"prompt": "1+1=", "max_tokens": 60, "ignore_eos": True}, timeout=300
        )
        find(chrome, "#map td")


def test_it_is_live(running: Running, tmp_path: Path) -> None:
    c = nano().model.config
    with at_work(running), browser(tmp_path) as chrome:
        chrome.get(f"{running.url}/limits")
        find(chrome, "#map td[title*='of the limit']")
        find(chrome, "#hold").click()
        find(chrome, "#hold[aria-pressed=true]")
        assert re.fullmatch(r"A step takes [\d.]+ (ms|µs): [\d.]+ % of it .*", text(chrome, "#headline"))
        rows = chrome.find_elements("css selector", "#map tbody tr")
        assert len(rows) == c.num_hidden_layers + 1 and rows[-1].text.startswith("MTP")
        ops = [cell.text for cell in chrome.find_elements("css selector", "#map thead th")]
        assert {"attention", "experts", "dense", "o"} <= set(ops)
        named = {item.text for item in chrome.find_elements("css selector", "#legend b")}
        assert {"attention", "host", "sampling"} <= named
        widths = [part.size["width"] for part in chrome.find_elements("css selector", "#bar span")]
        assert widths == sorted(widths, reverse=True) and len(widths) == len(named)
        dots = {title.get_attribute("textContent") for title in chrome.find_elements("css selector", "#roofline title")}
        assert any((dot or "").startswith("experts: ") for dot in dots)
        assert len(chrome.find_elements("css selector", "#minutes svg")) == 4, "a CPU has no watts and no degrees"
        before = text(chrome, "#headline") + text(chrome, "#legend")
        find(chrome, "#shows input[value=us]").click()
        assert all(re.fullmatch(r"[\d–]*", cell.text) for cell in chrome.find_elements("css selector", "#map td"))
        find(chrome, "#shows input[value=percent]").click()
        find(chrome, "#hold").click()
        until(lambda: text(chrome, "#headline") + text(chrome, "#legend") != before)
        shot(chrome, "limits-wide", whole=True)


def test_on_a_phone(running: Running, tmp_path: Path) -> None:
    with at_work(running), browser(tmp_path, PHONE, dark=True) as chrome:
        chrome.get(f"{running.url}/limits")
        find(chrome, "#map td[title*='of the limit']")
        find(chrome, "#minutes svg")
        width, wide = chrome.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
        assert (width, wide) == (PHONE[0], PHONE[0]), "nothing sticks out sideways"
        for control in chrome.find_elements("css selector", "#shows label, #hold"):
            assert control.size["height"] >= 33, "a thumb can reach it"
        shot(chrome, "limits-phone", whole=True)


def test_where_the_meter_is_off_it_says_so(tmp_path: Path) -> None:
    with server(meter=False) as silent, browser(tmp_path) as chrome:
        chrome.get(f"{silent.url}/limits")
        until(lambda: "Start it with --meter" in text(chrome, "#status"))


def test_a_key_is_asked_for(tmp_path: Path) -> None:
    with server(tenants=[Tenant(name="a", key="alice-key")]) as guarded, browser(tmp_path) as chrome:
        chrome.get(f"{guarded.url}/limits")
        find(chrome, "#ask-key[open] #key").send_keys("alice-key\n")
        until(lambda: text(chrome, "#status") == "No step yet: ask the model something.")
