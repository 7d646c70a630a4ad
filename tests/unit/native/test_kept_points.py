"""Where functions of a large module can be suspended is worked out once, and read after that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import chiwawa
from chiwawa import restoring, running
from chiwawa.cache import NO_CACHE, Cache
from chiwawa.execution import Source
from chiwawa.lower.lowered import Spaces, lower
from chiwawa.lower.points import points_of
from chiwawa.validated import SMALL
from chiwawa_runtime.run.starting import Setup
from tests.collecting_helpers import collect

pytest.importorskip("wasmtime")

from chiwawa.native import engine
from chiwawa.native.kept_points import KeptPoints

WAT = """(module
  (type $unary (func (param i32) (result i32)))
  (import "env" "tick" (func $tick (param i32)))
  (memory 2) (data (i32.const 0) "{data}")
  (table 1 funcref) (elem (i32.const 0) $deep)
  (func $deep (export "deep") (type $unary)
    (local $kept funcref) (local $typed (ref $unary)) (local $wide i64) (local $vector v128)
    (call $tick (local.get 0))
    (local.set $typed (ref.func $deep))
    (loop $again
      (local.set $wide (i64.add (local.get $wide) (i64.const 1)))
      (br_if $again (i64.lt_u (local.get $wide) (i64.const 3))))
    (if (result i32) (local.get 0)
      (then (i32.add
        (local.get 0)
        (call_indirect (type $unary) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))))
      (else (call_ref $unary_ (i32.const 1) (ref.func $leaf)))))
  (type $unary_ (func (param i32) (result i32)))
  (func $leaf (type $unary_) (call $tick (local.get 0)) (i32.wrap_i64 (i64.const 7)))
  (elem declare func $leaf $deep))"""
IMPORTS = {"env": {"tick": lambda n: None}}


@pytest.fixture
def binary() -> bytes:
    return chiwawa.load(WAT.format(data="." * SMALL)).binary


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The functions that are, in turn."""
    indexes: list[int] = []

    def lowering(spaces: Spaces, index: int) -> object:
        indexes.append(index)
        return lower(spaces, index)

    monkeypatch.setattr(engine, "lower", lowering)
    return indexes


def moved(binary: bytes, cache: Cache) -> tuple[bytes, object]:
    """Stopped half-way and restored, the checkpoint; and how it ends."""
    source = Source(chiwawa.load(binary), cache)
    setup = Setup(path="native", imports=IMPORTS, count=13)
    stopped = running.start(source, "deep", [6], setup)
    assert not stopped.go()
    again = restoring.restore(source, stopped.snapshot(), replace(setup, count=None))
    data = stopped.checkpoint()
    assert again.checkpoint() == data
    assert again.go()
    return data, again.result


def test_they_are_worked_out_once(binary: bytes, cache: Cache, lowered: list[int]) -> None:
    first = moved(binary, cache)
    assert lowered == [1]
    collect()
    assert moved(binary, cache) == first
    assert lowered == [1]
    assert moved(binary, NO_CACHE) == first
    assert lowered == [1, 1]


def test_what_is_kept_is_what_was_found_out(binary: bytes, cache: Cache) -> None:
    found = []
    for _ in range(2):
        spaces = Spaces.of(chiwawa.load(binary))
        kept = KeptPoints(spaces, cache)
        found.append([kept.get(index) for index in (1, 2)])
        for index in (1, 2):
            kept.add(index, points_of(lower(spaces, index)))
        del kept
        collect()
    assert found[0] == [None, None]
    assert found[1] == [points_of(lower(spaces, index)) for index in (1, 2)]
    assert found[1][0] is not None
    assert found[1][0].unset


def test_what_is_damaged_is_worked_out_anew(
    binary: bytes, cache: Cache, lowered: list[int]
) -> None:
    first = moved(binary, cache)
    collect()
    assert cache.folder is not None
    for file in Path(cache.folder).iterdir():
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    assert moved(binary, cache) == first
    assert lowered == [1, 1]


def test_of_a_small_module_nothing_is_kept(cache: Cache) -> None:
    spaces = Spaces.of(chiwawa.load(WAT.format(data="")))
    kept = KeptPoints(spaces, cache)
    kept.add(1, points_of(lower(spaces, 1)))
    del kept
    collect()
    assert cache.folder is not None
    assert not Path(cache.folder).exists()
