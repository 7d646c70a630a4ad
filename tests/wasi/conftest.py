"""Guests in a small world, on our functions and on wasmtime's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.need_helpers import need
from tests.wasi.c_program_helpers import Compile, compiler
from tests.wasi.host_time_helpers import HostTime
from tests.wasi.peer_helpers import Make, OurBackend, Peer, WasmtimeBackend
from tests.wasi.world_helpers import make_world


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
