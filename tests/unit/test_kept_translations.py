"""What a large module is translated to is kept for the next start, with all that is known of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import chiwawa
from chiwawa import restoring, running
from chiwawa.aot import ondemand
from chiwawa.cache import NO_CACHE, Cache
from chiwawa.execution import Source
from chiwawa.validated import SMALL
from chiwawa_runtime.errors import Trap
from chiwawa_runtime.run.starting import Setup
from tests.collecting_helpers import collect

WAT = """(module (type $unary (func (param i32) (result i32))) (memory 1)
  (table 1 funcref) (elem (i32.const 0) $deep) (data (i32.const 0) "{data}")
  (func $deep (export "deep") (type $unary) (local $kept funcref) (local $wide i64)
    (local.set $kept (ref.func $deep))
    (local.set $wide (i64.const -2))
    (if (result i32) (local.get 0)
      (then (i32.add
        (local.get 0)
        (call_indirect (type $unary) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))))
      (else (i32.div_s (local.get 0) (i32.wrap_i64 (i64.add (local.get $wide) (i64.const 2)))))))
  (func (export "both") (result i32) (call $deep (i32.const 9))))"""
AOT = Setup(path="aot")
CANONICAL = Setup(path="aot", canonical_nans=True)


@pytest.fixture
def binary() -> bytes:
    return chiwawa.load(WAT.format(data="." * SMALL)).binary


@pytest.fixture
def translated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The functions that are, in turn."""
    indexes: list[int] = []
    translate = ondemand.translate_function

    def translating(index: int, *rest: object) -> object:
        indexes.append(index)
        return translate(index, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ondemand, "translate_function", translating)
    return indexes


def deep(binary: bytes, cache: Cache) -> tuple[bytes, str]:
    """Stopped half-way and restored, the checkpoint; and how it ends."""
    source = Source(chiwawa.load(binary), cache)
    stopped = running.start(source, "deep", [6], Setup(path="aot", count=5))
    assert not stopped.go()
    data = stopped.checkpoint()
    again = restoring.restore(source, stopped.snapshot(), AOT)
    assert again.checkpoint() == data
    with pytest.raises(Trap, match="divide by zero") as trapped:
        again.go()
    return data, str(trapped.value.backtrace)


def ends(binary: bytes, cache: Cache, setup: Setup) -> None:
    """Both functions are called."""
    instance = running.instantiate(Source(chiwawa.load(binary), cache), setup)
    with pytest.raises(Trap, match="divide by zero"):
        instance.invoke("both")


def test_it_is_translated_once(binary: bytes, cache: Cache, translated: list[int]) -> None:
    first = deep(binary, cache)
    assert translated == [0]
    collect()
    assert deep(binary, cache) == first
    assert translated == [0]
    assert deep(binary, NO_CACHE) == first
    assert translated == [0, 0]


def test_what_is_called_later_is_added(binary: bytes, cache: Cache, translated: list[int]) -> None:
    deep(binary, cache)
    collect()

    ends(binary, cache, AOT)
    assert translated == [0, 1]
    collect()
    ends(binary, cache, AOT)
    deep(binary, cache)
    assert translated == [0, 1]


def test_other_ways_to_translate_are_kept_apart(
    binary: bytes, cache: Cache, translated: list[int]
) -> None:
    for setup in (AOT, Setup(path="aot", granularity="instruction"), CANONICAL):
        ends(binary, cache, setup)
        collect()
    assert translated == [1, 0] * 3
    for setup in (AOT, Setup(path="aot", granularity="instruction"), CANONICAL):
        ends(binary, cache, setup)
    assert translated == [1, 0] * 3


def test_what_is_damaged_is_translated_anew(
    binary: bytes, cache: Cache, translated: list[int]
) -> None:
    first = deep(binary, cache)
    collect()
    assert cache.folder is not None
    for file in Path(cache.folder).iterdir():
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        os.chmod(file, 0o600)
    assert deep(binary, cache) == first
    assert translated == [0, 0]


def test_small_modules_are_not_kept(cache: Cache, translated: list[int]) -> None:
    small = chiwawa.load(WAT.format(data="")).binary
    first = deep(small, cache)
    collect()
    assert deep(small, cache) == first
    assert translated == [0, 0]
