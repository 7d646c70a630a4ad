"""Typed values as text, one form for the command line, traces and listings of checkpoints.

::

    value ::= I32(int) | I64(int) | F32(float) | F64(float) | V128(0x…) | REF(ref)
    ref   ::= null | null (extern | any | exn) | (func | extern | any) (index | "name")
            | (any | extern) i31 int

An ``int`` is decimal or hexadecimal, signed or unsigned; a ``float`` is as in the text format
(spec 6.3.2), ``nan:0x…`` and hexadecimal floats included. What is printed is read back with every
bit kept, except a host's reference that no snapshot carries, which prints as ``<its class>``,
another instance's function (``func 3 of instance 1``), and an object of a snapshot
(``any object 3``) or of a running program (``any <struct with 2 fields>``).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.state.exceptions import ExceptionInstance
from chiwawa_runtime.state.heap import External, described
from chiwawa_runtime.state.numerics import (
    f32_bits,
    f32_from_bits,
    f32_round,
    f64_bits,
    f64_from_bits,
)
from chiwawa_runtime.state.snapshot import I31, Carried, FuncIdx, ObjIdx, Ref, Value
from chiwawa_runtime.state.subtyping import top
from chiwawa_runtime.state.types import (
    F32,
    F64,
    I32,
    I64,
    V128,
    NumType,
    PackedType,
    RefType,
    StorageType,
    ValType,
    VecType,
)

if TYPE_CHECKING:
    from fractions import Fraction

_NUMBERS: dict[str, NumType | VecType] = {str(t).upper(): t for t in (I32, I64, F32, F64, V128)}
_LONGEST = 1000
#: What is shorter as an f64 has few digits.
_SHORT = 10
_DECIMAL = r"[0-9](?:_?[0-9])*"
_HEXADECIMAL = r"[0-9A-Fa-f](?:_?[0-9A-Fa-f])*"
_INT = re.compile(rf"[+-]?(?:0[xX]{_HEXADECIMAL}|{_DECIMAL})")
_FLOAT = re.compile(
    rf"[+-]?(?:(?:{_DECIMAL}\.?(?:{_DECIMAL})?|\.{_DECIMAL})(?:[eE][+-]?{_DECIMAL})?"
    rf"|(?P<hex>0[xX](?:{_HEXADECIMAL}\.?(?:{_HEXADECIMAL})?|\.{_HEXADECIMAL})"
    rf"(?:[pP][+-]?{_DECIMAL})?))"
)
_INF = re.compile(r"[+-]?inf(?:inity)?")
_NAN = re.compile(rf"([+-]?)nan(?::0[xX]({_HEXADECIMAL}))?")
_HEAD = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)\s*\(\s*")
_TAIL = re.compile(r"\s*\)\s*(,|$)")
_NUMBER = re.compile(r"[^\s(),]*")
_REF = re.compile(
    r"(null)(?:\s+(func|extern|any|exn))?|(func|extern|any)\s+(?:([0-9]+)|(?=\"))|"
    r"(any|extern)\s+i31\s+"
)


def format_value(valtype: ValType, value: object) -> str:
    """``value``, of type ``valtype``, as text. Integers (ints in either form, or bools) print
    signed, floats with the fewest digits that are read back as the same bits."""
    if isinstance(valtype, RefType):
        return f"REF({_format_ref(valtype, value)})"
    if valtype == F32:
        text = f32_text(value)  # type: ignore[arg-type]
    elif valtype == F64:
        text = f64_text(value)  # type: ignore[arg-type]
    elif valtype == V128:
        text = f"0x{int.from_bytes(value, 'little'):032x}"  # type: ignore[arg-type]
    else:
        half = 1 << valtype.bits - 1
        text = str((int(value) + half & 2 * half - 1) - half)  # type: ignore[call-overload]
    return f"{valtype.name.upper()}({text})"


def format_stored(storage: StorageType, value: object) -> str:
    """What a field of that type holds, as text: ``I8(-1)`` where it is packed."""
    if not isinstance(storage, PackedType):
        return format_value(storage, value)
    number = int(value)  # type: ignore[call-overload]
    return f"{storage.name.upper()}({number - (number >> storage.bits - 1 << storage.bits)})"


def parse_values(text: str) -> list[tuple[ValType, Value]]:
    """The values in a comma-separated list: i32 and i64 unsigned, f32 a float that f32 can hold,
    v128 its bytes. Raises BadInput, in one line, where it is not such a list or a number is out of
    range."""
    found: list[tuple[ValType, Value]] = []
    if not text.strip():
        return found
    pos = 0
    while True:
        value, pos = _parse_value(text, pos)
        found.append(value)
        tail = _TAIL.match(text, pos)
        if tail is None:
            raise BadInput(f"a closing parenthesis expected at {_rest(text, pos)}")
        if not tail[1]:
            return found
        pos = tail.end()


def _parse_value(text: str, pos: int) -> tuple[tuple[ValType, Value], int]:
    """The value at ``pos``, and where it ends, before the parenthesis."""
    head = _HEAD.match(text, pos)
    if head is None:
        raise BadInput(f"a value such as I32(1) expected at {_rest(text, pos)}")
    name = head[1].upper()
    if name == "REF":
        return _parse_ref(text, head.end())
    valtype = _NUMBERS.get(name)
    if valtype is None:
        raise BadInput(f"unknown type {_quoted(head[1])}: I32, I64, F32, F64, V128 or REF expected")
    number = _NUMBER.match(text, head.end())
    assert number is not None  # the empty string matches
    return (valtype, _parse_number(valtype, number[0])), number.end()


def _quoted(text: str) -> str:
    """Bad input, in one short line."""
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _rest(text: str, pos: int) -> str:
    return _quoted(text[pos:]) if text[pos:].strip() else "the end"


# Numbers.


def f64_text(value: float) -> str:
    if value != value:
        return _format_nan(f64_bits(value), 52)
    return repr(float(value))


def f32_text(value: float) -> str:
    if value != value:
        return _format_nan(f32_bits(value), 23)
    if math.isinf(value):
        return repr(float(value))
    # Nine digits always tell two f32 apart; then in the layout that Python gives a float.
    layout = repr(float(value))
    if len(layout) < _SHORT or abs(math.frexp(value)[0]) == 0.5:
        digits = next(s for s in (f"{value:.{n}g}" for n in range(1, 10)) if _f32(s) == value)
        return repr(float(digits))
    # Most need nearly all of them. But for powers of two, below which f32 are closer together than
    # above, with a digit more a number is not read back as another one.
    digits = f"{value:.9g}"
    for count in range(8, 0, -1):
        shorter = f"{value:.{count}g}"
        if _f32(shorter) != value:
            break
        digits = shorter
    return repr(float(digits))


def _format_nan(bits: int, width: int) -> str:
    """Spec 6.3.2: plain where the payload is the canonical one."""
    sign = "-" if bits >> (31 if width == 23 else 63) else ""
    payload = bits & (1 << width) - 1
    return f"{sign}nan" if payload == 1 << width - 1 else f"{sign}nan:0x{payload:x}"


def _parse_number(valtype: NumType | VecType, text: str) -> int | float | bytes:
    what = valtype.name.upper()
    # Python refuses to read thousands of decimal digits.
    if len(text) > _LONGEST:
        raise BadInput(f"constant too long: {what}({_quoted(text)})")
    if valtype in (F32, F64):
        return _parse_float(valtype, text)
    number = _parse_int(text, what, valtype.bits)
    return number.to_bytes(16, "little") if valtype == V128 else number


def _parse_int(text: str, what: str, bits: int) -> int:
    """A signed or unsigned integer of so many bits, as an unsigned one."""
    if len(text) > _LONGEST:
        raise BadInput(f"constant too long: {what}({_quoted(text)})")
    if not _INT.fullmatch(text):
        raise BadInput(f"an integer expected in {what}({_quoted(text)})")
    hexadecimal = "x" in text[:3].lower()
    number = int(text, 16 if hexadecimal else 10)
    if not -1 << bits - 1 <= number < 1 << bits:
        raise BadInput(f"constant out of range: {what}({_quoted(text)})")
    return number & (1 << bits) - 1


def _parse_float(valtype: ValType, text: str) -> float:
    what = str(valtype).upper()
    if _INF.fullmatch(text):
        return -math.inf if text[0] == "-" else math.inf
    nan = _NAN.fullmatch(text)
    if nan is not None:
        width = 23 if valtype == F32 else 52
        payload = int(nan[2], 16) if nan[2] else 1 << width - 1
        if not 0 < payload < 1 << width:
            raise BadInput(f"constant out of range: {what}({_quoted(text)})")
        sign = nan[1] == "-"
        if valtype == F32:
            return f32_from_bits(sign << 31 | 0xFF << 23 | payload)
        return f64_from_bits(sign << 63 | 0x7FF << 52 | payload)
    if not _FLOAT.fullmatch(text):
        raise BadInput(f"a number expected in {what}({_quoted(text)})")
    plain = text.replace("_", "")
    value = _f32(plain) if valtype == F32 else _f64(plain)
    if math.isinf(value):
        raise BadInput(f"constant out of range: {what}({_quoted(text)})")
    return value


#: The least normal f32.
_NORMAL_F32 = 2.0**-126


def _f64(text: str) -> float:
    """The nearest f64, infinite where it is out of range."""
    if "x" not in text[:3].lower():
        return float(text)
    try:
        return float.fromhex(text)
    except OverflowError:
        return math.inf


def _f32(text: str) -> float:
    """The nearest f32, infinite where it is out of range."""
    near = _f64(text)
    # Rounded twice, a number beside a tie between two f32 could land on the wrong one; where the
    # first rounding gave no tie, it cannot. (Below the normal f32, ties are elsewhere.)
    tie = f64_bits(near) & 0x1FFFFFFF == 0x10000000 or abs(near) < _NORMAL_F32
    if near and tie and not math.isinf(near):
        # So the first rounding is to odd: of the two f64 around the number, the one whose last bit
        # is set.
        exact = _exact(text)
        if exact != near and not f64_bits(near) & 1:
            near = math.nextafter(near, math.inf if exact > near else -math.inf)
    return f32_round(near)


def _exact(text: str) -> Fraction:
    """Only for what rounds to a finite f64 other than 0, so that the exponent is bounded by the
    length of ``text``."""
    from fractions import Fraction

    if "x" not in text[:3].lower():
        return Fraction(text)
    mantissa, _, exponent = text.lower().replace("0x", "").partition("p")
    whole, _, fraction = mantissa.partition(".")
    scale = int(exponent or 0) - 4 * len(fraction)
    return Fraction(int(whole + fraction, 16)) * Fraction(2) ** scale


# References.


def _format_ref(valtype: RefType, value: object) -> str:
    kind = top(valtype).heap
    if value is None:
        return "null" if kind == "func" else f"null {kind}"
    if isinstance(value, FuncIdx):
        return f"{kind} {value.index}" + (
            f" of instance {value.instance}" if value.instance else ""
        )
    if isinstance(value, ObjIdx):
        return f"{kind} object {value.index}"
    if isinstance(value, Carried):
        import json

        quoted = json.dumps(value.name).replace("\x7f", "\\u007f")
        return f"{kind} {quoted}"
    # In a running program an i31 is an int, which a host's value may be, too.
    inner = value.value if isinstance(value, External) else value
    if isinstance(inner, I31) or (type(inner) is int and (kind == "any" or value is not inner)):
        number = inner.value if isinstance(inner, I31) else inner
        return f"{kind} i31 {(number ^ 0x40000000) - 0x40000000}"
    if isinstance(inner, ExceptionInstance):
        count = len(inner.values)
        return f"{kind} <exception with {count} value{'s' if count != 1 else ''}>"
    return f"{kind} <{described(inner)}>"


def _parse_ref(text: str, pos: int) -> tuple[tuple[RefType, Ref], int]:
    """The reference at ``pos``, and where it ends."""
    match = _REF.match(text, pos)
    if match is None:
        raise BadInput(
            "null, null extern (any, exn), func, extern or any with an index or a "
            '"name", any or extern with an i31 expected in REF at ' + _rest(text, pos)
        )
    null, null_kind, kind, index, i31 = match.groups()
    valtype = RefType(null_kind or kind or i31 or "func")
    if null:
        return (valtype, None), match.end()
    if i31:
        number = _NUMBER.match(text, match.end())
        assert number is not None  # the empty string matches
        return (valtype, I31(_parse_int(number[0], "REF", 31))), number.end()
    if index:
        if len(index) > 10 or int(index) > 0xFFFFFFFF:
            raise BadInput(f"constant out of range: REF({kind} {_quoted(index)})")
        return (valtype, FuncIdx(int(index))), match.end()
    import json

    try:
        name, end = json.JSONDecoder().raw_decode(text, match.end())
    except ValueError as error:
        raise BadInput(f"malformed name in REF at {_rest(text, match.end())}") from error
    return (valtype, Carried(name)), end
