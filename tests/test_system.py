"""What only some systems have, missing: a child process hides what Windows lacks, and works all the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from terminal import HOPWELL
from tiny import tiny_config

from hopwell.system import lock_folder, memory_bytes, open_to_read, peak_memory_bytes, read_at

WITHOUT = """
import asyncio, ctypes, os, signal, sys, types
import torch, uvicorn  # other people's packages may have what they find

for name in ("fcntl", "grp", "pty", "pwd", "pynvml", "readline", "resource", "termios", "triton"):
    sys.modules[name] = None
for module, names in (
    (os, ("preadv", "sysconf", "sched_getaffinity", "geteuid", "getuid", "fork")),
    (signal, ("SIGHUP", "SIGKILL", "setitimer")),
):
    for name in names:
        delattr(module, name)
real = os.open

def no_folders(path, *rest, **given):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied")
    return real(path, *rest, **given)

def installed(pointer):
    pointer._obj.value = 16 << 20

def no_handlers(*_):
    raise NotImplementedError

os.open = no_folders
asyncio.SelectorEventLoop.add_signal_handler = no_handlers
ctypes.windll = types.SimpleNamespace(kernel32=types.SimpleNamespace(GetPhysicallyInstalledSystemMemory=installed))
from hopwell.cli import main
main()
"""


def without(*arguments: str | Path, stdin: str = "") -> str:
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_chat_without_what_windows_lacks() -> None:
    assert "boxed{12}" in without("chat", "--temperature", "0", "--device", "cpu", stdin="7 + 5")


@pytest.mark.slow
def test_doctor_without_what_windows_lacks() -> None:
    assert "17.2 GB" in without("doctor")  # its exit code says that nano runs


@pytest.mark.slow
def test_a_checkpoint_is_written_and_read_without_what_windows_lacks(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()  # empty: it is taken
    config = tmp_path / "config.json"
    config.write_text(json.dumps(tiny_config("r1")), encoding="utf-8")
    without("synth", config, out)
    assert "every tensor of the model is there once" in without("inspect", out, "--read")


@pytest.mark.slow
def test_a_server_starts_and_ends_without_what_windows_lacks() -> None:
    command = [sys.executable, "-c", WITHOUT, "serve", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        url = next(line.split()[1] for line in process.stdout if line.startswith("  url"))
        assert httpx.get(f"{url}/health", timeout=600).status_code == 200
        process.terminate()
        assert process.wait(600) == 0, process.stderr.read()


def test_reading_from_a_place_is_the_same_either_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123\r\n6789")
    file = open_to_read(path)
    for either in ("here", "elsewhere"):
        if either == "elsewhere":
            monkeypatch.delattr(os, "preadv", raising=False)
        buffer = bytearray(4)
        assert read_at(file, memoryview(buffer), 4) == 4 and buffer == b"\r\n67"
        assert read_at(file, memoryview(buffer), 8) == 2 and buffer[:2] == b"89"
        assert read_at(file, memoryview(buffer), 10) == 0
    os.close(file)


def test_a_folder_is_locked_once(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    first = lock_folder(tmp_path)
    assert first is not None
    with pytest.raises(BlockingIOError):
        lock_folder(tmp_path)
    os.close(first)
    again = lock_folder(tmp_path)
    assert again is not None
    os.close(again)


def test_memory_is_counted_in_bytes() -> None:
    peak = peak_memory_bytes()
    assert peak is None or 50e6 < peak < memory_bytes()


@pytest.mark.slow
def test_a_background_job_does_not_hear_ctrl_c() -> None:
    """A script starts it with SIGINT ignored; its answer is whole."""
    command = (*HOPWELL, "chat", "--temperature", "0", "--device", "cpu")

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=ignore)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("7 + 5")
    process.stdin.close()
    begun = process.stdout.read(7)
    process.send_signal(signal.SIGINT)
    assert begun == "<think>" and "boxed{12}" in process.stdout.read()
    assert process.wait(600) == 0


def test_memory_is_what_a_container_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit, expected in (("1000000\n", 1_000_000), ("max\n", total)):
        monkeypatch.setattr(Path, "read_text", lambda *_, limit=limit, **__: limit)
        assert memory_bytes() == expected
