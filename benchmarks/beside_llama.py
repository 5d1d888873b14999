"""Nano by Hopwell and by llama.cpp on a CPU in one run, taking turns; greedy, tokens a second with prefill.

    python -m benchmarks.nano_to_gguf nano.gguf --before-mla
    python -m benchmarks.beside_llama LLAMA_PYTHON nano.gguf [--out FOLDER]

LLAMA_PYTHON is the interpreter of an environment with llama-cpp-python, whose process `peer_llama.py` is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.speed import best_in_turns, questions
from hopwell.cli.result import write_result
from hopwell.engine.describe import precision
from hopwell.engine.llm import LLM
from hopwell.engine.loading import load_model
from hopwell.engine.request import SamplingParams
from hopwell.ops.process import VARIABLES


def main() -> None:
    """Starts the peer, measures, prints a row a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--threads", type=int, action="append", help="llama.cpp's; default: 1, as Hopwell has for nano")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--dtype", default="auto", help="Hopwell's")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if VARIABLES.get(name) != value}
    environment["PYTHONSAFEPATH"] = "1"  # the scripts beside it have names that libraries may have too
    command = [given.python, str(Path(__file__).with_name("peer_llama.py")), str(given.gguf)]
    peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            text=True, env=environment)  # fmt: skip

    def ask(threads: int, prompts: list[list[int]], answers: bool = False) -> str:
        assert peer.stdin is not None and peer.stdout is not None
        task = {"threads": threads, "prompts": prompts, "tokens": given.tokens, "answers": answers}
        print(json.dumps(task), file=peer.stdin, flush=True)
        answer = peer.stdout.readline()
        assert answer, "llama.cpp's process has ended; start peer_llama.py by hand to see why"
        return answer

    loaded = load_model(None, device="cpu", dtype=given.dtype)
    batches, params = given.batch or [1, 8], SamplingParams(temperature=0.0, max_tokens=given.tokens, ignore_eos=True)
    engines = {drafts: LLM(loaded, config=loaded.config(max_seqs=max(batches), drafts=drafts, prefix_cache=False,
                                                        max_model_len=512)) for drafts in (0, 1)}  # fmt: skip
    runs: dict[tuple[str, int], Callable[[], object]] = {}
    same: dict[int, int] = {}
    for batch in batches:
        prompts = questions(batch, loaded.tokenizer)
        theirs = json.loads(ask(1, prompts, answers=True))
        ours = [completion.answers[0].tokens for completion in engines[0].generate(prompts, params)]
        same[batch] = sum(a == b for a, b in zip(theirs, ours, strict=True))
        for drafts, llm in engines.items():
            runs[f"hopwell, {precision(loaded.model)}, 1 thread, {drafts} drafts", batch] = partial(
                llm.generate, prompts, params
            )
        for threads in given.threads or [1]:
            runs[f"llama.cpp, {given.gguf.name}, {threads} threads", batch] = partial(ask, threads, prompts)
    rows = [
        {"system": system, "batch": batch, "tokens_per_s": round(batch * given.tokens / seconds, 1),
         "same_answers": f"{same[batch]} of {batch}"}
        for (system, batch), seconds in best_in_turns(runs, repeats=3).items()
    ]  # fmt: skip
    for row in rows:
        print(json.dumps(row))
    peer.communicate()
    for llm in engines.values():
        llm.close()
    if given.out is not None:
        write_result(given.out, "llama", rows, tokens=given.tokens)


if __name__ == "__main__":
    main()
