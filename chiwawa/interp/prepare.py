"""A function prepared for one instance: segments of handlers, and where each leads.

A segment is what runs without a look at control: the handlers of instructions in a row, then one
instruction that leads on. A boundary where a program may be stopped, or go on after a restore, is
always the start of a segment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chiwawa.interp.handlers import Handler, handler, heap_of
from chiwawa.interp.site_handlers import SiteHandlers
from chiwawa.lower.lowered import Lowered
from chiwawa.validate import Label
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.segments import weight
from chiwawa_runtime.state.exceptions import Tag
from chiwawa_runtime.state.heap import ref_test, ref_test_null
from chiwawa_runtime.state.types import zero

#: How a segment ends.
NEXT, BR, BR_IF, IF, BR_TABLE, CALL, CALL_INDIRECT, RETURN, UNREACHABLE = range(9)
#: Of tail calls: what they call gets the place of their frame.
RETURN_CALL, RETURN_CALL_INDIRECT = range(9, 11)
#: Of what throws: a new exception, or one that there is.
THROW, THROW_REF = range(11, 13)
#: Of a branch that depends on the reference on top, and of calls of what one refers to.
BR_ON, CALL_REF, RETURN_CALL_REF = range(13, 16)
TAIL_CALLS = (RETURN_CALL, RETURN_CALL_INDIRECT, RETURN_CALL_REF)
#: When a conditional branch drops the reference that it tests.
NEVER, ON_JUMP, ON_NEXT = range(3)


class Jump:
    """Where a branch leads, and which operands it drops: ``drop`` of them, from ``height`` up."""

    __slots__ = ("drop", "height", "segment")

    def __init__(self, segment: Segment, height: int, drop: int) -> None:
        self.segment = segment
        self.height = height
        self.drop = drop


class Catch:
    """Where an exception of ``tag`` (None: any) goes on: at ``segment``, with what it carries from
    ``height`` up, and itself ``above`` that, ``beneath``, or not."""

    __slots__ = ("above", "beneath", "height", "segment", "tag")

    def __init__(
        self, tag: Tag | None, segment: Segment, height: int, above: bool, beneath: bool
    ) -> None:
        self.tag = tag
        self.segment = segment
        self.height = height
        self.above = above
        self.beneath = beneath


class Segment:
    """``offsets`` are the code offsets of the handlers' instructions, then of the last one.
    ``argument`` is what the ending needs: a Jump, a list of them, what is called, the tag of what
    is thrown, or where among the operands the exception is. ``catches`` are held against an
    exception that comes out of the ending."""

    __slots__ = (
        "argument",
        "catches",
        "deeper",
        "ending",
        "handlers",
        "next",
        "offset",
        "offsets",
        "safepoint",
        "start",
    )

    def __init__(self, start: int, offset: int, safepoint: bool) -> None:
        self.start = start
        #: The code offset that it starts at.
        self.offset = offset
        self.safepoint = safepoint
        self.handlers: tuple[Handler, ...] = ()
        self.offsets: list[int] = []
        self.ending = NEXT
        self.argument: Any = None
        self.catches: tuple[Catch, ...] = ()
        #: How much deeper than this frame what it calls is.
        self.deeper = 0
        self.next: Segment | None = None


class PreparedFunction:
    """A function prepared for one instance. ``at`` has the segments by the position that they start
    at, ``calls`` those that end in a call by its position, ``positions`` the boundaries by code
    offset."""

    __slots__ = (
        "arity",
        "at",
        "calls",
        "entry",
        "exit",
        "index",
        "lowered",
        "params",
        "positions",
        "recursive",
        "unwound",
        "zeros",
    )

    def __init__(self, lowered: Lowered, recursive: bool) -> None:
        self.lowered = lowered
        self.index = lowered.index
        self.params = len(lowered.type.params)
        self.arity = len(lowered.type.results)
        self.zeros = [zero(t) for t in lowered.locals[self.params :]]
        #: Whether its frames count towards the depth of the call stack.
        self.recursive = recursive
        #: What instruments want run where it is left, and where an exception leaves it.
        self.exit: Handler | None = None
        self.unwound: Handler | None = None
        self.at: dict[int, Segment] = {}
        self.calls: dict[int, Segment] = {}
        body, reached = lowered.body, lowered.reached
        self.positions = {i.offset: p for p, i in enumerate(body) if reached[p]}
        self.entry: Segment


def prepare(
    lowered: Lowered,
    instance: ModuleInstance,
    recursive: bool,
    split: int | None = None,
    site_handlers: SiteHandlers | None = None,
) -> PreparedFunction:
    """Prepare a function. ``split`` is a position where a segment must start too."""
    prepared = PreparedFunction(lowered, recursive)
    starts = boundaries(lowered)
    if split is not None:
        starts.add(split)
    body = lowered.body
    end = lowered.function.end
    for position in starts | {end}:
        safepoint = position in lowered.safepoints
        prepared.at[position] = Segment(position, body[position].offset, safepoint)
    prepared.at[end].ending = RETURN
    prepared.at[end].offsets.append(body[end].offset)
    filler = _Filler(prepared, instance, site_handlers)
    for position in starts - {end}:
        filler.fill(prepared.at[position])
    prepared.entry = prepared.at[0]
    if site_handlers is not None:
        add_entry_and_exit(prepared, site_handlers)
    return prepared


def add_entry_and_exit(prepared: PreparedFunction, site_handlers: SiteHandlers) -> None:
    """Have what instruments want run when the function is entered and when it is left."""
    lowered = prepared.lowered
    offset = lowered.body[0].offset
    prepared.exit = site_handlers.exit
    prepared.unwound = site_handlers.unwound
    if site_handlers.entry is not None:
        segment = Segment(-1, offset, False)
        segment.handlers = (site_handlers.entry,)
        segment.offsets = [offset, offset]
        segment.next = prepared.entry
        prepared.entry = segment
    if site_handlers.exit is None:
        return
    for segment in prepared.at.values():
        if segment.ending in TAIL_CALLS:
            # Behind a function of the host's.
            assert segment.next is not None
            segment = segment.next
        if segment.ending == RETURN:
            segment.handlers += (site_handlers.exit,)
            segment.offsets = [*segment.offsets, segment.offsets[-1]]


def boundaries(lowered: Lowered) -> set[int]:
    """The positions at which segments start."""
    starts = {0, *lowered.safepoints}
    for label in lowered.labels.values():
        starts.add(label.end)
        if label.loops:
            starts.add(label.start)
        if label.forks:
            starts.add(label.start + 1)
            starts.add(label.end if label.else_ is None else label.else_ + 1)
        starts.update(arm + 1 for arm in label.arms)
    for position in lowered.targets:
        starts.add(position + 1)
    for position in lowered.calls:
        starts.add(position + 1)
    return {p for p in starts if p <= lowered.function.end}


class _Filler:
    """Fills segments of one function."""

    def __init__(
        self,
        prepared: PreparedFunction,
        instance: ModuleInstance,
        site_handlers: SiteHandlers | None,
    ) -> None:
        self.prepared = prepared
        self.site_handlers = {} if site_handlers is None else site_handlers.at
        self.lowered = prepared.lowered
        self.instance = instance
        #: The end that an ``else`` leads to where it is fallen into.
        self.ends = {
            x.else_: x.end for x in prepared.lowered.labels.values() if x.else_ is not None
        }
        #: Where control falls out of the arms of a ``try``, by the position that it comes to: over
        #: other arms, and without the exception that was caught.
        self.falls = {
            position: self.fallen(x, position)
            for x in prepared.lowered.labels.values()
            if x.arms
            for position in (*x.arms, x.end)
        }

    def fallen(self, label: Label, position: int) -> Segment:
        segment = Segment(position, self.lowered.body[position].offset, False)
        segment.ending = BR
        end = self.prepared.at[label.end]
        segment.argument = Jump(end, label.height, int(position != label.arms[0]))
        return segment

    def following(self, position: int) -> Segment:
        """The segment that is run where control comes to ``position`` from what stands before."""
        return self.falls.get(position) or self.prepared.at[position]

    def fill(self, segment: Segment) -> None:
        lowered, at = self.lowered, self.prepared.at
        handlers: list[Handler] = []
        position = segment.start
        first = True
        while first or (position not in at and position not in self.falls):
            first = False
            op, _, offset = lowered.body[position]
            if position in self.ends:
                # Fallen into from the first arm: on to the end.
                segment.next = at[self.ends[position]]
                break
            for each in self.site_handlers.get(position, ()):
                handlers.append(each)
                segment.offsets.append(offset)
            rule = RULES.get(op.name)
            if op.delimits or (op.opens and rule is None):
                # Where a boundary is wanted here, it starts a segment of its own.
                position += 1
                continue
            if not lowered.reached[position]:
                break
            if rule is not None:
                rule(self, segment, position)
                segment.offsets.append(offset)
                break
            heights = lowered.heights
            pushes = heights[position + 1] > heights[position] - len(op.operands)
            handlers.append(handler(lowered.body[position], self.instance, pushes))
            segment.offsets.append(offset)
            position += 1
        else:
            segment.next = self.following(position)
        segment.handlers = tuple(handlers)

    # How a segment ends: one rule for each instruction that changes control.

    def unreachable(self, segment: Segment, position: int) -> None:
        segment.ending = UNREACHABLE

    def if_(self, segment: Segment, position: int) -> None:
        label = self.lowered.labels[position]
        otherwise = label.end if label.else_ is None else label.else_ + 1
        segment.ending = IF
        segment.argument = Jump(self.prepared.at[otherwise], 0, 0)
        segment.next = self.following(position + 1)

    def br(self, segment: Segment, position: int) -> None:
        segment.ending = BR
        (label,) = self.lowered.targets[position]
        segment.argument = self.jump(label, self.lowered.heights[position])

    def br_if(self, segment: Segment, position: int) -> None:
        segment.ending = BR_IF
        (label,) = self.lowered.targets[position]
        segment.argument = self.jump(label, self.lowered.heights[position] - 1)
        segment.next = self.following(position + 1)

    def br_table(self, segment: Segment, position: int) -> None:
        segment.ending = BR_TABLE
        height = self.lowered.heights[position] - 1
        segment.argument = [self.jump(t, height) for t in self.lowered.targets[position]]

    def br_on_null(self, segment: Segment, position: int) -> None:
        height = self.lowered.heights[position] - 1
        self.br_on(segment, position, height, ON_JUMP, lambda value: value is None)

    def br_on_non_null(self, segment: Segment, position: int) -> None:
        height = self.lowered.heights[position]
        self.br_on(segment, position, height, ON_NEXT, lambda value: value is not None)

    def br_on_cast(self, segment: Segment, position: int) -> None:
        heap, test = self.test(position)
        height = self.lowered.heights[position]
        self.br_on(segment, position, height, NEVER, lambda value: test(value, heap))

    def br_on_cast_fail(self, segment: Segment, position: int) -> None:
        heap, test = self.test(position)
        height = self.lowered.heights[position]
        self.br_on(segment, position, height, NEVER, lambda value: not test(value, heap))

    def test(self, position: int) -> tuple[Any, Callable[[Any, Any], bool]]:
        """The heap type that is tested for, and what tests for it."""
        target = self.lowered.body[position].imm[0].target
        test = ref_test_null if target.nullable else ref_test
        return heap_of(self.instance, target.heap), test

    def br_on(
        self,
        segment: Segment,
        position: int,
        height: int,
        drops: int,
        test: Callable[[Any], bool],
    ) -> None:
        """A branch if the topmost operand passes ``test``; where it is dropped then, ``height`` is
        without it."""
        segment.ending = BR_ON
        (label,) = self.lowered.targets[position]
        segment.argument = test, self.jump(label, height), drops
        segment.next = self.prepared.at[position + 1]

    def return_(self, segment: Segment, position: int) -> None:
        segment.ending = RETURN

    def call(self, segment: Segment, position: int) -> None:
        segment.ending = CALL
        function = self.instance.functions[self.lowered.body[position].imm[0]]
        segment.argument = function
        self.calls(segment, position, function.instance is not self.instance)

    def call_indirect(self, segment: Segment, position: int) -> None:
        segment.ending = CALL_INDIRECT
        typeidx, tableidx = self.lowered.body[position].imm
        table = self.instance.tables[tableidx]
        segment.argument = (table, self.instance.program.types[typeidx])
        self.calls(segment, position, True)

    def throw(self, segment: Segment, position: int) -> None:
        segment.ending = THROW
        segment.argument = self.instance.tags[self.lowered.body[position].imm[0]]
        segment.catches = self.catches(position)

    def throw_ref(self, segment: Segment, position: int) -> None:
        self.throw_operand(segment, position, self.lowered.heights[position] - 1)

    def rethrow(self, segment: Segment, position: int) -> None:
        self.throw_operand(segment, position, self.lowered.rethrown[position].height)

    def throw_operand(self, segment: Segment, position: int, height: int) -> None:
        segment.ending = THROW_REF
        segment.argument = height
        segment.catches = self.catches(position)

    def catches(self, position: int) -> tuple[Catch, ...]:
        """What is held against an exception that comes out of the instruction there."""
        at = self.prepared.at
        result = []
        for each in self.lowered.handlers(position):
            label = each.label
            tag = None if each.tagidx is None else self.instance.tags[each.tagidx]
            beneath = each.arm is not None
            if each.arm is not None:
                target = self.following(each.arm + 1)
            else:
                target = at[label.start if label.loops else label.end]
            above = each.ref and not beneath
            result.append(Catch(tag, target, label.height, above, beneath))
        return tuple(result)

    def call_ref(self, segment: Segment, position: int) -> None:
        segment.ending = CALL_REF
        self.calls(segment, position, True)

    def return_call_ref(self, segment: Segment, position: int) -> None:
        self.call_ref(segment, position)
        self.tail(segment, RETURN_CALL_REF)

    def calls(self, segment: Segment, position: int, may_leave: bool) -> None:
        lowered = self.lowered
        segment.catches = self.catches(position)
        segment.deeper = int(may_leave)
        if self.prepared.recursive:
            segment.deeper = weight(len(lowered.locals) + lowered.height_in_call(position))
        if not lowered.body[position].op.tail:
            segment.next = self.following(position + 1)
            self.prepared.calls[position] = segment

    def return_call(self, segment: Segment, position: int) -> None:
        self.call(segment, position)
        self.tail(segment, RETURN_CALL)

    def return_call_indirect(self, segment: Segment, position: int) -> None:
        self.call_indirect(segment, position)
        self.tail(segment, RETURN_CALL_INDIRECT)

    def tail(self, segment: Segment, ending: int) -> None:
        """Have the function return behind a call, which the host's functions are."""
        segment.ending = ending
        after = Segment(segment.start, segment.offset, False)
        after.ending = RETURN
        after.offsets = segment.offsets
        segment.next = after

    def jump(self, label: Label, height: int) -> Jump:
        position = label.start if label.loops else label.end
        return Jump(self.prepared.at[position], label.height, height - label.arity - label.height)


#: What changes control, in the table's order.
RULES = {
    "unreachable": _Filler.unreachable,
    "if": _Filler.if_,
    "throw": _Filler.throw,
    "rethrow": _Filler.rethrow,
    "throw_ref": _Filler.throw_ref,
    "br": _Filler.br,
    "br_if": _Filler.br_if,
    "br_table": _Filler.br_table,
    "return": _Filler.return_,
    "call": _Filler.call,
    "call_indirect": _Filler.call_indirect,
    "return_call": _Filler.return_call,
    "return_call_indirect": _Filler.return_call_indirect,
    "call_ref": _Filler.call_ref,
    "br_on_null": _Filler.br_on_null,
    "br_on_non_null": _Filler.br_on_non_null,
    "br_on_cast": _Filler.br_on_cast,
    "br_on_cast_fail": _Filler.br_on_cast_fail,
    "return_call_ref": _Filler.return_call_ref,
}
