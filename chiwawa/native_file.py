"""A rewritten module as a file, complete in itself: its tables are in its first section, and the
original, compressed, in its last one.

Both are custom sections, so that the file is a module for every engine. This knows nothing of what
tables say. Nothing here runs the rewritten code of a file that was given: it may come from
anywhere, so what runs is rewritten from the original, which is the same where nobody has changed
it. ``docs/native.md`` specifies the sections, for other hosts.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass

from chiwawa.binary.decode import MAGIC, VERSION, decode
from chiwawa.binary.encode import write_section
from chiwawa.binary.names import write_name
from chiwawa.binary.reader import Reader
from chiwawa_runtime.errors import BadInput, MalformedError
from chiwawa_runtime.state.program import ExportType, ImportType

TABLES = "chiwawa"
ORIGINAL = "chiwawa:original"
#: More bytes than any original has.
MOST = 1 << 30

_PREAMBLE = MAGIC + VERSION
_DIGEST = hashlib.sha256().digest_size
#: The digest of all else in the file; flags.
_HEAD = struct.Struct("<32sI")
_CANONICAL_NANS = 1
#: Of the original: its size, and its SHA-256.
_SIZE = struct.Struct("<I32s")
_CHANGED = "it has been changed, or cut off, since chiwawa compile wrote it"


@dataclass(frozen=True, slots=True, repr=False)
class NativeFile:
    """What such a file has for us: the original's bytes, and whether every NaN that arithmetic
    makes is to be the canonical one. ``load_native`` gives one.

    >>> module = chiwawa.load('(module (func (export "one") (result i32) (i32.const 1)))')
    >>> chiwawa.compile_native(module, "one_native.wasm")
    >>> chiwawa.load_native("one_native.wasm").exports
    (<export "one": [] -> [i32]>,)
    """

    original: bytes
    canonical_nans: bool

    def __repr__(self) -> str:
        return f"<native file of a module of {len(self.original)} bytes>"

    @property
    def imports(self) -> tuple[ImportType, ...]:
        """What an instance of it needs, in order."""
        return decode(self.original).imports

    @property
    def exports(self) -> tuple[ExportType, ...]:
        """What an instance of it has for others, in order."""
        return decode(self.original).exports


def write_native(
    binary: bytes, tables: bytes, original: bytes | None, *, canonical_nans: bool
) -> bytes:
    """The file of a rewritten module: ``binary``, its ``tables``, and, unless it is left out, the
    ``original``."""
    last = b""
    if original is not None:
        head = _SIZE.pack(len(original), hashlib.sha256(original).digest())
        last = write_section(0, write_name(ORIGINAL) + head + zlib.compress(original, 9))
    flags = _CANONICAL_NANS * canonical_nans
    head = _HEAD.pack(bytes(_DIGEST), flags)
    section = write_section(0, write_name(TABLES) + head + tables)
    data = bytearray().join((_PREAMBLE, section, binary[len(_PREAMBLE) :], last))
    at = len(_PREAMBLE) + len(section) - len(tables) - len(head)
    data[at : at + _DIGEST] = _digest(data, at)
    return bytes(data)


def read_native(data: bytes) -> NativeFile:
    """What is in such a file. Raises BadInput where it has been damaged, or has no original."""
    try:
        r = Reader(data)
        r.take(len(_PREAMBLE))
        start, end = _section(r)
        if r.name() != TABLES or end - r.pos < _HEAD.size:
            raise r.malformed(_CHANGED)
        digest, flags = _HEAD.unpack_from(data, r.pos)
        if digest != _digest(data, r.pos):
            raise r.malformed(_CHANGED)
        packed = None
        while end < len(data):
            r.pos = end
            start, end = _section(r)
            if data[start] == 0 and r.name() == ORIGINAL:
                packed = r.take(end - r.pos)
        if packed is None:
            raise BadInput(
                "it was compiled without its original (--no-original): it is for other hosts, and "
                "chiwawa runs the original"
            )
        return NativeFile(_unpacked(packed), bool(flags & _CANONICAL_NANS))
    except (MalformedError, struct.error, zlib.error):
        raise BadInput(_CHANGED) from None


def _digest(data: bytes | bytearray, at: int) -> bytes:
    """That of all but the digest, which is at ``at``."""
    made = hashlib.sha256(memoryview(data)[:at])
    made.update(memoryview(data)[at + _DIGEST :])
    return made.digest()


def _section(r: Reader) -> tuple[int, int]:
    """Where the section that is next starts and ends; its contents are next then."""
    start = r.pos
    r.byte()
    size = r.length()
    return start, r.pos + size


def _unpacked(packed: bytes) -> bytes:
    """The original, of no other size than it says: a few bytes could be a thousand times as many,
    compressed."""
    size, digest = _SIZE.unpack_from(packed)
    if size > MOST:
        raise BadInput(f"its original is said to have {size} bytes, and {MOST} are allowed")
    original = zlib.decompressobj().decompress(packed[_SIZE.size :], size + 1)
    if len(original) != size or hashlib.sha256(original).digest() != digest:
        raise BadInput(_CHANGED)
    return original
