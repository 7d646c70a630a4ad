"""What a host allows a program to take.

A module's own limits, of a memory or a table (spec 2.3.11), are in ``types``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields

#: As a limit of memory: none, also where a checkpoint is restored.
ANY_SIZE = sys.maxsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a program may take; None: as much as there is. No checkpoint holds them: who
    restores a program sets its limits anew.

    ``memory`` is how many bytes memories may take together, ``table`` how many elements tables may
    have together, those included that are imported; structures and arrays do not count. Beyond it
    ``memory.grow`` and ``table.grow`` give -1, a new instance is a ``ResourceError``, and a
    checkpoint is refused; without ``memory`` it is also where its memories take 1 GiB more than the
    module declares.

    ``depth`` is how deep calls may be on top of each other, at most 131,072 as without it: the
    frame of a recursive function counts 1, and more where it has many locals. ``files`` is how many
    files, directories and connections a WASI program may have open that it has opened itself, and
    ``output`` how many bytes it may write altogether, to its streams, files and connections; then
    it gets the errors ``mfile`` and ``nospc``. ``time`` is how many
    seconds it may be going on altogether. ``fuel`` is how many safepoints it may pass, which are
    the same on every path; where the granularity is ``instruction``, how many instructions.

    Where fuel or time is spent, a run is suspended: ``go`` returns False, and ``requests.take()``
    has ``fuel`` or ``timeout``. It can be given more, written to a checkpoint, or dropped. A call
    from Python is, too: it raises ``Stopped``, whose ``run`` can go on. With ``trap`` it traps
    instead, and so does what a host function calls back, since nobody could go on with that.

    All that is of the instance that is run. Depth, fuel and time count what it does in instances
    whose functions it imports, or with which it has tables or globals in common; those have their
    own for their own runs.

    Raises ValueError where a number is none that can be kept.

    >>> module = chiwawa.load('(module (func $f (export "f") (call $f)))')
    >>> instance = chiwawa.instantiate(module, limits=chiwawa.Limits(depth=100))
    >>> try:
    ...     instance.invoke("f")
    ... except chiwawa.Exhaustion as trap:
    ...     print(trap.message, len(trap.backtrace))
    call stack exhausted 101
    >>> module = chiwawa.load('(module (func (export "forever") (loop $on (br $on))))')
    >>> run = chiwawa.start(module, "forever", limits=chiwawa.Limits(fuel=1000))
    >>> run.go(), run.requests.take(), run.requests.passed
    (False, ['fuel'], 1000)
    >>> run.allow(fuel=500)
    >>> run.go(), run.requests.passed
    (False, 1500)
    """

    memory: int | None = None
    table: int | None = None
    depth: int | None = None
    files: int | None = None
    output: int | None = None
    time: float | None = None
    fuel: int | None = None
    trap: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value >= (field.name == "depth"):
                raise ValueError(f"a limit of {value} for {field.name} is too low")


#: A program may take as much as there is.
UNLIMITED = Limits()
