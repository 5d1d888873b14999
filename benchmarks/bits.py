"""Digests of logits, for a change that must not alter a bit: run it before and after on the same CPU, and compare.

Nano, and a small model of each family with synthetic weights: prompts of two sequences in one step, drafts, a token
more each, and the latent cache that they leave.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import script
from hopwell.checkpoint.reader import Checkpoint
from hopwell.checkpoint.synthetic import SyntheticWeights
from hopwell.cli.tables import print_rows
from hopwell.model import NANO
from hopwell.model.batch import ForwardBatch
from hopwell.model.config import ModelConfig
from hopwell.model.inventory import inventory
from hopwell.model.loading import load_transformer
from hopwell.model.shipped import find_config
from hopwell.model.transformer import Transformer

SMALL = {
    "hidden_size": 256, "intermediate_size": 384, "moe_intermediate_size": 128, "vocab_size": 512,
    "num_hidden_layers": 3, "first_k_dense_replace": 1, "num_attention_heads": 4, "num_key_value_heads": 4,
    "n_routed_experts": 16, "num_experts_per_tok": 4, "max_position_embeddings": 1024,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "deepseek-r1": {"q_lora_rank": 128, "n_group": 4, "topk_group": 2},
    "deepseek-v2-lite": {},
    "kimi-k2": {"q_lora_rank": 128},
}
"""Shipped configs, and what is made smaller of each."""
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
LENGTHS: tuple[int, ...] = (70, 40)
"""Tokens of the sequences: more than a page, and fewer."""


@dataclass(frozen=True)
class BitsRow:
    """What one model computed."""

    model: str
    dtype: str
    digest: str


def logits(model: Transformer) -> Iterator[Tensor]:
    """All that a model makes of fixed tokens."""
    lengths, table = list(LENGTHS), torch.arange(4, dtype=torch.int32).view(2, 2)
    tokens = torch.arange(sum(lengths)) * 7919 % model.config.vocab_size
    positions = torch.cat([torch.arange(length) for length in lengths])
    latent = model.new_latent(table.numel())
    batch = ForwardBatch(tokens, positions, lengths, lengths, table)
    hidden = model.forward(batch, latent)
    yield model.logits(hidden)
    if model.has_mtp:
        yield model.logits(model.draft(hidden, batch, latent))
    more = ForwardBatch(tokens[:2], torch.tensor(lengths), [1, 1], [length + 1 for length in lengths], table)
    yield model.logits(model.forward(more, latent))
    yield latent


def bits(dtypes: tuple[torch.dtype, ...] = DTYPES) -> Iterator[BitsRow]:
    """A row for each model and dtype."""
    for name in ("nano", *FAMILIES):
        values = find_config(name)
        if name != "nano":
            values |= SMALL | FAMILIES[name]
        for dtype in dtypes:
            weights = SyntheticWeights(values, inventory(ModelConfig.from_dict(values)), seed=7)
            model = load_transformer(Checkpoint.open(NANO) if name == "nano" else weights, "cpu", dtype)
            found = hashlib.sha256()
            for tensor in logits(model):
                found.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
            yield BitsRow(name, str(dtype).removeprefix("torch."), found.hexdigest()[:16])


def main() -> None:
    """Digests of logits of nano and of a small model of each family, on one thread of this CPU."""
    torch.set_num_threads(1)
    print_rows([vars(row) for row in bits()])


if __name__ == "__main__":
    script(main)
