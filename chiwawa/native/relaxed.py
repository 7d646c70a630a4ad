"""Relaxed instructions written as others (``Op.plain``): whatever engine runs the rewritten module,
they do what the deterministic profile says."""

from __future__ import annotations

from collections.abc import Callable

from chiwawa.binary.encode import opcode
from chiwawa.native import code
from chiwawa.opcodes import BY_NAME, OPERANDS, Op


def plainly(op: Op, local: Callable[[int], int]) -> bytes:
    """What stands for ``op``. ``local`` says which local is there for an operand, by its place;
    locals are used but where operands are wanted once, in their order."""
    words = op.plain.split()
    count = len(op.params)
    straight = 0
    while words[straight] == OPERANDS[straight] and words.count(words[straight]) == 1:
        straight += 1
        if straight == count:
            break
    out = b"".join(code.local_set(local(place)) for place in range(count - 1, straight - 1, -1))
    for word in words[straight:]:
        if word in OPERANDS:
            out += code.local_get(local(OPERANDS.index(word)))
        else:
            out += opcode(BY_NAME[word])
    return out
