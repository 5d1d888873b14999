"""A model without weights whose next token depends on every token before it, read back through the page table.

A page shared wrongly, reused too early or written twice changes all tokens after it, and costs nothing to detect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from tiny_tokenizer import byte_tokenizer
from torch import Tensor

from hopwell.engine.config import EngineConfig
from hopwell.engine.engine import Engine
from hopwell.engine.llm import Answer, Completion
from hopwell.engine.reading import Reader
from hopwell.engine.request import Request, SamplingParams
from hopwell.engine.runnable import Model
from hopwell.engine.tokenizer import Tokenizer
from hopwell.model.batch import ForwardBatch

TOKENIZER = Tokenizer(byte_tokenizer(), {})

PAGE = np.arange(64)
POISON = 7
"""A prompt with this token in it writes NaN to the cache and gives NaN logits. It is never generated."""


def mix(x: np.ndarray) -> np.ndarray:
    """`hopwell.ops.random.mix`; NumPy does little arrays at a fraction of PyTorch's price.

    Returns:
        Unsigned integers.
    """
    x = x.view(np.uint64)
    x = (x ^ (x >> 30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> 27)) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> 31)


WEIGHTS = mix(np.arange(1 << 16) + 1).view(np.int64)
"""What a token weighs in the hash, by its position."""


class ToyModel:
    """Latents hold tokens, hidden states a hash of the context. The MTP layer is right about `skill` of the time."""

    has_mtp = True
    device = torch.device("cpu")

    def __init__(self, vocab: int = 64, skill: float = 0.7, sharpness: float = 3.0) -> None:
        self.vocab, self.skill, self.sharpness = vocab, skill, sharpness
        self.steps = 0
        self.positioned = 0
        """Steps with positions that the engine did not know."""

    def takes_positions(self, rows: int) -> bool:
        return True

    def new_latent(self, num_pages: int) -> Tensor:
        return torch.zeros(2, num_pages, 64, 1, dtype=torch.float32)

    def clear(self, latent: Tensor, pages: list[int]) -> None:
        latent[:, pages] = 0

    def forward(self, batch: ForwardBatch, latent: Tensor) -> Tensor:
        self.steps += 1
        if batch.positions.tolist() != [i for new, n in zip(*lens(batch), strict=True) for i in range(n - new, n)]:
            self.positioned += 1
            batch = row_by_row(batch)
        hidden, start = [], 0
        flat, table = latent[0].view(-1).numpy(), batch.page_table.numpy()
        for row, (new, total) in enumerate(zip(batch.query_lens, batch.seq_lens, strict=True)):
            slots = (table[row, : -(-total // 64), None] * 64 + PAGE).ravel()
            tokens = batch.tokens[start : start + new].numpy()
            written = slots[batch.positions[start : start + new].numpy()]
            flat[written] = np.where(tokens == POISON, np.nan, tokens)
            context = flat[slots]
            if np.isnan(context).any():  # as attention: a masked NaN is still multiplied by zero
                flat[written] = np.nan
                hidden.append(np.full(new, -1))
            else:
                hidden.append(hash_prefixes(context[:total].astype(np.int64))[total - new :])
            start += new
        return torch.from_numpy(np.concatenate(hidden)).unsqueeze(1)

    def step(self, batch: ForwardBatch, latent: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        hidden = self.forward(batch, latent)
        return hidden, self.logits(hidden if rows is None else hidden[rows])

    def logits(self, hidden: Tensor) -> Tensor:
        noise = mix(hidden.numpy() * 31 + np.arange(self.vocab))
        scores = ((noise >> 40) & 0xFFFF).astype(np.float32) / np.float32(65536) * np.float32(self.sharpness)
        scores[:, POISON] = -np.inf
        scores[hidden[:, 0].numpy() == -1] = np.nan
        return torch.from_numpy(scores)

    def draft(self, hidden: Tensor, batch: ForwardBatch, latent: Tensor) -> Tensor:
        right = hidden[:, 0].numpy() + (batch.tokens.numpy() + 1) * WEIGHTS[batch.positions.numpy() + 1]
        guess = ((mix(right) >> 40) & 0xFFFF) / 65536
        return torch.from_numpy(np.where(guess < self.skill, right, right + 1)).unsqueeze(1)


def lens(batch: ForwardBatch) -> tuple[list[int], list[int]]:
    return batch.query_lens, batch.seq_lens


def row_by_row(batch: ForwardBatch) -> ForwardBatch:
    """The same, one row a sequence and as long as its position says, which may be less than was planned."""
    totals = (batch.positions + 1).tolist()
    most = [total for new, total in zip(*lens(batch), strict=True) for _ in range(new)]
    assert all(1 <= total <= planned for total, planned in zip(totals, most, strict=True)), "beyond its pages"
    table = batch.page_table.repeat_interleave(torch.tensor(batch.query_lens), dim=0)
    return ForwardBatch(batch.tokens, batch.positions, [1] * len(totals), totals, table)


def hash_prefixes(tokens: np.ndarray) -> np.ndarray:
    """The hash after each token."""
    return ((tokens + 1) * WEIGHTS[: len(tokens)]).cumsum()


def toy_answer(model: ToyModel, prompt: Sequence[int], count: int, eos: int | None = None) -> list[int]:
    """The model alone, from its definition: no cache, no pages, no engine."""
    hidden, found = hash_prefixes(np.array(prompt))[-1:], list[int]()
    for position in range(len(prompt), len(prompt) + count):
        found.append(int(model.logits(torch.from_numpy(hidden).unsqueeze(1)).argmax()))
        if found[-1] == eos:
            break
        hidden = hidden + (found[-1] + 1) * WEIGHTS[position : position + 1]
    return found


def toy_engine(
    model: Model | None = None,
    pages: int = 60,
    model_len: int = 1000,
    vocab: int | None = None,
    pools: int = 1,
    **settings: Any,
) -> Engine:
    """An engine over a toy model, or over another with so many tokens, small enough for pages to run short. The byte
    tokenizer gives it text.

    With overlap="ahead" steps are launched as on a GPU: the tokens of the one before are not read first.
    """
    ahead = settings.get("overlap") == "ahead"
    config = EngineConfig(**{"max_seqs": 16, "max_batch_tokens": 256} | settings | ({"overlap": True} if ahead else {}))
    model = model or ToyModel()
    if vocab is None:
        assert isinstance(model, ToyModel)
        vocab = model.vocab
    engine = Engine(
        model,
        config,
        model_len=model_len,
        num_pages=pages,
        pools=pools,
        vocab_size=vocab,
        eos_token_ids=(1,),
        tokenizer=TOKENIZER,
    )
    if ahead and engine.runner._thread is not None:
        engine.runner._thread.shutdown()
        engine.runner._thread, engine.runner._runs_ahead = None, True
    return engine


def run(engine: Engine, requests: Iterable[Request]) -> dict[str, Completion]:
    """Submits requests at once, steps until all have ended, audits the pages; returns what came back, by id."""
    done, readers = {}, {}
    for request in requests:
        engine.submit(request)
        readers[request.request_id] = Reader(request, TOKENIZER)
        done[request.request_id] = Completion(len(request.prompt), 0, [Answer() for _ in range(request.params.n)])
    while engine.has_work():
        for output in engine.step():
            for index in readers[output.request_id].read(output):
                engine.end(output.request_id, index)
            done[output.request_id].add(output)
    engine.check()
    for pool in engine.pools:
        pool.check()  # nothing is in use
    assert (engine.scheduler.waiting, engine.scheduler.running) == (0, 0)
    return done


def ask(prompt: Sequence[int], request_id: str = "r", **params: Any) -> Request:
    """A greedy request, unless told otherwise."""
    return Request(request_id=request_id, prompt=prompt, params=SamplingParams(**{"temperature": 0.0} | params))
