"""A large module that is known to be valid is not checked again, and is the same module."""

from __future__ import annotations

from pathlib import Path

import pytest

import chiwawa
from chiwawa import source
from chiwawa.cache import Cache
from chiwawa.module import Func
from chiwawa.program import program_of
from chiwawa.validated import SMALL
from chiwawa_runtime.errors import InvalidError

WAT = """(module
  (import "host" "f" (func $f (param i32) (result i32)))
  (type $t (func (param i32) (result i32)))
  (import "host" "at" (global $at i32))
  (memory 2) (memory $wide i64 1) (table funcref (elem $b $c))
  (data (i32.const 0) "{data}") (data $said "said") (data (global.get $at) "abc")
  (data (i32.const 131072) "") (data (memory $wide) (i64.const 7) "de") (data (i32.const 9) "f")
  (func $a (export "a") (param i32) (result i32) (local i64 f32)
    (loop $l (br_if $l (i32.eqz (call $f (local.get 0)))))
    (call_indirect (type $t) (call $b (local.get 0)) (i32.const 1)))
  (func $b (type $t) (drop (ref.func $c)) (call $c (call $f (local.get 0))))
  (func $c (type $t) (local externref) {body})
  (func $d (type $t) (return_call $c (local.get 0))))
"""
VALID = WAT.format(data="." * SMALL, body="(i32.add (local.get 0) (i32.const 1))")


@pytest.fixture
def binary() -> bytes:
    return chiwawa.load(VALID).binary


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bodies that are checked."""
    positions: list[int] = []

    class Checks(source.BodyChecks):
        def __call__(self, module, index, body):  # type: ignore[no-untyped-def]
            positions.append(index)
            super().__call__(module, index, body)

    monkeypatch.setattr(source, "BodyChecks", Checks)
    return positions


def facts(func: Func) -> tuple[object, ...]:
    s = func.summary
    named = map(list, (s.calls, s.refers, s.tails, s.tail_types))
    return *named, s.indirect, s.loops, s.length, s.excepts, s.heaped


def test_it_is_checked_once(binary: bytes, cache: Cache, checked: list[int]) -> None:
    first = source.load_bytes(binary, cache)
    assert checked == [0, 1, 2, 3]
    second = source.load_bytes(binary, cache)
    assert checked == [0, 1, 2, 3]
    assert second == first
    assert second.hash == first.hash
    assert [facts(f) for f in second.funcs] == [facts(f) for f in first.funcs]
    assert [second.datas[i] for i in range(-6, 6)] == [*first.datas, *first.datas]
    assert program_of(second) == program_of(first)
    assert program_of(second).tail_calls == {4: ((3,), ())}
    at = chiwawa.Global(chiwawa.GlobalType(chiwawa.I32, False), 30)
    imports = {"host": {"f": lambda n: n + 1, "at": at}}
    results = [chiwawa.instantiate(m, imports).invoke("a", [5]) for m in (first, second)]
    assert results == [[8], [8]]


def test_without_a_cache_it_is_checked_again(
    binary: bytes, cache: Cache, checked: list[int]
) -> None:
    source.load_bytes(binary, cache)
    source.load_bytes(binary)
    assert checked == [0, 1, 2, 3] * 2


def test_another_module_is_checked(binary: bytes, cache: Cache, checked: list[int]) -> None:
    source.load_bytes(binary, cache)
    source.load_bytes(binary.replace(b"....", b",...", 1), cache)
    assert checked == [0, 1, 2, 3] * 2


def test_where_the_entry_is_damaged_it_is_checked_again(
    binary: bytes, cache: Cache, checked: list[int]
) -> None:
    source.load_bytes(binary, cache)
    assert cache.folder is not None
    (file,) = Path(cache.folder).iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    for _ in range(2):
        source.load_bytes(binary, cache)
        assert checked == [0, 1, 2, 3] * 2


def test_one_that_is_invalid_is_never_known(cache: Cache) -> None:
    wrong = WAT.format(data="." * SMALL, body="(i64.const 1)")
    for _ in range(2):
        with pytest.raises(InvalidError, match="type mismatch"):
            source.prepare(source._parsed(wrong), cache)
    assert cache.folder is not None
    assert not Path(cache.folder).exists()


def test_a_small_one_is_not_kept(cache: Cache) -> None:
    source.load_bytes(chiwawa.load("(module (func))").binary, cache)
    assert cache.folder is not None
    assert not Path(cache.folder).exists()


def test_who_loads_a_file_uses_the_users_cache(
    binary: bytes, cache: Cache, checked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.folder is not None
    monkeypatch.setenv("CHIWAWA_CACHE", cache.folder)
    chiwawa.load(binary)
    chiwawa.load(binary)
    assert checked == [0, 1, 2, 3]
