"""A model over several GPUs beside the same on one: logits of prompts, of decode steps and of drafts.

    python -m benchmarks.ranks FOLDER --no-graphs --save /tmp/other.pt
    python -m benchmarks.ranks FOLDER --save /tmp/one.pt
    python -m benchmarks.ranks FOLDER --tp 2 --against /tmp/one.pt --floor /tmp/other.pt

Sums of shares are rounded otherwise than whole ones, and in random weights that often decides which experts are chosen.
How far it reaches says the floor: one GPU's logits by other kernels, whose roundings differ as little. From them the
shares' may not differ by much more than from each other. Repeated, a run must give the same bits.

    python -m benchmarks.ranks nano --tp 2 --ahead

holds an engine whose steps are given to the ranks before the last ones' tokens are known to one that waits for them:
answers of several lengths, greedy and drawn, with no drafts, one and three, token by token. Both batch-invariant: else
their steps have other rows, roundings with them, and of random weights now and then another token.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from benchmarks import script
from hopwell.engine.llm import LLM
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.request import SamplingParams
from hopwell.engine.runnable import Model, close_model
from hopwell.errors import HopwellError
from hopwell.model.batch import ForwardBatch
from hopwell.ops.sizes import PAGE

PROMPTS, TOKENS, STEPS = 4, 700, 24
TOLERANCE = 1.5
"""By which the median row's error may exceed the floor's."""


def run(model: Model, vocabulary: int, has_mtp: bool) -> list[Tensor]:
    """Logits of prompts in one step, of steps with the same tokens whatever was drawn, and of one draft after each."""
    generator = torch.Generator().manual_seed(3)
    columns = -(-(TOKENS + STEPS) // PAGE)
    latent = model.new_latent(PROMPTS * columns)
    pages = torch.arange(PROMPTS * columns, dtype=torch.int32).view(PROMPTS, columns)
    drawn = torch.randint(vocabulary, (PROMPTS, TOKENS + STEPS + 1), generator=generator)
    found: list[Tensor] = []
    for begin, end in ((0, TOKENS), *((TOKENS + i, TOKENS + i + 1) for i in range(STEPS))):
        length = end - begin
        rows = slice(0, PROMPTS if begin % 2 == 0 else 1)  # batches of two sizes, in turn
        tokens, count = drawn[rows], len(drawn[rows])
        positions = torch.arange(begin, end).repeat(count)
        lens = [length] * count, [end] * count
        batch = ForwardBatch(tokens[:, begin:end].flatten(), positions, *lens, pages[rows])
        last = torch.arange(1, count + 1, device=model.device) * length - 1
        hidden, logits = model.step(batch, latent, last)
        found.append(logits.cpu())
        if has_mtp:
            following = ForwardBatch(tokens[:, begin + 1 : end + 1].flatten(), positions, *lens, pages[rows])
            found.append(model.logits(model.draft(hidden, following, latent)[last]).cpu())
    return found


ANSWERS, ANSWER = 16, 96
"""With `--ahead`: how many, and the tokens of the longest."""


def answers(loaded: LoadedModel, settings: dict[str, Any], drafts: int, overlap: bool) -> list[list[int]]:
    """Half of them greedy, prompts and lengths all different."""
    generator = torch.Generator().manual_seed(5)
    vocabulary = loaded.model.config.vocab_size
    llm = LLM(loaded, **settings, drafts=drafts, overlap=overlap, batch_invariant=True)
    prompts = [torch.randint(vocabulary, (7 + 9 * i,), generator=generator).tolist() for i in range(ANSWERS)]
    params = [
        SamplingParams(temperature=float(i % 2), seed=i, max_tokens=ANSWER - 3 * i, ignore_eos=True)
        for i in range(ANSWERS)
    ]
    found = [completion.answers[0].tokens for completion in llm.generate(prompts, params)]
    llm.close()
    return found


def compare_ahead(folder: str, device: str, settings: dict[str, Any], tp: int, dp_attention: bool) -> None:
    """Steps given ahead, and steps that wait.

    Raises:
        HopwellError: a token differs.
    """
    loaded = load_model(folder, device, "auto", settings=settings, tp=tp, dp_attention=dp_attention)
    try:
        for drafts in (0, 1, 3) if loaded.model.has_mtp else (0,):
            waiting, ahead = (answers(loaded, settings, drafts, overlap) for overlap in (False, True))
            same = sum(map(list.__eq__, waiting, ahead))
            print(f"{loaded.layout.name}, {drafts} drafts: {same} of {ANSWERS} answers are the same", flush=True)
            if same < ANSWERS:
                raise HopwellError("steps given ahead drew other tokens")
    finally:
        loaded.close()


def worst(found: list[Tensor], wanted: list[Tensor]) -> tuple[float, float, float]:
    """The median row's error over its deviation, the worst row's, and the part of rows whose best token is the same."""
    ours, theirs = torch.cat(found), torch.cat(wanted)
    errors = (ours - theirs).square().mean(1).sqrt() / theirs.std(1)
    same = (ours.argmax(1) == theirs.argmax(1)).float().mean()
    return errors.median().item(), errors.max().item(), same.item()


def main(
    folder: Annotated[str, typer.Argument(help="A checkpoint, or `nano`.")],
    tp: Annotated[int, typer.Option(min=1)] = 1,
    dp_attention: Annotated[bool, typer.Option("--dp-attention", help="Each rank with sequences of its own.")] = False,
    four_bits: str | None = None,
    cache_dtype: str = "auto",
    activations: Annotated[str | None, typer.Option(help="Before FP8 weights: fp8, bf16 or auto.")] = None,
    graphs: Annotated[bool, typer.Option(help="The chain of kernels; else op by op.")] = True,
    device: str = "cuda",
    save: Annotated[Path | None, typer.Option(help="Where the logits go.")] = None,
    against: Annotated[Path | None, typer.Option(help="Logits that were saved before.")] = None,
    floor: Annotated[Path | None, typer.Option(help="Others, computed otherwise; with --against.")] = None,
    ahead: Annotated[bool, typer.Option("--ahead", help="Instead: do steps given ahead draw the same tokens?")] = False,
) -> None:
    """Logits over `tp` ranks, kept or compared."""
    if ahead and (save or against):
        raise HopwellError("--ahead compares tokens; leave --save and --against out")
    if (floor is None) != (against is None):
        raise HopwellError("--against and --floor go together")
    settings = {"cache_dtype": cache_dtype, "activations": activations} | (
        {} if four_bits is None else {"four_bits": four_bits}
    )
    if ahead:
        compare_ahead(folder, device, settings, tp, dp_attention)
        return
    loaded = load_model(folder, device, "auto", settings=settings, tp=tp, dp_attention=dp_attention)
    try:
        settings |= {"batch_invariant": False, "drafts": 0, "max_batch_tokens": PROMPTS * TOKENS}
        config = loaded.config(**settings, **({} if graphs else {"graphs": False}))
        model = loaded.runnable_over_ranks(config)
        vocabulary, has_mtp = loaded.model.config.vocab_size, loaded.model.has_mtp
        found = run(model, vocabulary, has_mtp)
        again = run(model, vocabulary, has_mtp)
        close_model(model)
    finally:
        loaded.close()
    equal = all(map(torch.equal, found, again))
    print(f"{loaded.layout.name}: {sum(map(len, found))} rows, the same bits again: {equal}")
    if save is not None:
        torch.save(found, save)
    if against is not None and floor is not None:
        one, other = torch.load(against), torch.load(floor)
        medians = []
        for what, pair in (("ours", (found, one)), ("the floor", (other, one)), ("ours from it", (found, other))):
            median, most, same = worst(*pair)
            medians.append(median)
            print(f"{what}: the median row's error {median:.4f}, the worst's {most:.4f}; same token {100 * same:.1f} %")
        if not max(medians[0], medians[2]) <= TOLERANCE * medians[1] + 1e-3:
            raise HopwellError(f"more than {TOLERANCE} times the floor")
    if not equal:
        raise HopwellError("a second run gave other bits")


if __name__ == "__main__":
    script(main)
