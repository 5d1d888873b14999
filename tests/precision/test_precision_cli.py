"""`hopwell quantize` and `hopwell verify` from the command line, on a small model with a tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import random_tensors, tiny_config, write_checkpoint
from typer import Typer
from typer.testing import CliRunner, Result

from hopwell.cli.quantize import quantize, verify

app = Typer(pretty_exceptions_enable=False)
app.command()(quantize)
app.command()(verify)


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers

    config = tiny_config("r1", num_hidden_layers=2)
    folder = write_checkpoint(
        tmp_path_factory.mktemp("cli") / "m", config, random_tensors(config, dtype=torch.bfloat16)
    )
    tokenizer = Tokenizer(models.WordLevel({chr(33 + i): i for i in range(94)}, unk_token="!"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_quantize_then_verify(source: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    letters = torch.randint(33, 127, (6000,), generator=torch.Generator().manual_seed(0))
    text.write_text("".join(map(chr, letters[:3000].tolist())))
    done = call("quantize", source, tmp_path / "out", "--budget", "kl=0.02", "--calibration", text, "--threads", "1")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "PRECISION.md").exists() and (tmp_path / "out" / "tokenizer.json").exists()
    text.write_text("".join(map(chr, letters[3000:].tolist())))
    result = tmp_path / "verify.json"
    checked = call("verify", tmp_path / "out", "--against", source, "--data", text, "--out", result)
    assert checked.exit_code == 0, checked.output
    assert '"kept": true' in result.read_text()
    broken = call("verify", tmp_path / "out", "--against", source, "--data", text, "--budget", "1e-9")
    assert broken.exit_code == 1 and "not kept" in broken.output


def test_faults_are_one_line(source: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("abc" * 100)
    for args, message in (
        (("--budget", "kl=0.1", "--format", "nvfp4"), "exclude each other"),
        (("--format", "nvfp4", "--calibration", short), "300 tokens; give 2048"),
        (("--format", "nvfp4", "--calibration", tmp_path / "none.txt"), "cannot read"),
        (("--format", "nvfp5", "--calibration", short), "300 tokens|unknown"),
        (("--bytes", "4.5"), "give bits a weight"),
    ):
        done = call("quantize", source, tmp_path / "o", *args)
        assert done.exception is not None
        assert any(m in str(done.exception) for m in message.split("|")), done.exception
        assert "\n" not in str(done.exception)
