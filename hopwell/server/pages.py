"""The pages: one frame around what each has of its own; a stylesheet and a script of its name are each one's too."""

from __future__ import annotations

from pathlib import Path
from string import Template

FOLDER = Path(__file__).parent / "page"
CONTENT_POLICY = "default-src 'self'; base-uri 'none'; frame-ancestors 'none'"
PAGES = {"/": ("chat", "Chat"), "/plan": ("plan", "Plan"), "/limits": ("limits", "Limits")}
"""By path: a page's files, and what the links to it say."""


def page(path: str) -> str:
    """The HTML of one of `PAGES`. Its own file may begin with a header, whose controls join the frame's."""
    name, label = PAGES[path]
    own = (FOLDER / f"{name}.html").read_text(encoding="utf-8")
    header, end, content = own.removeprefix("<header>\n").partition("</header>\n")
    frame = Template((FOLDER / "frame.html").read_text(encoding="utf-8"))
    return frame.substitute(
        name=name,
        title="Hopwell" if path == "/" else f"{label} · Hopwell",
        links="".join(_link(to, text, to == path) for to, (_, text) in PAGES.items()),
        controls=header if end else "",
        content=content if end else own,
    )


def _link(path: str, text: str, here: bool) -> str:
    current = ' aria-current="page"' if here else ""
    return f'<a href="{path}"{current}>{text}</a>'
