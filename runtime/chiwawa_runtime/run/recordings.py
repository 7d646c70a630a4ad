"""What embedders record calls of host functions with, and have them given back."""

from __future__ import annotations

import os

from chiwawa_runtime.run.call_record import RecordError, RecordFile, entries_of
from chiwawa_runtime.run.host_calls import HostCalls, Show


def record_calls(path: str | os.PathLike[str] | None = None) -> HostCalls:
    """What keeps the calls that a program makes of its host functions, and what they did, in a new
    file, or in memory (None). Give it to ``chiwawa.start`` or ``chiwawa.restore``, as ``calls``; it
    is for one program. Raises RecordError, there, where the file cannot be written.

    >>> module = chiwawa.load('''(module (import "host" "time" (func $time (result i64)))
    ...   (func (export "now") (result i64) (call $time)))''')
    >>> import time
    >>> imports = {"host": {"time": time.time_ns}}
    >>> with chiwawa.record_calls("calls.rec") as calls:
    ...     run = chiwawa.start(module, "now", imports=imports, calls=calls)
    ...     done = run.go()
    >>> calls = chiwawa.replay_calls("calls.rec")
    >>> again = chiwawa.start(module, "now", path="interp", calls=calls)
    >>> again.go(), again.results == run.results
    (True, True)
    """
    if path is None:
        return HostCalls(live=True)
    return HostCalls(live=True, file=RecordFile(path), forgets=True)


def replay_calls(source: str | os.PathLike[str] | HostCalls, show: Show | None = None) -> HostCalls:
    """What gives a program the calls back that a record has: a file, or a recording in memory.
    Give it to ``chiwawa.start``, or to ``chiwawa.restore`` with a checkpoint that was written while
    the record was made, as ``calls``; host functions and WASI need not be given then. ``show`` is
    called with what calls have written to standard output (1) and error (2). Where the program does
    anything else than it did, that is a ``ReplayError``. Raises RecordError.

    >>> module = chiwawa.load('''(module (import "host" "next" (func $next (result i32)))
    ...   (func (export "sum") (result i32) (i32.add (call $next) (call $next))))''')
    >>> calls = chiwawa.record_calls()
    >>> numbers = iter([20, 22])
    >>> imports = {"host": {"next": lambda: next(numbers)}}
    >>> chiwawa.start(module, "sum", imports=imports, calls=calls).go()
    True
    >>> run = chiwawa.start(module, "sum", calls=chiwawa.replay_calls(calls))
    >>> run.go(), run.results
    (True, [42])
    """
    if isinstance(source, HostCalls):
        return HostCalls(source.entries, live=False, show=show)
    path = os.fspath(source)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return HostCalls(entries_of(data)[0], live=False, show=show)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error
