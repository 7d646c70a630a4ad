"""Deep recursion: checkpoints of it, and its end in a trap, on both paths and on PyPy."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from chiwawa import api
from chiwawa.module import Module
from chiwawa.source import load
from chiwawa_runtime import checkpoint
from chiwawa_runtime.engine.segments import MAX_DEPTH
from chiwawa_runtime.errors import CheckpointError, Exhaustion
from tests.need_helpers import need
from tests.nodiff.harness_helpers import Call, again, begin, both, ended, same, stopped_at
from tests.path_helpers import IN_PYTHON, PATHS, each_path

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 100_000
#: More than any call stack has room for.
TOO_MANY = 1_000_000

#: Recursion of one function, of two, and through a table: where the call stack ends.
ENDLESS = """(module
  (table funcref (elem $through))
  (memory 1)
  (global $calls (export "calls") (mut i32) (i32.const 0))
  (func $count (global.set $calls (i32.add (global.get $calls) (i32.const 1))))
  (func $one (export "one") (param i64) (result i64)
    (call $count)
    (i64.add (call $one (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))
  (func $ping (export "ping") (result f64 i32)
    (call $count) (f64.const 1) (i32.const 2) (call $pong))
  (func $pong (param f64 i32) (result f64 i32)
    (local $x i32)
    (call $count)
    (loop $twice
      (local.set $x (i32.add (local.get $x) (i32.const 1)))
      (br_if $twice (i32.lt_u (local.get $x) (i32.const 2))))
    (call $ping))
  (func $through (export "through")
    (call $count) (call_indirect (i32.const 0)))
  (func $loops (export "loops") (local $n i32)
    (loop $again (call $count) (call $loops) (br $again))))
"""


@pytest.fixture(scope="module")
def recursion() -> Module:
    return load(ROOT / "samples" / "recursion.wasm")


def test_the_deepest_call_stack_is_carried_from_each_path_to_each(recursion: Module) -> None:
    call = Call(recursion, "depth", (MAX_DEPTH - 1,))
    expected = both(call)
    assert expected.detail == ((MAX_DEPTH - 1, "int"),)
    assert expected.safepoints == MAX_DEPTH
    files = [stopped_at(begin(call, path), MAX_DEPTH).data for path in PATHS]
    # So whoever takes up one of them takes up those of all paths.
    assert files == [files[0]] * len(PATHS)
    assert len(checkpoint.decode(files[0]).frames) == MAX_DEPTH
    for path in PATHS:
        session = again(call, files[0], path)
        assert session.run.checkpoint() == files[0]
        same(expected, ended(session, call), f"restored on {path}")


@pytest.mark.parametrize(
    "name",
    [
        "one",
        "through",
        pytest.param("ping", marks=pytest.mark.slow),
        pytest.param("loops", marks=pytest.mark.slow),
    ],
)
def test_deeper_ends_in_the_same_trap_on_both_paths(name: str) -> None:
    ending = both(Call(load(ENDLESS), name, (5,) if name == "one" else ()))
    assert ending.kind == "trap"
    message, backtrace = ending.detail
    assert message == "call stack exhausted"
    assert len(backtrace) > FRAMES


@pytest.mark.slow
@each_path
def test_a_program_is_whole_after_its_call_stack_was_exhausted(path: str) -> None:
    instance = api.instantiate(load(ENDLESS), path=path)
    for _ in range(2):
        with pytest.raises(Exception, match="call stack exhausted"):
            instance.invoke("one", (0,))
    assert instance.exports["calls"].value >= 2 * FRAMES  # type: ignore[union-attr]


@pytest.mark.slow
def test_restored_near_the_end_it_traps_at_the_same_depth(recursion: Module) -> None:
    call = Call(recursion, "depth", (TOO_MANY,))
    expected = both(call)
    assert expected.kind == "trap"
    stop = stopped_at(begin(call, "interp"), FRAMES)
    for path in PATHS:
        same(expected, ended(again(call, stop.data, path), call), f"restored on {path}")


#: Runs under PyPy, which has what a program needs and no toolchain: the generated file alone.
UNDER_PYPY = """
import sys
import threading
sys.path.insert(0, {runtime!r})
from chiwawa_runtime import checkpoint
from chiwawa_runtime.run import starting
from chiwawa_runtime.errors import Trap
from chiwawa_runtime.engine.generated import GeneratedEngine
namespace = {{"__name__": "program"}}
source = open({program!r}, encoding="utf-8").read()
exec(compile(source, {program!r}, "exec"), namespace)
bundle = namespace["BUNDLE"]
data = open({given!r}, "rb").read()
engine = GeneratedEngine(bundle)
run = starting.restore(bundle.program, engine, checkpoint.decode(data), starting.Setup())
assert run.checkpoint() == data
assert run.go()
print(run.results)
instance = bundle.instantiate()
try:
    instance.invoke("depth", [{too_many}])
except Trap as trap:
    print(trap.message, len(trap.backtrace))
"""


@pytest.mark.slow
def test_pypy_carries_them_on_and_ends_deeper_ones_alike(recursion: Module, tmp_path: Path) -> None:
    pypy = need("pypy")
    call = Call(recursion, "depth", (FRAMES,))
    program, given = tmp_path / "recursion_aot.py", tmp_path / "given.bin"
    api.compile_file(recursion, program)
    given.write_bytes(stopped_at(begin(call, "interp"), FRAMES + 1).data)
    script = UNDER_PYPY.format(
        runtime=str(ROOT / "runtime"), program=str(program), given=str(given), too_many=TOO_MANY
    )
    done = subprocess.run(
        [pypy, "-c", script], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    trap = both(Call(recursion, "depth", (TOO_MANY,))).detail
    assert done.stdout.split("\n")[:2] == [f"[{FRAMES}]", f"{trap[0]} {len(trap[1])}"]


IN_A_THREAD = """
import sys, threading
sys.path[:0] = [{root!r}, {runtime!r}]
from chiwawa import api, paths
from chiwawa.source import load
module = load({module!r})
def go():
    print(api.instantiate(module, path="aot").invoke("depth", (100000,)))
threading.stack_size(1 << 18)
thread = threading.Thread(target=go)
thread.start()
thread.join()
"""


def test_a_large_stack_is_not_needed_by_the_thread_that_asks() -> None:
    """A run is deep in a thread of its own, wherever it is started from."""
    code = IN_A_THREAD.format(
        root=str(ROOT),
        runtime=str(ROOT / "runtime"),
        module=str(ROOT / "samples" / "recursion.wasm"),
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.stdout == "[100000]\n", done.stderr[-2000:]


@pytest.mark.parametrize(("locals_", "operands"), [(1000, 0), (0, 1000), (20, 20)])
def test_frames_that_hold_much_exhaust_the_call_stack_sooner(locals_: int, operands: int) -> None:
    text = f"""(module (func $f (export "f") (param i32) (result i32) (local {"i64 " * locals_})
      {"(i32.add (local.get 0) (i32.const 3)) " * operands}
      (call $f (i32.add (local.get 0) (i32.const 1)))
      {"(i32.add) " * operands}))"""
    call = Call(load(text), "f", (1,))
    expected = both(call)
    assert expected.kind == "trap"
    assert len(expected.detail[1]) < FRAMES
    stop = stopped_at(begin(call, "aot"), 500)
    for path in PATHS:
        same(expected, ended(again(call, stop.data, path), call), f"restored on {path}")


@pytest.mark.parametrize("length", [49, 51, 120, 3000])
def test_many_functions_that_cannot_recur_may_be_on_top_of_each_other(length: int) -> None:
    """They need no more of Python's stack than recursion does."""
    functions = "".join(
        f"(func $f{n} (param i32) (result i32)"
        f" (i32.add (i32.const 1) (call $f{n + 1} (local.get 0))))"
        for n in range(length)
    )
    text = f"""(module {functions}
      (func $f{length} (param i32) (result i32) (call $g (local.get 0)))
      (func $g (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (i32.add (i32.const 1) (call $g (i32.sub (local.get 0) (i32.const 1)))))
          (else (i32.const 0))))
      (func (export "f") (param i32) (result i32) (call $f0 (local.get 0))))"""
    call = Call(load(text), "f", (300,))
    expected = both(call)
    assert expected.detail == ((length + 300, "int"),)
    for safepoint in (length + 150, length + 302):
        stop = stopped_at(begin(call, "aot"), safepoint)
        assert stop.data == stopped_at(begin(call, "interp"), safepoint).data
        for path in PATHS:
            same(expected, ended(again(call, stop.data, path), call), f"restored on {path}")


@each_path
def test_the_process_is_left_as_it_was_found(path: str) -> None:
    """Python's limit on recursion and the size of stacks are the embedder's, also meanwhile."""
    seen = []
    threads = []
    module = load("""(module (import "h" "look" (func $look))
      (func $f (export "f") (param i32)
        (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1))))
          (else (call $look)))))""")

    def look() -> None:
        seen.append((sys.getrecursionlimit(), threading.stack_size()))
        threads.append(threading.active_count())

    look()
    instance = api.instantiate(module, {"h": {"look": look}}, path=path)
    for depth in (1, 100_000):
        instance.invoke("f", [depth])
    look()
    assert len(seen) == 4
    assert seen[0] == seen[-1]
    # PyPy has callbacks from deep stacks return at once unless its limit says otherwise (see
    # ``native/room.py``).
    assert len(set(seen)) == 1 or (path == "native" and sys.implementation.name == "pypy")
    assert threads[0] == threads[-1]
    assert len(set(threads)) == 1 or path not in IN_PYTHON


@each_path
def test_a_caller_near_its_own_limit_can_call_deep_programs(path: str, recursion: Module) -> None:
    instance = api.instantiate(recursion, path=path)

    def beneath(frames: int) -> object:
        return beneath(frames - 1) if frames else instance.invoke("depth", [5000])

    frame, used = sys._getframe(), 0
    while frame is not None:
        frame, used = frame.f_back, used + 1  # type: ignore[assignment]
    assert beneath(sys.getrecursionlimit() - used - 60) == [5000]


DEPTHS = """(module
  (table funcref (elem $through))
  (func $down (export "down") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0))))
  (func $through (export "through") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1)
        (call_indirect (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1))
          (i32.const 0))))
      (else (i32.const 0))))
  (func $wide (export "wide") (param i32) (result i32) (local i64 i64 i64 i64 i64 i64 i64 i64)
    (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $wide (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0)))))"""


@pytest.mark.parametrize(("name", "heavy"), [("down", 1), ("through", 1), ("wide", 2)])
@each_path
def test_a_checkpoint_has_no_more_frames_than_a_program_can(
    path: str, name: str, heavy: int
) -> None:
    """Of a function whose frames weigh ``heavy``: as many as end in no trap, and one more."""
    module = load(DEPTHS)
    run = api.start(module, name, (9,), path="interp", count=8)
    assert not run.go()
    snapshot = run.snapshot()
    youngest, caller = snapshot.frames[:2]
    most = MAX_DEPTH // heavy
    for frames, refused in ((most, False), (most + 1, True), (140_000, True)):
        deep = replace(snapshot, frames=(youngest, *(caller,) * (frames - 1)))
        if refused:
            with pytest.raises(CheckpointError) as caught:
                api.restore(module, deep, path=path)
            assert str(caught.value) == "its frames are more than the call stack has room for"
            continue
        data = checkpoint.encode(deep)
        restored = api.restore(module, data, path=path)
        assert restored.checkpoint() == data
        with pytest.raises(Exhaustion) as trap:
            # The very next call is one too many.
            restored.go()
        assert len(trap.value.backtrace) == frames + 1
