"""What an embedder gives and gets around a run: WASI whose state travels, the context in which host
functions are called, traps that say where the program was, checkpoints deeper than any stack."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import threading
import traceback
from typing import Any

import pytest

import chiwawa
from chiwawa_runtime import checkpoint
from chiwawa_runtime.engine.segments import MAX_DEPTH
from chiwawa_runtime.errors import CheckpointError, Trap, UnlinkableError
from chiwawa_runtime.wasi import Wasi

PATHS = ("interp", "aot")

# WASI.

CLOCKS = chiwawa.load("""(module
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $now (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "f") (param i32) (result i64) (local $sum i64)
    (loop $again
      (drop (call $now (i32.const 1) (i64.const 0) (i32.const 0)))
      (local.set $sum (i64.add (local.get $sum) (i64.load (i32.const 0))))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get $sum)))""")


def wasi() -> Wasi:
    return Wasi(["x"], {}, deterministic=True)


def undisturbed(path: str) -> list[Any]:
    return chiwawa.instantiate(CLOCKS, path=path, wasi=wasi()).invoke("f", [5])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("other", PATHS)
@pytest.mark.parametrize("way", ["wasi", "imports", "both"])
def test_the_state_of_a_wasi_travels_however_it_was_given(path: str, other: str, way: str) -> None:
    given = wasi()
    run = chiwawa.start(
        CLOCKS,
        "f",
        [5],
        None if way == "wasi" else given.imports(),
        path=path,
        wasi=None if way == "imports" else given,
        count=7,
    )
    assert not run.go()
    data = run.checkpoint()
    again = Wasi.load(data, [])
    run = chiwawa.restore(
        CLOCKS,
        data,
        None if way == "wasi" else again.imports(),
        path=other,
        wasi=None if way == "imports" else again,
    )
    assert run.checkpoint() == data
    assert run.go()
    assert run.results == undisturbed("interp") == undisturbed("aot")


@pytest.mark.parametrize("path", PATHS)
def test_wasi_state_is_not_lost_or_exchanged(path: str) -> None:
    run = chiwawa.start(CLOCKS, "f", [5], path=path, wasi=wasi(), count=7)
    assert not run.go()
    data = run.checkpoint()
    stub = {"wasi_snapshot_preview1": {"clock_time_get": lambda *_: 0}}
    with pytest.raises(CheckpointError, match="has WASI state, which is lost without"):
        chiwawa.restore(CLOCKS, data, stub, path=path)
    for imports in (None, wasi().imports()):
        with pytest.raises(CheckpointError, match="is not the checkpoint's"):
            chiwawa.restore(CLOCKS, data, imports, path=path, wasi=None if imports else wasi())
    run = chiwawa.start(CLOCKS, "f", [5], stub, path=path, count=7)
    assert not run.go()
    with pytest.raises(CheckpointError, match="has no WASI state, but a Wasi is given"):
        chiwawa.restore(CLOCKS, run.checkpoint(), path=path, wasi=wasi())
    with pytest.raises(UnlinkableError, match="functions of several Wasi"):
        chiwawa.start(CLOCKS, "f", [5], wasi().imports(), path=path, wasi=wasi())


@pytest.mark.parametrize("path", PATHS)
def test_wasi_state_goes_on_from_between_two_safepoints(path: str) -> None:
    run = chiwawa.start(
        CLOCKS, "f", [5], path=path, granularity="instruction", wasi=wasi(), count=23
    )
    assert not run.go()
    data = run.checkpoint()
    run = chiwawa.restore(
        CLOCKS, data, path="aot", granularity="safepoint", wasi=Wasi.load(data, [])
    )
    assert run.go()
    assert run.results == undisturbed(path)


# The caller's context.

CALLING = chiwawa.load("""(module (import "h" "look" (func $look))
  (func $deep (export "f") (param i32)
    (if (local.get 0)
      (then (call $deep (i32.sub (local.get 0) (i32.const 1))))
      (else (call $look)))))""")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("depth", [0, 5, 1000, 50_000])
def test_host_functions_see_the_callers_context_and_thread(path: str, depth: int) -> None:
    variable = contextvars.ContextVar("variable", default="nothing")
    local = threading.local()
    local.value = 7
    seen: list[object] = []

    def look() -> None:
        seen.append((variable.get(), local.value, threading.current_thread()))
        variable.set("set by the host function")

    variable.set("request")
    chiwawa.instantiate(CALLING, {"h": {"look": look}}, path=path).invoke("f", [depth])
    assert seen == [("request", 7, threading.current_thread())]
    assert variable.get() == "set by the host function"


@pytest.mark.parametrize("path", PATHS)
def test_host_functions_have_the_running_loop_of_a_coroutine(path: str) -> None:
    seen: list[object] = []

    async def main() -> object:
        def look() -> None:
            seen.append(asyncio.get_running_loop())

        chiwawa.instantiate(CALLING, {"h": {"look": look}}, path=path).invoke("f", [300])
        return asyncio.get_running_loop()

    loop = asyncio.run(main())
    assert seen == [loop]


# Traps.

TRAPPING = chiwawa.load("""(module
  (func $divide (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
  (func (export "main") (result i32) (call $divide (i32.const 0)))
  (func $deep (export "deep") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (call $deep (i32.sub (local.get 0) (i32.const 1))))
      (else (call $divide (i32.const 0))))))""")


@pytest.mark.parametrize("path", PATHS)
def test_an_uncaught_trap_says_where_the_program_was(path: str) -> None:
    instance = chiwawa.instantiate(TRAPPING, path=path)
    with pytest.raises(Trap) as caught:
        instance.invoke("main")
    trap = caught.value
    assert trap.message == "integer divide by zero"
    assert str(trap).splitlines() == [
        "integer divide by zero",
        "  at $divide (function 0, code offset 0x5)",
        "  at $main (function 1, code offset 0x3)",
    ]
    assert str(trap) in "".join(traceback.format_exception(trap))


@pytest.mark.parametrize("path", PATHS)
def test_a_long_backtrace_is_shown_in_part(path: str) -> None:
    with pytest.raises(Trap) as caught:
        chiwawa.instantiate(TRAPPING, path=path).invoke("deep", [500])
    assert len(caught.value.backtrace) == 502
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + 20 + 1 + 10
    assert lines[21] == "  … 472 frames left out …"


# Depth.


@pytest.mark.parametrize("path", PATHS)
def test_frames_deeper_than_any_call_stack_are_refused(path: str) -> None:
    module = chiwawa.load("""(module (func $f (export "f") (param i32) (result i32)
      (if (result i32) (local.get 0)
        (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))
        (else (i32.const 0)))))""")
    run = chiwawa.start(module, "f", [10], path=path, count=8)
    assert not run.go()
    snapshot = run.snapshot()
    youngest, caller = snapshot.frames[0], snapshot.frames[1]
    for callers, fits in ((MAX_DEPTH - 1, True), (MAX_DEPTH, False), (140_000, False)):
        deep = dataclasses.replace(snapshot, frames=(youngest, *[caller] * callers))
        data = checkpoint.encode(deep)
        if fits:
            assert chiwawa.restore(module, data, path=path).checkpoint() == data
        else:
            with pytest.raises(CheckpointError, match="more than the call stack has room for"):
                chiwawa.restore(module, data, path=path)
