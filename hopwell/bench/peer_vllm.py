"""vLLM's side of `hopwell bench against`: run by its path in vLLM's own environment, prints one line of JSON at last.

The settings are those that work offline on GPUs of one host with an MLA model: no tokenizer, no prefix cache, CUDA
graphs for the batches that are measured, DeepGEMM compiled as it is met.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from hopwell.bench.side import STEP_TOKENS, cache_tokens, longest, measure, most, read_task

SETTINGS = {"VLLM_USE_FLASHINFER_SAMPLER": "0", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
BY_GPUS = {
    False: {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
    True: {"VLLM_WORKER_MULTIPROC_METHOD": "spawn", "VLLM_ALLREDUCE_USE_SYMM_MEM": "0"},
}
"""On one GPU, and on several: an all-reduce that needs no multicast, which not all hosts have."""


def a_token(config: dict[str, Any]) -> int:
    """Bytes of a token in a bf16 latent cache."""
    layers = config["num_hidden_layers"] + config.get("num_nextn_predict_layers", 0)
    return 2 * layers * (config["kv_lora_rank"] + config["qk_rope_head_dim"])


def speculation(task: dict[str, Any]) -> dict[str, Any] | None:
    """Drafts by the MTP layer of which as many are accepted unseen as of ours; None: no drafts."""
    if not task.get("drafts"):
        return None
    return {
        "method": "mtp",
        "num_speculative_tokens": task["drafts"],
        "rejection_sample_method": "synthetic",
        "synthetic_acceptance_length": task["acceptance"],
    }


def main() -> None:
    """Loads the checkpoint, measures, prints."""
    checkpoint, task = read_task(sys.argv[1:])
    gpus = task.get("gpus", 1)
    for name, value in {**SETTINGS, **BY_GPUS[gpus > 1], "VLLM_DEEP_GEMM_WARMUP": "skip"}.items():
        os.environ.setdefault(name, value)
    config = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf-8"))
    began = time.perf_counter()
    from vllm import LLM, SamplingParams

    drafts = task.get("drafts", 0)
    llm = LLM(
        model=checkpoint,
        tensor_parallel_size=gpus,
        speculative_config=speculation(task),
        skip_tokenizer_init=True,
        max_model_len=longest(task),
        kv_cache_memory_bytes=cache_tokens(task) * a_token(config),  # what ours holds
        max_num_seqs=most(task),
        max_num_batched_tokens=STEP_TOKENS,
        enable_prefix_caching=False,
        seed=0,
        disable_log_stats=True,
        compilation_config={"cudagraph_capture_sizes": sorted({n * (1 + drafts) for n, _ in task["decode"]})},
    )
    ready = time.perf_counter() - began

    def generate(prompts: list[list[int]], tokens: int) -> None:
        params = SamplingParams(max_tokens=tokens, ignore_eos=True, temperature=0.0, detokenize=False)
        llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], params, use_tqdm=False)

    found = measure(generate, task, config["vocab_size"])
    print(json.dumps({"engine": f"vllm {metadata.version('vllm')}", "ready_s": ready, **found}))


if __name__ == "__main__":
    main()
