"""The `hopwell` command, which is `python -m hopwell` too: Ctrl-C ends it without a word even while it is imported."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Imports the command and runs it."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        # an error raised within an import may be caught there, or told of by Python itself
        signal.signal(signal.SIGINT, _leave)
    from hopwell.cli import main as run

    signal.signal(signal.SIGINT, before)
    run()


def _leave(*_: object) -> None:
    os._exit(130)


if __name__ == "__main__":
    main()
