"""A module rewritten: its sections, with what the rewriter adds behind what there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chiwawa import limits
from chiwawa.binary.decode import MAGIC, VERSION
from chiwawa.binary.encode import contents_of, write_expr, write_section
from chiwawa.binary.names import write_name
from chiwawa.binary.reader import Reader
from chiwawa.binary.sections import SECTIONS, BodySource, ref_func
from chiwawa.lower.lowered import (
    Spaces,
    lower,
    recursive_functions,
    suspendable_functions,
    tailing_functions,
)
from chiwawa.module import Data, Elem, Export, Expr, Func, Global, Instr, Module
from chiwawa.native import added, code, layout
from chiwawa.native.added import Added
from chiwawa.native.checks import check_names, is_exact
from chiwawa.native.function import rewrite_function
from chiwawa.native.references import References
from chiwawa.native.scopes import Places
from chiwawa.native.shares import Part, helpers, processors, shares
from chiwawa.native.simple import rewrite_older, rewrite_simple
from chiwawa.native.tables import Tables, write_places, write_table, write_tables
from chiwawa.native.unit import (
    DEEP,
    FEWEST,
    LATE,
    REFERENCES,
    Cells,
    Unit,
    deep_functions,
)
from chiwawa.opcodes import TABLE
from chiwawa_runtime.collector import uncollected
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.state.types import (
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    PAGE,
    REF_EXN,
    REF_FUNC,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    NumType,
    RefType,
    TableType,
    ValType,
)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A module that can be stopped, and what a host must know of it."""

    binary: bytes
    tables: Tables


_CONST32, _CONST, _END = (
    next(op for op in TABLE if op.name == name) for name in ("i32.const", "i64.const", "end")
)
_CODE = 10
_HINTS = "metadata.code.branch_hint"


class Constants:
    """The globals of the new module, and its constant expressions.

    A global that depends on an import may be another when it is restored, and so has to be mutable;
    where a constant expression names it, which may name immutable ones alone, its own initialiser
    stands instead. Raises UnsupportedError where that takes too many instructions.
    """

    def __init__(self, module: Module) -> None:
        self.imported = sum(1 for _ in module.imported(GlobalType))
        #: The initialisers of those that have become mutable, by index, without their end.
        self.instead: dict[int, Expr] = {}
        self.added = 0
        self.globals = [
            self.settable(index, each) for index, each in enumerate(module.globals, self.imported)
        ]

    def settable(self, index: int, each: Global) -> Global:
        init = self.expr(each.init)
        if each.type.mutable or not any(self.depends(instr) for instr in init):
            return Global(each.type, init)
        self.instead[index] = init[:-1]
        return Global(GlobalType(each.type.type, True), init)

    def depends(self, instr: Instr) -> bool:
        """Whether it names an imported global."""
        return "globalidx" in instr.op.immediates and instr.imm[0] < self.imported

    def expr(self, expr: Expr) -> Expr:
        """A constant expression as it is in the new module."""
        out: Expr = []
        for instr in expr:
            instead = [instr]
            if "globalidx" in instr.op.immediates:
                instead = self.instead.get(instr.imm[0], instead)
            self.added += len(instead) - 1
            if self.added > limits.BODY:
                raise UnsupportedError(
                    "the native path: globals that are made of each other this often"
                )
            out += instead
        return out

    def passive(self, elem: Elem) -> Elem:
        """A segment that is placed when somebody says so."""
        mode = "passive" if elem.mode == "active" else elem.mode
        return Elem(elem.type, [self.expr(init) for init in elem.init], mode)


def escaping(spaces: Spaces) -> set[int]:
    """The functions that can be called otherwise than by their index. wasmtime may know one that is
    imported by more than one reference."""
    module = spaces.module
    found = {e.index for e in module.export_section if e.kind == "func"}
    if module.start is not None:
        found.add(module.start)
    for expr in module.constants():
        found.update(i.imm[0] for i in expr if i.op.refers)
    for func in module.funcs:
        found.update(func.summary.refers)
    return found


def bodies_of(module: Module) -> list[bytes]:
    """The bytes of each function's body, as they are in the module's binary."""
    if not module.funcs:
        return []
    source = module.funcs[0].source
    assert isinstance(source, BodySource)
    r = Reader(source.data)
    r.pos = source.contents
    bodies = []
    for _ in range(r.u32()):
        size = r.u32()
        bodies.append(bytes(r.data[r.pos : r.pos + size]))
        r.pos += size
    return bodies


def can_grow(type: MemoryType | TableType) -> bool:
    return type.limits.min != type.limits.max


def place(offset: Expr, count: int, init: bytes) -> bytes:
    """All of a segment, at ``offset``."""
    return write_expr(offset)[:-1] + code.i32(0) + code.i32(count) + init


class _Assembly:
    """The new module in the making: ``module``, whose function bodies are in ``bodies``."""

    def __init__(self, spaces: Spaces, counting: int) -> None:
        original = spaces.module
        self.spaces = spaces
        self.counting = counting
        self.original = original
        check_names(original)
        constants = Constants(original)
        self.module = module = Module(
            types=list(original.types),
            recs=list(original.recs),
            import_section=original.import_section,
            funcs=list(original.funcs),
            tables=list(original.tables),
            table_inits={i: constants.expr(init) for i, init in original.table_inits.items()},
            mems=[replace(each, shared=False) for each in original.mems],
            tags=list(original.tags),
            globals=constants.globals,
            export_section=list(original.export_section),
            elems=[constants.passive(each) for each in original.elems],
            datas=[Data(each.init, "passive") for each in original.datas],
            data_count=len(original.datas),
        )
        memories, tables = len(original.memory_types()), len(original.table_types())
        self.shadow = memories
        self.armed = layout.DROPPED + len(original.datas) + len(original.elems)
        end = self.armed + len(spaces.funcs) * (counting == layout.BOUNDARIES)
        pages = -(-end // PAGE)
        module.mems.append(MemoryType(Limits(pages, pages)))
        self.export(layout.SHADOW, "memory", memories)
        # How large it is, is known when all functions are.
        module.mems.append(MemoryType(Limits(1)))
        self.export(layout.RECORDS, "memory", memories + 1)
        self.functions = tables
        most = len(spaces.funcs)
        #: What can grow, by the kind of its index and that.
        self.growable = [
            *(("memidx", i) for i, each in enumerate(original.memory_types()) if can_grow(each)),
            *(("tableidx", i) for i, each in enumerate(original.table_types()) if can_grow(each)),
        ]
        module.tables.append(TableType(Limits(most + layout.HOST_PLACES), FUNCREF))
        self.export(layout.FUNCTIONS, "table", tables)
        self.references = References(spaces, is_exact(original))
        #: The functions that make tail calls, and so leave the frame on top of their caller's to
        #: others.
        self.tailing = tailing_functions(spaces)
        if self.tailing:
            module.tables.append(TableType(Limits(most), FUNCREF))
            self.export(layout.RESUMERS, "table", tables + 1)
        globals_, tags = len(original.global_types()), len(original.tag_typeidxs())
        for name in layout.REGISTERS:
            self.add_global(name, I32, layout.RECORDS_AT if name == layout.SP else 0)
        if counting:
            self.add_global(layout.COUNT, I64, 0)
        count = globals_ + len(layout.REGISTERS)
        self.cells = Cells(self.shadow, memories + 1, globals_, count, counting)
        for prefix, kind, number in (
            (layout.MEMORY, "memory", memories),
            (layout.TABLE, "table", tables),
            (layout.GLOBAL, "global", globals_),
            (layout.TAG, "tag", tags),
        ):
            for index in range(number):
                self.export(f"{prefix}{index}", kind, index)
        entered = escaping(spaces) | (suspendable_functions(spaces) if self.tailing else set())
        module.elems += self.listed({index: index for index in entered}, self.functions)
        if original.start is not None:
            self.export(layout.START, "func", original.start)
        #: How many types there were before each of REFERENCES was added.
        self.without: list[int] = []
        #: The types that are in a group with others.
        self.grouped = {i for start, n in original.recs for i in range(start, start + n)}
        #: The added functions' bodies.
        self.added: list[bytes] = []

    def export(self, name: str, kind: str, index: int) -> None:
        self.module.export_section.append(Export(name, kind, index))

    def add_global(self, name: str, valtype: NumType, value: int) -> None:
        constant = Instr(_CONST32 if valtype is I32 else _CONST, (value,), 0)
        init = [constant, Instr(_END, (), 1)]
        self.module.globals.append(Global(GlobalType(valtype, True), init))
        self.export(name, "global", len(self.module.global_types()) - 1)

    def listed(self, functions: Mapping[int, int], table: int) -> Iterator[Elem]:
        """Segments that put ``functions``, by index, into a table: into that of functions, every
        one that may be called from outside, or through a table; or whose frame may be the oldest,
        after tail calls."""
        run: list[int] = []
        for index in sorted(functions):
            if run and index != run[-1] + 1:
                yield self.run_of(run, functions, table)
                run = []
            run.append(index)
        if run:
            yield self.run_of(run, functions, table)

    def run_of(self, run: Sequence[int], functions: Mapping[int, int], table: int) -> Elem:
        offset = [Instr(_CONST32, (run[0],), 0), Instr(_END, (), 1)]
        return Elem(REF_FUNC, [ref_func(functions[i]) for i in run], "active", table, offset)

    def add_resumers(self) -> None:
        """For each function whose frame may be on top of one that has called another, what calls it
        whatever its parameters are."""
        spaces, references = self.spaces, self.references
        resumers = {}
        for index in sorted(suspendable_functions(spaces)):
            functype = references.functype(spaces.funcs[index].functype)
            args = b"".join(map(references.some, functype.params))
            body = args + code.BYTE["return_call"] + code.u(index)
            results = references.all_kept(functype.results)
            resumers[index] = self.add(Added(FuncType((), results), (), body))
        self.module.elems += self.listed(resumers, self.functions + 1)

    def add(self, function: Added) -> int:
        """A function more; its index."""
        return self.add_body(self.typeidx(function.type), function.coded())

    def typeidx(self, functype: FuncType) -> int:
        """The index of a type, which is added if it is not there."""
        types = self.module.types
        known = (i for i, each in enumerate(types) if each == functype)
        index = next((i for i in known if i not in self.grouped), len(types))
        if index == len(types):
            types.append(functype)
        return index

    def add_body(self, typeidx: int, body: bytes) -> int:
        self.module.funcs.append(Func(typeidx, (), []))
        self.added.append(body)
        return len(self.spaces.funcs) + len(self.added) - 1

    def add_some(self) -> None:
        """What references are to which nobody looks at and which cannot be null."""
        references = self.references
        nothing = Added(added.PLAIN, (), code.UNREACHABLE)
        for heap in references.wanted():
            if isinstance(heap, str):
                references.functions[heap] = self.add(nothing)
            else:
                references.functions[heap] = self.add_body(heap, nothing.coded())
        if references.needs_tag():
            references.tag = len(self.module.tag_typeidxs())
            self.module.tags.append(self.typeidx(added.PLAIN))
        if references.functions:
            referred = map(ref_func, references.functions.values())
            self.module.elems.append(Elem(REF_FUNC, [*referred], "declarative"))

    def add_references(self, valtype: RefType) -> int:
        """A table for what saved frames refer to."""
        self.module.tables.append(TableType(Limits(0), valtype))
        index = len(self.module.table_types()) - 1
        self.export(layout.REFERENCES[str(valtype.heap)], "table", index)
        return index

    def drop_references(self, needed: int) -> None:
        """Do without what has been added for references, but for so many of ``REFERENCES``."""
        module = self.module
        for _ in REFERENCES[needed:]:
            del module.tables[-1], module.export_section[-1]
            del module.funcs[-2:], self.added[-2:]
        if needed < len(REFERENCES):
            # Not every engine knows of all of them.
            del module.types[self.without[max(needed, FEWEST)] :]

    def add_homes(self, memory: bool) -> None:
        """The memory for locals, which few modules need, and how much of it is used: the last ones
        of their kinds, as ``unit`` says."""
        if memory:
            self.export(layout.FRAMES, "memory", len(self.module.memory_types()))
            self.module.mems.append(MemoryType(Limits(1)))
        self.add_global(layout.FP, I32, 0)

    def add_giving(self) -> dict[tuple[ValType, ...], int]:
        """Types of what gives the arguments of a function, where they are several; of what gives
        what an exception carries, and itself; and of what calls a function without arguments, where
        there are tail calls."""
        types, references = self.module.types, self.references
        giving: dict[tuple[ValType, ...], int] = {}
        wanted = []
        for deftype in self.spaces.types:
            if not isinstance(deftype.comp, FuncType):
                continue
            functype = references.functype(deftype.functype)
            if len(functype.params) > 1:
                wanted.append(functype.params)
            if self.tailing:
                wanted.append(references.all_kept(functype.results))
        for typeidx in self.original.tag_typeidxs():
            # With what a handler takes besides.
            carried = references.seen(self.spaces.types[typeidx].functype.params)
            wanted += [carried, carried + references.seen((REF_EXN,))]
        for given in wanted:
            if given not in giving:
                giving[given] = len(types)
                types.append(FuncType((), given))
        return giving

    def calling(self, place: int, functype: FuncType) -> bytes:
        """A call of what the host has put into a place."""
        typeidx = self.typeidx(functype)
        return code.i32(len(self.spaces.funcs) + place) + code.call_indirect(
            typeidx, self.functions
        )

    def add_growing(self) -> dict[tuple[str, int], int]:
        """A function for each memory and each table that can grow, by what an instruction calls the
        kind, and its index."""
        memories, tables = self.original.memory_types(), self.original.table_types()
        sizes = [
            (code.BYTE["memory.size"] + code.u(i), t.limits.address is I64, t.page)
            for i, t in enumerate(memories)
        ]
        lengths = [
            (code.prefixed("table.size") + code.u(i), t.limits.address is I64, 1)
            for i, t in enumerate(tables)
        ]
        found: dict[tuple[str, int], int] = {}
        if not self.growable:
            return found
        ask = self.calling(layout.ASKED_PLACE, added.ASKED)
        for kind, index in self.growable:
            if kind == "memidx":
                address = memories[index].limits.address
                grow = code.BYTE["memory.grow"] + code.u(index)
                given: added.Given = address, (address,), grow
                limit, taken = layout.MEMORY_LIMIT, sizes
            else:
                address = tables[index].limits.address
                grow = code.prefixed("table.grow") + code.u(index)
                given = address, (tables[index].element, address), grow
                limit, taken = layout.TABLE_LIMIT, lengths
            function = added.growing(self.cells, limit, taken, index, given, ask)
            found[kind, index] = self.add(function)
        return found

    def add_segments(self) -> None:
        """What other hosts place active segments with, and what drops those that are said to be."""
        original = self.original
        datas = len(original.datas)
        placing, dropping = b"", b""
        for index, elem in enumerate(original.elems):
            drop = code.prefixed("elem.drop") + code.u(index)
            flag = layout.DROPPED + datas + index
            if elem.mode == "active":
                init = code.prefixed("table.init") + code.u(index) + code.u(elem.tableidx)
                placing += place(elem.offset, len(elem.init), init)
            if elem.mode != "passive":
                placing += self.flagged(flag) + drop
            dropping += self.if_flagged(flag, drop)
        for index, data in enumerate(original.datas):
            drop = code.prefixed("data.drop") + code.u(index)
            flag = layout.DROPPED + index
            if data.mode == "active":
                init = code.prefixed("memory.init") + code.u(index) + code.u(data.memidx)
                placing += place(data.offset, len(data.init), init)
                placing += self.flagged(flag) + drop
            dropping += self.if_flagged(flag, drop)
        self.export(layout.INITIALISE, "func", self.add(Added(added.PLAIN, (), placing)))
        self.export(layout.DROP, "func", self.add(Added(added.PLAIN, (), dropping)))

    def flagged(self, flag: int) -> bytes:
        return code.i32(0) + code.i32(1) + code.access("i32.store8", self.shadow, flag)

    def if_flagged(self, flag: int, then: bytes) -> bytes:
        test = code.i32(0) + code.access("i32.load8_u", self.shadow, flag)
        return test + code.IF + then + code.END

    def unit(self) -> Unit:
        """What rewriting the functions needs, with the functions for it added."""
        cells = self.cells
        # Its body is known when all functions are.
        self.saved = self.add(added.saved(cells, 0, b""))
        save = code.call(self.saved)
        deep = self.add(added.saved_if_deep(cells, DEEP, save))
        late = self.add(added.saved_if_deep(cells, LATE, save)) if self.counting else deep
        next_ = self.add(added.next_(cells, self.calling(layout.ENTERED_PLACE, added.PLAIN)))
        resumed = self.add(added.resumed(cells))
        keep: dict[ValType, int] = {}
        take: dict[ValType, int] = {}
        for valtype in (I32, I64, F32, F64):
            keep[valtype] = self.add(added.keep(cells, valtype))
            take[valtype] = self.add(added.take(cells, valtype))
        self.add_segments()
        self.add_some()
        if self.tailing:
            self.add_resumers()
        grow = self.add_growing()
        # Last, since few modules need them.
        giving: dict[tuple[ValType, ...], int] = {}
        for place, heap in enumerate(REFERENCES):
            if place == FEWEST:
                giving = self.add_giving()
            self.without.append(len(self.module.types))
            table = self.add_references(heap)
            keep[heap] = self.add(added.keep_reference(cells, heap, table))
            take[heap] = self.add(added.take_reference(cells, heap, table))
        return Unit(
            spaces=self.spaces,
            cells=self.cells,
            references=self.references,
            functions=self.functions,
            suspends=suspendable_functions(self.spaces),
            recursive=recursive_functions(self.spaces),
            deep=deep_functions(self.spaces),
            saved=(self.saved, deep, late),
            next=next_,
            resumed=resumed,
            keep=keep,
            take=take,
            giving=giving,
            flags_of_elems=len(self.original.datas),
            armed=self.armed,
            grow=grow,
            frames=len(self.module.memory_types()),
            fp=len(self.module.global_types()),
            tailing=self.tailing,
            resumers=self.functions + 1,
        )

    def parts(self, unit: Unit, some: range) -> Iterator[Part]:
        """``some`` of the functions that the module defines, rewritten."""
        bodies = bodies_of(self.original)
        for position in some:
            index, body = self.spaces.imported_funcs + position, bodies[position]
            func = self.original.funcs[position]
            older = func.summary.excepts and any(i.op.catches_in_arms for i in func.body)
            wanted = index in unit.suspends or self.counting == layout.BOUNDARIES or older
            lowered = self.references.lowered(lower(self.spaces, index)) if wanted else None
            # What loops or calls may do so in code alone that is never reached.
            if lowered is not None and lowered.safepoints:
                rewritten = rewrite_function(unit, lowered, body)
                likely = [code.u(at) + b"\x01" + bytes((yes,)) for at, yes in rewritten.hints]
                hints = code.u(index) + code.vector(likely) if likely else b""
                yield (
                    rewritten.body,
                    write_table(rewritten.table),
                    hints,
                    rewritten.record_size,
                    rewritten.refers,
                    rewritten.homed,
                    rewritten.reclaims,
                )
                continue
            simple: tuple[bytes, Places] | None
            if older:
                assert lowered is not None
                simple = rewrite_older(unit, lowered, body)
            else:
                counted = lowered if self.counting == layout.BOUNDARIES else None
                simple = rewrite_simple(unit, func, body, counted)
            if simple is None:
                yield body, b"", b"", 0, 0, False, False
            else:
                body, places = simple
                yield body, write_places(places), b"", 0, 0, False, False

    def joined(self, parts: Iterable[Part]) -> Rewritten:
        """The module of all its functions."""
        nothing: tuple[tuple[Any, ...], ...] = ((),) * 7
        bodies, tables, hints, sizes, refers, homed, reclaim = (
            zip(*parts, strict=True) if self.original.funcs else nothing
        )
        self.drop_references(max(refers, default=0))
        room = max(sizes, default=0)
        tell = self.calling(layout.SAVED_PLACE, added.PLAIN)
        function = added.saved(self.cells, room, tell)
        self.added[self.saved - len(self.spaces.funcs)] = function.coded()
        self.module.mems[-1] = MemoryType(Limits(-(-(layout.RECORDS_AT + room) // PAGE)))
        if any(homed) or any(reclaim):
            self.add_homes(any(homed))
        section = code.vector([code.u(len(body)) + body for body in (*bodies, *self.added)])
        contents = contents_of(self.module, section)
        out = [MAGIC, VERSION]
        for section_id in SECTIONS:
            if section_id == _CODE and any(hints):
                known = code.vector([each for each in hints if each])
                out.append(write_section(0, write_name(_HINTS) + known))
            found = contents[section_id]
            if found is not None:
                out.append(write_section(section_id, found))
        of_all = [b""] * self.spaces.imported_funcs + list(tables)
        segments = len(self.original.datas) + len(self.original.elems)
        written = write_tables(self.counting, segments, self.original.hash, of_all)
        return Rewritten(b"".join(out), Tables(written))


def rewrite(module: Module, counting: int, processes: int | None = None) -> Rewritten:
    """``module``, which is valid and was read from a binary, as one that can be stopped, and counts
    what ``counting`` says (see ``layout``). The same module gives the same bytes. A large one is
    shared among so many processes (None: as many as there are processors). Raises
    UnsupportedError."""
    with uncollected():
        assembly = _Assembly(Spaces.of(module), counting)
        unit = assembly.unit()
        lengths = [func.summary.length for func in module.funcs]
        some = shares(lengths, processors() if processes is None else processes)
        with helpers(module, counting, some[1:]) as others:
            parts = list(assembly.parts(unit, some[0]))
            for share, helped in zip(some[1:], others, strict=True):
                parts += helped() or assembly.parts(unit, share)
        return assembly.joined(parts)


def rewrite_share(module: Module, counting: int, share: range) -> list[Part]:
    """What a process does for ``rewrite`` in another."""
    with uncollected():
        assembly = _Assembly(Spaces.of(module), counting)
        return list(assembly.parts(assembly.unit(), share))
