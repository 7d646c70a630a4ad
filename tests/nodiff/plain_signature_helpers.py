"""A module whose exported functions take and give numbers alone, for an engine whose Python package
has no other values: a vector is two numbers, a reference whether it is null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from chiwawa.binary import encode
from chiwawa.lower.lowered import Spaces
from chiwawa.module import Func, Instr, Module, TypeUse
from chiwawa.opcodes import BY_NAME
from chiwawa.source import load
from chiwawa_runtime.names import quoted
from chiwawa_runtime.state.types import I32, I64, V128, FuncType, NumType, RefType, ValType

_HALF = (1 << 64) - 1


def plain_bits(bits: int | None, valtype: ValType) -> list[int]:
    """What a parameter of this type is passed as. A reference is null, and left out."""
    if isinstance(valtype, RefType):
        return []
    assert bits is not None
    return [bits & _HALF, bits >> 64] if valtype is V128 else [bits]


def plain_result(value: Any, valtype: ValType) -> list[Any]:
    """What a result comes back as."""
    if isinstance(valtype, RefType):
        return [int(value is None)]
    if valtype is V128:
        number = int.from_bytes(value, "little")
        return [number & _HALF, number >> 64]
    return [value]


def adapter_of(module: Module) -> bytes | None:
    """A module that exports the functions with vectors which ``module`` imports, and imports them
    with plain signatures; None where there is none."""
    imports, exports = [], []
    for wanted in module.imported(TypeUse):
        assert isinstance(wanted.desc, TypeUse)
        functype = module.functype(wanted.desc.typeidx)
        assert functype is not None
        if V128 not in functype.params:
            continue
        assert V128 not in functype.results
        plain = " ".join(str(each) for t in functype.params for each in _plain_param(t))
        results = " ".join(map(str, functype.results))
        given = " ".join(
            f"(i64x2.extract_lane 0 (local.get {n})) (i64x2.extract_lane 1 (local.get {n}))"
            if t is V128
            else f"(local.get {n})"
            for n, t in enumerate(functype.params)
        )
        own, name = quoted(wanted.module), quoted(wanted.name)
        imports.append(f"(import {own} {name} (func (param {plain}) (result {results})))")
        params = " ".join(map(str, functype.params))
        exports.append(
            f"(func (export {name}) (param {params}) (result {results})"
            f" (call {len(exports)} {given}))"
        )
    return load(f"(module {' '.join([*imports, *exports])})").binary if exports else None


def with_plain_signatures(module: Module) -> bytes:
    """``module``, each function export that needs it called by a function that translates."""
    funcs = Spaces.of(module).funcs
    # What is in the module stays as it is; only these lists are others.
    made = replace(
        module,
        types=[*module.types],
        funcs=[*module.funcs],
        export_section=[],
        derived={},
        places=None,
    )
    for export in module.export_section:
        made.export_section.append(export)
        if export.kind != "func":
            continue
        # Its own types, by the module's indices.
        functype = module.functype(module.func_typeidxs()[export.index])
        assert functype is not None
        if all(isinstance(t, NumType) for t in (*functype.params, *functype.results)):
            continue
        if any(isinstance(t, RefType) and not t.nullable for t in functype.params):
            continue
        index = len(funcs) + len(made.funcs) - len(module.funcs)
        made.funcs.append(_translator(export.index, functype, len(made.types)))
        made.types.append(
            FuncType(
                tuple(each for t in functype.params for each in _plain_param(t)),
                tuple(each for t in functype.results for each in _plain_result_types(t)),
            )
        )
        made.export_section[-1] = replace(export, index=index)
    return encode(made) if len(made.funcs) > len(module.funcs) else module.binary


def _plain_param(valtype: ValType) -> Sequence[ValType]:
    return () if isinstance(valtype, RefType) else (I64, I64) if valtype is V128 else (valtype,)


def _plain_result_types(valtype: ValType) -> Sequence[ValType]:
    return (I32,) if isinstance(valtype, RefType) else (I64, I64) if valtype is V128 else (valtype,)


def _translator(function: int, functype: FuncType, typeidx: int) -> Func:
    params = sum(len(_plain_param(t)) for t in functype.params)
    locals_: list[ValType] = []
    body: list[Instr] = []

    def emit(name: str, *imm: object) -> None:
        body.append(Instr(BY_NAME[name], imm, 0))

    def local(valtype: ValType) -> int:
        locals_.append(valtype)
        return params + len(locals_) - 1

    place = 0
    for valtype in functype.params:
        if isinstance(valtype, RefType):
            emit("local.get", local(valtype))
            continue
        emit("local.get", place)
        if valtype is V128:
            emit("i64x2.splat")
            emit("local.get", place + 1)
            emit("i64x2.replace_lane", 1)
        place += len(_plain_param(valtype))
    emit("call", function)
    results = [(local(valtype), valtype) for valtype in functype.results]
    for index, _ in reversed(results):
        emit("local.set", index)
    for index, valtype in results:
        emit("local.get", index)
        if isinstance(valtype, RefType):
            emit("ref.is_null")
        elif valtype is V128:
            emit("i64x2.extract_lane", 0)
            emit("local.get", index)
            emit("i64x2.extract_lane", 1)
    emit("end")
    return Func(typeidx, tuple(locals_), body)
