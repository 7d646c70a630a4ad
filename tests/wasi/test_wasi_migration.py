"""A program with files open, asleep or waiting, is moved to another directory and path."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chiwawa import api
from chiwawa.module import Module
from chiwawa.source import load_bytes
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.wasi import Wasi
from tests.wasi.programs import Compile, restored, stop_after

OUTPUT = b""".
..
f0
f1
sleeping
slept well
reader 5 'world'
both 10 'middle END'
f2
f3
f4
waiting
line typed
"""


@pytest.fixture
def program(compiled: Compile) -> Module:
    return load_bytes(compiled("migration"))


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    pair = os.pipe()
    yield pair
    for handle in pair:
        os.close(handle)


def make_data(folder: Path) -> Path:
    (folder / "names").mkdir(parents=True)
    for i in range(5):
        (folder / "names" / f"f{i}").touch()
    (folder / "input").write_text("hello world")
    (folder / "log").write_text("zero\n")
    return folder


def journey(
    program: Module,
    tmp_path: Path,
    pipe: tuple[int, int],
    paths: tuple[str, str, str],
    milliseconds: int,
    stop: float,
) -> list[float]:
    """Stop in the sleep, move, go on; stop in the wait for input, move, go on: the time that each
    stretch took."""
    spent = []
    home = make_data(tmp_path / "home0")
    with open(tmp_path / "output", "wb") as out:
        args = ["migration", str(milliseconds)]
        wasi = Wasi(args, {}, [(home, "/data", False)], pipe[0], out, 2)
        run = api.start(program, "_start", (), wasi.imports(), path=paths[0], wasi=wasi)
        for turn in (1, 2):
            marker = b"sleeping" if turn == 1 else b"waiting"
            leg = stop_after(run, tmp_path / "output", marker, stop)
            assert not leg.finished
            spent.append(leg.seconds)
            wasi.close()
            elsewhere = tmp_path / f"home{turn}"
            shutil.copytree(home, elsewhere)
            shutil.rmtree(home)
            home = elsewhere
            dirs = [(home, "/data", False)]
            run, wasi = restored(program, leg.data, paths[turn], dirs, pipe[0], out)
            assert run.checkpoint() == leg.data
        os.write(pipe[1], b"typed\n")
        leg = stop_after(run, tmp_path / "output", b"never", 0)
        spent.append(leg.seconds)
        wasi.close()
    assert (leg.finished, leg.status) == (True, 7)
    assert (tmp_path / "output").read_bytes() == OUTPUT
    assert (home / "log").read_bytes() == b"zero\none\ntwo\n"
    assert (home / "both").read_bytes() == b"middle END"
    assert sorted(p.name for p in home.iterdir()) == ["both", "input", "log", "names"]
    return spent


@pytest.mark.parametrize("paths", [("aot", "interp", "aot"), ("interp", "aot", "interp")])
def test_a_program_is_moved_in_its_sleep_and_while_it_waits(
    program: Module, tmp_path: Path, pipe: tuple[int, int], paths: tuple[str, str, str]
) -> None:
    api.bundle(program)
    first, second, last = journey(program, tmp_path, pipe, paths, 3000, 1)
    # Interrupted at once, slept for the rest only, and then woken by the line alone.
    assert first < 2.5
    assert 2.9 < second < 3.9
    assert last < 2.5


@pytest.mark.slow
def test_of_a_sleep_of_ten_seconds_only_the_rest_is_slept(
    program: Module, tmp_path: Path, pipe: tuple[int, int]
) -> None:
    api.bundle(program)
    first, second, last = journey(program, tmp_path, pipe, ("aot", "interp", "aot"), 10_000, 4)
    assert first < 6
    assert second < 11.5
    assert last < 4


@pytest.mark.parametrize("path", ["aot", "interp"])
def test_a_missing_file_refuses_the_restore_in_one_line(
    program: Module, tmp_path: Path, pipe: tuple[int, int], path: str
) -> None:
    home = make_data(tmp_path / "home")
    with open(tmp_path / "output", "wb") as out:
        wasi = Wasi(["migration", "60000"], {}, [(home, "/data", False)], pipe[0], out, 2)
        run = api.start(program, "_start", (), wasi.imports(), path=path, wasi=wasi)
        leg = stop_after(run, tmp_path / "output", b"sleeping", 0.1)
        wasi.close()
        (home / "log").unlink()
        with pytest.raises(CheckpointError, match=r"^/data/log is open, but is missing now$"):
            restored(program, leg.data, path, [(home, "/data", False)], pipe[0], out)
