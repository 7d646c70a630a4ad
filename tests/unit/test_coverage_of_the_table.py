"""Each row of the instruction table is one meaning, or one rule on each path; and each is needed:
what works with it does not without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import wasmtime

from chiwawa import api
from chiwawa.aot import tree
from chiwawa.binary import decode, encode
from chiwawa.immediates import KINDS
from chiwawa.interp import handlers, prepare
from chiwawa.module import BrTable, Cast, Data, Elem, Export, Func, Global, Instr, MemArg, Module
from chiwawa.native import capi
from chiwawa.opcodes import BY_CODE, BY_NAME, TABLE, Op
from chiwawa.source import load
from chiwawa.validate import validate
from chiwawa.validate.module import TYPINGS
from chiwawa.validate.rules import RULES as TYPING
from chiwawa.wat import parse_module, print_module
from chiwawa_runtime.checkpoint.leb import encode_u
from chiwawa_runtime.errors import InvalidError
from chiwawa_runtime.state.types import (
    FUNCREF,
    I8,
    I32,
    ArrayType,
    CompType,
    FieldType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    StructType,
    TableType,
)
from tests.path_helpers import each_path

WITHOUT_MEANING = [op for op in TABLE if op.meaning is None]
#: Of each path that has rules: where they are, and what it passes over without one.
#: (The rewriter of the native path goes by what an instruction does to control.)
RULES: dict[str, list[dict[str, Any]]] = {
    "interp": [handlers.RULES, prepare.RULES],
    "aot": [tree.RULES],
}
PASSED_OVER = {
    # What neither does anything nor changes control by itself.
    "interp": {op.name for op in TABLE if op.delimits or (op.opens and not op.branches)},
    "aot": set(),
}
NEEDING_RULES = [
    (op, path) for path in RULES for op in WITHOUT_MEANING if op.name not in PASSED_OVER[path]
]


def rules_for(op: Op, path: str) -> list[dict[str, Any]]:
    return [rules for rules in RULES[path] if op.name in rules]


@pytest.mark.parametrize("path", RULES)
@pytest.mark.parametrize("op", TABLE, ids=lambda op: op.name)
def test_an_instruction_has_a_meaning_or_one_rule_on_each_path(op: Op, path: str) -> None:
    needed = op.meaning is None and op.name not in PASSED_OVER[path]
    assert len(rules_for(op, path)) == needed


def test_no_rule_is_for_an_instruction_that_is_not_there() -> None:
    names = {op.name for op in WITHOUT_MEANING}
    for path in RULES:
        assert {name for rules in RULES[path] for name in rules} == names - PASSED_OVER[path]
    assert set(TYPING) == {op.name for op in TABLE if op.signature is None}


#: What of Wasm 3.0 and later is not in the table.
LATER = (
    "stack_switching",
)  # fmt: skip
REFUSALS = ("illegal opcode", "unknown 0x", "not enabled", "feature required")
#: What wasmtime does not run: the exception handling of older toolchains. It knows what its bytes
#: are. What comes of the functions below with 0 and with 1.
LEGACY = {
    "try": [6, 7],
    "catch": [5, 7],
    "catch_all": [6, 7],
    "delegate": [9, 7],
    "rethrow": [5, 7],
}


def is_known_elsewhere(engine: wasmtime.Engine, code: tuple[int, ...]) -> bool:
    """Whether these bytes are an instruction to wasmtime, whatever it may miss about it."""
    body = b"\0" + bytes(code[:1]) + b"".join(map(encode_u, code[1:])) + bytes(20) + b"\x0b"
    sized = encode_u(len(body)) + body
    head = b"\0asm\1\0\0\0" + b"\1\4\1\x60\0\0" + b"\3\2\1\0"
    try:
        wasmtime.Module.validate(engine, head + b"\x0a" + encode_u(len(sized) + 1) + b"\1" + sized)
    except wasmtime.WasmtimeError as error:
        # It knows the older instructions on exceptions, though it runs none.
        text = str(error)
        return "legacy" in text or not any(refusal in text for refusal in REFUSALS)
    return True


def test_the_rows_are_the_instructions_that_there_are() -> None:
    config = wasmtime.Config()
    for feature in LATER:
        setattr(config, f"wasm_{feature}", False)
    config.wasm_threads = True
    capi.wide_arithmetic_set(capi.address(config.ptr()), True)
    engine = wasmtime.Engine(config)
    codes = [(byte,) for byte in range(256) if byte not in (0xFB, 0xFC, 0xFD, 0xFE)]
    codes += [(0xFB, n) for n in range(64)]
    codes += [(0xFC, n) for n in range(128)] + [(0xFD, n) for n in range(512)]
    codes += [(0xFE, n) for n in range(128)]
    assert {op.code for op in TABLE} == {c for c in codes if is_known_elsewhere(engine, c)}
    assert list(BY_CODE.values()) == list(TABLE)


#: The same, for what throws and handles exceptions.
WITH_TAG = """(module (tag $e (param i32))
  (func $thrower (param i32) (result i32)
    local.get 0
    i32.eqz
    if
      i32.const 5
      throw $e
    end
    i32.const 7)
  (func (export "f") (param i32) (result %s) (local $x i32) %s))"""

#: The same, for references and what is on the heap.
WITH_HEAP = """(module
  (type $code (func (result i32)))
  (type $pair (sub (struct (field $x (mut i32)) (field $p (mut i8)))))
  (type $more (sub $pair (struct (field $x (mut i32)) (field $p (mut i8)) (field f64))))
  (type $ints (array (mut i32))) (type $bytes (array (mut i8))) (type $refs (array (mut anyref)))
  (data $passive "abcdefgh") (elem $passive anyref (ref.i31 (i32.const 5)) (ref.null any))
  (elem declare func $seven)
  (func $seven (type $code) (i32.const 7))
  (func $some (param i32) (result anyref)
    (if (result anyref) (local.get 0)
      (then (struct.new $more (i32.const 3) (i32.const 0x1fe) (f64.const 2)))
      (else (ref.i31 (i32.const -9)))))
  (func $may (param i32) (result (ref null $pair))
    (if (result (ref null $pair)) (local.get 0)
      (then (struct.new $pair (i32.const 4) (i32.const 0x1ff))) (else (ref.null $pair))))
  (func $code (param i32) (result (ref null $code))
    (if (result (ref null $code)) (local.get 0)
      (then (ref.func $seven)) (else (ref.null $code))))
  (func (export "f") (param i32) (result %s) (local $x i32)
    (local $ints (ref null $ints)) (local $bytes (ref null $bytes)) (local $p (ref null $pair))
    (local $r (ref null $refs))
    (local.set $ints (array.new_fixed $ints 3 (i32.const 10) (i32.const 20) (i32.const 30)))
    (local.set $bytes (array.new $bytes (i32.const 0x1f0) (i32.const 4)))
    %s))"""

#: What makes something there, and what is null instead on a path that runs nothing that does.
NULLS = {
    "(struct.new $more (i32.const 3) (i32.const 0x1fe) (f64.const 2))": "(ref.null $more)",
    "(struct.new $pair (i32.const 4) (i32.const 0x1ff))": "(ref.null $pair)",
    "(array.new_fixed $ints 3 (i32.const 10) (i32.const 20) (i32.const 30))": "(ref.null $ints)",
    "(array.new $bytes (i32.const 0x1f0) (i32.const 4))": "(ref.null $bytes)",
    "(array.new_default $refs (i32.const 1))": "(ref.null $refs)",
}

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
#: By shape; of any other. Where a relaxed instruction may do what it likes, these are not.
VECTORS = {
    "f32x4": ("f32x4 6.75 2.5 3 0.5", "f32x4 -2.5 4 0.25 8", "f32x4 3 -1 2 0x1p-3"),
    "f64x2": ("f64x2 6.75 2.5", "f64x2 -2.5 4", "f64x2 3 -0x1p-3"),
}
INTEGERS = (
    "i8x16 1 2 3 0x84 5 6 7 8 9 10 11 0x8c 13 14 15 16",
    "i8x16 3 1 2 0 4 5 9 8 7 6 10 15 14 13 12 11",
    "i64x2 -1 0",
)
IMMEDIATES = {"laneidx": "1", "lanes": "0 31 2 29 4 27 6 25 8 23 10 21 12 19 14 17"}
#: What is to be seen of a vector.
SEEN = """(local $v v128) (local.set $v %s)
  (i64.xor (i64x2.extract_lane 0 (local.get $v))
    (i64.rotl (i64x2.extract_lane 1 (local.get $v)) (i64.const 7)))"""
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
    "throw": (
        "i32",
        "(block $h (result i32) (drop (try_table (result i32) (catch $e $h)"
        " (throw $e (i32.const 3)))) (i32.const 4)) (i32.add (local.get 0))",
    ),
    "throw_ref": (
        "i32",
        "(block $h (result i32 exnref) (try_table (catch_ref $e $h) (throw $e (i32.const 3)))"
        " unreachable) (if (param exnref) (local.get 0) (then drop)"
        " (else (block $c (param exnref) (try_table (param exnref) (catch_all $c) throw_ref))))",
    ),
    "try_table": (
        "i32",
        "(block $h (result i32) (try_table (result i32) (catch $e $h)"
        " (call $thrower (local.get 0)))) (i32.add (i32.const 1))",
    ),
    "try": (
        "i32",
        "try (result i32) local.get 0 call $thrower catch $e i32.const 1 i32.add end",
    ),
    "catch": ("i32", "try (result i32) local.get 0 call $thrower catch $e end"),
    "catch_all": (
        "i32",
        "try (result i32) local.get 0 call $thrower catch_all i32.const 6 end",
    ),
    "delegate": (
        "i32",
        "try (result i32) try (result i32) try (result i32) local.get 0 call $thrower delegate 1"
        " catch_all i32.const 8 end catch_all i32.const 9 end",
    ),
    "rethrow": (
        "i32",
        "try (result i32) try (result i32) local.get 0 call $thrower catch_all rethrow 0 end"
        " catch $e end",
    ),
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
    "return_call": ("i32", "(if (local.get 0) (then (return_call $seven))) (i32.const 1)"),
    "return_call_indirect": (
        "i32",
        "(i32.const 8) (return_call_indirect $t (result i32) (local.get 0))",
    ),
    "atomic.fence": ("i32", "atomic.fence (i32.const 4)"),
    "i64.add128": (
        "i64",
        "(i64.add128 (i64.const -1) (i64.const 2) (i64.const 3) (i64.const 4))"
        " (i64.mul (i64.const 100)) i64.add",
    ),
    "i64.sub128": (
        "i64",
        "(i64.sub128 (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4))"
        " (i64.mul (i64.const 100)) i64.add",
    ),
    "i64.mul_wide_s": (
        "i64",
        "(i64.mul_wide_s (i64.const -3) (i64.const 0x7000000000000000))"
        " (i64.mul (i64.const 100)) i64.add",
    ),
    "i64.mul_wide_u": (
        "i64",
        "(i64.mul_wide_u (i64.const -3) (i64.const 0x7000000000000000))"
        " (i64.mul (i64.const 100)) i64.add",
    ),
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
    "call_ref": ("i32", "(call_ref $code (call $code (local.get 0)))"),
    "return_call_ref": (
        "i32",
        "(return_call_ref $code (call $code (local.get 0)))",
    ),
    "ref.eq": (
        "i32",
        "(ref.eq (ref.i31 (local.get 0)) (ref.i31 (i32.const 1)))",
    ),
    "ref.as_non_null": ("i32", "(call_ref $code (ref.as_non_null (call $code (local.get 0))))"),
    "br_on_null": (
        "i32",
        "(block (return (struct.get $pair $x (br_on_null 0 (call $may (local.get 0))))))"
        " (i32.const 2)",
    ),
    "br_on_non_null": (
        "i32",
        "(struct.get $pair $x (block (result (ref $pair))"
        " (br_on_non_null 0 (call $may (local.get 0))) (return (i32.const 2))))",
    ),
    "struct.new": (
        "i32",
        "(struct.get $pair $x (struct.new $pair (local.get 0) (i32.const 2)))",
    ),
    "struct.new_default": ("i32", "(struct.get $pair $x (struct.new_default $pair))"),
    "struct.get": ("i32", "(struct.get $pair $x (call $may (local.get 0)))"),
    "struct.get_s": ("i32", "(struct.get_s $pair $p (call $may (local.get 0)))"),
    "struct.get_u": ("i32", "(struct.get_u $pair $p (call $may (local.get 0)))"),
    "struct.set": (
        "i32",
        "(local.set $p (call $may (local.get 0)))"
        " (struct.set $pair $x (local.get $p) (i32.const 8)) (struct.get $pair $x (local.get $p))",
    ),
    "array.new": (
        "i32",
        "(array.get $ints (array.new $ints (i32.const 3) (local.get 0)) (i32.const 0))",
    ),
    "array.new_default": (
        "i32",
        "(array.get $ints (array.new_default $ints (local.get 0)) (i32.const 0))",
    ),
    "array.new_fixed": ("i32", "(array.get $ints (local.get $ints) (local.get 0))"),
    "array.new_data": (
        "i32",
        "(array.get $ints (array.new_data $ints $passive (local.get 0) (i32.const 1))"
        " (i32.const 0))",
    ),
    "array.new_elem": (
        "i32",
        "(i31.get_s (ref.cast (ref null i31) (array.get $refs"
        " (array.new_elem $refs $passive (local.get 0) (i32.const 1)) (i32.const 0))))",
    ),
    "array.get": (
        "i32",
        "(array.get $ints (local.get $ints) (i32.mul (i32.const 3) (local.get 0)))",
    ),
    "array.get_s": (
        "i32",
        "(array.get_s $bytes (local.get $bytes) (i32.mul (i32.const 4) (local.get 0)))",
    ),
    "array.get_u": (
        "i32",
        "(array.get_u $bytes (local.get $bytes) (i32.mul (i32.const 4) (local.get 0)))",
    ),
    "array.set": (
        "i32",
        "(array.set $ints (local.get $ints) (i32.mul (i32.const 3) (local.get 0)) (i32.const 5))"
        " (array.get $ints (local.get $ints) (i32.const 0))",
    ),
    "array.len": ("i32", "(array.len (local.get $ints))"),
    "array.fill": (
        "i32",
        "(array.fill $ints (local.get $ints) (local.get 0) (i32.const 6) (i32.const 3))"
        " (array.get $ints (local.get $ints) (i32.const 2))",
    ),
    "array.copy": (
        "i32",
        "(array.copy $ints $ints (local.get $ints) (i32.const 1) (local.get $ints) (i32.const 0)"
        " (i32.add (i32.const 2) (local.get 0))) (array.get $ints (local.get $ints) (i32.const 2))",
    ),
    "array.init_data": (
        "i32",
        "(array.init_data $ints $passive"
        " (local.get $ints) (i32.const 0) (local.get 0) (i32.const 2))"
        " (array.get $ints (local.get $ints) (i32.const 1))",
    ),
    "array.init_elem": (
        "i32",
        "(local.set $r (array.new_default $refs (i32.const 1)))"
        " (array.init_elem $refs $passive (local.get $r) (i32.const 0) (local.get 0) (i32.const 1))"
        " (ref.is_null (array.get $refs (local.get $r) (i32.const 0)))",
    ),
    "ref.test": ("i32", "(ref.test (ref $pair) (call $some (local.get 0)))"),
    "ref.test null": ("i32", "(ref.test (ref null $pair) (call $may (local.get 0)))"),
    "ref.cast": (
        "i32",
        "(struct.get $pair $x (ref.cast (ref $pair) (call $some (local.get 0))))",
    ),
    "ref.cast null": (
        "i32",
        "(struct.get $pair $x (ref.cast (ref null $pair) (call $some (local.get 0))))",
    ),
    "br_on_cast": (
        "i32",
        "(struct.get $pair $x (block (result (ref $pair))"
        " (br_on_cast 0 anyref (ref $pair) (call $some (local.get 0))) (return (i32.const 2))))",
    ),
    "br_on_cast_fail": (
        "i32",
        "(block (result anyref) (return (struct.get $pair $x"
        " (br_on_cast_fail 0 anyref (ref $pair) (call $some (local.get 0))))))"
        " (drop) (i32.const 2)",
    ),
    "any.convert_extern": (
        "i32",
        "(ref.test (ref i31) (any.convert_extern (extern.convert_any (call $some (local.get 0)))))",
    ),
    "extern.convert_any": (
        "i32",
        "(ref.is_null (extern.convert_any (call $may (local.get 0))))",
    ),
    "ref.i31": ("i32", "(i31.get_u (ref.i31 (i32.sub (local.get 0) (i32.const 2))))"),
    "i31.get_s": ("i32", "(i31.get_s (ref.cast (ref i31) (call $some (local.get 0))))"),
    "i31.get_u": ("i32", "(i31.get_u (ref.cast (ref i31) (call $some (local.get 0))))"),
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


def excepts(op: Op) -> bool:
    """Whether it is one of exception handling."""
    return op.throws or op.concerns_handling


def text_of(op: Op, path: str | None = None) -> str:
    """A module whose function ``f`` shows what ``op`` does, as far as ``path`` can run such."""
    if op.name in BODIES:
        around = WITH_TAG if excepts(op) else WITH_HEAP if op.heaped else MODULE
        text = around % BODIES[op.name]
        for made, null in NULLS.items() if path == "native" and not op.makes else ():
            text = text.replace(made, null)
        return text
    assert op.signature is not None
    params, _, results = (part.split() for part in op.signature.partition("->"))
    vectors = VECTORS.get(op.name.partition(".")[0], INTEGERS)
    constants = CONSTANTS | {"v128": tuple(f"(v128.const {each})" for each in vectors)}
    operands = [constants[p][i] for i, p in enumerate(params)]
    immediates = [IMMEDIATES[kind] for kind in op.immediates if kind in IMMEDIATES]
    instruction = f"({op.name} {' '.join([*immediates, *operands])})"
    if op.name.endswith(".const"):
        instruction = constants[results[0]][0]
    if results == ["v128"]:
        return MODULE % ("i64", SEEN % instruction)
    if results:
        return MODULE % (results[0], instruction)
    assert op.width
    return MODULE % ("i64", f"{instruction} (i64.load (i32.const 0))")


def outcome(op: Op, path: str) -> tuple[str, Any]:
    """What comes of it, from the binary format on: loaded, validated and run anew."""
    try:
        instance = api.instantiate(load(wasmtime.wat2wasm(text_of(op, path))), path=path)
        return "values", [
            instance.invoke("f", [arg])[0] for arg in ((1,) if op.name == "unreachable" else (0, 1))
        ]
    except Exception as error:
        return type(error).__name__, str(error)


def expected(op: Op, path: str) -> tuple[str, list[Any]] | tuple[str, str]:
    """What wasmtime makes of it."""
    if op.name in LEGACY:
        return "values", LEGACY[op.name]
    config = wasmtime.Config()
    config.wasm_exceptions = True
    config.wasm_function_references = True
    config.wasm_gc = True
    store = wasmtime.Store(wasmtime.Engine(config))
    module = wasmtime.Module(store.engine, text_of(op, path))
    function = wasmtime.Instance(store, module, []).exports(store)["f"]
    assert isinstance(function, wasmtime.Func)
    try:
        args = (1,) if op.name == "unreachable" else (0, 1)
        return "values", [function(store, arg) for arg in args]
    except wasmtime.Trap:
        return "Trap", ""


@each_path
@pytest.mark.parametrize("op", TABLE, ids=lambda op: op.name)
def test_an_instruction_does_what_it_does_elsewhere(op: Op, path: str) -> None:
    if path == "native" and op.makes:
        kind, refusal = outcome(op, path)
        assert kind == "UnsupportedError"
        assert "makes structures or arrays" in refusal
        return
    kind, values = outcome(op, path)
    right = expected(op, path)
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


@each_path
@pytest.mark.parametrize("op", TABLE, ids=lambda op: op.name)
def test_without_its_typing_it_does_nothing(op: Op, path: str) -> None:
    right = outcome(op, path)
    back = without([(TYPINGS, op)])
    try:
        assert outcome(op, path) != right
    finally:
        back()


@pytest.mark.parametrize(
    ("op", "path"), NEEDING_RULES, ids=[f"{op.name}-{path}" for op, path in NEEDING_RULES]
)
def test_without_its_rule_it_does_nothing(op: Op, path: str) -> None:
    right = outcome(op, path)
    back = without([(rules, op.name) for rules in RULES[path]])
    try:
        assert outcome(op, path) != right
    finally:
        back()


def bodies(module: Module) -> list[list[tuple[str, tuple[Any, ...]]]]:
    return [[(instr.op.name, instr.imm) for instr in func.body] for func in module.funcs]


@pytest.mark.parametrize("op", TABLE, ids=lambda op: op.name)
def test_both_formats_read_and_write_an_instruction(op: Op) -> None:
    text = text_of(op)
    module = decode(bytes(wasmtime.wat2wasm(text)))
    assert op.name in {name for body in bodies(module) for name, _ in body}
    assert bodies(parse_module(text)) == bodies(module)
    assert bodies(parse_module(print_module(module))) == bodies(module)
    assert bodies(decode(encode(module))) == bodies(module)


def naming(op: Op, wrong: int) -> Module:
    """A module with one of everything, where ``op`` stands in code that cannot run and names what
    there is, but by its immediate ``wrong``."""

    def immediate(place: int, kind: str) -> Any:
        index = 99 if place == wrong else 0
        if kind == "memarg":
            return MemArg(op.width.bit_length() - 1 if op.atomic else 0, 0, index)
        if kind == "lanes":
            return bytes(16)
        if kind == "heaptype":
            return "any"
        if kind == "cast":
            return Cast(0, RefType("any"), RefType("i31"))
        return BrTable((index,), 0) if kind == "labels" else index

    imm = tuple(immediate(place, kind) for place, kind in enumerate(op.immediates))
    end = Instr(BY_NAME["end"], (), 0)
    stop = Instr(BY_NAME["unreachable"], (), 0)
    caught = [Instr(BY_NAME["try"], (None,), 0), Instr(BY_NAME["catch_all"], (), 0)]
    before: list[Instr] = []
    if op.concerns_handling and op.delimits:
        before = caught[:1]
    elif op.throws and "labelidx" in op.immediates:
        before = caught
    after = [] if op.ends or not before else [end]
    zero = [Instr(BY_NAME["i32.const"], (0,), 0), end]
    # Of what the instruction wants.
    fields = FieldType(FUNCREF if "elemidx" in op.immediates else I32, True)
    if op.name.endswith(("get_s", "get_u")):
        fields = FieldType(I8, True)
    kinds: dict[str, CompType] = {"struct": StructType((fields,)), "array": ArrayType(fields)}
    first = kinds.get(op.name.partition(".")[0], FuncType((), ()))
    branched = (FUNCREF,) if op.name == "br_on_non_null" else ()
    return Module(
        types=[first, FuncType((), branched)],
        funcs=[Func(1, (I32,), [stop, *before, Instr(op, imm, 0), stop, *after, end])],
        tags=[] if branched else [1],
        tables=[TableType(Limits(1), FUNCREF)],
        mems=[MemoryType(Limits(1))],
        globals=[Global(GlobalType(I32, True), zero)],
        export_section=[Export("f", "func", 0)],
        elems=[Elem(FUNCREF, [], "passive")],
        datas=[Data(b"", "passive")],
        data_count=1,
    )


NAMING = [
    (op, place)
    for op in TABLE
    for place, kind in enumerate(op.immediates)
    if KINDS[kind].space or kind in ("memarg", "labels")
]


@pytest.mark.parametrize(
    ("op", "place"), NAMING, ids=[f"{op.name}-{op.immediates[place]}" for op, place in NAMING]
)
def test_what_an_instruction_names_must_be_there(op: Op, place: int) -> None:
    validate(naming(op, -1))
    with pytest.raises(InvalidError, match="unknown"):
        validate(naming(op, place))
