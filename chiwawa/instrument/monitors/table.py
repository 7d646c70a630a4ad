"""What a monitor's table is made of. It knows no module and no layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: None is a cell that has no meaning in its row.
Cell = int | float | str | None
Row = tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """What one monitor found. Each row has a cell for each column.

    Counts are exact ints, shares and means floats with two decimals (a share is a percentage),
    offsets are code offsets. ``note`` is a line for people. ``shown``: so many rows, the first, are
    for people; the others for programs. ``nested``: the rows are the nodes of a tree, parents
    first, and the column ``depth`` says how deep each is (1: a root).
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    note: str | None = None
    shown: int | None = None
    nested: bool = False


def percent(part: int, whole: int) -> float | None:
    """How much ``part`` is of ``whole``, to the nearest hundredth of a percent; None of nothing.

    Reckoned in integers up to the last step, so that it is the same wherever it is done."""
    return hundredths(100 * part, whole)


def hundredths(part: int, whole: int) -> float | None:
    """``part / whole`` to two decimals, halves upwards; None where ``whole`` is 0."""
    return (200 * part + whole) // (2 * whole) / 100 if whole else None
