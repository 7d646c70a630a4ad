"""From bytes to a module (spec 5.5): magic, version, and the order and sizes of sections."""

from __future__ import annotations

from chiwawa.binary.names import NAME, read_names
from chiwawa.binary.reader import Reader
from chiwawa.binary.sections import SECTIONS, CheckBody, Known, Parts
from chiwawa.module import Custom, Module
from chiwawa_runtime.errors import Field

MAGIC = b"\0asm"
VERSION = b"\x01\0\0\0"
_ORDER = {section: position for position, section in enumerate(SECTIONS, 1)}
_CUSTOM = 0
_CODE = 10
_LAST = max(SECTIONS)

#: The version of a component, which is no module.
_COMPONENT = b"\x0d\x00\x01\x00"


def decode(data: bytes, check: CheckBody | None = None, known: Known | None = None) -> Module:
    """The module that ``data`` is the binary of. It is well-formed, not yet validated; ``check``
    is told of each function's body on the way. ``known`` is what has been found out where the very
    same bytes have been decoded before.

    ``Module.binary`` is ``data``; code offsets, ``Func.at`` and ``Data.at`` refer to it. A broken
    name section is ignored. Raises MalformedError, with ``offset`` in bytes, and UnsupportedError
    for what later versions of Wasm added.
    """
    r = Reader(data)
    _preamble(r)
    parts = Parts(Module(binary=data), check=check, known=known)
    module = parts.module
    last = 0
    named = False
    while r.pos < len(data):
        start = r.pos
        section = r.byte()
        if section > _LAST:
            raise r.malformed("malformed section id", start)
        size_at = r.pos
        end = r.end = r.length() + r.pos
        if section == _CUSTOM:
            name = r.name()
            payload = r.take(end - r.pos)
            module.customs.append(Custom(name, payload, last))
            if name == NAME and not named:
                module.names = read_names(payload)
                named = True
            continue
        if last and _ORDER[section] <= _ORDER[last]:
            raise r.malformed("unexpected content after last section", start)
        last = section
        SECTIONS[section](r, parts)
        if r.pos != end:
            raise r.malformed("section size mismatch", size_at)
    _join(r, parts)
    return module


def _preamble(r: Reader) -> None:
    if r.take(4) != MAGIC:
        raise r.malformed("magic header not detected", 0)
    version = r.take(4)
    if version == _COMPONENT:
        raise r.unsupported("component model: a component", 4)
    if version != VERSION:
        raise r.malformed("unknown binary version", 4)


def field_at(data: bytes, offset: int | None) -> Field | None:
    """The function that has the byte at ``offset`` in its code, in the binary of a module whose
    sections are well-formed up to there."""
    r = Reader(data)
    r.pos = len(MAGIC) + len(VERSION)
    while offset is not None and r.pos < len(data):
        section = r.byte()
        end = r.length() + r.pos
        if section == _CODE and offset < end:
            for index in range(r.u32()):
                r.take(r.length())
                if offset < r.pos:
                    return Field("func", index)
        r.pos = end
    return None


def _join(r: Reader, parts: Parts) -> None:
    """What two sections say together (spec 5.5.16)."""
    module = parts.module
    if len(module.funcs) != parts.bodies:
        raise r.malformed("function and code section have inconsistent lengths")
    if module.data_count is not None and module.data_count != len(module.datas):
        raise r.malformed("data count and data section have inconsistent lengths")
    if module.data_count is None and parts.exprs.data_use is not None:
        raise r.malformed("data count section required", parts.exprs.data_use)
