"""Attempts to get out of the directories that a guest was given: all refused, as by wasmtime."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chiwawa_runtime.wasi import abi
from tests.wasi.peer_helpers import Make, Peer

READ = abi.FD_READ
FILE = abi.FILE_RIGHTS

#: Ways out, below /data, made of nothing but a path.
PATHS = [
    b"..",
    b"../",
    b"../outside/secret",
    b"./../outside/secret",
    b"sub/../../outside/secret",
    b"sub/deep/../../../outside/secret",
    b"../data/../outside/secret",
    b"/",
    b"//",
    b"/etc/passwd",
    b"/data/file",
    b"/proc/self/root/etc/passwd",
    b"/proc/self/cwd",
    b"sub//../..//outside/secret",
    b"dirlink/../../outside/secret",
]
#: Ways out over links that somebody has put there: target of ``out``, and path.
LINKS = [
    (b"..", b"out"),
    (b"..", b"out/"),
    (b"..", b"out/outside/secret"),
    (b"../outside/secret", b"out"),
    (b"../outside", b"out/secret"),
    (b"../outside", b"out/deep/../secret"),
    (b"/", b"out"),
    (b"/", b"out/etc/passwd"),
    (b"/proc/self/root", b"out/etc/passwd"),
    (b"/proc/self/fd/0", b"out"),
    (b"sub/../../outside/secret", b"out"),
    (b"dirlink/../../outside/secret", b"out"),
    (b"hop", b"out"),
    (b"hop/secret", b"out"),
    (b"./././../outside/secret", b"out"),
    (b"sub/up/../outside/secret", b"out"),
]

Action = Callable[[Peer, bytes], int]


def opened(guest: Peer, path: bytes, **options: int) -> int:
    return guest.path_open(3, path, **{"rights": READ, **options})[0]


ACTIONS: dict[str, Action] = {
    "open": opened,
    "open_to_write": lambda g, p: opened(g, p, rights=FILE, oflags=abi.CREAT | abi.TRUNC),
    "open_directory": lambda g, p: opened(g, p, oflags=abi.OPEN_DIRECTORY),
    "filestat": lambda g, p: g.path_filestat(3, p)[0],
    "set_times": lambda g, p: g.call("path_filestat_set_times", 3, 1, *g.put(p), 0, 0, 5),
}
#: What acts on a name itself: only a way that passes through leads out.
NAMING: dict[str, Action] = {
    "create_directory": lambda g, p: g.path("path_create_directory", 3, p),
    "remove_directory": lambda g, p: g.path("path_remove_directory", 3, p),
    "unlink": lambda g, p: g.path("path_unlink_file", 3, p),
    "readlink": lambda g, p: r if isinstance(r := g.readlink(3, p), int) else 0,
    "symlink": lambda g, p: g.symlink(b"x", 3, p),
    "rename_from": lambda g, p: g.two_paths("path_rename", 3, p, 3, b"taken"),
    "rename_to": lambda g, p: g.two_paths("path_rename", 3, b"file", 3, p),
    "link_from": lambda g, p: g.two_paths("path_link", 3, p, 3, b"taken"),
    "link_to": lambda g, p: g.two_paths("path_link", 3, b"file", 3, p),
    "open_without_following": lambda g, p: opened(g, p, follow=0),
}


def state_outside(world: Path) -> list[tuple[str, int, bytes]]:
    return sorted(
        (str(p), p.lstat().st_mtime_ns, b"" if p.is_dir() else p.read_bytes())
        for p in (world / "outside").rglob("*")
    )


def lay_links(world: Path, target: bytes) -> None:
    work = os.fsencode(world / "work")
    os.symlink(target, work + b"/out")
    os.symlink(b"../outside", work + b"/hop")
    os.symlink(b"../..", work + b"/sub/up")


@pytest.mark.parametrize("path", PATHS, ids=os.fsdecode)
@pytest.mark.parametrize("action", [*ACTIONS, *NAMING])
def test_no_path_leads_out(ours: Make, theirs: Make, world: Path, action: str, path: bytes) -> None:
    before = state_outside(world)
    act = {**ACTIONS, **NAMING}[action]
    assert act(ours(), path) == act(theirs(), path) == abi.PERM
    assert state_outside(world) == before
    assert (world / "work" / "file").exists()


@pytest.mark.parametrize(("target", "path"), LINKS, ids=lambda p: os.fsdecode(p))
@pytest.mark.parametrize("action", ACTIONS)
def test_no_link_leads_out(
    ours: Make, theirs: Make, world: Path, action: str, target: bytes, path: bytes
) -> None:
    lay_links(world, target)
    before = state_outside(world)
    act = ACTIONS[action]
    errno = act(ours(), path)
    assert errno == act(theirs(), path)
    # What ends with a slash cannot be created: that is seen before where it leads.
    assert errno == (abi.ISDIR if (action, path) == ("open_to_write", b"out/") else abi.PERM)
    assert state_outside(world) == before


@pytest.mark.parametrize("action", NAMING)
def test_no_link_on_the_way_leads_out(ours: Make, theirs: Make, world: Path, action: str) -> None:
    lay_links(world, b"../outside")
    before = state_outside(world)
    act = NAMING[action]
    for path in (b"out/deep", b"out/new", b"out/secret", b"sub/up/outside/secret", b"hop/../x"):
        assert act(ours(), path) == act(theirs(), path) == abi.PERM
    assert state_outside(world) == before


def test_a_link_that_the_guest_made_leads_nowhere_outside(guest: Peer) -> None:
    assert guest.symlink(b"../outside/secret", 3, b"mine") == 0
    assert guest.path_open(3, b"mine", rights=READ)[0] == abi.PERM
    assert guest.symlink(b"/etc/passwd", 3, b"absolute") == abi.PERM
    assert guest.symlink(b"mine", 3, b"again") == 0
    assert guest.path_open(3, b"again", rights=READ)[0] == abi.PERM


def test_a_link_that_is_right_where_it_was_made_does_not_lead_out_from_elsewhere(
    guest: Peer,
) -> None:
    assert guest.symlink(b"../../file", 3, b"sub/deep/up") == 0
    assert guest.path_open(3, b"sub/deep/up", rights=READ)[0] == 0
    assert guest.two_paths("path_rename", 3, b"sub/deep/up", 3, b"up") == 0
    assert guest.path_open(3, b"up", rights=READ)[0] == abi.PERM
    assert guest.two_paths("path_link", 3, b"up", 3, b"sub/up") == 0
    assert guest.path_open(3, b"sub/up", rights=READ)[0] == abi.PERM


def test_a_link_to_the_given_directory_itself_is_no_way_above_it(guest: Peer) -> None:
    assert guest.symlink(b"..", 3, b"sub/top") == 0
    assert guest.path_open(3, b"sub/top/file", rights=READ)[0] == 0
    assert guest.path_open(3, b"sub/top/../outside/secret", rights=READ)[0] == abi.PERM


def test_an_open_directory_that_is_moved_stays_a_root_of_its_own(guest: Peer) -> None:
    fd = guest.open(3, b"sub/deep", oflags=abi.OPEN_DIRECTORY, rights=abi.DIRECTORY_RIGHTS)
    assert guest.two_paths("path_rename", 3, b"sub/deep", 3, b"deep") == 0
    assert guest.path_open(fd, b"../file", rights=READ)[0] == abi.PERM
    assert guest.path_open(fd, b"../../outside/secret", rights=READ)[0] == abi.PERM


def test_an_open_directory_that_the_host_moves_out_shows_nothing_above(
    guest: Peer, world: Path
) -> None:
    fd = guest.open(3, b"sub/deep", oflags=abi.OPEN_DIRECTORY, rights=abi.DIRECTORY_RIGHTS)
    os.rename(world / "work" / "sub" / "deep", world / "outside" / "deep2")
    assert guest.path_open(fd, b"../secret", rights=READ)[0] == abi.PERM
    assert guest.path_open(fd, b"x/../../secret", rights=READ)[0] in (abi.PERM, abi.NOENT)


def test_a_given_directory_that_the_host_moves_shows_nothing_above(
    guest: Peer, world: Path
) -> None:
    os.rename(world / "work", world / "outside" / "work")
    assert guest.path_open(3, b"../secret", rights=READ)[0] == abi.PERM
    assert guest.path_open(3, b"file", rights=READ)[0] == 0


def test_another_given_directory_is_reached_by_its_own_descriptor_only(guest: Peer) -> None:
    assert guest.path_open(3, b"../fixed/file", rights=READ)[0] == abi.PERM
    assert guest.path_open(4, b"file", rights=READ)[0] == 0


def test_links_without_end_are_eloop(guest: Peer, world: Path) -> None:
    work = world / "work"
    os.symlink("file", work / "l0")
    for i in range(1, 60):
        os.symlink(f"l{i - 1}", work / f"l{i}")
    assert guest.path_open(3, b"l20", rights=READ)[0] == 0
    assert guest.path_open(3, b"l59", rights=READ)[0] == abi.LOOP


def test_a_fifo_or_a_link_to_one_does_not_hang_the_guest(mine: Peer, world: Path) -> None:
    os.mkfifo(world / "work" / "fifo")
    errno, fd = mine.path_open(3, b"fifo", rights=abi.FILE_RIGHTS & ~abi.FD_WRITE)
    assert errno == 0
    assert mine.fdstat(fd)[1] == abi.UNKNOWN
    assert mine.path_open(3, b"fifo", oflags=abi.OPEN_DIRECTORY, rights=READ)[0] == abi.NOTDIR


SWAP = """
from os import rename
while True:
    rename("swap", "inside")
    rename("trap", "swap")
    rename("swap", "trap")
    rename("inside", "swap")
"""


def race(guest: Peer, world: Path, times: int) -> None:
    """Read ``swap/secret`` while the host swaps the directory for a link that leads out, and back,
    until there was something to read so many times, and so many times not."""
    work = world / "work"
    inside = work / "inside"
    inside.mkdir()
    (inside / "secret").write_text("harmless")
    os.symlink("../outside", work / "trap")
    os.rename(inside, work / "swap")
    swapper = subprocess.Popen([sys.executable, "-c", SWAP], cwd=work)
    read = refused = 0
    try:
        while min(read, refused) < times:
            assert swapper.poll() is None, "the host has stopped swapping"
            for path in (b"swap/secret", b"swap/../swap/secret", b"swap/deep/../secret"):
                errno, fd = guest.path_open(3, path, rights=READ)
                if errno:
                    refused += 1
                    continue
                content = guest.fd_read(fd)
                assert content == b"harmless"
                guest.call("fd_close", fd)
                read += 1
    finally:
        swapper.kill()
        swapper.wait()


def test_a_host_that_swaps_directories_for_links_lets_nothing_out(mine: Peer, world: Path) -> None:
    race(mine, world, 500)


@pytest.mark.slow
def test_a_host_that_swaps_directories_for_links_lets_nothing_out_often(
    mine: Peer, world: Path
) -> None:
    race(mine, world, 20_000)
