"""llama.cpp as a peer of nano on a CPU: greedy tokens of several sequences at once, by llama-cpp-python's own library.

    python benchmarks/peer_llama.py nano.gguf

in an environment of its own (pip install llama-cpp-python) carries out tasks, a line of JSON on stdin each, and prints
`done`, or with `"answers": true` the tokens, for each. `benchmarks/beside_llama.py` starts it and asks.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import llama_cpp as lib  # pyright: ignore[reportMissingImports]

CONTEXT = 512
"""Tokens of each sequence."""


class Llama:
    """A model and one context for each number of threads and sequences."""

    def __init__(self, path: str) -> None:
        lib.llama_backend_init()
        self.model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        assert self.model, f"llama.cpp does not load {path}"
        self.vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))
        self.contexts: dict[tuple[int, int], Any] = {}

    def context(self, threads: int, sequences: int) -> Any:
        if (threads, sequences) not in self.contexts:
            params = lib.llama_context_default_params()
            params.n_ctx, params.n_batch, params.n_seq_max = CONTEXT * sequences, CONTEXT * sequences, sequences
            params.n_threads = params.n_threads_batch = threads
            self.contexts[threads, sequences] = lib.llama_init_from_model(self.model, params)
        return self.contexts[threads, sequences]

    def generate(self, threads: int, prompts: list[list[int]], tokens: int) -> list[list[int]]:
        """`tokens` greedy tokens for each prompt."""
        context = self.context(threads, len(prompts))
        lib.llama_memory_clear(lib.llama_get_memory(context), True)
        batch = lib.llama_batch_init(sum(map(len, prompts)), 0, len(prompts))
        answers: list[list[int]] = [[] for _ in prompts]
        rows = [(token, at, i) for i, prompt in enumerate(prompts) for at, token in enumerate(prompt)]
        while True:
            batch.n_tokens, places = len(rows), {}
            for k, (token, at, i) in enumerate(rows):
                batch.token[k], batch.pos[k], batch.n_seq_id[k], batch.seq_id[k][0] = token, at, 1, i
                batch.logits[k] = at == len(prompts[i]) + len(answers[i]) - 1
                if batch.logits[k]:
                    places[i] = k
            assert lib.llama_decode(context, batch) == 0
            for i, k in places.items():
                values = lib.llama_get_logits_ith(context, k)[: self.vocabulary]
                answers[i].append(max(range(self.vocabulary), key=values.__getitem__))
            if len(answers[0]) == tokens:
                lib.llama_batch_free(batch)
                return answers
            rows = [(a[-1], len(prompts[i]) + len(a) - 1, i) for i, a in enumerate(answers)]


def main() -> None:
    """Tasks in, answers out."""
    llama = Llama(sys.argv[1])
    for line in sys.stdin:
        task = json.loads(line)
        answers = llama.generate(task["threads"], task["prompts"], task["tokens"])
        print(json.dumps(answers) if task.get("answers") else "done", flush=True)


if __name__ == "__main__":
    main()
