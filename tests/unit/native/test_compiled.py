"""A module is rewritten and compiled once; the next start takes it from the cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import chiwawa
from chiwawa.cache import Cache
from chiwawa.module import Module

pytest.importorskip("wasmtime")

from chiwawa.native import compiled
from chiwawa.native.compiled import SMALL, Compiled, How
from chiwawa.native.module import Rewritten

WAT = """(module (memory 1) (data (i32.const 0) "{data}")
  (func (export "f") (param i32) (result i32) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (local.get 0)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get $sum)))"""


@pytest.fixture
def binary() -> bytes:
    return chiwawa.load(WAT.format(data="." * SMALL)).binary


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done, in turn."""
    steps: list[str] = []
    rewrite, fresh = compiled.rewrite, compiled.fresh

    def rewriting(module: Module, counting: bool) -> object:
        steps.append("rewritten")
        return rewrite(module, counting)

    def compiling(rewritten: Rewritten, how: How) -> Compiled:
        steps.append("compiled")
        return fresh(rewritten, how)

    monkeypatch.setattr(compiled, "rewrite", rewriting)
    monkeypatch.setattr(compiled, "fresh", compiling)
    return steps


def made_of(module: Module, cache: Cache, counting: bool, canonical_nans: bool) -> Compiled:
    return compiled.compiled(module, cache, counting, canonical_nans)


BOTH = ["rewritten", "compiled"]


def files_of(cache: Cache) -> list[Path]:
    assert cache.folder is not None
    return sorted(Path(cache.folder).iterdir(), key=lambda file: file.stat().st_size)


def test_it_is_done_once(binary: bytes, cache: Cache, made: list[str]) -> None:
    first = made_of(chiwawa.load(binary), cache, False, False)
    second = made_of(chiwawa.load(binary), cache, False, False)
    assert made == BOTH
    assert second.tables.data == first.tables.data


def test_each_variant_is_another(binary: bytes, cache: Cache, made: list[str]) -> None:
    variants = [(False, False), (True, False), (False, True), (True, True)]
    for _ in range(2):
        for counting, canonical in variants:
            found = made_of(chiwawa.load(binary), cache, counting, canonical)
            assert found.tables.counting == counting
    # The NaNs are no matter of the rewriter's.
    assert made.count("compiled") == 4


def test_a_small_one_is_not_kept(cache: Cache, made: list[str]) -> None:
    small = chiwawa.load(WAT.format(data="")).binary
    made_of(chiwawa.load(small), cache, False, False)
    made_of(chiwawa.load(small), cache, False, False)
    assert made == BOTH * 2
    assert cache.folder is not None
    assert not os.path.exists(cache.folder)


@pytest.mark.parametrize("which", [0, 1], ids=["tables", "code"])
@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_where_something_is_damaged_it_is_done_again(
    binary: bytes, cache: Cache, made: list[str], which: int, damage: str
) -> None:
    made_of(chiwawa.load(binary), cache, False, False)
    file = files_of(cache)[which]
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(data[:-1] if damage == "cut" else data[:100] + b"!" + data[101:])
    for _ in range(2):
        made_of(chiwawa.load(binary), cache, False, False)
    assert made[2:] in (["rewritten"], BOTH)


def test_what_wasmtime_does_not_take_is_compiled_again(
    binary: bytes, cache: Cache, made: list[str]
) -> None:
    made_of(chiwawa.load(binary), cache, False, False)
    key = files_of(cache)[1].name.partition("-")[0]
    cache.keep(key, b"\x7fELF and nothing of ours")
    for _ in range(2):
        made_of(chiwawa.load(binary), cache, False, False)
    assert made == BOTH * 2


def test_a_run_from_the_cache_stops_and_goes_on(
    binary: bytes, cache: Cache, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache.folder is not None
    monkeypatch.setenv("CHIWAWA_CACHE", cache.folder)
    saved = []
    for _ in range(2):
        run = chiwawa.start(chiwawa.load(binary), "f", [1000], path="native", count=500)
        assert not run.go()
        saved.append(run.checkpoint())
        rest = chiwawa.restore(chiwawa.load(binary), saved[-1], path="native")
        assert rest.go()
        assert rest.results == [500500]
    assert saved[0] == saved[1]
    assert made.count("rewritten") <= 2
