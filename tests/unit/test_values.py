"""Typed values as text, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.state.deftypes import define
from chiwawa_runtime.state.heap import External, Internal
from chiwawa_runtime.state.numerics import f32_bits, f32_from_bits, f64_bits, f64_from_bits
from chiwawa_runtime.state.snapshot import I31, Carried, FuncIdx, ObjIdx, Value
from chiwawa_runtime.state.types import (
    ANYREF,
    EXNREF,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I8,
    I32,
    I64,
    V128,
    ArrayType,
    FieldType,
    RefType,
    StructType,
    ValType,
)
from chiwawa_runtime.state.values import format_value, parse_values

POINT, STRING, LINKS = define(
    [
        StructType((FieldType(I32, True),) * 2),
        ArrayType(FieldType(I8)),
        ArrayType(FieldType(RefType(0))),
    ]
)
_REFS = st.one_of(
    st.none(),
    st.builds(FuncIdx, st.integers(0, 2**32 - 1)),
    st.builds(Carried, st.text(max_size=8)),
)
_I31 = st.builds(I31, st.integers(0, 2**31 - 1))
_TYPED = st.one_of(
    st.tuples(st.just(I32), st.integers(0, 2**32 - 1)),
    st.tuples(st.just(I64), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(F32), st.integers(0, 2**32 - 1).map(f32_from_bits)),
    st.tuples(st.just(F64), st.integers(0, 2**64 - 1).map(f64_from_bits)),
    st.tuples(st.just(V128), st.binary(min_size=16, max_size=16)),
    st.tuples(st.just(FUNCREF), _REFS),
    st.tuples(st.just(EXTERNREF), _REFS | _I31),
    st.tuples(st.just(ANYREF), _REFS | _I31),
)


def bits(valtype: ValType, value: Value) -> object:
    """Something that is equal only where every bit is."""
    if valtype == F32:
        return f32_bits(value)  # type: ignore[arg-type]
    return f64_bits(value) if valtype == F64 else value  # type: ignore[arg-type]


@given(st.lists(_TYPED, max_size=4))
def test_what_is_printed_is_read_back_with_every_bit(values: list[tuple[ValType, Value]]) -> None:
    read = parse_values(",".join(format_value(t, v) for t, v in values))
    assert [t for t, _ in read] == [t for t, _ in values]
    assert [bits(t, v) for t, v in read] == [bits(t, v) for t, v in values]


@pytest.mark.parametrize(
    ("valtype", "value", "text"),
    [
        (I32, 0xFFFFFFFF, "I32(-1)"),
        (I32, True, "I32(1)"),
        (I64, 1 << 63, "I64(-9223372036854775808)"),
        (F32, f32_from_bits(0x3DCCCCCD), "F32(0.1)"),
        (F32, f32_from_bits(0x7F7FFFFF), "F32(3.4028235e+38)"),
        (F32, f32_from_bits(1), "F32(1e-45)"),
        (F64, 0.1, "F64(0.1)"),
        (F64, -0.0, "F64(-0.0)"),
        (F64, float("-inf"), "F64(-inf)"),
        (F64, f64_from_bits(0x7FF8000000000000), "F64(nan)"),
        (F64, f64_from_bits(0xFFF0000000000001), "F64(-nan:0x1)"),
        (F32, f32_from_bits(0xFFC00000), "F32(-nan)"),
        (V128, b"\1" + bytes(15), "V128(0x00000000000000000000000000000001)"),
        (FUNCREF, None, "REF(null)"),
        (EXTERNREF, None, "REF(null extern)"),
        (FUNCREF, FuncIdx(3), "REF(func 3)"),
        (EXTERNREF, Carried('a"b'), 'REF(extern "a\\"b")'),
        (EXTERNREF, object(), "REF(extern <object>)"),
        (ANYREF, None, "REF(null any)"),
        (EXNREF, None, "REF(null exn)"),
        (RefType(POINT, False), [POINT, 1, 2], "REF(any <struct with 2 fields>)"),
        (RefType("array"), [STRING, 1, 2, 3], "REF(any <array of 3 i8>)"),
        (ANYREF, [LINKS], "REF(any <array of 0 structref>)"),
        (RefType("i31"), 0x7FFFFFFF, "REF(any i31 -1)"),
        (ANYREF, I31(5), "REF(any i31 5)"),
        (ANYREF, ObjIdx(5), "REF(any object 5)"),
        (EXNREF, ObjIdx(5), "REF(exn object 5)"),
        (ANYREF, Internal("text"), "REF(any <str>)"),
        (ANYREF, Internal(3), "REF(any <int>)"),
        (EXTERNREF, External([POINT, 1, 2]), "REF(extern <struct with 2 fields>)"),
        (EXTERNREF, External(5), "REF(extern i31 5)"),
        (EXTERNREF, 5, "REF(extern <int>)"),
    ],
)
def test_values_print_as_documented(valtype: ValType, value: object, text: str) -> None:
    assert format_value(valtype, value) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ", []),
        ("i32(4294967295)", [(I32, 0xFFFFFFFF)]),
        ("I32( -2147483648 ) , I64(+7)", [(I32, 0x80000000), (I64, 7)]),
        ("I64(0xFFFF_FFFF_FFFF_FFFF)", [(I64, 2**64 - 1)]),
        ("I32(-0x1)", [(I32, 0xFFFFFFFF)]),
        ("F64(1_000.5e1)", [(F64, 10005.0)]),
        ("F64(.5),F64(5.)", [(F64, 0.5), (F64, 5.0)]),
        ("F64(0x1.8p1),F32(-0x.8)", [(F64, 3.0), (F32, -0.5)]),
        ("F64(+inf),F64(-infinity)", [(F64, float("inf")), (F64, float("-inf"))]),
        ("F64(1e-99999999999)", [(F64, 0.0)]),
        ("REF(null func),REF( func 1 )", [(FUNCREF, None), (FUNCREF, FuncIdx(1))]),
        ('REF(extern "a),(b")', [(EXTERNREF, Carried("a),(b"))]),
        ("REF(null any),REF(null exn)", [(ANYREF, None), (EXNREF, None)]),
        (
            "REF(any i31 -1 ),REF(extern i31 0x10)",
            [(ANYREF, I31(0x7FFFFFFF)), (EXTERNREF, I31(16))],
        ),
        # Beside a tie between two f32: rounding first to f64 would land on the even one.
        ("F32(1.00000005960464477539062500000001)", [(F32, 1.0 + 2**-23)]),
        ("F32(1.000000059604644775390625)", [(F32, 1.0)]),
        ("F32(0x1.00000100000000000000001p0)", [(F32, 1.0 + 2**-23)]),
        ("F32(1.00000017881393432617187499999999)", [(F32, 1.0 + 2**-23)]),
    ],
)
def test_these_are_read(text: str, expected: list[tuple[ValType, Value]]) -> None:
    assert parse_values(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I32", "a value such as"),
        ("5", "a value such as"),
        (",", "a value such as"),
        ("I32(1),", "at the end"),
        ("I32(1", "a closing parenthesis expected at the end"),
        ("I32(1)I32(2)", "a closing parenthesis"),
        ("I32()", "an integer expected"),
        ("I32(1_)", "an integer expected"),
        ("I32(1.5)", "an integer expected"),
        ("I32(4294967296)", "constant out of range"),
        ("I32(-2147483649)", "constant out of range"),
        ("I64(18446744073709551616)", "constant out of range"),
        ("I64(" + "9" * 100_000 + ")", "constant too long"),
        ("F64(" + "9" * 100_000 + ")", "constant too long"),
        ("F32(1e39)", "constant out of range"),
        ("F32(3.4028235677973367e38)", "constant out of range"),
        ("F64(1e400)", "constant out of range"),
        ("F64(0x1p99999999999999)", "constant out of range"),
        ("F64(nan:0x0)", "constant out of range"),
        ("F32(nan:0x800000)", "constant out of range"),
        ("F64(.)", "a number expected"),
        ("F64(--inf)", "a number expected"),
        ("I8(1)", "unknown type"),
        ("REF(x)", "null, null extern"),
        ('REF(func "a)', "malformed name"),
        ("REF(func 4294967296)", "constant out of range"),
        ("REF(any i31 2147483648)", "constant out of range"),
        ("REF(any i31 x)", "an integer expected"),
        ("REF(func i31 1)", "null, null extern"),
    ],
)
def test_these_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        parse_values(text)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 200
