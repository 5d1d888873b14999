"""`hopwell serve`, of nano unless told otherwise, for scripts that measure a whole server."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def served(*options: str, device: str = "cpu") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server on a free port of 127.0.0.1 until the block ends: its first process, and its URL.

    Raises:
        SystemExit: it does not start; with its log.
    """
    command = [sys.executable, "-m", "hopwell", "serve", "--port", "0", "--device", device, *options]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        try:
            banner = ""
            while "http://" not in banner:
                line = process.stdout.readline()
                if not line:
                    log.seek(0)
                    raise SystemExit(f"the server did not start: {log.read()}")
                banner += line
            yield process, re.findall("http://.*", banner)[0]
        finally:
            process.terminate()
            process.wait(120)
