"""Files and directories: what ours and wasmtime's agree on, and what only ours has."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from chiwawa_runtime.wasi import abi
from tests.wasi.peer_helpers import BUFFER, SCRATCH, Peer

READ = abi.FD_READ
WRITE = abi.FD_WRITE
FILE = abi.FILE_RIGHTS
READER = FILE & ~WRITE


def test_reading_goes_on_where_it_stopped_until_the_end(guest: Peer) -> None:
    fd = guest.open(3, b"file", rights=READER)
    assert guest.fd_read(fd, 5) == b"hello"
    assert guest.fd_read(fd, 100) == b" world"
    assert guest.fd_read(fd, 100) == b""
    assert guest.fd_read(fd, 0) == b""


def test_a_read_fills_several_buffers_in_order(guest: Peer) -> None:
    fd = guest.open(3, b"file", rights=READER)
    vectors = struct.pack("<IIIIII", BUFFER, 3, BUFFER + 50, 0, BUFFER + 100, 20)
    guest.write(SCRATCH + 8, vectors)
    assert guest.call("fd_read", fd, SCRATCH + 8, 3, SCRATCH) == 0
    # How many buffers are filled at once is the host's affair; their order is not.
    assert guest.read(BUFFER, 3) == b"hel"
    if guest.u32() > 3:
        assert guest.read(BUFFER + 100, 8) == b"lo world"


def test_writing_and_reading_through_one_descriptor_share_its_offset(guest: Peer) -> None:
    fd = guest.open(3, b"new", oflags=abi.CREAT, rights=FILE)
    assert guest.fd_write(fd, b"abcdef") == (0, 6)
    assert guest.tell(fd) == (0, 6)
    assert guest.seek(fd, -4, 1) == (0, 2)
    assert guest.fd_read(fd, 2) == b"cd"
    assert guest.seek(fd, -1, 2) == (0, 5)
    assert guest.fd_write(fd, b"XY") == (0, 2)
    assert guest.fd_pread(fd, 100, 0) == b"abcdeXY"
    assert guest.tell(fd) == (0, 7)
    assert guest.seek(fd, -1)[0] == abi.INVAL
    assert guest.seek(fd, -100, 1)[0] == abi.INVAL


def test_positioned_reads_and_writes_leave_the_offset(guest: Peer, world: Path) -> None:
    fd = guest.open(3, b"file", rights=FILE)
    assert guest.fd_pwrite(fd, b"HE", 0) == (0, 2)
    assert guest.fd_pwrite(fd, b"!", 15) == (0, 1)
    assert guest.fd_pread(fd, 5, 6) == b"world"
    assert guest.fd_pread(fd, 5, 100) == b""
    assert guest.tell(fd) == (0, 0)
    assert (world / "work" / "file").read_bytes() == b"HEllo world\0\0\0\0!"


def test_appending_writes_at_the_end_wherever_the_offset_is(guest: Peer, world: Path) -> None:
    fd = guest.open(3, b"file", rights=FILE, fdflags=abi.APPEND)
    assert guest.fdstat(fd)[2] == abi.APPEND
    assert guest.seek(fd, 0) == (0, 0)
    assert guest.fd_write(fd, b"!") == (0, 1)
    assert guest.tell(fd) == (0, 12)
    assert guest.call("fd_fdstat_set_flags", fd, 0) == 0
    assert guest.seek(fd, 0) == (0, 0)
    assert guest.fd_write(fd, b"H") == (0, 1)
    assert (world / "work" / "file").read_bytes() == b"Hello world!"


def test_a_positioned_write_heeds_its_offset_though_the_file_appends(
    mine: Peer, world: Path
) -> None:
    fd = mine.open(3, b"file", rights=FILE, fdflags=abi.APPEND)
    assert mine.fd_pwrite(fd, b"H", 0) == (0, 1)
    assert mine.fd_write(fd, b"!") == (0, 1)
    assert (world / "work" / "file").read_bytes() == b"Hello world!"


@pytest.mark.parametrize(
    ("path", "oflags", "errno"),
    [
        (b"file", 0, 0),
        (b"file", abi.CREAT, 0),
        (b"file", abi.CREAT | abi.EXCL, abi.EXIST),
        (b"file", abi.EXCL, 0),
        (b"file", abi.OPEN_DIRECTORY, abi.NOTDIR),
        (b"file", abi.OPEN_DIRECTORY | abi.CREAT, abi.INVAL),
        (b"file", abi.OPEN_DIRECTORY | abi.TRUNC, abi.INVAL),
        (b"file/", 0, abi.NOTDIR),
        (b"file/.", 0, abi.NOTDIR),
        (b"file/..", 0, abi.NOTDIR),
        (b"file/x", 0, abi.NOTDIR),
        (b"missing", 0, abi.NOENT),
        (b"missing/", 0, abi.NOENT),
        (b"missing/", abi.CREAT, abi.ISDIR),
        (b"missing/x", abi.CREAT, abi.NOENT),
        (b"missing/../file", 0, abi.NOENT),
        (b"missing", abi.OPEN_DIRECTORY, abi.NOENT),
        (b"sub", 0, abi.ISDIR),
        (b"sub/", abi.CREAT, abi.ISDIR),
        (b"sub/inner", 0, 0),
        (b"sub//inner", 0, 0),
        (b"./sub/./deep/../inner", 0, 0),
        (b"dirlink/inner", 0, 0),
        (b"dirlink/../file", 0, 0),
        (b"link", 0, 0),
        (b"link/", 0, abi.NOTDIR),
        (b"link", abi.CREAT | abi.EXCL, abi.EXIST),
        (b"dangling", 0, abi.NOENT),
        (b"dangling", abi.CREAT, 0),
        (b"dangling", abi.CREAT | abi.EXCL, abi.EXIST),
        (b"loop", 0, abi.LOOP),
        (b"loop/x", 0, abi.LOOP),
        (b"", 0, abi.NOENT),
        (b"a\0b", 0, abi.INVAL),
        (b"\xff", 0, abi.ILSEQ),
        (b"x" * 300, 0, abi.NAMETOOLONG),
        (b"x/" * 2100, 0, abi.NAMETOOLONG),
    ],
)
def test_opening_for_writing_answers_as_documented(
    guest: Peer, path: bytes, oflags: int, errno: int
) -> None:
    if path == b"missing" and oflags == abi.OPEN_DIRECTORY:
        assert guest.path_open(3, path, oflags=oflags, rights=READ)[0] in (abi.NOENT, abi.NOTDIR)
        return
    assert guest.path_open(3, path, oflags=oflags, rights=FILE)[0] == errno


@pytest.mark.parametrize("path", [b"link", b"dirlink", b"dangling", b"loop"])
def test_a_link_is_not_opened_unless_links_are_followed(guest: Peer, path: bytes) -> None:
    assert guest.path_open(3, path, rights=READ, follow=0)[0] == abi.LOOP
    assert guest.path_open(3, path, oflags=abi.OPEN_DIRECTORY, rights=READ, follow=0)[0] == abi.LOOP


def test_truncating_empties_a_file(guest: Peer, world: Path) -> None:
    guest.open(3, b"file", oflags=abi.TRUNC, rights=FILE)
    assert (world / "work" / "file").read_bytes() == b""


def test_a_descriptor_gets_the_lowest_number_that_is_free(guest: Peer) -> None:
    first = guest.open(3, b"file", rights=READER)
    second = guest.open(3, b"other", rights=READER)
    assert (first, second) == (5, 6)
    assert guest.call("fd_close", first) == 0
    assert guest.call("fd_close", first) == abi.BADF
    assert guest.open(3, b"other", rights=READER) == first


def test_renumbering_replaces_an_open_descriptor(guest: Peer) -> None:
    first = guest.open(3, b"file", rights=READER)
    second = guest.open(3, b"other", rights=READER)
    assert guest.call("fd_renumber", first, second) == 0
    assert guest.fd_read(second) == b"hello world"
    assert guest.fd_read(first) == abi.BADF
    assert guest.call("fd_renumber", second, 99) == abi.BADF
    assert guest.call("fd_renumber", 99, second) == abi.BADF
    assert guest.call("fd_renumber", second, second) == 0


def test_reading_needs_a_reader_and_writing_a_writer(guest: Peer) -> None:
    reader = guest.open(3, b"file", rights=READER)
    writer = guest.open(3, b"file", rights=FILE & ~READ)
    assert guest.fd_write(reader, b"x")[0] == abi.BADF
    assert guest.fd_pwrite(reader, b"x", 0)[0] == abi.BADF
    assert guest.fd_read(writer) == abi.BADF
    assert guest.fd_pread(writer, 1, 0) == abi.BADF
    assert guest.call("fd_filestat_set_size", reader, 0) == abi.INVAL


def test_a_directory_is_neither_read_nor_written_nor_moved_in(guest: Peer) -> None:
    assert guest.fd_read(3) == abi.BADF
    assert guest.fd_write(3, b"x")[0] == abi.BADF
    assert guest.seek(3, 0)[0] == abi.BADF
    assert guest.tell(3)[0] == abi.BADF
    for name, *args in (("fd_sync",), ("fd_datasync",), ("fd_advise", 0, 0, 0)):
        assert guest.call(name, 3, *args) == abi.BADF


def test_resizing_keeps_what_fits_and_fills_with_zeros(guest: Peer, world: Path) -> None:
    fd = guest.open(3, b"file", rights=FILE)
    assert guest.call("fd_filestat_set_size", fd, 5) == 0
    assert guest.call("fd_filestat_set_size", fd, 7) == 0
    assert (world / "work" / "file").read_bytes() == b"hello\0\0"


def test_allocating_makes_room_and_keeps_what_is_there(mine: Peer, world: Path) -> None:
    fd = mine.open(3, b"file", rights=FILE)
    assert mine.call("fd_allocate", fd, 5, 20) == 0
    assert (world / "work" / "file").read_bytes() == b"hello world".ljust(25, b"\0")
    assert mine.call("fd_allocate", fd, 0, 0) == abi.INVAL
    assert mine.call("fd_allocate", fd, (1 << 64) - 1, 5) == abi.INVAL
    assert mine.call("fd_allocate", 3, 0, 1) == abi.BADF


def test_syncing_and_advising_succeed_on_files(guest: Peer) -> None:
    fd = guest.open(3, b"file", rights=FILE)
    assert guest.call("fd_sync", fd) == 0
    assert guest.call("fd_datasync", fd) == 0
    assert [guest.call("fd_advise", fd, 0, 0, a) for a in range(6)] == [0] * 6


def test_what_wasmtime_traps_at_is_einval_here(mine: Peer) -> None:
    fd = mine.open(3, b"file", rights=FILE)
    assert mine.call("fd_advise", fd, 0, 0, 6) == abi.INVAL
    assert mine.seek(fd, 0, 3)[0] == abi.INVAL
    assert mine.call("fd_fdstat_set_flags", fd, 32) == abi.INVAL
    assert mine.path_open(3, b"file", oflags=16)[0] == abi.INVAL
    assert mine.path_open(3, b"file", fdflags=32)[0] == abi.INVAL
    assert mine.path_open(3, b"file", follow=2)[0] == abi.INVAL
    assert mine.path_filestat(3, b"file", 2)[0] == abi.INVAL
    assert mine.call("path_filestat_set_times", 3, 1, *mine.put(b"file"), 0, 0, 16) == abi.INVAL


def test_synchronous_flags_are_kept_and_shown(mine: Peer) -> None:
    fd = mine.open(3, b"file", rights=FILE, fdflags=abi.DSYNC)
    assert mine.fdstat(fd)[2] == abi.DSYNC
    assert mine.fd_write(fd, b"x") == (0, 1)
    assert mine.call("fd_fdstat_set_flags", fd, abi.SYNC | abi.RSYNC) == 0
    assert mine.fdstat(fd)[2] == abi.SYNC | abi.RSYNC
    assert mine.fd_write(fd, b"x") == (0, 1)


def stat_fields(stat: bytes) -> tuple[int, int, int, int, int]:
    """Type, size, atim, mtim, ino."""
    _, ino, kind, _, size, atim, mtim, _ = struct.unpack("<QQBxxxxxxxQQQQQ", stat)
    return kind, size, atim, mtim, ino


def test_file_status_by_path_and_by_descriptor_agree(guest: Peer) -> None:
    fd = guest.open(3, b"file", rights=FILE)
    errno, by_fd = guest.filestat(fd)
    assert errno == 0
    assert guest.path_filestat(3, b"link") == (0, by_fd) or (
        stat_fields(guest.path_filestat(3, b"link")[1])[::4] == stat_fields(by_fd)[::4]
    )
    assert stat_fields(by_fd)[:2] == (abi.REGULAR_FILE, 11)
    assert stat_fields(guest.path_filestat(3, b"link", 0)[1])[0] == abi.SYMBOLIC_LINK
    assert stat_fields(guest.path_filestat(3, b"dirlink/")[1])[0] == abi.DIRECTORY
    assert guest.path_filestat(3, b"file/")[0] == abi.NOTDIR
    assert guest.path_filestat(3, b"dangling")[0] == abi.NOENT


def test_times_can_be_set_and_kept(guest: Peer, world: Path) -> None:
    fd = guest.open(3, b"file", rights=FILE)
    assert guest.call("fd_filestat_set_times", fd, 5_000, 7_000, 5) == 0
    assert stat_fields(guest.filestat(fd)[1])[2:4] == (5_000, 7_000)
    assert guest.call("fd_filestat_set_times", fd, 0, 9_000, abi.MTIM) == 0
    assert stat_fields(guest.filestat(fd)[1])[2:4] == (5_000, 9_000)
    assert guest.call("fd_filestat_set_times", fd, 0, 0, 3) == abi.INVAL
    assert guest.call("fd_filestat_set_times", fd, 0, 0, 12) == abi.INVAL
    at = guest.put(b"link")
    assert guest.call("path_filestat_set_times", 3, 0, *at, 1_000, 2_000, 5) == 0
    assert os.lstat(world / "work" / "link").st_mtime_ns == 2_000
    assert guest.call("path_filestat_set_times", 3, 1, *at, 1_000, 3_000, 5) == 0
    assert (world / "work" / "file").stat().st_mtime_ns == 3_000
    assert guest.call("path_filestat_set_times", 3, 1, *at, 0, 0, abi.MTIM_NOW) == 0
    assert (world / "work" / "file").stat().st_mtime_ns > 10**18


@pytest.mark.parametrize(
    ("path", "errno"),
    [
        (b"new", 0),
        (b"new/", 0),
        (b"sub/new", 0),
        (b"dirlink/new", 0),
        (b"file", abi.EXIST),
        (b"sub/", abi.EXIST),
        (b".", abi.EXIST),
        (b"link", abi.EXIST),
        (b"dangling", abi.EXIST),
        (b"dangling/", abi.EXIST),
        (b"empty/..", abi.EXIST),
        (b"missing/new", abi.NOENT),
        (b"file/new", abi.NOTDIR),
        (b"", abi.NOENT),
    ],
)
def test_creating_directories(guest: Peer, path: bytes, errno: int) -> None:
    assert guest.path("path_create_directory", 3, path) == errno


@pytest.mark.parametrize(
    ("path", "errno"),
    [
        (b"empty", 0),
        (b"sub/deep", 0),
        (b"dirlink/deep", 0),
        (b"sub", abi.NOTEMPTY),
        (b".", abi.INVAL),
        (b"empty/.", abi.INVAL),
        (b"file", abi.NOTDIR),
        (b"file/", abi.NOTDIR),
        (b"dirlink", abi.NOTDIR),
        (b"missing", abi.NOENT),
        (b"missing/x", abi.NOENT),
    ],
)
def test_removing_directories(guest: Peer, path: bytes, errno: int) -> None:
    assert guest.path("path_remove_directory", 3, path) == errno


def test_a_slash_after_an_empty_directory_does_not_save_it(mine: Peer, world: Path) -> None:
    assert mine.path("path_remove_directory", 3, b"empty/") == 0
    assert not (world / "work" / "empty").exists()


@pytest.mark.parametrize(
    ("path", "errno"),
    [
        (b"file", 0),
        (b"link", 0),
        (b"dangling", 0),
        (b"loop", 0),
        (b"dirlink", 0),
        (b"dirlink/inner", 0),
        (b"file/", abi.NOTDIR),
        (b"sub", abi.ISDIR),
        (b"sub/", abi.ISDIR),
        (b".", abi.ISDIR),
        (b"missing", abi.NOENT),
        (b"file/x", abi.NOTDIR),
    ],
)
def test_unlinking(guest: Peer, world: Path, path: bytes, errno: int) -> None:
    assert guest.path("path_unlink_file", 3, path) == errno
    assert (world / "work" / "file").exists() == (path != b"file")


@pytest.mark.parametrize(
    ("old", "new", "errno"),
    [
        (b"file", b"file", 0),
        (b"file", b"moved", 0),
        (b"file", b"other", 0),
        (b"file", b"sub/moved", 0),
        (b"file", b"moved/", abi.NOTDIR),
        (b"file/", b"moved", abi.NOTDIR),
        (b"file", b"sub", abi.ISDIR),
        (b"sub", b"file", abi.NOTDIR),
        (b"sub", b"empty", 0),
        (b"sub", b"moved", 0),
        (b"sub/", b"moved/", 0),
        (b"empty", b"sub", abi.NOTEMPTY),
        (b"sub", b"sub/deep/x", abi.INVAL),
        (b"missing", b"x", abi.NOENT),
        (b"file", b"missing/x", abi.NOENT),
        (b"file", b"other/x", abi.NOTDIR),
        (b"link", b"moved", 0),
        (b".", b"x", abi.BUSY),
        (b"empty", b".", abi.BUSY),
        (b"", b"x", abi.NOENT),
        (b"file", b"", abi.NOENT),
    ],
)
def test_renaming(guest: Peer, old: bytes, new: bytes, errno: int) -> None:
    assert guest.two_paths("path_rename", 3, old, 3, new) == errno


@pytest.mark.parametrize(
    ("old", "new", "errno"),
    [
        (b"file", b"again", 0),
        (b"link", b"again", 0),
        (b"dangling", b"again", 0),
        (b"file", b"sub/again", 0),
        (b"file", b"other", abi.EXIST),
        (b"file", b"sub", abi.EXIST),
        (b"file", b"again/", abi.NOENT),
        (b"file/", b"again", abi.NOTDIR),
        (b"sub", b"again", abi.PERM),
        (b"missing", b"again", abi.NOENT),
        (b"file", b"missing/again", abi.NOENT),
    ],
)
def test_linking(guest: Peer, world: Path, old: bytes, new: bytes, errno: int) -> None:
    assert guest.two_paths("path_link", 3, old, 3, new) == errno
    if not errno:
        found = os.lstat(world / "work" / new.decode())
        assert found.st_ino == os.lstat(world / "work" / old.decode()).st_ino


def test_linking_follows_a_link_where_it_is_asked_to(mine: Peer, world: Path) -> None:
    mine.write(BUFFER, b"link")
    mine.write(BUFFER + 50, b"again")
    assert mine.call("path_link", 3, 1, BUFFER, 4, 3, BUFFER + 50, 5) == 0
    assert (world / "work" / "again").samefile(world / "work" / "file")
    assert not (world / "work" / "again").is_symlink()


@pytest.mark.parametrize(
    ("target", "path", "errno"),
    [
        (b"file", b"s", 0),
        (b"../..", b"s", 0),
        (b"nowhere", b"sub/s", 0),
        (b"", b"s", abi.NOENT),
        (b"x", b"file", abi.EXIST),
        (b"x", b"sub/", abi.EXIST),
        (b"x", b"s/", abi.NOENT),
        (b"x", b"missing/s", abi.NOENT),
        (b"x" * 5000, b"s", abi.NAMETOOLONG),
        (b"\xff", b"s", abi.ILSEQ),
    ],
)
def test_making_symbolic_links(guest: Peer, target: bytes, path: bytes, errno: int) -> None:
    assert guest.symlink(target, 3, path) == errno
    if not errno:
        assert guest.readlink(3, path) == target


def test_reading_links(guest: Peer) -> None:
    assert guest.readlink(3, b"dangling", 3) == b"now"
    assert guest.readlink(3, b"dangling", 0) == b""
    assert guest.readlink(3, b"file") == abi.INVAL
    assert guest.readlink(3, b"sub") == abi.INVAL
    assert guest.readlink(3, b"dirlink/") == abi.INVAL
    assert guest.readlink(3, b"link/") == abi.NOTDIR
    assert guest.readlink(3, b"missing") == abi.NOENT


def test_listing_shows_everything_once_with_its_type(guest: Peer) -> None:
    entries = guest.readdir(3)
    assert isinstance(entries, list)
    assert {(name, kind) for _, kind, name in entries} == {
        (b".", 3),
        (b"..", 3),
        (b"file", 4),
        (b"other", 4),
        (b"sub", 3),
        (b"empty", 3),
        (b"link", 7),
        (b"dirlink", 7),
        (b"dangling", 7),
        (b"loop", 7),
    }
    assert [cookie for cookie, _, _ in entries] == list(range(1, 11))
    assert guest.readdir(3, 4) == entries[4:]
    assert guest.readdir(3, 1000) == []


def test_listing_in_small_buffers_gives_the_same(guest: Peer) -> None:
    whole = guest.readdir(3)
    assert isinstance(whole, list)
    found: list[tuple[int, int, bytes]] = []
    while True:
        some = guest.readdir(3, found[-1][0] if found else 0, 40)
        assert isinstance(some, list)
        if not some:
            break
        found += some
    assert found == whole


def test_cookies_stay_valid_while_entries_come_and_go(mine: Peer, world: Path) -> None:
    work = world / "work"
    entries = mine.readdir(3)
    assert isinstance(entries, list)
    names = [name for _, _, name in entries]
    assert names[2:] == sorted(names[2:])
    (work / "aaa").write_text("")
    (work / "other").unlink()
    assert mine.readdir(3, entries[4][0]) == [e for e in entries[5:] if e[2] != b"other"]
    again = mine.readdir(3)
    assert isinstance(again, list)
    assert b"aaa" in [name for _, _, name in again]


def test_listing_needs_a_directory(guest: Peer) -> None:
    fd = guest.open(3, b"file", rights=READER)
    assert guest.readdir(fd) == abi.BADF
    assert guest.readdir(99) == abi.BADF


def test_a_directory_that_is_opened_is_a_root_of_its_own(guest: Peer) -> None:
    fd = guest.open(3, b"sub", oflags=abi.OPEN_DIRECTORY, rights=abi.DIRECTORY_RIGHTS)
    assert guest.fdstat(fd)[1] == abi.DIRECTORY
    assert guest.path_open(fd, b"inner", rights=READ)[0] == 0
    assert guest.path_open(fd, b"../file", rights=READ)[0] == abi.PERM
    assert guest.path_open(fd, b"deep/..", rights=READ)[0] == 0
    assert guest.call("fd_prestat_get", fd, SCRATCH) == abi.BADF


def test_nothing_changes_in_a_directory_that_is_only_to_be_read(guest: Peer, world: Path) -> None:
    fd = guest.open(4, b"file", rights=READER)
    assert guest.fd_read(fd) == b"fixed"
    refused = [
        guest.path_open(4, b"file", rights=FILE)[0],
        guest.path_open(4, b"file", oflags=abi.CREAT, rights=READ)[0],
        guest.path_open(4, b"new", oflags=abi.CREAT, rights=READ)[0],
        guest.path_open(4, b"file", oflags=abi.TRUNC, rights=READ)[0],
        guest.path("path_create_directory", 4, b"new"),
        guest.path("path_remove_directory", 4, b"sub"),
        guest.path("path_unlink_file", 4, b"file"),
        guest.symlink(b"file", 4, b"new"),
        guest.two_paths("path_rename", 4, b"file", 3, b"new"),
        guest.two_paths("path_rename", 3, b"file", 4, b"new"),
        guest.two_paths("path_link", 4, b"file", 3, b"new"),
        guest.two_paths("path_link", 3, b"file", 4, b"new"),
        guest.call("path_filestat_set_times", 4, 1, *guest.put(b"file"), 0, 0, 2),
        guest.call("fd_filestat_set_times", fd, 0, 0, 2),
    ]
    assert refused == [abi.PERM] * len(refused)
    assert sorted(p.name for p in (world / "fixed").iterdir()) == ["file", "sub"]
    assert (world / "fixed" / "file").read_text() == "fixed"


def test_calls_on_what_is_no_directory_fail(guest: Peer) -> None:
    fd = guest.open(3, b"file", rights=READER)
    assert guest.path_open(fd, b"x")[0] == abi.NOTDIR
    assert guest.path_open(0, b"x")[0] == abi.BADF
    assert guest.path_open(99, b"x")[0] == abi.BADF
    assert guest.path("path_create_directory", 99, b"x") == abi.BADF


def test_addresses_out_of_bounds_are_efault_and_open_nothing(mine: Peer) -> None:
    end = 2 * 65536
    assert mine.call("fd_prestat_get", 3, end - 4) == abi.FAULT
    assert mine.call("fd_fdstat_get", 3, 1 << 31) == abi.FAULT
    assert mine.call("args_get", 0xFFFFFFFC, 0) == abi.FAULT
    assert mine.call("random_get", end - 1, 5) == abi.FAULT
    assert mine.call("random_get", end, 0) == 0
    assert mine.call("fd_write", 1, end - 4, 1, 0) == abi.FAULT
    assert mine.call("path_open", 3, 1, end - 1, 3, 0, 0, 0, 0, 0) == abi.FAULT
    at = mine.put(b"file")
    assert mine.call("path_open", 3, 1, *at, 0, READ, 0, 0, end - 3) == abi.FAULT
    assert mine.fdstat(5)[0] == abi.BADF


def test_rights_are_passed_on_and_can_only_be_given_up(mine: Peer) -> None:
    some = abi.FD_READ | abi.FD_SEEK | abi.FD_TELL
    directory = mine.open(
        3,
        b"sub",
        oflags=abi.OPEN_DIRECTORY,
        rights=abi.PATH_OPEN | abi.FD_READDIR,
        inheriting=some,
    )
    assert mine.fdstat(directory)[3:] == (abi.PATH_OPEN | abi.FD_READDIR, some)
    assert mine.path("path_create_directory", directory, b"x") == abi.NOTCAPABLE
    assert mine.path_open(directory, b"x", oflags=abi.CREAT)[0] == abi.NOTCAPABLE
    assert mine.path_open(directory, b"inner", rights=some | WRITE)[0] == abi.NOTCAPABLE
    assert mine.path_open(directory, b"inner", rights=some, inheriting=FILE)[0] == abi.NOTCAPABLE
    fd = mine.open(directory, b"inner", rights=some, inheriting=0)
    assert mine.fdstat(fd)[3:] == (some, 0)
    assert mine.call("fd_fdstat_set_rights", fd, abi.FD_READ | abi.FD_TELL, 0) == 0
    assert mine.seek(fd, 0)[0] == abi.NOTCAPABLE
    assert mine.seek(fd, 0, 1) == (0, 0)
    assert mine.fd_read(fd) == b"inner"
    assert mine.call("fd_fdstat_set_rights", fd, some, 0) == abi.NOTCAPABLE
    assert mine.call("fd_fdstat_set_rights", fd, 0, 0) == 0
    assert mine.fd_read(fd) == abi.NOTCAPABLE
    assert mine.filestat(fd)[0] == abi.NOTCAPABLE


def test_rights_that_do_not_apply_are_not_missed(mine: Peer) -> None:
    directory = mine.open(3, b"sub", rights=READER | abi.DIRECTORY_RIGHTS)
    assert mine.fdstat(directory)[3] == abi.DIRECTORY_RIGHTS
    fd = mine.open(3, b"file", rights=(1 << 64) - 1)
    assert mine.fdstat(fd)[3] == FILE
