"""`transformers`' own generate as a peer: in a process of its own, which nothing of ours has set anything for.

It is run by its path: as `benchmarks.peer_transformers` it would import `benchmarks`, which sets variables.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.reader import Checkpoint
from hopwell.errors import HopwellError
from hopwell.formats.fp8 import dequantize_fp8_block


def main() -> None:
    """Carries out tasks, a line of JSON each; says `done` after each."""
    generator = cache(lambda dtype: transformers_generate(Path(sys.argv[1]), getattr(torch, dtype)))
    for line in sys.stdin:
        task = json.loads(line)
        torch.set_num_threads(task["threads"])
        generator(task["dtype"])(torch.tensor(task["prompts"]), task["tokens"])
        print("done", flush=True)


def transformers_generate(path: Path, dtype: torch.dtype) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """`transformers`' generate for a checkpoint of the family, its FP8 weights dequantised as ours are on a CPU.

    Raises:
        HopwellError: it wants other tensors than there are.
    """
    import transformers

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


if __name__ == "__main__":
    main()
