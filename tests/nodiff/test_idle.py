"""Instances saved between calls, and made again on each path."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import chiwawa
from chiwawa_runtime.checkpoint import decode
from tests.path_helpers import PAIRS, PATHS, each_path

#: Has everything that an instance can change.
COUNTER = """(module $counter
  (memory (export "memory") 1 9) (table 2 8 funcref) (global $n (mut i32) (i32.const 0))
  (global $last (mut funcref) (ref.null func)) (global $v (mut v128) (v128.const i64x2 0 0))
  (data $passive "abc") (elem $spare func $start)
  (func $start (global.set $n (i32.const 40)))
  (start $start)
  (func $next (export "next") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (loop $once (i32.store (i32.const 65528) (global.get $n)) (br_if $once (i32.const 0)))
    (global.get $n))
  (func (export "change")
    (memory.init $passive (i32.const 16) (i32.const 0) (i32.const 3)) (data.drop $passive)
    (drop (memory.grow (i32.const 2))) (drop (table.grow (ref.func $next) (i32.const 3)))
    (table.init $spare (i32.const 0) (i32.const 0) (i32.const 1)) (elem.drop $spare)
    (global.set $last (ref.func $next)) (global.set $v (v128.const i32x4 1 2 3 4)))
  (func (export "size") (result i32) (i32.add (memory.size) (table.size)))
  (func (export "through") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
  (func (export "again") (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 3))))"""


@each_path
def test_an_instance_is_as_it_was_on_each_path(path: str) -> None:
    module = chiwawa.load(COUNTER)
    instance = chiwawa.instantiate(module, path=path)
    instance.invoke("next")
    instance.invoke("change")
    data = instance.checkpoint()
    assert decode(data).idle
    for other in PATHS:
        again = chiwawa.restore_instance(module, data, path=other)
        assert again.checkpoint() == data
        assert again.invoke("next") == [42]
        assert again.invoke("size") == [3 + 5]
        assert again.invoke("through", [4]) == [43]
        assert again.memory().read(16, 3) == b"abc"
        with pytest.raises(chiwawa.Trap, match="out of bounds memory access"):
            again.invoke("again")
        with pytest.raises(chiwawa.Trap, match="indirect call type mismatch"):
            again.invoke("through", [0])
    # It goes on by itself, as if nothing had been.
    assert instance.invoke("next") == [42]


def test_the_paths_write_the_same_bytes() -> None:
    module = chiwawa.load(COUNTER)
    files = set()
    for path in PATHS:
        instance = chiwawa.instantiate(module, path=path)
        for name in ("change", "next"):
            instance.invoke(name)
        files.add(instance.checkpoint())
    assert len(files) == 1


@pytest.mark.parametrize(("path", "other"), PAIRS)
def test_what_a_run_leaves_can_be_saved_and_has_its_count(path: str, other: str) -> None:
    module = chiwawa.load(COUNTER)
    run = chiwawa.start(module, "next", path=path, count=100)
    assert run.go()
    with pytest.raises(chiwawa.CheckpointError, match=r"run\.instance\.checkpoint"):
        run.checkpoint()
    data = run.instance.checkpoint()
    again = chiwawa.restore(module, data, path=other)
    assert again.requests.passed == run.requests.passed
    assert again.requests.passed
    assert again.go()
    assert again.results == []
    assert again.instance.invoke("next") == [42]


@each_path
def test_a_run_is_no_instance(path: str) -> None:
    module = chiwawa.load(COUNTER)
    run = chiwawa.start(module, "next", path=path, count=1)
    assert not run.go()
    with pytest.raises(chiwawa.CheckpointError, match="is of a run"):
        chiwawa.restore_instance(module, run.checkpoint(), path=path)


@each_path
def test_nothing_is_saved_while_the_program_runs(path: str) -> None:
    module = chiwawa.load('(module (import "e" "f" (func $f)) (func (export "g") (call $f)))')
    met: list[str] = []

    def save() -> None:
        with pytest.raises(chiwawa.CheckpointError) as refused:
            instance.checkpoint()
        met.append(str(refused.value))

    instance = chiwawa.instantiate(module, {"e": {"f": save}}, path=path)
    instance.invoke("g")
    assert len(met) == 1
    assert met[0].startswith("the program is running")


@pytest.mark.parametrize("granularity", ["safepoint", "instruction"])
@each_path
def test_any_granularity_goes_on_on_each_path(path: str, granularity: str) -> None:
    module = chiwawa.load(COUNTER)
    first = chiwawa.instantiate(module, path="interp", granularity=granularity)
    first.invoke("next")
    again = chiwawa.restore_instance(module, first.checkpoint(), path=path)
    assert again.invoke("next") == [42]


@each_path
def test_python_state_and_references_to_it_travel(path: str) -> None:
    module = chiwawa.load(
        "(module (global $g (mut externref) (ref.null extern))"
        ' (func (export "set") (param externref) (global.set $g (local.get 0))) '
        '(func (export "get") (result externref) (global.get $g)))'
    )
    thing = {"held": 1}
    instance = chiwawa.instantiate(module, path=path, carry={"thing": thing})
    instance.invoke("set", [thing])
    data = instance.checkpoint()
    for other in PATHS:
        again = chiwawa.restore_instance(module, data, path=other, trust_host_state=True)
        assert again.invoke("get") == [thing]
        assert again.carry["thing"] is again.invoke("get")[0]


READER = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "read") (result i32)
    (i64.store (i32.const 0) (i64.const 0x1_0000_0040))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.load8_u (i32.const 64))))"""


@each_path
def test_the_state_of_wasi_travels(path: str, tmp_path: Path) -> None:
    module = chiwawa.load(READER)
    (tmp_path / "in").write_bytes(b"abc")
    with (tmp_path / "in").open("rb") as source:
        instance = chiwawa.instantiate(module, wasi=chiwawa.Wasi(stdin=source), path=path)
        assert instance.invoke("read") == [ord("a")]
        data = instance.checkpoint()
    for other in PATHS:
        with (tmp_path / "in").open("rb") as source:
            wasi = chiwawa.Wasi.load(data, stdin=source)
            again = chiwawa.restore_instance(module, data, wasi=wasi, path=other)
            assert again.invoke("read") == [ord("b")]
    with pytest.raises(chiwawa.CheckpointError, match="has WASI state"):
        chiwawa.restore_instance(module, data, path=path)


@each_path
def test_linked_instances_are_saved_together(path: str) -> None:
    library, program = (
        chiwawa.load(COUNTER),
        chiwawa.load(
            '(module (import "l" "next" (func $next (result i32)))'
            ' (func (export "twice") (result i32) (drop (call $next)) (call $next)))'
        ),
    )
    first = chiwawa.instantiate(library, path=path)
    instance = chiwawa.instantiate(program, {"l": first.exports}, path=path)
    assert instance.invoke("twice") == [42]
    data = instance.checkpoint()
    for other in PATHS:
        again = chiwawa.restore_instance(program, data, path=other, modules=[library])
        assert again.checkpoint() == data
        assert again.invoke("twice") == [44]


@each_path
def test_what_is_open_is_read_from_python(path: str) -> None:
    module = chiwawa.load(READER)
    wasi = chiwawa.Wasi(stdin=io.BytesIO(b"xy"))
    instance = chiwawa.instantiate(module, wasi=wasi, path=path)
    assert instance.invoke("read") == [ord("x")]
    assert decode(instance.checkpoint()).wasi is not None
