"""Log-probabilities of tokens that were drawn, and of a prompt's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hopwell.engine.batch import Batch, Ints
from hopwell.engine.request import TokenLogprobs
from hopwell.engine.runnable import Model

PROMPT_ROWS = 256
"""Rows of prompt logits that are in memory at once."""


def token_logprobs(logits: Tensor, tokens: Ints, alternatives: int) -> list[TokenLogprobs]:
    """Log-probabilities of the tokens taken and of the best alternatives.

    Args:
        logits: float32 [rows, vocabulary], as the model gave them.
        tokens: the token taken in each row.
        alternatives: how many of the best to report.
    """
    logprobs = logits.log_softmax(dim=-1)
    taken = logprobs.gather(1, torch.from_numpy(tokens).to(logits.device).unsqueeze(1))
    ranks = (logprobs > taken).sum(dim=-1).add_(1).tolist()
    best = logprobs.topk(min(alternatives, logits.shape[1]), dim=-1)
    return [
        TokenLogprobs(token, logprob, rank, list(zip(ids, values, strict=True)))
        for token, logprob, rank, ids, values in zip(
            tokens.tolist(), taken.squeeze(1).tolist(), ranks, best.indices.tolist(), best.values.tolist(), strict=True
        )
    ]


def prompt_logprobs(model: Model, batch: Batch, hidden: Tensor, ends: Ints) -> dict[int, list[TokenLogprobs]]:
    """Those of prompt tokens, for the chunks of requests that want them, by row of the batch.

    Args:
        hidden: [rows, hidden size] of the step.
        ends: the last row of each chunk.
    """
    found: dict[int, list[TokenLogprobs]] = {}
    for i, chunk in enumerate(batch.chunks):
        if chunk.prompt_logprobs is None:
            continue
        targets = np.array([*chunk.tokens[1:], *([] if chunk.following is None else [chunk.following])], np.int64)
        start = int(ends[i]) + 1 - len(chunk.tokens)
        entries = found[len(batch.decode) + i] = []
        for at in range(0, len(targets), PROMPT_ROWS):
            part = targets[at : at + PROMPT_ROWS]
            logits = model.logits(hidden[start + at : start + at + len(part)])
            entries += token_logprobs(logits, part, chunk.prompt_logprobs)
    return found
