"""Where branches lead, and by which way of Python's.

A branch leads to a *target*: the end of a construct or the head of a loop. In Python it takes
whatever is cheapest where it stands: falling off the end of a suite, ``return``, ``break``,
``continue``, or setting ``pc`` to that of the target, so that guards skip what lies before it. This
module makes no statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from chiwawa.aot.ir import Br, Step, Surveyed
from chiwawa.module import Instr
from chiwawa.validate import Label

#: A label, and whether the branch leaves a loop at its end instead of going to its head.
Target = tuple[Label, bool]


@dataclass(slots=True, eq=False)
class Mark(Surveyed):
    """A place to which ``pc`` can lead: the end of a block or, laid flat, the head of a loop."""

    label: Label
    pc: int


#: A step in a sequence whose blocks are in line.
FlatStep = Step | Mark


class Way(Enum):
    """How a branch is made."""

    #: It has no statement: control gets there by falling off the end.
    FALL = auto()
    RETURN = auto()
    CONTINUE = auto()
    BREAK = auto()
    #: ``pc`` is set, and guards in the same Python loop skip to the target.
    SKIP = auto()
    #: ``pc`` is set, and what is laid flat starts again from the top.
    RESTART = auto()
    #: ``pc`` is set, and the Python loop is left.
    ESCAPE = auto()


class Reach:
    """Where control gets to by falling off an end: to ``targets``, and to what ``outer`` reaches,
    which is shared by all that fall there."""

    __slots__ = ("outer", "targets")

    def __init__(self, targets: set[Target], outer: Reach | None = None) -> None:
        self.targets = targets
        self.outer = outer

    def __contains__(self, target: Target) -> bool:
        reach: Reach | None = self
        while reach is not None:
            if target in reach.targets:
                return True
            reach = reach.outer
        return False


NOWHERE = Reach(set())


@dataclass(slots=True, eq=False)
class PythonLoop:
    """A ``while True`` for the Wasm loop of ``label``, or, with None, all that is in none.
    ``end`` is the ``pc`` of its end, and ``breaks`` what ``break`` reaches."""

    label: Label | None
    end: int
    breaks: Reach
    #: Labels outside it, to which branches in it lead with ``pc`` set.
    escapes: set[Label] = field(default_factory=set)
    #: Whether a branch in it leaves it by ``break``, without setting ``pc``.
    broken: bool = False


@dataclass(slots=True)
class Context:
    """Where a suite stands: in which Python loop, and how far it is indented. ``tail`` is what
    falling off its end reaches."""

    loop: PythonLoop
    tail: Reach
    indent: int

    def inside(self, tail: Reach) -> Context:
        """The context of a suite in the same loop, one deeper."""
        return Context(self.loop, tail, self.indent + 1)

    def deeper(self) -> Context:
        """The same, one deeper."""
        return Context(self.loop, self.tail, self.indent + 1)


class Targets:
    """The labels of one function: the ``pc`` of each, and in which Python loop its mark stands.
    ``flat`` says that loops are laid flat, so that their heads have a ``pc``, too."""

    def __init__(self, body: Sequence[Instr], flat: bool) -> None:
        self.body = body
        self.flat = flat
        #: The ``pc`` of labels that no instruction has.
        self.added: dict[Label, int] = {}
        #: The Python loop in whose suite, outside of inner ones, the mark of a label stands. Only
        #: labels have one whose marks are in a suite that has been begun.
        self.homes: dict[Label, PythonLoop] = {}

    def add(self, pc: int) -> Label:
        """A label that no instruction has."""
        label = Label(None, -2, (), (), None, 0, True)
        self.added[label] = pc
        return label

    def pc_of(self, label: Label) -> int:
        """The ``pc`` that leads to ``label``: for a loop that is not laid flat, to its end, from
        where it goes around."""
        pc = self.added.get(label)
        if pc is not None:
            return pc
        if self.flat and label.loops:
            return self.body[label.start].offset
        return self.body[label.end].offset

    def begin(self, steps: Sequence[FlatStep], loop: PythonLoop) -> None:
        """The suite of ``steps`` is begun in ``loop``: branches can lead to the marks in it."""
        for step in steps:
            if isinstance(step, Mark):
                self.homes[step.label] = loop

    def is_near(self, label: Label, loop: PythonLoop) -> bool:
        """Whether the mark of ``label`` stands in ``loop``, outside of loops in that."""
        return self.homes.get(label) is loop

    def way(self, branch: Br, context: Context, tail: Reach) -> Way:
        """How ``branch`` is made where falling off the end reaches ``tail``."""
        label = branch.label
        target = (label, branch.exits)
        if target in tail:
            return Way.FALL
        if label.outermost:
            return Way.RETURN
        if self.flat and label.loops:
            return Way.RESTART
        loop = context.loop
        if loop.label is label and not branch.exits:
            return Way.CONTINUE
        if target in loop.breaks:
            return Way.BREAK
        return Way.SKIP if self.is_near(label, loop) else Way.ESCAPE


def tail_after(steps: Sequence[FlatStep], position: int, tail: Reach) -> Reach:
    """What is reached by falling out of the step at ``position``, where falling off the end of
    ``steps`` reaches ``tail``."""
    reached: set[Target] = set()
    for index in range(position + 1, len(steps)):
        step = steps[index]
        if not isinstance(step, Mark) or step.label.loops:
            return Reach(reached)
        reached.add((step.label, False))
    return Reach(reached, tail) if reached else tail
