"""What an instruction may refer to: the index spaces of a module (spec 3.1.1).

A lookup outside a space raises InvalidError with the suite's "unknown …". This module knows no
instructions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from chiwawa.module import Expr, Module
from chiwawa_runtime.errors import InvalidError
from chiwawa_runtime.state.deftypes import close, define
from chiwawa_runtime.state.types import (
    ArrayType,
    DefType,
    FuncType,
    GlobalType,
    MemoryType,
    RefType,
    StructType,
    TableType,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """Index spaces, imports first, of closed types. ``refs`` are the functions that a body may take
    a reference of."""

    types: Sequence[DefType]
    funcs: Sequence[DefType]
    tables: Sequence[TableType]
    mems: Sequence[MemoryType]
    globals: Sequence[GlobalType]
    elems: Sequence[RefType]
    datas: int
    #: Their types.
    tags: Sequence[DefType]
    refs: frozenset[int]

    def type(self, index: int) -> DefType:
        return _at(self.types, index, "type")

    def functype(self, index: int) -> FuncType:
        comp = self.type(index).comp
        if not isinstance(comp, FuncType):
            raise InvalidError(f"type mismatch: type {index} is no function type")
        return comp

    def struct(self, index: int) -> StructType:
        comp = self.type(index).comp
        if not isinstance(comp, StructType):
            raise InvalidError(f"type mismatch: type {index} is no structure type")
        return comp

    def array(self, index: int) -> ArrayType:
        comp = self.type(index).comp
        if not isinstance(comp, ArrayType):
            raise InvalidError(f"type mismatch: type {index} is no array type")
        return comp

    def func(self, index: int) -> DefType:
        return _at(self.funcs, index, "function")

    def closed(self, thing: T) -> T:
        """A type of the module, or a tuple of types, closed."""
        return close(thing, self.types)

    def table(self, index: int) -> TableType:
        return _at(self.tables, index, "table")

    def memory(self, index: int) -> MemoryType:
        return _at(self.mems, index, "memory")

    def globaltype(self, index: int) -> GlobalType:
        return _at(self.globals, index, "global")

    def tag(self, index: int) -> DefType:
        return _at(self.tags, index, "tag")

    def elem(self, index: int) -> RefType:
        return _at(self.elems, index, "elem segment")

    def data(self, index: int) -> None:
        _at(range(self.datas), index, "data segment")


def _at(space: Sequence[T], index: int, noun: str) -> T:
    if index >= len(space):
        raise InvalidError(f"unknown {noun} {index}")
    return space[index]


def build_context(module: Module) -> Context:
    """The context of the whole module, whose functions and tags have types that are there. Raises
    InvalidError where some type names another that is not."""
    types = define(module.types, module.recs)

    def closed(things: Sequence[T]) -> list[T]:
        return [close(thing, types) for thing in things]

    return Context(
        types=types,
        funcs=[types[index] for index in module.func_typeidxs()],
        tables=closed(module.table_types()),
        mems=module.memory_types(),
        globals=closed(module.global_types()),
        elems=closed([elem.type for elem in module.elems]),
        datas=len(module.datas),
        tags=[types[index] for index in module.tag_typeidxs()],
        refs=frozenset(_declared(module)),
    )


def _declared(module: Module) -> Iterator[int]:
    """Spec 3.4.10: the functions that occur in the module outside of functions and the start."""
    for export in module.export_section:
        if export.kind == "func":
            yield export.index
    for item in module.globals:
        yield from _mentioned(item.init)
    for init in module.table_inits.values():
        yield from _mentioned(init)
    for elem in module.elems:
        yield from _mentioned(elem.offset)
        for init in elem.init:
            yield from _mentioned(init)
    for _, data in module.unplaced_datas():
        yield from _mentioned(data.offset)


def _mentioned(expr: Expr) -> Iterator[int]:
    return (cast(int, instr.imm[0]) for instr in expr if instr.op.refers)
