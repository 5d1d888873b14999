"""The chat page in a real headless Chromium, by hand and eye of selenium."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import NEEDED, PHONE, browser, find, shot, text
from server_fixture import Running, server

from hopwell.engine.request import FinishReason
from hopwell.server.settings import Tenant

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = NEEDED


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with server() as it:
        yield it


def ask(chrome: Chrome, question: str) -> None:
    asked = len(chrome.find_elements("css selector", ".mine"))
    find(chrome, "#text").send_keys(question + "\n")
    find(chrome, f".turn:nth-of-type({2 * asked + 1})")


def finish(chrome: Chrome) -> None:
    find(chrome, "body:not(.running)")


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
    aborted = running.host.engine.metrics.finished[FinishReason.ABORT]
    with browser(tmp_path) as chrome:
        chrome.get(running.url)
        ask(chrome, "What is 93847 * 58213?")
        assert find(chrome, "#send").get_attribute("aria-label") == "Stop"
        find(chrome, "details.busy > div:not(:empty)")
        find(chrome, "#send").click()
        assert text(chrome, ".stopped") == "stopped"
        finish(chrome)
        for _ in range(500):
            if running.host.engine.metrics.finished[FinishReason.ABORT] > aborted:
                break
            time.sleep(0.01)
        assert running.host.engine.metrics.finished[FinishReason.ABORT] == aborted + 1
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
        assert "reduce the length" in text(chrome, ".error")


def test_no_answer_brings_markup_of_its_own(running: Running, tmp_path: Path) -> None:
    given = "<img src=x onerror=alert(1)> **bold** `a < b` \\boxed{7}\n\n1. one\n2. two\n\n```py\nx = '<b>'\n```\n# End"
    with browser(tmp_path) as chrome:
        chrome.get(running.url)
        html = chrome.execute_async_script(
            "const [text, done] = arguments, box = document.createElement('div');"
            "import('/page/text.js').then((it) => { it.render(box, text); done(box.innerHTML); });",
            given,
        )
    assert html == (
        '<p>&lt;img src=x onerror=alert(1)&gt; <strong>bold</strong> <code>a &lt; b</code> <span class="boxed">7</span>'
        "</p><ol start=\"1\"><li>one</li><li>two</li></ol><pre>x = '&lt;b&gt;'</pre><h3>End</h3>"
    )
