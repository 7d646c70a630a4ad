"""The numbers of the text format, in and out (spec 6.3.1, 6.3.2).

It turns a lexeme into an unsigned integer or into IEEE bits and back, rounding once and to nearest,
ties to even. It knows nothing of positions: what raises here is placed by its caller.

A float's bits are what is parsed and printed, never a Python float, so that NaN payloads pass.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import lru_cache

from chiwawa_runtime.errors import MalformedError

#: For each width: the bits of the fraction, and the greatest exponent of a finite number.
_FORMATS = {32: (23, 127), 64: (52, 1023)}
#: Every decimal digit beyond these can only break a tie, so one sticky digit stands for them.
_DECIMAL_DIGITS = 800
_UINT = re.compile(r"0x[0-9a-fA-F](?:_?[0-9a-fA-F])*|[0-9](?:_?[0-9])*")


def is_uint(text: str) -> bool:
    """Whether a part of a lexeme is an unsigned integer; whole lexemes are the grammar's."""
    return _UINT.fullmatch(text) is not None


def parse_uint(text: str, bits: int) -> int:
    """An unsigned integer below ``2**bits``. MalformedError: "i32 constant out of range"."""
    value = _magnitude(text, bits)
    if value is None:
        raise MalformedError(f"i{bits} constant out of range")
    return value


def parse_int(text: str, bits: int) -> int:
    """A constant of i32 or i64, from ``-2**(bits-1)`` to ``2**bits - 1``, as its unsigned value.
    MalformedError: "constant out of range"."""
    negative = text[0] == "-"
    value = _magnitude(text[1:] if text[0] in "+-" else text, bits)
    if value is None or (negative and value > 1 << (bits - 1)):
        raise MalformedError("constant out of range")
    return -value & ((1 << bits) - 1) if negative else value


def _magnitude(text: str, bits: int) -> int | None:
    """The value of an unsigned lexeme, or None where it does not fit."""
    digits = text.replace("_", "")
    base = 10
    if digits.startswith("0x"):
        digits, base = digits[2:], 16
    if len(digits) > 20:
        # Python refuses to convert thousands of decimal digits, most of which may be zeros.
        digits = digits.lstrip("0") or "0"
        if len(digits) > 20:
            return None
    value = int(digits, base)
    return value if value >> bits == 0 else None


@lru_cache(maxsize=4096)
def parse_float(text: str, bits: int) -> int:
    """The IEEE bits of a float lexeme (an integer lexeme is one too), ``bits`` being 32 or 64.
    MalformedError: "constant out of range", for an overflow or a NaN payload that does not fit."""
    fraction_bits, _ = _FORMATS[bits]
    sign = 1 << (bits - 1) if text[0] == "-" else 0
    body = text.lstrip("+-").replace("_", "")
    exponent_mask = (1 << (bits - 1)) - (1 << fraction_bits)
    if body == "inf":
        return sign | exponent_mask
    if body == "nan":
        return sign | exponent_mask | 1 << (fraction_bits - 1)
    if body.startswith("nan:"):
        payload = int(body[4:], 16)
        if not 0 < payload < 1 << fraction_bits:
            raise MalformedError("constant out of range")
        return sign | exponent_mask | payload
    if body.startswith("0x"):
        return sign | _parse_hex(body[2:], bits)
    return sign | _parse_decimal(body, bits)


def _parse_hex(body: str, bits: int) -> int:
    mantissa, _, exponent = body.replace("P", "p").partition("p")
    whole, _, fraction = mantissa.partition(".")
    value = int(whole + fraction, 16)
    return _round(value, 1, _exponent(exponent) - 4 * len(fraction), bits)


def _parse_decimal(body: str, bits: int) -> int:
    mantissa, _, exponent = body.replace("E", "e").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    scale = _exponent(exponent) - len(fraction)
    stripped = digits.lstrip("0")
    if len(stripped) > _DECIMAL_DIGITS:
        sticky = "1" if stripped[_DECIMAL_DIGITS:].strip("0") else "0"
        scale += len(stripped) - _DECIMAL_DIGITS - 1
        stripped = stripped[:_DECIMAL_DIGITS] + sticky
    if not stripped:
        return 0
    # Outside these the answer is known, and a power of ten need not be computed.
    if len(stripped) + scale > 400:
        raise MalformedError("constant out of range")
    if len(stripped) + scale < -400:
        return 0
    value = int(stripped)
    return (
        _round(value * 10**scale, 1, 0, bits) if scale >= 0 else _round(value, 10**-scale, 0, bits)
    )


def _exponent(text: str) -> int:
    """The exponent, held within what no mantissa that fits in memory brings back into range."""
    if not text:
        return 0
    digits = text.lstrip("+-").lstrip("0")
    value = int(digits or "0") if len(digits) < 15 else 10**15
    return -value if text[0] == "-" else value


def _round(numerator: int, denominator: int, shift: int, bits: int) -> int:
    """The bits of ``numerator / denominator * 2**shift``, nearest, ties to even (spec 4.3.3)."""
    fraction_bits, greatest = _FORMATS[bits]
    if not numerator:
        return 0
    # The exponent of the leading bit, one too great where the division comes out short.
    exponent = numerator.bit_length() - denominator.bit_length() + shift
    if exponent > greatest + 2:
        raise MalformedError("constant out of range")
    if exponent < -greatest - fraction_bits - 2:
        return 0
    if shift >= 0:
        numerator <<= shift
    else:
        denominator <<= -shift
    if numerator << max(-exponent, 0) < denominator << max(exponent, 0):
        exponent -= 1
    # The unit in the last place; subnormal numbers share the least.
    unit = max(exponent, 1 - greatest) - fraction_bits
    quotient, rest = divmod(numerator << max(-unit, 0), denominator << max(unit, 0))
    doubled = rest * 2
    half = denominator << max(unit, 0)
    if doubled > half or (doubled == half and quotient & 1):
        quotient += 1
    # A carry out of the fraction moves into the exponent, as IEEE lays its bits out.
    biased = unit + fraction_bits + greatest
    result = quotient + ((biased - 1) << fraction_bits)
    if result >= (2 * greatest + 1) << fraction_bits:
        raise MalformedError("constant out of range")
    return result


#: How the lanes of a shape are read, how many there are, and their bits.
LANES: dict[str, tuple[Callable[[str, int], int], int, int]] = {
    **{f"i{bits}x{128 // bits}": (parse_int, 128 // bits, bits) for bits in (8, 16, 32, 64)},
    **{f"f{bits}x{128 // bits}": (parse_float, 128 // bits, bits) for bits in (32, 64)},
}


def format_v128(value: bytes) -> str:
    """A vector as what stands after ``v128.const``: four lanes of 32 bits."""
    lanes = struct.unpack("<4I", value)
    return "i32x4 " + " ".join([f"0x{lane:08x}" for lane in lanes])


def format_int(value: int, bits: int) -> str:
    """An unsigned value as the text format's signed decimal, which is what people read."""
    return str(value - (1 << bits) if value >> (bits - 1) else value)


@lru_cache(maxsize=4096)
def format_float(value: int, bits: int) -> str:
    """The shortest decimal that ``parse_float`` takes back to the same bits; NaNs with payload."""
    fraction_bits, _ = _FORMATS[bits]
    sign = "-" if value >> (bits - 1) else ""
    magnitude = value & ((1 << (bits - 1)) - 1)
    fraction = magnitude & ((1 << fraction_bits) - 1)
    exponent_mask = (1 << (bits - 1)) - (1 << fraction_bits)
    if magnitude & exponent_mask == exponent_mask:
        if not fraction:
            return sign + "inf"
        return sign + ("nan" if fraction == 1 << (fraction_bits - 1) else f"nan:0x{fraction:x}")
    if bits == 64:
        number: float = struct.unpack("<d", magnitude.to_bytes(8, "little"))[0]
        text = repr(number)
    else:
        number = struct.unpack("<f", magnitude.to_bytes(4, "little"))[0]
        text = next(t for t in (f"{number:.{p}g}" for p in range(1, 10)) if _reads_as(t, magnitude))
    return sign + text.removesuffix(".0")


def _reads_as(text: str, bits: int) -> bool:
    """Whether a decimal is the f32 of these bits; one cut short may round past the greatest."""
    try:
        return parse_float(text, 32) == bits
    except MalformedError:
        return False
