"""A module as the running side knows it: everything but its code."""

from __future__ import annotations

from chiwawa.lower.lowered import Spaces, recursive_functions
from chiwawa.meanings.constants import constant, reference
from chiwawa.module import Module, TypeUse
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
        init = [Constant(r) if isinstance(r, str) else r for r in map(reference, elem.init)]
        offset = Constant(constant(elem.offset)) if elem.mode == "active" else None
        elems.append(ElemSpec(elem.mode, init, elem.tableidx, offset))
    datas = []
    for data in module.datas:
        offset = Constant(constant(data.offset)) if data.mode == "active" else None
        assert data.at is not None
        datas.append(DataSpec(data.init, data.at, data.memidx, offset))
    return Program(
        name=module.names.module or "",
        hash=module.hash,
        types=module.types,
        functions=spaces.funcs,
        imports=imports,
        function_names=module.func_names(),
        tables=module.table_types(),
        memories=module.memory_types(),
        globals=module.global_types(),
        globals_init=[Constant(constant(g.init)) for g in module.globals],
        exports=[(e.name, e.kind, e.index) for e in module.exports],
        start=module.start,
        elems=elems,
        datas=datas,
        recursive=recursive_functions(spaces),
    )
