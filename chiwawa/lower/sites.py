"""Where instruments look at a running function: the contract between them and both paths.

An instrument says, for a function that has been lowered, what is to run at which of its boundaries,
as Python source. The translator pastes that source, the interpreter compiles it, so what one path
reports cannot differ from what the other does. Neither knows what the source is for.

The names in a site's source
    ``l0 l1 …``     the function's locals;  ``s0 s1 …``  its operands, the deepest first
    ``g0 …``        the instance's globals;  ``mem0 …``, ``table0 …``  its memories and tables; a
                    source uses what everybody sees of these (``chiwawa_runtime.state.interface``)
    anything else   a name that the instruments gave to the engine, or a builtin
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chiwawa.lower.lowered import Lowered
from chiwawa_runtime.engine.instance import ModuleInstance

_VARIABLE = re.compile(r"\b([sl])([0-9]+)\b")


@dataclass(frozen=True, slots=True)
class Site:
    """One line of source, run before an instruction, after the safepoint there where there is one.

    ``reads``: it looks at operands, locals or other state, so all that comes before has to be done
    and in its variables. ``writes``: it may assign to operands and locals, too. ``undo`` takes back
    what it noted, where the instruction has not happened after all (a host function was
    interrupted, say) and will be arrived at again.
    """

    source: str
    reads: bool = False
    writes: bool = False
    undo: str | None = None


@dataclass(frozen=True, slots=True)
class Sites:
    """The sites of one function. ``at`` is by position in the body and only has boundaries that are
    reached; sites at one boundary run in turn. ``entry`` runs when the function is called (not when
    it is restored), before its first boundary; ``exit`` when it returns, or what it calls in its
    place is about to begin (but a function of the host's: when that has returned); ``unwound``
    where an exception leaves it that is caught further out."""

    at: Mapping[int, Sequence[Site]] = field(default_factory=dict)
    entry: str | None = None
    exit: str | None = None
    unwound: str | None = None


#: Instruments answer with the sites of a function: None, or none, where they want nothing there.
SitesOf = Callable[[Lowered], Sites | None]


def variables(source: str) -> list[tuple[str, int]]:
    """The operands and locals that ``source`` may name: ("s", 0) for ``s0``."""
    return sorted({(kind, int(number)) for kind, number in _VARIABLE.findall(source)})


def state_names(instance: ModuleInstance) -> dict[str, Any]:
    """What sites call an instance's globals, memories and tables."""
    names: dict[str, Any] = {}
    for index, memory in enumerate(instance.memories):
        names[f"mem{index}"] = memory
    names.update((f"g{i}", glob) for i, glob in enumerate(instance.globals))
    names.update((f"table{i}", table) for i, table in enumerate(instance.tables))
    return names
