"""Rewritten modules as files: the original comes back, or the file is refused in a line."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import chiwawa
from chiwawa import native_file
from chiwawa.binary import decode
from chiwawa.binary.encode import write_section
from chiwawa.binary.names import write_name
from chiwawa.kinds import is_native
from chiwawa.native.tables import Tables
from chiwawa.native_file import NativeFile, read_native, write_native
from chiwawa_runtime.errors import BadInput, MalformedError

WAT = """(module (memory 1) (data (i32.const 0) "ten") (func $start (nop)) (start $start)
  (func (export "f") (param i32) (result i32)
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (i32.load8_u (i32.const 1))))"""
MODULE = chiwawa.load(WAT)
BINARY = MODULE.binary
CHANGED = "it has been changed, or cut off, since chiwawa compile wrote it"


def written(path: Path, **options: bool) -> bytes:
    chiwawa.compile_native(MODULE, path, **options)
    return path.read_bytes()


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    return written(tmp_path / "x.wasm")


def test_the_original_comes_back(data: bytes) -> None:
    assert is_native(data)
    assert read_native(data) == NativeFile(MODULE.binary, canonical_nans=False)


def test_it_says_whether_nans_are_canonical(tmp_path: Path) -> None:
    assert read_native(written(tmp_path / "x.wasm", canonical_nans=True)).canonical_nans


def test_it_is_a_module_with_tables_of_its_own(data: bytes, tmp_path: Path) -> None:
    module = decode(data)
    first, last = module.customs[0], module.customs[-1]
    assert (first.name, first.after, last.name) == ("chiwawa", 0, "chiwawa:original")
    tables = Tables(first.data[36:])
    assert (tables.counting, tables.original) == (False, MODULE.hash)
    assert [e.offset for e in tables.function(1).entries]
    counting = decode(written(tmp_path / "x.wasm", counting=True))
    assert Tables(counting.customs[0].data[36:]).counting


def test_the_same_module_gives_the_same_bytes(data: bytes, tmp_path: Path) -> None:
    assert written(tmp_path / "y.wasm") == data


def test_without_the_original_it_is_for_other_hosts(tmp_path: Path) -> None:
    data = written(tmp_path / "x.wasm", original=False)
    assert is_native(data)
    with pytest.raises(BadInput, match="compiled without its original"):
        read_native(data)


@pytest.mark.parametrize("path", ["interp", "aot"])
def test_every_path_runs_it(tmp_path: Path, path: str) -> None:
    written(tmp_path / "x.wasm")
    source = chiwawa.load_native(tmp_path / "x.wasm")
    assert chiwawa.instantiate(source, path=path).invoke("f", [5]) == [ord("e")]


def test_it_is_not_loaded_as_a_module(data: bytes) -> None:
    with pytest.raises(MalformedError, match="load_native loads it"):
        chiwawa.load(data)


def test_another_file_is_not_loaded_as_one(tmp_path: Path) -> None:
    (tmp_path / "x.wasm").write_bytes(MODULE.binary)
    with pytest.raises(BadInput, match="no module that chiwawa rewrote"):
        chiwawa.load_native(tmp_path / "x.wasm")


def test_every_change_is_found(data: bytes) -> None:
    for at in range(8, len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        if is_native(changed):
            with pytest.raises(BadInput, match=CHANGED):
                read_native(changed)


def test_it_is_refused_wherever_it_is_cut_off(data: bytes) -> None:
    for size in range(len(data)):
        if is_native(data[:size]):
            with pytest.raises(BadInput, match=CHANGED):
                read_native(data[:size])


def with_original(section: bytes) -> bytes:
    """A file whose digest is right, whatever its section of the original has."""
    last = write_section(0, write_name(native_file.ORIGINAL) + section)
    return write_native(BINARY[:8] + last, b"", None, canonical_nans=False)


def original(size: int, packed: bytes, digest: bytes | None = None) -> bytes:
    return struct.pack("<I32s", size, digest or MODULE.hash) + packed


HOSTILE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "not compressed": lambda: original(len(BINARY), BINARY),
    "cut off": lambda: original(len(BINARY), zlib.compress(BINARY)[:-9]),
    "shorter than it says": lambda: original(len(BINARY) + 1, zlib.compress(BINARY)),
    "longer than it says": lambda: original(len(BINARY) - 1, zlib.compress(BINARY)),
    "another": lambda: original(len(BINARY), zlib.compress(bytes(len(BINARY)))),
    "much from little": lambda: original(100, zlib.compress(bytes(10_000_000))),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_original_is_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(BadInput, match=CHANGED):
        read_native(with_original(make()))


def test_an_original_that_would_be_huge_is_refused() -> None:
    with pytest.raises(BadInput, match="its original is said to have 4294967295 bytes"):
        read_native(with_original(original((1 << 32) - 1, b"")))


def test_an_original_that_is_no_module_is_refused_where_it_is_wanted(tmp_path: Path) -> None:
    nonsense = b"nonsense"
    binary = write_native(BINARY, b"", nonsense, canonical_nans=False)
    (tmp_path / "x.wasm").write_bytes(binary)
    with pytest.raises(BadInput):
        chiwawa.instantiate(chiwawa.load_native(tmp_path / "x.wasm"))
