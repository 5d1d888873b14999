"""guidellm, a load generator of others' making, against a running server."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from server_fixture import server

from hopwell.model import NANO

REQUESTS, OUTPUT_TOKENS = 6, 20


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("guidellm") is None, reason="pip install 'hopwell[clients]'")
def test_guidellm_measures_the_server(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with server() as running:
        command = [
            *(sys.executable, "-m", "guidellm", "run"),
            *("--backend", f"kind=openai_http,target={running.url},model=nano"),
            *("--profile", "kind=concurrent,streams=2", "--constraint", f"kind=max_requests,count={REQUESTS}"),
            *("--tokenizer", f"kind=huggingface_auto,model={NANO}"),
            *("--data", f"kind=synthetic_text,prompt_tokens=40,output_tokens={OUTPUT_TOKENS}"),
            *("--output", f"kind=json,path={report}", "--disable-console"),
        ]
        offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, **offline})
        generated = running.host.engine.metrics.generated_tokens
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads(report.read_text(encoding="utf-8"))["benchmarks"][0]["metrics"]
    assert metrics["request_totals"] == {"successful": REQUESTS, "errored": 0, "incomplete": 0, "total": REQUESTS}
    assert metrics["output_token_count"]["successful"]["mean"] == OUTPUT_TOKENS == generated / REQUESTS
    for name in ("time_to_first_token_ms", "inter_token_latency_ms"):
        assert metrics[name]["successful"]["median"] > 0
