"""Whether a module is valid (spec 3.4): everything but the instructions themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from chiwawa.module import Data, Elem, Expr, Func, Module
from chiwawa.validate.body import Body, check_expr
from chiwawa.validate.context import Context, build_context, matches
from chiwawa.validate.rules import PLANS
from chiwawa_runtime.errors import InvalidError, UnsupportedError
from chiwawa_runtime.types import (
    I32,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    ValType,
)

#: What a constant expression may consist of (spec 3.3.9); a global that it reads is immutable.
CONSTANT = frozenset(
    {
        "i32.const",
        "i64.const",
        "f32.const",
        "f64.const",
        "ref.null",
        "ref.func",
        "global.get",
        "end",
    }
)
MAX_TABLE = (1 << 32) - 1
#: Pages, by the width of an address.
MAX_PAGES = {32: 1 << 16, 64: 1 << 48}
#: The bound that engines share on the parameters, and on the results, of one type.
MAX_ARITY = 1000


def validate(module: Module) -> None:
    """Raises InvalidError, in the suite's words, unless ``module`` is valid. ``function`` is the
    function's index, imports first, and ``offset`` the code offset of the instruction at fault; in
    a constant expression ``function`` is None. UnsupportedError: more than we can hold."""
    for functype in module.types:
        _functype(functype)
    context = build_context(module)
    for table in context.tables:
        _limits(table.limits, MAX_TABLE, "table size must be at most 2^32-1 elements")
    for memory in context.mems:
        _memory(memory)
    # A constant expression sees the imported globals only.
    imported = [cast(GlobalType, i.desc) for i in module.imported(GlobalType)]
    constants = replace(context, globals=imported)
    for item in module.globals:
        _const(constants, item.init, item.type.type)
    _exports(context, module)
    if module.start is not None and context.func(module.start) != FuncType((), ()):
        raise InvalidError("start function must have type [] -> []")
    for elem in module.elems:
        _elem(constants, elem)
    for data in module.datas:
        _data(constants, data)
    first = len(context.funcs) - len(module.funcs)
    for index, func in enumerate(module.funcs, first):
        _func(context, func, index)


def _functype(functype: FuncType) -> None:
    """Spec 3.2.3: always valid."""
    if max(len(functype.params), len(functype.results)) > MAX_ARITY:
        raise UnsupportedError(f"a type of more than {MAX_ARITY} parameters or results")


def _limits(limits: Limits, bound: int, message: str) -> None:
    """Spec 3.2.1."""
    if limits.min > bound or (limits.max is not None and limits.max > bound):
        raise InvalidError(message)
    if limits.max is not None and limits.min > limits.max:
        raise InvalidError("size minimum must not be greater than maximum")


def _memory(memory: MemoryType) -> None:
    """Spec 3.2.5."""
    bound = MAX_PAGES[memory.limits.address.bits]
    message = "memory size must be at most 65536 pages (4GiB)"
    if memory.limits.address != I32:
        message = f"memory size must be at most {bound} pages"
    _limits(memory.limits, bound, message)


def _const(context: Context, expr: Expr, expected: ValType) -> None:
    """Spec 3.3.9: an expression of type ``expected``, and constant."""
    for instr in expr:
        constant = instr.op.name in CONSTANT
        if constant and instr.op.name == "global.get":
            constant = not context.globaltype(cast(int, instr.imm[0])).mutable
        if not constant:
            raise InvalidError("constant expression required", offset=instr.offset)
    check_expr(Body(context, (), (expected,)), expr, PLANS)


def _exports(context: Context, module: Module) -> None:
    """Spec 3.4.8."""
    spaces = {
        "func": context.func,
        "table": context.table,
        "memory": context.memory,
        "global": context.globaltype,
    }
    seen: set[str] = set()
    for export in module.exports:
        spaces[export.kind](export.index)
        if export.name in seen:
            raise InvalidError(f"duplicate export name {export.name!r}")
        seen.add(export.name)


def _elem(context: Context, elem: Elem) -> None:
    """Spec 3.4.5."""
    for init in elem.init:
        _const(context, init, elem.type)
    if elem.mode == "active":
        table = context.table(elem.tableidx)
        if not matches(elem.type, table.element):
            raise InvalidError(
                f"type mismatch: elements of {elem.type} for a table of {table.element}"
            )
        _const(context, elem.offset, table.limits.address)


def _data(context: Context, data: Data) -> None:
    """Spec 3.4.6."""
    if data.mode == "active":
        memory = context.memory(data.memidx)
        _const(context, data.offset, memory.limits.address)


def _func(context: Context, func: Func, index: int) -> None:
    """Spec 3.4.1."""
    functype = context.type(func.typeidx)
    body = Body(context, functype.params + func.locals, functype.results)
    try:
        check_expr(body, func.body, PLANS)
    except InvalidError as error:
        error.function = index
        raise
