"""What host functions do to a program beside returning, and to several that are linked: recorded,
and given back in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import chiwawa
from tests.path_helpers import PATHS, SHARING, each_path, next_path

#: Asks the host, which calls it back: on the way down it counts, and asks other things.
CALLED_BACK = """(module
  (import "host" "ask" (func $ask (param i32) (result i32)))
  (import "host" "number" (func $number (result i32)))
  (memory (export "memory") 1)
  (global $count (export "count") (mut i32) (i32.const 0))
  (func (export "fail") (param i32)
    (global.set $count (i32.add (global.get $count) (call $number)))
    (if (local.get 0) (then unreachable)))
  (func $descend (export "descend") (param $n i32) (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (if (i32.eqz (local.get $n)) (then (return (call $number))))
    (i32.add (i32.load (i32.const 0)) (call $ask (i32.sub (local.get $n) (i32.const 1)))))
  (func (export "work") (param $n i32) (result i32) (local $sum i32)
    (loop $on
      (local.set $sum (i32.add (local.get $sum) (call $descend (local.get $n))))
      (br_if $on (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.add (local.get $sum) (global.get $count))))"""


class Asked:
    """A host that calls back and changes things before, between and after."""

    def __init__(self) -> None:
        self.calls = 0
        self.instance: Any = None

    def number(self) -> int:
        self.calls += 1
        return self.calls * 31 % 17

    def ask(self, n: int) -> int:
        self.calls += 1
        memory = self.instance.memory()
        memory.write(0, bytes((self.calls % 7,)))
        result = self.instance.exports.descend(n)
        memory.write(0, bytes((self.calls % 5,)))
        if self.calls % 3 == 0:
            with pytest.raises(chiwawa.Trap):
                self.instance.exports.fail(1)
        elif self.calls % 4 == 0:
            self.instance.exports.fail(0)
        self.instance.exports["count"].value += self.calls
        return int(result) + self.calls

    def imports(self) -> dict[str, dict[str, Any]]:
        return {"host": {"ask": self.ask, "number": self.number}}


def state(instance: chiwawa.Instance) -> tuple[object, ...]:
    return (instance.memory().read(0, 16), instance.exports["count"].value)


@each_path
def test_a_program_is_called_back_again_in_the_same_places(path: str) -> None:
    module = chiwawa.load(CALLED_BACK)
    host = Asked()
    calls = chiwawa.record_calls()
    run = chiwawa.start(module, "work", [5], host.imports(), path=path, calls=calls)
    host.instance = run.instance
    assert run.go()
    plain_host = Asked()
    plain = chiwawa.start(module, "work", [5], plain_host.imports(), path=path)
    plain_host.instance = plain.instance
    assert plain.go()
    assert plain.results == run.results
    for other in PATHS:
        again = chiwawa.start(module, "work", [5], path=other, calls=chiwawa.replay_calls(calls))
        assert again.go()
        assert again.results == run.results
        assert state(again.instance) == state(run.instance)


@each_path
def test_a_checkpoint_between_calls_back_is_gone_on_from(path: str, tmp_path: Path) -> None:
    module = chiwawa.load(CALLED_BACK)
    stops = 0
    for count in (3, 6, 9):
        host = Asked()
        with chiwawa.record_calls(tmp_path / "calls.rec") as calls:
            run = chiwawa.start(
                module, "work", [5], host.imports(), path=path, calls=calls, count=count
            )
            host.instance = run.instance
            if run.go():
                continue
            stops += 1
            data = run.checkpoint()
            run.requests.take()
            assert run.go()
        for other in PATHS:
            known = chiwawa.replay_calls(tmp_path / "calls.rec")
            again = chiwawa.restore(module, data, path=other, calls=known)
            assert again.go()
            assert again.results == run.results
            assert state(again.instance) == state(run.instance)
    assert stops > 1


@each_path
def test_another_program_that_is_called_back_is_an_error(path: str) -> None:
    module = chiwawa.load(CALLED_BACK)
    host = Asked()
    calls = chiwawa.record_calls()
    run = chiwawa.start(module, "work", [5], host.imports(), path=path, calls=calls)
    host.instance = run.instance
    assert run.go()
    again = chiwawa.start(module, "work", [4], path=path, calls=chiwawa.replay_calls(calls))
    with pytest.raises(chiwawa.ReplayError, match=r"host\.ask has the arguments \(3\), and had"):
        again.go()


TABLES = """(module
  (import "host" "turn" (func $turn))
  (import "host" "own" (func $own (result i32)))
  (type $number (func (result i32)))
  (table (export "table") 2 8 funcref)
  (table (export "refs") 1 4 i31ref)
  (global $f (export "f") (mut funcref) (ref.null func))
  (global $x (export "x") (mut f64) (f64.const 0))
  (elem declare func $three $own)
  (func $three (export "three") (result i32) (i32.const 3))
  (func $four (export "four") (result i32) (i32.const 4))
  (func (export "own") (result funcref) (ref.func $own))
  (func (export "work") (result i32) (local $sum i32) (local $n i32) (local $at i32)
    (local.set $n (i32.const 5))
    (loop $on
      (call $turn)
      (local.set $at (i32.const 0))
      (loop $each
        (if (i32.eqz (ref.is_null (table.get 0 (local.get $at))))
          (then (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 3))
            (call_indirect (type $number) (local.get $at))))))
        (br_if $each (i32.lt_u
          (local.tee $at (i32.add (local.get $at) (i32.const 1))) (table.size 0))))
      (local.set $sum (i32.add (local.get $sum) (i31.get_u (table.get 1 (i32.const 0)))))
      (local.set $sum (i32.add (local.get $sum)
        (i32.wrap_i64 (i64.shr_u (i64.reinterpret_f64 (global.get $x)) (i64.const 40)))))
      (br_if $on (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.add (local.get $sum) (ref.is_null (global.get $f)))))"""


@each_path
def test_what_the_host_does_to_tables_and_globals_is_done_again(path: str) -> None:
    module = chiwawa.load(TABLES)
    held: list[chiwawa.Instance] = []
    turns: list[int] = []

    def turn() -> None:
        exports = held[0].exports
        turns.append(len(turns))
        table, refs, n = exports["table"], exports["refs"], len(turns)
        table.set(n % table.size(), exports["three"] if n % 2 else None)
        if n in (2, 4):
            table.grow(2, exports["four"])
        if n == 3:
            table.set(1, exports.own())
            exports["f"].value = exports["four"]
        refs.set(0, n * 1000)
        exports["x"].value = -0.0 if n == 1 else n / 3

    calls = chiwawa.record_calls()
    imports = {"host": {"turn": turn, "own": lambda: 40 + len(turns)}}
    run = chiwawa.start(module, "work", imports=imports, path=path, calls=calls)
    held.append(run.instance)
    assert run.go()
    for other in PATHS:
        again = chiwawa.start(module, "work", path=other, calls=chiwawa.replay_calls(calls))
        assert again.go()
        assert again.results == run.results
        names = [each and each.name for each in run.instance.exports["table"].elements]
        assert [each and each.name for each in again.instance.exports["table"].elements] == names


@each_path
def test_an_exception_that_the_host_throws_is_thrown_again(path: str) -> None:
    module = chiwawa.load(
        """(module (import "host" "f" (func $f (param i32) (result i32)))
        (tag $e (export "e") (param i32 f64))
        (func (export "g") (result i32) (local f64)
          (block $caught (result i32 f64)
            (try_table (catch $e $caught) (return (call $f (i32.const 1))))
            (unreachable))
          (local.set 0) (i32.trunc_f64_s (local.get 0)) (i32.add) (i32.add (call $f (i32.const 2)))
          ))"""
    )
    held: list[chiwawa.Instance] = []

    def f(n: int) -> int:
        if n == 2:
            return 100
        raise chiwawa.Thrown.of(held[0].exports["e"], 7, 20.5)

    calls = chiwawa.record_calls()
    run = chiwawa.start(module, "g", imports={"host": {"f": f}}, path=path, calls=calls)
    held.append(run.instance)
    assert run.go()
    assert run.result == 127
    for other in PATHS:
        again = chiwawa.start(module, "g", path=other, calls=chiwawa.replay_calls(calls))
        assert again.go()
        assert again.result == 127


LIBRARY = """(module $library
  (import "host" "draw" (func $draw (result i32)))
  (memory (export "memory") 1)
  (global (export "drawn") (mut i32) (i32.const 0))
  (func $start (i32.store (i32.const 8) (call $draw)))
  (func (export "draw") (result i32)
    (global.set 0 (i32.add (global.get 0) (i32.const 1)))
    (i32.add (i32.load (i32.const 8)) (call $draw)))
  (start $start))"""
PROGRAM = """(module $program
  (import "library" "draw" (func $draw (result i32)))
  (import "library" "memory" (memory 1))
  (import "library" "drawn" (global $drawn (mut i32)))
  (import "host" "see" (func $see (param i32)))
  (func (export "work") (param $n i32) (result i32) (local $sum i32)
    (loop $on
      (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 3)) (call $draw)))
      (call $see (local.get $sum))
      (local.set $sum (i32.add (local.get $sum) (i32.load (i32.const 16))))
      (br_if $on (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.add (local.get $sum) (global.get $drawn))))"""


class Linked:
    """A host of two instances that are linked. What the second sees, it writes into the first."""

    def __init__(self) -> None:
        self.calls = 0
        self.library: Any = None

    def draw(self) -> int:
        self.calls += 1
        return self.calls * 7919 % 101

    def see(self, n: int) -> None:
        self.calls += 1
        self.library.memory().write(16, bytes((n % 251, self.calls)))

    def imports(self) -> dict[str, dict[str, Any]]:
        return {"host": {"draw": self.draw, "see": self.see}}


@pytest.mark.parametrize(("below", "above"), SHARING)
def test_linked_instances_have_one_record(below: str, above: str) -> None:
    library, program = chiwawa.load(LIBRARY), chiwawa.load(PROGRAM)
    host = Linked()
    calls = chiwawa.record_calls()
    host.library = chiwawa.instantiate(library, host.imports(), path=below, calls=calls)
    imports = {**host.imports(), "library": host.library.exports}
    run = chiwawa.start(program, "work", [8], imports, path=above, calls=calls)
    assert run.go()
    for one, other in SHARING:
        known = chiwawa.replay_calls(calls)
        first = chiwawa.instantiate(library, path=one, calls=known)
        given = {"library": first.exports}
        again = chiwawa.start(program, "work", [8], given, path=other, calls=known)
        assert again.go()
        assert again.results == run.results
        assert first.memory().read(0, 32) == host.library.memory().read(0, 32)
    known = chiwawa.replay_calls(calls)
    with pytest.raises(chiwawa.BadInput, match="of another module"):
        chiwawa.instantiate(program, {"library": host.library.exports}, calls=known)


@each_path
def test_linked_instances_go_on_from_a_checkpoint_of_all(path: str, tmp_path: Path) -> None:
    library, program = chiwawa.load(LIBRARY), chiwawa.load(PROGRAM)
    host = Linked()
    file = tmp_path / "calls.rec"
    with chiwawa.record_calls(file) as calls:
        host.library = chiwawa.instantiate(library, host.imports(), path=path, calls=calls)
        imports = {**host.imports(), "library": host.library.exports}
        run = chiwawa.start(program, "work", [8], imports, path=path, calls=calls, count=11)
        assert not run.go()
        data = run.checkpoint()
        run.requests.take()
        assert run.go()
    for other in PATHS:
        known = chiwawa.replay_calls(file)
        again = chiwawa.restore(program, data, path=other, modules=[library], calls=known)
        assert again.go()
        assert again.results == run.results
        (first,) = again.beside
        assert first.memory().read(0, 32) == host.library.memory().read(0, 32)
    # What is restored is recorded, too, in the same file, and the whole runs again.
    with chiwawa.record_calls(file) as calls:
        host = Linked()
        host.library = chiwawa.instantiate(library, host.imports(), path=path, calls=calls)
        imports = {**host.imports(), "library": host.library.exports}
        run = chiwawa.start(program, "work", [8], imports, path=path, calls=calls, count=11)
        assert not run.go()
        data = run.checkpoint()
    with chiwawa.record_calls(file) as calls:
        rest = chiwawa.restore(
            program,
            data,
            host.imports(),
            path=next_path(path),
            modules=[library],
            calls=calls,
        )
        host.library = rest.beside[0]
        assert rest.go()
    for other in PATHS:
        known = chiwawa.replay_calls(file)
        first = chiwawa.instantiate(library, path=other, calls=known)
        given = {"library": first.exports}
        again = chiwawa.start(program, "work", [8], given, path=other, calls=known)
        assert again.go()
        assert again.results == rest.results


@each_path
def test_calls_of_an_instance_are_given_back_over_many_calls_of_its_exports(path: str) -> None:
    module = chiwawa.load(
        """(module (import "host" "next" (func $next (result i32)))
        (global $sum (mut i32) (i32.const 0))
        (func $first (global.set $sum (call $next)))
        (func (export "add") (param i32) (result i32)
          (global.set $sum (i32.add (global.get $sum) (i32.mul (local.get 0) (call $next))))
          (global.get $sum))
        (start $first))"""
    )
    numbers = iter(range(10, 1000, 7))
    imports = {"host": {"next": lambda: next(numbers)}}
    calls = chiwawa.record_calls()
    instance = chiwawa.instantiate(module, imports, path=path, calls=calls)
    results = [instance.exports.add(n) for n in range(5)]
    data = instance.checkpoint()
    more = [instance.exports.add(n) for n in range(5)]
    for other in PATHS:
        again = chiwawa.instantiate(module, path=other, calls=chiwawa.replay_calls(calls))
        assert [again.exports.add(n) for n in range(5)] == results
        assert [again.exports.add(n) for n in range(5)] == more
        with pytest.raises(chiwawa.ReplayError, match="the record ends before that, after 11"):
            again.exports.add(1)
        middle = chiwawa.restore_instance(
            module, data, path=other, calls=chiwawa.replay_calls(calls)
        )
        assert [middle.exports.add(n) for n in range(5)] == more
