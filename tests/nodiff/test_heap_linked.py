"""Structures that several linked instances share, and instances that only structures lead to."""

from __future__ import annotations

from typing import Any

import pytest

import chiwawa
from chiwawa_runtime import checkpoint
from chiwawa_runtime.run.instance import Instance, Run
from chiwawa_runtime.state.snapshot import (
    ExceptionImage,
    FuncIdx,
    ObjIdx,
    StructImage,
    TypeIdx,
)
from chiwawa_runtime.state.types import ANYREF, EXNREF, FUNCREF, I32
from tests.nodiff.heap_helpers import each_having, silent
from tests.path_helpers import running

#: Types that all three modules have, at other indices.
TYPES = """(type $f (func (result i32)))
  (type $box (struct (field $call (mut (ref null $f))) (field $other (mut anyref))
    (field $thrown (mut exnref))))"""
#: What is shared.
HOLDER = chiwawa.load(f"""(module {TYPES}
  (global (export "box") (mut (ref null $box)) (ref.null $box))
  (global (export "any") (mut anyref) (ref.null any))
  (table (export "t") 3 anyref)
  (tag (export "e") (param (ref null $box) i32)))""")
#: Nobody imports what it has: only a structure refers to its function.
HIDDEN = chiwawa.load(f"""(module (type $before (array i8)) {TYPES}
  (import "holder" "box" (global $box (mut (ref null $box))))
  (global $count (mut i32) (i32.const 100))
  (func $counts (result i32)
    (loop)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (global.get $count))
  (func (export "put")
    (global.set $box (struct.new $box (ref.func $counts) (ref.i31 (i32.const 1)) (ref.null exn))))
  (elem declare func $counts))""")
#: What it puts there, nobody else has a type for.
OWN = chiwawa.load("""(module $own (type $own (struct (field i32) (field i32) (field f64)))
  (import "holder" "any" (global $any (mut anyref)))
  (func (export "put") (global.set $any (struct.new_default $own))))""")
USER = chiwawa.load(f"""(module $user
  (import "env" "tick" (func $tick (param i32)))
  (type $unused (array i64)) {TYPES}
  (import "holder" "box" (global $box (mut (ref null $box))))
  (import "holder" "t" (table $t 3 anyref))
  (import "holder" "e" (tag $e (param (ref null $box) i32)))
  (func $call (param $b (ref null $box)) (result i32)
    (call_ref $f (struct.get $box $call (local.get $b))))
  (func (export "run") (result i32) (local $caught exnref) (local $i i32)
    (block $h (result exnref)
      (try_table (catch_all_ref $h) (throw $e (global.get $box) (i32.const 5)))
      (unreachable))
    (local.set $caught)
    (struct.set $box $thrown (global.get $box) (local.get $caught))
    (struct.set $box $other (global.get $box) (global.get $box))
    (table.set $t (i32.const 2) (struct.get $box $other (global.get $box)))
    (call $tick (i32.const 1))
    (loop $l
      (local.set $i (i32.add (local.get $i) (call $call (global.get $box))))
      (call $tick (i32.const 2))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 300))))
    (block $v (result (ref null $box) i32)
      (try_table (catch $e $v)
        (throw_ref (struct.get $box $thrown (ref.cast (ref $box) (table.get $t (i32.const 2))))))
      (unreachable))
    (local.get $i)
    (i32.add)
    (local.set $i)
    (global.get $box)
    (ref.eq)
    (local.get $i)
    (i32.mul)))""")
RESULT = [101 + 102 + 103 + 5]
HAVING = running(HIDDEN)


def instances(path: str) -> tuple[Instance, Instance]:
    """One of ``HOLDER``, and one of ``HIDDEN`` over it."""
    holder = chiwawa.instantiate(HOLDER, path=path)
    return holder, chiwawa.instantiate(HIDDEN, {"holder": holder.exports}, path=path)


def imports_of(holder: Instance, tick: Any = silent) -> dict[str, Any]:
    return {"env": {"tick": tick}, "holder": holder.exports}


def stops(path: str) -> list[bytes]:
    """A checkpoint wherever the program can stop."""
    holder, hidden = instances(path)
    hidden.invoke("put")
    run = chiwawa.start(USER, "run", imports=imports_of(holder), path=path)
    found = []
    ask(run, hidden)
    while not run.go():
        found.append(run.checkpoint())
        run.requests.take()
        ask(run, hidden)
    assert run.results == RESULT
    return found


def ask(run: Run, hidden: Instance) -> None:
    """Have ``run`` stop at the next safepoint, which may be ``hidden``'s."""
    run.requests.ask()
    hidden.engine.safepoints.request(True)


def stopped(path: str) -> tuple[Run, Instance]:
    """The run of ``USER``, stopped, with the holder beside it; and an instance of ``OWN``."""
    holder, hidden = instances(path)
    hidden.invoke("put")
    own = chiwawa.instantiate(OWN, {"holder": holder.exports}, path=path)
    run = chiwawa.start(
        USER,
        "run",
        imports=imports_of(holder, lambda n: run.requests.ask()),
        path=path,
    )
    run.instance.beside = [holder]
    assert not run.go()
    run.requests.take()
    return run, own


def test_a_structure_leads_to_an_instance_and_is_shared_as_before() -> None:
    first, *others = [stops(path) for path in HAVING]
    assert all(other == first for other in others)
    several = 0
    for place, data in enumerate(first):
        snapshot = checkpoint.decode(data)
        # That of the run, and that whose function the structure has.
        assert len(snapshot.instances) == 2
        several += any(frame.instance for frame in snapshot.frames)
        path = HAVING[place % len(HAVING)]
        # Of the holder there is only state, which the host gives again.
        imports = imports_of(chiwawa.instantiate(HOLDER, path=path))
        again = chiwawa.restore(USER, data, imports=imports, path=path, modules=[HIDDEN])
        assert again.checkpoint() == data
        assert again.go()
        assert again.results == RESULT
    assert several > 2


@each_having
def test_types_are_named_by_the_least_instance_that_has_them(path: str) -> None:
    snapshot = checkpoint.decode(stopped(path)[0].checkpoint())
    assert [each.module_hash for each in snapshot.instances] == [
        module.hash for module in (USER, HOLDER, HIDDEN)
    ]
    box, exception = snapshot.objects
    assert box == StructImage(
        TypeIdx(2, 0),
        ((FUNCREF, FuncIdx(0, 2)), (ANYREF, ObjIdx(0)), (EXNREF, ObjIdx(1))),
    )
    assert exception == ExceptionImage(0, ((ANYREF, ObjIdx(0)), (I32, 5)))


@each_having
def test_a_type_that_only_another_instance_has_needs_that_one(path: str) -> None:
    run, own = stopped(path)
    own.invoke("put")
    with pytest.raises(chiwawa.CheckpointError, match="no instance has its type") as refused:
        run.checkpoint()
    assert "\n" not in str(refused.value)
    run.beside.append(own)
    data = run.checkpoint()
    image = checkpoint.decode(data).objects[1]
    assert isinstance(image, StructImage)
    assert image.type == TypeIdx(0, 2)
    imports = {"env": {"tick": silent}}
    again = chiwawa.restore(USER, data, imports=imports, path=path, modules=[HOLDER, HIDDEN, OWN])
    assert again.checkpoint() == data
