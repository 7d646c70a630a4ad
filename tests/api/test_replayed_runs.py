"""Host functions of an embedder's, recorded and given back."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

import chiwawa
from chiwawa_runtime.errors import UnsupportedError
from tests.path_helpers import PAIRS, PATHS, each_path

BUSY = """(module
  (import "host" "next" (func $next (param i32) (result i32)))
  (import "host" "pair" (func $pair (result i64 f32)))
  (import "host" "fill" (func $fill (param i32)))
  (import "host" "pick" (func $pick (result funcref)))
  (memory (export "memory") 1 4)
  (global $total (export "total") (mut i64) (i64.const 0))
  (table $t 1 funcref)
  (elem declare func $seven)
  (func $seven (export "seven") (result i32) (i32.const 7))
  (func $add (param i64) (global.set $total (i64.add (global.get $total) (local.get 0))))
  (func (export "work") (param $n i32) (result i64) (local $f f32)
    (loop $on
      (call $add (i64.extend_i32_u (call $next (local.get $n))))
      (call $pair) (local.set $f) (call $add)
      (call $add (i64.extend_i32_u (i32.reinterpret_f32 (local.get $f))))
      (call $fill (i32.mul (local.get $n) (i32.const 1000)))
      (call $add (i64.load8_u (i32.mul (local.get $n) (i32.const 1000))))
      (table.set $t (i32.const 0) (call $pick))
      (call $add (i64.extend_i32_u (call_indirect (result i32) (i32.const 0))))
      (br_if $on (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.add (global.get $total) (i64.extend_i32_u (memory.size)))))"""


class Host:
    """Functions whose results nobody can foresee, for one program."""

    def __init__(self) -> None:
        self.calls = 0
        self.instance: Any = None

    def next(self, n: int) -> int:
        self.calls += 1
        return n * 7919 % 1000 + self.calls

    def pair(self) -> tuple[int, float]:
        self.calls += 1
        return self.calls << 40, self.calls / 3

    def fill(self, at: int) -> None:
        self.calls += 1
        memory = self.instance.memory()
        memory.write(at, bytes((self.calls % 256,)) * 10)
        if self.calls > 20 and memory.size() == 1:
            memory.grow(1)
            memory.write(70000, b"far")
        self.instance.exports["total"].value += 1

    def imports(self) -> dict[str, dict[str, Any]]:
        functions = {"next": self.next, "pair": self.pair, "fill": self.fill}
        return {"host": {**functions, "pick": lambda: self.instance.exports["seven"]}}


def begun(module: chiwawa.Module, path: str, **more: Any) -> tuple[chiwawa.Run, Host]:
    host = Host()
    run = chiwawa.start(module, "work", [10], host.imports(), path=path, **more)
    host.instance = run.instance
    return run, host


@each_path
def test_what_host_functions_return_and_change_is_given_back_on_each_path(path: str) -> None:
    module = chiwawa.load(BUSY)
    calls = chiwawa.record_calls()
    run, host = begun(module, path, calls=calls)
    assert run.go()
    assert host.calls == 30
    for other in PATHS:
        again = chiwawa.start(module, "work", [10], path=other, calls=chiwawa.replay_calls(calls))
        assert again.go()
        assert again.results == run.results
        assert again.instance.exports["total"].value == run.instance.exports["total"].value
        assert again.instance.memory().read(0, 131072) == run.instance.memory().read(0, 131072)


@pytest.mark.parametrize(("path", "other"), PAIRS)
def test_a_recorded_program_does_what_it_does_unrecorded(path: str, other: str) -> None:
    module = chiwawa.load(BUSY)
    plain, _ = begun(module, path)
    assert plain.go()
    kept, _ = begun(module, other, calls=chiwawa.record_calls())
    assert kept.go()
    assert kept.results == plain.results


@pytest.mark.parametrize(("path", "other"), PAIRS)
def test_a_checkpoint_in_the_middle_is_found_in_the_record(
    path: str, other: str, tmp_path: Path
) -> None:
    module = chiwawa.load(BUSY)
    with chiwawa.record_calls(tmp_path / "calls.rec") as calls:
        run, _ = begun(module, path, calls=calls, count=25)
        assert not run.go()
        run.requests.take()
        data = run.checkpoint()
        assert run.go()
    again = chiwawa.restore(
        module, data, path=other, calls=chiwawa.replay_calls(tmp_path / "calls.rec")
    )
    assert again.go()
    assert again.results == run.results
    other_run, _ = begun(module, path, count=26)
    assert not other_run.go()
    with pytest.raises(chiwawa.BadInput, match="none of those"):
        chiwawa.restore(
            module, other_run.checkpoint(), calls=chiwawa.replay_calls(tmp_path / "calls.rec")
        )


@each_path
def test_another_call_is_an_error_that_says_which(path: str) -> None:
    module = chiwawa.load(BUSY)
    calls = chiwawa.record_calls()
    run, _ = begun(module, path, calls=calls)
    assert run.go()
    other = chiwawa.start(module, "work", [9], path=path, calls=chiwawa.replay_calls(calls))
    with pytest.raises(chiwawa.ReplayError, match=r"call 1 of host\.next has the arguments \(9\)"):
        other.go()


@each_path
def test_how_a_call_failed_is_given_back(path: str) -> None:
    module = chiwawa.load('(module (import "host" "f" (func $f)) (func (export "g") (call $f)))')
    failures: list[Exception] = [
        chiwawa.Trap("unreachable"),
        chiwawa.WasiExit(3),
        ValueError("wrong"),
        chiwawa.Exhaustion(),
    ]
    for failure in failures:

        def fail(failure: Exception = failure) -> None:
            raise failure

        calls = chiwawa.record_calls()
        run = chiwawa.start(module, "g", imports={"host": {"f": fail}}, path=path, calls=calls)
        with pytest.raises(chiwawa.ChiwawaError) as first:
            run.go()
        again = chiwawa.start(module, "g", path=path, calls=chiwawa.replay_calls(calls))
        with pytest.raises(type(first.value)) as second:
            again.go()
        assert str(second.value) == str(first.value)


def throw_to(instance: chiwawa.Instance) -> None:
    raise chiwawa.Thrown.of(chiwawa.Tag(chiwawa.FuncType((), ())))


@each_path
def test_what_a_record_cannot_hold_is_named(path: str) -> None:
    module = chiwawa.load(
        """(module (import "host" "f" (func $f (result externref)))
        (table (export "table") 1 externref) (func (export "one"))
        (func (export "g") (drop (call $f))))"""
    )

    def run_with(f: Any) -> str:
        holder: list[Any] = []
        calls = chiwawa.record_calls()
        imports = {"host": {"f": lambda: f(holder[0])}}
        run = chiwawa.start(module, "g", imports=imports, path=path, calls=calls)
        holder.append(run.instance)
        with pytest.raises(chiwawa.HostError) as raised:
            run.go()
        return str(raised.value)

    assert "a reference" in run_with(lambda instance: "text")
    assert "a reference" in run_with(lambda instance: instance.exports["table"].set(0, "text"))
    assert "whose tag the program has not" in run_with(throw_to)
    assert "a run of the program" in run_with(lambda instance: instance.start("one").go())
    linked = chiwawa.instantiate(chiwawa.load('(module (func (export "f")))'))
    importing = chiwawa.load('(module (import "a" "f" (func)))')
    with pytest.raises(UnsupportedError, match="an instance whose calls are not recorded"):
        chiwawa.start(importing, None, imports={"a": linked.exports}, calls=chiwawa.record_calls())


@each_path
def test_outputs_of_wasi_are_shown_again(path: str) -> None:
    module = chiwawa.load(
        """(module (import "wasi_snapshot_preview1" "fd_write"
          (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "\\10\\00\\00\\00\\03\\00\\00\\00")
        (data (i32.const 16) "abc")
        (func (export "_start") (drop (call $write
          (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
    )
    out = io.BytesIO()
    calls = chiwawa.record_calls()
    wasi = chiwawa.Wasi(stdout=out)
    assert chiwawa.start(module, "_start", wasi=wasi, path=path, calls=calls).go()
    assert out.getvalue() == b"abc"
    seen: list[tuple[int, bytes]] = []
    shown = chiwawa.replay_calls(calls, lambda stream, data: seen.append((stream, data)))
    assert chiwawa.start(module, "_start", path=path, calls=shown).go()
    assert seen == [(1, b"abc")]


@each_path
def test_what_async_functions_do_while_they_are_awaited_is_given_back(path: str) -> None:
    module = chiwawa.load(
        """(module (import "host" "f" (func $f (param i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "g") (result i32) (local i32)
          (loop $on (local.set 0 (i32.add (call $f (local.get 0)) (i32.load (i32.const 8))))
            (br_if $on (i32.lt_u (local.get 0) (i32.const 100))))
          (local.get 0)))"""
    )
    held: list[chiwawa.Instance] = []

    async def f(n: int) -> int:
        await asyncio.sleep(0)
        held[0].memory().write(8, bytes((n + 1,)))
        return n + 1

    calls = chiwawa.record_calls()
    run = chiwawa.start(module, "g", imports={"host": {"f": f}}, path=path, calls=calls)
    held.append(run.instance)
    assert asyncio.run(run.go_async())
    again = chiwawa.start(module, "g", path=path, calls=chiwawa.replay_calls(calls))
    assert again.go()
    assert again.results == run.results
    assert again.instance.memory().read(0, 16) == run.instance.memory().read(0, 16)
