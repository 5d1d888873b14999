"""Each page is whole without a browser: its frame, the links between them, the files that it names."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest
from server_fixture import Running, server

from hopwell.server.pages import CONTENT_POLICY, FOLDER, PAGES


class Seen(HTMLParser):
    """What stands in a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.files: list[str] = []
        self.links: dict[str, bool] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.files += [link for name in ("src", "href") if (link := given.get(name) or "").startswith("/page/")]
        if tag == "a":
            self.links[given["href"] or ""] = given.get("aria-current") == "page"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with server() as it:
        yield it


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole(running: Running, path: str) -> None:
    reply = httpx.get(running.url + path)
    assert (reply.status_code, reply.headers["content-security-policy"]) == (200, CONTENT_POLICY)
    seen, name = Seen(reply.text), PAGES[path][0]
    assert seen.links == {other: other == path for other in PAGES}
    assert len(seen.ids) == len(set(seen.ids)) and {"ask-key", "key"} < set(seen.ids)
    assert {f"/page/{name}.css", f"/page/{name}.js"} < set(seen.files)
    assert all((FOLDER / file.removeprefix("/page/")).is_file() for file in seen.files)
    assert "$" not in reply.text.partition("<main")[0], "nothing is left open in the frame"
