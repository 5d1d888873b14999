"""Greedy decoding by the model alone: no engine, no batch, no reuse. What the engine's answers are held against."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from hopwell.cache.prefix import PAGE
from hopwell.engine.grammar import GrammarState
from hopwell.engine.runnable import Model
from hopwell.model.batch import ForwardBatch


@torch.inference_mode()
def greedy_answer(
    model: Model,
    latent: Tensor,
    prompt: Sequence[int],
    max_tokens: int,
    ends: Collection[int] = (),
    grammar: GrammarState | None = None,
) -> list[int]:
    """The most probable token, again and again: the whole prompt in one pass, then a token a pass.

    Args:
        latent: a latent cache of at least (prompt + max_tokens) / 64 pages, for this call alone.
        ends: tokens after which to stop; the last token of the answer may be one.
        grammar: limits the answer, if given.
    """
    pages = torch.arange(-(-(len(prompt) + max_tokens) // PAGE), dtype=torch.int32).unsqueeze(0)
    new, done, answer = list(prompt), 0, []
    while True:
        total = done + len(new)
        batch = ForwardBatch(torch.tensor(new), torch.arange(done, total), [len(new)], [total], pages)
        logits = model.step(batch, latent, torch.tensor([len(new) - 1], device=model.device))[1][0]
        if grammar is not None:
            logits = logits.masked_fill(torch.from_numpy(~grammar.allowed()).to(logits.device), float("-inf"))
        token = int(logits.argmax())
        answer.append(token)
        if len(answer) == max_tokens or token in ends:
            return answer
        if grammar is not None:
            grammar.push(token)
        new, done = [token], total
