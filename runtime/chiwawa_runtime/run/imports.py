"""What a program imports, of what the embedder gives: functions and the like by name, and a Wasi,
whose functions are imported and whose state belongs in checkpoints.

State that is not written to a checkpoint, or not taken from it, would be lost without anybody
noticing until the program does something else than it would have; so what does not fit together is
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from chiwawa_runtime.engine.instance import Importable, Imports
from chiwawa_runtime.errors import CheckpointError, UnlinkableError
from chiwawa_runtime.state.host_limits import UNLIMITED, Limits
from chiwawa_runtime.state.program import ImportSpec, Program
from chiwawa_runtime.state.snapshot import Snapshot
from chiwawa_runtime.state.store import Function, HostFunction


class Wasi(Protocol):
    """What a run needs of WASI."""

    #: The state that it was made of (see ``Wasi.load``), or None.
    loaded: bytes | None

    def save(self) -> bytes: ...
    def imports(self) -> Imports: ...
    def limit(self, files: int | None, output: int | None) -> None: ...
    def on_output(self, wrote: Callable[[int, bytes], object]) -> None: ...


def complete(
    program: Program, imports: Imports, wasi: Wasi | None, limits: Limits = UNLIMITED
) -> tuple[Imports, Wasi | None]:
    """``imports``, with functions of ``wasi`` for what is not among them; and the Wasi whose
    functions the program then imports, also where only they were given, with ``limits``. Raises
    UnlinkableError where there are several, and ResourceError and CheckpointError where the limits
    are exceeded."""
    if wasi is not None:
        imports = completed(program, imports, wasi)
    states = {id(state): state for state in map(state_of, chosen(program, imports)) if state}
    if wasi is not None:
        states[id(wasi)] = wasi
    if len(states) > 1:
        raise UnlinkableError("the imports are functions of several Wasi: a program has one")
    for state in states.values():
        limit(state, limits)
        return imports, state
    return imports, None


def the_only(given: Iterable[Wasi | None]) -> Wasi | None:
    """The Wasi that instances have which are linked, if they do. Raises UnlinkableError where there
    are several."""
    states = {id(wasi): wasi for wasi in given if wasi is not None}
    if len(states) > 1:
        raise UnlinkableError("linked instances have functions of several Wasi")
    return next(iter(states.values()), None)


def limit(wasi: Wasi, limits: Limits) -> None:
    """Have a program open and write no more than is allowed. Raises ResourceError and
    CheckpointError."""
    if limits.files is not None or limits.output is not None:
        wasi.limit(limits.files, limits.output)


def completed(program: Program, imports: Imports, wasi: Wasi) -> Imports:
    functions = wasi.imports()
    result: dict[str, dict[str, Importable]] = {}
    for spec in program.imports:
        value = found(imports, spec) or found(functions, spec)
        if value is not None:
            result.setdefault(spec.module, {})[spec.name] = value
    return result


def found(imports: Imports, spec: ImportSpec) -> Importable | None:
    try:
        return imports[spec.module][spec.name]
    except KeyError:
        return None


def chosen(program: Program, imports: Imports) -> list[Importable | None]:
    return [found(imports, spec) for spec in program.imports]


def state_of(given: Importable | None) -> Any:
    """The Wasi whose function this is, or None."""
    host = given.host if isinstance(given, Function) else given
    return host.state if isinstance(host, HostFunction) else None


def check_state(snapshot: Snapshot, wasi: Wasi | None) -> None:
    """Raises CheckpointError unless ``wasi`` is what ``Wasi.load`` made of the snapshot's state."""
    if wasi is None:
        if snapshot.wasi is not None:
            raise CheckpointError(
                "the checkpoint has WASI state, which is lost without wasi=Wasi.load(checkpoint, …)"
            )
    elif snapshot.wasi is None:
        raise CheckpointError("the checkpoint has no WASI state, but a Wasi is given")
    elif wasi.loaded != snapshot.wasi:
        raise CheckpointError(
            "the Wasi that is given is not the checkpoint's: Wasi.load(checkpoint, …) makes that"
        )
