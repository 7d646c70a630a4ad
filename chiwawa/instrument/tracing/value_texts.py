"""Texts of many values at once.

An f-string of very many pieces takes Python the square of their number to compile, and an
instruction's line is one. So a line leaves what is more than a few values to functions of a few
each, which are made once for the types of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chiwawa_runtime.state.types import ValType

#: So many values stand in a line's own f-string, and so many does one function get.
FEW = 32

#: A piece of an f-string that gives the text of a value, from its type and its source.
Piece = Callable[[ValType, str], str]


class Texts:
    """Functions that give the texts of values, by number. ``names`` are what the pieces name."""

    def __init__(self, piece: Piece, names: Mapping[str, Any]) -> None:
        self.piece = piece
        self.names = names
        self.numbers: dict[tuple[str, tuple[ValType, ...]], int] = {}
        self.functions: list[Callable[[Sequence[Any]], str]] = []

    def pieces(
        self,
        types: Sequence[ValType],
        letter: str,
        separator: str,
        most: int,
        last: bool = False,
        attribute: str = "",
    ) -> str:
        """Pieces of an f-string for values of ``types``, with ``separator`` between: those of
        ``l0``, ``l1``, … (where ``letter`` is ``l``), or an attribute of these. Of more than
        ``most`` only the first are shown, or the last, and how many are not. The pieces name
        ``trace_many``, which is to be ``functions``."""
        count = len(types)
        start = max(0, count - most) if last else 0
        # In whole groups, so that there are few kinds of them.
        start += -start % FEW if start else 0
        end = count if last else min(count, most)
        parts = []
        if start:
            parts.append(f"… {start} more")
        for at in range(start, end, FEW):
            some = types[at : min(at + FEW, end)]
            sources = [f"{letter}{i}{attribute}" for i in range(at, at + len(some))]
            if count <= FEW:
                parts += map(self.piece, some, sources)
            else:
                number = self.number(tuple(some), separator)
                parts.append(f"{{trace_many[{number}](({', '.join(sources)},))}}")
        if end < count:
            parts.append(f"… {count - end} more")
        return separator.join(parts)

    def number(self, types: tuple[ValType, ...], separator: str) -> int:
        key = separator, types
        if key not in self.numbers:
            self.numbers[key] = len(self.functions)
            line = separator.join(self.piece(t, f"v[{i}]") for i, t in enumerate(types))
            self.functions.append(eval(f"lambda v: f'{line}'", dict(self.names)))
        return self.numbers[key]
