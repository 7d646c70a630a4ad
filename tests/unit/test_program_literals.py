"""A program as literals, as a file's text, and back."""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiwawa.aot.file import literal
from chiwawa.program import program_of
from chiwawa.source import load
from chiwawa_runtime.state.deftypes import close, define
from chiwawa_runtime.state.program import Constant, DataSpecs, ElemSpec, ImportSpec, Program
from chiwawa_runtime.state.program_literals import SECTIONS, from_literals, to_literals
from chiwawa_runtime.state.types import (
    FUNCREF,
    I64,
    CompType,
    DefType,
    GlobalType,
    Limits,
    MemoryType,
    SubType,
    TableType,
    TagType,
    mapped,
)
from tests.unit.type_helpers import functypes, globaltypes, memorytypes, subtypes, tabletypes

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.wasm"))
BINARY = bytes(range(256))

names = st.text(max_size=8)
indexes = st.integers(0, 2**32 - 1)
constants = st.builds(Constant, st.text(max_size=8))


def within(thing: Any, count: int) -> Any:
    """``thing`` with type indices below ``count``."""
    return mapped(thing, lambda heap: heap % count if isinstance(heap, int) else heap)


@st.composite
def defined(draw: st.DrawFn) -> list[DefType]:
    """The types of a module, in groups, of which the last is a function type."""
    types: list[CompType | SubType] = []
    recs = []
    for size in draw(st.lists(st.integers(1, 3), max_size=3)):
        recs.append((len(types), size))
        end = len(types) + size
        for _ in range(size):
            subtype = within(draw(subtypes), end)
            if isinstance(subtype, SubType):
                above = tuple(i % len(types) for i in subtype.supers) if types else ()
                subtype = replace(subtype, supers=above)
            types.append(subtype)
    types.append(within(draw(functypes), len(types) + 1))
    return define(types, recs)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    types = draw(defined())
    of_functions = st.sampled_from([t for t in types if t.kind == "func"])

    def closed(kind: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return kind.map(lambda type_: close(within(type_, len(types)), types))

    kinds = (of_functions, closed(tabletypes), memorytypes, closed(globaltypes))
    imports = draw(st.lists(st.builds(ImportSpec, names, names, st.one_of(*kinds)), max_size=4))

    def space(kind: type, defined: st.SearchStrategy[Any]) -> list[Any]:
        imported = [i.type for i in imports if isinstance(i.type, kind)]
        return imported + draw(st.lists(defined, max_size=3))

    globals_ = space(GlobalType, closed(globaltypes))
    own = len(globals_) - sum(isinstance(i.type, GlobalType) for i in imports)
    starts = draw(st.lists(st.integers(0, 255), max_size=3))
    return Program(
        name=draw(names),
        hash=draw(st.binary(min_size=32, max_size=32)),
        types=types,
        functions=space(DefType, of_functions),
        imports=imports,
        function_names=draw(st.dictionaries(indexes, names, max_size=3)),
        tables=space(TableType, closed(tabletypes)),
        tables_init=draw(st.dictionaries(indexes, constants, max_size=2)),
        memories=space(MemoryType, memorytypes),
        tags=space(TagType, st.builds(TagType, of_functions)),
        globals=globals_,
        globals_init=[draw(constants) for _ in range(own)],
        exports=draw(
            st.lists(
                st.tuples(
                    names, st.sampled_from(["func", "table", "memory", "global", "tag"]), indexes
                ),
                max_size=3,
            )
        ),
        start=draw(st.none() | indexes),
        elems=draw(
            st.lists(
                st.builds(
                    ElemSpec,
                    st.sampled_from(["active", "passive", "declarative"]),
                    st.lists(indexes | st.none() | constants, max_size=4),
                    indexes,
                    st.none() | constants,
                ),
                max_size=3,
            )
        ),
        datas=DataSpecs.of(
            BINARY, [(at, 9, draw(indexes), draw(st.none() | constants)) for at in starts]
        ),
        recursive=frozenset(draw(st.lists(indexes, max_size=3))),
    )


def again(program: Program, binary: bytes) -> Program:
    """``program``, written as a file has it and read again."""
    return from_literals(ast.literal_eval("".join(literal(to_literals(program), 1))), binary)


@given(programs())
def test_a_program_is_read_as_it_was_written(program: Program) -> None:
    assert again(program, BINARY) == program


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_the_programs_of_the_samples_are_read_as_they_were_written(sample: Path) -> None:
    module = load(sample)
    program = program_of(module)
    assert again(program, module.binary) == program


def test_every_field_of_a_program_is_a_section() -> None:
    assert {section.name for section in SECTIONS} == {f.name for f in fields(Program)}


def test_memories_and_tables_keep_the_type_of_their_addresses() -> None:
    wide = MemoryType(Limits(1, 2**40, I64))
    table = TableType(Limits(3, None, I64), FUNCREF)
    program = Program(
        name="",
        hash=bytes(32),
        types=[],
        functions=[],
        imports=[ImportSpec("env", "m", wide), ImportSpec("env", "t", table)],
        memories=[wide, MemoryType(Limits(1)), wide],
        tables=[table, table],
    )
    read = again(program, b"")
    assert [memory.limits.address.name for memory in read.memories] == ["i64", "i32", "i64"]
    assert [table.limits.address.name for table in read.tables] == ["i64", "i64"]
    assert [spec.type for spec in read.imports] == [wide, table]
