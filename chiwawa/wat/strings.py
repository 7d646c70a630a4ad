"""String literals, names and identifiers of the text format (spec 6.3.3 to 6.3.5), in and out.

A literal stands for bytes; a name is a literal that is UTF-8; an identifier is ``$`` and either
bare characters or a literal. Lexemes come from the grammar, so only their content is judged here.
"""

from __future__ import annotations

import re

from chiwawa_runtime.errors import MalformedError

_ESCAPE = re.compile(rb"\\(?:u\{([0-9a-fA-F_]+)\}|([0-9a-fA-F]{2})|(.))")
_SIMPLE = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b'"': b'"', b"'": b"'", b"\\": b"\\"}
_BYTES = [chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\{b:02x}" for b in range(256)]


def parse_string(literal: str) -> bytes:
    """The bytes of a literal with its quotes. MalformedError: "malformed UTF-8 encoding", where an
    escape names no Unicode scalar value."""
    try:
        raw = literal[1:-1].encode()
        return _ESCAPE.sub(_unescape, raw) if b"\\" in raw else raw
    except (UnicodeEncodeError, ValueError, OverflowError):
        raise MalformedError("malformed UTF-8 encoding") from None


def _unescape(match: re.Match[bytes]) -> bytes:
    scalar, byte, simple = match.groups()
    if byte is not None:
        return bytes.fromhex(byte.decode())
    if scalar is not None:
        return chr(int(scalar, 16)).encode()
    return _SIMPLE[simple]


def parse_name(literal: str) -> str:
    """The text of a literal. MalformedError: "malformed UTF-8 encoding"."""
    try:
        return parse_string(literal).decode()
    except UnicodeDecodeError:
        raise MalformedError("malformed UTF-8 encoding") from None


def parse_id(lexeme: str) -> str:
    """The name that an identifier stands for, without ``$``; ``$"x"`` and ``$x`` are the same.
    MalformedError: "empty identifier", or not UTF-8."""
    if not lexeme.startswith('$"'):
        return lexeme[1:]
    name = parse_name(lexeme[1:])
    if not name:
        raise MalformedError("empty identifier")
    return name


def format_string(data: bytes) -> str:
    """A literal for any bytes, in printable ASCII."""
    return '"' + "".join([_BYTES[b] for b in data]) + '"'
