"""Where branches of a rewritten function lead, and its bytes.

A function's new body is first a list of pieces: bytes, code of the original to be copied, and what
opens, closes or branches. Labels stand for blocks whose ends are where the label is placed. All the
labels of a scope, which is the function or a loop, are opened at its start, since a block may begin
earlier than it has to: so whoever is in the scope can branch forward to any of them. That is how a
frame is entered again in the middle, at no cost for who does not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chiwawa.native import code


class Label:
    """The end of a block, or the start of a loop. ``type`` is the block's. ``level`` is how many
    constructs are around it, once it is open."""

    __slots__ = ("level", "type")

    def __init__(self, type: bytes = code.EMPTY) -> None:
        self.level = -1
        self.type = type


@dataclass(slots=True, eq=False)
class Open:
    label: Label


@dataclass(slots=True, eq=False)
class OpenLoop:
    label: Label


@dataclass(slots=True, eq=False)
class Close:
    """The end of what was opened last; of ``label``, where one is given."""

    label: Label | None = None


@dataclass(slots=True, eq=False)
class OpenIf:
    pass


@dataclass(slots=True, eq=False)
class OpenTry:
    """What handles exceptions, by clauses: of a tag or any (None), whether the exception itself is
    taken along, and where to."""

    clauses: Sequence[tuple[int | None, bool, Label]]


@dataclass(slots=True, eq=False)
class Branch:
    label: Label


@dataclass(slots=True, eq=False)
class BranchIf:
    """``likely``: whether it is nearly always taken, or nearly never; None: nobody knows."""

    label: Label
    likely: bool | None = None


@dataclass(slots=True, eq=False)
class BranchTable:
    labels: Sequence[Label]


@dataclass(slots=True, eq=False)
class Copy:
    """The original code from the offset ``start`` to ``end``."""

    start: int
    end: int


@dataclass(slots=True, eq=False)
class At:
    """What follows stands for the original instruction at ``offset``."""

    offset: int


Piece = (
    bytes | Open | OpenLoop | OpenIf | OpenTry | Close | Branch | BranchIf | BranchTable | Copy | At
)


class Places:
    """Which original instruction an offset in a rewritten function is of, where it may trap or
    calls. From each offset in ``new`` on, up to the next, there is a copy of what stands at the
    same place of ``old``; or what stands for the one instruction at ``~old``."""

    __slots__ = ("new", "old")

    def __init__(self, new: list[int], old: list[int]) -> None:
        self.new = new
        self.old = old

    def original(self, offset: int) -> int:
        found = bisect_right(self.new, offset) - 1
        if found < 0:
            return offset
        old = self.old[found]
        return ~old if old < 0 else old + offset - self.new[found]


@dataclass(frozen=True, slots=True)
class Assembled:
    """``hints`` are offsets of branches and what is likely there."""

    body: bytes
    places: Places
    hints: list[tuple[int, bool]]


def assemble(pieces: Iterable[Piece], original: bytes, start: int) -> Assembled:
    """The bytes of a body without its vector of locals, which is ``start`` bytes long; offsets
    count from before that. ``original`` is the original body."""
    out = bytearray()
    open_: list[Label | None] = []
    label: Label
    new: list[int] = []
    old: list[int] = []
    hints: list[tuple[int, bool]] = []
    piece: Any
    for piece in pieces:
        kind = type(piece)
        if kind is bytes:
            out += piece
        elif kind is Copy:
            new.append(start + len(out))
            old.append(piece.start)
            out += original[piece.start : piece.end]
        elif kind is Open or kind is OpenLoop:
            label = piece.label
            out += (code.BLOCK + label.type) if kind is Open else code.LOOP
            label.level = len(open_)
            open_.append(label)
        elif kind is Close:
            out += code.END
            closed = open_.pop()
            assert piece.label is None or piece.label is closed
        elif kind is BranchIf:
            if piece.likely is not None:
                hints.append((start + len(out), piece.likely))
            label = piece.label
            assert open_[label.level] is label
            out += code.BR_IF + code.u(len(open_) - 1 - label.level)
        elif kind is Branch:
            label = piece.label
            assert open_[label.level] is label
            out += code.BR + code.u(len(open_) - 1 - label.level)
        elif kind is BranchTable:
            labels = piece.labels
            top = len(open_) - 1
            out += code.BR_TABLE + code.u(len(labels) - 1)
            for label in labels:
                assert open_[label.level] is label
                out += code.u(top - label.level)
        elif kind is OpenIf:
            out += code.IF
            open_.append(None)
        elif kind is OpenTry:
            out += code.TRY_TABLE + code.u(len(piece.clauses))
            for tagidx, ref, label in piece.clauses:
                assert open_[label.level] is label
                out += code.clause(tagidx, ref, len(open_) - 1 - label.level)
            open_.append(None)
        else:
            new.append(start + len(out))
            old.append(~piece.offset)
    assert not open_
    return Assembled(bytes(out), Places(new, old), hints)


def length(pieces: Iterable[Piece]) -> int:
    """About how many bytes they are."""
    return sum(
        len(piece)
        if isinstance(piece, bytes)
        else piece.end - piece.start
        if isinstance(piece, Copy)
        else 2
        for piece in pieces
    )


def copy_of(pieces: Sequence[Piece], start: Label, instead: Label) -> list[Piece]:
    """The same again, with labels of its own, and with branches to ``instead`` for those to
    ``start``."""
    labels = {start: instead}
    for piece in pieces:
        if isinstance(piece, Open | OpenLoop):
            labels[piece.label] = Label(piece.label.type)

    def other(label: Label) -> Label:
        return labels.get(label, label)

    out: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Open | OpenLoop | Branch):
            piece = type(piece)(other(piece.label))
        elif isinstance(piece, BranchIf):
            piece = BranchIf(other(piece.label), piece.likely)
        elif isinstance(piece, BranchTable):
            piece = BranchTable([other(each) for each in piece.labels])
        elif isinstance(piece, OpenTry):
            piece = OpenTry([(tagidx, ref, other(to)) for tagidx, ref, to in piece.clauses])
        elif isinstance(piece, Close) and piece.label is not None:
            piece = Close(other(piece.label))
        out.append(piece)
    return out
