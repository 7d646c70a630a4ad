"""Checkpoints on disk: whole or not there, and errors that say why."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chiwawa_runtime.checkpoint import read_file, store_file, write_file
from chiwawa_runtime.errors import CheckpointError


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.bin"
    write_file(path, b"one")
    write_file(str(path), b"two")
    assert read_file(path) == b"two"
    assert os.listdir(tmp_path) == ["checkpoint.bin"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_relative_path_is_written_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_file("checkpoint.bin", b"data")
    assert (tmp_path / "checkpoint.bin").read_bytes() == b"data"


def test_a_link_is_followed(tmp_path: Path) -> None:
    target = tmp_path / "there" / "real.bin"
    target.parent.mkdir()
    link = tmp_path / "link.bin"
    link.symlink_to(target)
    write_file(link, b"data")
    assert link.is_symlink()
    assert target.read_bytes() == b"data"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.bin"
    write_file(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_file.os, failing, fail)
    with pytest.raises(CheckpointError, match="No space left on device"):
        write_file(path, b"new")
    monkeypatch.undo()
    assert read_file(path) == b"old"
    assert os.listdir(tmp_path) == ["checkpoint.bin"]


def test_an_interrupted_write_removes_its_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store_file.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "checkpoint.bin", b"new")
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file or directory"):
        write_file(tmp_path / "missing" / "checkpoint.bin", b"data")
    with pytest.raises(CheckpointError, match="not a regular file"):
        write_file(tmp_path, b"data")
    with pytest.raises(CheckpointError, match="not a regular file"):
        write_file("/dev/null", b"data")
    with pytest.raises(CheckpointError, match="null"):
        write_file("a\0b", b"data")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file or directory"):
        read_file(tmp_path / "missing.bin")
    with pytest.raises(CheckpointError, match=r"directory|regular file"):
        read_file(tmp_path)
    with pytest.raises(CheckpointError, match="null"):
        read_file("a\0b")
    path = tmp_path / "large.bin"
    path.write_bytes(b"12345")
    with pytest.raises(CheckpointError, match="more than the 4 allowed"):
        read_file(path, max_bytes=4)


def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_file(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_writer_leaves_a_whole_file_or_none(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("kill_writers.py"), tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    none, old, new, strays = map(int, done.stdout.split())
    # Killed before the new file was in its place and after, and while there was a temporary one.
    assert min(none, old, new, strays) > 0
