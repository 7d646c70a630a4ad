"""A module as the running side knows it: everything but its code."""

from __future__ import annotations

from chiwawa.lower.lowered import Spaces, recursive_functions
from chiwawa.meanings.constants import constant, reference
from chiwawa.module import Module, extern_type
from chiwawa_runtime.state.deftypes import close
from chiwawa_runtime.state.program import Constant, DataSpec, ElemSpec, ImportSpec, Program
from chiwawa_runtime.state.types import TagType


def program_of(module: Module) -> Program:
    """Everything but code. ``module`` is valid."""
    return module.once("program", lambda: _program_of(module))


def _program_of(module: Module) -> Program:
    spaces = Spaces.of(module)
    tables = len(spaces.context.tables)
    imports = [
        ImportSpec(i.module, i.name, extern_type(i.desc, spaces.types))
        for i in module.import_section
    ]
    elems = []
    for elem in module.elems:
        references = [reference(each, spaces.types) for each in elem.init]
        init = [Constant(r) if isinstance(r, str) else r for r in references]
        offset = Constant(constant(elem.offset, spaces.types)) if elem.mode == "active" else None
        elems.append(
            ElemSpec(elem.mode, init, elem.tableidx, offset, close(elem.type, spaces.types))
        )
    datas = []
    for data in module.datas:
        offset = Constant(constant(data.offset, spaces.types)) if data.mode == "active" else None
        assert data.at is not None
        datas.append(DataSpec(data.init, data.at, data.memidx, offset))
    return Program(
        name=module.names.module or "",
        hash=module.hash,
        types=spaces.types,
        functions=spaces.funcs,
        imports=imports,
        function_names=module.func_names(),
        tables=spaces.context.tables,
        tables_init={
            tables - len(module.tables) + place: Constant(constant(full_of, spaces.types))
            for place, full_of in module.table_inits.items()
        },
        memories=module.memory_types(),
        tags=[TagType(deftype) for deftype in spaces.context.tags],
        globals=spaces.context.globals,
        globals_init=[Constant(constant(g.init, spaces.types)) for g in module.globals],
        exports=[(e.name, e.kind, e.index) for e in module.export_section],
        start=module.start,
        elems=elems,
        datas=datas,
        recursive=recursive_functions(spaces),
        tail_calls={
            index: (func.summary.tails, func.summary.tail_types)
            for index, func in enumerate(module.funcs, spaces.imported_funcs)
            if func.summary.ends_in_calls
        },
    )
