"""What a Wasm function is between its instructions and Python statements: a tree of items.

Plain statements stand for themselves; the rest is control that has not become Python's yet. The
tree is made by ``tree`` and read by ``structure``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from chiwawa.meanings.fold import Node
from chiwawa.validate import Label


@dataclass(slots=True, eq=False)
class Surveyed:
    """What is known of an item once its tree has been surveyed: how many places in it can be
    resumed at and the last of them, whether loops are in it, and which branches are: those from
    number ``first`` up to, but not with, ``after``."""

    count: int = field(init=False, default=0)
    last: int = field(init=False, default=0)
    loops: bool = field(init=False, default=False)
    first: int = field(init=False, default=0)
    after: int = field(init=False, default=0)


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


#: An item in a sequence whose blocks are in line.
Flat = Item | Mark


class Survey:
    """What is known of a tree as a whole: how deep loops nest in it, and where each branch leads,
    by its number. Each item is told what ``Surveyed`` says of it.

    A set for each item of the labels that branches in it lead to would say the same, at a cost that
    grows with the square of the nesting.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.loops = 0
        self.targets: list[Label] = []
        depth = 0
        work: list[tuple[If | Loop | Block | None, Iterator[Item]]] = [(None, iter(items))]
        while work:
            outer, rest = work[-1]
            for item in rest:
                item.first = len(self.targets)
                if isinstance(item, If):
                    work.append((item, chain(item.then, item.orelse)))
                    break
                if isinstance(item, Loop | Block):
                    depth += isinstance(item, Loop)
                    self.loops = max(self.loops, depth)
                    work.append((item, iter(item.body)))
                    break
                self.leaf(item)
            else:
                work.pop()
                if outer is not None:
                    depth -= isinstance(outer, Loop)
                    summarise(outer)
                    outer.after = len(self.targets)

    def leaf(self, item: Plain | Poll | Call | Br | BrTable) -> None:
        match item:
            case Poll(offset=offset):
                item.count, item.last = 1, offset
            case Call(offset=offset, resumes=True):
                item.count, item.last = 1, offset + 1
            case Br(label=label):
                self.targets.append(label)
            case BrTable(labels=labels):
                self.targets += dict.fromkeys(labels)
        item.after = len(self.targets)

    def aims(self, item: Surveyed) -> Iterator[Label]:
        """The labels that branches in ``item`` lead to."""
        return islice(self.targets, item.first, item.after)


def summarise(item: If | Loop | Block) -> None:
    """What is in ``item`` has been surveyed: sum it up."""
    count = last = 0
    loops = isinstance(item, Loop)
    for inner in chain(item.then, item.orelse) if isinstance(item, If) else item.body:
        count += inner.count
        last = max(last, inner.last)
        loops |= inner.loops
    item.count, item.last, item.loops = count, last, loops


def last_of(items: Sequence[Flat]) -> int:
    """The last place to resume at, or 0."""
    return max((item.last for item in items), default=0)
