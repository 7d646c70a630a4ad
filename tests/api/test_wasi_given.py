"""A Wasi given to a run: its functions are found, and its state is never lost without a word."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

import chiwawa
from chiwawa import CheckpointError, Module, Run, UnlinkableError, Wasi
from tests.path_helpers import PATHS, each_path

#: Writes the time of day in a virtual clock, so many times.
TEXT = """(module
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $now (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "\\10\\00\\00\\00\\08\\00\\00\\00")
  (func (export "times") (param i32)
    (loop $again
      (drop (call $now (i32.const 0) (i64.const 0) (i32.const 16)))
      (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 24)))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""


def linking(wasi: Wasi) -> chiwawa.Linker:
    linker = chiwawa.Linker()
    assert linker.define_wasi(wasi) is wasi
    return linker


Given = Callable[[Wasi], dict[str, Any]]
#: The ways to give a Wasi.
WAYS: dict[str, Given] = {
    "alone": lambda wasi: {"wasi": wasi},
    "its functions": lambda wasi: {"imports": wasi.imports()},
    "a linker": lambda wasi: {"imports": linking(wasi)},
    "both": lambda wasi: {"wasi": wasi, "imports": wasi.imports()},
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture(scope="module")
def module() -> Module:
    return chiwawa.load(TEXT)


def fresh(stdout: Any) -> Wasi:
    return Wasi([], stdin=io.BytesIO(), stdout=stdout, stderr=io.BytesIO(), deterministic=True)


def loaded(data: Any, stdout: Any) -> Wasi:
    return Wasi.load(data, stdin=io.BytesIO(), stdout=stdout, stderr=io.BytesIO())


def stopped(module: Module, out: Any, granularity: str = "safepoint") -> Run:
    run = chiwawa.start(
        module, "times", [6], wasi=fresh(out), count=3, path="interp", granularity=granularity
    )
    assert not run.go()
    return run


def all_at_once(module: Module) -> bytes:
    out = io.BytesIO()
    assert chiwawa.start(module, "times", [6], wasi=fresh(out)).go()
    assert len(out.getvalue()) == 48
    return out.getvalue()


@each_path
@ways
def test_state_travels_however_a_wasi_is_given(module: Module, path: str, way: Given) -> None:
    out = io.BytesIO()
    run = chiwawa.start(module, "times", [6], count=3, path=path, **way(fresh(out)))
    assert not run.go()
    data = run.checkpoint()
    written = out.getvalue()
    for again_on in PATHS:
        rest = io.BytesIO()
        again = chiwawa.restore(module, data, path=again_on, **way(loaded(data, rest)))
        assert again.checkpoint() == data
        assert again.go()
        assert written + rest.getvalue() == all_at_once(module)


@each_path
@ways
def test_an_instance_has_the_functions_of_a_wasi(module: Module, path: str, way: Given) -> None:
    out = io.BytesIO()
    chiwawa.instantiate(module, path=path, **way(fresh(out))).invoke("times", [6])
    assert out.getvalue() == all_at_once(module)


@each_path
def test_imports_come_before_the_functions_of_a_wasi(module: Module, path: str) -> None:
    own = {"wasi_snapshot_preview1": {"fd_write": lambda *args: seen.append(args) or 0}}
    seen: list[tuple[int, ...]] = []
    out = io.BytesIO()
    run = chiwawa.start(module, "times", [2], own, wasi=fresh(out), path=path)
    assert run.go()
    assert seen == [(1, 8, 1, 24)] * 2
    assert out.getvalue() == b""


@each_path
def test_state_goes_on_through_instructions_to_the_next_safepoint(
    module: Module, path: str
) -> None:
    """Where generated code cannot be entered, the interpreter makes WASI's next calls."""
    out = io.BytesIO()
    run = stopped(module, out, "instruction")
    for count in range(4, 30):
        run.requests.stop_at(count)
        assert not run.go()
        run.requests.take()
        data, rest = run.checkpoint(), io.BytesIO()
        again = chiwawa.restore(
            module, data, path=path, granularity="safepoint", wasi=loaded(data, rest)
        )
        assert again.go()
        assert out.getvalue() + rest.getvalue() == all_at_once(module)


@each_path
def test_a_checkpoint_with_state_is_refused_where_it_would_be_lost(
    module: Module, path: str
) -> None:
    data = stopped(module, io.BytesIO()).checkpoint()
    own = {"wasi_snapshot_preview1": {"clock_time_get": lambda *_: 0, "fd_write": lambda *_: 0}}
    with pytest.raises(CheckpointError, match=r"has WASI state, which is lost without wasi="):
        chiwawa.restore(module, data, own, path=path)
    for way in WAYS.values():
        with pytest.raises(CheckpointError, match=r"the Wasi that is given is not the checkpoint"):
            chiwawa.restore(module, data, path=path, **way(fresh(io.BytesIO())))


@each_path
def test_a_wasi_of_another_checkpoint_is_refused(module: Module, path: str) -> None:
    run = stopped(module, io.BytesIO())
    first = run.checkpoint()
    run.requests.take()
    run.requests.count_from(3, 9)
    assert not run.go()
    with pytest.raises(CheckpointError, match=r"the Wasi that is given is not the checkpoint"):
        chiwawa.restore(module, run.checkpoint(), path=path, wasi=loaded(first, io.BytesIO()))


@each_path
def test_a_checkpoint_without_state_is_refused_where_a_wasi_is_given(
    module: Module, path: str
) -> None:
    own = {"wasi_snapshot_preview1": {"clock_time_get": lambda *_: 0, "fd_write": lambda *_: 0}}
    run = chiwawa.start(module, "times", [6], own, count=3, path="interp")
    assert not run.go()
    data = run.checkpoint()
    with pytest.raises(CheckpointError, match="has no WASI state, but a Wasi is given"):
        chiwawa.restore(module, data, path=path, wasi=fresh(io.BytesIO()))
    with pytest.raises(CheckpointError, match="the checkpoint has no WASI state"):
        Wasi.load(data)
    assert chiwawa.restore(module, data, own, path=path).go()


@each_path
def test_a_program_has_one_wasi(module: Module, path: str) -> None:
    one, other = fresh(io.BytesIO()), fresh(io.BytesIO())
    name = "wasi_snapshot_preview1"
    mixed: Any = {name: {**one.imports()[name], "fd_write": other.imports()[name]["fd_write"]}}
    for given in ({"imports": mixed}, {"imports": one.imports(), "wasi": other}):
        with pytest.raises(UnlinkableError, match="functions of several Wasi"):
            chiwawa.start(module, "times", [1], path=path, **given)


def test_a_wasi_is_made_of_a_checkpoint_its_snapshot_or_its_state(module: Module) -> None:
    run = stopped(module, io.BytesIO())
    snapshot, data = run.snapshot(), run.checkpoint()
    for given in (data, snapshot, snapshot.wasi):
        rest = io.BytesIO()
        assert chiwawa.restore(module, data, wasi=loaded(given, rest)).go()
        assert all_at_once(module).endswith(rest.getvalue())
        assert rest.getvalue()
