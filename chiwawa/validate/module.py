"""Whether a module is valid (spec 3.4): everything but the instructions themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from chiwawa import limits
from chiwawa.module import Data, Elem, Expr, Func, Module, PlainExpr, TagUse, TypeUse
from chiwawa.validate.body import Body, Boundaries, check_expr
from chiwawa.validate.context import Context, build_context
from chiwawa.validate.rules import TYPINGS
from chiwawa_runtime.errors import Field, InvalidError, UnsupportedError
from chiwawa_runtime.state.deftypes import close, define, groups, sub
from chiwawa_runtime.state.subtyping import comp_matches, matches
from chiwawa_runtime.state.types import (
    I32,
    PAGE,
    CompType,
    DefType,
    FuncType,
    Limits,
    MemoryType,
    StructType,
    SubType,
    TableType,
    ValType,
    defaultable,
)

T = TypeVar("T")

#: Elements of a table, by the width of an index.
MAX_TABLE = {32: (1 << 32) - 1, 64: (1 << 64) - 1}


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
                for typeidx in (*module.func_typeidxs(), *module.tag_typeidxs()):
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
    types = _types(module, place)
    for item in _each(place, "import", module.import_section):
        if isinstance(item.desc, TypeUse):
            _typeuse(module, item.desc.typeidx)
        elif isinstance(item.desc, TagUse):
            _tag(module, item.desc.typeidx)
        elif isinstance(item.desc, TableType):
            _table(close(item.desc, types))
        elif isinstance(item.desc, MemoryType):
            _memory(item.desc)
        else:
            close(item.desc, types)
    for func in _each(place, "func", module.funcs):
        _typeuse(module, func.typeidx)
        close(func.locals, types)
    for glob in _each(place, "global", module.globals):
        close(glob.type, types)
    for elem in _each(place, "elem", module.elems):
        close(elem.type, types)
    for table in _each(place, "table", module.tables):
        close(table, types)
    for typeidx in _each(place, "tag", module.tags):
        _tag(module, typeidx)
    context = build_context(module)
    # What tables are full of is made before the globals that are defined here.
    before = context.globals[: len(context.globals) - len(module.globals)]
    constants = replace(context, globals=before)
    for table in _each(place, "table", module.tables):
        _table(table)
        init = module.table_inits.get(place.index)
        element = context.closed(table.element)
        if init is not None:
            _const(constants, init, element)
        elif not defaultable(element):
            raise InvalidError(f"type mismatch: a table of {element} has no default value")
    for memory in _each(place, "memory", module.mems):
        _memory(memory)
    # A global's initialiser sees those before it only.
    before = list(before)
    constants = replace(context, globals=before)
    for glob in _each(place, "global", module.globals):
        globaltype = context.closed(glob.type)
        _const(constants, glob.init, globaltype.type)
        before.append(globaltype)
    _exports(context, module, place)
    if module.start is not None:
        place.kind, place.index = "start", 0
        if context.func(module.start).comp != FuncType((), ()):
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
    if module.functype(typeidx) is None:
        raise InvalidError(f"type mismatch: type {typeidx} is no function type")


def _tag(module: Module, typeidx: int) -> None:
    """Spec 3.2.7."""
    _typeuse(module, typeidx)
    functype = module.functype(typeidx)
    assert functype is not None
    if functype.results:
        raise InvalidError("non-empty tag result type")


def _types(module: Module, place: _Place) -> list[DefType]:
    """Spec 3.2.9: what types name is before them or in their group, and a subtype fits below its
    supertype."""
    place.kind, place.expression = "type", 0
    defined: list[DefType] = []
    depths: list[int] = []
    for start, count in groups(len(module.types), module.recs):
        place.index = start
        if count == 1 and isinstance(module.types[start], FuncType):
            # Most by far.
            _arity(module.types[start])
        else:
            for place.index in range(start, start + count):
                _, supers, comp = sub(module.types[place.index])
                _arity(comp)
                if len(supers) > 1:
                    raise InvalidError("sub type with more than one super type")
                for above in supers:
                    if above >= place.index:
                        raise InvalidError(f"unknown type {above}")
    defined = define(module.types, module.recs)
    for place.index, deftype in enumerate(defined):
        _, supers, comp = sub(module.types[place.index])
        depths.append(1 + depths[supers[0]] if supers else 0)
        if depths[-1] > limits.SUPERTYPES:
            what = limits.more_than(limits.SUPERTYPES, "supertypes of a type")
            raise UnsupportedError(f"{what} is not supported")
        for above in supers:
            supertype = defined[above]
            if supertype.final:
                raise InvalidError(f"sub type {place.index} of the final type {above}")
            if not comp_matches(deftype.comp, supertype.comp):
                raise InvalidError(
                    f"sub type {place.index} does not match super type {above}: {deftype} is not "
                    f"a sub type of {supertype}"
                )
    return defined


def _arity(comp: CompType | SubType) -> None:
    """More values in a type than engines take are not ours either."""
    if isinstance(comp, FuncType) and max(len(comp.params), len(comp.results)) > limits.ARITY:
        what = limits.more_than(limits.ARITY, "parameters or results of a type")
        raise UnsupportedError(f"{what} is not supported")
    if isinstance(comp, StructType) and len(comp.fields) > limits.FIELDS:
        what = limits.more_than(limits.FIELDS, "fields of a structure type")
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
    if memory.page not in (1, PAGE):
        raise InvalidError("invalid custom page size")
    bound = memory.most_pages
    message = "memory size must be at most 65536 pages (4GiB)"
    if memory.limits.address != I32 or memory.page != PAGE:
        message = f"memory size must be at most {bound} pages"
    _limits(memory.limits, bound, message)
    if memory.shared and memory.limits.max is None:
        raise InvalidError("shared memory must have maximum")


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
        "tag": context.tag,
    }
    seen: set[str] = set()
    for export in _each(place, "export", module.export_section):
        spaces[export.kind](export.index)
        if export.name in seen:
            raise InvalidError(f"duplicate export name {export.name!r}")
        seen.add(export.name)


def _elem(context: Context, elem: Elem, place: _Place) -> None:
    """Spec 3.4.5."""
    place.expression = 0
    if elem.mode == "active":
        table = context.table(elem.tableidx)
        if not matches(context.closed(elem.type), table.element):
            raise InvalidError(
                f"type mismatch: elements of {elem.type} for a table of {table.element}"
            )
        _const(context, elem.offset, table.limits.address)
    for place.expression, init in enumerate(elem.init, 1):
        _const(context, init, context.closed(elem.type))


def _data(context: Context, data: Data) -> None:
    """Spec 3.4.6."""
    if data.mode == "active":
        memory = context.memory(data.memidx)
        _const(context, data.offset, memory.limits.address)


def _body(context: Context, func: Func) -> Body:
    """Spec 3.4.1."""
    functype = context.functype(func.typeidx)
    local_types = functype.params + context.closed(func.locals)
    return Body(context, local_types, functype.results, len(functype.params))


def type_body(context: Context, func: Func, instrs: Expr) -> tuple[Body, Boundaries]:
    """What validation finds out about ``func``, which is valid and whose body is ``instrs``."""
    body, boundaries = _body(context, func), Boundaries()
    check_expr(body, instrs, TYPINGS, boundaries)
    return body, boundaries
