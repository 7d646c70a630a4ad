"""A stop before the program first calls something of the host: standard input, or an import.

The call is not made: it is interrupted, so that whoever goes on makes it as its first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chiwawa_runtime.command.options import UsageError
from chiwawa_runtime.engine.instance import Importable, Imports
from chiwawa_runtime.errors import Interrupted
from chiwawa_runtime.state.program import ImportSpec, Program
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.types import DefType
from chiwawa_runtime.wasi.module_names import READS_INPUT

#: The reason with which a run then stops.
BY_CALL = "call"
#: What stands for standard input, and what a call's name follows.
STDIN, CALL = "stdin", "call:"


def stopping(program: Program, given: Imports, before: str | None) -> Imports:
    """``given``, whose functions stop the run before the first call that ``before`` says: ``stdin``
    or ``call:MODULE.NAME``; None: before none. Raises UsageError where the program imports no such
    function."""
    if before is None:
        return given
    met: list[None] = []
    result = {module: dict(names) for module, names in given.items()}
    found = False
    for spec in program.imports:
        function = result.get(spec.module, {}).get(spec.name)
        if is_meant(spec, function, before):
            assert isinstance(function, HostFunction)
            result[spec.module][spec.name] = stopped_at(spec, function, before == STDIN, met)
            found = True
    if not found:
        what = "that reads it" if before == STDIN else "of that name"
        raise UsageError(f"--cr-at {before}: the program imports no function {what}")
    return result


def is_meant(spec: ImportSpec, function: Importable | None, before: str) -> bool:
    if not isinstance(spec.type, DefType) or not isinstance(function, HostFunction):
        return False
    if before == STDIN:
        return spec.name in READS_INPUT and function.state is not None
    return before == f"{CALL}{spec.module}.{spec.name}"


def stopped_at(
    spec: ImportSpec, function: HostFunction, reads: bool, met: list[None]
) -> HostFunction:
    """``function``, which stops the run unless that has been ``met``. Where it ``reads``, only what
    is of standard input counts."""
    wasi = function.state

    def call(instance: Any, *args: Any) -> Any:
        if not met and (not reads or wasi.reads_input(spec.module, spec.name, instance, args)):
            met.append(None)
            instance.requests.ask(BY_CALL)
            raise Interrupted
        return function.call(instance, *args) if function.with_instance else function.call(*args)

    return replace(function, call=call, with_instance=True)
