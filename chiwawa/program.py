"""A module as the running side knows it: everything but its code."""

from __future__ import annotations

from chiwawa.lower.lowered import Spaces, recursive_functions, tailing_functions
from chiwawa.meanings.constants import constant, reference
from chiwawa.module import Module, extern_type
from chiwawa_runtime.state.data_segments import Contents
from chiwawa_runtime.state.deftypes import close
from chiwawa_runtime.state.program import Constant, DataSpecs, ElemSpec, ImportSpec, Program
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
    columns = module.data_columns()
    contents = Contents(module.binary, columns.at, columns.sizes)
    others = {}
    for index, data in module.unplaced_datas():
        offset = Constant(constant(data.offset, spaces.types)) if data.mode == "active" else None
        others[index] = data.memidx, offset
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
        datas=DataSpecs(contents, columns.places, others),
        recursive=recursive_functions(spaces),
        tail_calls={
            index: (summary.tails, summary.tail_types)
            for index in sorted(tailing_functions(spaces))
            for summary in (module.funcs[index - spaces.imported_funcs].summary,)
        },
    )
