"""Whether a module is valid (spec 3.4): everything but the instructions themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from chiwawa import limits
from chiwawa.module import Data, Elem, Expr, Func, Module, PlainExpr, TypeUse
from chiwawa.validate.body import Body, Boundaries, check_expr
from chiwawa.validate.context import Context, build_context, matches
from chiwawa.validate.rules import TYPINGS
from chiwawa_runtime.errors import Field, InvalidError, UnsupportedError
from chiwawa_runtime.state.types import (
    I32,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
    ValType,
)

T = TypeVar("T")

#: Elements of a table, by the width of an index.
MAX_TABLE = {32: (1 << 32) - 1, 64: (1 << 64) - 1}
#: Pages, by the width of an address.
MAX_PAGES = {32: 1 << 16, 64: 1 << 48}


@dataclass(slots=True)
class _Place:
    """What is being looked at, as in ``Field``."""

    kind: str = "type"
    index: int = 0
    expression: int = 0


class BodyChecks:
    """Checks the bodies of a module while it is read, one after the other, so that it never has to
    be there whole: give it to ``binary.decode``, and then to ``validate``. What is wrong is kept,
    because something that comes first by the rules may be wrong further on."""

    def __init__(self) -> None:
        self.context: Context | None = None
        #: The function, by its position, that is the first to be wrong.
        self.index = 0
        self.error: InvalidError | UnsupportedError | None = None

    def __call__(self, module: Module, index: int, body: PlainExpr) -> None:
        if self.error is not None:
            return
        try:
            if self.context is None:
                for typeidx in module.func_typeidxs():
                    _typeuse(module, typeidx)
                context = build_context(module)
                # The segments come after the code, and are counted before it.
                self.context = replace(context, datas=module.data_count or 0)
            check_expr(_body(self.context, module.funcs[index]), body, TYPINGS)
        except (InvalidError, UnsupportedError) as error:
            self.index, self.error = index, error


def validate(module: Module, checks: BodyChecks | None = None) -> None:
    """Raises InvalidError, in the suite's words, unless ``module`` is valid. ``field`` says where;
    ``function`` is the function's index, imports first, and ``offset`` the code offset of the
    instruction at fault; in a constant expression ``function`` is None. UnsupportedError: more
    than we can hold. ``checks``, if given, has checked the bodies already."""
    place = _Place()
    try:
        _module(module, place, checks)
    except InvalidError as error:
        error.field = Field(place.kind, place.index, place.expression, error.offset)
        if place.kind == "func":
            error.function = len(module.func_typeidxs()) - len(module.funcs) + place.index
            error.name = module.func_names().get(error.function)
        raise
    except UnsupportedError as error:
        error.field = Field(place.kind, place.index)
        raise


def _each(place: _Place, kind: str, items: Iterable[T]) -> Iterator[T]:
    """The items of a kind, each of which is the one being looked at."""
    place.kind, place.expression = kind, 0
    for place.index, item in enumerate(items):
        yield item


def _module(module: Module, place: _Place, checks: BodyChecks | None) -> None:
    for functype in _each(place, "type", module.types):
        _functype(functype)
    for item in _each(place, "import", module.imports):
        if isinstance(item.desc, TypeUse):
            _typeuse(module, item.desc.typeidx)
        elif isinstance(item.desc, TableType):
            _table(item.desc)
        elif isinstance(item.desc, MemoryType):
            _memory(item.desc)
    for func in _each(place, "func", module.funcs):
        _typeuse(module, func.typeidx)
    context = build_context(module)
    for table in _each(place, "table", module.tables):
        _table(table)
    for memory in _each(place, "memory", module.mems):
        _memory(memory)
    # A global's initialiser sees those before it only.
    before = [cast(GlobalType, i.desc) for i in module.imported(GlobalType)]
    constants = replace(context, globals=before)
    for glob in _each(place, "global", module.globals):
        _const(constants, glob.init, glob.type.type)
        before.append(glob.type)
    _exports(context, module, place)
    if module.start is not None:
        place.kind, place.index = "start", 0
        if context.func(module.start) != FuncType((), ()):
            raise InvalidError("start function must have type [] -> []")
    for elem in _each(place, "elem", module.elems):
        _elem(context, elem, place)
    for data in _each(place, "data", module.datas):
        _data(context, data)
    if checks is None:
        for func in _each(place, "func", module.funcs):
            check_expr(_body(context, func), func.body, TYPINGS)
    elif checks.error is not None:
        place.kind, place.index, place.expression = "func", checks.index, 0
        raise checks.error


def _typeuse(module: Module, typeidx: int) -> None:
    """Spec 3.2.2."""
    if typeidx >= len(module.types):
        raise InvalidError(f"unknown type {typeidx}")


def _functype(functype: FuncType) -> None:
    """Spec 3.2.3: always valid."""
    if max(len(functype.params), len(functype.results)) > limits.ARITY:
        what = limits.more_than(limits.ARITY, "parameters or results of a type")
        raise UnsupportedError(f"{what} is not supported")


def _limits(limits: Limits, bound: int, message: str) -> None:
    """Spec 3.2.1."""
    if limits.min > bound or (limits.max is not None and limits.max > bound):
        raise InvalidError(message)
    if limits.max is not None and limits.min > limits.max:
        raise InvalidError("size minimum must not be greater than maximum")


def _table(table: TableType) -> None:
    """Spec 3.2.4."""
    bits = table.limits.address.bits
    _limits(table.limits, MAX_TABLE[bits], f"table size must be at most 2^{bits}-1 elements")


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
        constant = instr.op.constant
        index = instr.imm[0] if constant and "globalidx" in instr.op.immediates else None
        # One that is not there is for the rule of the instruction to refuse.
        if index is not None and index < len(context.globals):
            constant = not context.globals[index].mutable
        if not constant:
            raise InvalidError("constant expression required", offset=instr.offset)
    check_expr(Body(context, (), (expected,)), expr, TYPINGS)


def _exports(context: Context, module: Module, place: _Place) -> None:
    """Spec 3.4.8."""
    spaces = {
        "func": context.func,
        "table": context.table,
        "memory": context.memory,
        "global": context.globaltype,
    }
    seen: set[str] = set()
    for export in _each(place, "export", module.exports):
        spaces[export.kind](export.index)
        if export.name in seen:
            raise InvalidError(f"duplicate export name {export.name!r}")
        seen.add(export.name)


def _elem(context: Context, elem: Elem, place: _Place) -> None:
    """Spec 3.4.5."""
    place.expression = 0
    if elem.mode == "active":
        table = context.table(elem.tableidx)
        if not matches(elem.type, table.element):
            raise InvalidError(
                f"type mismatch: elements of {elem.type} for a table of {table.element}"
            )
        _const(context, elem.offset, table.limits.address)
    for place.expression, init in enumerate(elem.init, 1):
        _const(context, init, elem.type)


def _data(context: Context, data: Data) -> None:
    """Spec 3.4.6."""
    if data.mode == "active":
        memory = context.memory(data.memidx)
        _const(context, data.offset, memory.limits.address)


def _body(context: Context, func: Func) -> Body:
    """Spec 3.4.1."""
    functype = context.type(func.typeidx)
    return Body(context, functype.params + func.locals, functype.results)


def type_body(context: Context, func: Func, instrs: Expr) -> tuple[Body, Boundaries]:
    """What validation finds out about ``func``, which is valid and whose body is ``instrs``."""
    body, boundaries = _body(context, func), Boundaries()
    check_expr(body, instrs, TYPINGS, boundaries)
    return body, boundaries
