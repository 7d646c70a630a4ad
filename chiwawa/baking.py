"""A module whose initial state is that of an idle checkpoint, for any engine.

The sections that say how a state begins (spec 2.5.4 to 2.5.9) are made anew; all others, the code
above all, are the module's own, byte for byte, so that what refers to places in them stays right.
What an ordinary module cannot hold is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from chiwawa import limits, paths, running
from chiwawa.binary.decode import MAGIC, VERSION
from chiwawa.binary.encode import contents_of, write_section
from chiwawa.binary.reader import Reader
from chiwawa.binary.sections import SECTIONS, ref_func
from chiwawa.execution import Source
from chiwawa.module import Data, Elem, Expr, Global, Instr, Module
from chiwawa.opcodes import BY_NAME
from chiwawa.program import program_of
from chiwawa_runtime import checkpoint
from chiwawa_runtime.checkpoint.layout import segments
from chiwawa_runtime.engine.instance import Importable
from chiwawa_runtime.errors import Abrupt, BadInput, CheckpointError, HostError, UnsupportedError
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.run.stubs import ALL, stubbed
from chiwawa_runtime.run.uptake import check_module
from chiwawa_runtime.state.exceptions import Tag
from chiwawa_runtime.state.globals import Global as HostGlobal
from chiwawa_runtime.state.numerics import f32_bits, f64_bits
from chiwawa_runtime.state.snapshot import I31, Carried, FuncIdx, Snapshot, Value
from chiwawa_runtime.state.types import (
    F32,
    F64,
    FUNCREF,
    I64,
    REF_FUNC,
    V128,
    GlobalType,
    MemoryType,
    RefType,
    TableType,
    TagType,
    ValType,
)

#: The sections that are not as they were, by id: tables, memories, globals, exports, the start
#: function, elements, the count of data segments, data.
_MADE_ANEW = (4, 5, 6, 7, 8, 9, 12, 11)
_CUSTOM = 0
#: What a WASI reactor wants to be called once: it has been.
_INITIALIZE = "_initialize"
#: Custom sections that speak of sections which are not as they were, by how their names begin.
_WRONG = ("linking", "reloc.", "dylink")


def bake(module: Module, snapshot: Snapshot) -> bytes:
    """The binary of ``module`` with the state of ``snapshot`` for its initial one. It has no start
    function, which has run, and no export ``_initialize`` unless the state is still the one that an
    instance begins with. Raises CheckpointError where the snapshot is of another module or no idle
    one, and UnsupportedError for what a module cannot hold."""
    check_module(snapshot, module.hash)
    check_bakeable(module, snapshot)
    exports = module.export_section
    if any(e.name == _INITIALIZE for e in exports) and not is_initial(module, snapshot):
        exports = [e for e in exports if e.name != _INITIALIZE]
    tables, elems = baked_tables(module, snapshot)
    baked = replace(
        module,
        derived={},
        tables=tables,
        table_inits={
            index: init
            for index, init in module.table_inits.items()
            if not module.tables[index].element.nullable
        },
        mems=baked_memories(module, snapshot),
        globals=baked_globals(module, snapshot),
        export_section=exports,
        start=None,
        elems=[*left_elems(module, snapshot), *elems, *declared(module)],
        datas=[*left_datas(module, snapshot), *contents(module, snapshot)],
    )
    most = limits.ITEMS["data segments"]
    if len(baked.datas) > most:
        raise UnsupportedError(f"bake: it would have more than {most} data segments")
    return written(module, replace(baked, data_count=len(baked.datas)))


# What cannot be.


def check_bakeable(module: Module, snapshot: Snapshot) -> None:
    if not snapshot.idle:
        raise CheckpointError(
            "a call is in progress in this checkpoint, and a module holds no frames: "
            "run --save, or instance.checkpoint(), writes one between calls"
        )
    if snapshot.others:
        raise UnsupportedError("bake: the checkpoint is of linked instances")
    for kind, word in ((MemoryType, "memory"), (TableType, "table"), (GlobalType, "global")):
        for each in module.imported(kind):
            if isinstance(each.desc, GlobalType) and not each.desc.mutable:
                continue
            raise UnsupportedError(
                f'bake: the module imports the {word} "{each.module}" "{each.name}", '
                "whose state is its host's"
            )
    if snapshot.wasi is not None:
        check_wasi(snapshot.wasi)


def check_wasi(data: bytes) -> None:
    """An engine gives the standard streams and directories anew, and nothing else."""
    from chiwawa_runtime.wasi.saved import SavedDirectory, SavedStream, decode

    state = decode(data)
    if state.trees:
        raise UnsupportedError("bake: the program has files in memory, which are its host's")
    for each in state.descriptors:
        body = each.body
        if isinstance(body, SavedStream) or (isinstance(body, SavedDirectory) and body.preopen):
            continue
        raise UnsupportedError(f"bake: the program has descriptor {each.fd} open, of {each.kind}")


def is_initial(module: Module, snapshot: Snapshot) -> bool:
    """Whether the state is the one that a new instance has: nothing has been called then, or it has
    changed nothing. Where a start function needs what only its host has, nobody knows."""
    imports: dict[str, dict[str, Importable]] = {}
    for name, functions in stubbed(program_of(module), [ALL]).items():
        imports.setdefault(name, {}).update(functions)
    addresses = snapshot.instances[0].spaces.globals
    for each, address in zip(module.imported(GlobalType), addresses, strict=False):
        assert isinstance(each.desc, GlobalType)
        value = snapshot.globals[address].value
        if isinstance(each.desc.type, RefType) and value is not None:
            return False
        imports.setdefault(each.module, {})[each.name] = HostGlobal(each.desc, value)
    for each in module.imported(TagType):
        assert isinstance(each.desc, TagType)
        imports.setdefault(each.module, {})[each.name] = Tag(each.desc)
    setup = Setup(
        imports=imports, path=paths.entering_anywhere(), canonical_nans=snapshot.canonical_nans
    )
    try:
        new = running.instantiate(Source(module), setup).snapshot()
    except (Abrupt, HostError, BadInput):
        return False
    same = replace(new, granularity=snapshot.granularity, safepoints=snapshot.safepoints)
    same = replace(same, wasi=snapshot.wasi, host=snapshot.host, monitors=snapshot.monitors)
    return checkpoint.encode(same) == checkpoint.encode(snapshot)


# The sections.


def baked_memories(module: Module, snapshot: Snapshot) -> list[MemoryType]:
    """Each at least as large as it is."""
    return [
        replace(type_, limits=replace(type_.limits, min=image.size // type_.page))
        for type_, image in zip(module.mems, snapshot.memories, strict=True)
    ]


def contents(module: Module, snapshot: Snapshot) -> Iterator[Data]:
    """What is in the memories, but zeros."""
    for index, start, end in segments([image.used() for image in snapshot.memories]):
        image = snapshot.memories[index]
        offset = constant(module.mems[index].limits.address, start, "")
        yield Data(image.read(start, end), "active", index, offset)


def left_datas(module: Module, snapshot: Snapshot) -> Iterator[Data]:
    """The module's own segments, under their numbers: those that are dropped have no bytes."""
    for data, dropped in zip(module.datas, snapshot.dropped_datas, strict=True):
        yield Data(b"" if dropped else data.init, "passive")


def baked_globals(module: Module, snapshot: Snapshot) -> list[Global]:
    addresses = snapshot.instances[0].spaces.globals
    imported = len(addresses) - len(module.globals)
    return [
        Global(each.type, constant(each.type.type, snapshot.globals[at].value, f"global {index}"))
        for index, (each, at) in enumerate(
            zip(module.globals, addresses[imported:], strict=True), imported
        )
    ]


def baked_tables(module: Module, snapshot: Snapshot) -> tuple[list[TableType], list[Elem]]:
    """The tables, each at least as large as it is, and segments for what is in them but null."""
    tables, elems = [], []
    for index, (type_, image) in enumerate(zip(module.tables, snapshot.tables, strict=True)):
        size = len(image.elements)
        tables.append(replace(type_, limits=replace(type_.limits, min=size)))
        start = 0
        while start < size:
            end = start
            while end < size and image.elements[end] is not None:
                end += 1
            if end > start:
                where = f"table {index}"
                init = [constant(type_.element, e, where) for e in image.elements[start:end]]
                # The short form is for references that are there, of no type of their own.
                element = REF_FUNC if type_.element == FUNCREF else type_.element
                offset = constant(type_.limits.address, start, where)
                elems.append(Elem(element, init, "active", index, offset))
            start = end + 1
    return tables, elems


def left_elems(module: Module, snapshot: Snapshot) -> Iterator[Elem]:
    """The module's own segments, under their numbers. Those that are dropped have no elements; of
    the others, what constant expressions have made is as it is now."""
    images = {each.index: each for each in snapshot.segments}
    for index, (elem, dropped) in enumerate(zip(module.elems, snapshot.dropped_elems, strict=True)):
        init = elem.init
        if dropped:
            init = []
        elif index in images:
            where = f"element segment {index}"
            init = [constant(elem.type, each, where) for each in images[index].elements]
        yield Elem(elem.type, init, "declarative" if dropped else "passive")


def declared(module: Module) -> Iterator[Elem]:
    """A segment that has no place, with the functions that code refers to: what declared them (spec
    3.3.3, ``refs``) may be gone."""
    functions = sorted({index for func in module.funcs for index in func.summary.refers})
    if functions:
        yield Elem(REF_FUNC, list(map(ref_func, functions)), "declarative")


def constant(type_: ValType, value: Value, where: str) -> Expr:
    """The constant expression (spec 3.3.10) of a value. Raises UnsupportedError, with ``where`` it
    is, for what has none."""
    if isinstance(type_, RefType):
        return reference(type_, value, where)
    if type_ is V128:
        return made("v128.const", value)
    if type_ is F32 or type_ is F64:
        assert isinstance(value, float)
        bits = f32_bits(value) if type_ is F32 else f64_bits(value)
        return made(f"{type_}.const", bits)
    return made("i64.const" if type_ is I64 else "i32.const", value)


def reference(type_: RefType, value: Value, where: str) -> Expr:
    if value is None:
        return made("ref.null", replace(type_, nullable=True))
    if isinstance(value, FuncIdx):
        return ref_func(value.index)
    if isinstance(value, Carried):
        raise UnsupportedError(f"bake: {where} holds a value of the host, {value.name!r}")
    if not isinstance(value, I31):
        raise UnsupportedError(f"bake: {where} holds a structure, an array or an exception")
    number = Instr(BY_NAME["i32.const"], (value.value,), 0)
    made_of_it = [Instr(BY_NAME["ref.i31"], (), 0)]
    if type_.heap in ("extern", "noextern"):
        made_of_it.append(Instr(BY_NAME["extern.convert_any"], (), 0))
    return [number, *made_of_it, Instr(BY_NAME["end"], (), 0)]


def made(name: str, value: object) -> Expr:
    return [Instr(BY_NAME[name], (value,), 0), Instr(BY_NAME["end"], (), 0)]


# The file.


def written(module: Module, baked: Module) -> bytes:
    """The binary: the sections of ``module``, with those of ``baked`` that say how a state begins
    and what is exported in their places."""
    known, customs, last = sections(module.binary)
    new = contents_of(baked, None)
    for section in _MADE_ANEW:
        body = new[section]
        known[section] = b"" if body is None else write_section(section, body)
    out = [MAGIC, VERSION]
    for section in (_CUSTOM, *SECTIONS):
        out += [known.get(section, b""), *customs.get(section, ())]
    return b"".join((*out, *last))


def sections(binary: bytes) -> tuple[dict[int, bytes], dict[int, list[bytes]], list[bytes]]:
    """The known sections, by id; the custom ones that stay right, by the known one that they follow
    (0: they are first); and those of them that follow the last: names belong behind all others."""
    known: dict[int, bytes] = {}
    customs: dict[int, list[bytes]] = {}
    r = Reader(binary)
    r.pos = len(MAGIC) + len(VERSION)
    after = 0
    while r.pos < len(binary):
        start = r.pos
        section = r.byte()
        end = r.length() + r.pos
        if section != _CUSTOM:
            known[section] = binary[start:end]
            after = section
        elif not r.name().startswith(_WRONG):
            customs.setdefault(after, []).append(binary[start:end])
        r.pos = end
    return known, customs, customs.pop(after, []) if after else []
