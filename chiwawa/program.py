"""A module as the running side knows it, for the interpreter; a generated file has its own."""

from __future__ import annotations

import hashlib
from typing import Any

from chiwawa.lower.lowered import Spaces, recursive_functions
from chiwawa.meanings.constants import constant, reference
from chiwawa.module import Expr, Module, TypeUse
from chiwawa_runtime.state.numerics import NAMESPACE
from chiwawa_runtime.state.program import Constant, DataSpec, ElemSpec, ImportSpec, Program


def program_of(module: Module) -> Program:
    """Everything but code. ``module`` is valid."""
    return module.once("program", lambda: _program_of(module))


def _program_of(module: Module) -> Program:
    spaces = Spaces.of(module)
    imports = []
    for i in module.imports:
        desc = module.types[i.desc.typeidx] if isinstance(i.desc, TypeUse) else i.desc
        imports.append(ImportSpec(i.module, i.name, desc))
    elems = []
    for elem in module.elems:
        init = [compiled(r) if isinstance(r, str) else r for r in map(reference, elem.init)]
        offset = compiled_constant(elem.offset) if elem.mode == "active" else None
        elems.append(ElemSpec(elem.mode, init, elem.tableidx, offset))
    datas = []
    for data in module.datas:
        offset = compiled_constant(data.offset) if data.mode == "active" else None
        datas.append(DataSpec(data.init, data.memidx, offset))
    return Program(
        name=module.names.module or "",
        hash=hashlib.sha256(module.binary).digest(),
        functions=spaces.funcs,
        imports=imports,
        function_names=module.func_names(),
        tables=module.table_types(),
        memories=module.memory_types(),
        globals=module.global_types(),
        globals_init=[compiled_constant(g.init) for g in module.globals],
        exports=[(e.name, e.kind, e.index) for e in module.exports],
        start=module.start,
        elems=elems,
        datas=datas,
        recursive=recursive_functions(spaces),
    )


_NAMES: dict[str, Any] = {**NAMESPACE, "inf": float("inf")}


def compiled(source: str) -> Constant:
    return eval(source, _NAMES)  # type: ignore[no-any-return]


def compiled_constant(expr: Expr) -> Constant:
    return compiled(constant(expr))
