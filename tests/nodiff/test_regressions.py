"""Small modules on which the two paths once differed, or the translation failed."""

from __future__ import annotations

import pytest

from chiwawa.source import load
from tests.nodiff.harness_helpers import Call, both, check

#: What it was; the module; the export ``f`` is called with these arguments; how that ends.
CASES: list[tuple[str, str, tuple[int, ...], str]] = [
    (
        "a narrower mask over a helper's result, which has no bounds",
        """(memory 1)
           (func (export "f") (param i32) (result i32)
             (i32.and (i32.wrap_i64 (i64.load8_s (local.get 0))) (i32.const 255))
             (i32.and (i32.add (i32.load16_s (local.get 0)) (local.get 0)) (i32.const 0xFFFF))
             i32.add)""",
        (3,),
        "returned",
    ),
    (
        "the length of an array that is none, in a module without arrays",
        """(table 1 nullref)
           (func (export "f") (result i32) (array.len (table.get (i32.const 0))))""",
        (),
        "trap",
    ),
    (
        "a method of a constant, and a choice by one",
        """(func (export "f") (result i32 i32 i64)
             (i32.popcnt (i32.const 0x55))
             (i32.ctz (i32.const 0))
             (i64.add (i64.clz (i64.const 1)) (i64.ctz (i64.const 8))))""",
        (),
        "returned",
    ),
    (
        "a row of guards that hid the second arm of one of them",
        """(memory 1)
           (func (export "f") (param $n i32) (result i32) (local $x i32)
             (local.set $x (i32.const 5))
             (local.set $x (i32.add (local.get $x) (i32.const 1)))
             (local.set $x (i32.mul (local.get $x) (i32.load (i32.const 0))))
             (if (i32.lt_u (i32.const 1) (i32.sub (local.get $n) (i32.const 1)))
               (then (drop (i32.const 1)) (drop (call 0 (i32.sub (local.get $n) (i32.const 1))))))
             (local.set $x (i32.add (local.get $x) (local.get $n)))
             (local.set $x (i32.add (local.get $x) (i32.const 1)))
             (local.get $x))""",
        (4,),
        "returned",
    ),
    (
        "a constant expression that Python writes by a helper, or by name",
        """(global $a f32 (f32.const nan:0x200000)) (global $b f64 (f64.const -nan:0x1))
           (global $c f64 (f64.const -inf)) (global $d f32 (f32.const inf))
           (func (export "f") (result i32 i64 f64 f32)
             (i32.reinterpret_f32 (global.get $a)) (i64.reinterpret_f64 (global.get $b))
             (global.get $c) (global.get $d))""",
        (),
        "returned",
    ),
    (
        "a table index that is a comparison's result, in a trap's message",
        """(table 3 funcref)
           (func (export "f") (param i32)
             (call_indirect (i32.lt_u (local.get 0) (i32.const 5))))""",
        (1,),
        "trap",
    ),
    (
        "a trap in the value that an assignment consumes",
        """(memory 0) (global $g (mut i32) (i32.const 0))
           (func (export "f") (param i32) (result i32)
             (nop)
             (global.set $g (i32.load8_s offset=26 (local.get 0)))
             (global.get $g))""",
        (1,),
        "trap",
    ),
]


@pytest.mark.parametrize(
    ("text", "args", "kind"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_both_paths_agree_on(text: str, args: tuple[int, ...], kind: str) -> None:
    call = Call(load(f"(module {text})"), "f", args)
    ending = check(call, stops=50, crossings=50, instruction_stops=300, instruction_crossings=100)
    assert ending.kind == kind


def test_a_number_that_is_a_reference_is_not_null() -> None:
    """Python warns of a literal that is compared by identity."""
    module = load("""(module (func (export "f") (result i32 i32) (local $null i32)
      (local.set $null (ref.is_null (ref.i31 (i32.const 5))))
      (block $l
        (drop (br_on_null $l (ref.i31 (i32.const 6))))
        (return (local.get $null) (i32.const 1)))
      (local.get $null) (i32.const 2)))""")
    assert both(Call(module, "f")).detail == ((0, "int"), (1, "int"))


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("(block (br_if 1 (local.get 0))", ")"),
        ("(loop (local.set 0 (i32.add (local.get 0) (i32.const 1)))", ")"),
        ("(if (local.get 0) (then ", "))"),
    ],
    ids=["block", "loop", "if"],
)
def test_constructs_nested_deeper_than_python_recurses(opening: str, closing: str) -> None:
    deep = 1500
    body = opening * deep + closing * deep
    module = load(
        f'(module (func (export "f") (param i32) (result i32) (block {body}) (i32.const 7)))'
    )
    for argument in (1, 0):
        assert both(Call(module, "f", (argument,))).detail[0][0] == 7
