"""The chat page in a real headless Chromium, by hand and eye of selenium."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from server_fixture import Running, server

from hopwell.engine.core import FinishReason
from hopwell.server.settings import Tenant

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="needs Chromium: apt-get install chromium chromium-driver"),
    pytest.mark.skipif(importlib.util.find_spec("selenium") is None, reason="pip install 'hopwell[clients]'"),
]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDE, PHONE = (1200, 820), (390, 844)
SHOTS = os.environ.get("HOPWELL_SCREENSHOTS")
"""A folder to leave screenshots in."""


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with server() as it:
        yield it


@contextmanager
def browser(profile: Path, size: tuple[int, int] = WIDE, dark: bool = False) -> Iterator[Chrome]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size is PHONE}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        yield chrome
        faults = [line["message"] for line in chrome.get_log("browser") if line["level"] == "SEVERE"]
        assert not [fault for fault in faults if "responded with a status of 40" not in fault], faults
    finally:
        chrome.quit()


def find(chrome: Chrome, selector: str, seconds: float = 60) -> WebElement:
    """The last element of a selector, once it is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := chrome.find_elements("css selector", selector):
            return found[-1]
        time.sleep(0.02)
    raise AssertionError(f"{selector} does not come; the page says: {find(chrome, 'body', 1).text}")


def text(chrome: Chrome, selector: str, seconds: float = 60) -> str:
    """Of the last element of a selector, which may be drawn anew at any time."""
    from selenium.common.exceptions import StaleElementReferenceException

    for _ in range(10):
        with suppress(StaleElementReferenceException):
            return find(chrome, selector, seconds).text
    raise AssertionError(f"{selector} does not come to rest")


def ask(chrome: Chrome, question: str) -> None:
    asked = len(chrome.find_elements("css selector", ".mine"))
    find(chrome, "#text").send_keys(question + "\n")
    find(chrome, f".turn:nth-of-type({2 * asked + 1})")


def finish(chrome: Chrome) -> None:
    find(chrome, "body:not(.running)")


def shot(chrome: Chrome, name: str) -> None:
    if SHOTS:
        time.sleep(0.3)  # what turns has turned
        chrome.save_screenshot(str(Path(SHOTS) / f"{name}.png"))


def test_a_conversation(running: Running, tmp_path: Path) -> None:
    with browser(tmp_path) as chrome:
        chrome.get(running.url)
        assert text(chrome, "#model:not(:empty)") == "nano"
        shot(chrome, "chat-empty")
        find(chrome, "#examples button:first-child").click()
        finish(chrome)
        thought = find(chrome, "details")
        assert thought.get_attribute("open") is None and re.fullmatch(r"Thought for \d+\.\d s", thought.text)
        assert "1591" in text(chrome, ".answer .boxed").replace(",", "")
        assert re.search(r"\d+ tokens · [\d.]+ tokens/s · first after", text(chrome, ".rate"))
        find(chrome, "summary").click()
        assert "37" in text(chrome, "details[open] > div")
        find(chrome, "summary").click()

        ask(chrome, "Now add 9 to that.")
        finish(chrome)
        assert "1600" in text(chrome, ".answer .boxed").replace(",", ""), "the history was sent"
        assert len(chrome.find_elements("css selector", ".turn")) == 4
        find(chrome, "summary").click()
        shot(chrome, "chat-wide")
        find(chrome, "#clear").click()
        assert not chrome.find_elements("css selector", ".turn") and find(chrome, "#welcome").is_displayed()


def test_text_comes_as_it_is_made_and_can_be_stopped(running: Running, tmp_path: Path) -> None:
    aborted = running.service.engine.metrics.finished[FinishReason.ABORT]
    with browser(tmp_path) as chrome:
        chrome.get(running.url)
        ask(chrome, "What is 93847 * 58213?")
        assert find(chrome, "#send").get_attribute("aria-label") == "Stop"
        find(chrome, "details.busy > div:not(:empty)")
        find(chrome, "#send").click()
        assert text(chrome, ".stopped", 10) == "stopped"
        finish(chrome)
        for _ in range(500):
            if running.service.engine.metrics.finished[FinishReason.ABORT] > aborted:
                break
            time.sleep(0.01)
        assert running.service.engine.metrics.finished[FinishReason.ABORT] == aborted + 1
        ask(chrome, "What is 3+4?")
        finish(chrome)
        assert "7" in text(chrome, ".answer .boxed")


def test_on_a_phone(running: Running, tmp_path: Path) -> None:
    with browser(tmp_path, PHONE, dark=True) as chrome:
        chrome.get(running.url)
        ask(chrome, "What is 37 * 43?")
        finish(chrome)
        width, wide = chrome.execute_script("return [innerWidth, document.documentElement.scrollWidth]")
        assert (width, wide) == (PHONE[0], PHONE[0]), "nothing sticks out sideways"
        for control in ("#send", "#text"):
            box = find(chrome, control).rect
            assert box["height"] >= 40 and box["y"] + box["height"] <= PHONE[1], "a thumb can reach it"
        shot(chrome, "chat-phone")


def test_a_key_is_asked_for_and_a_refusal_is_shown(tmp_path: Path) -> None:
    with server(tenants=[Tenant(name="a", key="alice-key")], max_model_len=128) as guarded, browser(tmp_path) as chrome:
        chrome.get(guarded.url)
        find(chrome, "#ask-key[open] #key").send_keys("alice-key\n")
        assert text(chrome, "#model:not(:empty)") == "nano"
        ask(chrome, "one and " * 200)
        finish(chrome)
        assert "shorten it" in text(chrome, ".error")


def test_no_answer_brings_markup_of_its_own(running: Running, tmp_path: Path) -> None:
    text = "<img src=x onerror=alert(1)> **bold** `a < b` \\boxed{7}\n\n1. one\n2. two\n\n```py\nx = '<b>'\n```\n# End"
    with browser(tmp_path) as chrome:
        chrome.get(running.url)
        html = chrome.execute_async_script(
            "const [text, done] = arguments, box = document.createElement('div');"
            "import('/page/text.js').then((it) => { it.render(box, text); done(box.innerHTML); });",
            text,
        )
    assert html == (
        '<p>&lt;img src=x onerror=alert(1)&gt; <strong>bold</strong> <code>a &lt; b</code> <span class="boxed">7</span>'
        "</p><ol start=\"1\"><li>one</li><li>two</li></ol><pre>x = '&lt;b&gt;'</pre><h3>End</h3>"
    )
