"""Functions that stand for imports which nobody gives: a call of one ends the program with a trap
that names it, so that what a program imports but does not use is in nobody's way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chiwawa_runtime.errors import BadInput, Trap
from chiwawa_runtime.state.program import ImportSpec, Program
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.types import DefType

ALL = "*"


def names(pattern: str) -> tuple[str, str]:
    """The module and the name of ``MODULE.NAME``, where the last dot may be followed by ``*``: all
    of the module. ``*`` alone is everything. Raises BadInput."""
    if pattern == ALL:
        return ALL, ALL
    module, dot, name = pattern.rpartition(".")
    if not (dot and module and name):
        raise BadInput(f"a stub is MODULE.NAME, MODULE.* or *, not {pattern!r}")
    return module, name


def stubbed(program: Program, patterns: Sequence[str]) -> dict[str, dict[str, HostFunction]]:
    """A function for each function that the program imports and that one of ``patterns`` names.
    Raises BadInput for what is no pattern."""
    found = [names(pattern) for pattern in patterns]
    stubs: dict[str, dict[str, HostFunction]] = {}
    for spec in program.imports:
        if isinstance(spec.type, DefType) and any(_fits(spec, *each) for each in found):
            stubs.setdefault(spec.module, {})[spec.name] = _stub(spec, spec.type)
    return stubs


def _fits(spec: ImportSpec, module: str, name: str) -> bool:
    # A module's name, and a function's, may have dots of its own.
    if module == ALL:
        return name == ALL
    if name == ALL:
        return spec.module == module
    return f"{spec.module}.{spec.name}" == f"{module}.{name}"


def _stub(spec: ImportSpec, deftype: DefType) -> HostFunction:
    label = f'"{spec.module}" "{spec.name}"'
    return HostFunction(deftype.functype, _trapping(label), f"{spec.module}.{spec.name}")


def _trapping(label: str) -> Callable[..., Any]:
    def call(*_: object) -> Any:
        raise Trap(f"the stub {label} was called: nobody gives this import")

    return call
