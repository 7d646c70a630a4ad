"""Each row of the instruction table is one meaning, or one rule on each path; and each is needed:
what works with it does not without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import wasmtime

from chiwawa import api
from chiwawa.aot import tree
from chiwawa.interp import handlers, prepare
from chiwawa.opcodes import BY_CODE, TABLE, Op
from chiwawa.source import load
from chiwawa.validate.module import TYPINGS
from chiwawa.validate.rules import RULES as TYPING

PATHS = ("interp", "aot")
WITHOUT_MEANING = [op for op in TABLE if op.meaning is None]
#: What neither does anything nor changes control by itself: the interpreter passes over it.
PASSED_OVER = ("block", "loop", "else", "end")


def rules_to_execute(op: Op) -> int:
    return sum(op.name in rules for rules in (handlers.RULES, prepare.RULES, PASSED_OVER))


@pytest.mark.parametrize("op", WITHOUT_MEANING, ids=lambda op: op.name)
def test_what_has_no_meaning_has_one_rule_to_execute_and_one_to_translate(op: Op) -> None:
    assert rules_to_execute(op) == 1
    assert op.name in tree.RULES


@pytest.mark.parametrize(
    "op", [op for op in TABLE if op.meaning is not None], ids=lambda op: op.name
)
def test_what_has_a_meaning_has_no_rule_beside_it(op: Op) -> None:
    assert rules_to_execute(op) == 0
    assert op.name not in tree.RULES


def test_no_rule_is_for_an_instruction_that_is_not_there() -> None:
    names = {op.name for op in WITHOUT_MEANING}
    assert {*handlers.RULES, *prepare.RULES, *PASSED_OVER} == names
    assert set(tree.RULES) == names
    assert set(TYPING) == {op.name for op in TABLE if op.signature is None}


#: What surrounds the body of ``f``, which gives what is to be seen of the instruction.
MODULE = """(module
  (memory 1 3) (data (i32.const 0) "\\81\\02\\83\\04\\85\\06\\87\\08\\89\\0a\\8b\\0c")
  (data $passive "abcd")
  (table $t 5 9 funcref) (table $u 3 funcref)
  (elem (table $t) (i32.const 0) func $seven $nine) (elem $passive func $nine $seven)
  (global $g (mut i32) (i32.const 11))
  (func $seven (result i32) (i32.const 7)) (func $nine (result i32) (i32.const 9))
  (func (export "f") (param i32) (result %s) (local $x i32) %s))"""

CONSTANTS = {
    "i32": ("(i32.const 13)", "(i32.const 2)", "(i32.const 3)"),
    "i64": ("(i64.const 0x1_0000_000d)", "(i64.const 2)", "(i64.const 3)"),
    "f32": ("(f32.const 6.75)", "(f32.const -2.5)", "(f32.const 3)"),
    "f64": ("(f64.const 6.75)", "(f64.const -2.5)", "(f64.const 3)"),
    "addr": ("(i32.const 1)", "(i32.const 2)", "(i32.const 3)"),
}
#: Where what an instruction does must be looked for: its result type, and the body.
BODIES: dict[str, tuple[str, str]] = {
    "unreachable": ("i32", "(if (i32.eqz (local.get 0)) (then unreachable)) (i32.const 1)"),
    "nop": ("i32", "nop (i32.const 4)"),
    "block": ("i32", "(block (br_if 0 (local.get 0)) (return (i32.const 1))) (i32.const 2)"),
    "loop": (
        "i32",
        "(loop (local.set $x (i32.add (local.get $x) (i32.const 3)))"
        " (br_if 0 (i32.lt_u (local.get $x) (i32.const 20)))) (local.get $x)",
    ),
    "if": ("i32", "(if (result i32) (local.get 0) (then (i32.const 5)) (else (i32.const 6)))"),
    "else": ("i32", "(if (result i32) (local.get 0) (then (i32.const 5)) (else (i32.const 6)))"),
    "end": ("i32", "(block (local.set $x (i32.const 8))) (local.get $x)"),
    "br": ("i32", "(block (br 0) (local.set $x (i32.const 8))) (local.get $x)"),
    "br_if": ("i32", "(block (br_if 0 (local.get 0)) (return (i32.const 1))) (i32.const 2)"),
    "br_table": (
        "i32",
        "(block (block (block (br_table 0 1 2 (local.get 0))) (return (i32.const 1)))"
        " (return (i32.const 2))) (i32.const 3)",
    ),
    "return": ("i32", "(return (i32.const 4)) (i32.const 5)"),
    "call": ("i32", "(i32.add (call $seven) (i32.const 1))"),
    "call_indirect": ("i32", "(call_indirect $t (result i32) (local.get 0))"),
    "drop": ("i32", "(i32.const 4) (drop (i32.const 5))"),
    "select": ("i32", "(select (i32.const 4) (i32.const 5) (local.get 0))"),
    "select t*": ("i32", "(select (result i32) (i32.const 4) (i32.const 5) (local.get 0))"),
    "local.get": ("i32", "(local.get 0)"),
    "local.set": ("i32", "(local.set $x (i32.const 4)) (local.get $x)"),
    "local.tee": ("i32", "(i32.add (local.tee $x (i32.const 4)) (local.get $x))"),
    "global.get": ("i32", "(global.get $g)"),
    "global.set": ("i32", "(global.set $g (i32.const 4)) (global.get $g)"),
    "table.get": ("i32", "(ref.is_null (table.get $t (local.get 0)))"),
    "table.set": (
        "i32",
        "(table.set $t (i32.const 3) (ref.func $nine))"
        " (call_indirect $t (result i32) (i32.const 3))",
    ),
    "ref.null": ("i32", "(ref.is_null (ref.null func))"),
    "ref.is_null": ("i32", "(ref.is_null (ref.func $seven))"),
    "ref.func": ("i32", "(ref.is_null (ref.func $seven))"),
    "table.grow": ("i32", "(table.grow $t (ref.null func) (i32.const 2))"),
    "table.size": ("i32", "(table.size $t)"),
    "table.fill": (
        "i32",
        "(table.fill $t (i32.const 2) (ref.func $nine) (i32.const 2))"
        " (call_indirect $t (result i32) (i32.const 3))",
    ),
    "table.init": (
        "i32",
        "(table.init $t $passive (i32.const 2) (i32.const 0) (i32.const 2))"
        " (call_indirect $t (result i32) (i32.const 2))",
    ),
    "elem.drop": (
        "i32",
        "(elem.drop $passive) (table.init $t $passive (i32.const 0) (i32.const 0) (i32.const 1))"
        " (i32.const 1)",
    ),
    "table.copy": (
        "i32",
        "(table.copy $u $t (i32.const 1) (i32.const 0) (i32.const 2))"
        " (call_indirect $u (result i32) (i32.const 1))",
    ),
    "memory.size": ("i32", "(memory.size)"),
    "memory.grow": ("i32", "(i32.add (memory.grow (i32.const 1)) (memory.size))"),
    "memory.init": (
        "i32",
        "(memory.init $passive (i32.const 8) (i32.const 1) (i32.const 2)) (i32.load (i32.const 6))",
    ),
    "data.drop": (
        "i32",
        "(data.drop $passive) (memory.init $passive (i32.const 8) (i32.const 1) (i32.const 2))"
        " (i32.const 1)",
    ),
    "memory.copy": (
        "i32",
        "(memory.copy (i32.const 16) (i32.const 1) (i32.const 3)) (i32.load (i32.const 16))",
    ),
    "memory.fill": (
        "i32",
        "(memory.fill (i32.const 16) (i32.const 5) (i32.const 3)) (i32.load (i32.const 16))",
    ),
}


def text_of(op: Op) -> str:
    """A module whose function ``f`` shows what ``op`` does."""
    if op.name in BODIES:
        return MODULE % BODIES[op.name]
    assert op.signature is not None
    params, _, results = (part.split() for part in op.signature.partition("->"))
    operands = [CONSTANTS[p][i] for i, p in enumerate(params)]
    if "const" in op.name:
        return MODULE % (results[0], CONSTANTS[results[0]][0])
    instruction = f"({op.name} {' '.join(operands)})"
    if results:
        return MODULE % (results[0], instruction)
    assert op.width
    return MODULE % ("i64", f"{instruction} (i64.load (i32.const 0))")


def outcome(op: Op, path: str) -> tuple[str, Any]:
    """What comes of it, from the binary format on: loaded, validated and run anew."""
    try:
        instance = api.instantiate(load(wasmtime.wat2wasm(text_of(op))), path=path)
        return "values", [
            instance.invoke("f", [arg])[0] for arg in ((1,) if op.name == "unreachable" else (0, 1))
        ]
    except Exception as error:
        return type(error).__name__, str(error)


def expected(op: Op) -> tuple[str, list[Any]] | tuple[str, str]:
    """What wasmtime makes of it."""
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, text_of(op))
    function = wasmtime.Instance(store, module, []).exports(store)["f"]
    assert isinstance(function, wasmtime.Func)
    try:
        args = (1,) if op.name == "unreachable" else (0, 1)
        return "values", [unsigned(function(store, arg), op) for arg in args]
    except wasmtime.Trap:
        return "Trap", ""


def unsigned(value: Any, op: Op) -> Any:
    if not isinstance(value, int):
        return value
    return value & ((1 << (64 if " (result i64)" in text_of(op) else 32)) - 1)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("op", TABLE, ids=lambda op: op.name)
def test_an_instruction_does_what_it_does_elsewhere(op: Op, path: str) -> None:
    kind, values = outcome(op, path)
    right = expected(op)
    assert kind == right[0]
    if kind == "values":
        assert values == right[1]


def without(places: list[tuple[dict[Any, Any], Any]]) -> Callable[[], None]:
    """Take keys out of dicts; what puts them back."""
    taken = [(rules, key, rules.pop(key)) for rules, key in places if key in rules]

    def back() -> None:
        for rules, key, value in taken:
            rules[key] = value

    assert taken
    return back


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("op", TABLE, ids=lambda op: op.name)
def test_without_its_typing_it_does_nothing(op: Op, path: str) -> None:
    right = outcome(op, path)
    back = without([(TYPINGS, id(op))])
    try:
        assert outcome(op, path) != right
    finally:
        back()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "op", [op for op in WITHOUT_MEANING if op.name not in PASSED_OVER], ids=lambda op: op.name
)
def test_without_its_rule_it_does_nothing(op: Op, path: str) -> None:
    right = outcome(op, path)
    rules: list[dict[str, Any]] = [tree.RULES] if path == "aot" else [handlers.RULES, prepare.RULES]
    back = without([(each, op.name) for each in rules])
    try:
        assert outcome(op, path) != right
    finally:
        back()


@pytest.mark.parametrize(
    "op", [op for op in TABLE if op.name in PASSED_OVER], ids=lambda op: op.name
)
def test_without_its_rule_it_is_not_translated(op: Op) -> None:
    right = outcome(op, "aot")
    back = without([(tree.RULES, op.name)])
    try:
        assert outcome(op, "aot") != right
    finally:
        back()


def test_the_rows_of_all_instructions_are_what_bytes_stand_for() -> None:
    assert list(BY_CODE.values()) == list(TABLE)
