"""How much sooner a program prints its first line from a checkpoint than from its start.

The program is CPython for WASI, which imports some modules and then runs what its standard input
says. It is saved before it first reads that, and children start from the file, each with an input
of its own. A process is measured from its own start to the first byte of output, with an empty
cache of the user's and with a full one. The second start in a process, which has the module
already, and the children after its first are measured from where they are asked for. All is in the
processor's time, of all threads.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.measure import ROOT

if TYPE_CHECKING:
    from chiwawa.module import Module

PATHS = ("native", "aot", "interp")
CHILDREN = 20
SCRIPT = """
import argparse, dataclasses, datetime, json, os, random, re, sys
exec(sys.stdin.read())
sys.stdout.flush()
os._exit(0)
"""
ARGUMENTS = ("-c", SCRIPT)


class Output(io.BytesIO):
    """Notes when something is first written to it."""

    first: float | None = None

    def write(self, data: object, /) -> int:
        if self.first is None:
            self.first = time.process_time()
        return super().write(data)  # type: ignore[arg-type]


def streams(number: int) -> tuple[io.BytesIO, Output, io.BytesIO]:
    return io.BytesIO(b"print(%d ** 2)" % number), Output(), io.BytesIO()


def checked(number: int, out: Output) -> float:
    if out.getvalue() != b"%d\n" % number**2 or out.first is None:
        raise AssertionError(f"it printed {out.getvalue()!r}")
    return out.first


def cold(module: Module, path: str, count: int) -> list[float]:
    """When it prints its first line, from its start, so many times one after the other."""
    from chiwawa import Wasi, WasiExit, start

    took = []
    for number in range(count):
        began = time.process_time() if number else 0.0
        given = streams(number)
        wasi = Wasi(["python", *ARGUMENTS], (), (), *given)
        run = start(module, "_start", wasi=wasi, path=path)
        with suppress(WasiExit):
            run.go()
        took.append(checked(number, given[1]) - began)
    return took


def children(module: Module, path: str, saved: Path, count: int) -> list[float]:
    """The same of children of one file."""
    from chiwawa import Wasi, WasiExit, restore
    from chiwawa_runtime import checkpoint

    took = []
    snapshot = checkpoint.decode(saved.read_bytes())
    for number in range(count):
        began = time.process_time() if number else 0.0
        given = streams(number)
        run = restore(module, snapshot, wasi=Wasi.load(snapshot, (), *given), path=path)
        with suppress(WasiExit):
            run.go()
        took.append(checked(number, given[1]) - began)
    return took


def worker(what: str, file: str, path: str, saved: str, count: int) -> None:
    from chiwawa import load

    module = load(file)
    if what == "cold":
        took = cold(module, path, count)
    else:
        took = children(module, path, Path(saved), count)
    print(json.dumps(took))


def table(file: Path, paths: Sequence[str], count: int) -> None:
    with TemporaryDirectory() as folder:
        saved = Path(folder) / "warm.bin"
        env = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'runtime'}",
            "CHIWAWA_CACHE": str(Path(folder) / "cache"),
        }

        def python(*arguments: object) -> bytes:
            command = [sys.executable, *map(str, arguments)]
            return subprocess.run(
                command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
            ).stdout

        def measured(what: str, path: str, count: int) -> list[float]:
            worker = ("-m", "benchmarks.warm", "--worker", what, file, path, saved, count)
            found: list[float] = json.loads(python(*worker))
            return found

        print("| path         | nothing kept | from the cache | not the first of its process |")
        print("| :----------- | -----------: | -------------: | ---------------------------: |")
        for path in paths:
            first, second = measured("cold", path, 2)
            (kept,) = measured("cold", path, 1)
            if not saved.exists():
                run = ("-m", "chiwawa", "run", file, "--path", path, "--argv0", "python")
                python(*run, "--cr-at", "stdin", "--cr-file", saved, "--", *ARGUMENTS)
            child, *others = measured("warm", path, count)
            other = statistics.median(others)
            print(f"| {path}, cold | {first:.2f} s | {kept:.2f} s | {second:.2f} s |")
            print(f"| {path}, a child | | {child:.2f} s | {other:.2f} s |")
            print(
                f"| {path}, cold / child | | {kept / child:.1f} | {second / other:.1f} |",
                flush=True,
            )


def main() -> None:
    """``python -m benchmarks.warm PYTHON.wasm [PATH…]``."""
    if sys.argv[1:2] == ["--worker"]:
        what, file, path, saved, count = sys.argv[2:]
        worker(what, file, path, saved, int(count))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.warm", description=__doc__)
    parser.add_argument("file", type=Path, metavar="PYTHON.wasm")
    parser.add_argument("paths", nargs="*", metavar="PATH")
    parser.add_argument("--children", type=int, default=CHILDREN, metavar="N")
    options = parser.parse_args()
    if options.children < 2:
        parser.error("--children is at least 2: the first of a process is another figure")
    table(options.file.resolve(), options.paths or PATHS, options.children)


if __name__ == "__main__":
    main()
