"""What a WASI program may open and write, on each path, also where it is restored."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

import chiwawa
from chiwawa import Limits, Wasi
from tests.path_helpers import PATHS, each_path

MFILE, NOSPC = 33, 51
OPENER = chiwawa.load("""(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  (func $once (export "once") (result i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1)
      (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 8)))
  (func (export "without_end") (result i32) (local $error i32)
    (loop $on (br_if $on (i32.eqz (local.tee $error (call $once)))))
    (local.get $error))
  (func (export "two") (result i32) (drop (call $once)) (drop (call $once)) (loop) (call $once))
  (func (export "close") (param i32) (result i32) (call $close (local.get 0))))""")
WRITER = chiwawa.load("""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\40\\00\\00\\00\\0a\\00\\00\\00")
  (data (i32.const 64) "0123456789")
  (data (i32.const 96) "file")
  (func (export "open") (result i32)
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 96) (i32.const 4) (i32.const 1)
      (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 8)))
    (i32.load (i32.const 8)))
  (func $once (param $fd i32) (result i32)
    (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 32)))
  (func (export "without_end") (param $fd i32) (result i32) (local $error i32)
    (loop $on (br_if $on (i32.eqz (local.tee $error (call $once (local.get $fd))))))
    (local.get $error)))""")


def made(folder: Path) -> tuple[Wasi, io.BytesIO]:
    out = io.BytesIO()
    return Wasi(["program"], dirs=[(folder, "/", False)], stdout=out), out


@each_path
def test_a_program_opens_no_more_files_than_it_may(tmp_path: Path, path: str) -> None:
    wasi, _ = made(tmp_path)
    instance = chiwawa.instantiate(OPENER, path=path, wasi=wasi, limits=Limits(files=5))
    assert instance.invoke("without_end") == [MFILE]
    # Beside the streams and the directory that it was given.
    assert len(wasi.process.table.entries) == 3 + 1 + 5
    assert instance.invoke("close", [6]) == [0]
    assert instance.invoke("once") == [0]
    assert instance.invoke("once") == [MFILE]
    wasi.close()


@each_path
def test_a_checkpoint_with_more_open_files_is_refused(tmp_path: Path, path: str) -> None:
    wasi, _ = made(tmp_path)
    # Three for the calls, and the loop.
    run = chiwawa.start(OPENER, "two", path=path, wasi=wasi, limits=Limits(files=2))
    run.requests.count_from(0, 6)
    assert not run.go()
    assert wasi.process.table.opened() == 2
    data = run.checkpoint()
    for other in PATHS:

        def restored(limits: Limits, path: str = other) -> tuple[Any, Wasi]:
            given = Wasi.load(data, [(tmp_path, "/", False)])
            return chiwawa.restore(OPENER, data, path=path, wasi=given, limits=limits), given

        with pytest.raises(chiwawa.CheckpointError, match="--max-files 2 "):
            restored(Limits(files=1))
        again, given = restored(Limits(files=2))
        assert again.go()
        assert again.results == [MFILE]
        given.close()
        again, given = restored(Limits())
        assert again.go()
        assert again.results == [0]
        given.close()
    wasi.close()


@each_path
def test_a_program_writes_no_more_than_it_may(tmp_path: Path, path: str) -> None:
    wasi, out = made(tmp_path)
    instance = chiwawa.instantiate(WRITER, path=path, wasi=wasi, limits=Limits(output=37))
    assert instance.invoke("without_end", [1]) == [NOSPC]
    assert out.getvalue() == b"0123456789" * 3 + b"0123456"
    (fd,) = instance.invoke("open")
    assert instance.invoke("without_end", [fd]) == [NOSPC]
    assert (tmp_path / "file").read_bytes() == b""
    wasi.close()


@each_path
def test_files_are_output_as_well(tmp_path: Path, path: str) -> None:
    wasi, _ = made(tmp_path)
    instance = chiwawa.instantiate(WRITER, path=path, wasi=wasi, limits=Limits(output=12345))
    (fd,) = instance.invoke("open")
    assert instance.invoke("without_end", [fd]) == [NOSPC]
    assert (tmp_path / "file").stat().st_size == 12345
    wasi.close()
