"""How far a model's predictions are from its reference's, on the same text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from hopwell.model.batch import ForwardBatch, Pass
from hopwell.model.transformer import Layer, Transformer
from hopwell.ops.norm import rms_norm
from hopwell.ops.sizes import PAGE

TOKENS_AT_ONCE = 2048
KEPT_BYTES = 1 << 30
Progress = Callable[[int, int, str], None]
"""Told how many tokens are done, how many there are, and an empty name."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """KL(reference || model) over every position, in nats, and how often both would say the same token."""

    tokens: int
    mean: float
    p99: float
    worst: float
    top1: float
    standard_error: float = 0.0
    """Of the mean, tokens taken as independent."""

    @classmethod
    def of(cls, kl: Tensor, same: Tensor) -> Divergence:
        """From KL and agreement at each position [tokens]."""
        error = float(kl.double().std() / len(kl) ** 0.5) if len(kl) > 1 else 0.0
        same_share = float(same.double().mean())
        return cls(len(kl), float(kl.mean()), float(kl.quantile(0.99)), float(kl.max()), same_share, error)


def batches(sequences: Sequence[Sequence[int]], most: int = TOKENS_AT_ONCE) -> Iterator[ForwardBatch]:
    """Whole sequences that follow each other, at most `most` tokens together unless one alone is longer."""
    together: list[Sequence[int]] = []
    for sequence in sequences:
        if together and sum(map(len, together)) + len(sequence) > most:
            yield _batch(together)
            together = []
        together.append(sequence)
    if together:
        yield _batch(together)


def _batch(sequences: Sequence[Sequence[int]]) -> ForwardBatch:
    """Whole sequences, each on pages of its own."""
    lengths = list(map(len, sequences))
    pages = -(-max(lengths) // PAGE)
    return ForwardBatch(
        tokens=torch.tensor([t for s in sequences for t in s]),
        positions=torch.cat([torch.arange(n) for n in lengths]),
        query_lens=lengths,
        seq_lens=lengths,
        page_table=torch.arange(len(lengths) * pages, dtype=torch.int32).view(-1, pages),
    )


class Yardstick:
    """A reference's predictions on some text, for one model after another to be held against.

    Predictions are kept while they take at most `KEPT_BYTES`, else made again for every model.
    """

    def __init__(self, reference: Transformer, sequences: Sequence[Sequence[int]], keep: bool = True) -> None:
        """
        Args:
            keep: there will be several models.
        """
        self.reference, self.batches = reference, list(batches(sequences))
        size = sum(len(b.tokens) for b in self.batches) * reference.config.vocab_size * 4
        self.kept = [self._predict(b) for b in self.batches] if keep and size <= KEPT_BYTES else None

    def measure(self, model: Transformer, progress: Progress = lambda *_: None) -> Divergence:
        """The model's divergence from the reference, over all positions."""
        return Divergence.of(*self.rows(model, progress))

    @torch.inference_mode()
    def rows(self, model: Transformer, progress: Progress = lambda *_: None) -> tuple[Tensor, Tensor]:
        """KL at each position, and whether both would say the same: [tokens] in the order of the text."""
        kls, sames, done = [], [], list(accumulate((len(b.tokens) for b in self.batches), initial=0))
        for index, batch in enumerate(self.batches):
            progress(done[index], done[-1], "")
            expected = self._predict(batch) if self.kept is None else self.kept[index]
            kl, same = kl_rows(expected, _logits(model, batch))
            kls.append(kl)
            sames.append(same)
        return torch.cat(kls), torch.cat(sames)

    def telling(self, models: Iterable[Transformer], tokens: int) -> tuple[list[Sequence[int]], list[float]]:
        """About so many tokens of the text, with preference where `models` diverge: a few places hold most of their KL.

        Returns:
            Whole sequences, each taken with a probability that grows with its KL, and the inverse of that: weighed so,
            any model's mean KL over them is what it is over the whole text (Horvitz and Thompson, 1952).
        """
        lengths = torch.tensor([length for b in self.batches for length in b.query_lens])
        size = torch.ones(len(lengths), dtype=torch.float64)  # others may diverge elsewhere
        for model in models:
            kls = torch.stack([part.sum() for part in self.rows(model)[0].double().split(lengths.tolist())])
            size += kls / kls.mean().clamp_min(1e-12)
        low, high = 0.0, 1e6
        for _ in range(60):
            middle = (low + high) / 2
            few = float(((size * middle).clamp_max(1.0) * lengths).sum()) < tokens
            low, high = (middle, high) if few else (low, middle)
        share = (size * high).clamp_max(1.0)
        upto = share.cumsum(0)
        taken = (upto + 0.5).floor() > (upto - share + 0.5).floor()
        sequences = [s for b in self.batches for s in b.tokens.split(b.query_lens)]
        return ([s.tolist() for s, t in zip(sequences, taken.tolist(), strict=True) if t], (1 / share[taken]).tolist())

    @torch.inference_mode()
    def _predict(self, batch: ForwardBatch) -> Tensor:
        return _logits(self.reference, batch).log_softmax(-1)


def _logits(model: Transformer, batch: ForwardBatch) -> Tensor:
    return model.logits(model.forward(batch, model.new_latent(batch.page_table.numel())))


def kl_rows(reference: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """KL of each row, and whether both peaks agree: log-probabilities and logits [tokens, vocabulary] -> [tokens]."""
    other = logits.log_softmax(-1)
    kl = (reference.exp() * (reference - other)).sum(-1).clamp_min_(0.0)
    return kl, reference.argmax(-1) == other.argmax(-1)


class Sensitivity:
    """A reference model with its hidden states before every layer, to try other layers in its place."""

    @torch.inference_mode()
    def __init__(
        self, model: Transformer, sequences: Sequence[Sequence[int]], weights: Sequence[float] | None = None
    ) -> None:
        """
        Args:
            weights: of each sequence's tokens in the mean; default: all alike.
        """
        self.model = model
        lengths = torch.tensor([len(s) for s in sequences])
        share = torch.ones(len(lengths)) if weights is None else torch.tensor(weights)
        self.shares = (share / (share * lengths).sum()).repeat_interleave(lengths).double()
        self.runs: list[tuple[Pass, int, list[Tensor], Tensor]] = []
        for batch in batches(sequences):
            p, pages = Pass.of(batch, model.rope_table), batch.page_table.numel()
            hidden = [model.embedding[batch.tokens]]
            for layer in model.layers:
                hidden.append(layer(hidden[-1], model.new_latent(pages)[0], p))
            self.runs.append((p, pages, hidden, self._logits(hidden[-1]).log_softmax(-1)))

    @torch.inference_mode()
    def with_layer(self, index: int, layer: Layer) -> float:
        """Mean KL with layer `index` replaced by `layer`."""
        kls = []
        for p, pages, hidden, reference in self.runs:
            x = hidden[index]
            for each in (layer, *self.model.layers[index + 1 :]):
                x = each(x, self.model.new_latent(pages)[0], p)
            kls.append(kl_rows(reference, self._logits(x))[0])
        return float(torch.cat(kls).double() @ self.shares)

    def _logits(self, x: Tensor) -> Tensor:
        return self.model.logits(rms_norm(x, self.model.final_norm, self.model.config.rms_norm_eps))
