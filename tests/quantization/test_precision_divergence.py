"""Which text is measured: a few sequences, chosen where a model diverges, say what the whole text would."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny import random_tensors, tiny_config, write_checkpoint

from hopwell.checkpoint.reader import Checkpoint
from hopwell.model.loading import load_transformer
from hopwell.model.transformer import Transformer
from hopwell.quantization.divergence import Sensitivity, Yardstick

RARE = 7
"""A token at which the model diverges far more than anywhere else; one sequence in ten has it."""
TEXT = [torch.randint(8, 128, (30 + i % 5,), generator=torch.Generator().manual_seed(i)).tolist() for i in range(60)]
for sequence in TEXT[9::10]:
    sequence[4] = RARE


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Transformer, Transformer]:
    """A model, and one whose layer 1 is a little off, and at `RARE` far off."""
    config = tiny_config("r1", num_hidden_layers=2, num_nextn_predict_layers=0)
    tensors = random_tensors(config)
    folder = write_checkpoint(tmp_path_factory.mktemp("a"), config, tensors)
    reference, other = (load_transformer(Checkpoint.open(folder), "cpu", torch.float32) for _ in range(2))
    other.layers[1].attention.o.data.mul_(1.02)
    other.embedding[RARE] += 0.5 * other.embedding[RARE + 1]
    return reference, other


def test_a_quarter_of_the_text_has_the_mean_of_all_of_it(models: tuple[Transformer, Transformer]) -> None:
    reference, other = models
    yardstick = Yardstick(reference, TEXT)
    whole, size = yardstick.measure(other).mean, sum(map(len, TEXT))
    sequences, weights = yardstick.telling([other], size // 4)
    assert 0.8 * size / 4 < sum(map(len, sequences)) < 1.3 * size / 4
    assert sum(RARE in s for s in sequences) == 6 and all(s in TEXT for s in sequences)
    assert sum(w * len(s) for s, w in zip(sequences, weights, strict=True)) == pytest.approx(size, rel=0.15)
    kls = Yardstick(reference, sequences).rows(other)[0].split([len(s) for s in sequences])
    found = sum(w * float(kl.sum()) for w, kl in zip(weights, kls, strict=True))
    found /= sum(w * len(kl) for w, kl in zip(weights, kls, strict=True))
    first = Yardstick(reference, TEXT[: len(sequences)]).measure(other).mean
    assert abs(found / whole - 1) < 0.1 < 0.3 < abs(first / whole - 1)


def test_all_of_a_short_text_counts_alike(models: tuple[Transformer, Transformer]) -> None:
    reference, other = models
    yardstick = Yardstick(reference, TEXT)
    sequences, weights = yardstick.telling([other], 10**6)
    assert sequences == TEXT and set(weights) == {1.0}
    assert yardstick.telling([reference], 10**6)[0] == TEXT  # no divergence to prefer


def test_a_layer_alone_is_measured_as_the_model_with_it(models: tuple[Transformer, Transformer]) -> None:
    reference, other = models
    layer = other.layers[1]
    mixed = replace(reference, layers=[reference.layers[0], layer])
    alone = Sensitivity(reference, TEXT).with_layer(1, layer)
    assert alone == pytest.approx(Yardstick(reference, TEXT).measure(mixed).mean, rel=1e-4)
    twice = Sensitivity(reference, TEXT[:2], [3.0, 1.0]).with_layer(1, layer)
    a, b = (Sensitivity(reference, [s]).with_layer(1, layer) for s in TEXT[:2])
    tokens = [3 * len(TEXT[0]), len(TEXT[1])]
    assert twice == pytest.approx((tokens[0] * a + tokens[1] * b) / sum(tokens), rel=1e-3)
