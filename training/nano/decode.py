"""Answers to many problems at once, in lockstep, greedy or sampled: what training measures itself by.

`python -m benchmarks.nano` measures the shipped weights through the engine; this measures the weights being trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from hopwell.cli.calculator import calculator
from training.nano.network import ATTENTION_IN, PER_LAYER, Network, Parameters, rms_norm, rope_table
from training.nano.tasks import Problem
from training.nano.tasks.render import EOS, examples
from training.nano.tasks.tools import called_expression


@torch.no_grad()
def complete(
    net: Network,
    p: Parameters,
    bias: Tensor,
    prompts: Sequence[list[int]],
    new_tokens: int,
    eos: int,
    temperature: float = 0.0,
) -> tuple[list[list[int]], Tensor]:
    """Feeds every sequence one token a step, the prompt's while there are any, then its own choice.

    Returns:
        Each prompt's completion, end token included if reached, and how many MTP drafts came true, of how many: [2].
    """
    c, device, dtype = net.c, bias.device, p["embed"].dtype
    count, longest = len(prompts), max(map(len, prompts))
    size = longest + new_tokens
    known = torch.full((count, size + 1), -1, device=device)
    for row, prompt in zip(known, prompts, strict=True):
        row[: len(prompt)] = torch.tensor(prompt, device=device)
    starts = torch.tensor([len(prompt) for prompt in prompts], device=device)
    rope, layers = rope_table(c, size, device), {name: p[name].unbind(0) for name in PER_LAYER}
    shape = (c.num_hidden_layers + 1, count, c.num_attention_heads, size, c.qk_head_dim)
    keys, values = torch.zeros(shape, dtype=dtype, device=device), torch.zeros(shape, dtype=dtype, device=device)
    ended = torch.zeros(count, dtype=torch.bool, device=device)
    hits = torch.zeros((), device=device)
    drafts = torch.zeros((), device=device)
    before = draft = None

    def layer(x: Tensor, i: int, t: int) -> Tensor:
        w = {name: stack[i] for name, stack in layers.items() if name in (*ATTENTION_IN, "o", "post_norm")}
        q, k, v = net.attention_in(x, rope[t : t + 1].expand(count, -1, -1), *(w[n] for n in ATTENTION_IN))
        keys[i, :, :, t], values[i, :, :, t] = k, v
        seen = keys[i, :, :, : t + 1], values[i, :, :, : t + 1]
        heads = F.scaled_dot_product_attention(q.unsqueeze(2), *seen, scale=c.softmax_scale).squeeze(2)
        if i < c.first_k_dense_replace:
            network = (layers[n][i] for n in ("dense_gate", "dense_up", "dense_down"))
            return net.attend_dense(x, heads, w["o"], w["post_norm"], *network)
        j = i - c.first_k_dense_replace
        network = (layers[n][j] for n in ("router", "moe_gate", "moe_up", "moe_down"))
        return net.attend_moe(x, heads, w["o"], w["post_norm"], bias[j], *network)[0]

    for t in range(size):
        tokens = known[:, t]
        if before is not None:  # the MTP layer at position t - 1 sees token t and drafts token t + 1
            norms = p["final_norm"], p["embedding_norm"], p["hidden_norm"]
            x = layer(
                net.mtp_in(before, F.embedding(tokens, p["embed"]), *norms, p["eh_proj"]), c.num_hidden_layers, t - 1
            )
            draft = F.linear(rms_norm(x, p["mtp_norm"], c.rms_norm_eps), p["head"]).argmax(-1)
        x = F.embedding(tokens, p["embed"])
        for i in range(c.num_hidden_layers):
            x = layer(x, i, t)
        before = x
        logits = F.linear(rms_norm(x, p["final_norm"], c.rms_norm_eps), p["head"])
        best = sampled(logits, temperature) if temperature else logits.argmax(-1)
        own = t + 1 >= starts
        if draft is not None:
            judged = own & ~ended & (t >= starts)
            hits, drafts = hits + (judged & (draft == best)).sum(), drafts + judged.sum()
        known[:, t + 1] = torch.where(own, torch.where(ended, eos, best), known[:, t + 1])
        ended = ended | (own & (best == eos))
        if t % 32 == 31 and t >= longest and ended.all():
            break
    rows = known.tolist()
    answers = []
    for row, prompt in zip(rows, prompts, strict=True):
        new = [token for token in row[len(prompt) :] if token >= 0]
        answers.append(new[: new.index(eos) + 1] if eos in new else new)
    return answers, torch.stack((hits, drafts))


def sampled(logits: Tensor, temperature: float, top_p: float = 0.95) -> Tensor:
    """One token a row of logits [rows, vocabulary], from the likeliest that together reach `top_p`."""
    shares, order = (logits.float() / temperature).softmax(-1).sort(descending=True)
    kept = shares.masked_fill(shares.cumsum(-1) - shares >= top_p, 0.0)
    return order.gather(-1, torch.multinomial(kept, 1)).squeeze(-1)


def judge(problem: Problem, texts: Sequence[str]) -> bool:
    """Whether the model's turns answer a problem; with a tool, the call must compute the answer first."""
    if problem.call is None:
        return problem.check(texts[0])
    expression = called_expression(texts[0])
    return expression is not None and calculator(expression) == problem.answer and problem.check(texts[1])


def accuracy(
    net: Network,
    p: Parameters,
    bias: Tensor,
    tokenizer: Tokenizer,
    problems: Sequence[Problem],
    temperature: float = 0.0,
    new_tokens: int = 640,
    at_once: int = 2048,
) -> tuple[dict[str, float], float, list[tuple[Problem, list[str]]]]:
    """Accuracy by task, MTP acceptance, and the problems that went wrong with what the model wrote."""
    prompts, owners = [], []
    for index, problem in enumerate(problems):
        for prompt, _ in examples(problem):
            prompts.append(tokenizer.encode(prompt, add_special_tokens=False).ids)
            owners.append(index)
    eos = tokenizer.token_to_id(EOS)
    assert eos is not None
    answers, drafts = [], torch.zeros(2, device=bias.device)
    for first in range(0, len(prompts), at_once):
        part = prompts[first : first + at_once]
        some, counted = complete(net, p, bias, part, new_tokens, eos, temperature)
        answers, drafts = answers + some, drafts + counted
    texts: dict[int, list[str]] = {}
    for owner, answer in zip(owners, answers, strict=True):
        texts.setdefault(owner, []).append(tokenizer.decode(answer, skip_special_tokens=False))
    results: dict[str, list[bool]] = {}
    wrong = []
    for index, problem in enumerate(problems):
        right = judge(problem, [text.removesuffix(EOS) for text in texts[index]])
        results.setdefault(problem.task, []).append(right)
        if not right:
            wrong.append((problem, texts[index]))
    shares = {task: sum(r) / len(r) for task, r in results.items()}
    return shares, float(drafts[0] / drafts[1].clamp(min=1)), wrong
