"""One server measured by `hopwell bench serve` and by GuideLLM in turns: whether our own client tells the truth.

    pip install 'hopwell[clients]'
    python -m benchmarks.beside_guidellm --out DIR
    python -m benchmarks.beside_guidellm http://127.0.0.1:8000 --tokenizer FOLDER --concurrency 1 --concurrency 32

Both ask for completions of about as many tokens, closed loop. Without a URL nano is served. Compared is what both
define alike: output tokens a second, and medians of the time to the first token, of each further one (GuideLLM's
inter-token latency is our TPOT) and of the whole.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from benchmarks import script
from benchmarks.serving import served
from hopwell.bench.serve import Load, bench_serve, listed_model
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.model import NANO

FIGURES = {
    "ttft_p50_ms": "time_to_first_token_ms",
    "tpot_p50_ms": "inter_token_latency_ms",
    "e2e_p50_ms": "request_latency",
    "output_tokens_per_s": "output_tokens_per_second",
}
"""Ours, and GuideLLM's."""
WITHIN = 0.03
SPREAD = 0.2
"""Of lengths, up and down: callers whose answers are all as long go in step, and see what comes of how they began."""


def by_guidellm(
    url: str, model: str, tokenizer: Path, callers: int, requests: int, prompt: int, answer: int
) -> dict[str, float]:
    """GuideLLM's figures under our names.

    Raises:
        SystemExit: it failed; with what it said.
    """
    deviation = SPREAD / 3**0.5  # of what is drawn evenly from within the spread
    lengths = f"prompt_tokens={prompt},prompt_tokens_stdev={round(deviation * prompt)},"
    lengths += f"output_tokens={answer},output_tokens_stdev={round(deviation * answer)}"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            *(sys.executable, "-m", "guidellm", "run"),
            *("--backend", f"kind=openai_http,target={url},model={model},request_format=/v1/completions"),
            *("--profile", f"kind=concurrent,streams={callers}"),
            *("--constraint", f"kind=max_requests,count={requests}"),
            *("--tokenizer", f"kind=huggingface_auto,model={tokenizer}"),
            *("--data", f"kind=synthetic_text,{lengths}"),
            *("--seed", f"kind=static,value={random.getrandbits(31)}"),  # the prefix cache has seen the last
            *("--output", f"kind=json,path={report}", "--disable-console"),
        ]
        offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": f"{folder}/hf"}
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **offline})
        if done.returncode:
            raise SystemExit(f"GuideLLM failed: {done.stderr[-2000:]}")
        metrics = json.loads(report.read_text(encoding="utf-8"))["benchmarks"][0]["metrics"]
    found = {ours: float(metrics[theirs]["successful"]["median"]) for ours, theirs in FIGURES.items()}
    found["e2e_p50_ms"] *= 1e3
    found["output_tokens_per_s"] = float(metrics["output_tokens_per_second"]["successful"]["mean"])
    return {
        **found,
        "requests": metrics["request_totals"]["successful"],
        "failed": metrics["request_totals"]["errored"],
    }


@contextmanager
def address(url: str | None) -> Iterator[str]:
    """The server to measure: the one given, or nano."""
    if url is not None:
        yield url
        return
    with served() as (_, own):
        yield own


def main(
    url: Annotated[str | None, typer.Argument(help="Of any OpenAI-compatible server; default: nano is served.")] = None,
    tokenizer: Annotated[Path, typer.Option(help="Folder of the model's tokenizer.")] = NANO,
    concurrency: Annotated[list[int] | None, typer.Option(help="Callers at once; repeatable.", min=1)] = None,
    requests: Annotated[int, typer.Option(help="Of each level and turn.", min=1)] = 64,
    prompt: Annotated[int, typer.Option(help="Tokens.", min=2)] = 128,
    answer: Annotated[int, typer.Option(help="Tokens.", min=2)] = 64,
    turns: Annotated[int, typer.Option(min=1)] = 3,
    out: Out = None,
) -> None:
    """Both clients in turns; exits 1 where their medians differ by more than three percent."""
    rows, ratios = list[dict[str, Any]](), list[dict[str, Any]]()
    with address(url) as at:
        card = listed_model(at, None)
        for callers in concurrency or [1, 4]:
            ours, theirs = list[dict[str, Any]](), list[dict[str, Any]]()
            for _ in range(turns):
                load = Load(input_words=prompt, vocabulary=1000, output_tokens=answer, spread=SPREAD)
                ours += bench_serve(at, load, concurrency=[callers], requests=requests)
                theirs.append(by_guidellm(at, card["id"], tokenizer, callers, requests, prompt, answer))
            for client, found in (("hopwell", ours), ("guidellm", theirs)):
                figures = {name: round(median(row[name] for row in found), 3) for name in FIGURES}
                total = {name: sum(row[name] for row in found) for name in ("requests", "failed")}
                rows.append({"concurrency": callers, "client": client, **total, **figures})
            of_both = {name: round(rows[-2][name] / rows[-1][name], 3) for name in FIGURES}
            ratios.append({"concurrency": callers, "client": "hopwell / guidellm", **of_both})
    print_rows(rows)
    print_rows(ratios)
    if out is not None:
        settings = {"prompt_tokens": prompt, "answer_tokens": answer, "turns": turns}
        write_result(out, "beside-guidellm", [*rows, *ratios], **settings)
    if any(abs(row[name] - 1) > WITHIN for row in ratios for name in FIGURES):
        raise typer.Exit(1)


if __name__ == "__main__":
    script(main)
