"""Which modules the rewriter takes, and what it has to know of their references."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from chiwawa.lower.lowered import may_suspend
from chiwawa.module import Func, Module, TypeUse
from chiwawa.native import layout
from chiwawa.native.references import is_of_nothing
from chiwawa.native.unit import REFERENCES
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.state.subtyping import top
from chiwawa_runtime.state.types import FuncType, MemoryType, RefType, ValType


def check_names(module: Module) -> None:
    """Raises UnsupportedError where the module uses names that the rewriter gives."""
    named = [("export", e.name) for e in module.export_section]
    named += [("import", i.module) for i in module.import_section]
    for what, name in named:
        if name.startswith(layout.PREFIX):
            raise UnsupportedError(f'the native path: the {what} "{name}" has a name of its own')


def check_types(module: Module) -> None:
    """Raises UnsupportedError where the module has values that frames cannot keep."""
    if makes_objects(module):
        raise UnsupportedError("the native path: it makes structures or arrays")
    if any(i.desc.shared for i in module.imported(MemoryType) if isinstance(i.desc, MemoryType)):
        raise UnsupportedError("the native path: it imports a shared memory")
    # One that it has for itself might as well not be shared, but for who waits there.
    if any(memory.shared for memory in module.mems) and any(
        instr.op.pauses for func in module.funcs for instr in func.body
    ):
        raise UnsupportedError("the native path: it waits in a shared memory")
    for valtype in named_types(module):
        if isinstance(valtype, RefType) and not is_kept(valtype):
            raise UnsupportedError(f"the native path: it has values of type {valtype}")
    for index, func in enumerate(module.funcs, sum(1 for _ in module.imported(TypeUse))):
        functype = module.functype(func.typeidx)
        assert functype is not None
        # Where its frame has been saved, it returns some value.
        nothing = any(is_of_nothing(each, module) for each in functype.results)
        if nothing and may_suspend(func):
            raise UnsupportedError(
                f"the native path: function {index} returns what there is no value of"
            )


def makes_objects(module: Module) -> bool:
    """Whether an instruction in it makes a structure or an array. If none does, whatever could
    refer to one is null: its host has none to give."""
    if all(isinstance(each, FuncType) for each in module.types):
        return False
    bodies = (func.body for func in heaped_functions(module))
    exprs = chain(module.constants(), bodies)
    return any(instr.op.makes for expr in exprs for instr in expr)


def named_types(module: Module) -> set[ValType]:
    """The types of values that the module names, but in instructions."""
    named: set[ValType] = set()
    for index in range(len(module.types)):
        functype = module.functype(index)
        if functype is not None:
            named.update(functype.params, functype.results)
    for func in module.funcs:
        named.update(func.locals)
    named.update(t.element for t in module.table_types())
    named.update(t.type for t in module.global_types())
    return named


def heaped_functions(module: Module) -> Iterator[Func]:
    return (func for func in module.funcs if func.summary.heaped)


def is_kept(valtype: RefType) -> bool:
    """Whether frames can keep references of a type."""
    heap = valtype.heap
    return not isinstance(heap, str) or top(valtype) in REFERENCES


def is_exact(module: Module) -> bool:
    """Whether it says more of references than their hierarchy (see ``references``)."""
    return (
        bool(module.recs or module.table_inits)
        or any(not isinstance(each, FuncType) for each in module.types)
        or any(True for _ in heaped_functions(module))
        or any(isinstance(t, RefType) and t not in REFERENCES for t in named_types(module))
    )
