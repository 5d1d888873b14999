"""A closed loop of callers on the engine itself, without HTTP, of a model at its real size with random weights.

    python -m benchmarks.generate_load v2-lite --callers 1 8 32 128 256 --prompt 512 --answer 256

For each number of callers: tokens a second, what the first token took and each further one, and how many cores the
process kept busy. Beside it what decode steps and prompts allow together, each at its own rate, measured here too.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from pathlib import Path

import torch

from hopwell.bench.models import bench_config
from hopwell.cli.result import write_result
from hopwell.engine.config import EngineConfig
from hopwell.engine.engine import Engine
from hopwell.engine.graphs import GraphedModel
from hopwell.engine.request import Request, SamplingParams
from hopwell.model.random_weights import random_transformer


class Load:
    """Callers that each ask again as soon as they are answered."""

    def __init__(self, engine: Engine, vocabulary: int, prompt: int, answer: int) -> None:
        self.engine, self.vocabulary, self.prompt, self.answer = engine, vocabulary, prompt, answer
        self.asked, self.rng = 0, random.Random(0)

    def ask(self, prompt: int | None = None, answer: int | None = None) -> Request:
        tokens = [self.rng.randrange(10, self.vocabulary - 10) for _ in range(prompt or self.prompt)]
        params = SamplingParams(max_tokens=answer or self.answer, temperature=0.0, ignore_eos=True)
        self.asked += 1
        request = Request(request_id=str(self.asked), prompt=tokens, params=params)
        self.engine.submit(request)
        return request

    def run(self, callers: int, seconds: float) -> dict[str, float]:
        """One level: steady state, so the first and the last answers of each caller count in full or not at all."""
        begun: dict[str, float] = {}
        first: dict[str, float] = {}
        ttft: list[float] = []
        tpot: list[float] = []
        tokens = 0
        for _ in range(callers):
            begun[self.ask().request_id] = time.perf_counter()
        started, cpu = time.perf_counter(), time.process_time()
        steps = 0
        while (now := time.perf_counter()) - started < seconds:
            steps += 1
            for output in self.engine.step():
                now = time.perf_counter()
                fresh = sum(len(answer.tokens) for answer in output.outputs)
                tokens += fresh
                if fresh and output.request_id not in first:
                    first[output.request_id] = now
                    ttft.append(now - begun[output.request_id])
                if output.finished:
                    tpot.append((now - first[output.request_id]) / (self.answer - 1))
                    begun[self.ask().request_id] = time.perf_counter()
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        for request_id in begun:
            self.engine.abort(request_id)
        while self.engine.has_work():
            self.engine.step()
        ttft.sort()
        return {
            "callers": callers, "tokens_per_s": tokens / wall, "ttft_ms_p50": 1e3 * ttft[len(ttft) // 2],
            "ttft_ms_p99": 1e3 * ttft[int(len(ttft) * 0.99)],
            "tpot_ms_p50": 1e3 * statistics.median(tpot) if tpot else float("nan"),
            "steps": steps, "ms_per_step": 1e3 * wall / steps, "cores": cpu / wall,
        }  # fmt: skip

    def at_once(self, count: int, prompt: int, answer: int) -> float:
        """Seconds from `count` requests to the last token of all."""
        started = time.perf_counter()
        for _ in range(count):
            self.ask(prompt, answer)
        while self.engine.has_work():
            self.engine.step()
        torch.cuda.synchronize()
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8, 32, 128, 256])
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--answer", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--rates", action="store_true", help="also what steps and prompts allow at their own rates")
    parser.add_argument("--profile", type=Path, help="where to leave a profile of the last level, for snakeviz")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    config = bench_config(args.model, args.layers)
    model = random_transformer(config, "cuda")
    pages = (max(args.callers) + 8) * -(-(args.prompt + args.answer) // 64) + 64
    graphed = GraphedModel(model, max_rows=args.batch_tokens)
    started = time.perf_counter()
    settings = EngineConfig(max_seqs=max(args.callers), max_batch_tokens=args.batch_tokens, overlap=True,
                            batch_invariant=False, prefix_cache=False)  # fmt: skip
    engine = Engine(graphed, settings, model_len=config.max_position_embeddings, num_pages=pages,
                    vocab_size=config.vocab_size)  # fmt: skip
    print(f"graphs in {time.perf_counter() - started:.1f} s; fault: {graphed.fault}; "
          f"{torch.cuda.max_memory_reserved() / 1e9:.1f} GB", flush=True)  # fmt: skip
    load = Load(engine, config.vocab_size, args.prompt, args.answer)
    load.run(min(8, max(args.callers)), 2)
    rows = []
    for callers in args.callers:
        row = load.run(callers, args.seconds)
        if args.rates:
            count = max(1, -(-4 * args.batch_tokens // args.prompt))
            prompts = min(load.at_once(count, args.prompt, 1) for _ in range(2)) / count  # seconds a prompt
            short, long = (min(load.at_once(callers, args.prompt, n) for _ in range(2)) for n in (8, 8 + args.answer))
            step = (long - short) / args.answer
            row["prompt_tokens_per_s"], row["step_ms"] = args.prompt / prompts, 1e3 * step
            row["allowed_tokens_per_s"] = callers * args.answer / (args.answer * step + callers * prompts)
        rows.append(row)
        print("  ".join(f"{name} {value:,.1f}" for name, value in row.items()), flush=True)
    if args.profile:
        import cProfile

        with cProfile.Profile() as profile:
            load.run(args.callers[-1], 5)
        profile.dump_stats(args.profile)
    if args.out:
        asked = {name: getattr(args, name) for name in ("model", "layers", "prompt", "answer", "batch_tokens")}
        write_result(args.out, "generate-load", rows, **asked)


if __name__ == "__main__":
    main()
