"""Batches: worker processes make problems, tokenise them and fill blocks of sequences of one padded length."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

import numpy as np
from tokenizers import Tokenizer

from training.nano.tasks import Draws, training_problem
from training.nano.tasks.render import examples

BLOCK_TOKENS = 15360
LENGTHS = (64, 80, 96, 120, 128, 160, 192, 240, 256, 320, 384, 480, 512, 640, 768)
"""Padded lengths, all of which divide a block."""


@dataclass
class TokenBlock:
    """`tokens` uint16 [sequences, length]; the completion of row i is tokens[i, start[i]:end[i]]."""

    tokens: np.ndarray
    start: np.ndarray
    end: np.ndarray


def sequences(tokenizer: Tokenizer, rng: Draws) -> Iterator[tuple[list[int], int]]:
    """Token ids of one training example after another, and where its completion starts."""
    while True:
        pairs = [pair for _ in range(256) for pair in examples(training_problem(rng))]
        prompts = tokenizer.encode_batch_fast([p for p, _ in pairs], add_special_tokens=False)
        completions = tokenizer.encode_batch_fast([c for _, c in pairs], add_special_tokens=False)
        for prompt, completion in zip(prompts, completions, strict=True):
            yield prompt.ids + completion.ids, len(prompt.ids)


def blocks(tokenizer: Tokenizer, rng: Draws, block_tokens: int = BLOCK_TOKENS) -> Iterator[TokenBlock]:
    """Full blocks; the rare example longer than the longest length is left out."""
    waiting: dict[int, list[tuple[list[int], int]]] = {length: [] for length in LENGTHS}
    for ids, start in sequences(tokenizer, rng):
        length = next((length for length in LENGTHS if len(ids) <= length), None)
        if length is None:
            continue
        rows = waiting[length]
        rows.append((ids, start))
        if len(rows) * length < block_tokens:
            continue
        tokens = np.full((len(rows), length), 2, dtype=np.uint16)
        for row, (row_ids, _) in zip(tokens, rows, strict=True):
            row[: len(row_ids)] = row_ids
        starts, ends = np.array([s for _, s in rows]), np.array([len(i) for i, _ in rows])
        waiting[length] = []
        yield TokenBlock(tokens, starts.astype(np.int64), ends.astype(np.int64))


def _work(path: str, seed: str, block_tokens: int, queue: mp.Queue) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a process is a worker already
    for block in blocks(Tokenizer.from_file(path), Draws(seed), block_tokens):
        queue.put(block)


class Loader:
    """Blocks from worker processes, mixed: at each draw one of a pool, so that a step sees many tasks and lengths.

    Hazard: processes are forked, so a loader must be made before the GPU is touched.
    """

    def __init__(
        self, tokenizer: Path, seed: int, workers: int, block_tokens: int = BLOCK_TOKENS, pool: int = 256
    ) -> None:
        context = mp.get_context("fork")
        self.queue: mp.Queue = context.Queue(maxsize=512)
        self.rng, self.pool_size, self.pool = random.Random(seed), pool, []
        self.processes = [
            context.Process(target=_work, args=(str(tokenizer), f"{seed}/{i}", block_tokens, self.queue), daemon=True)
            for i in range(workers)
        ]
        for process in self.processes:
            process.start()

    def draw(self, count: int) -> list[TokenBlock]:
        """The next `count` blocks."""
        while len(self.pool) < self.pool_size:
            try:
                self.pool.append(self.queue.get(timeout=60))
            except Empty as error:
                raise RuntimeError("the workers make no more problems; see their output") from error
        drawn = [self.pool.pop(self.rng.randrange(len(self.pool))) for _ in range(count)]
        return drawn

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
