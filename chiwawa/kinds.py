"""What a file is that somebody takes for a module: told by how it begins."""

from __future__ import annotations

from chiwawa_runtime.checkpoint.leb import decode_u
from chiwawa_runtime.errors import BadInput

_MODULE = b"\0asm\1\0\0\0"
#: How a generated file starts (``chiwawa.aot.file``).
_GENERATED = (b'"""WebAssembly module ', b"translated to Python by chiwawa")
_KINDS = {
    b"\x7fELF": "a program of this machine (ELF)",
    b"\xcf\xfa\xed\xfe": "a program of this machine (Mach-O)",
    b"MZ": "a program of Windows",
    b"!<arch>\n": "a library of object files",
    b"BC\xc0\xde": "LLVM bitcode",
    b"PK\3\4": "a zip archive",
    b"\x1f\x8b": "compressed (gzip)",
    b"\x28\xb5\x2f\xfd": "compressed (zstd)",
    b"\xfd7zXZ\0": "compressed (xz)",
    b"BZh": "compressed (bzip2)",
    b"#!": "a script",
    b"<": "a page of HTML or XML",
}


def is_generated(data: bytes) -> bool:
    """Whether it is a module translated to Python."""
    first, second = _GENERATED
    return data.startswith(first) and second in data[:1000].partition(b"\n")[0]


def is_native(data: bytes) -> bool:
    """Whether it is a module rewritten for the native path (``chiwawa.native_file``)."""
    return data.startswith(_MODULE) and _first_section(data) == (0, b"chiwawa")


def is_checkpoint(data: bytes) -> bool:
    """Whether it is a core dump, of chiwawa or another tool. Each is a valid module."""
    return data.startswith(_MODULE) and _first_section(data) == (0, b"core")


def _first_section(data: bytes) -> tuple[int, bytes]:
    """The id of a module's first section, and, of a custom one, the name; 0 and nothing where there
    is none."""
    try:
        _, at = decode_u(data, len(_MODULE) + 1, 32)
        length, at = decode_u(data, at, 32)
    except (BadInput, IndexError):
        return 0, b""
    return data[len(_MODULE)], data[at : at + min(length, 100)]


def other_kind(data: bytes) -> str | None:
    """What ``data`` is, if it is something that is no module, nor text."""
    if not data:
        return "empty"
    return next((kind for start, kind in _KINDS.items() if data.startswith(start)), None)
