"""Spellings that other tools take too: of Wasm 1.0, and of types that come out further down."""

import pytest
import wasmtime

from chiwawa.binary import decode, encode
from chiwawa.module import Names
from chiwawa.source import load
from chiwawa_runtime.errors import BadInput

TABLES = "(table $t 1 funcref) (table $u 1 funcref) (func $f)"

SAME = [
    # A bare number names the memory or the table (1.0).
    '(memory 1) (data 0 (i32.const 0) "a")',
    '(memory 1) (data 0x0 (i32.const 0) "a" "b")',
    '(memory 1) (data 0 (offset (i32.const 0)) "a")',
    '(memory 1) (data $d 0 (offset i32.const 0) "a")',
    '(memory $m 1) (data $m (i32.const 0) "a")',
    '(memory $m 1) (data $m (offset (i32.const 0)) "a")',
    f"{TABLES} (elem 0 (i32.const 0) $f)",
    f"{TABLES} (elem 1 (i32.const 0) $f 0)",
    f"{TABLES} (elem 1 (i32.const 0))",
    f"{TABLES} (elem $e 1 (offset (i32.const 0)) $f)",
    f"{TABLES} (elem 1 (i32.const 0) func $f)",
    f"{TABLES} (elem 1 (i32.const 0) funcref (ref.func $f) (item ref.null func))",
    f"{TABLES} (elem $t (i32.const 0) $f)",
    f"{TABLES} (elem $t (offset (i32.const 0)) $f)",
    "(table 1 externref) (elem 0 (i32.const 0) externref (ref.null extern))",
    # A type that an inline one further down makes.
    "(func (type 0) (param i32) (result i32) (local.get 0)) (func (param i32) (result i32)"
    " (local.get 0))",
    "(func (type 0)) (func)",
    "(func (type 1)) (func (param i32)) (func (param i64))",
    "(func (type 1) (local $x i64) (drop (i64.eqz (local.get $x)))) (func) (func (param i32))",
    "(func (type 1) (param $p i32) (local $x f32) (drop (local.get $p))) (func) (func (param i32))",
    '(import "a" "b" (func (type 0))) (func (param i32))',
    '(func (import "a" "b") (type 1) (param i64)) (import "a" "c" (func (param i32)))'
    " (func (param i64))",
    "(table 1 funcref) (func (call_indirect (type 1) (param i32) (i32.const 0) (i32.const 0)))"
    " (func (param i32))",
    "(func (block (type 1) (result i32) (i32.const 0)) drop) (func (result i32) (i32.const 1))",
    # Inline types are added in the order of the text, those in bodies between those of functions.
    "(func i32.const 0 (block (param i32) (drop))) (func (type 2) (param i64)) (func (param i64))",
    "(func (param i32)) (type (func)) (type (func (param i32))) (type (func (param i32)))",
    "(func $a (type $t)) (type $t (func))",
]


@pytest.mark.parametrize("fields", SAME)
def test_what_others_read_is_read_alike(fields: str) -> None:
    text = f"(module {fields})"
    theirs = decode(bytes(wasmtime.wat2wasm(text)))
    theirs.customs, theirs.names = [], Names()
    ours = load(text)
    ours.customs, ours.names = [], Names()
    assert encode(ours) == encode(theirs)


REFUSED = [
    '(memory 1) (data 0 "a")',
    '(memory $m 1) (data $d $m (i32.const 0) "a")',
    '(memory 1) (data -0 (i32.const 0) "a")',
    '(memory 1) (data 0 0 (i32.const 0) "a")',
    f"{TABLES} (elem 0 func $f)",
    f"{TABLES} (elem 0 $f)",
    f"{TABLES} (elem 0 declare func $f)",
    f"{TABLES} (elem 0 funcref (ref.func $f))",
    f"{TABLES} (elem (table 0) (i32.const 0) $f)",
    f"{TABLES} (elem $e $t (i32.const 0) $f)",
    "(func (type 0) (param i32)) (func (param i64))",
    "(func (type 2) (param i32)) (func (param i64))",
    "(func (type 2)) (func (param i64))",
    "(func (type 1) (param i64)) (func (type 1) (param i32)) (func (param i64))",
]


@pytest.mark.parametrize("fields", REFUSED)
def test_what_others_refuse_is_refused(fields: str) -> None:
    text = f"(module {fields})"
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Module(wasmtime.Engine(), wasmtime.wat2wasm(text))
    with pytest.raises(BadInput):
        load(text)


def test_a_bare_number_in_a_segment_is_the_one_of_wasm_2_0_in_parentheses() -> None:
    old = load(f'(memory 1) {TABLES} (data 0 (i32.const 0) "a") (elem 1 (i32.const 0) $f)')
    new = load(
        f'(memory 1) {TABLES} (data (memory 0) (i32.const 0) "a")'
        "(elem (table 1) (i32.const 0) func $f)"
    )
    assert old.binary == new.binary
