"""What one call may cost the host: bounded, whatever a guest passes."""

from __future__ import annotations

import io
import os
import socket
import struct
from pathlib import Path

import pytest

from chiwawa_runtime.wasi import Wasi, abi
from chiwawa_runtime.wasi.guest import MAX_VECTORS, PATH_MAX, PIECE
from chiwawa_runtime.wasi.poll_calls import MAX_SUBSCRIPTIONS
from tests.wasi.bounds_helpers import at_most
from tests.wasi.peer_helpers import BUFFER, SCRATCH, OurBackend, Peer, clock_subscription

FILE = abi.FILE_RIGHTS
READER = FILE & ~abi.FD_WRITE
#: A guest's memory here.
SIZE = 4 << 20
#: Where its lists of buffers stand.
LIST = 1 << 16


def backend_of(guest: Peer) -> OurBackend:
    assert isinstance(guest.backend, OurBackend)
    return guest.backend


@pytest.fixture
def big(mine: Peer) -> Peer:
    """A guest with 4 MiB, which are not all the same."""
    memory = backend_of(mine).memory
    memory.grow(SIZE // 65536 - 2)
    mine.write(SIZE // 2, os.urandom(SIZE // 2))
    return mine


def buffers(guest: Peer, *vectors: tuple[int, int]) -> tuple[int, int]:
    guest.write(LIST, b"".join(struct.pack("<II", *v) for v in vectors))
    return LIST, len(vectors)


@pytest.mark.parametrize("call", ["fd_write", "fd_pwrite"])
def test_many_buffers_over_one_place_cost_no_more_than_the_memory(
    big: Peer, world: Path, call: str
) -> None:
    fd = big.open(3, b"new", oflags=abi.CREAT, rights=FILE)
    vectors = buffers(big, *[(0, SIZE)] * 8000)
    offset = (0,) if call == "fd_pwrite" else ()
    with at_most(4 * PIECE):
        assert big.call(call, fd, *vectors, *offset, SCRATCH) == 0
    assert big.u32() == SIZE
    # The count itself was written afterwards.
    content = (world / "work" / "new").read_bytes()
    assert content[SCRATCH + 4 :] == big.read(SCRATCH + 4, SIZE - SCRATCH - 4)
    assert len(content) == SIZE


@pytest.mark.parametrize("call", ["fd_read", "fd_pread"])
def test_many_buffers_are_read_into_a_piece_at_a_time(big: Peer, world: Path, call: str) -> None:
    with open(world / "work" / "sparse", "wb") as file:
        file.truncate(1 << 30)
        file.seek(SIZE - 3)
        file.write(b"end")
    fd = big.open(3, b"sparse", rights=READER)
    half = SIZE // 2
    vectors = buffers(big, *[(half, half)] * 8000)
    offset = (0,) if call == "fd_pread" else ()
    with at_most(4 * PIECE):
        assert big.call(call, fd, *vectors, *offset, SCRATCH) == 0
    assert big.u32() == SIZE
    assert big.read(half, half) == bytes(half - 3) + b"end"


def test_a_large_buffer_is_written_and_read_whole(big: Peer, world: Path) -> None:
    fd = big.open(3, b"new", oflags=abi.CREAT, rights=FILE)
    half = SIZE // 2
    pieces = ((half, 5), (half + 5, PIECE), (half + 5 + PIECE, half - 5 - PIECE))
    assert big.call("fd_write", fd, *buffers(big, *pieces), SCRATCH) == 0
    assert big.u32() == half
    content = big.read(half, half)
    assert (world / "work" / "new").read_bytes() == content
    big.write(half, bytes(half))
    assert big.call("fd_pread", fd, *buffers(big, *pieces), 0, SCRATCH) == 0
    assert (big.u32(), big.read(half, half)) == (half, content)


def test_standard_streams_take_and_give_a_piece_at_a_time(big: Peer, world: Path) -> None:
    backend = backend_of(big)
    out = io.BytesIO()
    backend.wasi.close()
    with open(world / "work" / "sparse", "w+b") as file:
        file.truncate(1 << 30)
        backend.adopt(Wasi((), (), (), file, out, 2))
        with at_most(SIZE + 4 * PIECE):
            # What is written is kept here, by the file in memory.
            assert big.call("fd_write", 1, *buffers(big, (0, SIZE)), SCRATCH) == 0
        assert (big.u32(), len(out.getvalue())) == (SIZE, SIZE)
        with at_most(4 * PIECE):
            assert big.call("fd_read", 0, *buffers(big, (SIZE // 2, SIZE // 2)), SCRATCH) == 0
        assert big.u32() == SIZE // 2


def test_buffers_beyond_the_first_thousand_make_the_count_short(big: Peer, world: Path) -> None:
    fd = big.open(3, b"new", oflags=abi.CREAT, rights=FILE)
    big.write(BUFFER, b"ab")
    vectors = buffers(big, *[(BUFFER, 1), (BUFFER + 1, 0), (BUFFER + 1, 1)] * MAX_VECTORS)
    assert big.call("fd_write", fd, *vectors, SCRATCH) == 0
    assert (world / "work" / "new").read_bytes() == (b"ab" * MAX_VECTORS)[: big.u32()]
    assert big.u32() == MAX_VECTORS * 2 // 3 + 1
    # A count of zero would say that the file has ended.
    vectors = buffers(big, *[(BUFFER, 0)] * MAX_VECTORS, (BUFFER, 1))
    for call in ("fd_read", "fd_write"):
        assert big.call(call, fd, *vectors, SCRATCH) == abi.INVAL


def test_a_request_to_stop_ends_a_long_write_and_a_long_read_early(big: Peer, world: Path) -> None:
    fd = big.open(3, b"new", oflags=abi.CREAT, rights=FILE)
    vectors = buffers(big, (0, SIZE))
    backend_of(big).requests.ask()
    assert big.call("fd_write", fd, *vectors, SCRATCH) == 0
    assert big.u32() == (world / "work" / "new").stat().st_size == PIECE
    backend_of(big).requests.take()
    os.truncate(world / "work" / "new", SIZE)
    backend_of(big).requests.ask()
    vectors = buffers(big, (SIZE // 2, SIZE // 2))
    assert big.call("fd_pread", fd, *vectors, 0, SCRATCH) == 0
    assert big.u32() == PIECE


def test_a_socket_is_sent_a_piece_and_a_datagram_all_or_nothing(big: Peer) -> None:
    backend = backend_of(big)
    near, far = socket.socketpair()
    gram, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far, gram, other:
        backend.wasi.close()
        backend.adopt(Wasi((), (), (), sockets=[near.fileno(), gram.fileno()]))
        vectors = buffers(big, *[(0, SIZE)] * 2000)
        with at_most(4 * PIECE):
            assert big.call("sock_send", 3, *vectors, 0, SCRATCH) == 0
            assert 0 < big.u32() <= PIECE
            assert big.call("sock_send", 4, *vectors, 0, SCRATCH) == abi.MSGSIZE
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(1)
        assert big.call("sock_send", 4, *buffers(big, (0, 3), (9, 4)), 0, SCRATCH) == 0
        assert (big.u32(), len(other.recv(100))) == (7, 7)
        far.send(b"abc")
        with at_most(4 * PIECE):
            assert big.call("sock_recv", 3, *vectors, 0, SCRATCH, SCRATCH + 4) == 0
        assert big.u32() == 3


def test_what_a_socket_has_given_is_kept_when_a_request_comes(big: Peer) -> None:
    backend = backend_of(big)
    near, far = socket.socketpair()
    with near, far:
        backend.wasi.close()
        backend.adopt(Wasi((), (), (), sockets=[near.fileno()]))
        far.send(b"abc")
        backend.requests.ask()
        vectors = buffers(big, (BUFFER, 10))
        got = big.call("sock_recv", 3, *vectors, abi.RECV_WAITALL, SCRATCH, SCRATCH + 4)
        assert (got, big.u32(), big.read(BUFFER, 3)) == (0, 3, b"abc")


def test_huge_counts_and_sizes_are_answered_with_little_memory(big: Peer) -> None:
    with at_most(4 * PIECE):
        assert big.call("random_get", 0, SIZE) == 0
        assert big.call("fd_readdir", 3, 0, SIZE - 8, 0, SIZE - 4) == 0
        for length in (PATH_MAX, SIZE):
            assert big.call("path_create_directory", 3, 0, length) == abi.NAMETOOLONG
        assert big.call("path_symlink", 0, SIZE, 3, 0, 1) == abi.NAMETOOLONG
    big.write(0, clock_subscription(1, abi.MONOTONIC, 0) * (MAX_SUBSCRIPTIONS + 1))
    events = SIZE // 2
    assert big.call("poll_oneoff", 0, events, MAX_SUBSCRIPTIONS + 1, SIZE - 4) == abi.INVAL
    assert big.call("poll_oneoff", 0, events, MAX_SUBSCRIPTIONS, SIZE - 4) == 0
    assert big.u32(SIZE - 4) == MAX_SUBSCRIPTIONS
