"""What goes on after a stop: what it says of itself is as if it had not been stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chiwawa import WasiExit, api, load
from chiwawa_runtime.errors import Exhaustion
from chiwawa_runtime.run.instance import Run
from tests.nodiff.harness_helpers import Call, Log, again, begin, both, compare_bytes, ended
from tests.path_helpers import PATHS, each_path

#: Frames that wait in calls of each kind, more than one in a function, above one that goes round
#: and traps.
WAITING = """
(module
  (table funcref (elem $third $second))
  (memory 1)
  (func $third (param $n i32) (result i32)
    (loop $again
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    {trap})
  (func $second (param $n i32) (result i32) (local $i i32)
    (loop $again (result i32)
      (i32.const 5)
      (drop (call $harmless (local.get $n)))
      (call_indirect (param i32) (result i32) (local.get $n) (i32.const 0))
      i32.add
      (br_if $again (i32.eqz (local.tee $i (i32.add (local.get $i) (i32.const 1)))))))
  (func $harmless (param i32) (result i32) (loop (nop)) (local.get 0))
  (func $first (param $n i32) (result i32)
    (drop (call $harmless (i32.const 1)))
    (block $end (result i32)
      (br_if $end (i32.const 7) (i32.eqz (local.get $n)))
      drop
      (i64.const 3)
      (call_indirect (param i32) (result i32) (local.get $n) (i32.const 1))
      br $end))
  (func (export "f") (param $n i32) (result i32)
    (drop (call $harmless (i32.const 1)))
    (i32.add (i32.const 1) (call $first (local.get $n)))))
"""
TRAPS = {
    "unreachable": "unreachable",
    "the engine's own": "(i32.div_s (i32.const 1) (local.get $n))",
    "in memory": "(i32.load (i32.const -1))",
    "through the table": "(call_indirect (param i32) (result i32) (i32.const 1) (i32.const 2))",
}


@pytest.mark.parametrize("trap", TRAPS.values(), ids=list(TRAPS))
def test_calls_that_go_on_have_their_places_in_a_backtrace(trap: str) -> None:
    call = Call(load(WAITING.replace("{trap}", trap)), "f", (3,))
    expected = both(call)
    assert expected.kind == "trap"
    assert len(expected.detail[1]) == 4
    assert expected.safepoints is not None
    for stop in compare_bytes(call, range(1, expected.safepoints + 1)):
        for path in PATHS:
            # In a new instance, and in one that has been stopped.
            assert (
                ended(again(call, stop.data, path, None, stop.log), call).detail == expected.detail
            )
    for path in PATHS:
        session = begin(call, path)
        for number in range(1, expected.safepoints + 1):
            session.run.requests.stop_at(number)
            assert not session.run.go()
            session.run.requests.take()
        assert ended(session, call).detail == expected.detail


#: Calls its host, 1,000 calls deep, which calls back into what recurses without end.
CALLED_BACK = """
(module
  (import "h" "f" (func $f (result i32)))
  (memory (export "memory") 1)
  (func $deep (export "deep") (result i32)
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
    (i32.add (call $deep) (i32.const 1)))
  (func $down (export "down") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))
      (else (call $f)))))
"""


def frames_called_back(path: str, stop: int | None) -> int:
    """How many frames of the function that is called back there are when the call stack is
    exhausted. It is stopped at its safepoint ``stop``, and goes on."""

    def f() -> int:
        passed = run.requests.passed
        assert passed is not None
        run.requests.stop_at(None if stop is None else passed + stop)
        run.instance.invoke("deep")
        raise AssertionError("it has returned")

    run = api.start(load(CALLED_BACK), "down", [1000], {"h": {"f": f}}, path=path)
    run.requests.count_from(0, None)
    with pytest.raises(Exhaustion):
        run.go()
    return int.from_bytes(run.instance.memories[0].read(0, 4), "little")


@pytest.fixture(scope="module")
def undisturbed() -> int:
    return frames_called_back(PATHS[0], None)


@each_path
def test_a_call_back_that_goes_on_is_as_deep_as_it_was(path: str, undisturbed: int) -> None:
    assert 100_000 < undisturbed < 131_072 - 1000
    assert frames_called_back(path, 5000) == undisturbed


EXITING = """
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (table funcref (elem $exit))
  (memory (export "memory") 1)
  (func $quit (param i32)
    (if (local.get 0) (then (call $exit (local.get 0))))
    (call_indirect (param i32) (local.get 0) (i32.const 0)))
  (func $main (export "main") (param i32 i32)
    (loop $again (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (call $quit (local.get 1)) unreachable))
"""


@pytest.mark.parametrize("status", [0, 3])
def test_as_many_safepoints_are_counted_where_a_program_exits(status: int) -> None:
    def imports(log: Log) -> dict[str, Any]:
        def exit_(code: int) -> None:
            raise WasiExit(code)

        return {"wasi_snapshot_preview1": {"proc_exit": exit_}}

    ending = both(Call(load(EXITING), "main", (10, status), imports))
    # The rounds, a function, and its call of the host.
    assert (ending.kind, ending.detail, ending.safepoints) == ("exit", status, 12)


#: Each writes to address 4 how far it has come; how many safepoints it passes.
STEPS: dict[str, tuple[str, tuple[int, ...]]] = {
    "a loop": (
        """(func (export "f") (local $n i32)
             (loop $on
               (i32.store (i32.const 4) (local.tee $n (i32.add (local.get $n) (i32.const 1))))
               (br_if $on (i32.lt_u (local.get $n) (i32.const 30)))))""",
        (),
    ),
    "a loop with calls": (
        """(func $more (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (i32.const 1)))
             (call $f))
           (func (export "f") (local $n i32)
             (loop $on
               (call $more)
               (br_if $on (i32.lt_u (i32.load (i32.const 4)) (i32.const 10)))))""",
        (),
    ),
    "recursion": (
        """(func $g (export "f") (param i32)
             (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (i32.const 1)))
             (if (local.get 0) (then (call $g (i32.sub (local.get 0) (i32.const 1))))))""",
        (30,),
    ),
    "recursion that begins with a loop": (
        """(func $g (export "f") (param i32)
             (loop
               (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (i32.const 1)))
               (if (local.get 0) (then (call $g (i32.sub (local.get 0) (i32.const 1)))))))""",
        (30,),
    ),
    "recursion that begins with a call of the host": (
        """(func $g (export "f") (param i32)
             (call $f)
             (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (i32.const 1)))
             (if (local.get 0) (then (call $g (i32.sub (local.get 0) (i32.const 1))))))""",
        (30,),
    ),
    "calls of the host": (
        """(func (export "f")
             (call $f) (i32.store (i32.const 4) (i32.const 1))
             (call $f) (i32.store (i32.const 4) (i32.const 2)) (call $f))""",
        (),
    ),
}


def steps(name: str, path: str, counted: bool, go: Callable[[Run], bool]) -> list[int]:
    """How far a program comes each time it goes on."""
    text, args = STEPS[name]
    module = load(f'(module (import "h" "f" (func $f)) (memory 1) {text})')
    run = api.start(module, "f", args, {"h": {"f": lambda: None}}, path=path)
    if counted:
        run.requests.count_from(0, None)
    seen = []
    ended = False
    while not ended:
        ended = go(run)
        run.requests.take()
        seen.append(int.from_bytes(run.instance.memories[0].read(4, 4), "little"))
        assert len(seen) < 1000
    return seen


def asked_before(run: Run) -> bool:
    run.requests.ask()
    return run.go()


@each_path
@pytest.mark.parametrize("name", STEPS)
def test_who_is_asked_to_stop_each_time_goes_on_all_the_same(name: str, path: str) -> None:
    """From one safepoint to the next."""
    wanted = steps(name, PATHS[0], True, asked_before)
    assert steps(name, path, True, asked_before) == wanted
    # Where nobody counts, a request may be met a little later.
    assert steps(name, path, False, asked_before)[-1] == wanted[-1]


@pytest.mark.skipif("native" not in PATHS, reason="needs wasmtime")
@pytest.mark.parametrize("counted", [False, True], ids=["uncounted", "counted"])
@pytest.mark.parametrize("name", STEPS)
def test_a_request_while_frames_are_entered_again_does_not_hold_a_program(
    name: str, counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chiwawa.native.machine import Machine

    runs: list[Run] = []
    call = Machine.call

    def asked_inside(machine: Machine, function: Any, values: Any, count: int) -> int:
        if runs:
            runs[0].requests.ask()
        return call(machine, function, values, count)

    def go(run: Run) -> bool:
        runs[:] = [run]
        return run.go()

    monkeypatch.setattr(Machine, "call", asked_inside)
    wanted = steps(name, PATHS[0], True, asked_before)
    assert steps(name, "native", counted, go)[-1] == wanted[-1]


@each_path
def test_a_restored_run_that_is_asked_each_time_goes_on(path: str) -> None:
    """It stands at its safepoint once: nothing has been done there yet."""
    call = Call(load('(module (func (export "f") (loop (br_if 0 (i32.const 0)))))'), "f")
    stop = next(compare_bytes(call, [1]))
    run = again(call, stop.data, path).run
    assert not asked_before(run)
    assert run.requests.take() == ["api"]
    assert run.checkpoint() == stop.data
    assert asked_before(run)
