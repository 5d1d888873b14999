"""`hopwell pack` as a user runs it: what it writes serves, says what it is, and is whole or not there."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
from commands import hopwell, refused
from tiny_tokenizer import write_tokenizer

COMMAND = (sys.executable, "-m", "hopwell", "pack")
ON_CPU = ("--device", "cpu", "--dtype", "float32")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "nano"
    ran = hopwell("pack", "nano", out, *ON_CPU)
    assert ran.code == 0 and not ran.err
    assert (
        ran.out.startswith(f"{out}: nano packed in float32 for one rank on cpu (torch), ") and " bytes in " in ran.out
    )
    return out


def test_the_documents_example_is_nano_as_it_is(packed: Path) -> None:
    example = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text()
    for line in hopwell("inspect", packed, "--read").out.splitlines()[1:]:
        assert line in example


@pytest.mark.slow
def test_commands_that_load_a_model_take_it(packed: Path) -> None:
    ask = ("generate", "What is 12 * 34?", "--temperature", "0", "--device", "cpu")
    ran, plain = hopwell(*ask, "--model", packed), hopwell(*ask, "--dtype", "float32")
    assert ran.code == 0 and ran.out == plain.out and "\\boxed{" in ran.out
    assert hopwell("chat", packed, "--device", "cpu", stdin="What is 3+4?\n").code == 0


def test_inspect_says_what_it_is(packed: Path) -> None:
    size = (packed / "rank-0.weights").stat().st_size
    ran = hopwell("inspect", packed)
    assert ran.code == 0 and f"{packed}: nano packed in float32 for one rank on cpu (torch)\n" in ran.out
    assert f"1 file, {size:,} bytes\n" in ran.out
    assert f"1 file, {size:,} bytes, each as it was packed\n" in hopwell("inspect", packed, "--read").out
    told = json.loads(hopwell("inspect", packed, "--json").out)
    assert told["source"]["name"] == "nano" and told["parts"] == [{"file": "rank-0.weights", "bytes": size}]
    assert (told["device"], told["dtype"], told["tp"], told["ep"]) == ("cpu (torch)", "float32", 1, 1)
    assert "--packed is for checkpoints" in refused("inspect", packed, "--packed")


def test_what_reads_tensors_refuses_it_by_name(packed: Path, tmp_path: Path) -> None:
    message = f"{packed}: is a packed snapshot, which is only for loading and inspect; give the checkpoint"
    out = tmp_path / "out"
    assert message in refused("quantize", packed, out)
    assert message in refused("verify", packed, "--against", "nano")
    assert message in refused("verify", "nano", "--against", packed)
    assert message in refused("verify-cache", packed)
    assert message in refused("pack", packed, out)
    assert "was packed for one rank, not for TP2; give --tp 1" in refused("generate", "1", "-m", packed, "--tp", "2")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_flipped_byte_is_one_line_of_inspect_and_of_a_load(tmp_path: Path) -> None:
    config = tiny.tiny_config("r1", vocab_size=264)
    model = tiny.write_checkpoint(tmp_path / "model", config, tiny.random_tensors(config))
    write_tokenizer(model)
    out = tmp_path / "out"
    assert hopwell("pack", model, out, *ON_CPU, "--tp", "2").code == 0
    with (out / "rank-1.weights").open("r+b") as file:
        file.seek(12_345)
        byte = file.read(1)
        file.seek(12_345)
        file.write(bytes([byte[0] ^ 255]))
    message = f"{out}/rank-1.weights: bytes 0 to "
    assert message in refused("inspect", out, "--read")
    ran = hopwell("generate", "1", "--model", out, "--device", "cpu", "--tp", "2")
    assert ran.code == 2 and message in ran.err and "Traceback" not in ran.err


@pytest.mark.slow
def test_stopped_at_a_random_moment_it_leaves_nothing(tmp_path: Path) -> None:
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    process = subprocess.Popen([*COMMAND, "nano", out, *ON_CPU, "--tp", "4"], stderr=subprocess.PIPE, text=True)
    while not partial.exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 1))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    assert "Traceback" not in errors, errors
    if out.exists():  # it was quicker than the signal: then it is whole
        assert hopwell("inspect", out, "--read").code == 0 and not partial.exists()
    else:
        assert process.returncode == 130 and os.listdir(tmp_path) == []
