"""The fields of a text module (spec 6.6), with all their abbreviations.

Two passes: the first declares, so that names can be used before their definitions; the second
defines, in the order of the text, which is also the order in which types written inline are added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chiwawa.module import (
    Custom,
    Data,
    Elem,
    Export,
    Expr,
    Func,
    Global,
    Import,
    Instr,
    Module,
    Names,
    TagUse,
    TypeUse,
    uses_data_indices,
)
from chiwawa.opcodes import BY_NAME
from chiwawa.wat.annotations import Annotations
from chiwawa.wat.context import (
    Context,
    bind,
    end,
    is_index,
    is_token,
    read_address,
    read_declared,
    read_globaltype,
    read_id,
    read_index,
    read_memorytype,
    read_name,
    read_pagesize,
    read_reftype,
    read_string,
    read_subtype,
    read_tabletype,
    read_typeuse,
)
from chiwawa.wat.instructions import Scope, read_instructions, read_offset
from chiwawa.wat.keywords import unexpected
from chiwawa.wat.tokens import Node, Nodes, is_word, keyword, misplaced, placed, position
from chiwawa_runtime.errors import InvalidError
from chiwawa_runtime.state.types import (
    FUNCREF,
    I32,
    I64,
    REF_FUNC,
    GlobalType,
    Limits,
    MemoryType,
    NumType,
    RefType,
    TableType,
)

_REF_FUNC = BY_NAME["ref.func"]
_CONST = {I32: BY_NAME["i32.const"], I64: BY_NAME["i64.const"]}
_END = Instr(BY_NAME["end"], (), 0)
#: What can be imported, and so defined with an inline import.
_IMPORTABLE = ("func", "table", "memory", "global", "tag")


@dataclass(frozen=True, slots=True)
class _Field:
    """A field and the index that it declares (-1: none). ``at`` is where, in ``items``, its
    content starts: behind the name, or in the descriptor of an import."""

    space: str
    items: Nodes
    at: int
    index: int


#: The annotations of a text that has none.
NONE = Annotations()


def read_fields(
    fields: Nodes, name: str | None = None, annotations: Annotations = NONE, inside: int = -1
) -> Module:
    """A module from its fields. Its offsets are 0 and ``binary`` is empty; ``names`` is filled.
    ``inside`` is where the list starts that they are in, where there is one; the annotations in it
    are yet to be checked to have been read."""
    context = _read(fields, name, Context(annotations=annotations))
    if context.early:
        # A type that stands further down, written inline: what it is has come out by now.
        again = Context(later=context.module.types, annotations=annotations)
        context = _read(fields, name, again)
    module = context.module
    module.customs = [
        Custom(section, data, _last_written(module, after))
        for section, data, after in annotations.customs(inside)
    ]
    return module


def _last_written(module: Module, after: int) -> int:
    """The id of the last section up to that of id ``after`` that there is something in."""
    contents: dict[int, object] = {
        1: module.types,
        2: module.import_section,
        3: module.funcs,
        4: module.tables,
        5: module.mems,
        13: module.tags,
        6: module.globals,
        7: module.export_section,
        8: module.start is not None,
        9: module.elems,
        12: after == 12 and uses_data_indices(module),
        10: module.funcs,
        11: module.datas,
    }
    last = 0
    for section, content in contents.items():
        if content:
            last = section
        if section == after:
            return last
    return 0


def _read(fields: Nodes, name: str | None, context: Context) -> Context:
    module = context.module
    module.names.module = name
    module.places = context.places
    types = [field for field in fields if keyword(field) in ("type", "rec")]
    named = [each for field in types for each in _types_in(field)]
    for index, items in enumerate(named):
        token, at = read_id(items, 2)
        context.note("type", index, items, at)
        if token is not None:
            bind(context.ids["type"], token, index, "type")
    for field in types:
        _define_types(context, field)
    declared = [
        _declare(context, field) for field in fields if keyword(field) not in ("type", "rec")
    ]
    for each in declared:
        context.here = position(each.items)
        _DEFINE[each.space](context, each)
    _fill_names(module.names, context)
    return context


def _types_in(field: Node) -> list[Nodes]:
    """The definitions in a field ``type`` or ``rec``."""
    assert isinstance(field, list)
    if keyword(field) == "type":
        return [field]
    found: list[Nodes] = []
    for node in field[2:-1]:
        if not isinstance(node, list) or keyword(node) != "type":
            raise unexpected(node)
        found.append(node)
    return found


def _define_types(context: Context, field: Node) -> None:
    types = _types_in(field)
    group = keyword(field) == "rec"
    if group:
        context.module.recs.append((context.counts["type"], len(types)))
    for items in types:
        context.here = position(items)
        _, i = read_id(items, 2)
        subtype = read_subtype(context, items[i], context.counts["type"])
        end(items, i + 1)
        context.add_type(subtype, alone=len(types) == 1)


def _declare(context: Context, field: Node) -> _Field:
    """The first pass over one field: its names, its indices, the order of imports."""
    space = keyword(field)
    if space is None or space not in _DEFINE:
        raise unexpected(field)
    assert isinstance(field, list)
    if space == "import":
        _may_import(context, field)
        return _declare_import(context, field)
    if space in ("export", "start"):
        return _Field(space, field, 2, -1)
    token, at = read_id(field, 2)
    index = context.declare(space, token)
    context.note(space, index, field, at)
    if space in _IMPORTABLE:
        i = at
        while keyword(field[i]) == "export":
            i += 1
        if keyword(field[i]) == "import":
            _may_import(context, field)
        else:
            context.defined = context.defined or space
            if space in ("table", "memory") and any(
                keyword(node) == ("elem" if space == "table" else "data") for node in field[i:-1]
            ):
                context.declare("elem" if space == "table" else "data", None)
    return _Field(space, field, at, index)


def _may_import(context: Context, field: Node) -> None:
    if context.defined is not None:
        word = "function" if context.defined == "func" else context.defined
        raise misplaced(f"import after {word}", field)


def _declare_import(context: Context, items: Nodes) -> _Field:
    descriptor = items[4] if len(items) > 5 else items[-1]
    space = keyword(descriptor)
    if space not in _IMPORTABLE:
        raise unexpected(descriptor)
    assert isinstance(descriptor, list)
    end(items, 5)
    token, at = read_id(descriptor, 2)
    index = context.declare(space, token)
    context.note(space, index, descriptor, at)
    return _Field("import", items, 2, index)


def _define_import(context: Context, field: _Field) -> None:
    items = field.items
    descriptor = items[4]
    assert isinstance(descriptor, list)
    _, i = read_id(descriptor, 2)
    space = keyword(descriptor)
    assert space is not None
    names = read_name(items[2]), read_name(items[3])
    _import(context, space, names, descriptor, i, field.index)


def _import(
    context: Context, space: str, names: tuple[str, str], items: Nodes, i: int, index: int
) -> None:
    desc: TypeUse | TableType | MemoryType | GlobalType | TagUse
    context.begin("import")
    if space == "func":
        ids: dict[str, int] = {}
        typeidx, functype, i = read_typeuse(context, items, i, ids)
        desc = TypeUse(context.typeidx(functype) if typeidx is None else typeidx)
        _name_locals(context, index, ids)
    elif space == "table":
        desc, i = read_tabletype(context, items, i)
    elif space == "memory":
        desc, i = read_memorytype(items, i)
    elif space == "tag":
        typeidx, i = _read_tagtype(context, items, i)
        desc = TagUse(typeidx)
    else:
        desc, i = read_globaltype(context, items, i)
    end(items, i)
    context.module.import_section.append(Import(*names, desc))


def _inline(context: Context, field: _Field) -> tuple[int, bool]:
    """Inline exports and an inline import: where the rest starts, and whether it was imported."""
    items, i = field.items, field.at
    while isinstance(node := items[i], list) and keyword(node) == "export":
        end(node, 3)
        context.begin("export", position(node))
        context.module.export_section.append(Export(read_name(node[2]), field.space, field.index))
        i += 1
    if isinstance(node, list) and keyword(node) == "import":
        names = read_name(node[2]), read_name(node[3])
        end(node, 4)
        _import(context, field.space, names, items, i + 1, field.index)
        return i, True
    return i, False


def _name_locals(context: Context, index: int, ids: dict[str, int]) -> None:
    noted = context.noted.pop("local", {})
    if ids or noted:
        names = {n: name for name, n in ids.items()} | noted
        context.module.names.locals[index] = names


def _define_func(context: Context, field: _Field) -> None:
    i, imported = _inline(context, field)
    if imported:
        return
    items = field.items
    context.begin("func")
    scope = Scope(context)
    typeidx, functype, i = read_typeuse(context, items, i, scope.locals)
    if typeidx is None:
        typeidx = context.typeidx(functype)
    types, i = read_declared(context, items, i, "local", scope.locals, len(functype.params))
    body = read_instructions(scope, items, i)
    context.module.funcs.append(Func(typeidx, tuple(types), body))
    _name_locals(context, field.index, scope.locals)
    if scope.label_names:
        context.module.names.labels[field.index] = scope.label_names
    if context.annotations:
        _read_hints(context, field, body)


def _read_hints(context: Context, field: _Field, body: Expr) -> None:
    """Spec of the branch hinting proposal: what hints in the function are about."""
    hints: dict[int, bool] = {}
    start = context.places.starts["func"][-1]
    for hint in context.annotations.hints(position(field.items), position(field.items[-1])):
        likely = hint.likely()
        places = context.code[start:]
        place = places.index(hint.target) if hint.target in places else None
        if place is None or not body[place].op.hinted:
            message = f"@{hint.name} annotation: invalid target"
            raise placed(InvalidError(message), hint.at)
        hints[place] = likely
    if hints:
        context.module.hints[field.index] = hints


def _define_table(context: Context, field: _Field) -> None:
    i, imported = _inline(context, field)
    if imported:
        return
    items = field.items
    context.begin("table")
    address, at = read_address(items, i)
    here = items[at]
    elements = items[at + 1] if not is_token(here, "INT") and here is not items[-1] else None
    if isinstance(elements, list) and keyword(elements) == "elem":
        reftype = read_reftype(context, here)
        context.begin("elem", position(elements))
        offset = _zero(context, elements, address)
        init = _read_elements(context, elements, 2, reftype)
        # What functions by index are short for says so in the binary too.
        short = reftype == FUNCREF and is_index(elements[2])
        end(items, at + 2)
        tabletype = TableType(Limits(len(init), len(init), address), reftype)
        context.module.elems.append(
            Elem(REF_FUNC if short else reftype, init, "active", field.index, offset)
        )
    else:
        tabletype, i = read_tabletype(context, items, i)
        if items[i] is not items[-1]:
            full_of = read_instructions(Scope(context), items, i)
            context.module.table_inits[len(context.module.tables)] = full_of
        else:
            end(items, i)
    context.module.tables.append(tabletype)


def _define_memory(context: Context, field: _Field) -> None:
    i, imported = _inline(context, field)
    if imported:
        return
    items = field.items
    context.begin("memory")
    address, at = read_address(items, i)
    page, at = read_pagesize(items, at)
    node = items[at]
    if isinstance(node, list) and keyword(node) == "data":
        init = b"".join([read_string(string) for string in node[2:-1]])
        end(items, at + 1)
        pages = -(-len(init) // page)
        memorytype = MemoryType(Limits(pages, pages, address), page)
        context.begin("data", position(node))
        offset = _zero(context, node, address)
        context.datas.append(Data(init, "active", field.index, offset))
    else:
        memorytype, i = read_memorytype(items, i)
        end(items, i)
    context.module.mems.append(memorytype)


def _zero(context: Context, node: Node, address: NumType) -> Expr:
    """The offset that an abbreviation leaves out."""
    context.code.extend((position(node), position(node)))
    return [Instr(_CONST[address], (0,), 0), _END]


def _define_global(context: Context, field: _Field) -> None:
    i, imported = _inline(context, field)
    if imported:
        return
    context.begin("global")
    globaltype, i = read_globaltype(context, field.items, i)
    init = read_instructions(Scope(context), field.items, i)
    context.module.globals.append(Global(globaltype, init))


def _read_tagtype(context: Context, items: Nodes, i: int) -> tuple[int, int]:
    """Spec 6.4.13: the index of the type."""
    typeidx, functype, i = read_typeuse(context, items, i, {})
    context.noted.pop("local", None)
    return context.typeidx(functype) if typeidx is None else typeidx, i


def _define_tag(context: Context, field: _Field) -> None:
    i, imported = _inline(context, field)
    if imported:
        return
    context.begin("tag")
    typeidx, i = _read_tagtype(context, field.items, i)
    end(field.items, i)
    context.module.tags.append(typeidx)


def _define_export(context: Context, field: _Field) -> None:
    items = field.items
    context.begin("export")
    name = read_name(items[2])
    descriptor = items[3]
    space = keyword(descriptor)
    if not isinstance(descriptor, list) or space not in _IMPORTABLE:
        raise unexpected(descriptor)
    index = read_index(context, space, descriptor[2])
    end(descriptor, 3)
    end(items, 4)
    context.module.export_section.append(Export(name, space, index))


def _define_start(context: Context, field: _Field) -> None:
    if context.module.start is not None:
        raise misplaced("multiple start sections", field.items)
    context.begin("start")
    context.module.start = read_index(context, "func", field.items[2])
    end(field.items, 3)


def _read_use(context: Context, items: Nodes, i: int, space: str) -> tuple[int | None, int]:
    """``(table x)`` or ``(memory x)``, which may be left out; Wasm 1.0 had the bare number."""
    node = items[i]
    if isinstance(node, list) and keyword(node) == space:
        end(node, 3)
        return read_index(context, space, node[2]), i + 1
    if is_token(node, "INT"):
        return read_index(context, space, node), i + 1
    return None, i


def _define_elem(context: Context, field: _Field) -> None:
    items, i = field.items, field.at
    context.begin("elem")
    mode, table, offset, bare = "passive", None, [], False
    if is_word(items[i], "declare"):
        mode = "declarative"
        i += 1
    else:
        bare = not isinstance(items[i], list)
        table, i = _read_use(context, items, i, "table")
        node = items[i]
        # A parenthesis opens the offset of an active segment, but for a type in parentheses.
        if isinstance(node, list) and (table is not None or keyword(node) != "ref"):
            mode = "active"
            offset = read_offset(Scope(context), node, "offset")
            i += 1
        elif table is not None:
            raise unexpected(node)
    reftype: RefType = REF_FUNC
    node = items[i]
    if is_word(node, "func"):
        init = _read_funcs(context, items, i + 1)
    elif mode == "active" and (table is None or bare) and (is_index(node) or node is items[-1]):
        init = _read_funcs(context, items, i)
    else:
        reftype = read_reftype(context, node)
        init = _read_items(context, items, i + 1)
    context.module.elems.append(Elem(reftype, init, mode, table or 0, offset))


def _read_elements(context: Context, items: Nodes, i: int, reftype: RefType) -> list[Expr]:
    """The elements of an inline segment: functions by index, or expressions."""
    if is_index(items[i]):
        return _read_funcs(context, items, i)
    return _read_items(context, items, i)


def _read_funcs(context: Context, items: Nodes, i: int) -> list[Expr]:
    init: list[Expr] = []
    for node in items[i:-1]:
        context.code.extend((position(node), position(node)))
        init.append([Instr(_REF_FUNC, (read_index(context, "func", node),), 0), _END])
    return init


def _read_items(context: Context, items: Nodes, i: int) -> list[Expr]:
    init = []
    for node in items[i:-1]:
        if not isinstance(node, list):
            raise unexpected(node)
        init.append(read_offset(Scope(context), node, "item"))
    return init


def _define_data(context: Context, field: _Field) -> None:
    items = field.items
    context.begin("data")
    memory, i = _read_use(context, items, field.at, "memory")
    node = items[i]
    mode, offset = "passive", []
    if isinstance(node, list):
        mode = "active"
        offset = read_offset(Scope(context), node, "offset")
        i += 1
    elif memory is not None:
        raise unexpected(node)
    init = b"".join([read_string(string) for string in items[i:-1]])
    context.datas.append(Data(init, mode, memory or 0, offset))


def _fill_names(names: Names, context: Context) -> None:
    for space, by_index in (
        ("type", names.types),
        ("func", names.funcs),
        ("table", names.tables),
        ("memory", names.mems),
        ("global", names.globals),
        ("elem", names.elems),
        ("data", names.datas),
        ("tag", names.tags),
    ):
        by_index.update((index, name) for name, index in context.ids[space].items())
        by_index.update(context.noted.get(space, {}))
    for index, ids in context.fields.items():
        names.fields[index] = {place: name for name, place in ids.items()}
    for index, noted in context.noted_fields.items():
        names.fields.setdefault(index, {}).update(noted)


_DEFINE: dict[str, Callable[[Context, _Field], None]] = {
    "import": _define_import,
    "func": _define_func,
    "table": _define_table,
    "memory": _define_memory,
    "global": _define_global,
    "tag": _define_tag,
    "export": _define_export,
    "start": _define_start,
    "elem": _define_elem,
    "data": _define_data,
}
