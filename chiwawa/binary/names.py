"""The name section, read and written (spec 7.4.1, with the extended subsections).

Names never decide whether a module is well-formed: a broken section is as good as none.
"""

from __future__ import annotations

from chiwawa.binary.reader import Reader
from chiwawa.module import Names
from chiwawa_runtime.checkpoint.leb import encode_u
from chiwawa_runtime.errors import MalformedError

#: The custom section's own name.
NAME = "name"
_MODULE = 0
#: Subsections that name by one index, and by two.
_MAPS = {
    1: "funcs",
    4: "types",
    5: "tables",
    6: "mems",
    7: "globals",
    8: "elems",
    9: "datas",
    11: "tags",
}
_NESTED = {2: "locals", 3: "labels", 10: "fields"}


def read_names(data: bytes) -> Names:
    """What the section's contents, ``data``, say; nothing if they are broken."""
    try:
        return _read_subsections(Reader(data))
    except MalformedError:
        return Names()


def _read_subsections(r: Reader) -> Names:
    names = Names()
    while r.pos < len(r.data):
        kind = r.byte()
        end = r.length() + r.pos
        if kind == _MODULE:
            names.module = r.name()
        elif kind in _MAPS:
            setattr(names, _MAPS[kind], _read_map(r))
        elif kind in _NESTED:
            nested = {}
            for _ in range(r.u32()):
                index = r.u32()
                nested[index] = _read_map(r)
            setattr(names, _NESTED[kind], nested)
        else:
            r.pos = end
        if r.pos != end:
            raise r.malformed("section size mismatch")
    return names


def _read_map(r: Reader) -> dict[int, str]:
    names = {}
    for _ in range(r.u32()):
        index = r.u32()
        names[index] = r.name()
    return names


def write_names(names: Names) -> bytes:
    """The section's contents: empty if there are no names."""
    out = bytearray()
    for kind in sorted((_MODULE, *_MAPS, *_NESTED)):
        if kind == _MODULE:
            contents = b"" if names.module is None else write_name(names.module)
        elif kind in _MAPS:
            contents = _write_map(getattr(names, _MAPS[kind]))
        else:
            nested: dict[int, dict[int, str]] = getattr(names, _NESTED[kind])
            maps = [encode_u(i) + _write_map(nested[i]) for i in sorted(nested) if nested[i]]
            contents = encode_u(len(maps)) + b"".join(maps) if maps else b""
        if contents:
            out += bytes((kind,)) + encode_u(len(contents)) + contents
    return bytes(out)


def _write_map(names: dict[int, str]) -> bytes:
    if not names:
        return b""
    return encode_u(len(names)) + b"".join(
        encode_u(i) + write_name(names[i]) for i in sorted(names)
    )


def write_name(name: str) -> bytes:
    """Spec 5.2.4."""
    raw = name.encode("utf-8")
    return encode_u(len(raw)) + raw
