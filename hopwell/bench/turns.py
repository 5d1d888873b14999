"""What the prefix cache gives a conversation: the time to the second turn's first token beside the first turn's."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from hopwell.engine.core import SamplingParams
from hopwell.engine.llm import LLM, Message

ANSWER_TOKENS = 16


def bench_turns(llm: LLM, history: int, conversations: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    """Two turns of several conversations, one after the other, each of words of its own.

    Args:
        history: tokens that the first turn's prompt has at least.

    Returns:
        A row a turn: prompt and cached tokens of the last conversation, and the median seconds to the first token.
    """
    rng = random.Random(seed)
    found: list[list[tuple[int, int, float]]] = [[], []]
    params = SamplingParams(temperature=0.0, max_tokens=ANSWER_TOKENS, ignore_eos=True)
    for number in range(conversations + 1):
        messages = _history(llm, rng, history)
        for turn in found:
            prompt, cached, seconds, text = _ask(llm, messages, params)
            if number:  # the first conversation warms up
                turn.append((prompt, cached, seconds))
            messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "And 3 more than that?"}]
    return [_row(i, turn) for i, turn in enumerate(found, start=1)]


def _row(number: int, turn: list[tuple[int, int, float]]) -> dict[str, Any]:
    prompt, cached, _ = turn[-1]
    seconds = median(seconds for _, _, seconds in turn)
    return {"turn": number, "prompt_tokens": prompt, "cached_tokens": cached, "ttft_ms": round(seconds * 1e3, 2)}


def _history(llm: LLM, rng: random.Random, tokens: int) -> list[Message]:
    """A conversation so far, its last message the user's."""
    messages: list[Message] = []
    while not messages or len(llm.render(messages)) < tokens:
        a, b = rng.randrange(1000, 10_000), rng.randrange(1000, 10_000)
        if messages:
            messages.append({"role": "assistant", "content": f"{messages[-1]['content']} is known."})
        messages.append({"role": "user", "content": f"What is {a} * {b}, if {b} - {a} = {b - a}?"})
    return messages


def _ask(llm: LLM, messages: list[Message], params: SamplingParams) -> tuple[int, int, float, str]:
    """Prompt tokens, cached ones, seconds to the first token, and the answer's text."""
    prompt = llm.render(messages)
    started, first, cached, text = time.perf_counter(), 0.0, 0, ""
    for output in llm.stream(prompt, params):
        first = first or time.perf_counter() - started
        cached = output.cached_tokens
        text += output.outputs[0].text
    return len(prompt), cached, first, text.partition("</think>")[2]


def bench_scaling(
    llm: LLM, batches: tuple[int, ...] = (1, 16), tokens: int = 128, repeats: int = 3
) -> list[dict[str, Any]]:
    """Tokens a second of the whole engine beside those of the bare forward pass, at several batch sizes.

    The forward pass of the same rows, positions and cache is the limit: what the engine adds to it is its own cost.
    """
    rows: list[dict[str, Any]] = []
    params = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)
    for batch in batches:
        prompts = [llm.tokenizer.encode(f"What is {1000 + i} * {2000 - i}?") for i in range(batch)]
        engine = _best(repeats, lambda prompts=prompts: llm.generate(prompts, params))
        bare = _best(repeats, _forward_steps(llm, prompts, tokens))
        rows.append(
            {
                "batch": batch,
                "engine_tokens_per_s": round(batch * tokens / engine, 1),
                "forward_tokens_per_s": round(batch * tokens / bare, 1),
                "engine_share_percent": round(100 * bare / engine, 1),
            }
        )
    for row in rows:
        for name in ("engine", "forward"):
            row[f"{name}_speedup"] = round(row[f"{name}_tokens_per_s"] / rows[0][f"{name}_tokens_per_s"], 2)
    return rows


def _best(repeats: int, run: Callable[[], object]) -> float:
    """The shortest of several runs in seconds, after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def _forward_steps(llm: LLM, prompts: list[list[int]], tokens: int) -> Callable[[], None]:
    """The model alone: one prefill of all prompts, then a step a token, logits and argmax included."""
    import torch

    from hopwell.model.batch import ForwardBatch
    from hopwell.ops.attention import PAGE

    model = llm.loaded.model
    length = max(map(len, prompts)) + tokens
    pages = -(-length // PAGE)
    latent = model.new_latent(pages * len(prompts))
    table = torch.arange(pages * len(prompts), dtype=torch.int32).view(len(prompts), pages)

    @torch.inference_mode()
    def run() -> None:
        lens = [len(prompt) for prompt in prompts]
        new, query = torch.tensor([token for prompt in prompts for token in prompt]), lens
        positions = torch.cat([torch.arange(n) for n in lens])
        for _ in range(tokens):
            hidden = model.forward(ForwardBatch(new, positions, query, lens, table), latent)
            ends = torch.tensor(query).cumsum(0) - 1
            new = model.logits(hidden[ends]).argmax(-1)
            positions, query = torch.tensor(lens), [1] * len(prompts)
            lens = [n + 1 for n in lens]

    return run
