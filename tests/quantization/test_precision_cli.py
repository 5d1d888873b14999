"""`hopwell quantize` and `hopwell verify` from the command line, on a small model with a tokenizer."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny import random_tensors, tiny_config, write_checkpoint
from typer import Typer
from typer.testing import CliRunner, Result

from hopwell.checkpoint.fingerprint import REPORT
from hopwell.cli.quantize import quantize, verify
from hopwell.cli.verify_cache import verify_cache
from hopwell.errors import HopwellError

app = Typer(pretty_exceptions_enable=False)
app.command()(quantize)
app.command()(verify)
app.command()(verify_cache)


def call(*args: str | Path) -> Result:
    threads = ("--threads", "1") if args[0] == "quantize" else ()
    return CliRunner().invoke(app, [str(a) for a in (*args, *threads)])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers

    config = tiny_config("r1", num_hidden_layers=2, n_routed_experts=4, n_group=2, topk_group=1, num_experts_per_tok=2)
    folder = write_checkpoint(
        tmp_path_factory.mktemp("cli") / "m", config, random_tensors(config, dtype=torch.bfloat16)
    )
    tokenizer = Tokenizer(models.WordLevel({chr(33 + i): i for i in range(94)}, unk_token="!"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_quantize_then_verify(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopwell.cli.progress.SAY_EVERY", 0.0)
    text = tmp_path / "text.txt"
    letters = torch.randint(33, 127, (6000,), generator=torch.Generator().manual_seed(0))
    text.write_text("".join(map(chr, letters[:3000].tolist())))
    done = call("quantize", source, tmp_path / "out", "--budget", "kl=0.02", "--calibration", text)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "PRECISION.md").exists() and (tmp_path / "out" / "tokenizer.json").exists()
    text.write_text("".join(map(chr, letters[3000:].tolist())))
    result = tmp_path / "verify.json"
    checked = call("verify", tmp_path / "out", "--against", source, "--data", text, "--out", result)
    assert checked.exit_code == 0, checked.output
    assert '"kept": true' in result.read_text()
    assert "Comparing tokens: 2,048 of 3,000" in checked.stderr and "Comparing" not in checked.stdout
    broken = call("verify", tmp_path / "out", "--against", source, "--data", text, "--budget", "1e-9")
    assert broken.exit_code == 1 and "not kept" in broken.output
    unasked = call("verify", source, "--against", source, "--data", text, "--out", result)
    assert unasked.exit_code == 0 and "no KL was promised" in unasked.output and "True" not in unasked.output
    assert '"kept": null' in result.read_text()


def test_a_text_that_is_too_short_is_named(source: Path, tmp_path: Path) -> None:
    text = tmp_path / "short.txt"
    text.write_text("abc" * 341)
    for words in (("verify", source, "--against", source, "--data"), ("verify-cache", source, "--data"),
                  ("quantize", source, tmp_path / "out", "--calibration"),
                  ("quantize", source, tmp_path / "out", "--calibration", text, "--judge")):  # fmt: skip
        refused = call(*words, text).exception
        assert isinstance(refused, HopwellError) and str(refused) == f"{text} has 1,023 tokens; give 2,048 or more"


def test_a_checkpoint_without_a_tokenizer_is_one_line(tmp_path: Path) -> None:
    config = tiny_config("kimi-k2")
    model = write_checkpoint(tmp_path / "m", config, random_tensors(config))
    refused = call("quantize", model, tmp_path / "out").exception
    assert isinstance(refused, HopwellError) and "tokenizer.json: cannot read" in str(refused)


@pytest.mark.parametrize("given", [("--offer", "mxfp4"), ("--residual-columns", "--layout", "hopwell")])
def test_what_is_offered_needs_a_goal_to_choose_by(given: tuple[str, ...], source: Path, tmp_path: Path) -> None:
    for more, left in (((), "no goal"), (("--format", "nvfp4"), "--format nvfp4")):
        refused = call("quantize", source, tmp_path / "out", *given, *more).exception
        assert isinstance(refused, HopwellError)
        assert str(refused).startswith(f"{given[0]} is for a choice, and {left} leaves none; give --budget, --bytes or")
    assert not (tmp_path / "out").exists()


def test_a_cache_is_not_judged_by_scales_of_no_text(source: Path, tmp_path: Path) -> None:
    """Five passages: all of them as prompts would leave none to calibrate on."""
    text = tmp_path / "text.txt"
    text.write_text("abcdefgh" * 320)
    refused = call("verify-cache", source, "--data", text, "--dry-run").exception
    told = f"--prompts is 16, and {text} has 5 passages, one of which at least is calibrated on; give 4 or fewer"
    assert isinstance(refused, HopwellError) and str(refused) == f"{told}, or a longer --data"


@pytest.mark.slow
def test_residual_columns_from_the_command_line(source: Path, tmp_path: Path) -> None:
    text, fresh, judge = (tmp_path / f"{name}.txt" for name in ("text", "fresh", "judge"))
    letters = torch.randint(33, 127, (6000,), generator=torch.Generator().manual_seed(1))
    text.write_text("".join(map(chr, letters[:3000].tolist())))
    fresh.write_text("".join(map(chr, letters[3000:].tolist())))
    judge.write_text(fresh.read_text()[::-1])
    given = ("--bytes", "5.2bpw", "--residual-columns", "--calibration", text)
    refused = call("quantize", source, tmp_path / "out", *given).exception
    assert isinstance(refused, HopwellError) and "use --layout hopwell" in str(refused)
    done = call("quantize", source, tmp_path / "out", *given, "--layout", "hopwell", "--judge", judge)
    assert done.exit_code == 0, done.output
    tokens = json.loads((tmp_path / "out" / REPORT).read_text())["calibration_tokens"]
    assert tokens == 3000  # all of it: nothing of it is kept to judge
    assert "nvfp4+" in (tmp_path / "out/PRECISION.md").read_text()
    assert not (tmp_path / "out/hf_quant_config.json").exists()
    checked = call("verify", tmp_path / "out", "--against", source, "--data", fresh)
    assert checked.exit_code == 0, checked.output


@pytest.mark.slow
def test_faults_are_one_line(source: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("abc" * 100)
    long = tmp_path / "long.txt"
    long.write_text("abcdefghij" * 300)
    converted = tmp_path / "converted"
    assert call("quantize", source, converted, "--plain", "--calibration", long).exit_code == 0
    gptq = tmp_path / "gptq"
    gptq.mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (gptq / name).symlink_to(source / name)
    config = json.loads((source / "config.json").read_text())
    (gptq / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq"}}))
    tensors = random_tensors(config, dtype=torch.bfloat16)
    tensors["model.layers.0.self_attn.o_proj.weight"][3, 2] = 3e38  # finite, but what it computes is not
    tensors["model.layers.0.self_attn.o_proj.weight"][3, 3] = 3e38
    broken = write_checkpoint(tmp_path / "broken", config, tensors)
    (broken / "tokenizer.json").symlink_to(source / "tokenizer.json")
    for model, args, message in (
        (source, ("--budget", "kl=0.1", "--format", "nvfp4"), "exclude each other"),
        (source, ("--format", "nvfp4", "--calibration", short), "300 tokens; give 2,048"),
        (source, ("--format", "nvfp4", "--calibration", tmp_path / "none.txt"), "none.txt: cannot read: No such file"),
        (source, ("--calibration", long, "--judge", short), "300 tokens; give 2,048"),
        (source, ("--format", "nvfp5", "--calibration", short), "'nvfp5' is unknown; known: nvfp4"),
        (source, ("--format", "nvfp4+10", "--calibration", short), "in percent, as nvfp4+10%"),
        (source, ("--format", "nvfp4+10%", "--calibration", short), "modelopt has no layout for residual columns"),
        (source, ("--keep", "head", "--calibration", short), "'head' is unknown; known: attention"),
        (source, ("--bytes", "4.5"), "give bits a weight"),
        (source, ("--budget", "ppl=3"), "as kl=0.01"),
        (source, ("--bytes", "3bpw", "--plain", "--calibration", long), "3bpw cannot be reached; the best is 4."),
        (source, ("--bytes", "9kB", "--plain", "--calibration", long), "bytes cannot be reached; the best is"),
        (source, ("--budget", "kl=1e-9", "--plain", "--calibration", long), "KL 1e-09 cannot be kept with any linear"),
        (source, ("--budget", "error=1e-9", "--plain", "--calibration", long), "an error of 1e-09 cannot be kept with"),
        (converted, ("--format", "nvfp4", "--calibration", long), "was converted by Hopwell already"),
        (gptq, ("--format", "nvfp4", "--calibration", long), "is quantised already (gptq); convert the FP8 or"),
        (broken, ("--format", "nvfp4", "--calibration", long), "holds NaN or infinity"),
    ):
        done = call("quantize", model, tmp_path / f"out-{message[:9]}", *args)
        assert isinstance(done.exception, HopwellError), done.output
        assert message in str(done.exception) and "\n" not in str(done.exception)


def test_what_cannot_be_reached_is_asked_for_anew_without_starting_over(source: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abcdefghij" * 300)
    given = ("--plain", "--calibration", text)
    assert isinstance(call("quantize", source, tmp_path / "out", "--bytes", "3bpw", *given).exception, HopwellError)
    made = (tmp_path / "out/.work/layer-001.json").stat().st_mtime_ns
    other = call("quantize", source, tmp_path / "out", "--bytes", "6bpw", "--offer", "mxfp4", *given)
    assert "another source, calibration or choice of formats" in str(other.exception)
    assert (tmp_path / "out/.work/layer-001.json").stat().st_mtime_ns == made
    done = call("quantize", source, tmp_path / "out", "--bytes", "6bpw", *given)
    assert done.exit_code == 0 and "layer 2 of 2" not in done.output


def test_a_full_disk_leaves_what_is_whole(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abcdefghij" * 300)
    given = ("quantize", source, tmp_path / "out", "--plain", "--calibration", text)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
        assert "has 1,000 free; make room" in str(call(*given).exception)
        patch.undo()
        patch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        full = call(*given).exception
        assert isinstance(full, HopwellError) and "the disk is full; make room and run again" in str(full)
        assert not list((tmp_path / "out").rglob("*.partial"))
    assert call(*given).exit_code == 0
