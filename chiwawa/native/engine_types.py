"""wasmtime's objects for types of functions and globals.

Its C API makes types of numbers, vectors and two kinds of references alone. For all others it is
asked what a module imports that imports something of the type: so that is the same type as any
module's.
"""

from __future__ import annotations

from typing import Any

import wasmtime

from chiwawa.binary.encode import encode
from chiwawa.module import Import, Module, TagUse, TypeUse
from chiwawa.native import capi
from chiwawa_runtime.state.deftypes import of_functype, opened
from chiwawa_runtime.state.types import V128, DefType, GlobalType, Group, ValType, mapped


def function_type(engine: wasmtime.Engine, deftype: DefType) -> wasmtime.FuncType:
    functype = deftype.functype
    if is_plain(*functype.params, *functype.results) and of_functype(functype) is deftype:
        return capi.func_type(functype)
    module, indexes = with_types(deftype)
    found: wasmtime.FuncType = imported(engine, module, TypeUse(indexes[deftype]))
    return found


def tag_type(engine: wasmtime.Engine, deftype: DefType) -> wasmtime.TagType:
    functype = deftype.functype
    if is_plain(*functype.params) and of_functype(functype) is deftype:
        return wasmtime.TagType(capi.func_type(functype))
    module, indexes = with_types(deftype)
    found: wasmtime.TagType = imported(engine, module, TagUse(indexes[deftype]))
    return found


def constant_type(engine: wasmtime.Engine, valtype: ValType) -> wasmtime.GlobalType:
    """The type of an immutable global."""
    if is_plain(valtype):
        return capi.constant_type(valtype)
    module, indexes = with_types(valtype)
    opened_ = opened(GlobalType(valtype, False), indexes)
    found: wasmtime.GlobalType = imported(engine, module, opened_)
    return found


def is_plain(*types: ValType) -> bool:
    """Whether the C API makes them all."""
    return all(valtype is V128 or str(valtype) in capi.VALTYPE_KINDS for valtype in types)


def imported(engine: wasmtime.Engine, module: Module, desc: TypeUse | TagUse | GlobalType) -> Any:
    """The type of an import of ``module``."""
    module.import_section.append(Import("", "", desc))
    return wasmtime.Module(engine, encode(module)).imports[0].type


def with_types(thing: DefType | ValType) -> tuple[Module, dict[DefType, int]]:
    """A module that has the defined types that a closed type leads to, and their indices."""
    module = Module()
    indexes: dict[DefType, int] = {}
    for group in groups_of(thing):
        start = len(indexes)
        indexes |= {each: start + each.place for each in group.types}
        if len(group.types) > 1:
            module.recs.append((start, len(group.types)))
        module.types += [opened(each.subtype(indexes), indexes) for each in group.types]
    return module, indexes


def groups_of(thing: DefType | ValType) -> list[Group]:
    """The recursive groups that a closed type leads to, each behind those that it names."""
    found: list[Group] = []
    #: Those that are being looked at, with the types that are yet to be.
    open_: list[tuple[Group, list[DefType]]] = []
    seen: set[Group] = set()

    def enter(deftype: DefType) -> None:
        if deftype.group not in seen:
            seen.add(deftype.group)
            named = [n for each in deftype.group.types for n in named_by(each)]
            open_.append((deftype.group, named))

    for each in [thing] if isinstance(thing, DefType) else named_in(thing):
        enter(each)
        while open_:
            group, named = open_[-1]
            if named:
                enter(named.pop())
            else:
                found.append(group)
                open_.pop()
    return found


def named_by(deftype: DefType) -> list[DefType]:
    return [*deftype.supertypes, *named_in(deftype.comp)]


def named_in(thing: Any) -> list[DefType]:
    """The defined types that a closed type names."""
    named: list[DefType] = []

    def note(heap: Any) -> Any:
        if isinstance(heap, DefType):
            named.append(heap)
        return heap

    mapped(thing, note)
    return named
