"""Files and folders that appear whole or not at all, on real disks that are full, busy or read by others meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopwell.checkpoint import files
from hopwell.checkpoint.errors import CheckpointError
from hopwell.checkpoint.files import check_writable, new_folder, replacing, write_json, write_text


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_file_is_replaced_whole_or_not(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": [2]})
    assert json.loads(path.read_text()) == {"a": [2], "b": 1}
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert json.loads(path.read_text()) == {"a": [2], "b": 1} and os.listdir(tmp_path) == ["a.json"]
    write_text(path, "new")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.json"]


def test_a_link_stays_and_leads_to_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    for name, target in (("link", "a"), ("dangling", "b"), ("twice", "link")):
        (tmp_path / name).symlink_to(target)
        write_text(tmp_path / name, name)
        assert (tmp_path / name).is_symlink() and (tmp_path / target).read_text() == name
    assert (tmp_path / "a").is_file() and not (tmp_path / "a").is_symlink() and (tmp_path / "link").is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe with a name")
def test_a_pipe_or_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_writable(pipe, "file")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(pipe, "told")
        assert os.read(reader, 100) == b"told"
    finally:
        os.close(reader)
    assert pipe.is_fifo() and os.listdir(tmp_path) == ["pipe"]


def test_a_folder_that_is_a_link_is_filled_where_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "disk" / "empty").mkdir(parents=True)
    for name, target in (("link", "disk/empty"), ("dangling", "disk/new")):
        (tmp_path / name).symlink_to(target)
        with new_folder(tmp_path / name, 10) as folder:
            assert folder.parent == tmp_path / "disk"
            (folder / "a").write_text("x")
        assert (tmp_path / name).is_symlink() and os.listdir(tmp_path / target) == ["a"]
    assert sorted(os.listdir(tmp_path / "disk")) == ["empty", "new"]


def test_where_a_disk_is_mounted_no_folder_can_appear(small_disk: Path) -> None:
    with pytest.raises(CheckpointError, match="a disk is mounted there"), new_folder(small_disk, 10):
        pytest.fail("the work began")


def test_a_folder_appears_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with new_folder(out, 10) as folder:
        assert folder.name == "out.partial" and not out.exists()
        (folder / "a").write_text("x")
    assert os.listdir(out) == ["a"] and os.listdir(out.parent) == ["out"]
    with pytest.raises(CheckpointError, match=r"out: exists already"), new_folder(out, 10):
        pass
    empty = tmp_path / "empty"
    empty.mkdir()
    with new_folder(empty, 10) as folder:
        (folder / "b").write_text("x")
    assert os.listdir(empty) == ["b"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_a_fault_leaves_nothing(tmp_path: Path, fault: type[BaseException]) -> None:
    with pytest.raises(fault), new_folder(tmp_path / "out", 10) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_text("x")
        raise fault
    assert os.listdir(tmp_path) == []


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "out.partial"
    (left / "sub").mkdir(parents=True)
    (left / "old.safetensors").write_text("x")
    (left / "link").symlink_to(tmp_path)
    with new_folder(tmp_path / "out", 10) as folder:
        assert os.listdir(folder) == []
        (folder / "new").write_text("x")
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == ["new"]


def test_two_runs_do_not_write_one_folder(tmp_path: Path) -> None:
    with new_folder(tmp_path / "out", 10) as folder:
        (folder / "a").write_text("x")
        with pytest.raises(CheckpointError, match="another process is writing it"), new_folder(tmp_path / "out", 10):
            pass
        assert os.listdir(folder) == ["a"]
    assert os.listdir(tmp_path / "out") == ["a"]


def test_too_small_a_disk_is_named_before_any_work(small_disk: Path) -> None:
    with pytest.raises(CheckpointError) as caught, new_folder(small_disk / "out", 9 << 20):
        pytest.fail("the work began")
    assert f"needs 9,437,184 bytes, the disk at {small_disk} has 8,388,608 free" in str(caught.value)
    assert os.listdir(small_disk) == []


def test_a_disk_that_fills_on_the_way_is_named(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError) as caught, new_folder(small_disk / "out", 4 << 20) as folder:
        (small_disk / "other").write_bytes(bytes(6 << 20))
        (folder / "a").write_bytes(bytes(4 << 20))
    message = str(caught.value)
    assert f"the disk at {small_disk} is full: 4,194,304 bytes are needed" in message and "\n" not in message
    assert os.listdir(small_disk) == ["other"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match=r"cannot make the folder"), new_folder(tmp_path / "file" / "out", 1):
        pass
    with pytest.raises(CheckpointError, match=r"file: exists already"), new_folder(tmp_path / "file", 1):
        pass
    fault = files.disk_fault(tmp_path / "x", 5, OSError(27, "File too large"))
    assert "ulimit -f" in str(fault)
