"""An FP8 latent cache: calibration, the long generation that judges it, and what a later start makes of that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import random_tensors, tiny_config, write_checkpoint

from hopwell.checkpoint.reader import Checkpoint
from hopwell.model.latent_cache import CacheFormatError
from hopwell.model.loading import load_transformer
from hopwell.model.transformer import Transformer
from hopwell.ops.paging import CacheScales
from hopwell.quantization.cache_format import FILE, calibrate, decided_scales, generate_and_judge, write_verdict

TEXT = torch.randint(0, 128, (6, 90), generator=torch.Generator().manual_seed(4)).tolist()
PROMPTS = [row[:20] for row in TEXT[:2]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny_config("r1", num_hidden_layers=2, first_k_dense_replace=2)
    return write_checkpoint(tmp_path_factory.mktemp("cache") / "m", config, random_tensors(config))


@pytest.fixture(scope="module")
def model(folder: Path) -> Transformer:
    return load_transformer(Checkpoint.open(folder), "cpu", torch.float32)


def test_scales_hold_what_calibration_saw_and_no_more(model: Transformer) -> None:
    scales = calibrate(model, TEXT)
    assert len(scales) == 3 and model.cache_dtype is None  # the MTP layer's last; the cache is the model's own again
    from hopwell.quantization.divergence import batches

    batch = next(iter(batches(TEXT)))
    latent = model.new_latent(batch.page_table.numel())
    model.forward(batch, latent)
    for layer, scale in enumerate(scales[:2]):
        assert scale.latent * 448 == pytest.approx(1.25 * latent[layer, ..., :32].abs().max().item())
        assert scale.rope * 448 == pytest.approx(1.25 * latent[layer, ..., 32:].abs().max().item())


def test_a_good_cache_is_approved_and_its_scales_serve(model: Transformer, folder: Path) -> None:
    told: list[tuple[int, int, str]] = []
    scales, progress = calibrate(model, TEXT), lambda *each: told.append(each)
    verdict = generate_and_judge(model, scales, PROMPTS, 80, limit=0.1, progress=progress)
    assert told == [(step, 80, "") for step in range(80)]
    assert verdict.kept and verdict.saturated == 0.0
    assert [q.tokens for q in verdict.quarters] == [40] * 4 and all(0 < q.mean < 0.1 for q in verdict.quarters)
    assert decided_scales(folder, model) is None
    path = write_verdict(folder, model, verdict)
    assert decided_scales(folder, model) == verdict.scales
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"model": "0"}))
    with pytest.raises(CacheFormatError, match="other weights"):
        decided_scales(folder, model)
    path.write_text("{")
    with pytest.raises(CacheFormatError, match="run hopwell verify-cache again"):
        decided_scales(folder, model)
    path.unlink()


def test_a_bad_scale_is_refused_now_and_at_every_later_start(model: Transformer, folder: Path) -> None:
    """The fault that serving engines had: a scale that the kernel took as another number."""
    scales = calibrate(model, TEXT)
    wrong = [CacheScales(s.latent / 40, s.rope / 40, s.rank) for s in scales]
    verdict = generate_and_judge(model, wrong, PROMPTS, 80, limit=0.1)
    assert not verdict.kept and verdict.saturated > 0.1
    write_verdict(folder, model, verdict)
    with pytest.raises(CacheFormatError, match="failed this model's long generation; serve with bfloat16"):
        decided_scales(folder, model)
    (folder / FILE).unlink()


def test_what_follows_the_end_is_not_judged(model: Transformer) -> None:
    scales = calibrate(model, TEXT)
    everything = range(model.config.vocab_size)
    verdict = generate_and_judge(model, scales, PROMPTS, 80, 0.1, list(everything))
    assert verdict.tokens == 1 and [q.tokens for q in verdict.quarters] == [2]


def test_a_generation_longer_than_the_context_is_refused(model: Transformer) -> None:
    with pytest.raises(CacheFormatError, match="do not fit the model's context of 512"):
        generate_and_judge(model, calibrate(model, TEXT), PROMPTS, 600, limit=0.1)
