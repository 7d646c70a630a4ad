"""What a Wasm function is between its instructions and Python statements: a tree of items.

Plain statements stand for themselves; the rest is control that has not become Python's yet. The
tree is made by ``tree`` and read by ``structure``.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from chiwawa.aot.fold import Node
from chiwawa.validate import Label


@dataclass(slots=True, eq=False)
class Surveyed:
    """What is known of an item once its tree has been surveyed: how many places in it can be
    resumed at and the last of them, the labels that branches in it lead to, whether loops are in
    it."""

    count: int = field(init=False, default=0)
    last: int = field(init=False, default=0)
    aims: frozenset[Label] = field(init=False, default=frozenset())
    loops: bool = field(init=False, default=False)


@dataclass(slots=True, eq=False)
class Plain(Surveyed):
    """A statement without control. ``offset`` is that of the instruction in it that may trap."""

    node: ast.stmt
    offset: int | None = None


@dataclass(slots=True, eq=False)
class Poll(Surveyed):
    """A safepoint: all operands are in their variables."""

    offset: int


@dataclass(slots=True, eq=False)
class Call(Surveyed):
    """A call that may be suspended: ``value`` makes the callee's generator. ``resumes`` is False
    where the callee is the host's, which cannot be captured. A call through a table first finds its
    ``target``, and calls that by ``direct`` where it cannot be suspended."""

    offset: int
    value: Node
    targets: list[str]
    resumes: bool
    target: Node = None
    direct: Node = None


@dataclass(slots=True, eq=False)
class If(Surveyed):
    test: Node
    then: list[Item]
    orelse: list[Item]
    #: The code offset at which the second arm begins, and at which the construct ends.
    else_offset: int
    end_offset: int
    #: What ``leaves`` says of it, once it has been asked: deep ones are asked often.
    leaves: bool | None = None


@dataclass(slots=True, eq=False)
class Loop(Surveyed):
    label: Label
    body: list[Item]


@dataclass(slots=True, eq=False)
class Block(Surveyed):
    """Items, and a label at their end that branches lead to."""

    label: Label
    body: list[Item]


@dataclass(slots=True, eq=False)
class Br(Surveyed):
    """To the head of a loop, or the end of anything else. What it carries is in place. A return
    has its value with it."""

    label: Label
    value: Node | None = None
    #: Whether this leaves a loop at its end, instead of going to its head.
    exits: bool = False


@dataclass(slots=True, eq=False)
class BrTable(Surveyed):
    """``index`` is an atom; the last label is the default."""

    index: Node
    labels: tuple[Label, ...]


Item = Plain | Poll | Call | If | Loop | Block | Br | BrTable


def leaves(items: list[Item]) -> bool:
    """Whether nothing falls off the end of ``items``."""
    if not items:
        return False
    match items[-1]:
        case Br() | BrTable():
            return True
        case Plain(node=ast.Expr(value=ast.Call(func=ast.Name(id="unreachable")))):
            return True
        case If() as choice:
            if choice.leaves is None:
                choice.leaves = leaves(choice.then) and leaves(choice.orelse)
            return choice.leaves
        case Loop(label=label) | Block(label=label):
            return not label.leaves
    return False


@dataclass(slots=True, eq=False)
class Mark(Surveyed):
    """A place to which ``pc`` can lead: the end of a block or, laid flat, the head of a loop."""

    label: Label
    code: int

    def __post_init__(self) -> None:
        # Marks are made after the survey, and hold nothing.
        self.count = self.last = 0
        self.aims = frozenset()
        self.loops = False


#: An item in a sequence whose blocks are in line.
Flat = Item | Mark


def survey(items: Sequence[Flat]) -> int:
    """Fill in what ``Surveyed`` says of each item; how deep loops nest."""
    deepest = 0
    for item in items:
        item.count = item.last = 0
        item.aims = frozenset()
        item.loops = False
        match item:
            case Poll(offset=offset):
                item.count, item.last = 1, offset
            case Call(offset=offset, resumes=True):
                item.count, item.last = 1, offset + 1
            case Br(label=label):
                item.aims = frozenset((label,))
            case BrTable(labels=labels):
                item.aims = frozenset(labels)
            case If(then=then, orelse=orelse):
                deepest = max(deepest, survey(then), survey(orelse))
                summarise(item, [*then, *orelse])
            case Loop(body=body) | Block(body=body):
                is_loop = isinstance(item, Loop)
                deepest = max(deepest, survey(body) + is_loop)
                summarise(item, body)
                item.loops |= is_loop
    return deepest


def summarise(item: Flat, inner: Sequence[Flat]) -> None:
    item.count = sum(i.count for i in inner)
    item.last = last_of(inner)
    item.aims = frozenset().union(*(i.aims for i in inner if i.aims))
    item.loops = any(i.loops for i in inner)


def last_of(items: Sequence[Flat]) -> int:
    """The last place to resume at, or 0."""
    return max((item.last for item in items), default=0)
