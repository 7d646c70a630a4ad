"""A function rewritten that is never suspended."""

from __future__ import annotations

from chiwawa.lower.lowered import Lowered
from chiwawa.module import Func
from chiwawa.native import code
from chiwawa.native.function import RULES, STRAIGHT, Rewriting
from chiwawa.native.relaxed import plainly
from chiwawa.native.scopes import Copy, Piece, Places, assemble
from chiwawa.native.unit import Unit
from chiwawa_runtime.state.types import V128


def rewrite_simple(
    unit: Unit, func: Func, original: bytes, lowered: Lowered | None
) -> tuple[bytes, Places] | None:
    """A function that is never suspended: it notes what segments it drops, and where it traps by
    itself, and where it is ``lowered``, it counts its boundaries. None where it is to do nothing of
    this."""
    pieces: list[Piece] = []
    body = func.body
    copied = body[0].offset
    #: Locals for the operands of relaxed instructions.
    relaxed = max((len(instr.op.params) for instr in body if instr.op.plain), default=0)
    first = len(unit.spaces.types[func.typeidx].params) + len(func.locals)
    spare = range(first, first + relaxed)
    passed = 0
    for position, instr in enumerate(body):
        rule = RULES.get(instr.op)
        if lowered is not None:
            passed += lowered.reached[position]
            straight = rule is None or (rule in STRAIGHT and not instr.op.forks)
            if passed and not straight:
                pieces += [Copy(copied, instr.offset), unit.passed(passed)]
                copied, passed = instr.offset, 0
        if rule is Rewriting.drop_segment:
            following = body[position + 1]
            pieces += [Copy(copied, following.offset), unit.dropped(instr)]
            copied = following.offset
        elif rule is Rewriting.relaxed:
            pieces += [Copy(copied, instr.offset), plainly(instr.op, spare.__getitem__)]
            copied = body[position + 1].offset
        elif rule is Rewriting.grow:
            grow = unit.growing(instr)
            if grow is not None:
                pieces += [Copy(copied, instr.offset), grow]
                copied = body[position + 1].offset
        elif rule is Rewriting.unreachable:
            pieces += [Copy(copied, instr.offset), unit.unreached(instr)]
            copied = instr.offset
    if not pieces:
        return None
    pieces.append(Copy(copied, len(original)))
    declared = original[: body[0].offset]
    if relaxed:
        declared = code.declared((*func.locals, *[V128] * relaxed))
    assembled = assemble(pieces, original, len(declared))
    return declared + assembled.body, assembled.places


def rewrite_older(unit: Unit, lowered: Lowered, original: bytes) -> tuple[bytes, Places]:
    """The same of a function that handles exceptions in ways that engines need not know."""
    rewriting = Rewriting(unit, lowered)
    rewriting.run()
    pieces = rewriting.finish_simple()
    params = len(lowered.type.params)
    declared = code.declared((*lowered.locals[params:], *rewriting.operands.added))
    assembled = assemble(pieces, original, len(declared))
    return declared + assembled.body, assembled.places
