"""From nothing to ready: `python -m hopwell.bench.start CHECKPOINT` loads, draws a token, prints phases as JSON."""

from __future__ import annotations

import argparse
import json
import time


def main() -> None:
    """Loads a checkpoint, starts an engine, draws one token."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    began = time.perf_counter()
    from hopwell.engine.core import SamplingParams  # the imports are a part of the start
    from hopwell.engine.llm import LLM

    imported = time.perf_counter()
    llm = LLM(options.checkpoint, device=options.device, drafts=0)
    ready = time.perf_counter()
    llm.generate([[1, 2, 3]], SamplingParams(temperature=0.0, max_tokens=1))
    first = time.perf_counter()
    late = getattr(llm.engine.runner.model, "late", None)
    phases = {"imports": imported - began, **llm.loaded.phases}
    print(json.dumps({"ready_s": ready - began, "first_token_s": first - ready, "phases": phases,
                      "compiled_after_ready": late.names if late is not None else None}))  # fmt: skip


if __name__ == "__main__":
    main()
