"""A WASI program run from its start to its end, given everything as values, as ``subprocess.run``
runs one of the host."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from chiwawa import running
from chiwawa.execution import Runnable, Source
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.errors import RunError, WasiExit
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.state.host_limits import UNLIMITED, Limits
from chiwawa_runtime.wasi import Wasi
from chiwawa_runtime.wasi.memory_files import MemoryFiles
from chiwawa_runtime.wasi.process import Dir


class WasiResult(NamedTuple):
    """How a program ended, and what it has written.

    >>> module = chiwawa.load('(module (memory (export "memory") 1) (func (export "_start")))')
    >>> status, stdout, stderr = chiwawa.run_wasi(module)
    >>> status
    0
    """

    status: int
    stdout: bytes
    stderr: bytes


def run_wasi(
    source: Runnable,
    args: Sequence[str | bytes] = (),
    *,
    stdin: bytes = b"",
    files: Mapping[str, bytes] | MemoryFiles | None = None,
    env: Mapping[str, str] | Sequence[str | bytes] = (),
    dirs: Sequence[Dir] = (),
    imports: Imports | None = None,
    path: str = "aot",
    argv0: str | bytes | None = None,
    deterministic: bool = False,
    limits: Limits = UNLIMITED,
) -> WasiResult:
    """Run ``_start`` of ``source`` to its end: its exit status, and what it wrote.

    ``args`` come after its name, ``argv0`` (None: the module's own). ``files`` are its ``/``: a
    mapping of paths to contents, or ``MemoryFiles``, which has what the program wrote afterwards.
    ``dirs`` are as for ``Wasi``, beside them. What ``imports`` has not, WASI gives. Raises Trap,
    Thrown, HostError, UnlinkableError, and RunError where a limit stopped it.

    >>> module = chiwawa.load('''(module
    ...   (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    ...   (memory (export "memory") 1)
    ...   (func (export "_start") (call $exit (i32.const 3))))''')
    >>> chiwawa.run_wasi(module, ["-v"], stdin=b"text", files={"/a": b"content"})
    WasiResult(status=3, stdout=b'', stderr=b'')
    """
    given: list[Dir] = []
    if files is not None:
        tree = files if isinstance(files, MemoryFiles) else MemoryFiles(files)
        given.append((tree, "/", False))
    program = Source(source)
    name = argv0 if argv0 is not None else program.program.name or "main"
    out, err = io.BytesIO(), io.BytesIO()
    wasi = Wasi(
        [name, *args],
        env,
        [*given, *dirs],
        io.BytesIO(stdin),
        out,
        err,
        deterministic=deterministic,
    )
    status = 0
    try:
        setup = Setup(
            imports=imports or {},
            wasi=wasi,
            path=path,
            canonical_nans=True if deterministic else None,
            limits=limits,
        )
        run = running.start(program, "_start", (), setup)
        if not run.go():
            raise RunError(f"the program was stopped: {', '.join(run.requests.take())}")
    except WasiExit as exit_:
        status = exit_.code
    finally:
        wasi.close()
    return WasiResult(status, out.getvalue(), err.getvalue())
