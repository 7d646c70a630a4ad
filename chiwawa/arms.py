"""Which delimiters may come of a construct that is open, in either format: what its *state* is.

A construct has one arm; ``if`` may have a second, and the ``try`` of older toolchains any number
that catch exceptions, of which one that catches all is the last. Or its end delegates them.
"""

from __future__ import annotations

from chiwawa.opcodes import Op

#: What may come but the end: nothing; ``else``; ``catch`` and so on, or ``delegate``; ``catch`` and
#: so on.
ONE, FORK, TRY, CATCHING = range(4)


def begun(op: Op) -> int:
    """The state of a construct that ``op`` has just opened."""
    return FORK if op.forks else TRY if op.catches_in_arms else ONE


def divided(op: Op, state: int) -> int | None:
    """The state after ``op``, which delimits and is no ``end``; None where it cannot come. A
    ``delegate`` closes the construct."""
    if not op.concerns_handling:
        return ONE if state == FORK else None
    if op.ends:
        return ONE if state == TRY else None
    if state < TRY:
        return None
    return CATCHING if op.immediates else ONE
