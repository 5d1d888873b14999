"""The `hopwell` command, which is `python -m hopwell` too: Ctrl-C ends it without a word even while it is imported."""

from __future__ import annotations

from hopwell.interrupts import importing


def main() -> None:
    """Imports the command and runs it."""
    with importing():
        from hopwell.cli import main as run
    run()


if __name__ == "__main__":
    main()
