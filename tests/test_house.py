"""The house rules of docs/architecture.md: imports go down and never round, names of tensors stand in the schema."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import hopwell
from hopwell.model.schema import PARTS, ROWS

PACKAGE = Path(hopwell.__file__).parent
FLOORS = {
    "version": -1, "errors": -1, "system": -1, "control": -1, "interrupts": -1, "logs": -1, "svg": -1,
    "bounded_child": -1, "bounded": 0, "limits": 0, "formats": 1, "ops": 2,
    "checkpoint": 3, "parallel": 3, "model": 4, "chat": 4, "cache": 5, "quantization": 5, "engine": 6, "planner": 6,
    "server": 7, "bench": 7, "cli": 8,
}  # fmt: skip
ROOMS = sorted(FLOORS)
FILES = {
    ".".join(("hopwell", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
"""Every file of the package, by the name that imports it."""


def modules(path: Path) -> Iterator[str]:
    """The first name of whatever is imported, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


@cache
def imports(path: Path) -> list[tuple[int, str]]:
    """Line and file of every import of the package's own, wherever in the file it stands."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [name if name in FILES else node.module for name in inner]
        found += [(node.lineno, name) for name in names if name in FILES]
    return found


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string of a file that is not a docstring, f-strings in pieces."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    docs = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def test_every_room_has_a_floor() -> None:
    found = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    assert found - {"__init__", "__main__", "__pycache__"} == set(ROOMS)


def test_every_room_says_its_floor() -> None:
    for room, floor in FLOORS.items():
        if (path := PACKAGE / room / "__init__.py").exists():
            assert f'"""Floor {floor}. ' in path.read_text(encoding="utf-8"), room


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_lower_floors(room: str) -> None:
    files = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else sorted((PACKAGE / room).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {name}"
        for path in files
        for line, name in imports(path)
        for other in name.split(".")[1:2]
        if other != room and FLOORS[other] >= FLOORS[room]
    ]
    assert not wrong


def test_the_package_needs_no_checkout() -> None:
    """What only a checkout has, the package imports nowhere."""
    wrong = [path for path in PACKAGE.rglob("*.py") if set(modules(path)) & {"benchmarks", "training", "tests"}]
    assert not wrong


def test_no_two_test_files_share_a_name() -> None:
    """pytest imports them by their base names: of two alike, the second ends the run before its first test."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py")]
    assert not {name for name in names if names.count(name) > 1}


def test_no_import_goes_round() -> None:
    """Nor behind a function's lazy import, of which a reader learns when it is too late."""
    below = {name: {other for _, other in imports(path)} for name, path in FILES.items()}
    while leaves := [name for name, others in below.items() if not others & below.keys() - {name}]:
        for name in leaves:
            del below[name]
    assert not below, f"among these, imports go round: {sorted(below)}"


def tensor_names() -> re.Pattern[str]:
    """A component of a tensor's name that is nothing else, two that follow each other, or a common one within dots."""
    patterns = [row.pattern.split(".") for row in ROWS]
    common = {"model", "layers", "norm", "weight", "mlp", "experts", "gate", "head", *PARTS}
    own = {part for pattern in patterns for part in pattern if part not in common and part[0] != "{"}
    pairs = {".".join(pair) for pattern in patterns for pair in pairwise(pattern) if "{" not in "".join(pair)}
    own |= {"weight_scale_inv", "_scale_inv"}  # a format's, formats/fp8.py
    words = "|".join(re.escape(word) for word in sorted(own | pairs))
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])|(?:^|\.)(?:layers|mlp|(?:shared_)?experts)\.(?:$|\w)")


def test_only_the_schema_spells_names_of_tensors() -> None:
    name = tensor_names()
    assert all(map(name.search, ("q_b_proj", "lm_head", ".mlp.gate", "gate.weight", "experts.", ".mlp.experts.")))
    assert not any(map(name.search, ("routed_experts", "norms", "a layer's experts.", "model.safetensors", "gate")))
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} {text!r}"
        for path in FILES.values()
        if path not in (FILES["hopwell.model.schema"], FILES["hopwell.formats.fp8"])
        for line, text in literals(path)
        if name.search(text)
    ]
    assert not wrong


@pytest.mark.parametrize(
    "module",
    [
        "hopwell",
        "hopwell.bounded",
        "hopwell.system",
        "hopwell.cli",
        "hopwell.limits",
        "hopwell.limits.cost",
        "hopwell.chat",
        "hopwell.planner",
        "hopwell.server",
    ],
)
def test_no_torch_at_import(module: str) -> None:
    files = "for f in Path(m.__path__[0]).glob('*.py'): importlib.import_module(m.__name__ + '.' + f.stem)"
    code = f"import importlib, sys; from pathlib import Path; m = importlib.import_module({module!r})\n"
    code += f"{files}\n" if module in ("hopwell.chat", "hopwell.planner", "hopwell.server") else ""
    code += "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
