"""Files in memory: as the host's are to a guest, bounded, and taken along in checkpoints."""

from __future__ import annotations

import io
import os
import random
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import chiwawa
from chiwawa_runtime.errors import BadInput, CheckpointError
from chiwawa_runtime.wasi import Wasi
from chiwawa_runtime.wasi.abi import NOSPC, PERM, XDEV
from chiwawa_runtime.wasi.memory_files import NODE, ROOT, MemoryFiles, SavedNode, SavedTree
from chiwawa_runtime.wasi.saved import SavedState, decode, encode
from tests.path_helpers import PATHS, each_path, next_path
from tests.wasi.peer_helpers import MODULE, OurBackend, Peer

CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8
READ, WRITE = 1 << 1, 1 << 6
ALL = 0x1FFFFFFF
APPEND = 1


def peer(*dirs: Any) -> Peer:
    backend = OurBackend()
    backend.wasi.close()
    backend.adopt(Wasi([], {}, dirs, *backend.handles, deterministic=True))
    return Peer(backend)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[list[Peer]]:
    """A guest of the host's directories and one of memory, each with two that are empty."""
    made = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    made.append(peer((tmp_path / "a", "/a", False), (tmp_path / "b", "/b", True)))
    made.append(peer((MemoryFiles(), "/a", False), (MemoryFiles(), "/b", True)))
    yield made
    for each in made:
        each.backend.close()  # type: ignore[attr-defined]


NAMES = (
    b"f",
    b"g",
    b"d",
    b"d/f",
    b"d/e",
    b"d/e/f",
    b"l",
    b"l/f",
    b"../f",
    b"d/../g",
    b"f/",
    b"d/.",
)


def open_something(peer: Peer, pick: random.Random) -> Any:
    rights = pick.choice((ALL, ALL, READ, WRITE | READ, ALL & ~WRITE))
    flags = pick.choice((0, CREATE, CREATE, CREATE | EXCLUSIVE, TRUNCATE, DIRECTORY))
    return peer.path_open(
        pick.choice((3, 3, 3, 4, 5)),
        pick.choice(NAMES),
        flags,
        rights,
        fdflags=pick.choice((0, 0, APPEND)),
        follow=pick.randrange(2),
    )


#: What a guest may do. Each is called with the same choices for all guests.
STEPS: tuple[Callable[[Peer, random.Random], Any], ...] = (
    open_something,
    open_something,
    open_something,
    lambda p, r: p.path("path_create_directory", r.choice((3, 3, 5)), r.choice(NAMES)),
    lambda p, r: p.path("path_create_directory", 3, r.choice((b"d", b"d/e"))),
    lambda p, r: p.path("path_remove_directory", 3, r.choice(NAMES)),
    lambda p, r: p.path("path_unlink_file", 3, r.choice(NAMES)),
    lambda p, r: p.symlink(r.choice((b"d", b"f", b"nowhere", b"../x", b"d/e")), 3, r.choice(NAMES)),
    lambda p, r: p.readlink(3, r.choice(NAMES)),
    lambda p, r: p.two_paths("path_link", 3, r.choice(NAMES), 3, r.choice(NAMES)),
    lambda p, r: p.two_paths("path_rename", 3, r.choice(NAMES), 3, r.choice(NAMES)),
    lambda p, r: p.two_paths("path_rename", 3, r.choice(NAMES), r.choice((3, 5)), r.choice(NAMES)),
    lambda p, r: p.fd_write(r.randrange(5, 10), r.randbytes(r.randrange(9))),
    lambda p, r: p.fd_write(r.randrange(5, 10), r.randbytes(r.randrange(9))),
    lambda p, r: p.fd_pwrite(r.randrange(5, 10), r.randbytes(r.randrange(9)), r.randrange(20)),
    lambda p, r: p.fd_read(r.randrange(5, 10), r.randrange(30)),
    lambda p, r: p.fd_pread(r.randrange(5, 10), r.randrange(30), r.randrange(20)),
    lambda p, r: p.seek(r.randrange(3, 10), r.randrange(-5, 20), r.randrange(4)),
    lambda p, r: p.tell(r.randrange(3, 10)),
    lambda p, r: p.fdstat(r.randrange(3, 10)),
    lambda p, r: p.call("fd_filestat_set_size", r.randrange(5, 10), r.randrange(40)),
    lambda p, r: p.call("fd_allocate", r.randrange(5, 10), r.randrange(9), r.randrange(40)),
    lambda p, r: p.call("fd_advise", r.randrange(5, 10), 0, 8, r.randrange(7)),
    lambda p, r: p.call("fd_sync", r.randrange(3, 10)),
    lambda p, r: p.call("fd_datasync", r.randrange(3, 10)),
    lambda p, r: p.call("fd_fdstat_set_flags", r.randrange(5, 10), r.choice((0, APPEND))),
    lambda p, r: p.filestat(r.randrange(3, 10)),
    lambda p, r: p.path_filestat(3, r.choice(NAMES), r.randrange(2)),
    lambda p, r: p.readdir(r.randrange(3, 10)),
    lambda p, r: p.call("fd_close", r.randrange(5, 10)),
)


def contents(folder: Path) -> dict[str, bytes]:
    found = {}
    for above, _, names in os.walk(folder):
        for name in names:
            file = Path(above) / name
            if not file.is_symlink():
                found["/" + file.relative_to(folder).as_posix()] = file.read_bytes()
    return dict(sorted(found.items()))


@pytest.mark.parametrize("seed", range(12))
def test_a_guest_cannot_tell_memory_from_the_host(
    both: list[Peer], tmp_path: Path, seed: int
) -> None:
    pick = random.Random(seed)
    for turn in range(400):
        step, state = pick.choice(STEPS), pick.random()
        told = [step(each, random.Random(state)) for each in both]
        assert told[0] == told[1], (turn, STEPS.index(step), state)
    wasi = both[1].backend.wasi  # type: ignore[attr-defined]
    assert wasi.memory["/a"].contents() == contents(tmp_path / "a")
    # What it counts for is what is there, once nothing is open that has been removed.
    for fd in range(5, 100):
        both[1].call("fd_close", fd)
    tree = wasi.memory["/a"]
    assert tree.size == tree.saved().size()
    again = MemoryFiles.of(tree.saved())
    assert again.saved() == tree.saved()
    assert again.size == tree.size


def test_nothing_goes_between_memory_and_the_host(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"host")
    guest = peer((MemoryFiles({"/g": b"memory"}), "/", False), (tmp_path, "/host", False))
    assert guest.two_paths("path_rename", 3, b"g", 4, b"g") == XDEV
    assert guest.two_paths("path_link", 4, b"f", 3, b"f") == XDEV
    # One tree may be given twice.
    tree = MemoryFiles({"/g": b"memory"})
    guest = peer((tree, "/", False), (tree, "/same", True))
    assert guest.fd_read(guest.open(4, b"g", rights=READ)) == b"memory"
    assert guest.path("path_unlink_file", 4, b"g") == PERM
    assert guest.path("path_unlink_file", 3, b"g") == 0
    assert guest.path_open(4, b"g", rights=READ)[0] != 0


def test_what_is_beyond_the_bound_has_no_room() -> None:
    tree = MemoryFiles({"/f": b"12345"}, most=4 * NODE)
    guest = peer((tree, "/", False))
    fd = guest.open(3, b"f")
    room = 4 * NODE - tree.size
    assert guest.seek(fd, 0, 2) == (0, 5)
    # A part of it, as on a full disk, and then nothing.
    assert guest.fd_write(fd, bytes(room + 100)) == (0, room)
    assert tree.size == tree.most
    assert guest.fd_write(fd, b"1") == (NOSPC, 0)
    assert guest.fd_pwrite(fd, b"1", 1 << 62) == (NOSPC, 0)
    assert guest.call("fd_filestat_set_size", fd, 1 << 62) == NOSPC
    assert guest.call("fd_allocate", fd, 0, 1 << 62) == NOSPC
    assert guest.path("path_create_directory", 3, b"d") == NOSPC
    assert guest.symlink(b"t", 3, b"l") == NOSPC
    assert guest.two_paths("path_link", 3, b"f", 3, b"g") == NOSPC
    assert guest.two_paths("path_rename", 3, b"f", 3, b"longer") == NOSPC
    assert guest.path_open(3, b"new", CREATE)[0] == NOSPC
    assert guest.call("fd_filestat_set_size", fd, 0) == 0
    assert guest.path("path_unlink_file", 3, b"f") == 0
    # It takes room as long as it is open.
    assert tree.size == 2 * NODE
    assert guest.call("fd_close", fd) == 0
    assert tree.size == NODE
    with pytest.raises(BadInput, match="/f: No space left on device"):
        MemoryFiles({"/f": bytes(5000)}, most=5000)
    for path in ("", "/", "a//b", "../f", "a/./b"):
        with pytest.raises(BadInput, match="no path of a file in memory"):
            MemoryFiles({path: b""})
    with pytest.raises(BadInput, match="Not a directory"):
        MemoryFiles({"/f": b"", "/f/g": b""})


def test_times_are_those_that_the_guest_has_set() -> None:
    wasi = Wasi(dirs=[(MemoryFiles({"/f": b"1"}), "/", False)])
    backend = OurBackend()
    backend.wasi.close()
    backend.adopt(wasi)
    guest = Peer(backend)
    status, told = guest.path_filestat(3, b"f")
    assert (status, told[40:]) == (0, bytes(24))
    fd = guest.open(3, b"f")
    assert guest.fd_write(fd, b"2") == (0, 1)
    assert guest.call("fd_filestat_set_times", fd, 7, 8, 5) == 0
    again = Wasi.load(wasi.save())
    backend.adopt(again)
    told = guest.filestat(fd)[1]
    assert told[40:] == (7).to_bytes(8, "little") + (8).to_bytes(8, "little") + bytes(8)
    assert again.save() == wasi.save()
    # The same file, to a guest that remembers its numbers.
    backend.adopt(wasi)
    assert guest.filestat(fd)[1] == told
    backend.adopt(again)
    wasi.close()
    backend.close()


TREE = SavedTree(
    9,
    (
        SavedNode(1, 0, 0, stat.S_IFDIR, entries=((b"a", 2), (b"d", 3), (b"l", 4))),
        SavedNode(2, 5, 6, stat.S_IFREG, b"with \0"),
        SavedNode(3, 0, 0, stat.S_IFDIR, entries=((b"a", 2),)),
        SavedNode(4, 0, 0, stat.S_IFLNK, b"d/a"),
    ),
)
HOLDING = SavedState(
    False,
    (),
    (),
    (0, 0, 0),
    0,
    0,
    (b"/host", b"/", b"/ro"),
    (),
    {1: (0, False), 2: (0, True)},
    (TREE,),
)
FILE = SavedNode(2, 0, 0, stat.S_IFREG)


def directory(*entries: tuple[bytes, int], number: int = ROOT) -> SavedNode:
    return SavedNode(number, 0, 0, stat.S_IFDIR, entries=entries)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (SavedTree(9, (FILE,)), "there is no directory"),
        (SavedTree(2, (directory((b"a", 2)), FILE)), "numbers of files are not in order"),
        (SavedTree(9, (directory((b"a", 2)), FILE, FILE)), "numbers of files are not in order"),
        (SavedTree(9, (directory((b"a", 3)), FILE)), "there is no file 3"),
        (SavedTree(9, (directory(), FILE)), "a file has no name"),
        (SavedTree(9, (directory((b"a", 1)),)), "directory 1 has two names"),
        (
            SavedTree(9, (directory((b"a", 2), (b"b", 2)), directory(number=2))),
            "directory 2 has two names",
        ),
        (SavedTree(9, (directory(), directory((b"x", 2), number=2))), "a file has no name"),
        (SavedTree(9, (directory((b"b", 2), (b"a", 2)), FILE)), "names in a directory are not"),
        (SavedTree(9, (directory((b"..", 2)), FILE)), "a name that is none"),
        (SavedTree(9, (directory((b"a/b", 2)), FILE)), "a name that is none"),
        (SavedTree(9, (directory((b"a" * 256, 2)), FILE)), "a name that is none"),
        (
            SavedTree(9, (directory((b"a", 2)), SavedNode(2, 0, 0, stat.S_IFLNK, b"/etc"))),
            "an absolute target",
        ),
        (
            SavedTree(9, (directory((b"a", 2)), SavedNode(2, 0, 0, stat.S_IFLNK, b""))),
            "a target of 0 bytes",
        ),
    ],
)
def test_trees_that_no_guest_can_have_made_are_refused(tree: SavedTree, message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        decode(encode(replace(HOLDING, trees=(tree,))))
    said = str(caught.value)
    assert said.startswith("the WASI state of the checkpoint is malformed: files in memory: ")
    assert message in said
    assert "\n" not in said


def test_a_state_with_files_in_memory_has_one_form() -> None:
    data = encode(HOLDING)
    assert decode(data) == HOLDING
    assert data[0] == 2
    for end in range(len(data)):
        with pytest.raises(CheckpointError):
            decode(data[:end])
    # What the older version can hold has that.
    assert encode(replace(HOLDING, memory={}, trees=()))[0] == 1
    with pytest.raises(CheckpointError, match="files in memory: there are none"):
        decode(encode(replace(HOLDING, memory={})))
    for memory in ({3: (0, False)}, {1: (1, False)}):
        with pytest.raises(CheckpointError, match=r"more than|there is no directory"):
            decode(encode(replace(HOLDING, memory=memory)))


def test_a_tree_larger_than_the_host_allows_is_refused() -> None:
    data = encode(HOLDING)
    wasi = Wasi.load(data)
    assert wasi.memory["/"].contents() == {"/a": b"with \0", "/d/a": b"with \0"}
    assert wasi.memory["/"] is wasi.memory["/ro"]
    assert wasi.save() == data
    wasi.close()
    with pytest.raises(
        CheckpointError, match=r"the files in memory take \d+ bytes, more than 1000"
    ):
        Wasi.load(data, most=1000)


def test_what_is_open_but_removed_cannot_be_carried() -> None:
    guest = peer((MemoryFiles({"/f": b"1"}), "/", False))
    wasi = guest.backend.wasi  # type: ignore[attr-defined]
    guest.open(3, b"f")
    assert wasi.save()
    assert guest.path("path_unlink_file", 3, b"f") == 0
    with pytest.raises(CheckpointError, match="descriptor 4 is f, which has been removed"):
        wasi.save()


#: Writes its standard input's bytes, one at a time and each followed by a number, to /out/log, says
#: all of /in on its standard output, and ends with how many there were.
PROGRAM = f"""
(module $program
  (import "{MODULE}" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "{MODULE}" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "{MODULE}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "{MODULE}" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "out/log" "in")
  (data (i32.const 32) "\\80\\00\\00\\00\\01\\00\\00\\00" "\\81\\00\\00\\00\\40\\00\\00\\00")
  (func $check (param i32) (if (local.get 0) (then (unreachable))))
  (func (export "_start") (local $n i32)
    (call $check (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 7)
      (i32.const 1) (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 16)))
    (loop $again
      (call $check (call $read (i32.const 0) (i32.const 32) (i32.const 1) (i32.const 24)))
      (if (i32.load (i32.const 24))
        (then
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (call $check
            (call $write (i32.load (i32.const 16)) (i32.const 32) (i32.const 1) (i32.const 24)))
          (br $again))))
    (call $check (call $open (i32.const 3) (i32.const 0) (i32.const 7) (i32.const 2)
      (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 20)))
    (call $check (call $read (i32.load (i32.const 20)) (i32.const 40) (i32.const 1) (i32.const 24)))
    (i32.store (i32.const 44) (i32.load (i32.const 24)))
    (call $check (call $write (i32.const 1) (i32.const 40) (i32.const 1) (i32.const 24)))
    (call $exit (local.get $n))))
"""


@pytest.fixture(scope="module")
def program() -> chiwawa.Module:
    return chiwawa.load(PROGRAM)


@each_path
def test_a_program_is_run_over_values(program: chiwawa.Module, path: str) -> None:
    files = chiwawa.MemoryFiles({"/in": b"content", "/out/": b""})
    told = chiwawa.run_wasi(program, stdin=b"abc", files=files, path=path)
    assert told == (3, b"content", b"")
    assert (told.status, told.stdout, told.stderr) == told
    assert files.contents() == {"/in": b"content", "/out/log": b"abc"}
    # A mapping is not changed.
    given = {"/in": b"more", "/out/log": b"before"}
    assert chiwawa.run_wasi(program, files=given, path=path) == (0, b"more", b"")
    assert given["/out/log"] == b"before"
    with pytest.raises(chiwawa.Trap, match="unreachable"):
        chiwawa.run_wasi(program, files={}, path=path)
    with pytest.raises(chiwawa.RunError, match="the program was stopped: fuel"):
        chiwawa.run_wasi(program, files=given, path=path, limits=chiwawa.Limits(fuel=1))


@each_path
def test_a_program_takes_its_files_along(program: chiwawa.Module, path: str) -> None:
    """From path to path, a stop at every few safepoints; each path writes the same bytes."""

    def started(on: str, count: int) -> tuple[chiwawa.Run, Wasi]:
        tree = MemoryFiles({"/in": b"content", "/out/": b""})
        streams = (io.BytesIO(b"abcdef"), io.BytesIO(), io.BytesIO())
        wasi = Wasi(["program"], {}, [(tree, "/", False)], *streams)
        return chiwawa.start(program, "_start", wasi=wasi, path=on, count=count), wasi

    for count in (3, 8, 13):
        written = set()
        for each in PATHS:
            run, wasi = started(each, count)
            assert not run.go()
            written.add(run.checkpoint())
            wasi.close()
        (data,) = written
        out = io.BytesIO()
        wasi = Wasi.load(data, (), io.BytesIO(b"abcdef"), out, io.BytesIO())
        run = chiwawa.restore(program, data, wasi=wasi, path=next_path(path))
        assert run.checkpoint() == data
        with pytest.raises(chiwawa.WasiExit, match="exit status 6"):
            run.go()
        assert wasi.memory["/"].contents() == {"/in": b"content", "/out/log": b"abcdef"}
        assert out.getvalue() == b"content"
        wasi.close()


def test_what_was_the_hosts_may_be_in_memory_later(program: chiwawa.Module, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "in").write_bytes(b"host")
    streams = (io.BytesIO(b"abcdef"), io.BytesIO(), io.BytesIO())
    wasi = Wasi(["program"], {}, [(tmp_path, "/", False)], *streams)
    run = chiwawa.start(program, "_start", wasi=wasi, count=8)
    assert not run.go()
    data = run.checkpoint()
    wasi.close()
    so_far = (tmp_path / "out" / "log").read_bytes()
    tree = MemoryFiles({"/in": b"memory", "/out/log": so_far})
    out = io.BytesIO()
    wasi = Wasi.load(data, [(tree, "/", False)], io.BytesIO(b"abcdef"), out, io.BytesIO())
    with pytest.raises(chiwawa.WasiExit):
        chiwawa.restore(program, data, wasi=wasi).go()
    wasi.close()
    assert tree.contents()["/out/log"] == b"abcdef"
    assert out.getvalue() == b"memory"
