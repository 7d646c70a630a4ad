"""Vectors in a program's state: in checkpoints, whichever path writes and whichever restores them;
given to and by hosts; and in what other instances share."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import chiwawa
from chiwawa import api
from chiwawa.module import Module
from chiwawa.source import load
from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.snapshot import PlannedCall, Snapshot
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.types import F64, FUNCREF, I32, I64, V128, FuncType, GlobalType
from tests.path_helpers import PATHS, each_path

#: At its second call of the host there are vectors in a local, a global, as operands that wait, in
#: two frames, and in what is still to be called with one.
SOURCE = """(module
  (import "env" "turn" (func $turn (param v128 i32) (result v128)))
  (global $seen (export "seen") (mut v128) (v128.const i64x2 -1 5))
  (func $inner (param $given v128) (param $depth i32) (result v128) (local $kept v128)
    (local.set $kept
      (i8x16.add (local.get $given) (v128.const i16x8 1 2 3 4 5 6 7 0xff00)))
    (global.set $seen (v128.xor (global.get $seen) (local.get $kept)))
    (f64x2.add
      (f64x2.convert_low_i32x4_s (local.get $kept))
      (call $turn (local.get $given) (local.get $depth))))
  (func (export "run") (param $given v128) (result v128 i32 v128)
    (i32x4.add (local.get $given) (call $inner (local.get $given) (i32.const 7)))
    (i32.const 3)
    (call $inner (v128.not (local.get $given)) (i32.const 8))))"""
GIVEN = bytes(range(100, 116))


@pytest.fixture(scope="module")
def module() -> Module:
    return load(SOURCE.encode())


def turning(value: bytes, number: int) -> bytes:
    return value[number:] + value[:number]


IMPORTS = {"env": {"turn": HostFunction(FuncType((V128, I32), (V128,)), turning, "turn")}}


def stopped(module: Module, path: str, at: int) -> api.Run:
    run = api.start(module, "run", [GIVEN], IMPORTS, path=path)
    run.requests.count_from(0, at)
    assert not run.go()
    return run


@pytest.fixture(scope="module")
def expected(module: Module) -> Any:
    instance = api.instantiate(module, IMPORTS, path="interp")
    return instance.invoke("run", [GIVEN]), instance.exports["seen"].value


@pytest.mark.parametrize(("first", "second"), [*itertools.product(PATHS, repeat=2)])
def test_vectors_survive_each_change_of_path(
    module: Module, first: str, second: str, expected: Any
) -> None:
    for at in range(1, 6):
        data = stopped(module, first, at).checkpoint()
        assert data == stopped(module, "interp", at).checkpoint()
        assert checkpoint.encode(checkpoint.decode(data)) == data
        run = api.restore(module, data, IMPORTS, path=second)
        assert run.go()
        assert (run.results, run.instance.exports["seen"].value) == expected


def of_other_types(snapshot: Snapshot) -> Iterator[Snapshot]:
    """The state with something else where there is a vector: planned, in a local, waiting, in the
    global."""
    yield replace(snapshot, plan=(replace(snapshot.plan[0], args=((F64, 1.0),)),))
    yield replace(snapshot, plan=(replace(snapshot.plan[0], args=()),))
    changed = replace(snapshot.globals[0], type=GlobalType(I64, True), value=1)
    yield replace(snapshot, globals=(changed,))
    youngest, *older = snapshot.frames
    locals_ = ((I64, 1), *youngest.locals[1:])
    yield replace(snapshot, frames=(youngest._replace(locals=locals_), *older))
    stack = (*youngest.stack[:-1], (FUNCREF, None))
    yield replace(snapshot, frames=(youngest._replace(stack=stack), *older))
    yield replace(snapshot, frames=(youngest._replace(stack=youngest.stack[1:]), *older))


@pytest.mark.parametrize(("at", "what"), [(1, 0), (1, 1), *((3, what) for what in range(2, 6))])
@each_path
def test_a_tampered_copy_is_refused_in_one_line(
    module: Module, path: str, at: int, what: int
) -> None:
    snapshot = checkpoint.decode(stopped(module, path, at).checkpoint())
    if not snapshot.plan:
        snapshot = replace(snapshot, plan=(PlannedCall(2, ((V128, GIVEN),)),))
    data = checkpoint.encode([*of_other_types(snapshot)][what])
    with pytest.raises(CheckpointError) as refused:
        api.restore(module, data, IMPORTS, path=path)
    assert "\n" not in str(refused.value)


@each_path
def test_a_vector_is_16_bytes_to_a_host(module: Module, path: str) -> None:
    instance = api.instantiate(module, IMPORTS, path=path)
    seen = instance.exports["seen"]
    assert seen.value == struct.pack("<qq", -1, 5)
    seen.value = memoryview(GIVEN)
    assert seen.value == GIVEN
    for wrong in (GIVEN[:15], 5, "0" * 16):
        with pytest.raises((TypeError, ValueError), match="v128 wants 16 bytes"):
            seen.value = wrong
        with pytest.raises((TypeError, ValueError), match="v128 wants 16 bytes"):
            instance.invoke("run", [wrong])


@each_path
def test_globals_with_vectors_are_imported(path: str) -> None:
    text = """(module (global (import "m" "c") v128) (global $g (import "m" "v") (mut v128))
      (global (export "again") v128 (global.get 0))
      (func (export "put") (param v128) (global.set $g (local.get 0))))"""
    with chiwawa.paths.path(path).together():
        owner = api.instantiate(
            load(
                b"""(module (global (export "c") v128 (v128.const i32x4 1 2 3 4))
                  (global (export "v") (mut v128) (v128.const i32x4 0 0 0 0)))"""
            ),
            path=path,
        )
        instance = api.instantiate(load(text.encode()), {"m": owner.exports}, path=path)
        instance.invoke("put", [GIVEN])
    assert owner.exports["v"].value == GIVEN
    assert instance.exports["again"].value == struct.pack("<4I", 1, 2, 3, 4)
