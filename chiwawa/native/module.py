"""A module rewritten: its sections, with what the rewriter adds behind what there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from chiwawa.binary.decode import MAGIC, VERSION
from chiwawa.binary.encode import contents_of, write_expr, write_section
from chiwawa.binary.names import write_name
from chiwawa.binary.reader import Reader
from chiwawa.binary.sections import SECTIONS, BodySource, ref_func
from chiwawa.lower.lowered import Spaces, lower, recursive_functions
from chiwawa.module import Data, Elem, Export, Expr, Func, Global, Instr, Module
from chiwawa.native import code, layout
from chiwawa.native.function import rewrite_function, rewrite_simple
from chiwawa.native.shares import Part, helpers, processors, shares
from chiwawa.native.tables import Tables, write_places, write_table, write_tables
from chiwawa.native.unit import Unit, deep_functions, suspending
from chiwawa.opcodes import TABLE
from chiwawa_runtime.collector import uncollected
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.state.types import (
    EXTERNREF,
    FUNCREF,
    I32,
    I64,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    TableType,
)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A module that can be stopped, and what a host must know of it."""

    binary: bytes
    tables: Tables


#: The types of the functions that the rewriter adds, by what they are for.
_SAVE = FuncType((I32, I32, I32), (I32,))
_NEXT = FuncType((), (I32,))
_PLAIN = FuncType((), ())


_CONST32, _CONST, _END = (
    next(op for op in TABLE if op.name == name) for name in ("i32.const", "i64.const", "end")
)
_CODE = 10
_HINTS = "metadata.code.branch_hint"


def check_names(module: Module) -> None:
    """Raises UnsupportedError where the module uses names that the rewriter gives."""
    named = [("export", e.name) for e in module.exports]
    named += [("import", i.module) for i in module.imports]
    for what, name in named:
        if name.startswith(layout.PREFIX):
            raise UnsupportedError(f'the native path: the {what} "{name}" has a name of its own')


def settable(each: Global) -> Global:
    """A global as a restored one must be: what depends on an import may be another then."""
    if each.type.mutable or not any(instr.op.reads for instr in each.init):
        return each
    return Global(GlobalType(each.type.type, True), each.init)


def passive_elem(elem: Elem) -> Elem:
    """A segment that is placed when somebody says so."""
    mode = "passive" if elem.mode == "active" else elem.mode
    return Elem(elem.type, elem.init, mode)


def escaping(spaces: Spaces) -> set[int]:
    """The functions that can be called otherwise than by their index. wasmtime may know one that is
    imported by more than one reference."""
    module = spaces.module
    found = {e.index for e in module.exports if e.kind == "func"}
    if module.start is not None:
        found.add(module.start)
    constants = [expr for elem in module.elems for expr in elem.init]
    constants += [g.init for g in module.globals]
    for expr in constants:
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
        self.module = module = Module(
            types=list(original.types),
            imports=original.imports,
            funcs=list(original.funcs),
            tables=list(original.tables),
            mems=list(original.mems),
            globals=[settable(each) for each in original.globals],
            exports=list(original.exports),
            elems=[passive_elem(each) for each in original.elems],
            datas=[Data(each.init, "passive") for each in original.datas],
            data_count=len(original.datas),
        )
        memories, tables = len(original.memory_types()), len(original.table_types())
        self.shadow = memories
        module.mems.append(MemoryType(Limits(1)))
        self.export(layout.SHADOW, "memory", memories)
        self.functions = tables
        count = len(spaces.funcs)
        module.tables.append(TableType(Limits(count, count), FUNCREF))
        self.export(layout.FUNCTIONS, "table", tables)
        self.references: dict[str, int] = {}
        self.count = len(original.global_types())
        if counting:
            zero = Instr(_CONST, (0,), 0)
            module.globals.append(Global(GlobalType(I64, True), [zero, Instr(_END, (), 1)]))
            self.export(layout.COUNT, "global", self.count)
        for prefix, kind, number in (
            (layout.MEMORY, "memory", memories),
            (layout.TABLE, "table", tables),
            (layout.GLOBAL, "global", self.count),
        ):
            for index in range(number):
                self.export(f"{prefix}{index}", kind, index)
        module.elems += self.listed()
        if original.start is not None:
            self.export(layout.START, "func", original.start)
        #: The added functions' bodies.
        self.added: list[bytes] = []
        self.records_at = layout.records_at(len(original.datas), len(original.elems))

    def export(self, name: str, kind: str, index: int) -> None:
        self.module.exports.append(Export(name, kind, index))

    def listed(self) -> Iterator[Elem]:
        """Segments that put every function that may be called from outside, or through a table,
        into the table of functions, at its index."""
        run: list[int] = []
        for index in sorted(escaping(self.spaces)):
            if run and index != run[-1] + 1:
                yield self.run_of(run)
                run = []
            run.append(index)
        if run:
            yield self.run_of(run)

    def run_of(self, run: Sequence[int]) -> Elem:
        offset = [Instr(_CONST32, (run[0],), 0), Instr(_END, (), 1)]
        return Elem(FUNCREF, [ref_func(i) for i in run], "active", self.functions, offset)

    def add(self, functype: FuncType, locals_: Sequence[RefType | object], body: bytes) -> int:
        """A function more; its index."""
        types = self.module.types
        if functype not in types:
            types.append(functype)
        self.module.funcs.append(Func(types.index(functype), (), []))
        declared = code.declared(locals_)  # type: ignore[arg-type]
        self.added.append(declared + body + code.END)
        return len(self.spaces.funcs) + len(self.added) - 1

    def cell(self, address: int) -> bytes:
        return code.i32(0) + code.load(I32, self.shadow, address)

    def set_cell(self, address: int, value: bytes) -> bytes:
        return code.i32(0) + value + code.store(I32, self.shadow, address)

    def add_save(self) -> int:
        """``(size, function, entry) -> base``: room for a record, with its head, and the mode that
        says that frames are saved."""
        size, function, entry, base = range(4)
        get = code.local_get
        body = self.cell(layout.SP) + code.local_tee(base) + get(size) + code.ADD
        pages = code.BYTE["memory.size"] + code.u(self.shadow)
        body += pages + code.i32(16) + code.BYTE["i32.shl"] + code.BYTE["i32.gt_u"] + code.IF
        more = get(size) + code.i32(16) + code.BYTE["i32.shr_u"] + code.i32(16) + code.ADD
        body += more + code.BYTE["memory.grow"] + code.u(self.shadow)
        body += code.i32(0) + code.BYTE["i32.lt_s"] + code.IF + code.UNREACHABLE + code.END
        body += code.END
        for address, local in (
            (layout.RECORD_SIZE, size),
            (layout.RECORD_FUNCTION, function),
            (layout.RECORD_ENTRY, entry),
        ):
            body += get(base) + get(local) + code.store(I32, self.shadow, address)
        body += self.set_cell(layout.SP, get(base) + get(size) + code.ADD)
        kept = self.cell(layout.MODE) + code.i32(layout.EXHAUSTED | layout.TRAPPED) + code.AND
        body += self.set_cell(layout.MODE, kept + code.i32(layout.UNWINDING) + code.OR)
        return self.add(_SAVE, (I32,), body + get(base))

    def add_next(self) -> int:
        """``() -> base``: the next record, while rewinding."""
        get = code.local_get
        size = get(0) + code.load(I32, self.shadow, layout.RECORD_SIZE)
        body = self.cell(layout.RP) + code.local_set(0)
        body += self.set_cell(layout.RP, get(0) + size + code.ADD)
        return self.add(_NEXT, (I32,), body + get(0))

    def add_resumed(self) -> int:
        """What happens where the youngest frame goes on. Requests are left alone."""
        body = self.set_cell(layout.MODE, code.i32(0))
        byte = code.access("i32.store8", self.shadow, layout.POLL + 1)
        body += code.i32(0) + code.i32(0) + byte
        half = code.access("i32.store16", self.shadow, layout.CEILING + 1)
        body += code.i32(0) + code.i32(layout.CEILING_HIGH) + half
        if self.counting:
            count = code.i32(0) + code.load(I64, self.shadow, layout.RESUMED_COUNT)
            body += count + code.global_set(self.count)
        return self.add(_PLAIN, (), body)

    def add_references(self, heap: str, valtype: RefType) -> tuple[int, int]:
        """Functions that keep a reference in a table of its own, and take it from there: what
        stands for it in a record is 0 for null, else its place and one."""
        table = len(self.original.table_types()) + 1 + len(self.references)
        self.references[heap] = table
        self.module.tables.append(TableType(Limits(0), valtype))
        self.export(layout.REFERENCES[heap], "table", table)
        count = layout.REFERENCE_COUNTS[heap]
        get, is_null = code.local_get, code.BYTE["ref.is_null"]
        body = get(0) + is_null + code.IF + code.i32(0) + code.RETURN + code.END
        size = code.prefixed("table.size") + code.u(table)
        grow = code.prefixed("table.grow") + code.u(table)
        body += self.cell(count) + code.local_tee(1) + size + code.BYTE["i32.ge_u"] + code.IF
        body += code.zero(valtype) + get(1) + code.i32(16) + code.ADD + grow
        body += code.i32(0) + code.BYTE["i32.lt_s"] + code.IF + code.UNREACHABLE + code.END
        body += code.END + get(1) + get(0) + code.BYTE["table.set"] + code.u(table)
        more = get(1) + code.i32(1) + code.ADD
        body += self.set_cell(count, more)
        keep = self.add(FuncType((valtype,), (I32,)), (I32,), body + more)
        body = get(0) + code.EQZ + code.IF + code.zero(valtype) + code.RETURN + code.END
        body += get(0) + code.i32(1) + code.SUB + code.BYTE["table.get"] + code.u(table)
        return keep, self.add(FuncType((I32,), (valtype,)), (), body)

    def add_segments(self) -> None:
        """What other hosts place active segments with, and what drops those that are said to be."""
        original = self.original
        datas, elems = len(original.datas), len(original.elems)
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
        assert elems + datas <= self.records_at - layout.DROPPED
        self.export(layout.INITIALISE, "func", self.add(_PLAIN, (), placing))
        self.export(layout.DROP, "func", self.add(_PLAIN, (), dropping))

    def flagged(self, flag: int) -> bytes:
        return code.i32(0) + code.i32(1) + code.access("i32.store8", self.shadow, flag)

    def if_flagged(self, flag: int, then: bytes) -> bytes:
        test = code.i32(0) + code.access("i32.load8_u", self.shadow, flag)
        return test + code.IF + then + code.END

    def unit(self) -> Unit:
        """What rewriting the functions needs, with the functions for it added."""
        save, next_, resumed = self.add_save(), self.add_next(), self.add_resumed()
        keep: dict[str | int, int] = {}
        take: dict[str | int, int] = {}
        for heap, valtype in (("func", FUNCREF), ("extern", EXTERNREF)):
            keep[heap], take[heap] = self.add_references(heap, valtype)
        self.add_segments()
        return Unit(
            spaces=self.spaces,
            counts=self.counting,
            shadow=self.shadow,
            functions=self.functions,
            count=self.count,
            suspends=suspending(self.spaces),
            recursive=recursive_functions(self.spaces),
            deep=deep_functions(self.spaces),
            save=save,
            next=next_,
            resumed=resumed,
            keep=keep,
            take=take,
            flags_of_elems=len(self.original.datas),
        )

    def parts(self, unit: Unit, some: range) -> Iterator[Part]:
        """``some`` of the functions that the module defines, rewritten."""
        bodies = bodies_of(self.original)
        for position in some:
            index, body = self.spaces.imported_funcs + position, bodies[position]
            wanted = index in unit.suspends or self.counting == layout.BOUNDARIES
            lowered = lower(self.spaces, index) if wanted else None
            # What loops or calls may do so in code alone that is never reached.
            if lowered is not None and lowered.safepoints:
                rewritten = rewrite_function(unit, lowered, body)
                likely = [code.u(at) + b"\x01" + bytes((yes,)) for at, yes in rewritten.hints]
                hints = code.u(index) + code.vector(likely) if likely else b""
                yield rewritten.body, write_table(rewritten.table), hints
                continue
            if self.counting != layout.BOUNDARIES:
                lowered = None
            simple = rewrite_simple(unit, self.original.funcs[position], body, lowered)
            if simple is None:
                yield body, b"", b""
            else:
                body, places = simple
                yield body, write_places(places), b""

    def joined(self, parts: Iterable[Part]) -> Rewritten:
        """The module of all its functions."""
        bodies, tables, hints = zip(*parts, strict=True) if self.original.funcs else ((), (), ())
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
        written = write_tables(self.counting, self.records_at, self.original.hash, of_all)
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
