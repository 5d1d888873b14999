"""Our side of `hopwell bench against`: a process of its own, prints one line of JSON at last.

The checkpoint comes from disk through the loader, and requests go through the engine, as they do in a server.
"""

from __future__ import annotations

import json
import sys
import time

from hopwell.bench.side import STEP_TOKENS, cache_tokens, longest, measure, most, read_task


def main() -> None:
    """Loads the checkpoint, measures, prints."""
    checkpoint, task = read_task(sys.argv[1:])
    began = time.perf_counter()
    import hopwell
    from hopwell.engine.llm import LLM
    from hopwell.engine.request import SamplingParams

    llm = LLM(
        checkpoint, device=task.get("device", "auto"), drafts=task.get("drafts", 0),
        forced_acceptance=task.get("acceptance"), max_seqs=most(task), max_batch_tokens=STEP_TOKENS,
        max_model_len=longest(task), cache_tokens=cache_tokens(task), prefix_cache=False, overlap=True,
        cache_dtype=task.get("cache_dtype", "auto"), activations=task.get("activations"),
        tp=task.get("gpus", 1), **({"four_bits": task["four_bits"]} if "four_bits" in task else {}),
    )  # fmt: skip
    ready = time.perf_counter() - began

    def generate(prompts: list[list[int]], tokens: int) -> None:
        llm.generate(prompts, SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True))

    found = measure(generate, task, llm.loaded.model.config.vocab_size)
    late = getattr(llm.engine.runner.model, "late", None)
    fault = getattr(llm.engine.runner.model, "fault", None)
    print(json.dumps({"engine": f"hopwell {hopwell.__version__}", "ready_s": ready, "phases": llm.loaded.phases,
                      "kernel_fault": fault, "compiled_after_ready": late.names if late is not None else None,
                      **found}))  # fmt: skip
    llm.close()


if __name__ == "__main__":
    main()
