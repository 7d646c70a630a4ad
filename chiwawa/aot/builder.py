"""What the rules that make the tree of a function share: the steps so far, the operand stack, the
constructs that are open, and what happens at each boundary.

A rule is a function of the ``Builder``, an instruction's position and the instruction. It appends
steps, and takes and pushes operands.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

from chiwawa.aot.ir import Br, Catch, Plain, Poll, Step
from chiwawa.aot.operands import Operands
from chiwawa.aot.options import Options
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Sites
from chiwawa.meanings import fold
from chiwawa.meanings.fold import Node, name
from chiwawa.meanings.rows import high
from chiwawa.module import Instr
from chiwawa.validate import Handler, Label

#: What has been caught, in the steps of a ``Catch``.
EXCEPTION = "thrown.exception"


@dataclass(slots=True)
class Open:
    """A construct being read: its label, the steps that it stands among, for an ``if`` the
    condition and, once it is read, the first arm."""

    label: Label
    outer: list[Step]
    test: Node | None = None
    then: list[Step] = field(default_factory=list)


class Builder:
    """The tree of one function in the making."""

    __slots__ = (
        "arms",
        "local_high",
        "lowered",
        "opened",
        "operands",
        "options",
        "sites",
        "skipped",
        "steps",
    )

    def __init__(self, lowered: Lowered, options: Options, sites: Sites) -> None:
        self.lowered = lowered
        self.options = options
        self.sites = sites
        #: The highest values of the locals, where they are integers.
        self.local_high = [high(valtype) for valtype in lowered.locals]
        #: Those of the innermost construct, or arm, that is open.
        self.steps: list[Step] = []
        self.operands = Operands(lowered, self.emit)
        #: The constructs that are open, the innermost last.
        self.opened: list[Open] = []
        #: The labels at which the arms of a ``try`` begin, by the position that begins each.
        self.arms = {
            position: arm_label(label, position)
            for label in lowered.labels.values()
            for position in label.arms
        }
        #: The position of an instruction that was translated with the one before it.
        self.skipped = -1

    def emit(
        self, node: ast.stmt, offset: int | None = None, catches: list[Catch] | None = None
    ) -> None:
        """Append a statement; ``offset`` is that of what may trap in it."""
        self.steps.append(Plain(node, offset, catches or []))

    def catches(self, position: int) -> list[Catch]:
        """What is held against an exception that comes out of the instruction at ``position``."""
        return [catch_of(self, handler) for handler in self.lowered.handlers(position)]

    def open(self, position: int, test: Node | None = None) -> None:
        """The steps to come are those of the construct that begins at ``position``."""
        self.begin(self.lowered.labels[position], test)

    def begin(self, label: Label, test: Node | None = None) -> None:
        """The steps to come are those before the end of ``label``."""
        self.opened.append(Open(label, self.steps, test))
        self.steps = []

    # Boundaries.

    def arrive(self, position: int, instr: Instr) -> None:
        """What happens at a boundary: the safepoint, where there is one, and sites."""
        if position in self.lowered.safepoints and self.options.polls:
            self.operands.spill_all()
            # A restored frame has whatever its checkpoint says.
            self.operands.widen()
            self.steps.append(Poll(instr.offset))
        self.run_sites(position, instr)

    def run_sites(self, position: int, instr: Instr) -> None:
        """Paste the source of the sites at a boundary, which see what they read in its variables,
        and may assign to it."""
        for site in self.sites.at.get(position, ()):
            if site.reads:
                self.operands.spill_all()
            self.emit(fold.verbatim(site.source), instr.offset)
            if site.writes:
                self.operands.widen()


def arm_label(label: Label, position: int) -> Label:
    """Where the arm of ``label`` begins that the delimiter at ``position`` does."""
    arm = Label(None, label.start, (), (), label.stack, label.height, True)
    arm.end = position
    arm.targeted = arm.handling = True
    arm.leaves = label.thrown
    return arm


def catch_of(builder: Builder, handler: Handler) -> Catch:
    """What ``handler`` does, in steps."""
    label = handler.label if handler.arm is None else builder.arms[handler.arm]
    tags = builder.options.spaces.context.tags
    count = 0 if handler.tagidx is None else len(tags[handler.tagidx].params)
    if label.outermost:
        return Catch(handler.tagidx, returns(builder, label, count, handler.ref))
    steps: list[Step] = []
    height = label.height
    if handler.arm is not None:
        steps.append(Plain(fold.verbatim(f"s{height} = {EXCEPTION}")))
        height += 1
    if count:
        names = builder.operands.span(height, height + count) + ("," if count == 1 else "")
        steps.append(Plain(fold.verbatim(f"{names} = {EXCEPTION}.held")))
        height += count
    if handler.arm is None and handler.ref:
        steps.append(Plain(fold.verbatim(f"s{height} = {EXCEPTION}")))
    return Catch(handler.tagidx, [*steps, Br(label)])


def returns(builder: Builder, label: Label, count: int, ref: bool) -> list[Step]:
    """A return of the ``count`` values that an exception carries, and (``ref``) of itself."""
    steps: list[Step] = []
    if builder.sites.exit is not None:
        steps.append(Plain(fold.verbatim(builder.sites.exit)))
    value = None
    if count == 0 and ref:
        value = fold.name(EXCEPTION)
    elif count == 1 and not ref:
        value = fold.name(f"{EXCEPTION}.held[0]")
    elif count:
        value = fold.name(f"(*{EXCEPTION}.held, {EXCEPTION})" if ref else f"{EXCEPTION}.held")
    return [*steps, Br(label, value)]


def return_results(builder: Builder) -> None:
    """Return from the function, with the results on the stack."""
    builder.operands.spill_where(trap=True)
    leave(builder)
    return_operands(builder)


def leave(builder: Builder) -> None:
    """What instruments want run where the function is left."""
    if builder.sites.exit is not None:
        builder.emit(fold.verbatim(builder.sites.exit))


def return_operands(builder: Builder) -> None:
    """Return the results, which are on the stack."""
    operands = builder.operands
    count = len(builder.lowered.type.results)
    values = operands.nodes(len(operands.stack) - count)
    if not values:
        node = None
    elif operands.untouched(count):
        node = name("results")
    elif count == 1:
        node = values[0]
    else:
        node = fold.bounded(ast.Tuple(values, fold.LOAD), None, None)
    builder.steps.append(Br(builder.lowered.function, node))


#: The variable that says that a function has not been left for what it calls in its place.
STAYS = "stays"

Rule = Callable[[Builder, int, Instr], None]
