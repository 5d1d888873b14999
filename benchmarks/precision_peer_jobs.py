"""One quantisation by a peer, run with the peer's own Python: `python precision_peer_jobs.py JOB.json`.

This file imports nothing of Hopwell, because peers pin other versions of torch and transformers than it does. The job
names a model's folder (float32, transformers' names), calibration tokens, the peer's method and a folder to write.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

IGNORED = ["lm_head", "re:.*mlp[.]gate$"]
"""Head and routers, which no tool converts."""
OBSERVERS = {
    "minmax": "memoryless_minmax",
    "expanded-mse": "nvfp4_expanded_mse",
    "expanded-imatrix": "nvfp4_expanded_imatrix",
}


def main(path: str) -> None:
    """Reads the job, converts, writes `seconds` and versions beside the checkpoint."""
    job: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    import torch

    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    started = time.perf_counter()
    version = {"llmcompressor": llmcompressor, "auto-round": auto_round}[job["peer"]](job)
    seconds = time.perf_counter() - started
    told = {"version": version, "torch": torch.__version__, "seconds": round(seconds, 1)}
    Path(job["out"], "peer.json").write_text(json.dumps(told), encoding="utf-8")


def llmcompressor(job: dict[str, Any]) -> str:
    """llm-compressor's one-shot: `rtn`, an observer alone, or GPTQ, over every linear of the decoder layers."""
    import torch
    from compressed_tensors.quantization.quant_scheme import PRESET_SCHEMES, QuantizationScheme
    from llmcompressor import oneshot
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from transformers import AutoModelForCausalLM

    preset = {"nvfp4": "NVFP4A16", "int4_g128": "W4A16"}[job["format"]]
    scheme = QuantizationScheme(targets=["Linear"], **PRESET_SCHEMES[preset]).model_copy(deep=True)
    if job["observer"]:
        assert scheme.weights is not None
        scheme.weights.observer = OBSERVERS[job["observer"]]
        if job["observer"] == "expanded-imatrix":
            scheme.weights.observer_kwargs = {"strict": True}  # else it quietly does without E[x^2]
    modifier = GPTQModifier if job["method"] == "gptq" else QuantizationModifier
    recipe = modifier(config_groups={"group_0": scheme}, ignore=IGNORED)
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    rows: Any = [{"input_ids": torch.tensor([s]), "attention_mask": torch.ones(1, len(s), dtype=torch.long)}
            for s in job["sequences"]]  # fmt: skip
    oneshot(
        model=model,
        recipe=recipe,
        dataset=torch.utils.data.DataLoader(rows, batch_size=None),
        num_calibration_samples=len(rows),
        shuffle_calibration_samples=False,
        pipeline="sequential",
    )
    model.save_pretrained(job["out"], save_compressed=True)
    return _version("llmcompressor")


def auto_round(job: dict[str, Any]) -> str:
    """AutoRound's tuning at its usual 200 steps; calibration is the same tokens in rows of one length."""
    import torch
    from auto_round import AutoRound
    from auto_round.schemes import PRESET_SCHEMES
    from transformers import AutoModelForCausalLM, AutoTokenizer

    scheme = PRESET_SCHEMES[{"nvfp4": "NVFP4", "int4_g128": "W4A16"}[job["format"]]]
    tokens = torch.tensor([t for s in job["sequences"] for t in s])
    length = 256
    rows = tokens[: len(tokens) // length * length].view(-1, length)
    samples: Any = [{"input_ids": row} for row in rows]
    tuner = AutoRound(
        AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32),
        AutoTokenizer.from_pretrained(job["model"]),
        scheme=scheme,
        dataset=torch.utils.data.DataLoader(samples, batch_size=8),
        iters=job["steps"],
        seqlen=length,
        nsamples=len(rows),
        act_bits=16,
        device_map="cpu",
    )
    tuner.quantize_and_save(job["out"], format="llm_compressor")
    for made in Path(job["out"]).glob("*/*"):  # it makes a folder of its own inside
        made.rename(Path(job["out"], made.name))
    return _version("auto-round")


def _version(package: str) -> str:
    from importlib import metadata

    return metadata.version(package)


if __name__ == "__main__":
    main(sys.argv[1])
