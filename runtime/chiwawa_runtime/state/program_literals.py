"""A ``Program`` as literals, each way: sections by name, as generated files hold them.

A literal is an int, a string, None, or a tuple of literals. Types are the text of ``type_text``, in
which those that the module defines have their indices in the section ``types``. The toolchain
writes what a translated program reads, so both ways of a section are one row of ``SECTIONS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from chiwawa_runtime.state import type_text
from chiwawa_runtime.state.deftypes import close, define, opened, type_indexes
from chiwawa_runtime.state.program import Constant, DataSpecs, ElemSpec, ImportSpec, Program
from chiwawa_runtime.state.types import (
    DefType,
    ExternType,
    GlobalType,
    MemoryType,
    RefType,
    TableType,
    TagType,
)

Type = TypeVar("Type", bound=ExternType)


@dataclass(frozen=True, slots=True)
class Reading:
    """What sections say of others that come after them: ``types`` and ``imports`` of the program,
    and ``binary``, the module's."""

    binary: bytes
    types: Sequence[DefType] = ()
    imports: Sequence[ImportSpec] = ()

    def space(self, kind: type[Type], defined: Iterable[Type]) -> list[Type]:
        """The index space of ``kind``: what is imported, then what is defined."""
        imported = [spec.type for spec in self.imports if isinstance(spec.type, kind)]
        return [*imported, *(close(each, self.types) for each in defined)]


@dataclass(frozen=True, slots=True)
class Section:
    """``write`` gives the literal of a program's section, ``read`` what the field ``name`` of a
    ``Program`` has of it."""

    name: str
    write: Callable[[Program], Any]
    read: Callable[[Any, Reading], Any]


def to_literals(program: Program) -> dict[str, Any]:
    return {section.name: section.write(program) for section in SECTIONS}


def from_literals(literals: Mapping[str, Any], binary: bytes) -> Program:
    """The program that ``to_literals`` made ``literals`` of. ``binary`` is the module's, or empty
    where there is no data segment. Raises BadInput for what is not the text of a type."""
    fields: dict[str, Any] = {}
    for section in SECTIONS:
        reading = Reading(binary, fields.get("types", ()), fields.get("imports", ()))
        fields[section.name] = section.read(literals[section.name], reading)
    return Program(**fields)


def field(name: str) -> Section:
    """A section of a field that is a literal already."""
    return Section(name, lambda program: getattr(program, name), lambda literal, _: literal)


def source(constant: Constant | None) -> str | None:
    return None if constant is None else constant.source


def constant(source: str | None) -> Constant | None:
    return None if source is None else Constant(source)


# Types: of each recursive group of more than one, a tuple.


def write_types(program: Program) -> tuple[Any, ...]:
    indexes = type_indexes(program.types)
    rows: list[Any] = []
    at = 0
    while at < len(program.types):
        members = program.types[at].group.types
        # Within a group a type is itself, though an equal one may come before.
        own = {**indexes, **{member: at + place for place, member in enumerate(members)}}
        texts = tuple(str(opened(member.subtype(own), own)) for member in members)
        rows.append(texts if len(texts) > 1 else texts[0])
        at += len(members)
    return tuple(rows)


def read_types(rows: Sequence[Any], _: Reading) -> list[DefType]:
    types = []
    recs = []
    for row in rows:
        if isinstance(row, str):
            types.append(type_text.subtype(row))
        else:
            recs.append((len(types), len(row)))
            types += map(type_text.subtype, row)
    return define(types, recs)


# Imports: module, name, kind, type.

_READERS: dict[str, Callable[[str], ExternType]] = {
    "table": type_text.tabletype,
    "memory": type_text.memorytype,
    "global": type_text.globaltype,
}
_KINDS = {TableType: "table", MemoryType: "memory", GlobalType: "global"}


def write_imports(program: Program) -> tuple[Any, ...]:
    indexes = type_indexes(program.types)

    def row(spec: ImportSpec) -> tuple[str, str, str, int | str]:
        if isinstance(spec.type, DefType):
            return spec.module, spec.name, "func", indexes[spec.type]
        if isinstance(spec.type, TagType):
            return spec.module, spec.name, "tag", indexes[spec.type.type]
        said = str(opened(spec.type, indexes))
        return spec.module, spec.name, _KINDS[type(spec.type)], said

    return tuple(map(row, program.imports))


def read_imports(rows: Sequence[Any], reading: Reading) -> list[ImportSpec]:
    def type_of(kind: str, said: Any) -> ExternType:
        reader = _READERS.get(kind)
        if reader is not None:
            return close(reader(said), reading.types)
        deftype = reading.types[said]
        return TagType(deftype) if kind == "tag" else deftype

    return [ImportSpec(module, name, type_of(kind, said)) for module, name, kind, said in rows]


# The index spaces: the types of what is defined.


def write_functions(program: Program) -> tuple[int, ...]:
    indexes = type_indexes(program.types)
    return tuple(indexes[t] for t in program.functions[program.imported(DefType) :])


def read_functions(rows: Sequence[int], reading: Reading) -> list[DefType]:
    return reading.space(DefType, [reading.types[index] for index in rows])


def write_tags(program: Program) -> tuple[int, ...]:
    indexes = type_indexes(program.types)
    return tuple(indexes[t.type] for t in program.tags[program.imported(TagType) :])


def read_tags(rows: Sequence[int], reading: Reading) -> list[TagType]:
    return reading.space(TagType, [TagType(reading.types[index]) for index in rows])


def space(name: str, kind: type[Type], read: Callable[[str], Type]) -> Section:
    """The section of an index space but that of functions."""

    def write(program: Program) -> tuple[str, ...]:
        indexes = type_indexes(program.types)
        own = getattr(program, name)[program.imported(kind) :]
        return tuple(str(opened(each, indexes)) for each in own)

    return Section(name, write, lambda rows, reading: reading.space(kind, map(read, rows)))


# Segments. Elements: mode, tableidx, offset, the elements, their type. Data: at, size, memidx,
# offset.


def write_elems(program: Program) -> tuple[Any, ...]:
    indexes = type_indexes(program.types)
    return tuple(
        (
            spec.mode,
            spec.tableidx,
            source(spec.offset),
            tuple(i.source if isinstance(i, Constant) else i for i in spec.init),
            str(opened(spec.type, indexes)),
        )
        for spec in program.elems
    )


def read_elems(rows: Sequence[Any], reading: Reading) -> list[ElemSpec]:
    return [
        ElemSpec(
            mode,
            [Constant(i) if isinstance(i, str) else i for i in init],
            table,
            constant(offset),
            cast(RefType, close(type_text.valtype(said), reading.types)),
        )
        for mode, table, offset, init, said in rows
    ]


def write_datas(program: Program) -> tuple[Any, ...]:
    return tuple(
        (spec.at, len(spec.content), spec.memidx, source(spec.offset)) for spec in program.datas
    )


def read_datas(rows: Sequence[Any], reading: Reading) -> DataSpecs:
    specs = ((at, size, memory, constant(offset)) for at, size, memory, offset in rows)
    return DataSpecs.of(reading.binary, specs)


#: In the order in which they are written, and read.
SECTIONS: tuple[Section, ...] = (
    field("name"),
    Section("hash", lambda p: p.hash.hex(), lambda digits, _: bytes.fromhex(digits)),
    Section("types", write_types, read_types),
    Section("imports", write_imports, read_imports),
    Section("functions", write_functions, read_functions),
    Section(
        "function_names",
        lambda p: tuple(sorted(p.function_names.items())),
        lambda rows, _: dict(rows),
    ),
    space("tables", TableType, type_text.tabletype),
    Section(
        "tables_init",
        lambda p: tuple((index, source(init)) for index, init in sorted(p.tables_init.items())),
        lambda rows, _: {index: Constant(row) for index, row in rows},
    ),
    space("memories", MemoryType, type_text.memorytype),
    Section("tags", write_tags, read_tags),
    space("globals", GlobalType, type_text.globaltype),
    Section(
        "globals_init",
        lambda p: tuple(map(source, p.globals_init)),
        lambda rows, _: [Constant(row) for row in rows],
    ),
    Section(
        "exports",
        lambda p: tuple(map(tuple, p.exports)),
        lambda rows, _: list(rows),
    ),
    field("start"),
    Section("elems", write_elems, read_elems),
    Section("datas", write_datas, read_datas),
    Section("recursive", lambda p: tuple(sorted(p.recursive)), lambda rows, _: frozenset(rows)),
    Section(
        "tail_calls",
        lambda p: tuple((i, tuple(a), tuple(b)) for i, (a, b) in sorted(p.tail_calls.items())),
        lambda rows, _: {index: (by_name, by_type) for index, by_name, by_type in rows},
    ),
)
