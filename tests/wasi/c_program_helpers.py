"""C programs, compiled when they are first wanted, and run by each of us and by wasmtime."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from chiwawa import api
from chiwawa.module import Module
from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import WasiExit
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.wasi import Wasi
from tests.need_helpers import need
from tests.wasi.host_time_helpers import HostTime

SOURCES = Path(__file__).parent / "programs"
Dirs = Sequence[tuple[Path, str, bool]]


def compile_c(source: Path, target: Path) -> Path:
    """The Wasm of a C program. Skips the test where there is no compiler."""
    need("ziglang")
    if not target.exists():
        # No debug information: it would be most of the file.
        options = ["-O1", "-s", "-w", "-target", "wasm32-wasi"]
        command = [sys.executable, "-m", "ziglang", "cc", *options, str(source), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return target


@dataclass
class Outcome:
    status: int
    output: bytes


def run_ours(
    module: Module,
    path: str,
    args: Sequence[str],
    *,
    dirs: Dirs = (),
    env: Mapping[str, str] | None = None,
    stdin: Path,
    scratch: Path,
    **options: Any,
) -> Outcome:
    """Run ``_start`` on one of our paths."""
    with open(stdin, "rb") as source, open(scratch / "output", "wb") as out:
        wasi = Wasi(args, env or {}, dirs, source, out, 2, **options)
        try:
            run = api.start(module, "_start", (), wasi.imports(), path=path, wasi=wasi)
            status = finish(run)
        finally:
            wasi.close()
    return Outcome(status, (scratch / "output").read_bytes())


def finish(run: Run) -> int:
    """Go on to the end: the status."""
    try:
        assert run.go()
    except WasiExit as end:
        return end.code
    return 0


@cache
def wasmtime_module(binary: bytes) -> tuple[Any, Any]:
    import wasmtime

    engine = wasmtime.Engine()
    return engine, wasmtime.Module(engine, binary)


def run_wasmtime(
    binary: bytes,
    args: Sequence[str],
    *,
    dirs: Dirs = (),
    env: Mapping[str, str] | None = None,
    stdin: Path,
    scratch: Path,
) -> Outcome:
    need("wasmtime")
    import wasmtime

    engine, module = wasmtime_module(binary)
    config = wasmtime.WasiConfig()
    config.argv = list(args)
    config.env = list((env or {}).items())
    config.stdin_file = str(stdin)
    config.stdout_file = str(scratch / "output")
    for host, guest, read_only in dirs:
        config.preopen_dir(str(host), guest, not read_only)
    status = 0
    with wasmtime.Store(engine) as store:
        store.set_wasi(config)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        instance = linker.instantiate(store, module)
        try:
            instance.exports(store)["_start"](store)
        except wasmtime.ExitTrap as end:
            status = int(end.code)
    return Outcome(status, (scratch / "output").read_bytes())


@dataclass
class Leg:
    """A stretch of a journey: how long the run waited until it stopped or ended."""

    nanoseconds: int
    finished: bool
    status: int = 0
    data: bytes = b""


def stop_after(run: Run, host_time: HostTime, seconds: float) -> Leg:
    """Run until it has waited for ``seconds``, or to the end."""
    host_time.after(seconds, run.requests.ask)
    begun = host_time.now
    try:
        done = run.go()
        status = 0
    except WasiExit as end:
        done, status = True, end.code
    return Leg(host_time.now - begun, done, status, b"" if done else run.checkpoint())


def restored(
    module: Module, data: bytes, path: str, dirs: Dirs, stdin: Any, stdout: Any
) -> tuple[Run, Wasi]:
    """The run that a checkpoint is of, over other directories and streams."""
    saved = checkpoint.decode(data).wasi
    assert saved is not None
    wasi = Wasi.load(saved, dirs, stdin, stdout, 2)
    return api.restore(module, data, wasi.imports(), path=path, wasi=wasi), wasi


Compile = Callable[[str], bytes]


def compiler(folder: Path) -> Compile:
    """Gives the Wasm of a program in ``programs`` by its name; compiled once, in ``folder``."""
    os.makedirs(folder, exist_ok=True)

    def compiled(name: str) -> bytes:
        return compile_c(SOURCES / f"{name}.c", folder / f"{name}.wasm").read_bytes()

    return compiled
