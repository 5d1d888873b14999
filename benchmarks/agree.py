"""Whether vLLM loads what `hopwell quantize` and `hopwell synth` write, and gives the next token the same probability.

    python -m benchmarks.agree /tmp/v2-int4 /tmp/v2-nvfp4 --peer-site SITE

Both answer the same random prompts with one token; a folder is a row.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import script
from hopwell.bench.against import run_side
from hopwell.bench.peer_vllm import BY_GPUS, SETTINGS
from hopwell.checkpoint.reader import Checkpoint
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.engine.llm import LLM
from hopwell.engine.request import SamplingParams

TOP = 20
Tops = list[dict[int, float]]
"""After each prompt, the most probable next tokens and their log-probabilities."""


def ours(checkpoint: Path, prompts: list[list[int]]) -> Tops:
    """Hopwell's, with rows in bf16, as vLLM multiplies weights of four bits."""
    params = SamplingParams(temperature=0.0, max_tokens=1, ignore_eos=True, logprobs=TOP)
    with closing(LLM(checkpoint, max_seqs=len(prompts), activations="bf16")) as llm:
        answers = [done.answers[0].logprobs for done in llm.generate(prompts, params)]
    return [dict(each[0].top) for each in answers if each]


def theirs(checkpoint: Path, prompts: list[list[int]], site: Path) -> Tops:
    """vLLM's; errors as `run_side` has them."""
    environment = {**SETTINGS, **BY_GPUS[False], "PYTHONPATH": str(site)}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(prompts, file)
        file.flush()
        command = [sys.executable, str(Path(__file__).with_name("peer_vllm.py")), str(checkpoint), file.name, str(TOP)]
        return [dict(map(tuple, each)) for each in run_side(command, environment)["tops"]]


def agreement(a: Tops, b: Tops) -> dict[str, float]:
    """How alike two sides are: the share of prompts with the same first token, the share of tokens that both name, and
    the mean distance of their log-probabilities, beside how far the first side's own lie apart."""
    both = [(x[token], y[token]) for x, y in zip(a, b, strict=True) for token in x.keys() & y.keys()]
    first = sum(max(x, key=x.__getitem__) == max(y, key=y.__getitem__) for x, y in zip(a, b, strict=True))
    return {
        "same_first": first / len(a),
        "named_by_both": len(both) / sum(map(len, a)),
        "mean_distance": sum(abs(x - y) for x, y in both) / max(1, len(both)),
        "own_spread": sum(max(x.values()) - min(x.values()) for x in a) / len(a),
    }


def main(
    checkpoints: Annotated[list[Path], typer.Argument(help="Folders that both load.")],
    peer_site: Annotated[Path, typer.Option(help="Folder that vLLM is installed in.")],
    prompts: Annotated[int, typer.Option(min=1, help="Of random tokens.")] = 16,
    tokens: Annotated[int, typer.Option(min=1, max=1000, help="Of a prompt.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the prompts.")] = 0,
    out: Out = None,
) -> None:
    """How far vLLM's probabilities of the next token are from ours, on each of some checkpoints."""
    rows = []
    for checkpoint in checkpoints:
        print(checkpoint, file=sys.stderr)
        draw, config = random.Random(seed), Checkpoint.open(checkpoint).config
        asked = [[draw.randrange(3, config["vocab_size"]) for _ in range(tokens)] for _ in range(prompts)]
        found = agreement(theirs(checkpoint, asked, peer_site), ours(checkpoint, asked))
        rows.append({"checkpoint": checkpoint.name, **found})
    print_rows(rows)
    if out is not None:
        write_result(out, "agree", rows, prompts=prompts, tokens=tokens, top=TOP, seed=seed)


if __name__ == "__main__":
    script(main)
