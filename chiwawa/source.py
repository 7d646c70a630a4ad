"""Any source of a module to one module, decoded and validated.

It stands above both formats: a text module is encoded and decoded again, because code offsets, by
which programs are stopped and continued, are those of the binary.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from chiwawa.binary import decode, encode
from chiwawa.module import Module
from chiwawa.validate import validate
from chiwawa.wat import parse_source
from chiwawa_runtime.errors import MalformedError

#: How a text module starts: white space, then a parenthesis (of a comment too) or a line comment.
_TEXT = re.compile(r"\s*(?:\(|;;)")


def load(source: str | os.PathLike[str] | bytes | bytearray) -> Module:
    """The valid module in ``source``: bytes in either format, a path of a file in either, or text
    (a str that starts with a parenthesis or a comment). ``binary`` is its bytes.

    Raises MalformedError, InvalidError or UnsupportedError for what is in it, and OSError for a
    file that cannot be read.
    """
    if isinstance(source, bytes | bytearray):
        return load_bytes(bytes(source))
    if isinstance(source, str) and _TEXT.match(source):
        return prepare(parse_source(source))
    return load_bytes(Path(source).read_bytes())


def load_bytes(data: bytes) -> Module:
    """The valid module in ``data``, by its content: binary where it starts with a zero byte (or
    there is nothing in it), as no text does."""
    if data[:1] in (b"", b"\0"):
        return prepare(data)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("malformed UTF-8 encoding", offset=error.start) from None
    return prepare(parse_source(text))


def prepare(module: Module | bytes) -> Module:
    """A module from the text parser, or a binary one, decoded and validated."""
    decoded = decode(module if isinstance(module, bytes) else encode(module))
    validate(decoded)
    return decoded
