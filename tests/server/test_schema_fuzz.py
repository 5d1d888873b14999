"""schemathesis against the server's own OpenAPI document: no 5xx, and no response that breaks its schema."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from server_fixture import server

from hopwell.server.settings import ServerSettings

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,unsupported_method"
)
SECONDS = 15


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="pip install 'hopwell[clients]'")
def test_every_response_follows_the_document(tmp_path: Path) -> None:
    settings = ServerSettings(max_body_bytes=1 << 20, drain_timeout=5.0)
    with server(settings, max_model_len=256) as running:  # so that answers without a limit are short
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", running.url + "/openapi.json"),
            *("--checks", CHECKS, "--phases", "coverage,fuzzing", "--max-time", str(SECONDS)),
            *("--warnings", "off", "--request-timeout", "60", "--report-dir", str(tmp_path)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path)
        metrics = running.service.engine.metrics
    assert "Failures:" not in done.stdout, done.stdout
    # at times schemathesis cannot make up a body for an operation; its coverage phase has tested it then all the same
    assert "Errors:" not in done.stdout or "demanded elements" in done.stdout, done.stdout
    cases = re.search(r"(\d[\d,]*) generated", done.stdout)
    assert cases and int(cases[1].replace(",", "")) > 100, done.stdout
    assert metrics.finished["length"] > 0, "some bodies were good enough to be answered"
    assert not metrics.faults
