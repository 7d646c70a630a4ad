"""Where functions can be suspended, as the running side needs it: ``lower``'s answer by code
offset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chiwawa import limits
from chiwawa.lower.lowered import Lowered
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.state.program import CallPoint, SuspensionPoints


def points_of(lowered: Lowered) -> SuspensionPoints:
    """A call of an imported function is a place where a frame waits, too: it may be another
    instance's."""
    body = lowered.body
    calls = {}
    for position, functype in lowered.calls.items():
        if body[position].op.tail:
            # The frame is gone when the callee begins.
            continue
        function: int | None = None
        if not body[position].op.indirect:
            function = body[position].imm[0]
        calls[body[position].offset] = CallPoint(lowered.below[position], functype, function)
    safepoints = {body[p].offset: lowered.stack_at(p) for p in sorted(lowered.safepoints)}
    return SuspensionPoints(lowered.locals, safepoints, calls, _unset(lowered))


class UnsetAt(Mapping[int, frozenset[int]]):
    """The locals that have no value at a boundary, by code offset, of all boundaries where there
    are such, each worked out when it is asked for."""

    __slots__ = ("lowered", "positions")

    def __init__(self, lowered: Lowered, positions: Mapping[int, int]) -> None:
        self.lowered = lowered
        self.positions = positions

    def __getitem__(self, offset: int) -> frozenset[int]:
        some = self.lowered.unset_at(self.positions[offset])
        if not some:
            raise KeyError(offset)
        return some

    def __iter__(self) -> Iterator[int]:
        return (offset for offset in self.positions if offset in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _unset(lowered: Lowered) -> dict[int, frozenset[int]]:
    """The locals that have no value at these places, where there are such. Raises UnsupportedError
    for more of them than anybody could hold."""
    unset: dict[int, frozenset[int]] = {}
    if not lowered.unsettled:
        return unset
    count = 0
    for position in sorted({*lowered.safepoints, *lowered.calls}):
        some = lowered.unset_at(position)
        if some:
            unset[lowered.body[position].offset] = some
        count += len(lowered.unsettled)
        if count > limits.UNSET:
            raise UnsupportedError(
                f"function {lowered.index}: more than {limits.UNSET:,} locals without a value, "
                "over all places where it can be stopped, is not supported"
            )
    return unset
