"""The state that a checkpoint carries: canonical, found again elsewhere, or refused."""

from __future__ import annotations

import os
import random
import shutil
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.wasi import Wasi, abi
from tests.wasi.host_time_helpers import HostTime
from tests.wasi.peer_helpers import Make, OurBackend, Peer, clock_subscription

FILE = abi.FILE_RIGHTS
READER = FILE & ~abi.FD_WRITE


class Moves:
    """Carries a guest's state elsewhere."""

    def __init__(self, world: Path) -> None:
        self.world = world
        self.made: list[OurBackend] = []

    def dirs(self, home: Path) -> list[tuple[Path, str, bool]]:
        return [(home / "work", "/data", False), (home / "fixed", "/fixed", True)]

    def load(self, data: bytes, home: Path | None = None, **options: Any) -> Peer:
        options.setdefault("dirs", self.dirs(home or self.world))
        streams = [os.open(os.devnull, os.O_RDWR)] * 3
        backend = OurBackend.__new__(OurBackend)
        backend.handles = streams[:1]
        self.made.append(backend)
        backend.wasi = Wasi((), (), ())
        backend.adopt(Wasi.load(data, options.pop("dirs"), *streams, **options))
        return Peer(backend)

    def copy(self) -> Path:
        """The world, moved: what was there is gone."""
        home = self.world.parent / (self.world.name + "_elsewhere")
        shutil.copytree(self.world, home, symlinks=True)
        shutil.rmtree(self.world / "work")
        return home


@pytest.fixture
def moves(world: Path) -> Iterator[Moves]:
    moves = Moves(world)
    yield moves
    for backend in moves.made:
        backend.close()


def save(guest: Peer) -> bytes:
    assert isinstance(guest.backend, OurBackend)
    return guest.backend.wasi.save()


def test_the_state_is_the_same_however_often_it_is_saved(mine: Peer, moves: Moves) -> None:
    fd = mine.open(3, b"file", rights=READER)
    mine.fd_read(fd, 5)
    mine.call("clock_time_get", 1, 0, 1024)
    data = save(mine)
    assert save(mine) == data
    assert save(moves.load(data)) == data


def test_equal_deeds_give_equal_bytes_on_another_host(
    ours: Make, world: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("quite_another_place") / "x"
    shutil.copytree(world, other, symlinks=True)
    states = []
    for home in (world, other):
        guest = ours(dirs=Moves(home).dirs(home), args=["p"], env={"A": "1"})
        fd = guest.open(3, b"file", rights=FILE)
        guest.fd_write(fd, b"changed")
        guest.open(3, b"sub", oflags=abi.OPEN_DIRECTORY, rights=abi.DIRECTORY_RIGHTS)
        guest.readdir(6)
        states.append(save(guest))
    assert states[0] == states[1]
    for secret in (str(world), str(other)):
        assert os.fsencode(secret) not in states[0]


def test_open_files_go_on_elsewhere_where_they_were(mine: Peer, moves: Moves) -> None:
    reader = mine.open(3, b"link", rights=READER)
    assert mine.fd_read(reader, 6) == b"hello "
    appender = mine.open(3, b"log", oflags=abi.CREAT | abi.EXCL, rights=FILE, fdflags=abi.APPEND)
    mine.fd_write(appender, b"one\n")
    both = mine.open(3, b"other", oflags=abi.TRUNC, rights=FILE)
    mine.fd_write(both, b"both")
    assert mine.call("fd_renumber", both, 0) == 0
    below = mine.open(3, b"sub", oflags=abi.OPEN_DIRECTORY, rights=abi.DIRECTORY_RIGHTS)
    inner = mine.open(below, b"deep/../inner", rights=READER)
    assert mine.fd_read(inner, 2) == b"in"
    data = save(mine)
    home = moves.copy()
    guest = moves.load(data, home)
    assert save(guest) == data
    assert guest.fd_read(reader) == b"world"
    assert guest.fd_write(appender, b"two\n") == (0, 4)
    assert (home / "work" / "log").read_bytes() == b"one\ntwo\n"
    assert guest.tell(0) == (0, 4)
    assert guest.fd_write(0, b"!") == (0, 1)
    assert guest.fd_pread(0, 10, 0) == b"both!"
    assert guest.fd_read(inner) == b"ner"
    assert guest.path_open(below, b"../file", rights=abi.FD_READ)[0] == abi.PERM
    assert guest.fd_write(reader, b"x")[0] == abi.BADF


def test_a_directory_half_read_goes_on_where_it_was(mine: Peer, moves: Moves) -> None:
    entries = mine.readdir(3)
    assert isinstance(entries, list)
    data = save(mine)
    home = moves.copy()
    (home / "work" / "added").write_text("")
    guest = moves.load(data, home)
    assert guest.readdir(3, entries[3][0]) == entries[4:]


def test_flags_and_rights_given_up_stay_so(mine: Peer, moves: Moves) -> None:
    fd = mine.open(3, b"file", rights=FILE, fdflags=abi.NONBLOCK | abi.SYNC)
    assert mine.call("fd_fdstat_set_rights", fd, abi.FD_READ, 0) == 0
    assert mine.call("fd_fdstat_set_rights", 4, abi.PATH_OPEN, abi.FD_READ) == 0
    guest = moves.load(save(mine))
    assert guest.fdstat(fd) == (0, abi.REGULAR_FILE, abi.NONBLOCK | abi.SYNC, abi.FD_READ, 0)
    assert guest.fdstat(4)[3:] == (abi.PATH_OPEN, abi.FD_READ)
    assert guest.seek(fd, 0)[0] == abi.NOTCAPABLE


def test_closed_descriptors_stay_closed_and_need_no_directory(mine: Peer, moves: Moves) -> None:
    for fd in (0, 4):
        assert mine.call("fd_close", fd) == 0
    data = save(mine)
    guest = moves.load(data, dirs=moves.dirs(moves.world)[:1])
    assert guest.fdstat(0)[0] == abi.BADF
    assert guest.fdstat(4)[0] == abi.BADF
    assert save(guest) == data
    assert guest.open(3, b"file", rights=READER) == 0


def test_arguments_and_environment_travel(mine: Peer, moves: Moves) -> None:
    guest = moves.load(save(mine))
    for peer in (mine, guest):
        assert peer.call("args_sizes_get", 1024, 1028) == 0
        assert (peer.u32(1024), peer.u32(1028)) == (2, 8)
        assert peer.call("environ_get", 1024, 2048) == 0
        assert peer.read(2048, 18) == b"HOME=/data\0EMPTY=\0"


def test_a_file_that_the_guest_has_renamed_is_found_by_its_new_name(
    mine: Peer, moves: Moves
) -> None:
    fd = mine.open(3, b"sub/inner", rights=READER)
    assert mine.two_paths("path_rename", 3, b"sub", 3, b"moved") == 0
    assert mine.two_paths("path_rename", 3, b"moved/inner", 3, b"moved/again") == 0
    guest = moves.load(save(mine), moves.copy())
    assert guest.fd_read(fd) == b"inner"


@pytest.mark.parametrize("deed", ["unlink", "replace", "host"])
def test_what_has_been_removed_while_open_cannot_be_saved(
    mine: Peer, world: Path, deed: str
) -> None:
    mine.open(3, b"file", rights=READER)
    if deed == "unlink":
        mine.path("path_unlink_file", 3, b"file")
    elif deed == "replace":
        mine.two_paths("path_rename", 3, b"other", 3, b"file")
    else:
        (world / "work" / "file").unlink()
        (world / "work" / "file").write_text("another")
    with pytest.raises(CheckpointError, match=r"^descriptor 5 is /data/file, which has been"):
        save(mine)


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (lambda p: p.unlink(), "/data/file is open, but is missing now"),
        (lambda p: p.write_text("short"), "/data/file has 5 bytes, but had been used up to 8"),
        (
            lambda p: (p.unlink(), p.mkdir()),
            "/data/file is a directory now, but was a regular file",
        ),
        (
            lambda p: (p.unlink(), p.symlink_to("other")),
            "/data/file is a symbolic link now, but was a regular file",
        ),
        (lambda p: (p.unlink(), os.mkfifo(p)), "/data/file is a pipe now, but was a regular file"),
    ],
)
def test_a_file_that_is_not_what_it_was_is_refused_by_name(
    mine: Peer, moves: Moves, deed: Any, message: str
) -> None:
    fd = mine.open(3, b"file", rights=READER)
    mine.fd_read(fd, 8)
    data = save(mine)
    home = moves.copy()
    deed(home / "work" / "file")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(CheckpointError) as caught:
        moves.load(data, home)
    assert str(caught.value) == message
    guest = moves.load(data, home, lenient=True)
    assert guest.fdstat(3)[0] == 0
    assert guest.fdstat(fd)[0] == (0 if "bytes" in message else abi.BADF)
    if before:
        # The refused load kept nothing: what is open now is the second's.
        assert len(os.listdir("/proc/self/fd")) <= before + 6


def test_a_reader_beyond_the_end_is_no_reason_to_refuse(mine: Peer, moves: Moves) -> None:
    fd = mine.open(3, b"file", rights=READER)
    assert mine.seek(fd, 1000) == (0, 1000)
    assert moves.load(save(mine)).tell(fd) == (0, 1000)


def test_a_directory_that_is_not_given_is_refused_by_name(mine: Peer, moves: Moves) -> None:
    data = save(mine)
    with pytest.raises(CheckpointError, match=r"^the program has /fixed open, a directory that"):
        moves.load(data, dirs=moves.dirs(moves.world)[:1])
    missing = [(moves.world / "nowhere", "/data", False), *moves.dirs(moves.world)[1:]]
    with pytest.raises(CheckpointError, match=r"^cannot open the directory .*nowhere: No such"):
        moves.load(data, dirs=missing)


def test_a_writer_is_refused_where_the_directory_is_given_to_read_only(
    mine: Peer, moves: Moves
) -> None:
    mine.open(3, b"file", rights=FILE)
    data = save(mine)
    dirs = [(path, guest, True) for path, guest, _ in moves.dirs(moves.world)]
    with pytest.raises(CheckpointError, match=r"^/data/file is open for writing, but given read-"):
        moves.load(data, dirs=dirs)


def test_what_is_given_to_read_only_on_restore_is_not_changed(
    mine: Peer, moves: Moves, world: Path
) -> None:
    fd = mine.open(3, b"file", rights=READER)
    sub = mine.open(3, b"sub", oflags=abi.OPEN_DIRECTORY, rights=abi.DIRECTORY_RIGHTS)
    dirs = [(path, guest, True) for path, guest, _ in moves.dirs(moves.world)]
    guest = moves.load(save(mine), dirs=dirs)
    before = {p: p.lstat().st_mtime_ns for p in (world / "work").rglob("*")}
    refused = [
        guest.path_open(sub, b"inner", rights=FILE)[0],
        guest.path_open(sub, b"inner", oflags=abi.TRUNC, rights=abi.FD_READ)[0],
        guest.path_open(sub, b"new", oflags=abi.CREAT, rights=abi.FD_READ)[0],
        guest.path("path_create_directory", sub, b"new"),
        guest.path("path_remove_directory", sub, b"deep"),
        guest.path("path_unlink_file", sub, b"inner"),
        guest.symlink(b"inner", sub, b"new"),
        guest.two_paths("path_rename", sub, b"inner", sub, b"new"),
        guest.two_paths("path_link", sub, b"inner", 3, b"new"),
        guest.call("path_filestat_set_times", sub, 1, *guest.put(b"inner"), 0, 0, 5),
        guest.call("fd_filestat_set_times", sub, 0, 0, 5),
        guest.call("fd_filestat_set_times", fd, 0, 0, 5),
        guest.call("fd_filestat_set_size", fd, 1),
    ]
    assert refused == [abi.PERM] * len(refused)
    assert guest.fd_write(fd, b"x")[0] == guest.fd_pwrite(fd, b"x", 0)[0] == abi.BADF
    assert guest.call("fd_allocate", fd, 0, 100) == abi.BADF
    assert {p: p.lstat().st_mtime_ns for p in (world / "work").rglob("*")} == before


def test_the_monotonic_clock_goes_on_from_what_the_guest_has_seen(
    host_time: HostTime, mine: Peer, moves: Moves
) -> None:
    host_time.go_by(5)
    mine.call("clock_time_get", abi.MONOTONIC, 0, 1024)
    seen = mine.u64()
    data = save(mine)
    host_time.go_by(1000)
    guest = moves.load(data)
    host_time.go_by(7)
    guest.call("clock_time_get", abi.MONOTONIC, 0, 1024)
    assert guest.u64() == seen + 7
    assert isinstance(mine.backend, OurBackend)


def deterministic(world: Path) -> Peer:
    backend = OurBackend(Moves(world).dirs(world))
    backend.wasi.close()
    backend.adopt(
        Wasi((), (), Moves(world).dirs(world), *[backend.handles[0]] * 3, deterministic=True)
    )
    return Peer(backend)


def randoms_and_times(guest: Peer) -> list[bytes]:
    seen = []
    for clock in range(4):
        guest.call("clock_time_get", clock, 0, 1024)
        seen.append(guest.read(1024, 8))
    guest.poll(clock_subscription(1, abi.MONOTONIC, 10**12))
    guest.call("clock_time_get", 1, 0, 1024)
    guest.call("random_get", 2048, 45)
    seen += [guest.read(1024, 8), guest.read(2048, 45), guest.path_filestat(3, b"file")[1]]
    return seen


def test_a_deterministic_guest_sees_the_same_in_every_run_and_after_a_move(
    world: Path, moves: Moves
) -> None:
    first, second = deterministic(world), deterministic(world)
    moves.made += [first.backend, second.backend]  # type: ignore[list-item]
    assert randoms_and_times(first) == randoms_and_times(second)
    data = save(first)
    assert data == save(second)
    moved = moves.load(data)
    assert randoms_and_times(moved) == randoms_and_times(second)
    assert save(moved) == save(second) != data


def test_randomness_goes_on_where_it_was(world: Path, moves: Moves) -> None:
    guest = deterministic(world)
    moves.made.append(guest.backend)  # type: ignore[arg-type]
    guest.call("random_get", 2048, 100)
    whole = guest.read(2048, 100)
    other = deterministic(world)
    moves.made.append(other.backend)  # type: ignore[arg-type]
    other.call("random_get", 2048, 37)
    rest = moves.load(save(other))
    rest.call("random_get", 2048, 63)
    assert other.read(2048, 37) + rest.read(2048, 63) == whole


def test_an_inherited_socket_must_be_given_again(world: Path, moves: Moves) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as plain:
        wasi = Wasi((), (), (), 0, 1, 2, sockets=[server.fileno()])
        data = wasi.save()
        wasi.close()
        again = moves.load(data, dirs=[], sockets=[server.fileno()])
        assert again.fdstat(3)[1] == abi.SOCKET_STREAM
        with pytest.raises(CheckpointError, match=r"^the program has inherited socket 0, which"):
            moves.load(data, dirs=[])
        with pytest.raises(CheckpointError, match=r"^inherited socket 0 is no longer a listener"):
            moves.load(data, dirs=[], sockets=[plain.fileno()])


def test_input_from_a_file_goes_on_where_it_was(world: Path, moves: Moves) -> None:
    with (
        open(world / "work" / "file", "rb") as first,
        open(world / "work" / "file", "rb") as second,
    ):
        guest = Peer(backend := OurBackend([]))
        moves.made.append(backend)
        backend.adopt(Wasi((), (), (), first, 1, 2))
        assert guest.fd_read(0, 6) == b"hello "
        backend.adopt(Wasi.load(backend.wasi.save(), (), second, 1, 2))
        assert guest.fd_read(0) == b"world"
        data = backend.wasi.save()
        (world / "work" / "file").write_text("short")
        with pytest.raises(CheckpointError, match=r"^standard input has 5 bytes, but had been"):
            Wasi.load(data, (), second, 1, 2)


def test_hostile_bytes_are_refused_in_one_line_or_loaded_whole(
    mine: Peer, moves: Moves, world: Path
) -> None:
    mine.open(3, b"file", rights=READER)
    mine.readdir(3)
    data = save(mine)
    rng = random.Random(1)
    before = sorted(p.name for p in world.rglob("*"))
    messages: list[str] = []
    for turn in range(600):
        if turn < len(data):
            hostile = data[:turn]
        else:
            mutable = bytearray(data)
            for _ in range(rng.randint(1, 4)):
                mutable[rng.randrange(len(mutable))] = rng.randrange(256)
            hostile = bytes(mutable)
        try:
            Wasi.load(hostile, moves.dirs(world), 0, 1, 2, lenient=bool(turn & 1)).close()
        except CheckpointError as error:
            messages.append(str(error))
    assert len(messages) > len(data)
    assert not any("\n" in message for message in messages)
    assert sorted(p.name for p in world.rglob("*")) == before


@pytest.mark.parametrize("path", [b"../outside/secret", b"/etc/passwd", b"sub/../../outside"])
def test_a_state_that_names_a_file_outside_is_refused(
    mine: Peer, moves: Moves, path: bytes
) -> None:
    mine.open(3, b"file", rights=READER)
    data = save(mine)
    forged = data.replace(b"\x04file\x04", bytes((len(path),)) + path + b"\x04")
    assert forged != data
    with pytest.raises(CheckpointError, match="descriptor 5: a path that does not only lead down"):
        moves.load(forged)


def test_the_old_module_lays_out_its_structures_its_own_way(mine: Peer, world: Path) -> None:
    backend = mine.backend
    assert isinstance(backend, OurBackend)
    backend.adopt(backend.wasi, "wasi_unstable")
    assert "sock_accept" not in backend.functions
    fd = mine.open(3, b"file", rights=READER)
    # There, 0 is the current position, 1 the end and 2 the start.
    assert mine.seek(fd, -1, 1) == (0, 10)
    assert mine.seek(fd, 1, 2) == (0, 1)
    assert mine.seek(fd, 1, 0) == (0, 2)
    assert mine.call("fd_filestat_get", fd, 1024) == 0
    _, _, kind, nlink, size = struct.unpack("<QQBxxxIQ", mine.read(1024, 32))
    assert (kind, nlink, size) == (abi.REGULAR_FILE, 1, 11)
    clock = struct.pack("<QBxxxxxxxQIxxxxQQHxxxxxx", 7, 0, 9, abi.MONOTONIC, 1000, 0, 0)
    assert len(clock) == 56
    assert mine.poll(clock) == [(7, 0, 0, 0, 0)]
