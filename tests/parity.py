"""`transformers` as the reference for a model's logits, and a model's own, of every position."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tiny
import torch

from hopwell.checkpoint.reader import Checkpoint
from hopwell.model.batch import ForwardBatch
from hopwell.model.loading import load_transformer
from hopwell.model.transformer import Transformer

TOLERANCE = 2e-4  # max abs difference of logits whose spread is near 1


def transformers() -> ModuleType:
    """The package, imported when a test first asks: collecting tests need not wait for it."""
    package = pytest.importorskip("transformers")
    package.logging.set_verbosity_error()
    return package


def load(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Transformer:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint.open(tiny.write_checkpoint(Path(folder), config, tensors))
        return load_transformer(checkpoint, dtype=torch.float32)


def reference_logits(config: dict[str, Any], tensors: dict[str, torch.Tensor], tokens: torch.Tensor) -> torch.Tensor:
    """`transformers`' logits: tokens [sequences, length] -> [sequences, length, vocabulary]."""
    hf_config = copy.deepcopy(config)  # transformers writes into what it is given
    hf_config = {k: v for k, v in hf_config.items() if k not in ("num_nextn_predict_layers", "architectures")}
    hf_config["model_type"] = "deepseek_v3" if config["model_type"] == "kimi_k2" else config["model_type"]
    names = ("DeepseekV2Config", "DeepseekV2ForCausalLM")
    if hf_config["model_type"] == "deepseek_v3":
        names = ("DeepseekV3Config", "DeepseekV3ForCausalLM")
        hf_config["num_mtp_layers"] = 0
    # the plain loops: their fast experts accept only some widths
    plain = {"attn_implementation": "eager", "experts_implementation": "eager"}
    peer = transformers()
    hf = getattr(peer, names[1])(getattr(peer, names[0])(**hf_config, **plain)).eval()
    state: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if not name.startswith(f"model.layers.{config['num_hidden_layers']}.") and ".experts." not in name:
            state[name] = tensor
    for i in range(config["first_k_dense_replace"], config["num_hidden_layers"]):
        prefix = f"model.layers.{i}.mlp.experts."
        parts = {
            kind: torch.stack([tensors[f"{prefix}{e}.{kind}_proj.weight"] for e in range(config["n_routed_experts"])])
            for kind in ("gate", "up", "down")
        }
        state[prefix + "gate_up_proj"] = torch.cat((parts["gate"], parts["up"]), dim=1)
        state[prefix + "down_proj"] = parts["down"]
    missing, surplus = hf.load_state_dict(state, strict=False)
    assert not surplus and all("inv_freq" in name for name in missing), (missing, surplus)
    with torch.no_grad():
        return hf(tokens).logits


def whole(model: Transformer, sequences: list[list[int]], cuts: list[list[int]] | None = None) -> list[torch.Tensor]:
    """Every position's logits, all sequences in mixed batches; `cuts[i]` are the chunk lengths of sequence i."""
    cuts = cuts or [[len(s)] for s in sequences]
    pages = [-(-len(s) // 64) for s in sequences]
    table = torch.zeros(len(sequences), max(pages), dtype=torch.int32)
    order = torch.randperm(sum(pages), generator=torch.Generator().manual_seed(1)).tolist()
    for i, count in enumerate(pages):
        table[i, :count] = torch.tensor([order.pop() for _ in range(count)])
    latent = model.new_latent(sum(pages))
    latent.fill_(float(7))  # unwritten rows must never be read
    done, results = [0] * len(sequences), [[] for _ in sequences]
    for step in range(max(len(c) for c in cuts)):
        active = [i for i in range(len(sequences)) if step < len(cuts[i])]
        batch = ForwardBatch(
            tokens=torch.tensor([t for i in active for t in sequences[i][done[i] : done[i] + cuts[i][step]]]),
            positions=torch.tensor([p for i in active for p in range(done[i], done[i] + cuts[i][step])]),
            query_lens=[cuts[i][step] for i in active],
            seq_lens=[done[i] + cuts[i][step] for i in active],
            page_table=table[active],
        )
        rows = model.logits(model.forward(batch, latent)).split(batch.query_lens)
        for i, part in zip(active, rows, strict=True):
            results[i].append(part)
            done[i] += cuts[i][step]
    return [torch.cat(parts) for parts in results]
