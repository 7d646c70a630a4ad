"""Any source of a module to one module, decoded and validated.

It stands above both formats: a text module is encoded and decoded again, because code offsets, by
which programs are stopped and continued, are those of the binary. What is wrong in it is told by
line and column nevertheless. Files of other kinds that people give for modules are recognised.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from functools import partial
from typing import TypeVar

from chiwawa.binary import decode, encode, field_at
from chiwawa.cache import NO_CACHE, Cache
from chiwawa.kinds import is_checkpoint, is_generated, is_native, other_kind
from chiwawa.lower.lowered import SETS, Spaces
from chiwawa.module import Expr, Module
from chiwawa.places import Places
from chiwawa.validate import BodyChecks, validate
from chiwawa.validated import is_kept, recalled, remember
from chiwawa_runtime.collector import uncollected
from chiwawa_runtime.errors import (
    BadInput,
    Field,
    InvalidError,
    MalformedError,
    UnsupportedError,
)

#: How a text module starts: white space, then a parenthesis (of a comment too) or a line comment.
#: A byte order mark is none of that, but a mistake in a text.
_TEXT = re.compile(r"\ufeff?\s*(?:\(|;;)")
#: What is in no path that anybody has: it must be meant as text.
_NO_PATH = re.compile(r"[\0\n]")

E = TypeVar("E", bound=BadInput)

_BINARY = "\0asm"


def load(source: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Module:
    """The valid module in ``source``: bytes in either format, a path of a file in either, or text
    (a str that starts with a parenthesis or a comment, or of several lines). ``binary`` is its
    bytes.

    Raises MalformedError, InvalidError or UnsupportedError for what is in it, and OSError for a
    file that cannot be read.

    >>> module = chiwawa.load('(module (func (export "one") (result i32) (i32.const 1)))')
    >>> [export.name for export in module.exports]
    ['one']
    """
    cache = Cache.of_user()
    if isinstance(source, bytes | bytearray | memoryview):
        return load_program(bytes(source), cache)
    if isinstance(source, str) and (_TEXT.match(source) or _NO_PATH.search(source)):
        if source.startswith(_BINARY):
            raise MalformedError("this is a binary module as a str: give bytes")
        return prepare(_parsed(source), cache)
    try:
        with open(source, "rb") as file:
            data = file.read()
    except ValueError:
        # A zero byte, or a lone surrogate: the system cannot even be asked for it.
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), os.fspath(source)) from None
    return load_program(data, cache)


def load_program(data: bytes, cache: Cache = NO_CACHE) -> Module:
    """As ``load_bytes``, of what is to be run."""
    if is_checkpoint(data):
        raise MalformedError("it is a checkpoint (a core dump), not a program")
    if is_native(data):
        # As a module it would do nothing: it places no segments, and starts nothing.
        raise MalformedError(
            "it is a module rewritten for the native path, which is not loaded as a module: "
            "chiwawa run runs it, load_native loads it"
        )
    return load_bytes(data, cache)


def load_bytes(data: bytes, cache: Cache = NO_CACHE) -> Module:
    """The valid module in ``data``, by its content: binary where it starts with a zero byte, as no
    text does. A checkpoint is one, too, without code. Of a large one, ``cache`` may know that it is
    valid."""
    if is_generated(data):
        raise MalformedError("it is a generated file, and a module (.wasm, .wat) is wanted")
    kind = other_kind(data)
    if kind is not None:
        raise MalformedError(f"it is no module: it is {kind}")
    if data[:1] == b"\0":
        return prepare(data, cache)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("malformed UTF-8 encoding", offset=error.start) from None
    return prepare(_parsed(text), cache)


def _parsed(text: str) -> Module | bytes:
    # Most programs are binary ones, and need nothing of the text format.
    from chiwawa.wat import parse_source

    return parse_source(text)


def prepare(module: Module | bytes, cache: Cache = NO_CACHE) -> Module:
    """A module from the text parser, or a binary one, decoded and validated."""
    if isinstance(module, bytes):
        with uncollected():
            return _decoded(module, cache)
    places = module.places
    binary = encode(module)
    # From here on the module is what its bytes say; the other need not be there twice.
    del module
    checks = BodyChecks()
    try:
        decoded = decode(binary, checks)
    except (MalformedError, UnsupportedError) as error:
        raise _in_text(places, Module(), error, field_at(binary, error.offset)) from None
    try:
        validate(decoded, checks)
    except (InvalidError, UnsupportedError) as error:
        raise _in_text(places, decoded, error, error.field) from None
    return decoded


def _decoded(binary: bytes, cache: Cache) -> Module:
    """The module, which is valid."""
    digest = hashlib.sha256(binary).digest()
    known = recalled(binary, digest, cache, len(SETS))
    if known is not None:
        facts, sets = known
        module = decode(binary, known=facts)
        module.derived.update(zip(SETS, sets, strict=True))
    else:
        checks = BodyChecks()
        module = decode(binary, checks)
        validate(module, checks)
        if is_kept(binary, cache):
            spaces = Spaces.of(module)
            sets = [module.once(name, partial(find, spaces)) for name, find in SETS.items()]
            remember(module, sets, digest, cache)
    module.derived["hash"] = digest
    return module


def _in_text(places: Places | None, module: Module, error: E, field: Field | None) -> E:
    """The error of the binary that a text has become, at the place in the text that it is about."""
    if isinstance(error, MalformedError | UnsupportedError):
        # Nobody has seen these bytes.
        error.offset = None
    if places is not None and field is not None:
        error.at = places.find(field, _position(module, field))
        from chiwawa.wat.tokens import located

        located(places.text, error)
    return error


def _position(module: Module, field: Field) -> int | None:
    """How many instructions the field has before the one it speaks of, where it does."""
    if field.offset is None:
        return None
    position = 0
    for number, expr in enumerate(_expressions(module, field)):
        if number == field.expression:
            offsets = [instr.offset for instr in expr]
            return position + offsets.index(field.offset) if field.offset in offsets else None
        position += len(expr)
    return None


def _expressions(module: Module, field: Field) -> list[Expr]:
    """The expressions of a field, in the order of the text."""
    if field.kind == "func":
        return [module.funcs[field.index].body]
    if field.kind == "global":
        return [module.globals[field.index].init]
    if field.kind == "data":
        return [module.datas[field.index].offset]
    if field.kind == "elem":
        elem = module.elems[field.index]
        return [elem.offset, *elem.init]
    return []
