"""A small world for a guest: a directory to write, one only to read, and what lies outside."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.need_helpers import need
from tests.wasi.host_time_helpers import HostTime
from tests.wasi.peers import OurBackend, Peer, WasmtimeBackend
from tests.wasi.programs import Compile, compiler

SECRET = "secret of the host"


def make_world(folder: Path) -> Path:
    """``work`` and ``fixed`` are given as /data (3) and /fixed (4, read-only)."""
    work, fixed = folder / "work", folder / "fixed"
    (folder / "outside" / "deep").mkdir(parents=True)
    (folder / "outside" / "secret").write_text(SECRET)
    for below in (work / "sub" / "deep", work / "empty", fixed / "sub"):
        below.mkdir(parents=True)
    (work / "file").write_text("hello world")
    (work / "other").write_text("other")
    (work / "sub" / "inner").write_text("inner")
    (fixed / "file").write_text("fixed")
    os.symlink("file", work / "link")
    os.symlink("sub", work / "dirlink")
    os.symlink("nowhere", work / "dangling")
    os.symlink("loop", work / "loop")
    return folder


@pytest.fixture
def host_time(monkeypatch: pytest.MonkeyPatch) -> HostTime:
    return HostTime(monkeypatch)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return make_world(tmp_path)


@pytest.fixture
def world_of(tmp_path: Path) -> dict[str, Path]:
    """A world for us and the same for wasmtime."""
    return {name: make_world(tmp_path / name) for name in ("ours", "theirs")}


Make = Callable[..., Peer]


@pytest.fixture
def ours(world: Path) -> Iterator[Make]:
    """Makes guests on our functions."""
    made: list[OurBackend] = []

    def make(**options: Any) -> Peer:
        dirs = [(world / "work", "/data", False), (world / "fixed", "/fixed", True)]
        backend = OurBackend(**{"dirs": dirs, **options})
        made.append(backend)
        return Peer(backend)

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def theirs(world: Path) -> Iterator[Make]:
    """Makes guests on wasmtime's functions."""
    need("wasmtime")
    made: list[WasmtimeBackend] = []

    def make(**options: Any) -> Peer:
        dirs = [(world / "work", "/data", False), (world / "fixed", "/fixed", True)]
        backend = WasmtimeBackend(**{"dirs": dirs, **options})
        made.append(backend)
        return Peer(backend)

    yield make
    for backend in made:
        backend.close()


@pytest.fixture(params=["ours", "wasmtime"])
def guest(request: pytest.FixtureRequest) -> Peer:
    """A guest on either: what a test expects, it expects of both."""
    make: Make = request.getfixturevalue("ours" if request.param == "ours" else "theirs")
    return make(args=["prog", "-x"], env={"HOME": "/data", "EMPTY": ""})


@pytest.fixture
def mine(ours: Make) -> Peer:
    """A guest on ours, for what wasmtime leaves out."""
    return ours(args=["prog", "-x"], env={"HOME": "/data", "EMPTY": ""})


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """The Wasm of a C program in ``programs``, by name."""
    return compiler(tmp_path_factory.mktemp("compiled"))
