"""Exceptions in a function that is rewritten: what throws them, and what handles them.

A ``try_table`` stays one. Nobody can branch into it, so it is a scope of its own, as a loop is:
whoever enters a frame again that waits in it comes in by its start, and goes on from there. An
exception finds all locals as they were where it was thrown or let through, and so no handler needs
to be told where it came from. Functions that have let it through have left no record, as they do
where they save their frames.

What was there before, and engines need not know, becomes one: the first arm of a ``try`` what
handles exceptions, the others what its handlers go on with. The exception that an arm has caught
is an operand, as the specification has it of that proposal, and ``rethrow`` throws that. Where a
``try`` delegates, it catches all, and throws it again where what it delegates to handles it.
"""

from __future__ import annotations

from dataclasses import dataclass

from chiwawa.lower.lowered import Lowered
from chiwawa.module import Instr
from chiwawa.native import code
from chiwawa.native.control import Control, Scope
from chiwawa.native.frames import Inner
from chiwawa.native.scopes import (
    At,
    Branch,
    BranchIf,
    Close,
    Copy,
    Label,
    Open,
    OpenTry,
    Piece,
)
from chiwawa.native.unit import Unit
from chiwawa.validate import Handler
from chiwawa.validate import Label as Construct
from chiwawa_runtime.engine.segments import rise
from chiwawa_runtime.state.types import EXNREF, I32, REF_EXN, ValType


@dataclass(frozen=True, slots=True)
class Guarded:
    """A construct that handles exceptions, or its first arm, being read: the operands beneath it,
    the number of the first entry in it, and its scope."""

    construct: Construct
    beneath: tuple[ValType, ...]
    first: int
    scope: Scope


class Handling(Control):
    """What ``Control`` does, and for constructs that handle exceptions."""

    def __init__(self, unit: Unit, lowered: Lowered) -> None:
        super().__init__(unit, lowered)
        self.guarded: list[Guarded] = []
        #: Where a frame without homes has how much of the memory for them is used, while it is in
        #: something that handles exceptions: what ends in one does not give its part back.
        self.used: int | None = None
        #: Where arms begin that handle exceptions, by position.
        self.arms: dict[int, Label] = {}
        #: Where what is delegated is thrown again, by scope, and the local that has it there.
        self.delegated: dict[Scope, Label] = {}
        self.passing = -1

    def throw(self, position: int, instr: Instr) -> None:
        types = self.types(position)
        following = self.lowered.body[position + 1].offset
        caught = self.lowered.rethrown.get(position)
        if caught is not None:
            # It has been in its local since the arm began.
            exception = self.operands.slot(caught.height, EXNREF)
            self.emit(At(instr.offset), code.local_get(exception) + code.THROW_REF)
            self.die()
            return
        count = len(self.carried(instr.imm[0])) if instr.imm else 1
        self.emit(self.operands.need(types, count), Copy(instr.offset, following))
        self.die()

    def carried(self, tagidx: int) -> tuple[ValType, ...]:
        """What exceptions of a tag carry."""
        return self.references.seen(self.unit.spaces.context.tag(tagidx).params)

    def begin_handling(self, position: int, instr: Instr) -> None:
        construct = self.lowered.labels[position]
        types = self.types(position)
        self.emit(self.operands.spill(types))
        self.open.append(construct)
        self.ends[construct] = Label()
        first = len(self.frames.sites)
        self.scope = Scope()
        self.guarded.append(Guarded(construct, types[: construct.height], first, self.scope))
        self.scopes.append(self.scope)

    def catch(self, position: int, instr: Instr) -> None:
        """An arm begins."""
        construct = self.open[-1]
        self.settle(construct, position)
        if position == construct.arms[0]:
            self.end_handling(self.guarded.pop())
        elif self.live:
            self.emit(Branch(self.ends[construct]))
        self.live = construct.thrown
        self.operands.pending = 0
        if self.live:
            self.scope.place(self.arms.pop(position))

    def close(self, construct: Construct) -> None:
        if construct.handles and not construct.arms:
            self.end_handling(self.guarded.pop())
        super().close(construct)

    def end_handling(self, guarded: Guarded) -> None:
        construct = guarded.construct
        inner = self.scopes.pop()
        self.scope = self.scopes[-1]
        self.place_delegated(inner, self.ends[construct])
        head: list[Piece] = []
        if inner.inside:
            before = Inner(None, guarded.first, len(self.frames.sites) - 1, Label())
            self.scope.place(before.label)
            self.scope.inside.append(before)
            head = self.frames.handling_head(guarded.first, inner.inside)
        # None is wanted where nothing in it throws.
        handlers = construct.handlers if construct.thrown else []
        around = self.guarded[-1].construct if self.guarded else None
        if construct.thrown and construct.guard is not around:
            handlers = [Handler(None, construct, True)]
        # What calls nothing has called nothing that may not have left.
        if handlers and self.frames.homes is None and self.lowered.safepoints:
            if self.used is None:
                self.used = self.operands.new_local(I32)
            self.emit(code.global_get(self.unit.fp), code.local_set(self.used))
        labels = [Label(self.unit.block_type(self.given(handler))) for handler in handlers]
        clauses = [
            (handler.tagidx, handler.ref, label)
            for handler, label in zip(handlers, labels, strict=True)
        ]
        self.emit(*map(Open, reversed(labels)), OpenTry(clauses), *inner.closed(head), Close())
        self.emit(Branch(self.ends[construct]) if self.live else code.UNREACHABLE)
        for handler, label in zip(handlers, labels, strict=True):
            self.emit(Close(label), self.caught())
            self.handle(handler, guarded)

    def handle(self, handler: Handler, guarded: Guarded) -> None:
        """Go on where a handler says, with what it takes from an exception."""
        given = self.given(handler)
        operands, height = self.operands, len(guarded.beneath)
        if handler.arm is not None:
            # The exception is beneath what it carries.
            carried = (*guarded.beneath, EXNREF, *given[:-1])
            self.emit(code.local_set(operands.slot(height, EXNREF)))
            self.emit(operands.set(carried, height + 1))
            self.arms[handler.arm] = Label()
            self.emit(Branch(self.arms[handler.arm]))
        elif handler.label is guarded.construct:
            self.emit(code.local_set(self.passed_on()))
            self.emit(Branch(self.delegated_to(guarded.construct.guard)))
        else:
            operands.pending = len(given)
            self.go_to(handler.label, guarded.beneath + given)
            operands.pending = 0

    def passed_on(self) -> int:
        """The local of an exception that is thrown again elsewhere."""
        if self.passing < 0:
            self.passing = self.operands.new_local(EXNREF)
        return self.passing

    def delegated_to(self, guard: Construct | None) -> Label:
        """Where it is, in what ``guard`` handles; None: in what nothing does."""
        scopes = [each.scope for each in self.guarded if each.construct is guard]
        return self.delegated.setdefault(scopes[0] if scopes else self.scopes[0], Label())

    def place_delegated(self, scope: Scope, end: Label | None) -> None:
        """Throw again there what has been delegated to it, before ``scope`` ends; who falls into
        its end goes on at ``end``."""
        label = self.delegated.pop(scope, None)
        if label is None:
            return
        if self.live:
            assert end is not None
            scope.pieces.append(Branch(end))
            self.live = False
        scope.place(label)
        scope.pieces.append(code.local_get(self.passed_on()) + code.THROW_REF)

    def given(self, handler: Handler) -> tuple[ValType, ...]:
        """What a handler takes from an exception."""
        carried = () if handler.tagidx is None else self.carried(handler.tagidx)
        return carried + self.references.seen((REF_EXN,)) if handler.ref else carried

    def caught(self) -> bytes:
        """Have as it was what the functions that an exception has ended have not set back."""
        homes = self.frames.homes
        if homes is not None:
            return homes.reclaim() + self.frames.know()
        if self.used is None:
            return b""
        used = code.local_get(self.used) + code.global_set(self.unit.fp)
        return used + self.frames.know()

    def tail_call_of_import(self, position: int, instr: Instr) -> None:
        """As ``call``, and what it gives is returned, since the host's may be interrupted. Where
        something handles exceptions here, the call is made elsewhere: it is none of these."""
        unit, lowered, operands, frames = self.unit, self.lowered, self.operands, self.frames
        functype = lowered.calls[position]
        types = self.types(position)
        beneath = len(types) - len(functype.params)
        site = self.host_call(position, instr, types)
        depth = frames.depth
        assert depth is not None
        deeper = rise(len(lowered.locals) + beneath, frames.recursive, True)
        made: list[Piece] = [operands.get(types, beneath)]
        made += [unit.set_depth(depth, deeper) + unit.set_host_depth(depth, deeper)]
        made += [At(instr.offset), code.call(instr.imm[0]), frames.know(), unit.mode()]
        made += [BranchIf(frames.saving(site), likely=False)]
        made += [frames.homes.leave() if frames.homes else b"", code.RETURN]
        self.emit(Branch(frames.before(site, made)))
        self.die()
