"""What the names of a meaning stand for, where each path says how it has such things."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from chiwawa.module import Instr

Holder = TypeVar("Holder")
Thing = TypeVar("Thing")

#: By kind of immediate: what one of them names, with its value, in the order of the names that
#: ``chiwawa.immediates`` gives the kind.
Things = Mapping[str, Callable[[Holder, Any], Sequence[Thing]]]


def environment(instr: Instr, things: Things[Holder, Thing], holder: Holder) -> dict[str, Thing]:
    """What the names of the meaning of ``instr`` stand for in ``holder``, which has the things."""
    op, imms, _ = instr
    kinds = op.immediates
    if len(kinds) == 1:
        # Nearly all have one, and a large module has millions of them.
        (meant,) = op.meant
        return dict(zip(meant, things[kinds[0]](holder, imms[0]), strict=True)) if meant else {}
    env: dict[str, Thing] = {}
    for kind, meant, imm in zip(kinds, op.meant, imms, strict=True):
        if meant:
            env.update(zip(meant, things[kind](holder, imm), strict=True))
    return env
