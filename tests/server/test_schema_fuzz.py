"""schemathesis against the server's own OpenAPI document: no 5xx, and no response that breaks its schema."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import attacked

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,unsupported_method"
)
EXAMPLES = 20
"""An operation, beside what covers its schema. hazard: a limit of time in place of a number has a busy machine stop
before it has come to the operations that answer."""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="pip install 'hopwell[clients]'")
def test_every_response_follows_the_document(tmp_path: Path) -> None:
    with attacked("--max-model-len", "256") as server:  # so that answers without a limit are short
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", server.url + "/openapi.json"),
            *("--checks", CHECKS, "--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES)),
            *("--warnings", "off", "--request-timeout", "60", "--report-dir", str(tmp_path)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=800, cwd=tmp_path)
        said = done.stdout[-4000:]  # bodies of megabytes may stand before
        assert "Failures:" not in done.stdout, said
        # at times schemathesis cannot make up a body for an operation; its coverage has tested it all the same
        assert "Errors:" not in done.stdout or "demanded elements" in done.stdout, said
        cases = re.search(r"(\d[\d,]*) generated", done.stdout)
        assert cases and int(cases[1].replace(",", "")) > 500, said
        assert server.metric("hopwell_generated_tokens_total") > 100, "some bodies were good enough to be answered"
        assert not server.metric("hopwell_faults_total")
