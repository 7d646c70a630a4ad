"""What vector instructions do with each lane (spec 4.3.5), one row a function.

A row is an expression of lanes; the source of its function, with all lanes written out, is made and
compiled when it is first wanted. Nobody loads this module who has no such function: there are two
hundred. Rules for single numbers are those of ``numerics``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from math import sqrt
from struct import Struct
from typing import Any

from chiwawa_runtime.state import numerics

SIZE = 16
#: The bits of a lane, by shape.
BITS = {"i8x16": 8, "i16x8": 16, "i32x4": 32, "i64x2": 64, "f32x4": 32, "f64x2": 64}
#: The formats (of ``struct``) of all lanes of a shape.
SIGNED = {"i8x16": "16b", "i16x8": "8h", "i32x4": "4i", "i64x2": "2q"}
UNSIGNED = {shape: form.upper() for shape, form in SIGNED.items()}
FLOATS = {"f32x4": "4f", "f64x2": "2d"}
#: The shapes whose lanes are half as wide.
_HALVES = {"i16x8": "i8x16", "i32x4": "i16x8", "i64x2": "i32x4"}
_COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}


@dataclass(frozen=True, slots=True)
class _Row:
    """A function of vectors ``operands``. ``lane`` is an expression of a lane of each, under the
    operand's own name, as ``read`` says (a format, from byte ``start`` on); its values are packed
    as ``written`` says, then ``after`` follows. Where Python refuses to compute in floats what
    Wasm defines, ``exactly`` is another expression, which is never refused. ``pairs`` has two
    neighbouring lanes of the operands make one, the second under a name twice as long (``aa``).
    ``bits`` are the operands' lanes as ``written`` too, under the capitals of their names.
    ``first`` is a statement to begin with, ``params`` what the function takes if not vectors
    alone."""

    operands: str
    read: str
    written: str
    lane: str
    start: int = 0
    after: str = ""
    exactly: str = ""
    pairs: bool = False
    bits: str = ""
    first: str = ""
    params: str = ""

    def source(self, name: str) -> str:
        count = int(self.written[:-1])
        params = self.params or ", ".join(self.operands)
        lines = [f"def {name}({params}):", *(f"    {line}" for line in self.first.splitlines())]
        for operand in self.operands:
            names = (operand, operand * 2) if self.pairs else (operand,)
            lanes = ", ".join(f"{each}{n}" for n in range(count) for each in names)
            lines.append(f"    {lanes} = unpack_{self.read}({operand}, {self.start})")
        for operand in self.bits:
            lanes = ", ".join(f"{operand.upper()}{n}" for n in range(count))
            lines.append(f"    {lanes} = unpack_{self.written}({operand})")
        if not self.exactly:
            return "\n".join([*lines, f"    return {self._packed(self.lane, count)}"])
        lines += ["    try:", f"        return {self._packed(self.lane, count)}"]
        lines += ["    except (ArithmeticError, ValueError):"]
        return "\n".join([*lines, f"        return {self._packed(self.exactly, count)}"])

    def _packed(self, lane: str, count: int) -> str:
        lanes = (re.sub(r"\b(a|b|aa|bb|A|B)\b", rf"\g<1>{n}", lane) for n in range(count))
        return f"pack_{self.written}({', '.join(lanes)}){self.after}"


@dataclass(frozen=True, slots=True)
class _Whole:
    """A function of vectors ``operands`` that takes all lanes at once, as one int under the capital
    of the operand's name. On CPython that is quicker than many lanes, on PyPy slower than any."""

    operands: str
    value: str
    first: str = ""
    params: str = ""

    def source(self, name: str) -> str:
        params = self.params or ", ".join(self.operands)
        lines = [f"def {name}({params}):", *(f"    {line}" for line in self.first.splitlines())]
        lines += [f"    {each.upper()} = v128_bits({each}, 'little')" for each in self.operands]
        return "\n".join([*lines, f"    return ({self.value}).to_bytes(16, 'little')"])


def _integer_rows(shape: str) -> Iterator[tuple[str, _Row]]:
    signed, unsigned, bits = SIGNED[shape], UNSIGNED[shape], BITS[shape]
    mask = (1 << bits) - 1
    most = mask >> 1
    count = f"count = b & {bits - 1}"
    yield "abs", _Row("a", signed, unsigned, "a if a >= 0 else -a")
    yield "neg", _Row("a", unsigned, unsigned, f"-a & {mask:#x}")
    for form, sign in ((signed, "_s"), (unsigned, "_u")):
        for name, symbol in _COMPARISONS.items():
            suffix = "" if name in ("eq", "ne") else sign
            yield f"{name}{suffix}", _Row("ab", form, signed, f"-(a {symbol} b)")
        yield f"min{sign}", _Row("ab", form, form, "a if a < b else b")
        yield f"max{sign}", _Row("ab", form, form, "b if a < b else a")
        yield f"shr{sign}", _Row("a", form, form, "a >> count", first=count, params="a, b")
    shifted = f"a << count & {mask:#x}"
    yield "shl", _Row("a", unsigned, unsigned, shifted, first=count, params="a, b")
    for name, symbol in (("add", "+"), ("sub", "-"), ("mul", "*")):
        yield name, _Row("ab", unsigned, unsigned, f"a {symbol} b & {mask:#x}")
    for name, symbol in (("add", "+"), ("sub", "-")):
        within = _within(f"a {symbol} b", -most - 1, most)
        yield f"{name}_sat_s", _Row("ab", signed, signed, within)
        within = _within(f"a {symbol} b", 0, mask)
        yield f"{name}_sat_u", _Row("ab", unsigned, unsigned, within)
    yield "avgr_u", _Row("ab", unsigned, unsigned, "a + b + 1 >> 1")


def _within(value: str, least: int, most: int) -> str:
    return f"{least} if (x := {value}) < {least} else {most} if x > {most} else x"


def _whole_rows(shape: str) -> Iterator[tuple[str, _Whole]]:
    """Those of integers that are bounds of nothing: no lane's bits get into the next."""
    bits = BITS[shape]
    ones = sum(1 << at for at in range(0, 128, bits))
    mask, top = (1 << bits) - 1, ones << bits - 1
    rest = top ^ ones * mask
    shifts = f"count = b & {bits - 1}"
    yield "add", _Whole("ab", f"(A & {rest:#x}) + (B & {rest:#x}) ^ (A ^ B) & {top:#x}")
    yield (
        "sub",
        _Whole("ab", f"(A | {top:#x}) - (B & {rest:#x}) ^ (A ^ B ^ {top:#x}) & {top:#x}"),
    )
    left = f"(A & {ones:#x} * ({mask:#x} >> count)) << count"
    right = f"A >> count & {ones:#x} * ({mask:#x} >> count)"
    yield "shl", _Whole("a", left, shifts, "a, b")
    yield "shr_u", _Whole("a", right, shifts, "a, b")
    # The top bit of a lane is set where a bit of it is.
    differing = f"((x := A ^ B) & {rest:#x}) + {rest:#x} | x"
    yield "ne", _Whole("ab", f"(({differing}) >> {bits - 1} & {ones:#x}) * {mask:#x}")
    yield "eq", _Whole("ab", f"(~({differing}) >> {bits - 1} & {ones:#x}) * {mask:#x}")


def _widening_rows(shape: str) -> Iterator[tuple[str, _Row]]:
    """What makes lanes of ``shape`` out of lanes half as wide."""
    half = _HALVES[shape]
    for sign, forms in (("s", SIGNED), ("u", UNSIGNED)):
        written = forms[shape]
        read = written[:-1] + forms[half][-1]
        for part, start in (("low", 0), ("high", SIZE // 2)):
            yield f"extend_{part}_{half}_{sign}", _Row("a", read, written, "a", start)
            yield f"extmul_{part}_{half}_{sign}", _Row("ab", read, written, "a * b", start)
        row = _Row("a", forms[half], written, "a + aa", pairs=True)
        yield f"extadd_pairwise_{half}_{sign}", row


def _narrowing_rows(shape: str, wide: str) -> Iterator[tuple[str, _Row]]:
    """What makes lanes of ``shape`` out of lanes twice as wide, of both operands."""
    read = SIGNED[shape][:-1] + SIGNED[wide][-1]
    bits = BITS[shape]
    for sign, forms, least in (("s", SIGNED, -1 << bits - 1), ("u", UNSIGNED, 0)):
        lane = _within("a", least, least + (1 << bits) - 1)
        yield (
            f"narrow_{wide}_{sign}",
            _Row("a", read, forms[shape], lane, first="a += b", params="a, b"),
        )


def _float_rows(shape: str) -> Iterator[tuple[str, _Row]]:
    form = FLOATS[shape]
    signed, unsigned = ("4i", "4I") if shape == "f32x4" else ("2q", "2Q")
    sign = 1 << BITS[shape] - 1
    # By their bits, of which a NaN keeps all.
    yield "abs", _Row("a", unsigned, unsigned, f"a & {sign - 1:#x}")
    yield "neg", _Row("a", unsigned, unsigned, f"a ^ {sign:#x}")
    yield "pmin", _Row("ab", form, unsigned, "B if b < a else A", bits="ab")
    yield "pmax", _Row("ab", form, unsigned, "B if a < b else A", bits="ab")
    for name, symbol in _COMPARISONS.items():
        yield name, _Row("ab", form, signed, f"-(a {symbol} b)")
    for name in ("ceil", "floor", "trunc", "nearest"):
        yield name, _Row("a", form, form, f"float_{name}(a)")
    # Python refuses to round to f32 what becomes infinite, to divide by zero, and more.
    rounded = "f32_round({})" if shape == "f32x4" else "{}"
    for name, symbol in (("add", "+"), ("sub", "-"), ("mul", "*")):
        value = f"a {symbol} b"
        exactly = rounded.format(value) if shape == "f32x4" else ""
        yield name, _Row("ab", form, form, value, exactly=exactly)
    yield "div", _Row("ab", form, form, "a / b", exactly=rounded.format("float_div(a, b)"))
    # PyPy gives a signalling NaN back as it is, but for the addition.
    yield "sqrt", _Row("a", form, form, "sqrt(a + -0.0)", exactly=rounded.format("float_sqrt(a)"))
    yield "min", _Row("ab", form, form, "float_min(a, b)")
    yield "max", _Row("ab", form, form, "float_max(a, b)")
    # A sum is a NaN if a part of it is, which is rare; infinities make one, too.
    plain = f"x = sum(unpack_{form}(a))\nif x == x:\n    return a"
    yield "canonical", _Row("a", form, form, "float_canonical(a)", first=plain)


def _conversion_rows() -> Iterator[tuple[str, _Row]]:
    for sign, form in (("s", "i"), ("u", "I")):
        lane = f"i32_trunc_sat_{sign}(a)"
        yield f"i32x4_trunc_sat_f32x4_{sign}", _Row("a", "4f", "4I", lane)
        yield (
            f"i32x4_trunc_sat_f64x2_{sign}_zero",
            _Row("a", "2d", "2I", lane, after=" + ZEROS8"),
        )
        yield f"f32x4_convert_i32x4_{sign}", _Row("a", f"4{form}", "4f", "a")
        yield f"f64x2_convert_low_i32x4_{sign}", _Row("a", f"2{form}", "2d", "a")
    yield (
        "f32x4_demote_f64x2_zero",
        _Row("a", "2d", "2f", "a + -0.0", after=" + ZEROS8", exactly="f32_round(a)"),
    )
    yield "f64x2_promote_low_f32x4", _Row("a", "2f", "2d", "a")


def _other_rows() -> Iterator[tuple[str, _Row]]:
    yield "i8x16_popcnt", _Row("a", "16B", "16B", "a.bit_count()")
    # Only the square of the least passes the bound.
    product = "x if (x := a * b + 0x4000 >> 15) < 0x8000 else 0x7fff"
    yield "i16x8_q15mulr_sat_s", _Row("ab", "8h", "8h", product)
    dot = "a * b + aa * bb"
    yield "i32x4_dot_i16x8_s", _Row("ab", "8h", "4I", f"{dot} & 0xffffffff", pairs=True)


def _in_shape(shape: str, rows: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {f"{shape}_{name}": row for name, row in rows}


_ROWS: dict[str, _Row | _Whole] = dict((*_conversion_rows(), *_other_rows()))
for _shape in SIGNED:
    _ROWS |= _in_shape(_shape, _integer_rows(_shape))
for _shape in _HALVES:
    _ROWS |= _in_shape(_shape, _widening_rows(_shape))
for _shape, _wide in (("i8x16", "i16x8"), ("i16x8", "i32x4")):
    _ROWS |= _in_shape(_shape, _narrowing_rows(_shape, _wide))
for _shape in FLOATS:
    _ROWS |= _in_shape(_shape, _float_rows(_shape))
if sys.implementation.name == "cpython":
    for _shape in ("i8x16", "i16x8", "i32x4"):
        _ROWS |= _in_shape(_shape, _whole_rows(_shape))


#: The top bit of a byte, as the digit of a number.
_TOP_BITS = b"0" * 128 + b"1" * 128


def _bitmask(width: int) -> Callable[[bytes], int]:
    """The top bits of all lanes of ``width`` bytes, the first lane's the lowest."""
    return lambda a: int(a[: width - 1 - SIZE - 1 : -width].translate(_TOP_BITS), 2)


def _all_true(form: str) -> Callable[[bytes], bool]:
    unpack = Struct(f"<{form}").unpack
    return lambda a: 0 not in unpack(a)


#: What no row can say: a number that all lanes make.
_OF_ALL: dict[str, Any] = {
    **{f"{shape}_all_true": _all_true(form) for shape, form in UNSIGNED.items()},
    **{f"{shape}_bitmask": _bitmask(BITS[shape] // 8) for shape in SIGNED},
}


@cache
def function(name: str) -> Any:
    """The function of that name. Raises KeyError where there is none."""
    if name in _OF_ALL:
        return _OF_ALL[name]
    row = _ROWS[name]
    space = _space()
    exec(compile(row.source(name), f"<{name}>", "exec"), space)
    return space[name]


@cache
def _space() -> dict[str, Any]:
    """What the source of functions names."""
    forms = {
        form for row in _ROWS.values() if isinstance(row, _Row) for form in (row.read, row.written)
    }
    return {
        **numerics.NAMESPACE,
        **{f"unpack_{form}": Struct(f"<{form}").unpack_from for form in forms},
        **{f"pack_{form}": Struct(f"<{form}").pack for form in forms},
        "sqrt": sqrt,
        "v128_bits": int.from_bytes,
        "ZEROS8": bytes(8),
    }
