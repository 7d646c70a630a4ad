"""LEB128 integers, which Wasm binaries and checkpoint files are written in (spec 5.2.2).

What is written has the fewest bytes; what is read may be padded up to the width of its type, as
the spec allows. This module knows nothing but bytes.
"""

from __future__ import annotations

from chiwawa_runtime.errors import MalformedError

_ONE_BYTE = tuple(bytes((i,)) for i in range(128))


def encode_u(value: int) -> bytes:
    """The unsigned LEB128 of ``value``, which is not negative."""
    if value < 128:
        return _ONE_BYTE[value]
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_s(value: int) -> bytes:
    """The signed LEB128 of ``value``."""
    if -64 <= value < 64:
        return _ONE_BYTE[value & 0x7F]
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


def decode_u(data: bytes | bytearray, pos: int, bits: int) -> tuple[int, int]:
    """The unsigned LEB128 of at most ``bits`` bits at ``pos``, and the position after it.

    Raises MalformedError ("integer representation too long", "integer too large", "unexpected end
    of section or function"), with ``pos`` as its offset, or the end of ``data``.
    """
    start = pos
    value = shift = 0
    size = len(data)
    while shift < bits:
        if pos >= size:
            raise MalformedError("unexpected end of section or function", offset=size)
        byte = data[pos]
        pos += 1
        if bits - shift < 7 and byte & 0x7F >= 1 << bits - shift:
            raise MalformedError("integer too large", offset=start)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
    raise MalformedError("integer representation too long", offset=start)


def decode_s(data: bytes | bytearray, pos: int, bits: int) -> tuple[int, int]:
    """The signed LEB128 of at most ``bits`` bits at ``pos``, a signed int, and the position after
    it. Raises as ``decode_u`` does."""
    start = pos
    value = shift = 0
    size = len(data)
    while shift < bits:
        if pos >= size:
            raise MalformedError("unexpected end of section or function", offset=size)
        byte = data[pos]
        pos += 1
        if bits - shift < 7:
            # The bits beyond the width must all repeat the sign.
            sign = -1 << bits - shift - 1 & 0x7F
            if byte & sign not in (0, sign):
                raise MalformedError("integer too large", offset=start)
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (value - (1 << shift) if byte & 0x40 else value), pos
    raise MalformedError("integer representation too long", offset=start)
