"""The house rules of docs/architecture.md: a room imports only rooms on lower floors, and some never import torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hopwell

PACKAGE = Path(hopwell.__file__).parent
FLOORS = {
    "errors": -1, "limits": 0, "formats": 1, "ops": 2, "checkpoint": 3, "model": 4, "codec": 4, "cache": 5,
    "precision": 5, "engine": 6, "server": 7, "bench": 7, "cli": 8,
}  # fmt: skip
ROOMS = sorted(FLOORS)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of the package's own, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            top, _, rest = name.partition(".")
            if top == "hopwell" and rest:
                yield node.lineno, rest.partition(".")[0]


def test_every_room_has_a_floor() -> None:
    found = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    assert found - {"__init__", "__main__", "__pycache__"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_lower_floors(room: str) -> None:
    files = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else sorted((PACKAGE / room).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {other}"
        for path in files
        for line, other in imports(path)
        if other != room and FLOORS[other] >= FLOORS[room]
    ]
    assert not wrong


@pytest.mark.parametrize("module", ["hopwell", "hopwell.cli", "hopwell.limits", "hopwell.limits.cost", "hopwell.codec"])
def test_no_torch_at_import(module: str) -> None:
    files = "for f in Path(m.__path__[0]).glob('*.py'): importlib.import_module(m.__name__ + '.' + f.stem)"
    code = f"import importlib, sys; from pathlib import Path; m = importlib.import_module({module!r})\n"
    code += f"{files}\n" if module == "hopwell.codec" else ""
    code += "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
