"""Every function against arguments that nobody means well by: the outcome is an errno, or what is
documented, and whatever state is left can be saved and read again."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chiwawa_runtime.errors import CheckpointError, Interrupted, WasiExit
from chiwawa_runtime.wasi import Wasi, abi, saved
from chiwawa_runtime.wasi.functions import FUNCTIONS
from chiwawa_runtime.wasi.guest import PIECE
from chiwawa_runtime.wasi.signatures import SIGNATURES
from tests.wasi.bounds_helpers import at_most
from tests.wasi.peer_helpers import OurBackend, clock_subscription, fd_subscription
from tests.wasi.world_helpers import make_world

SIZE = 2 * 65536
#: What stands in a guest's memory, each at a multiple of 256.
PATHS = (
    b"file",
    b"link",
    b"dirlink/inner",
    b"sub/deep/..",
    b"sub",
    b"empty/",
    b"new",
    b"fifo",
    b"../outside/secret",
    b"/etc/passwd",
    b"loop",
    b"a\0b",
    b"\xff",
    b"d/" * 100,
)
LISTS = (
    struct.pack("<II", 0, 4) * 8,
    struct.pack("<II", 0x4000, 100) + struct.pack("<II", 0x4000, SIZE - 0x4000) * 20,
    struct.pack("<II", SIZE - 1, 2),
    clock_subscription(1, abi.MONOTONIC, 5) + clock_subscription(2, abi.REALTIME, (1 << 64) - 1),
    clock_subscription(3, abi.MONOTONIC, (1 << 64) - 1, absolute=True),
    fd_subscription(4, 1, 0) + fd_subscription(5, 2, 5) + fd_subscription(6, 1, 99),
)
STEP = 256
CONTENT = b"".join(item.ljust(STEP, b"\0") for item in PATHS + LISTS)

ADDRESSES = st.sampled_from([*range(0, len(CONTENT), STEP), SIZE - 8, SIZE - 1, SIZE])
SMALL = st.integers(0, 12)
EDGES_32 = st.sampled_from([SIZE, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 8, (1 << 32) - 1])
EDGES_64 = st.sampled_from([1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
I32 = st.one_of(SMALL, ADDRESSES, EDGES_32, st.integers(0, (1 << 32) - 1))
RIGHTS = st.sampled_from([abi.ALL_RIGHTS, abi.FILE_RIGHTS, abi.FD_READ, abi.DIRECTORY_RIGHTS])
I64 = st.one_of(SMALL, EDGES_32, EDGES_64, RIGHTS, st.integers(0, (1 << 64) - 1))


def calls_of(name: str) -> st.SearchStrategy[tuple[str, tuple[int, ...]]]:
    params, _ = SIGNATURES[name]
    args = st.tuples(*[I32 if param == "i32" else I64 for param in params])
    return st.tuples(st.just(name), args)


def each_of(value: str) -> list[int]:
    """Values of a parameter of this type that meet the ends of what it can be."""
    return [0, 1, 3, 7, SIZE - 1, (1 << (32 if value == "i32" else 64)) - 1]


#: Calls of each function with the same in all places, and with zeros in all but one.
CALLS = {
    name: [
        *((name, tuple(each_of(p)[i] for p in params)) for i in range(6)),
        *(
            (name, tuple(value if j == i else 0 for j in range(len(params))))
            for i, param in enumerate(params)
            for value in each_of(param)
        ),
    ]
    for name, (params, _) in SIGNATURES.items()
}

END_OF_TIME = ("poll_oneoff", (18 * STEP, 0x8000, 1, 0x9000))
FAR_OUT = ("fd_seek", (7, (1 << 63) - 1, 0, 0x8000))
LISTING = ("fd_readdir", (3, 0x8000, 24, 0, 0x9000))
RENUMBERED = ("fd_renumber", (3, 1))

#: What brings a guest into another state first.
BEFORE = st.lists(
    st.sampled_from(
        [
            ("path_open", (3, 1, 0, 4, 0, abi.ALL_RIGHTS, 0, 0, 0x8000)),
            ("path_open", (3, 1, 0, 4, 0, abi.FILE_RIGHTS, 0, abi.APPEND, 0x8000)),
            ("path_open", (4, 1, 0, 4, 0, abi.FD_READ, 0, 0, 0x8000)),
            ("path_open", (3, 0, 4 * STEP, 3, 0, abi.ALL_RIGHTS, abi.ALL_RIGHTS, 0, 0x8000)),
            ("path_open", (3, 0, 7 * STEP, 4, 0, abi.FD_READ, 0, abi.NONBLOCK, 0x8000)),
            FAR_OUT,
            ("fd_seek", (7, 1 << 40, 0, 0x8000)),
            LISTING,
            ("fd_close", (0,)),
            RENUMBERED,
            END_OF_TIME,
            ("fd_fdstat_set_flags", (5, abi.NONBLOCK)),
            ("path_rename", (3, 4 * STEP, 3, 3, 6 * STEP, 3)),
        ]
    ),
    max_size=3,
)


@pytest.fixture(scope="module", autouse=True)
def small_files() -> Iterator[None]:
    """No file grows beyond 8 MiB."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextlib.contextmanager
def guest(folder: Path, deterministic: bool) -> Iterator[OurBackend]:
    """A guest with two directories, two sockets and a listener, whom a request keeps from ever
    waiting."""
    shutil.rmtree(folder, ignore_errors=True)
    make_world(folder)
    os.mkfifo(folder / "work" / "fifo")
    near, far = socket.socketpair()
    with near, far, socket.create_server(("127.0.0.1", 0)) as server:
        backend = OurBackend()
        backend.wasi.close()
        dirs = [(folder / "work", "/data", False), (folder / "fixed", "/fixed", True)]
        sockets = [near.fileno(), server.fileno()]
        streams = (*backend.handles[:2], 2)
        wasi = Wasi(["p"], {"A": "1"}, dirs, *streams, deterministic=deterministic, sockets=sockets)
        backend.adopt(wasi)
        backend.write(0, CONTENT)
        backend.requests.ask()
        try:
            yield backend
            check_state(wasi, dirs, streams, sockets)
        finally:
            backend.close()


def check_state(wasi: Wasi, dirs: Any, streams: Any, sockets: Any) -> None:
    try:
        data = wasi.save()
    except CheckpointError:
        return
    assert saved.encode(saved.decode(data)) == data
    try:
        again = Wasi.load(data, dirs, *streams, sockets=sockets)
    except CheckpointError as error:
        # Nobody reads the FIFO any more, or a size beyond what the host can have.
        refused = str(error)
        assert "nobody reads it now" in refused or "has no offset" in refused, refused
        return
    assert again.save() == data
    again.close()


def outcome(backend: OurBackend, name: str, args: tuple[int, ...]) -> None:
    try:
        errno = backend.call(name, *args)
    except (WasiExit, Interrupted):
        return
    assert 0 <= errno <= abi.NOTCAPABLE


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_arguments_do_more_than_fail(tmp_path: Path, name: str) -> None:
    @given(st.booleans(), BEFORE, st.lists(calls_of(name), min_size=5, max_size=20))
    @example(True, [END_OF_TIME, FAR_OUT, LISTING], CALLS[name])
    @example(False, [LISTING, RENUMBERED, FAR_OUT], CALLS[name])
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    def hold(
        deterministic: bool,
        before: list[tuple[str, tuple[int, ...]]],
        calls: list[tuple[str, tuple[int, ...]]],
    ) -> None:
        with guest(tmp_path / "world", deterministic) as backend:
            with at_most(8 * PIECE):
                for call in (*before, *calls):
                    outcome(backend, *call)
            assert (tmp_path / "world" / "outside" / "secret").exists()
            assert (tmp_path / "world" / "fixed" / "file").read_text() == "fixed"

    hold()


def test_any_functions_in_any_order_do_no_more(tmp_path: Path) -> None:
    any_call = st.sampled_from(list(FUNCTIONS)).flatmap(calls_of)

    @given(st.booleans(), BEFORE, st.lists(any_call, min_size=5, max_size=30))
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def hold(
        deterministic: bool,
        before: list[tuple[str, tuple[int, ...]]],
        calls: list[tuple[str, tuple[int, ...]]],
    ) -> None:
        with guest(tmp_path / "world", deterministic) as backend:
            for call in (*before, *calls):
                outcome(backend, *call)

    hold()
