"""Numbers of the text format: exact rounding, ranges, and round trips."""

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiwawa.wat.numbers import format_float, format_int, parse_float, parse_int, parse_uint
from chiwawa_runtime.errors import MalformedError


def f64(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


def f32_value(bits: int) -> Fraction:
    return Fraction(struct.unpack("<f", bits.to_bytes(4, "little"))[0])


@pytest.mark.parametrize(
    ("text", "bits", "value"),
    [
        ("0", 32, 0),
        ("-1", 32, 0xFFFFFFFF),
        ("+0x8000_0000", 32, 0x80000000),
        ("-0x80000000", 32, 0x80000000),
        ("4294967295", 32, 0xFFFFFFFF),
        ("1_000", 64, 1000),
        ("-9223372036854775808", 64, 1 << 63),
        ("0" * 10_000 + "7", 64, 7),
    ],
)
def test_integers_are_read_as_unsigned_values(text: str, bits: int, value: int) -> None:
    assert parse_int(text, bits) == value


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("4294967296", 32),
        ("-2147483649", 32),
        ("0x1_0000_0000_0000_0000", 64),
        ("9" * 10_000, 64),
    ],
)
def test_an_integer_that_does_not_fit_is_refused(text: str, bits: int) -> None:
    with pytest.raises(MalformedError, match=r"^constant out of range"):
        parse_int(text, bits)


def test_an_index_that_does_not_fit_is_refused() -> None:
    with pytest.raises(MalformedError, match="i32 constant out of range"):
        parse_uint("0x1_0000_0000", 32)


@pytest.mark.parametrize(
    ("text", "bits", "value"),
    [
        ("0.1", 32, 0x3DCCCCCD),
        ("-0", 32, 0x80000000),
        ("inf", 32, 0x7F800000),
        ("-nan", 32, 0xFFC00000),
        ("nan:0x1", 32, 0x7F800001),
        ("+nan:0x8_0000_0000_0000", 64, 0x7FF8000000000000),
        ("0x1.fffffep127", 32, 0x7F7FFFFF),
        ("0x1p-149", 32, 1),
        ("0x1p-150", 32, 0),
        ("0x1.000001p-150", 32, 1),
        ("1e-46", 32, 0),
        ("16777217", 32, 0x4B800000),
        # Halfway between two f32 but for a digit that f64 cannot hold: rounded once, it goes up.
        ("0x1.00000100000000001p0", 32, 0x3F800001),
        ("1.00000005960464477539062500000001", 32, 0x3F800001),
        ("1." + "0" * 5000 + "1", 64, 0x3FF0000000000000),
        ("0x" + "0" * 5000 + "1p-99999999999999999999", 64, 0),
        ("0e99999999999999999999", 64, 0),
        ("0x0.0000000001p40", 64, f64(1.0)),
        ("1" + "0" * 5000 + "e-5000", 32, 0x3F800000),
    ],
)
def test_floats_are_rounded_once(text: str, bits: int, value: int) -> None:
    assert parse_float(text, bits) == value


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("0x1p128", 32),
        ("0x1.ffffffp127", 32),
        ("340282356779733661637539395458142568448", 32),
        ("1e309", 64),
        ("1e99999999999999999", 64),
        ("nan:0x0", 32),
        ("nan:0x80_0000", 32),
        ("nan:0x10_0000_0000_0000", 64),
    ],
)
def test_a_float_that_does_not_fit_is_refused(text: str, bits: int) -> None:
    with pytest.raises(MalformedError, match="constant out of range"):
        parse_float(text, bits)


@given(st.integers(0, (1 << 32) - 1))
def test_every_f32_survives_its_text(bits: int) -> None:
    assert parse_float(format_float(bits, 32), 32) == bits


@given(st.integers(0, (1 << 64) - 1))
def test_every_f64_survives_its_text(bits: int) -> None:
    assert parse_float(format_float(bits, 64), 64) == bits


@given(st.integers(0, (1 << 64) - 1), st.sampled_from([32, 64]))
def test_every_integer_survives_its_text(value: int, bits: int) -> None:
    value &= (1 << bits) - 1
    assert parse_int(format_int(value, bits), bits) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_f64_agrees_with_python(value: float) -> None:
    assert parse_float(repr(value), 64) == f64(value)
    assert parse_float(value.hex(), 64) == f64(value)
    assert parse_float(f"{value:.30e}", 64) == f64(value)


@given(st.floats(0, 1e37, exclude_max=True))
def test_f32_takes_the_nearest(value: float) -> None:
    bits = parse_float(repr(value), 32)
    wanted = Fraction(repr(value))
    error = abs(f32_value(bits) - wanted)
    for other in (max(bits - 1, 0), bits + 1):
        distance = abs(f32_value(other) - wanted)
        assert error < distance or other == bits or (error == distance and bits % 2 == 0)
