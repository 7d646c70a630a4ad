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
from tests.path_helpers import each_path
from tests.wasi.c_program_helpers import Compile, restored, stop_after
from tests.wasi.host_time_helpers import SECOND, HostTime

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


@pytest.mark.parametrize("paths", [("aot", "interp", "aot"), ("interp", "aot", "interp")])
def test_a_program_is_moved_in_its_sleep_and_while_it_waits(
    program: Module,
    tmp_path: Path,
    pipe: tuple[int, int],
    host_time: HostTime,
    paths: tuple[str, str, str],
) -> None:
    """Stop in the sleep of 3,000 seconds, move, go on; stop in the wait for input, move, go on."""
    waited = []
    home = make_data(tmp_path / "home0")
    with open(tmp_path / "output", "wb") as out:
        wasi = Wasi(["migration", "3000000"], {}, [(home, "/data", False)], pipe[0], out, 2)
        run = api.start(program, "_start", (), wasi.imports(), path=paths[0], wasi=wasi)
        # A third of the sleep; the rest of it and a while of the wait for input.
        for turn, seconds, marker in ((1, 1000, b"sleeping\n"), (2, 2100, b"waiting\n")):
            leg = stop_after(run, host_time, seconds)
            assert not leg.finished
            assert (tmp_path / "output").read_bytes().endswith(marker)
            waited.append(leg.nanoseconds)
            wasi.close()
            elsewhere = tmp_path / f"home{turn}"
            shutil.copytree(home, elsewhere)
            shutil.rmtree(home)
            home = elsewhere
            dirs = [(home, "/data", False)]
            # What goes by meanwhile is no part of the sleep.
            host_time.go_by(10**12)
            run, wasi = restored(program, leg.data, paths[turn], dirs, pipe[0], out)
            assert run.checkpoint() == leg.data
        os.write(pipe[1], b"typed\n")
        leg = stop_after(run, host_time, 10**6)
        waited.append(leg.nanoseconds)
        wasi.close()
    assert (leg.finished, leg.status) == (True, 7)
    assert (tmp_path / "output").read_bytes() == OUTPUT
    assert (home / "log").read_bytes() == b"zero\none\ntwo\n"
    assert (home / "both").read_bytes() == b"middle END"
    assert sorted(p.name for p in home.iterdir()) == ["both", "input", "log", "names"]
    # Each stop at once, the rest of the sleep only, and then woken by the line alone.
    assert 0 <= waited[0] - 1000 * SECOND <= SECOND // 100
    assert 0 <= waited[1] - 2100 * SECOND <= SECOND // 100
    assert waited[2] == 0


@each_path
def test_a_missing_file_refuses_the_restore_in_one_line(
    program: Module, tmp_path: Path, pipe: tuple[int, int], host_time: HostTime, path: str
) -> None:
    home = make_data(tmp_path / "home")
    with open(tmp_path / "output", "wb") as out:
        wasi = Wasi(["migration", "60000"], {}, [(home, "/data", False)], pipe[0], out, 2)
        run = api.start(program, "_start", (), wasi.imports(), path=path, wasi=wasi)
        leg = stop_after(run, host_time, 1)
        wasi.close()
        (home / "log").unlink()
        with pytest.raises(CheckpointError, match=r"^/data/log is open, but is missing now$"):
            restored(program, leg.data, path, [(home, "/data", False)], pipe[0], out)
