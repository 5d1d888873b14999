"""Tokens per second of the engine, beside `transformers` on the same weights in the same process."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import torch

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.reader import Checkpoint
from hopwell.engine.core import SamplingParams
from hopwell.engine.llm import LLM
from hopwell.engine.loading import load_model
from hopwell.engine.tokenizer import Tokenizer
from hopwell.errors import HopwellError
from hopwell.formats.fp8 import dequantize_fp8_block

Key = TypeVar("Key")
QUESTION = "<｜begin▁of▁sentence｜><｜User｜>Compute {} * {}.<｜Assistant｜><think>\n"
"""In R1's own format: on random tokens the MTP layer would have nothing to go by."""


def bench_speed(
    model: str | Path | None, batches: list[int], tokens: int, drafts: list[int], peer: bool, repeats: int = 3
) -> list[dict[str, Any]]:
    """Greedy decoding, the best of several runs each; the systems take turns, so that a busy machine harms all alike.

    Args:
        batches: prompts answered at once.
        tokens: of each answer.
        drafts: one row for each number of drafts.
        peer: also run `transformers`' own generate.

    Returns:
        Rows of system, batch, tokens per second (prefill included), how many times the peer's that is, and acceptance
        length.
    """
    loaded = load_model(model)
    params = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)
    asked = {batch: questions(batch, loaded.tokenizer) for batch in batches}
    longest = max(len(prompts[0]) for prompts in asked.values()) + tokens
    engines = {
        count: LLM(
            loaded,
            config=loaded.config(max_seqs=max(batches), drafts=count, prefix_cache=False, max_model_len=longest),
        )
        for count in drafts
    }
    runs: dict[tuple[str, int, int], Callable[[], object]] = {}
    for batch, prompts in asked.items():
        for count, llm in engines.items():
            runs["hopwell", count, batch] = partial(llm.generate, prompts, params)
    if peer:
        generate = transformers_generate(loaded.path, loaded.model.dtype)
        for batch, prompts in asked.items():
            runs["transformers", 0, batch] = partial(generate, torch.tensor(prompts), tokens)
    seconds = best_in_turns(runs, repeats)
    rows = []
    for (system, count, batch), best in seconds.items():
        row: dict[str, Any] = {"system": system, "drafts": count, "batch": batch}
        row["tokens_per_s"] = round(batch * tokens / best, 1)
        other = seconds.get(("transformers", 0, batch))
        row["times_peer"] = None if other is None else round(other / best, 2)
        length = engines[count].engine.metrics.acceptance_length if system == "hopwell" else None
        rows.append(row | {"acceptance_length": None if length is None else round(length, 2)})
    for llm in engines.values():
        llm.close()
    return sorted(rows, key=lambda row: (row["system"], row["drafts"], row["batch"]))


def questions(count: int, tokenizer: Tokenizer) -> list[list[int]]:
    """Tokens of `count` multiplications, the same ones each time and all of one length, for peers that cannot pad."""
    random = Random(count)
    found: list[list[int]] = []
    while len(found) < count:
        prompt = tokenizer.encode(
            QUESTION.format(random.randrange(100, 1000), random.randrange(10, 100)), special=False
        )
        if not found or len(prompt) == len(found[0]):
            found.append(prompt)
    return found


def best_in_turns(runs: dict[Key, Callable[[], object]], repeats: int) -> dict[Key, float]:
    """The shortest time of each run in seconds, after one that warms up; they take turns."""
    best = dict.fromkeys(runs, float("inf"))
    for run in runs.values():
        run()
    for _ in range(repeats):
        for key, run in runs.items():
            started = time.perf_counter()
            run()
            best[key] = min(best[key], time.perf_counter() - started)
    return best


def transformers_generate(path: Path, dtype: torch.dtype) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """`transformers`' generate for a checkpoint of the family, its FP8 weights dequantised as ours are on a CPU.

    Raises:
        HopwellError: transformers is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise HopwellError("transformers is not installed; pip install transformers, or leave --peer out") from None
    checkpoint = Checkpoint.open(path)
    config = {
        k: v for k, v in checkpoint.config.items() if k not in ("quantization_config", "num_nextn_predict_layers")
    }
    settings = transformers.DeepseekV3Config(**config, num_mtp_layers=0)
    with torch.device("meta"):
        model: Any = transformers.DeepseekV3ForCausalLM(settings)
    model = model.to(dtype).to_empty(device="cpu").eval()
    missing, surplus = model.load_state_dict(_state(checkpoint, dtype), strict=False)
    if surplus or any("inv_freq" not in name for name in missing):
        raise HopwellError(f"transformers wants other tensors: {(*missing, *surplus)[:4]}")
    model.model.rotary_emb = type(model.model.rotary_emb)(settings)  # its buffers were empty

    def generate(prompts: torch.Tensor, tokens: int) -> torch.Tensor:
        with torch.inference_mode():
            return model.generate(
                prompts, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=2
            )

    return generate


def _state(checkpoint: Checkpoint, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The checkpoint's tensors under transformers' names: experts stacked, the MTP layer left out."""
    layers = checkpoint.config["num_hidden_layers"]
    experts = checkpoint.config["n_routed_experts"]
    source = WeightSource(checkpoint)

    def matrix(name: str) -> torch.Tensor:
        data = checkpoint.read(name)
        scale = name + "_scale_inv"
        if scale in checkpoint.tensors:
            return dequantize_fp8_block(data, checkpoint.read(scale), dtype)
        return data.to(torch.float32 if name.endswith("e_score_correction_bias") else dtype)

    names = [n for n in source.left if not n.endswith("_scale_inv") and f".layers.{layers}." not in n]
    state = {name: matrix(name) for name in names if ".experts." not in name}
    for layer in range(checkpoint.config["first_k_dense_replace"], layers):
        prefix = f"model.layers.{layer}.mlp.experts."
        gate, up, down = (
            torch.stack([matrix(f"{prefix}{e}.{kind}_proj.weight") for e in range(experts)])
            for kind in ("gate", "up", "down")
        )
        state[prefix + "gate_up_proj"], state[prefix + "down_proj"] = torch.cat((gate, up), dim=1), down
    return state
