"""A module as text, in the flat form, one instruction a line (spec 6).

What is printed parses back to a module with the same binary, but for where the name section stands,
empty sections, and a data count section that no instruction needs. Names come from the name section
where they are identifiers without quotes and nothing else in their space has the same one; all else
is called by index, and annotations say its name. Other custom sections and branch hints are
annotations, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

from chiwawa import limits
from chiwawa.branch_hints import NAME as HINTS
from chiwawa.branch_hints import hints_of
from chiwawa.immediates import INDICES, KINDS, text_order
from chiwawa.module import (
    CATCHES,
    BlockType,
    BrTable,
    Cast,
    Catch,
    Data,
    Elem,
    Expr,
    Func,
    Instr,
    MemArg,
    Module,
    Names,
    TagUse,
    TypeUse,
    referred,
)
from chiwawa.opcodes import Op
from chiwawa.wat.annotations import SECTIONS
from chiwawa.wat.numbers import format_float, format_int, format_v128
from chiwawa.wat.strings import format_string
from chiwawa_runtime.names import is_bare_id, quoted
from chiwawa_runtime.state.deftypes import groups
from chiwawa_runtime.state.types import (
    REF_FUNC,
    ArrayType,
    CompType,
    FuncType,
    GlobalType,
    MemoryType,
    RefType,
    StructType,
    SubType,
    TableType,
    ValType,
)

#: How to call what an immediate of this kind and index names.
Call = Callable[[str, int], str]
#: Index space to names by index, as identifiers.
_Ids = dict[str, dict[int, str]]


class _Names(NamedTuple):
    """``ids`` are identifiers, by which things are called; ``shown`` is what stands where they are
    defined: an identifier, or an annotation with the name."""

    ids: dict[int, str]
    shown: dict[int, str]


_CALL_INDIRECT = ("typeidx", "tableidx")
#: Deeper code is indented no further: the text would grow with the square of its depth.
_MOST_INDENTED = 40
_DATA_LINE = 48


def format_instr(module: Module, instr: Instr, function: int | None = None) -> str:
    """One instruction as a line of text, without indentation. Names are those of the name section;
    ``function`` is the function index that it stands in, for the names of locals."""
    names = module.names
    spaces: dict[str, dict[int, str]] = {kind.name: getattr(names, kind.names) for kind in INDICES}
    if function is not None:
        spaces["localidx"] = names.locals.get(function, {})

    def call(kind: str, index: int) -> str:
        name = spaces.get(kind, {}).get(index)
        return str(index) if name is None or not is_bare_id(name) else f"${name}"

    return _instr(instr.op, instr.imm, call)


def _instr(op: Op, imm: tuple[object, ...], call: Call) -> str:
    if not imm:
        return op.mnemonic
    if op.opens:
        return op.mnemonic + _header(op, imm, call)
    kinds = op.immediates
    format_immediate = _IMMEDIATES.get(kinds[0])
    if format_immediate is not None:
        lane = f" {imm[1]}" if len(imm) > 1 else ""
        return f"{op.mnemonic}{format_immediate(op, imm[0], call)}{lane}"
    indices = cast("tuple[int, ...]", imm)
    if kinds == _CALL_INDIRECT:
        table = f" {call('tableidx', indices[1])}" if indices[1] else ""
        return f"{op.mnemonic}{table} (type {call('typeidx', indices[0])})"
    order = text_order(kinds)
    if not any(indices[n] for n in order if KINDS[kinds[n]].optional):
        order = [n for n in order if not KINDS[kinds[n]].optional]
    return " ".join([op.mnemonic, *(call(kinds[n], indices[n]) for n in order)])


def _memarg(op: Op, value: object, call: Call) -> str:
    memarg = cast(MemArg, value)
    text = f" {call('memidx', memarg.memidx)}" if memarg.memidx else ""
    if memarg.offset:
        text += f" offset={memarg.offset}"
    if 1 << memarg.align != op.width:
        text += f" align={1 << memarg.align}"
    return text


def _blocktype(op: Op, value: object, call: Call) -> str:
    blocktype = cast(BlockType, value)
    if blocktype is None:
        return ""
    if isinstance(blocktype, int):
        return f" (type {call('typeidx', blocktype)})"
    return f" (result {blocktype})"


def _labels(op: Op, value: object, call: Call) -> str:
    table = cast(BrTable, value)
    return "".join([f" {call('labelidx', label)}" for label in (*table.labels, table.default)])


def _catches(value: object, call: Call) -> str:
    text = ""
    for catch in cast("tuple[Catch, ...]", value):
        text += f" ({CATCHES[(catch.tagidx is None) * 2 + catch.ref]}"
        if catch.tagidx is not None:
            text += f" {call('tagidx', catch.tagidx)}"
        text += f" {call('labelidx', catch.labelidx)})"
    return text


def _header(op: Op, imm: tuple[object, ...], call: Call) -> str:
    """What follows the label of a construct."""
    text = _blocktype(op, imm[0], call)
    return text + _catches(imm[1], call) if "catches" in op.immediates else text


def _heaptype(op: Op, value: object, call: Call) -> str:
    return f" {RefType(cast('str | int', value), op.name.endswith(' null'))}"


def _cast(op: Op, value: object, call: Call) -> str:
    imm = cast(Cast, value)
    return f" {call('labelidx', imm.labelidx)} {imm.source} {imm.target}"


_IMMEDIATES: dict[str, Callable[[Op, object, Call], str]] = {
    "memarg": _memarg,
    "ordering": lambda op, value, call: "",
    "labels": _labels,
    "i32": lambda op, value, call: f" {format_int(cast(int, value), 32)}",
    "i64": lambda op, value, call: f" {format_int(cast(int, value), 64)}",
    "f32": lambda op, value, call: f" {format_float(cast(int, value), 32)}",
    "f64": lambda op, value, call: f" {format_float(cast(int, value), 64)}",
    "v128": lambda op, value, call: f" {format_v128(cast(bytes, value))}",
    "laneidx": lambda op, value, call: f" {value}",
    "lanes": lambda op, value, call: f" {' '.join(map(str, cast(bytes, value)))}",
    "reftype": lambda op, value, call: f" {cast(RefType, value).heap}",
    "heaptype": _heaptype,
    "cast": _cast,
    "valtypes": lambda op, value, call: _group("result", cast("tuple[ValType, ...]", value), True),
}


def print_module(module: Module) -> str:
    """The whole module, ending in a newline. The same module gives the same text."""
    names = module.names
    spaces = {
        "typeidx": _named(names.types, len(module.types)),
        "funcidx": _named(names.funcs, len(module.func_typeidxs())),
        "tableidx": _named(names.tables, len(module.table_types())),
        "memidx": _named(names.mems, len(module.memory_types())),
        "globalidx": _named(names.globals, len(module.global_types())),
        "elemidx": _named(names.elems, len(module.elems)),
        "dataidx": _named(names.datas, len(module.datas)),
        "tagidx": _named(names.tags, len(module.tag_typeidxs())),
    }
    ids = {kind: named.ids for kind, named in spaces.items()}
    shown = {kind: named.shown for kind, named in spaces.items()}
    head = "(module" if names.module is None else f"(module {_shown(names.module)}"
    lines = [head]
    lines.extend(f"  {line}" for line in _fields(module, ids, shown))
    lines.extend(f"  {line}" for line in _customs(module))
    if len(lines) == 1:
        return head + ")\n"
    lines[-1] += ")"
    return "\n".join(lines) + "\n"


def _named(names: dict[int, str], count: int) -> _Names:
    """The names of indices below ``count``. Of equal ones the first alone is an identifier."""
    seen: set[str] = set()
    ids, shown = {}, {}
    for index in sorted(names):
        name = names[index]
        if index >= count:
            continue
        shown[index] = _shown(name) if name not in seen else _annotation(name)
        if name not in seen and is_bare_id(name):
            ids[index] = shown[index]
        seen.add(name)
    return _Names(ids, shown)


def _shown(name: str) -> str:
    return f"${name}" if is_bare_id(name) else _annotation(name)


def _annotation(name: str) -> str:
    return f"(@name {quoted(name)})"


def _caller(ids: _Ids) -> Call:
    def call(kind: str, index: int) -> str:
        # A constant expression may name what it has not, a local: printing does not judge.
        return ids.get(kind, {}).get(index) or str(index)

    return call


def _customs(module: Module) -> Iterator[str]:
    """The custom sections that nothing else in the text stands for."""
    kept = {HINTS} if hints_of(module) is not None else set()
    if module.names != Names():
        kept.add("name")
    for custom in module.customs:
        if custom.name in kept:
            kept.remove(custom.name)
            continue
        place = f"(after {_SECTION_WORDS[custom.after]})" if custom.after else "(before first)"
        yield f"(@custom {quoted(custom.name)} {place}{_strings(custom.data)})"


def _fields(module: Module, ids: _Ids, shown: _Ids) -> Iterator[str]:
    call = _caller(ids)
    yield from _types(module, shown)
    counts = dict.fromkeys(("funcidx", "tableidx", "memidx", "globalidx", "tagidx"), 0)
    for item in module.import_section:
        desc = item.desc
        kind = _KIND_OF[type(desc)]
        index = counts[kind]
        counts[kind] += 1
        if isinstance(desc, TypeUse | TagUse):
            names = module.names.locals.get(index, {}) if isinstance(desc, TypeUse) else {}
            content = _typeuse(module, desc.typeidx, names, call)
        else:
            content = f" {desc}"
        names_text = f"{quoted(item.module)} {quoted(item.name)}"
        yield f"(import {names_text} ({_WORD_OF[kind]}{_define(shown, kind, index)}{content}))"
    hints = hints_of(module) or {}
    for index, func in enumerate(module.funcs, counts["funcidx"]):
        head = f"(func{_define(shown, 'funcidx', index)} (type {call('typeidx', func.typeidx)})"
        yield from _func(module, ids, index, func, head, hints.get(index, {}))
    for place, table in enumerate(module.tables):
        init = module.table_inits.get(place)
        full = "" if init is None else f" {_expr(init, call)}"
        index = counts["tableidx"] + place
        yield f"(table{_define(shown, 'tableidx', index)} {table}{full})"
    for index, memory in enumerate(module.mems, counts["memidx"]):
        yield f"(memory{_define(shown, 'memidx', index)} {memory})"
    for index, glob in enumerate(module.globals, counts["globalidx"]):
        yield f"(global{_define(shown, 'globalidx', index)} {glob.type} {_expr(glob.init, call)})"
    for index, typeidx in enumerate(module.tags, counts["tagidx"]):
        yield f"(tag{_define(shown, 'tagidx', index)}{_typeuse(module, typeidx, {}, call)})"
    for export in module.export_section:
        what = f"({export.kind} {call(_EXPORT_KINDS[export.kind], export.index)})"
        yield f"(export {quoted(export.name)} {what})"
    if module.start is not None:
        yield f"(start {call('funcidx', module.start)})"
    for index, elem in enumerate(module.elems):
        yield f"(elem{_define(shown, 'elemidx', index)}{_elem(elem, call)})"
    for index, data in enumerate(module.datas):
        yield f"(data{_define(shown, 'dataidx', index)}{_data(data, call)})"


def _types(module: Module, shown: _Ids) -> Iterator[str]:
    said = set(module.recs)
    for start, count in groups(len(module.types), module.recs):
        lines = [
            f"(type{_define(shown, 'typeidx', index)} {_subtype(module, index)})"
            for index in range(start, start + count)
        ]
        if (start, count) in said:
            yield "(rec" if lines else "(rec)"
            yield from (f"  {line}" for line in lines[:-1])
            yield from (f"  {line})" for line in lines[-1:])
        else:
            yield from lines


def _subtype(module: Module, index: int) -> str:
    subtype = module.types[index]
    names = _named(module.names.fields.get(index, {}), limits.FIELDS).shown
    if not isinstance(subtype, SubType):
        return _comptype(subtype, names)
    words = ["(sub", *(["final"] if subtype.final else []), *map(str, subtype.supers)]
    return f"{' '.join(words)} {_comptype(subtype.comp, names)})"


def _comptype(comp: CompType, names: dict[int, str]) -> str:
    if isinstance(comp, FuncType):
        return f"(func{_signature(comp)})"
    if isinstance(comp, ArrayType):
        return str(comp)
    assert isinstance(comp, StructType)
    fields = [
        f"(field {names[place]} {field})" if place in names else f"(field {field})"
        for place, field in enumerate(comp.fields)
    ]
    return " ".join(["(struct", *fields]) + ")"


_KIND_OF: dict[type, str] = {
    TypeUse: "funcidx",
    TableType: "tableidx",
    MemoryType: "memidx",
    GlobalType: "globalidx",
    TagUse: "tagidx",
}
_EXPORT_KINDS = {
    "func": "funcidx",
    "table": "tableidx",
    "memory": "memidx",
    "global": "globalidx",
    "tag": "tagidx",
}
_WORD_OF = {kind: word for word, kind in _EXPORT_KINDS.items()}
_SECTION_WORDS = {section: word for word, section in SECTIONS.items()}


def _define(shown: _Ids, kind: str, index: int) -> str:
    name = shown[kind].get(index)
    return f" (;{index};)" if name is None else f" {name} (;{index};)"


def _group(word: str, types: tuple[ValType, ...], even_empty: bool = False) -> str:
    return f" ({' '.join([word, *map(str, types)])})" if types or even_empty else ""


def _declared(word: str, types: tuple[ValType, ...], first: int, names: dict[int, str]) -> str:
    """``(param …)`` or ``(local …)``: a named one stands alone, others share a group."""
    text = ""
    together: list[ValType] = []
    for index, valtype in enumerate(types, first):
        if index not in names:
            together.append(valtype)
            continue
        text += f"{_group(word, tuple(together))} ({word} {names[index]} {valtype})"
        together = []
    return text + _group(word, tuple(together))


def _typeuse(module: Module, typeidx: int, names: dict[int, str], call: Call) -> str:
    """The type of something imported, or of a tag, by index and written out."""
    text = f" (type {call('typeidx', typeidx)})"
    functype = module.functype(typeidx)
    if functype is not None:
        text += _signature(functype, _named(names, len(functype.params)).shown)
    return text


def _signature(functype: FuncType, names: dict[int, str] | None = None) -> str:
    params = _declared("param", functype.params, 0, names or {})
    return params + _group("result", functype.results)


def _func(
    module: Module, ids: _Ids, index: int, func: Func, head: str, hints: dict[int, bool]
) -> Iterator[str]:
    functype = module.functype(func.typeidx) or FuncType((), ())
    params = len(functype.params)
    names = _named(module.names.locals.get(index, {}), params + len(func.locals))
    lines = [head + _signature(functype, names.shown)]
    local_lines = _declared("local", func.locals, params, names.shown).strip()
    if local_lines:
        lines.append(f"  {local_lines}")
    labels = module.names.labels.get(index, {})
    lines.extend(_body(func.body, ids | {"localidx": names.ids}, labels, hints))
    lines[-1] += ")"
    yield from lines


def _body(
    body: Expr, ids: _Ids, label_names: dict[int, str], hints: dict[int, bool]
) -> Iterator[str]:
    """A function's instructions, indented, without its final ``end``."""
    labels: list[str] = []
    innermost: dict[str, list[int]] = {}
    blocks = 0

    def call(kind: str, index: int) -> str:
        if kind != "labelidx":
            return ids.get(kind, {}).get(index) or str(index)
        if index < len(labels) and (name := labels[-1 - index]):
            # An inner block of the same name hides this one.
            return name if innermost[name][-1] == len(labels) - 1 - index else str(index)
        return str(index)

    margins = ["  " * (depth + 1) for depth in range(_MOST_INDENTED + 1)]
    depth = 0
    for at in range(len(body) - 1):
        op, imm, _ = body[at]
        if at in hints:
            margin = margins[min(depth, _MOST_INDENTED)]
            yield f'{margin}(@{HINTS} "\\0{int(hints[at])}")'
        if op.opens:
            name = label_names.get(blocks)
            label = f"${name}" if name and is_bare_id(name) else ""
            head = op.mnemonic if name is None else f"{op.mnemonic} {_shown(name)}"
            yield f"{margins[min(depth, _MOST_INDENTED)]}{head}{_header(op, imm, call)}"
            blocks += 1
            innermost.setdefault(label, []).append(len(labels))
            labels.append(label)
            depth += 1
        elif op.delimits:
            if op.ends:
                # The label of ``delegate`` is one outside.
                innermost[labels.pop()].pop()
                depth -= 1
            margin = margins[min(depth if op.ends else depth - 1, _MOST_INDENTED)]
            yield margin + _instr(op, imm, call)
        else:
            yield margins[min(depth, _MOST_INDENTED)] + _instr(op, imm, call)


def _expr(expr: Expr, call: Call, word: str = "") -> str:
    """A constant expression: folded instructions, in ``(word …)`` where there is not just one."""
    text = " ".join([f"({_instr(op, imm, call)})" for op, imm, _ in expr[:-1]])
    return f"({word} {text})" if word and len(expr) != 2 else text


def _elem(elem: Elem, call: Call) -> str:
    text = ""
    if elem.mode == "declarative":
        text = " declare"
    elif elem.mode == "active":
        table = f" (table {call('tableidx', elem.tableidx)})" if elem.tableidx else ""
        text = f"{table} {_expr(elem.offset, call, 'offset')}"
    functions = [referred(init) for init in elem.init]
    if elem.type == REF_FUNC and None not in functions:
        items = [call("funcidx", cast(int, index)) for index in functions]
        return " ".join([f"{text} func", *items])
    return " ".join([f"{text} {elem.type}", *(_expr(e, call, "item") for e in elem.init)])


def _data(data: Data, call: Call) -> str:
    text = ""
    if data.mode == "active":
        memory = f" (memory {call('memidx', data.memidx)})" if data.memidx else ""
        text = f"{memory} {_expr(data.offset, call, 'offset')}"
    return text + _strings(data.init)


def _strings(data: bytes) -> str:
    if len(data) <= _DATA_LINE:
        return f" {format_string(data)}"
    chunks = (data[i : i + _DATA_LINE] for i in range(0, len(data), _DATA_LINE))
    return "".join([f"\n    {format_string(chunk)}" for chunk in chunks])
