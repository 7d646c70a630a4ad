"""Long ways through directories and links: right, and bounded in what they cost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from chiwawa_runtime.wasi import abi, path_calls, paths
from tests.wasi.peer_helpers import Peer

FILE = abi.FILE_RIGHTS
READ = abi.FD_READ
DEPTH = 300


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One item for each time that the host has been asked to open something."""
    made: list[Any] = []
    host = os.open

    def counted(*args: Any, **options: Any) -> int:
        made.append(args)
        return host(*args, **options)

    monkeypatch.setattr(os, "open", counted)
    return made


def dig(folder: Path, depth: int = DEPTH) -> None:
    """Directories named d, one in another, with a file at the bottom."""
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=handle)
        below = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)


#: Ways down and up again that end at a file.
WAYS = [
    b"d/" * DEPTH + b"f",
    b"d/" * DEPTH + b"../" * DEPTH + b"file",
    b"d/" * DEPTH + b"../" * 100 + b"d/" * 100 + b"f",
    b"d/" * 100 + b"d/../" * 500 + b"../" * 100 + b"file",
    (b"d/" * 70 + b"../" * 70) * 9 + b"file",
    b"./" * 2000 + b"file",
]


@pytest.mark.parametrize("way", WAYS, ids=range(len(WAYS)))
def test_a_long_way_down_and_up_leads_where_it_says(guest: Peer, world: Path, way: bytes) -> None:
    dig(world / "work")
    assert len(way) < 4096
    assert guest.path_open(3, way, rights=READ)[0] == 0
    assert guest.path_open(3, way.rpartition(b"/")[0] + b"/none", rights=READ)[0] == abi.NOENT


@pytest.mark.parametrize("way", WAYS, ids=range(len(WAYS)))
def test_each_step_of_a_long_way_costs_few_of_the_host_s(
    mine: Peer, world: Path, opens: list[Any], way: bytes
) -> None:
    dig(world / "work")
    opens.clear()
    mine.open(3, way, rights=READ)
    assert len(opens) < (2 + DEPTH // 60) * (way.count(b"/") + 1)


def test_links_that_lead_up_and_down_for_long_are_eloop_and_cheap(
    mine: Peer, world: Path, opens: list[Any]
) -> None:
    work = world / "work"
    dig(work, 60)
    down_and_up = "d/" * 60 + "../" * 60
    os.symlink("file", work / "l0")
    for i in range(1, 40):
        os.symlink(down_and_up * 10 + f"l{i - 1}", work / f"l{i}")
    assert mine.path_open(3, b"l3", rights=READ)[0] == 0
    opens.clear()
    assert mine.path_open(3, b"l39", rights=READ)[0] == abi.LOOP
    assert len(opens) < 2 * paths.MAX_LINKED


def test_no_descriptor_is_left_after_a_long_way(mine: Peer, world: Path) -> None:
    dig(world / "work")
    os.symlink("d/" * 200, world / "work" / "deep")
    before = len(os.listdir("/proc/self/fd"))
    for path in (b"deep/d/../none/x", b"d/" * DEPTH + b"../" * (DEPTH + 1), b"deep/../d/f/x"):
        assert mine.path_open(3, path, rights=READ)[0] != 0
        assert mine.path_filestat(3, path)[0] != 0
    assert mine.path_filestat(3, WAYS[3])[0] == 0
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_long_way_can_be_gone_with_few_descriptors_left(mine: Peer, world: Path) -> None:
    resource = pytest.importorskip("resource")
    dig(world / "work")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The lowest number that is free, and a few more.
    probe = os.open(os.devnull, os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe + 6, hard))
    try:
        assert [mine.path_filestat(3, way)[0] for way in WAYS] == [0] * len(WAYS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_is_open_has_no_path_of_any_length(
    mine: Peer, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path_calls, "_LONGEST", 12)
    below = mine.open(3, b"sub", oflags=abi.OPEN_DIRECTORY, rights=abi.DIRECTORY_RIGHTS)
    mine.open(below, b"inner", rights=READ)
    (world / "work" / "sub" / "deep" / "file").write_text("")
    assert mine.path_open(below, b"deep/file", rights=READ)[0] == abi.NAMETOOLONG
    assert mine.two_paths("path_rename", 3, b"sub", 3, b"longer") == 0
    assert mine.two_paths("path_rename", 3, b"longer", 3, b"longer2") == abi.NAMETOOLONG
    assert (world / "work" / "longer").is_dir()


def test_a_fifo_nobody_reads_is_not_waited_for_where_that_is_not_wanted(
    mine: Peer, world: Path
) -> None:
    os.mkfifo(world / "work" / "fifo")
    options = {"rights": FILE & ~abi.FD_READ, "fdflags": abi.NONBLOCK}
    assert mine.path_open(3, b"fifo", **options)[0] == abi.NXIO


@pytest.mark.parametrize("path", [b"fd/0", b"fd/0/", b"self/fd/0", b"root", b"root/etc", b"exe"])
def test_the_links_of_a_process_file_system_lead_nowhere(
    world: Path, ours: Any, path: bytes
) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this host has no /proc")
    guest = ours(dirs=[("/proc/self", "/self", True), ("/proc", "/proc", True)])
    assert guest.path_open(3, path, rights=READ)[0] in (abi.PERM, abi.NOENT)
    assert guest.path_filestat(3, path)[0] in (abi.PERM, abi.NOENT)
