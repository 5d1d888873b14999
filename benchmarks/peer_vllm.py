"""vLLM as a peer: the most probable next tokens after prompts, by a process of its own in its own environment.

It is run by its path: `python benchmarks/peer_vllm.py CHECKPOINT PROMPTS.json TOP`.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path


def main() -> None:
    """Prints a line of JSON at last: for each prompt the tokens and their log-probabilities."""
    from vllm import LLM, SamplingParams  # pyright: ignore[reportMissingImports]

    checkpoint, prompts, top = sys.argv[1:]
    llm = LLM(checkpoint, skip_tokenizer_init=True, max_model_len=1024, kv_cache_memory_bytes=1 << 30,
              gpu_memory_utilization=0.3, enforce_eager=True, enable_prefix_caching=False, seed=0)  # fmt: skip
    params = SamplingParams(temperature=0.0, max_tokens=1, ignore_eos=True, logprobs=int(top), detokenize=False)
    asked = [{"prompt_token_ids": each} for each in json.loads(Path(prompts).read_text(encoding="utf-8"))]
    done = llm.generate(asked, params, use_tqdm=False)
    first = [each.outputs[0].logprobs[0] for each in done]
    tops = [[[token, entry.logprob] for token, entry in each.items()] for each in first]
    print(json.dumps({"engine": f"vllm {metadata.version('vllm')}", "tops": tops}))


if __name__ == "__main__":
    main()
