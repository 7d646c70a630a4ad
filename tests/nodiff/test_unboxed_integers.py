"""Unboxed integers and casts, without structures and arrays: in every place that a frame has for
references, stopped at every safepoint on all paths."""

from __future__ import annotations

import pytest

from chiwawa import api
from chiwawa.native.layout import SAFEPOINTS
from chiwawa.native.module import rewrite
from chiwawa.source import load, load_bytes
from chiwawa_runtime.errors import Trap
from chiwawa_runtime.state.heap import External, Internal
from tests.nodiff.harness_helpers import Call, both, check, compare_bytes, cross
from tests.path_helpers import each_path

#: Where each is: a global, a table, a segment, parameters and results that cannot be null, locals
#: that have no value at first, operands; as what it is, and as one of the host's.
EVERYWHERE = """
(type $pick (func (param (ref any) i32) (result (ref eq) externref)))
(global $g (mut anyref) (ref.i31 (i32.const 5)))
(global $constant (ref i31) (ref.i31 (i32.const 0x12345678)))
(table $t (export "t") 4 (ref null i31) (ref.i31 (i32.const -1)))
(table $x 2 externref)
(elem $e (ref i31) (ref.i31 (i32.const 1000)) (ref.i31 (i32.const 0x3FFFFFFF)))
(func $pick (type $pick) (local $l (ref i31)) (local $n (ref null eq)) (local $e externref)
  (local.set $n (ref.cast eqref (local.get 0)))
  (local.set $l (ref.i31 (i32.mul (local.get 1) (i32.const 77777777))))
  (if (result (ref any)) (i32.eqz (i32.and (local.get 1) (i32.const 1)))
    (then (local.get 0)) (else (local.get $l)))
  (if (result (ref any)) (i32.gt_s (local.get 1) (i32.const 0))
    (then (call $pick (ref.as_non_null (any.convert_extern (extern.convert_any (local.get $l))))
        (i32.sub (local.get 1) (i32.const 1)))
      (table.set $x (i32.const 1) (extern.convert_any (global.get $constant)))
      (local.set $e)
      (table.set $x (i32.const 0) (local.get $e))
      (local.set $n)
      (local.get $l))
    (else (global.get $constant)))
  (local.set 0)
  (drop)
  (ref.as_non_null (local.get $n))
  (extern.convert_any (local.get $l)))
(func (export "f") (param $n i32) (result i32) (local $sum i32) (local $i (ref i31))
  (table.init $t $e (i32.const 1) (i32.const 0) (i32.const 2))
  (loop $more
    (call $pick (ref.i31 (local.get $n)) (i32.and (local.get $n) (i32.const 3)))
    (drop)
    (global.set $g)
    (local.set $i (block $int (result (ref i31))
      (br_on_cast $int anyref (ref i31) (global.get $g))
      (drop)
      (ref.i31 (i32.const 3))))
    (local.set $sum (i32.add (local.get $sum) (i31.get_s (local.get $i))))
    (local.set $sum (i32.add (local.get $sum)
      (i31.get_u (table.get $t (i32.and (local.get $n) (i32.const 3))))))
    (local.set $sum (i32.add (local.get $sum)
      (ref.eq (local.get $i) (table.get $t (i32.const 0)))))
    (local.set $sum (i32.add (local.get $sum) (ref.test i31ref (any.convert_extern
      (table.get $x (i32.and (local.get $n) (i32.const 1)))))))
    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $sum))
"""
#: Casts of functions, and branches on them, where what is taken along is in the way of other
#: operands.
FUNCTIONS = """
(rec
  (type $a (sub (func (param i32) (result i32))))
  (type $b (sub $a (func (param i32) (result i32))))
  (type $c (sub final $b (func (param i32) (result i32)))))
(table $t 4 funcref) (elem (table $t) (i32.const 0) func $fa $fb $fc $other)
(func $other (loop))
(func $fa (type $a) (loop) (i32.add (local.get 0) (i32.const 1)))
(func $fb (type $b) (i32.mul (local.get 0) (i32.const 3)))
(func $fc (type $c) (loop) (i32.xor (local.get 0) (i32.const 21)))
(func $pass (param (ref $a)) (result (ref $a)) (loop) (local.get 0))
(func $run (param $n i32) (param $f funcref) (result i32)
  (local.get $n)
  (block $none (result i32 funcref)
    (block $a (result i32 (ref $a))
      (i32.const 100)
      (block $b (param i32) (result i32 (ref $b))
        (i32.const 7)
        (i32.const 9)
        (local.get $f)
        (br_on_cast $b funcref (ref $b))
        (br_on_cast_fail $none funcref (ref $a))
        (call $pass)
        (br $a))
      (call $pass))
    (call_ref $a)
    (return (i32.add (local.get $n))))
  (drop)
  (i32.add)
  (i32.mul (ref.test (ref $c) (local.get $f)) (i32.const 1000))
  (i32.sub))
(func (export "f") (param $n i32) (result i32) (local $sum i32)
  (loop $more
    (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 5))
      (call $run (local.get $n) (table.get $t (i32.and (local.get $n) (i32.const 3))))))
    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (drop (ref.cast (ref null $b) (table.get $t (i32.const 2))))
  (local.get $sum))
"""


@pytest.mark.parametrize(("source", "n"), [(EVERYWHERE, 5), (FUNCTIONS, 6)])
def test_a_program_with_them_is_the_same_at_every_safepoint(source: str, n: int) -> None:
    call = Call(load(source), "f", (n,))
    expected = both(call)
    assert expected.kind == "returned"
    for stop in compare_bytes(call, range(1, (expected.safepoints or 0) + 1)):
        cross(call, stop, expected)
    check(call)


#: What the host gave, among what is below ``any``, and back.
GIVEN = """
(import "env" "give" (func $give (param externref) (result externref)))
(global $g (export "g") (mut anyref) (ref.null any))
(func (export "f") (param externref) (result externref)
  (global.set $g (any.convert_extern (local.get 0)))
  (call $give (extern.convert_any (global.get $g))))
(func (export "i31") (param i32) (result externref)
  (call $give (extern.convert_any (ref.i31 (local.get 0)))))
(func (export "of") (param externref) (result i32)
  (i31.get_s (ref.cast i31ref (any.convert_extern (local.get 0)))))
(func (export "any") (param anyref) (result anyref) (local.get 0))
"""


@each_path
def test_the_host_sees_them_as_on_any_path(path: str) -> None:
    given: list[object] = []

    def give(value: object) -> object:
        given.append(value)
        return value

    instance = api.instantiate(load(GIVEN), {"env": {"give": give}}, path=path)
    mine = object()
    assert instance.invoke("f", [mine]) == [mine]
    held = instance.exports["g"].get()  # type: ignore[union-attr]
    assert type(held) is Internal
    assert held.value is mine
    (number,) = instance.invoke("i31", [-5 & 0xFFFFFFFF])
    assert type(number) is External
    assert number.value == 0x7FFFFFFB
    assert instance.invoke("of", [number]) == [-5]
    assert instance.invoke("any", [7]) == [7]
    assert given[0] is mine
    with pytest.raises(Trap, match="cast failure"):
        instance.invoke("of", [mine])
    with pytest.raises(Trap, match="null i31 reference"):
        instance.invoke("of", [None])


def test_a_module_without_them_asks_no_engine_for_them() -> None:
    """Its types and tables are what they were before there were such."""
    source = """(table 1 funcref) (func $f (export "f") (param funcref) (result i64 f64)
        (loop $on (br_if $on (ref.is_null (local.get 0)))) (call $f (local.get 0)))"""
    rewritten = load_bytes(rewrite(load(source), SAFEPOINTS).binary)
    assert not {"exnref", "anyref"} & set(" ".join(map(str, rewritten.types)).split())
    assert {str(t.element) for t in rewritten.table_types()} == {"funcref", "externref"}
