"""The bytes of a guest's state: one form for each, and nothing that no guest can have brought
about."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiwawa_runtime.checkpoint.leb import encode_u
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.wasi import Wasi, abi
from chiwawa_runtime.wasi.clocks import LAST
from chiwawa_runtime.wasi.descriptors import LISTENER, SOCKET
from chiwawa_runtime.wasi.saved import (
    LAST_OFFSET,
    Body,
    SavedDescriptor,
    SavedDirectory,
    SavedFile,
    SavedSocket,
    SavedState,
    SavedStream,
    decode,
    encode,
)

STREAM_RIGHTS = abi.STREAM_RIGHTS | abi.FD_READ
FILE = SavedFile(1, b"sub/file", abi.REGULAR_FILE, True, True, 300, 200)
PIPE = SavedFile(1, b"pipe", abi.UNKNOWN, True, False, 0, 0)
LISTED = SavedDirectory(0, b"", True, (b".", b"..", b"a", b"b.txt", b"\xff"))
BELOW = SavedDirectory(1, b"sub", False, None)


def entry(fd: int, body: Body, rights: int, inheriting: int = 0, flags: int = 0) -> SavedDescriptor:
    return SavedDescriptor(fd, flags, rights, inheriting, body)


DESCRIPTORS = (
    entry(0, SavedStream(0, 5), STREAM_RIGHTS, STREAM_RIGHTS, abi.NONBLOCK),
    entry(1, SavedStream(1), abi.STREAM_RIGHTS | abi.FD_WRITE),
    entry(3, LISTED, abi.DIRECTORY_RIGHTS, abi.INHERITED_RIGHTS),
    entry(4, FILE, abi.FILE_RIGHTS, 0, abi.APPEND),
    entry(5, PIPE, abi.FILE_RIGHTS & ~abi.FD_WRITE, abi.INHERITED_RIGHTS),
    entry(6, BELOW, abi.FD_READDIR, 0, abi.SYNC),
    entry(7, SavedSocket(SOCKET, 2), abi.SOCKET_RIGHTS),
    entry(300, SavedSocket(LISTENER, 0), abi.LISTENER_RIGHTS, abi.SOCKET_RIGHTS),
)
STATE = SavedState(
    False, (b"prog", b""), (b"A=1",), (1, 2, LAST), 7, 0, (b"/data", b"/"), DESCRIPTORS
)
VIRTUAL = replace(STATE, deterministic=True, seen=(9, 0, 0), entropy=(1 << 64) - 1)


def with_body(body: Body, rights: int = 0, **fields: int) -> SavedState:
    return replace(STATE, descriptors=(entry(3, body, rights, **fields),))


@pytest.mark.parametrize("state", [STATE, VIRTUAL, replace(STATE, descriptors=())])
def test_a_state_is_what_its_bytes_say(state: SavedState) -> None:
    assert decode(encode(state)) == state


IN_A_LISTING = (b"..", b".", b"/etc", b"../outside", b"a/b", b"a/", b"", b"a\0b")
PATHS = (b"..", b"/x", b"x/", b"a//b", b"a/./b", b"a/../b", b"./a", b"a/..", b"a\0", b".")

#: What no guest can have brought about: the state, and what the message says.
FORGED: list[tuple[SavedState, str]] = [
    (replace(STATE, args=(b"a\0b",)), "arguments: a string has a zero byte"),
    (replace(STATE, env=(b"\0",)), "environment: a string has a zero byte"),
    (replace(STATE, roots=(b"\0", b"/")), "directories: a string has a zero byte"),
    (replace(STATE, seen=(LAST + 1, 0, 0)), "clocks: a time is"),
    (replace(VIRTUAL, seen=(0, 1, 0)), "clocks: a virtual clock has two times"),
    (replace(STATE, waited=LAST + 1), "clocks: a sleep is"),
    (replace(STATE, entropy=1), "randomness: a position is 1, which is more than 0"),
    (replace(STATE, descriptors=DESCRIPTORS[::-1]), "descriptors: numbers are not in order"),
    (replace(STATE, descriptors=DESCRIPTORS[:1] * 2), "descriptors: numbers are not in order"),
    (replace(STATE, descriptors=(replace(DESCRIPTORS[0], fd=1 << 31),)), "descriptors: a number"),
    (with_body(SavedStream(1, 5)), "descriptor 3: only standard input has a position"),
    (with_body(SavedStream(3)), "descriptor 3: a stream is 3"),
    (with_body(SavedStream(0, 1 << 63)), "descriptor 3: a position is"),
    (with_body(SavedStream(0), abi.FD_WRITE), "a stream cannot have these rights"),
    (with_body(SavedStream(0), inheriting=abi.FD_SEEK), "a stream cannot have these rights"),
    (with_body(SavedStream(0), flags=32), "descriptor 3: flags is 32"),
    *((with_body(replace(FILE, path=path)), "descriptor 3: a ") for path in PATHS),
    *((with_body(replace(BELOW, path=path)), "descriptor 3: a ") for path in PATHS),
    (with_body(replace(FILE, path=b"")), "descriptor 3: a file without a path"),
    (with_body(replace(FILE, root=2)), "descriptor 3: there is no directory 2"),
    *(
        (with_body(replace(FILE, filetype=kind)), f"descriptor 3: no file has type {kind}")
        for kind in (abi.DIRECTORY, abi.SYMBOLIC_LINK, abi.SOCKET_STREAM, abi.SOCKET_DGRAM, 8)
    ),
    (with_body(replace(FILE, readable=False, writable=False)), "neither to read nor to write"),
    (with_body(replace(FILE, writable=False), abi.FD_WRITE), "a file cannot have these rights"),
    (with_body(replace(FILE, readable=False), abi.FD_READ), "a file cannot have these rights"),
    (with_body(FILE, abi.PATH_OPEN), "a file cannot have these rights"),
    (with_body(FILE, inheriting=1 << 29), "a file cannot have these rights"),
    (with_body(replace(FILE, offset=1 << 63)), "descriptor 3: an offset is"),
    (with_body(replace(FILE, least=301)), "descriptor 3: a length is 301"),
    (with_body(replace(PIPE, offset=1)), "descriptor 3: an offset is 1, which is more than 0"),
    (with_body(replace(LISTED, root=9)), "descriptor 3: there is no directory 9"),
    (with_body(replace(LISTED, path=b"sub")), "was given has a path below itself"),
    (with_body(LISTED, flags=1), "a directory that was given has no flags"),
    (with_body(LISTED, abi.FD_WRITE), "a directory cannot have these rights"),
    *(
        (with_body(replace(BELOW, names=(b".", b"..", name))), "descriptor 3: a ")
        for name in IN_A_LISTING
    ),
    (with_body(replace(BELOW, names=(b".", b"a", b".."))), "does not begin with . and .."),
    (with_body(replace(BELOW, names=())), "does not begin with . and .."),
    (with_body(replace(BELOW, names=(b".", b"..", b"b", b"a"))), "a listing is not in order"),
    (with_body(replace(BELOW, names=(b".", b"..", b"a", b"a"))), "a listing is not in order"),
    (with_body(SavedSocket(SOCKET, 1 << 31)), "descriptor 3: a socket is"),
    (with_body(SavedSocket(SOCKET, 0), inheriting=1), "a socket cannot have these rights"),
    (with_body(SavedSocket(LISTENER, 0), abi.FD_READ), "a listener cannot have these rights"),
    *(
        (
            replace(STATE, descriptors=(entry(1, body, 0), entry(2, body, 0))),
            "descriptor 2: there is another descriptor of",
        )
        for body in (SavedStream(1), LISTED, SavedSocket(SOCKET, 4), SavedSocket(LISTENER, 4))
    ),
]


@pytest.mark.parametrize(("state", "message"), FORGED, ids=range(len(FORGED)))
def test_what_no_guest_can_have_brought_about_is_refused_by_name(
    state: SavedState, message: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        decode(encode(state))
    said = str(caught.value)
    assert said.startswith("the WASI state of the checkpoint is malformed: ")
    assert message in said
    assert "\n" not in said


def test_every_prefix_and_every_longer_form_is_refused() -> None:
    data = encode(STATE)
    for end in range(len(data)):
        with pytest.raises(CheckpointError):
            decode(data[:end])
    with pytest.raises(CheckpointError, match="its end: bytes are left over"):
        decode(data + b"\0")
    with pytest.raises(CheckpointError, match="version 3, not 1 or 2"):
        decode(b"\3" + data[1:])


def test_a_number_has_one_form() -> None:
    data = encode(STATE)
    long = encode_u(300)
    assert data.count(long) >= 2
    at = data.index(long)
    with pytest.raises(CheckpointError, match="too long"):
        decode(data[:at] + bytes((long[0], long[1] | 0x80, 0)) + data[at + 2 :])


def judged(data: bytes) -> None:
    refused = None
    try:
        assert encode(decode(data)) == data
    except CheckpointError as error:
        refused = str(error)
    assert refused is None or "\n" not in refused


@given(
    st.sampled_from((encode(STATE), encode(VIRTUAL))),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255), st.integers(0, 2)), max_size=6),
)
@settings(deadline=None)
def test_changed_bytes_are_refused_or_are_another_state(
    data: bytes, changes: list[tuple[int, int, int]]
) -> None:
    changed = bytearray(data)
    for at, value, how in changes:
        place = at % len(changed)
        # Another byte, one more, or one less.
        changed[place : place + (how != 1)] = bytes((value,)) if how != 2 else b""
    judged(bytes(changed))


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_any_bytes_are_refused_or_are_a_state(data: bytes) -> None:
    judged(data)
    judged(b"\1\0" + data)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the host has been asked to open."""
    asked: list[Any] = []
    host = os.open

    def noted(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        asked.append((path, flags))
        return host(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", noted)
    yield asked
    assert not any(flags & (os.O_CREAT | os.O_TRUNC) for _, flags in asked)


def numbers_open() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def dirs_of(world: Path) -> list[tuple[Path, str, bool]]:
    return [(world / "work", "/data", False), (world / "work", "/", False)]


def test_nothing_is_opened_before_all_has_been_judged(world: Path, opened: list[Any]) -> None:
    forged = replace(STATE, descriptors=(*DESCRIPTORS[:3], entry(9, SavedStream(1, 5), 0)))
    with open(world / "work" / "file", "rb") as stdin:
        with pytest.raises(CheckpointError, match="descriptor 9: only standard input"):
            Wasi.load(encode(forged), dirs_of(world), stdin, 1, 2)
        assert opened == []
        assert stdin.tell() == os.lseek(stdin.fileno(), 0, os.SEEK_CUR) == 0


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (
            SavedFile(0, b"missing", abi.REGULAR_FILE, True, True, 0, 0),
            "/data/missing is open, but",
        ),
        (
            SavedFile(0, b"other", abi.REGULAR_FILE, True, True, 9, 9),
            "/data/other has 5 bytes, but",
        ),
        (
            SavedFile(0, b"other", abi.REGULAR_FILE, True, False, LAST_OFFSET, 0),
            f"/data/other has no offset {LAST_OFFSET}: Invalid argument",
        ),
        (SavedSocket(SOCKET, 0), "the program has inherited socket 0, which is not given"),
    ],
    ids=["missing", "short", "offset", "socket"],
)
def test_a_restore_that_is_refused_gives_everything_back(
    world: Path, opened: list[Any], last: Body, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = os.lseek

    def lseek(handle: int, offset: int, how: int) -> int:
        # Not every file system refuses it.
        if offset == LAST_OFFSET:
            raise OSError(errno.EINVAL, "Invalid argument")
        return host(handle, offset, how)

    monkeypatch.setattr(os, "lseek", lseek)
    (world / "work" / "sub" / "file").write_text("x" * 200)
    state = replace(STATE, descriptors=(*DESCRIPTORS[:4], entry(8, last, 0)))
    before = numbers_open()
    with open(world / "work" / "file", "rb") as stdin:
        inside = numbers_open()
        with pytest.raises(CheckpointError) as caught:
            Wasi.load(encode(state), dirs_of(world), stdin, 1, 2)
        assert str(caught.value).startswith(message)
        assert opened
        assert os.lseek(stdin.fileno(), 0, os.SEEK_CUR) == 0
        assert numbers_open() == inside
    assert numbers_open() == before


def test_standard_input_is_moved_when_it_is_read(world: Path) -> None:
    state = replace(STATE, roots=(), descriptors=DESCRIPTORS[:2])
    with open(world / "work" / "file", "rb") as stdin:
        wasi = Wasi.load(encode(state), (), stdin, 1, 2)
        assert os.lseek(stdin.fileno(), 0, os.SEEK_CUR) == 0
        assert decode(wasi.save()).descriptors == state.descriptors
        assert wasi.process.streams[0].read(3, [], False) == b" wo"
        moved = decode(wasi.save()).descriptors[0].body
        assert moved == SavedStream(0, 8)
        wasi.close()
