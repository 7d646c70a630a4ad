"""One function rewritten, such that it can be stopped at its safepoints and entered again there.

Most instructions are copied as they stand. What changes is control (see ``control``) and calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from chiwawa.lower.lowered import Lowered
from chiwawa.module import Instr
from chiwawa.native import code
from chiwawa.native.branches import branch_on
from chiwawa.native.frames import Site
from chiwawa.native.handling import Handling
from chiwawa.native.layout import BOUNDARIES
from chiwawa.native.relaxed import plainly
from chiwawa.native.scopes import (
    Assembled,
    Branch,
    BranchIf,
    Close,
    Copy,
    Label,
    Open,
    Piece,
    assemble,
)
from chiwawa.native.tables import CALL, FunctionTable
from chiwawa.native.unit import Unit
from chiwawa.opcodes import TABLE, Op
from chiwawa_runtime.engine.segments import rise
from chiwawa_runtime.state.types import NumType, ValType


@dataclass(frozen=True, slots=True)
class RewrittenFunction:
    """``body`` is what stands behind its size in the code section; ``record_size`` what a record of
    the function takes, ``refers`` how many of the types of references it needs, ``homed`` whether
    it has locals in memory, and ``reclaims`` whether it sets back how much of that is used."""

    body: bytes
    table: FunctionTable
    hints: list[tuple[int, bool]]
    record_size: int
    refers: int
    homed: bool
    reclaims: bool


class Rewriting(Handling):
    """All of it."""

    def run(self) -> None:
        lowered, operands = self.lowered, self.operands
        heights, reached = lowered.heights, lowered.reached
        homes = self.frames.homes
        special = lowered.unsettled if homes is None else homes.locals | lowered.unsettled
        copied_pops, rules = WITH_SPECIAL_LOCALS if special else (POPS, RULES)
        by_boundaries = self.unit.counts == BOUNDARIES
        #: How many operands are in their locals.
        settled = 0
        for position, instr in enumerate(lowered.body):
            op = instr[0]
            if self.live:
                count = copied_pops.get(op)
                if special and op in _LOCALS and instr[1][0] not in special:
                    count = POPS[op]
                if count is not None:
                    if heights[position] - count < settled:
                        self.flush(instr.offset)
                        operands.pending = heights[position] - settled
                        self.emit(operands.need(self.types(position), count))
                        settled = heights[position] - operands.pending
                    if self.copied is None:
                        self.copied = instr[2]
                    if by_boundaries:
                        self.passed += position > 0
                    continue
                operands.pending = heights[position] - settled
            elif not self.is_end_of_dead(op, reached[position]):
                continue
            rule = rules[op]
            if self.copied is not None:
                self.flush(instr.offset)
            if self.live and not op.delimits:
                self.passed += position > 0 and not (op.loops or self.reaches_host(instr))
            if self.passed and (rule not in STRAIGHT or op.loops or op.forks):
                self.emit(self.unit.passed(self.passed))
                self.passed = 0
            rule(self, position, instr)
            if self.live:
                settled = heights[position + 1] - operands.pending

    def is_end_of_dead(self, op: Op, reached: bool) -> bool:
        """Whether an instruction that cannot be reached by falling into it matters all the same:
        it delimits a construct that can."""
        assert not reached
        if op.opens:
            self.dead += 1
        elif op.delimits:
            if not self.dead:
                return True
            self.dead -= op.ends
        return False

    # Calls.

    def call(self, position: int, instr: Instr) -> None:
        unit, lowered, operands = self.unit, self.lowered, self.operands
        op = instr.op
        functype = lowered.calls[position]
        types = self.types(position)
        count = len(functype.params) + op.indirect
        callee: int | None = None if op.indirect else instr.imm[0]
        following = lowered.body[position + 1].offset
        host: Site | None = None
        if self.reaches_host(instr):
            host = self.host_call(position, instr, types)
        elif callee not in unit.suspends:
            self.emit(operands.need(types, count), Copy(instr.offset, following))
            operands.pending += len(functype.results) - count
            return
        by_record = host is not None or callee in unit.tailing
        values = len(lowered.locals) + len(types) - count
        depth = self.set_depth(callee, rise(values, self.frames.recursive, host is not None))
        self.emit(operands.need_alone(types, count))
        operands.pending = 0
        beneath = types[: len(types) - count]
        site: Site | None = None
        if not by_record:
            # Whoever enters the frame again calls here, too.
            site = self.frames.site(CALL, instr.offset, beneath)
            site.label = Label(unit.block_type(functype.params))
            site.again = self.frames.anything(functype.params)
            self.scope.place(site.label)
        elif op.indirect:
            depth += self.set_callee(types)
        results = beneath + functype.results
        made: Piece = Copy(instr.offset, following) if not op.tail else code.call(instr.imm[0])
        self.emit(depth, made, operands.set(results, len(beneath)))
        if host is not None and callee is not None:
            # Nothing waits in a call of the host: it is made again.
            self.emit(self.frames.know())
            self.emit(unit.mode(), BranchIf(self.frames.saving(host), likely=False))
            return
        if by_record:
            # An element of a table may be another by now, and tail calls lead anywhere.
            site = self.frames.site(CALL, instr.offset, beneath)
            site.again = depth + self.called_again(position, instr, beneath)
            self.scope.place(site.label)
        assert site is not None
        saving = self.frames.saving(site) if host is None else self.frames.saving_call(site, host)
        self.scope.inside.append(site)
        self.emit(self.frames.know(), unit.mode(), BranchIf(saving, likely=False))

    def set_callee(self, types: tuple[ValType, ...]) -> bytes:
        """Say which element of a table is called, where the operand on top, which is in its local,
        says so."""
        if not isinstance(types[-1], NumType):
            return b""
        return self.unit.set_callee(self.operands.slot(len(types) - 1, types[-1]), types[-1])

    def called_again(self, position: int, instr: Instr, beneath: tuple[ValType, ...]) -> bytes:
        """A call of the function whose record is the next."""
        unit, functype = self.unit, self.lowered.calls[position]
        if not unit.tailing:
            again = unit.next_function() + code.call_indirect(instr.imm[0], unit.functions)
            return self.frames.called_again(again, functype, beneath)
        typeidx = unit.giving[self.references.all_kept(functype.results)]
        again = unit.next_function() + code.call_indirect(typeidx, unit.resumers)
        return self.frames.resumed_by(again, functype.results, beneath)

    def tail_call(self, position: int, instr: Instr) -> None:
        """What is called gets the place of the frame. Of an imported function it is a call, and
        what it gives is returned, since the host's may be interrupted."""
        unit, lowered, operands = self.unit, self.lowered, self.operands
        functype = lowered.calls[position]
        types = self.types(position)
        count = len(functype.params)
        if not instr.op.indirect and self.reaches_host(instr):
            if self.guarded:
                self.tail_call_of_import(position, instr)
                return
            self.call(position, instr)
            self.operands.pending = 0
            self.return_(types[: len(types) - count] + functype.results)
            self.die()
            return
        callee: int | None = None if instr.op.indirect else instr.imm[0]
        following = lowered.body[position + 1].offset
        if callee is None:
            self.host_call(position, instr, types)
        depth = b""
        if callee is None:
            values = len(lowered.locals) + len(types) - count - 1
            host_depth = rise(values, self.frames.recursive, True)
            assert self.frames.depth is not None
            depth = unit.set_depth(self.frames.depth, 0)
            depth += unit.set_host_depth(self.frames.depth, host_depth, tail=True)
        else:
            depth = self.set_depth(callee, 0)
        self.emit(operands.need(types, count + instr.op.indirect))
        if callee is None:
            depth += self.set_callee(types)
        if self.frames.homes is not None:
            depth += self.frames.homes.leave()
        self.emit(depth, Copy(instr.offset, following))
        self.die()

    def set_depth(self, callee: int | None, deeper: int) -> bytes:
        """Say how deep a function starts that is called (None: through a table)."""
        unit, depth = self.unit, self.frames.depth
        out = b""
        if callee is None or callee in unit.deep:
            assert depth is not None
            out += unit.set_depth(depth, deeper)
        if callee is None or callee < unit.spaces.imported_funcs:
            assert depth is not None
            out += unit.set_host_depth(depth, deeper)
        return out

    # Relaxed instructions.

    def relaxed(self, position: int, instr: Instr) -> None:
        types = self.types(position)
        count = len(instr.op.params)
        first = len(types) - count
        self.emit(self.operands.need(types, count))
        slot = self.operands.slot
        self.emit(plainly(instr.op, lambda place: slot(first + place, types[first + place])))
        self.operands.pending += 1 - count

    # What grows.

    def grow(self, position: int, instr: Instr) -> None:
        count = POPS_OF_GROWING[instr.op]
        following = self.lowered.body[position + 1].offset
        self.emit(self.operands.need(self.types(position), count))
        self.emit(self.unit.growing(instr) or Copy(instr.offset, following))
        self.operands.pending += 1 - count

    # Locals that have their home in memory, or have no value at first.

    def local(self, position: int, instr: Instr) -> None:
        homes, op = self.frames.homes, instr.op
        local = instr.imm[0]
        pops = POPS[op]
        if self.operands.pending < pops:
            self.emit(self.operands.need(self.types(position), pops))
        if homes is None or local not in homes.locals:
            # In the rewritten function it has one, and may be null.
            following = self.lowered.body[position + 1].offset
            self.emit(Copy(instr.offset, following))
            if op.name != "local.set":
                self.emit(code.BYTE["ref.as_non_null"])
        elif pops:
            self.emit(homes.set(local, tee=op.name == "local.tee"))
        else:
            self.emit(homes.read(local))
        self.operands.pending += self.lowered.heights[position + 1] - self.lowered.heights[position]

    # Segments.

    def drop_segment(self, position: int, instr: Instr) -> None:
        following = self.lowered.body[position + 1].offset
        self.emit(Copy(instr.offset, following), self.unit.dropped(instr))

    def finish_simple(self) -> list[Piece]:
        """Where the function is never suspended."""
        self.place_delegated(self.scope, None)
        return [*self.scope.closed([]), code.UNREACHABLE, code.END]

    def finish(self) -> list[Piece]:
        frames = self.frames
        self.place_delegated(self.scope, None)
        head = frames.head(self.first, self.scope.inside, self.counted)
        frames.place_traps()
        inner = self.scope.closed(head)
        cold = frames.cold
        keeping = frames.keeping.values()
        labels = [*(label for label, _ in cold), *(label for label, _ in keeping), frames.unwound]
        begin = frames.homes.begin() if frames.homes else b""
        out: list[Piece] = [begin, *map(Open, reversed(labels)), *inner, code.UNREACHABLE]
        for label, pieces in cold:
            out += [Close(label), *pieces]
        for label, puts in keeping:
            out += [Close(label), puts, Branch(frames.unwound)]
        out += [Close(frames.unwound), frames.unwind(self.counted), code.END]
        return out


Rule = Callable[[Rewriting, int, Instr], None]


def _rule(op: Op) -> Rule | None:
    """What is done for an instruction that is not just copied."""
    if op.handles:
        return Rewriting.begin_handling
    if op.concerns_handling and op.divides:
        return Rewriting.catch
    if op.opens:
        return Rewriting.block
    if op.delimits:
        return Rewriting.delimit
    if op.tail:
        return Rewriting.tail_call
    if op.calls:
        return Rewriting.call
    if op.switches:
        return Rewriting.branch_table
    if op.conditional and op.heaped:
        return branch_on
    if op.conditional:
        return Rewriting.branch_if
    if op.throws:
        return Rewriting.throw
    if op.stops:
        return Rewriting.branch if op.branches else Rewriting.unreachable
    if op.immediates in (("dataidx",), ("elemidx",)):
        return Rewriting.drop_segment
    if op.plain:
        return Rewriting.relaxed
    if op.grows:
        return Rewriting.grow
    return None


def _pops(op: Op) -> int:
    """How many operands an instruction takes that is copied."""
    if op.signature is not None:
        return len(op.params)
    if op.meaning is not None:
        return len(op.operands)
    # drop, and those for locals.
    return int(op.name != "local.get")


RULES: dict[Op, Rule] = {op: rule for op in TABLE if (rule := _rule(op)) is not None}
#: The rules of instructions behind which the function just goes on, but for loops and forks.
STRAIGHT = (
    Rewriting.block,
    Rewriting.drop_segment,
    Rewriting.relaxed,
    Rewriting.grow,
    Rewriting.local,
)
POPS: dict[Op, int] = {op: _pops(op) for op in TABLE if op not in RULES}
POPS_OF_GROWING: dict[Op, int] = {op: _pops(op) for op in TABLE if op.grows}
_LOCALS = {op for op in POPS if op.immediates == ("localidx",)}
#: The same where some locals have their home in memory, or have no value at first.
WITH_SPECIAL_LOCALS = (
    {op: count for op, count in POPS.items() if op not in _LOCALS},
    RULES | dict.fromkeys(_LOCALS, Rewriting.local),
)


def rewrite_function(unit: Unit, lowered: Lowered, original: bytes) -> RewrittenFunction:
    """``original`` is the function's body, its vector of locals included."""
    rewriting = Rewriting(unit, lowered)
    rewriting.run()
    pieces = rewriting.finish()
    params = len(lowered.type.params)
    declared = code.declared((*lowered.locals[params:], *rewriting.operands.added))
    assembled: Assembled = assemble(pieces, original, len(declared))
    frames, references = rewriting.frames, unit.references
    entries = [site.entry for site in frames.sites]
    if references.exact:
        entries = [replace(each, types=references.all_kept(each.types)) for each in entries]
    locals_ = references.all_kept(lowered.locals)
    table = FunctionTable(locals_, tuple(entries), assembled.places)
    return RewrittenFunction(
        declared + assembled.body,
        table,
        assembled.hints,
        frames.record_size(),
        frames.refers,
        frames.homes is not None,
        rewriting.used is not None,
    )
