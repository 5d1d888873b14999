"""A real headless Chromium, by hand and eye of selenium."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
NEEDED = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="needs Chromium: apt-get install chromium chromium-driver"),
    pytest.mark.skipif(importlib.util.find_spec("selenium") is None, reason="pip install 'hopwell[clients]'"),
]
"""Marks of tests that use it."""
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDE, PHONE = (1200, 820), (390, 844)
PATIENCE = 300.0
"""Seconds: a plan with its plots takes twenty of a processor, which are minutes where others want it too."""
SHOTS = os.environ.get("HOPWELL_SCREENSHOTS")
"""A folder to leave screenshots in."""


@contextmanager
def browser(profile: Path, size: tuple[int, int] = WIDE, dark: bool = False) -> Iterator[Chrome]:
    """A browser whose console must stay free of faults, but for refusals with a status of 40x."""
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


def find(chrome: Chrome, selector: str, seconds: float = PATIENCE) -> WebElement:
    """The last element of a selector, once it is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := chrome.find_elements("css selector", selector):
            return found[-1]
        time.sleep(0.02)
    raise AssertionError(f"{selector} does not come; the page says: {find(chrome, 'body', 1).text}")


def text(chrome: Chrome, selector: str, seconds: float = PATIENCE) -> str:
    """Of the last element of a selector, which may be drawn anew at any time."""
    from selenium.common.exceptions import StaleElementReferenceException

    for _ in range(10):
        with suppress(StaleElementReferenceException):
            return find(chrome, selector, seconds).text
    raise AssertionError(f"{selector} does not come to rest")


def shot(chrome: Chrome, name: str, whole: bool = False) -> None:
    """A picture of what is seen, or of the whole page, if somebody wants it."""
    if not SHOTS:
        return
    time.sleep(0.3)  # what turns has turned
    if whole:
        width, height = chrome.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width == PHONE[0]}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        time.sleep(0.2)
    chrome.save_screenshot(str(Path(SHOTS) / f"{name}.png"))
