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
from chiwawa_runtime.state.types import (
    FuncType,
    GlobalType,
    MemoryType,
    RefType,
    TableType,
    ValType,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """Index spaces, imports first. ``refs`` are the functions that a body may take a reference
    of."""

    types: Sequence[FuncType]
    funcs: Sequence[FuncType]
    tables: Sequence[TableType]
    mems: Sequence[MemoryType]
    globals: Sequence[GlobalType]
    elems: Sequence[RefType]
    datas: int
    refs: frozenset[int]

    def type(self, index: int) -> FuncType:
        return _at(self.types, index, "type")

    def func(self, index: int) -> FuncType:
        return _at(self.funcs, index, "function")

    def table(self, index: int) -> TableType:
        return _at(self.tables, index, "table")

    def memory(self, index: int) -> MemoryType:
        return _at(self.mems, index, "memory")

    def globaltype(self, index: int) -> GlobalType:
        return _at(self.globals, index, "global")

    def elem(self, index: int) -> RefType:
        return _at(self.elems, index, "elem segment")

    def data(self, index: int) -> None:
        _at(range(self.datas), index, "data segment")


def _at(space: Sequence[T], index: int, noun: str) -> T:
    if index >= len(space):
        raise InvalidError(f"unknown {noun} {index}")
    return space[index]


def matches(actual: ValType, expected: ValType) -> bool:
    """Whether a value of type ``actual`` will do for ``expected``. Wasm 2.0 has no subtypes, but
    equal types need not be identical."""
    return actual == expected


def build_context(module: Module) -> Context:
    """The context of the whole module, whose functions have types that are there."""
    return Context(
        types=module.types,
        funcs=module.func_types(),
        tables=module.table_types(),
        mems=module.memory_types(),
        globals=module.global_types(),
        elems=[elem.type for elem in module.elems],
        datas=len(module.datas),
        refs=frozenset(_declared(module)),
    )


def _declared(module: Module) -> Iterator[int]:
    """Spec 3.4.10: the functions that occur in the module outside of functions and the start."""
    for export in module.exports:
        if export.kind == "func":
            yield export.index
    for item in module.globals:
        yield from _mentioned(item.init)
    for elem in module.elems:
        yield from _mentioned(elem.offset)
        for init in elem.init:
            yield from _mentioned(init)
    for data in module.datas:
        yield from _mentioned(data.offset)


def _mentioned(expr: Expr) -> Iterator[int]:
    return (cast(int, instr.imm[0]) for instr in expr if instr.op.refers)
