"""What it costs to write the state of a stopped program to a file, and to have it ready to go on.

A large memory is held against the least that can be done with as many bytes: a digest and a write,
in place, which in one row waits for the disk, as a checkpoint's does, and in another does not. Its
bytes are random, so that nothing can be left out. This is by the clock, since waiting for a disk
takes no processor's time.

The other large state is a call stack as deep as it can be; that is in processor's time.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from benchmarks.costs import MEBIBYTE
from benchmarks.native_costs import Figure
from benchmarks.samples import SAMPLES

if TYPE_CHECKING:
    from chiwawa_runtime.run.instance import Run

PATHS = ("native", "aot", "interp")
#: Frames of ``depth``: as deep as the call stack can be.
DEEPEST = 131_072
Result = TypeVar("Result")

RANDOM_MEMORY = """
(module
  (import "host" "fill" (func $fill))
  (memory (export "memory") {pages})
  (func (export "fill")
    (call $fill)
    (loop $forever (br $forever))))
"""


def large_memory(path: str, mebibytes: int, runs: int, folder: Path) -> Iterator[Figure]:
    """A program whose memory a host function has filled: how many times as long as a digest and a
    write its checkpoint takes, and the way back."""
    from chiwawa import load, restore, start
    from chiwawa_runtime import checkpoint

    size = mebibytes * MEBIBYTE
    random = os.urandom(size)

    def fill() -> None:
        run.instance.memory().write(0, random)

    module = load(RANDOM_MEMORY.format(pages=size >> 16))
    imports = {"host": {"fill": fill}}
    # Safepoints are the function's entry with the call, and the loop.
    run = start(module, "fill", (), imports, path=path, count=3)
    if run.go():
        raise AssertionError("it loops for ever")
    run.requests.take()
    plain, saved = folder / "plain", folder / "saved"
    jobs: dict[str, Callable[[], object]] = {
        "write": lambda: digest_and_write(random, plain, to_disk=False),
        "flushed write": lambda: digest_and_write(random, plain, to_disk=True),
        "written": lambda: checkpoint.save(saved, run.snapshot()),
        "restored": lambda: restore(
            module, checkpoint.decode(checkpoint.read_file(saved)), imports, path=path
        ),
    }
    rounds = [{what: by_clock(job) for what, job in jobs.items()} for _ in range(runs)]
    for what, least in (
        ("written", "flushed write"),
        ("written", "write"),
        ("restored", "write"),
    ):
        ratio = statistics.median(times[what] / times[least] for times in rounds)
        yield Figure(f"{mebibytes} MiB {what} / digest and {least}, {path}", ratio, "times")


def digest_and_write(data: bytes, path: Path, *, to_disk: bool) -> None:
    hashlib.sha256(data).digest()
    with path.open("wb") as file:
        file.write(data)
        if to_disk:
            file.flush()
            os.fsync(file.fileno())


def by_clock(job: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


def deepest(path: str, runs: int, file: Path) -> Iterator[Figure]:
    """A program at the end of its call stack."""
    from chiwawa import load, restore, start
    from chiwawa_runtime import checkpoint

    module = load(SAMPLES / "recursion.wasm")
    measured: dict[str, list[float]] = {}

    def timed(what: str, job: Callable[[], Result]) -> Result:
        gc.collect()
        began = time.process_time()
        found = job()
        measured.setdefault(what, []).append(time.process_time() - began)
        return found

    def written(run: Run) -> None:
        checkpoint.save(file, run.snapshot())

    def restored() -> Run:
        return restore(module, checkpoint.decode(checkpoint.read_file(file)), path=path)

    for _ in range(runs):
        run = start(module, "depth", [DEEPEST - 1], path=path, count=DEEPEST)
        if timed("called down, and stopped", run.go):
            raise AssertionError("it was to be stopped")
        timed("written", partial(written, run))
        del run
        again = timed("restored", restored)
        if not timed("gone on, and returned", again.go):
            raise AssertionError("it was to end")
        if again.results != [DEEPEST - 1]:
            raise AssertionError(f"{again.results}")
        del again
    for what, times in measured.items():
        yield Figure(f"{DEEPEST:,} frames: {what}, {path}", statistics.median(times), "s")


def figures(runs: int, mebibytes: int) -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        for path in PATHS:
            yield from large_memory(path, mebibytes, runs, Path(folder))
        for path in PATHS:
            yield from deepest(path, runs, Path(folder) / "deep")


def main(arguments: list[str]) -> None:
    """``python -m benchmarks.saving RUNS MEBIBYTES``: each figure as a line of JSON."""
    runs, mebibytes = map(int, arguments)
    for figure in figures(runs, mebibytes):
        print(json.dumps(asdict(figure)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
