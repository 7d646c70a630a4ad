"""Malformed text: the suite's words, and where."""

import pytest

from chiwawa.wat import parse_module
from chiwawa_runtime.errors import MalformedError

CASES = [
    # text, message, line, column
    ("(module\n  (func\n    (i32.foo)))", "unknown operator i32.foo", 3, 6),
    ("(func (nop) (param i32))", "unexpected token", 1, 13),
    ("(func (local.get $x))", "unknown local $x", 1, 18),
    ("(func br $l)", "unknown label $l", 1, 10),
    ("(func\n\tcall $f)", "unknown function $f", 2, 7),
    ("(func (param $x i32) (local $x i32))", "duplicate local $x", 1, 29),
    ("(func $f) (func $f)", "duplicate function $f", 1, 17),
    ("(func block $a end $b)", "mismatching label $b", 1, 20),
    ("(func i32.const 0 if else else end)", "unexpected token", 1, 27),
    ("(func block)", "unexpected token", 1, 12),
    ("(func end)", "unexpected token", 1, 7),
    ("(func (if (i32.const 0)))", "unexpected token", 1, 24),
    ("(func (if (i32.const 0) (else) (then)))", "unexpected token", 1, 25),
    ("(func (i32.add nop))", "unexpected token", 1, 16),
    ("(func (i32.const 0x1_0000_0000))", "constant out of range", 1, 18),
    ("(func (f32.const 1e39))", "constant out of range", 1, 18),
    ("(func (i32.const 1.0))", "unexpected token", 1, 18),
    ("(func (i32.load align=3))", "alignment must be a power of 2", 1, 17),
    ("(func (i32.load align=x))", "unknown operator align=x", 1, 17),
    ('(func) (import "" "" (func))', "import after function", 1, 8),
    ("(type $t (func)) (func (type $t) (param i32))", "inline function type", 1, 34),
    ("(func (type 3) (param i32))", "unknown type 3", 1, 13),
    ("(func (block (param $x i32)))", "unexpected token", 1, 21),
    ('(import "\\ff" "" (func))', "malformed UTF-8 encoding", 1, 9),
    ('(func $"")', "empty identifier", 1, 7),
    ("(func $)", "empty identifier", 1, 7),
    ("(start 0) (start 0)", "multiple start sections", 1, 11),
    ("(func (br 4294967296))", "i32 constant out of range", 1, 11),
    ("(func 0drop)", "unknown operator 0drop", 1, 7),
    ('(data "a""b")', 'unknown operator "a""b"', 1, 7),
    ('(data "a', "unclosed string", 1, 7),
    ('(data "\\x")', "illegal escape", 1, 7),
    ("(func ß)", "illegal character", 1, 7),
    ("(func", "unexpected token", 1, 6),
    ("(func (; x", "unclosed comment", 1, 11),
    ("(@a (b)", "unclosed annotation", 1, 8),
    ("(@)", "empty annotation id", 1, 2),
    ("(func))", "unexpected token", 1, 7),
    ("func", "unexpected token", 1, 1),
    ("()", "unexpected token", 1, 1),
    ("(foo)", "unknown operator foo", 1, 2),
    ("(module) (module)", "unexpected token", 1, 1),
]


@pytest.mark.parametrize(("text", "message", "line", "column"), CASES, ids=[c[0] for c in CASES])
def test_an_error_says_what_and_where(text: str, message: str, line: int, column: int) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_module(text)
    error = caught.value
    assert (error.message, error.line, error.column) == (message, line, column)
    assert error.excerpt == text.split("\n")[line - 1]


def test_a_caret_stands_under_the_place() -> None:
    with pytest.raises(MalformedError) as caught:
        parse_module("(module\n\t(func i32.foo))")
    assert str(caught.value) == (
        "unknown operator i32.foo (line 2, column 8)\n  \t(func i32.foo))\n  \t      ^"
    )


def test_a_quoted_module_is_located_in_the_quotation() -> None:
    with pytest.raises(MalformedError) as caught:
        parse_module('(module quote "(func" "\\n" " drop 0)")')
    assert (caught.value.line, caught.value.column) == (2, 7)
    assert caught.value.excerpt == " drop 0)"
