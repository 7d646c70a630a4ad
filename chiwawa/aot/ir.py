"""The translator's inner form of a function: a tree of steps, between its Wasm instructions and
its Python statements.

Expressions and plain statements are Python's already; control still is Wasm's. ``tree`` makes the
form, ``structure`` makes Python of it. ``ir_printer`` shows it, and ``ir_checker`` says what holds
of it. A list of steps is carried out in turn.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from chiwawa.meanings.fold import Node
from chiwawa.validate import Label


@dataclass(slots=True, eq=False)
class Surveyed:
    """What ``survey`` notes at each step: how many places are in it at which a frame can be
    resumed, and the ``pc`` of the last of them; whether loops are in it; and which branches are:
    those from number ``branches_from`` up to, but not with, ``branches_to``."""

    resumptions: int = field(init=False, default=0)
    last_resumption: int = field(init=False, default=0)
    loops: bool = field(init=False, default=False)
    branches_from: int = field(init=False, default=0)
    branches_to: int = field(init=False, default=0)


@dataclass(slots=True, eq=False)
class Catch:
    """What is done with an exception of the tag ``tagidx`` (None: any), which is
    ``thrown.exception``: ``steps`` put what it carries in its place, and branch."""

    tagidx: int | None
    steps: list[Step]


@dataclass(slots=True, eq=False)
class Plain(Surveyed):
    """A statement without control. ``offset`` is that of the instruction in it that may trap.
    ``catches`` are held, one after the other, against an exception that it throws."""

    node: ast.stmt
    offset: int | None = None
    catches: list[Catch] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Poll(Surveyed):
    """A safepoint: all operands are in their variables."""

    offset: int


@dataclass(slots=True, eq=False)
class Call(Surveyed):
    """A call that may be suspended: ``value`` makes the callee's generator, and the variables
    ``targets`` take the results. A call through a table first finds its ``target``, and calls that
    by ``direct`` where it cannot be suspended. ``catches`` are as a ``Plain``'s."""

    offset: int
    value: Node
    targets: list[str]
    target: Node = None
    direct: Node = None
    catches: list[Catch] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class If(Surveyed):
    """Two arms. Where they hold nothing but branches and what those move, which is what becomes of
    a ``br_table``, it is no construct of the body's."""

    test: Node
    then: list[Step]
    orelse: list[Step]
    #: The code offset at which the second arm begins, and at which the construct ends; 0 where it
    #: is none.
    else_offset: int
    end_offset: int
    #: What ``jumps_away`` says of it, once it has been asked: deep ones are asked often.
    jumps_away: bool | None = None


@dataclass(slots=True, eq=False)
class Loop(Surveyed):
    label: Label
    body: list[Step]


@dataclass(slots=True, eq=False)
class Block(Surveyed):
    """Steps, and a label at their end that branches lead to."""

    label: Label
    body: list[Step]


@dataclass(slots=True, eq=False)
class Br(Surveyed):
    """To the head of a loop, or the end of anything else. What it carries is in place. A return
    has its value with it."""

    label: Label
    value: Node | None = None
    #: Whether this leaves a loop at its end, instead of going to its head.
    exits: bool = False
    #: Whether it returns what a tail call has come to, or is to be made of.
    tail: bool = False


@dataclass(slots=True, eq=False)
class BrTable(Surveyed):
    """``index`` is an atom; the last label is the default."""

    index: Node
    labels: tuple[Label, ...]


#: The functions of generated code that never return.
ENDLESS = frozenset(("unreachable", "throw", "throw_ref"))

Step = Plain | Poll | Call | If | Loop | Block | Br | BrTable


def jumps_away(steps: list[Step]) -> bool:
    """Whether nothing falls off the end of ``steps``."""
    if not steps:
        return False
    match steps[-1]:
        case Br() | BrTable():
            return True
        case Plain(node=ast.Expr(value=ast.Call(func=ast.Name(id=function)))):
            return function in ENDLESS
        case If() as choice:
            if choice.jumps_away is None:
                choice.jumps_away = jumps_away(choice.then) and jumps_away(choice.orelse)
            return choice.jumps_away
        case Loop(label=label) | Block(label=label):
            return not label.leaves
    return False
