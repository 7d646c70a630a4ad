"""Arguments, clocks, randomness, signals, standard streams, polling and sockets."""

from __future__ import annotations

import io
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from chiwawa_runtime.engine.polling import Polling
from chiwawa_runtime.engine.requests import Requests
from chiwawa_runtime.errors import BadInput, Interrupted, Trap, WasiExit
from chiwawa_runtime.wasi import Wasi, abi
from tests.wasi.host_time_helpers import HostTime
from tests.wasi.peer_helpers import (
    BUFFER,
    SCRATCH,
    Instance,
    Make,
    OurBackend,
    Peer,
    clock_subscription,
    fd_subscription,
)

SECOND = 10**9


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for handle in (reading, writing):
        with suppress(OSError):
            os.close(handle)


@pytest.fixture
def over() -> Iterator[Any]:
    """A guest over a given state."""
    made: list[OurBackend] = []

    def make(*args: Any, **options: Any) -> Peer:
        backend = OurBackend()
        backend.wasi.close()
        backend.adopt(Wasi(*args, **options))
        made.append(backend)
        return Peer(backend)

    yield make
    for backend in made:
        backend.close()


def backend_of(guest: Peer) -> OurBackend:
    assert isinstance(guest.backend, OurBackend)
    return guest.backend


#: In how many nanoseconds a request is seen while a call waits.
AT_ONCE = SECOND // 100


def test_arguments_and_environment_are_laid_out_as_strings_and_pointers(guest: Peer) -> None:
    assert guest.call("args_sizes_get", SCRATCH, SCRATCH + 4) == 0
    assert (guest.u32(SCRATCH), guest.u32(SCRATCH + 4)) == (2, 8)
    assert guest.call("args_get", SCRATCH, BUFFER) == 0
    assert struct.unpack("<II", guest.read(SCRATCH, 8)) == (BUFFER, BUFFER + 5)
    assert guest.read(BUFFER, 8) == b"prog\0-x\0"
    assert guest.call("environ_sizes_get", SCRATCH, SCRATCH + 4) == 0
    assert (guest.u32(SCRATCH), guest.u32(SCRATCH + 4)) == (2, 18)
    assert guest.call("environ_get", SCRATCH, BUFFER) == 0
    assert guest.read(BUFFER, 18) == b"HOME=/data\0EMPTY=\0"


def test_a_guest_knows_nothing_of_the_host_s_environment(over: Any) -> None:
    guest = over()
    assert guest.call("environ_sizes_get", SCRATCH, SCRATCH + 4) == 0
    assert (guest.u32(SCRATCH), guest.u32(SCRATCH + 4)) == (0, 0)
    assert guest.call("args_sizes_get", SCRATCH, SCRATCH + 4) == 0
    assert guest.u32(SCRATCH) == 0
    assert guest.fdstat(3)[0] == abi.BADF


@pytest.mark.parametrize("options", [{"args": ["a\0b"]}, {"env": {"A": "\0"}}])
def test_a_zero_in_an_argument_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="has a zero byte in it"):
        Wasi(**options)


def test_a_directory_that_cannot_be_opened_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"^cannot open the directory /nowhere: No such file"):
        Wasi(dirs=[("/nowhere", "/", False)])


def test_the_wall_clock_and_the_monotonic_clock_go_on(guest: Peer) -> None:
    for clock in (abi.REALTIME, abi.MONOTONIC):
        assert guest.call("clock_res_get", clock, SCRATCH) == 0
        assert guest.u64() > 0
        seen = []
        for _ in range(2):
            assert guest.call("clock_time_get", clock, 0, SCRATCH) == 0
            seen.append(guest.u64())
        assert seen[0] <= seen[1]
        if clock == abi.REALTIME:
            assert abs(seen[0] - time.time_ns()) < 60 * SECOND


def test_the_clocks_of_the_processor_s_time_go_on_too(mine: Peer) -> None:
    for clock in (abi.PROCESS_CPUTIME, abi.THREAD_CPUTIME):
        assert mine.call("clock_res_get", clock, SCRATCH) == 0
        assert mine.call("clock_time_get", clock, 0, SCRATCH) == 0
        before = mine.u64()
        while time.process_time_ns() % 1000 == 0:
            pass
        assert mine.call("clock_time_get", clock, 0, SCRATCH) == 0
        assert mine.u64() >= before
    assert mine.call("clock_time_get", 4, 0, SCRATCH) == abi.INVAL
    assert mine.call("clock_res_get", 4, SCRATCH) == abi.INVAL


def test_random_bytes_fill_the_buffer_and_no_more(guest: Peer) -> None:
    guest.write(BUFFER, b"\0" * 70)
    assert guest.call("random_get", BUFFER, 64) == 0
    assert guest.read(BUFFER, 64).count(0) < 20
    assert guest.read(BUFFER + 64, 6) == b"\0" * 6
    assert guest.call("random_get", 0, 100_000) == 0


def test_yielding_succeeds(guest: Peer) -> None:
    assert guest.call("sched_yield") == 0


def test_exiting_ends_the_program_with_its_status(mine: Peer) -> None:
    with pytest.raises(WasiExit) as caught:
        mine.call("proc_exit", 0xFFFFFFFF)
    assert caught.value.code == 0xFFFFFFFF


@pytest.mark.parametrize(
    ("signal", "status"), [(1, 129), (6, 134), (11, 139), (15, 143), (30, 159)]
)
def test_a_deadly_signal_ends_the_program_as_a_shell_would_say(
    mine: Peer, signal: int, status: int
) -> None:
    with pytest.raises(WasiExit) as caught:
        mine.call("proc_raise", signal)
    assert caught.value.code == status


def test_other_signals_are_ignored_or_refused(mine: Peer) -> None:
    assert [mine.call("proc_raise", s) for s in (0, 16, 17, 22, 27)] == [0] * 5
    assert [mine.call("proc_raise", s) for s in (18, 19, 20, 21)] == [abi.NOTSUP] * 4
    assert mine.call("proc_raise", 31) == abi.INVAL


def test_a_program_without_memory_traps() -> None:
    class Bare(Instance):
        def memory(self, _index: int = 0) -> Any:
            raise IndexError

    wasi = Wasi()
    call = wasi.imports()["wasi_snapshot_preview1"]["sched_yield"].call
    with pytest.raises(Trap, match="no memory"):
        call(Bare(None, Requests(Polling({}))))
    wasi.close()


# Standard streams.


def test_standard_streams_are_streams(guest: Peer) -> None:
    for fd in range(3):
        assert guest.seek(fd, 0)[0] == abi.SPIPE
        assert guest.tell(fd)[0] == abi.SPIPE
        assert guest.filestat(fd)[0] == 0
        assert guest.call("fd_sync", fd) == abi.BADF
        assert guest.call("sock_shutdown", fd, 3) == abi.NOTSOCK
        assert guest.call("fd_prestat_dir_name", fd, SCRATCH, 10) == abi.NOTDIR
    assert guest.fd_pread(0, 1, 0) == abi.SPIPE
    assert guest.fd_write(0, b"x")[0] == abi.BADF
    assert guest.fd_read(1) == abi.BADF


def test_what_is_written_is_out_when_the_call_returns(over: Any, pipe: tuple[int, int]) -> None:
    guest = over(stdout=pipe[1])
    assert guest.fd_write(1, b"no newline") == (0, 10)
    assert os.read(pipe[0], 100) == b"no newline"


def test_python_file_objects_serve_as_streams(over: Any) -> None:
    out, err = io.BytesIO(), io.BytesIO()
    guest = over(stdin=io.BytesIO(b"line\nrest"), stdout=out, stderr=err)
    assert guest.fd_read(0, 5) == b"line\n"
    assert guest.fd_read(0, 100) == b"rest"
    assert guest.fd_read(0, 100) == b""
    assert guest.fd_write(1, b"out") == (0, 3)
    assert guest.fd_write(2, b"err") == (0, 3)
    assert (out.getvalue(), err.getvalue()) == (b"out", b"err")
    assert guest.poll(fd_subscription(1, 1, 0))[0][:3] == (1, 0, 1)


def test_a_reader_that_is_gone_ends_the_program_quietly(over: Any, pipe: tuple[int, int]) -> None:
    guest = over(stdout=pipe[1])
    os.close(pipe[0])
    with pytest.raises(WasiExit) as caught:
        guest.fd_write(1, b"x")
    assert caught.value.code == 141


def test_a_terminal_is_a_character_device(over: Any) -> None:
    ours, theirs = os.openpty()
    try:
        guest = over(stdin=theirs, stdout=theirs)
        assert guest.fdstat(0)[1] == abi.CHARACTER_DEVICE
        _, kind, _, rights, _ = guest.fdstat(1)
        assert kind == abi.CHARACTER_DEVICE
        # What a C library's isatty wants to see.
        assert not rights & (abi.FD_SEEK | abi.FD_TELL)
        os.write(ours, b"typed\n")
        assert guest.fd_read(0) == b"typed\n"
    finally:
        os.close(ours)
        os.close(theirs)


def test_reading_a_pipe_takes_what_is_there_and_then_the_end(
    over: Any, pipe: tuple[int, int]
) -> None:
    guest = over(stdin=pipe[0])
    os.write(pipe[1], b"abc")
    assert guest.fd_read(0, 100) == b"abc"
    os.close(pipe[1])
    assert guest.fd_read(0, 100) == b""


def test_a_blocked_read_is_interrupted_at_once_and_has_no_effect(
    over: Any, pipe: tuple[int, int], host_time: HostTime
) -> None:
    guest = over(stdin=pipe[0])
    before = guest.read(0, 65536)
    host_time.after(60, backend_of(guest).requests.ask)
    begun = host_time.now
    with pytest.raises(Interrupted):
        guest.fd_read(0, 100)
    assert 0 <= host_time.now - begun - 60 * SECOND <= AT_ONCE
    guest.write(SCRATCH, before[SCRATCH : SCRATCH + 16])
    assert guest.read(0, 65536) == before
    backend_of(guest).requests.take()
    os.write(pipe[1], b"later")
    assert guest.fd_read(0, 100) == b"later"


def test_a_read_that_need_not_wait_is_made_though_a_request_is_pending(
    over: Any, pipe: tuple[int, int]
) -> None:
    guest = over(stdin=pipe[0])
    os.write(pipe[1], b"there")
    backend_of(guest).requests.ask()
    assert guest.fd_read(0, 100) == b"there"


def test_a_blocked_write_is_interrupted_with_what_was_written_counted(
    over: Any, pipe: tuple[int, int], host_time: HostTime
) -> None:
    guest = over(stdout=pipe[1])
    # Time goes by only while it waits: it is full then.
    host_time.after(0.2, backend_of(guest).requests.ask)
    content = bytes(range(256)) * 200
    written = 0
    with suppress(Interrupted):
        for _ in range(100):
            errno, n = guest.fd_write(1, content)
            assert errno == 0
            written += n
        pytest.fail("the pipe took everything")
    os.close(pipe[1])
    arrived = 0
    while chunk := os.read(pipe[0], 1 << 16):
        arrived += len(chunk)
    assert arrived == written > 0
    backend_of(guest).wasi.process.streams[1].handle = None


def test_a_stream_that_must_not_block_says_eagain(over: Any, pipe: tuple[int, int]) -> None:
    guest = over(stdin=pipe[0])
    assert guest.call("fd_fdstat_set_flags", 0, abi.NONBLOCK) == 0
    assert guest.fdstat(0)[2] == abi.NONBLOCK
    assert guest.fd_read(0, 10) == abi.AGAIN
    os.write(pipe[1], b"x")
    assert guest.fd_read(0, 10) == b"x"


# Polling.


def test_polling_nothing_is_refused(guest: Peer) -> None:
    assert guest.poll() == abi.INVAL


def test_sleeping_lasts_as_long_as_was_asked(guest: Peer) -> None:
    for clock in (abi.MONOTONIC, abi.REALTIME):
        begun = time.monotonic()
        assert guest.poll(clock_subscription(7, clock, SECOND // 20)) == [(7, 0, 0, 0, 0)]
        assert time.monotonic() - begun > 0.045


def test_sleeping_lasts_no_longer_than_was_asked(over: Any, host_time: HostTime) -> None:
    guest = over()
    for clock in (abi.MONOTONIC, abi.REALTIME):
        begun = host_time.now
        assert guest.poll(clock_subscription(7, clock, 123_456_789)) == [(7, 0, 0, 0, 0)]
        assert host_time.now - begun == 123_456_789
    guest.call("clock_time_get", 1, 0, SCRATCH)
    begun = host_time.now
    until = guest.u64() + 3600 * SECOND
    assert guest.poll(clock_subscription(3, 1, until, absolute=True)) == [(3, 0, 0, 0, 0)]
    assert host_time.now - begun == 3600 * SECOND


def test_the_first_of_several_clocks_wakes_the_sleeper(guest: Peer) -> None:
    events = guest.poll(clock_subscription(1, 1, 60 * SECOND), clock_subscription(2, 1, 1000))
    assert events == [(2, 0, 0, 0, 0)]


def test_a_moment_that_has_passed_is_no_reason_to_wait(guest: Peer) -> None:
    assert guest.poll(clock_subscription(3, 0, 5, absolute=True)) == [(3, 0, 0, 0, 0)]


def test_sleeping_until_a_moment_ends_then(guest: Peer) -> None:
    guest.call("clock_time_get", 1, 0, SCRATCH)
    begun = time.monotonic()
    until = guest.u64() + SECOND // 20
    assert guest.poll(clock_subscription(3, 1, until, absolute=True)) == [(3, 0, 0, 0, 0)]
    assert time.monotonic() - begun > 0.03


def test_what_cannot_be_waited_for_is_refused(guest: Peer) -> None:
    assert guest.poll(clock_subscription(1, abi.PROCESS_CPUTIME, 1)) == abi.INVAL
    assert guest.poll(clock_subscription(1, 9, 1)) == abi.INVAL
    assert guest.poll(fd_subscription(1, 7, 0)) == abi.INVAL


def test_files_are_always_ready_and_bad_descriptors_are_events(mine: Peer) -> None:
    fd = mine.open(3, b"file", rights=abi.FILE_RIGHTS)
    mine.fd_read(fd, 5)
    assert mine.poll(
        fd_subscription(1, 1, fd),
        fd_subscription(2, 2, fd),
        fd_subscription(3, 1, 99),
        fd_subscription(4, 1, 3),
        fd_subscription(5, 2, 0),
        clock_subscription(6, 1, SECOND),
    ) == [(1, 0, 1, 6, 0), (2, 0, 2, 1, 0), (3, 8, 1, 0, 0), (4, 8, 1, 0, 0), (5, 8, 2, 0, 0)]


def test_a_pipe_is_ready_when_something_is_in_it(
    over: Any, pipe: tuple[int, int], host_time: HostTime
) -> None:
    guest = over(stdin=pipe[0])
    both = (fd_subscription(1, 1, 0), clock_subscription(2, 1, SECOND // 50))
    assert guest.poll(*both) == [(2, 0, 0, 0, 0)]
    host_time.after(30, lambda: os.write(pipe[1], b"abc"))
    assert guest.poll(both[0], clock_subscription(2, 1, 60 * SECOND)) == [(1, 0, 1, 3, 0)]
    assert guest.fd_read(0) == b"abc"
    os.close(pipe[1])
    assert guest.poll(both[0], clock_subscription(2, 1, 60 * SECOND)) == [(1, 0, 1, 0, 1)]


def test_an_interrupted_sleep_lasts_only_for_what_was_left(over: Any, host_time: HostTime) -> None:
    guest = over()
    host_time.after(300, backend_of(guest).requests.ask)
    begun = host_time.now
    with pytest.raises(Interrupted):
        guest.poll(clock_subscription(1, 1, 500 * SECOND))
    slept = host_time.now - begun
    assert 0 <= slept - 300 * SECOND <= AT_ONCE
    data = backend_of(guest).wasi.save()
    assert backend_of(guest).wasi.save() == data
    backend_of(guest).adopt(Wasi.load(data))
    begun = host_time.now
    assert guest.poll(clock_subscription(1, 1, 500 * SECOND)) == [(1, 0, 0, 0, 0)]
    assert host_time.now - begun + slept == 500 * SECOND
    begun = host_time.now
    assert guest.poll(clock_subscription(1, 1, 100 * SECOND)) == [(1, 0, 0, 0, 0)]
    assert host_time.now - begun == 100 * SECOND


def test_a_sleep_under_a_virtual_clock_takes_no_time(over: Any, host_time: HostTime) -> None:
    guest = over(deterministic=True)
    begun = host_time.now
    assert guest.poll(clock_subscription(1, 1, 3600 * SECOND)) == [(1, 0, 0, 0, 0)]
    assert host_time.now == begun
    guest.call("clock_time_get", 1, 0, SCRATCH)
    assert guest.u64() > 3600 * SECOND


# Sockets.


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def receive(guest: Peer, fd: int, n: int, flags: int = 0) -> bytes | int:
    guest.write(SCRATCH + 8, struct.pack("<II", BUFFER, n))
    errno = guest.call("sock_recv", fd, SCRATCH + 8, 1, flags, SCRATCH, SCRATCH + 4)
    return errno or guest.read(BUFFER, guest.u32())


def send(guest: Peer, fd: int, data: bytes, flags: int = 0) -> int:
    guest.write(BUFFER, data)
    guest.write(SCRATCH + 8, struct.pack("<II", BUFFER, len(data)))
    return guest.call("sock_send", fd, SCRATCH + 8, 1, flags, SCRATCH)


def test_a_connection_is_accepted_talked_over_and_shut_down(
    over: Any, server: socket.socket
) -> None:
    guest = over(sockets=[server.fileno()])
    assert guest.fdstat(3)[1] == abi.SOCKET_STREAM
    with socket.create_connection(server.getsockname()) as client:
        assert guest.call("sock_accept", 3, 0, SCRATCH) == 0
        fd = guest.u32()
        assert fd == 4
        client.sendall(b"question")
        assert receive(guest, fd, 5, abi.RECV_PEEK) == b"quest"
        assert receive(guest, fd, 8, abi.RECV_WAITALL) == b"question"
        assert send(guest, fd, b"answer") == 0
        assert client.recv(100) == b"answer"
        client.sendall(b"more")
        assert guest.fd_read(fd, 100) == b"more"
        assert guest.fd_write(fd, b"last") == (0, 4)
        assert guest.call("sock_shutdown", fd, abi.SHUT_WR) == 0
        assert client.recv(100) == b"last"
        assert client.recv(100) == b""
        assert send(guest, fd, b"x", 1) == abi.INVAL
        assert receive(guest, fd, 5, 4) == abi.INVAL
        assert guest.call("sock_shutdown", fd, 0) == abi.INVAL
        assert guest.call("fd_close", fd) == 0


def test_accepting_waits_unless_it_must_not_and_can_be_interrupted(
    over: Any, server: socket.socket, host_time: HostTime
) -> None:
    guest = over(sockets=[server.fileno()])
    host_time.after(60, backend_of(guest).requests.ask)
    begun = host_time.now
    with pytest.raises(Interrupted):
        guest.call("sock_accept", 3, 0, SCRATCH)
    assert 0 <= host_time.now - begun - 60 * SECOND <= AT_ONCE
    assert guest.call("fd_fdstat_set_flags", 3, abi.NONBLOCK) == 0
    assert guest.call("sock_accept", 3, 0, SCRATCH) == abi.AGAIN


def test_a_socket_is_no_file_and_a_file_no_socket(
    mine: Peer, over: Any, server: socket.socket
) -> None:
    guest = over(sockets=[server.fileno()])
    assert guest.seek(3, 0)[0] == abi.SPIPE
    assert receive(guest, 3, 1) == abi.INVAL
    assert guest.call("fd_prestat_get", 3, SCRATCH) == abi.BADF
    assert receive(mine, 3, 1) == abi.NOTSOCK
    assert send(mine, 1, b"x") == abi.NOTSOCK
    assert mine.call("sock_accept", 99, 0, SCRATCH) == abi.BADF


def test_what_is_no_socket_cannot_be_inherited_as_one(world: Any, ours: Make) -> None:
    with (
        open(world / "work" / "file", "rb") as file,
        pytest.raises(BadInput, match=r"^descriptor \d+ is no socket"),
    ):
        Wasi(sockets=[file.fileno()])
