"""Where commands write, one rule for all: what is named may be new, the folder that is to hold it is there. It is said
before anything else is done. And what they print with `--json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def check_file(path: Path | None) -> Path | None:
    """An option's callback.

    Raises:
        CheckpointError: a file cannot be written there.
    """
    return _checked(path, "file")


def check_folder(path: Path | None) -> Path | None:
    """Likewise, for a folder."""
    return _checked(path, "folder")


def check_either(path: Path | None) -> Path | None:
    """Likewise, for a file or a folder to put it into."""
    return _checked(path, None)


def _checked(path: Path | None, kind: str | None) -> Path | None:
    from hopwell.checkpoint.files import check_writable

    if path is not None:
        check_writable(path, kind)
    return path


def print_json(found: Any) -> None:
    """Prints one object, as programs read it and people still can."""
    print(json.dumps(found, indent=1))


NewFolder = Annotated[Path, typer.Argument(help="A new folder.", callback=check_folder)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
