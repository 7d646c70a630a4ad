"""The user's cache: what is kept comes back, and nothing that somebody else could have written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chiwawa import cache
from chiwawa.cache import Cache, key_of, users_folder

KEY = key_of("a", "module")
OTHER = key_of("another", "module")
#: Systems whose files have users.
USERS = hasattr(os, "geteuid")
needs_users = pytest.mark.skipif(not USERS, reason="files have no users here")
ROOT = Path(__file__).resolve().parents[2]

#: Keeps much under one key, and reads it meanwhile.
BUSY = """
import sys
from chiwawa.cache import Cache
cache = Cache(sys.argv[1])
contents = {bytes([n]) * 5000 for n in range(4)}
for turn in range(100):
    cache.keep(sys.argv[2], bytes([turn % 4]) * 5000)
    found = cache.read(sys.argv[2])
    assert found is None or found in contents, found
"""


@pytest.fixture
def kept(tmp_path: Path) -> Cache:
    made = Cache(str(tmp_path / "cache"))
    made.keep(KEY, b"con", memoryview(b"tent"))
    return made


def folder_of(cache: Cache) -> Path:
    assert cache.folder is not None
    return Path(cache.folder)


def files_of(cache: Cache) -> list[Path]:
    return sorted(folder_of(cache).iterdir())


def only(cache: Cache) -> Path:
    (file,) = files_of(cache)
    return file


def test_what_is_kept_comes_back(kept: Cache) -> None:
    assert kept.read(KEY) == b"content"
    assert kept.read(OTHER) is None
    assert Cache(kept.folder).read(KEY) == b"content"


def test_the_file_itself_can_be_used(kept: Cache) -> None:
    def load(path: str) -> bytes:
        assert Path(path).exists()
        return Path(path).read_bytes()

    assert kept.use(KEY, load) == b"content"
    assert kept.use(OTHER, load) is None


def test_one_entry_takes_the_place_of_another(kept: Cache) -> None:
    kept.keep(KEY, b"more")
    assert kept.read(KEY) == b"more"
    assert len(files_of(kept)) == 1


def test_without_a_folder_nothing_is_kept() -> None:
    nowhere = Cache(None)
    nowhere.keep(KEY, b"content")
    assert nowhere.read(KEY) is None


@needs_users
def test_the_folder_and_the_files_are_the_users_alone(kept: Cache) -> None:
    assert folder_of(kept).stat().st_mode & 0o777 == 0o700
    assert only(kept).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage",
    [b"", b"con", b"contend", b"content and more"],
    ids=["empty", "truncated", "changed", "longer"],
)
def test_what_is_damaged_is_not_there_and_goes(kept: Cache, damage: bytes) -> None:
    only(kept).write_bytes(damage)
    assert kept.read(KEY) is None
    assert files_of(kept) == []
    kept.keep(KEY, b"content")
    assert kept.read(KEY) == b"content"


def test_another_entrys_file_under_this_name_is_not_read(kept: Cache) -> None:
    kept.keep(OTHER, b"something else")
    mine, others = (next(f for f in files_of(kept) if f.name.startswith(k)) for k in (KEY, OTHER))
    os.replace(others, mine)
    assert kept.read(KEY) is None


def test_files_of_other_names_are_not_read(kept: Cache) -> None:
    file = only(kept)
    file.rename(file.with_name(KEY))
    (folder_of(kept) / f"{KEY}-nonsense").write_bytes(b"content")
    assert kept.read(KEY) is None


@needs_users
def test_links_are_not_followed(kept: Cache, tmp_path: Path) -> None:
    file = only(kept)
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert kept.read(KEY) is None
    assert elsewhere.read_bytes() == b"content"


@needs_users
def test_a_folder_that_is_a_link_is_not_used(kept: Cache, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder_of(kept))
    linked = Cache(str(link))
    assert linked.read(KEY) is None
    linked.keep(OTHER, b"more")
    assert kept.read(OTHER) is None


@needs_users
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_to_is_not_used(kept: Cache, mode: int) -> None:
    folder_of(kept).chmod(mode)
    assert kept.read(KEY) is None
    kept.keep(OTHER, b"more")
    folder_of(kept).chmod(0o700)
    assert kept.read(OTHER) is None
    assert kept.read(KEY) == b"content"


@needs_users
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_to_is_not_used(kept: Cache, mode: int) -> None:
    only(kept).chmod(mode)
    assert kept.read(KEY) is None


@needs_users
def test_what_somebody_else_owns_is_not_used(kept: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert kept.read(KEY) is None
    kept.keep(OTHER, b"more")
    monkeypatch.undo()
    assert kept.read(OTHER) is None
    assert kept.read(KEY) == b"content"


@needs_users
@pytest.mark.skipif(not USERS or os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_not_used(kept: Cache) -> None:
    os.chown(only(kept), 12345, -1)
    assert kept.read(KEY) is None


@needs_users
def test_a_pipe_is_not_waited_for(kept: Cache) -> None:
    file = only(kept)
    file.unlink()
    os.mkfifo(file, 0o600)
    assert kept.read(KEY) is None


def test_a_folder_that_is_a_file_means_no_cache(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    for folder in (tmp_path / "cache", tmp_path / "cache" / "beneath"):
        made = Cache(str(folder))
        made.keep(KEY, b"content")
        assert made.read(KEY) is None
    assert (tmp_path / "cache").read_bytes() == b""


@needs_users
@pytest.mark.skipif(USERS and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_read(kept: Cache) -> None:
    folder_of(kept).chmod(0o500)
    kept.keep(OTHER, b"more")
    assert kept.read(KEY) == b"content"
    assert kept.read(OTHER) is None
    folder_of(kept).chmod(0o700)


def test_a_full_disk_leaves_nothing_behind(kept: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache._Folder, "rename", full)
    kept.keep(OTHER, b"more")
    assert kept.read(OTHER) is None
    assert kept.read(KEY) == b"content"
    assert len(files_of(kept)) == 1


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    small = Cache(str(tmp_path / "cache"), most=25)
    first, second, third = (key_of(str(number)) for number in range(3))
    small.keep(first, bytes(10))
    small.keep(second, bytes(10))
    for file in files_of(small):
        os.utime(file, (1, 1) if file.name.startswith(first) else (2, 2))
    assert small.read(first) is not None
    small.keep(third, bytes(10))
    assert [small.read(key) is not None for key in (first, second, third)] == [True, False, True]


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    small = Cache(str(tmp_path / "cache"), most=25)
    small.keep(KEY, bytes(20))
    small.keep(OTHER, bytes(20), bytes(6))
    assert small.read(OTHER) is None
    assert small.read(KEY) is not None


def test_there_are_so_many_entries_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_ENTRIES", 3)
    few = Cache(str(tmp_path / "cache"))
    for number in range(6):
        few.keep(key_of(str(number)), b"content")
    assert len(files_of(few)) == 3


def test_what_a_dead_writer_left_goes_in_time(kept: Cache) -> None:
    fresh, old = (folder_of(kept) / name for name in ("fresh.tmp", "old.tmp"))
    for file in (fresh, old):
        file.write_bytes(b"half")
    os.utime(old, (1, 1))
    kept.keep(OTHER, b"more")
    assert fresh.exists()
    assert not old.exists()


def test_processes_share_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    path = os.pathsep.join([str(ROOT), str(ROOT / "runtime")])
    command = [sys.executable, "-c", BUSY, str(folder), KEY]
    together = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}) for _ in range(3)]
    assert [process.wait() for process in together] == [0, 0, 0]
    assert Cache(str(folder)).read(KEY) in {bytes([n]) * 5000 for n in range(4)}


def test_keys_tell_where_parts_end() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("ab", b"c") == key_of(b"ab", "c")


def test_the_setting_names_the_folder_or_says_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIWAWA_CACHE", str(tmp_path))
    assert users_folder() == str(tmp_path)
    for off in ("", "off"):
        monkeypatch.setenv("CHIWAWA_CACHE", off)
        assert users_folder() is None


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these have places of their own")
def test_the_folder_is_where_the_desktop_keeps_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHIWAWA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert users_folder() == str(tmp_path / "chiwawa")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert users_folder() == str(tmp_path / ".cache" / "chiwawa")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these have places of their own")
def test_whoever_has_no_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHIWAWA_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert users_folder() is None
