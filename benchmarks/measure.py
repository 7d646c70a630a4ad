"""Runs a sample on several engines in turn, each in its own process, and takes medians.

Engines differ in speed a thousandfold, so each gets a size of its own that takes it about as long
as was asked for, and times are compared per unit of work. The rounds are interleaved: a slow
stretch of the machine falls on all engines alike.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.samples import Sample

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = "wasmtime"
#: Sizes are i32 and may be taken as signed.
LARGEST = 1 << 30


@dataclass(frozen=True, slots=True)
class Column:
    """An engine under one Python. ``seconds`` is how long one run is to take."""

    title: str
    engine: str
    python: str
    seconds: float


@dataclass(slots=True)
class Cell:
    """What was measured of one sample in one column; ``failure`` says why nothing was."""

    size: int = 0
    prepare: float = 0.0
    seconds: list[float] = field(default_factory=list)
    result: object = None
    failure: str | None = None

    @property
    def unit(self) -> float | None:
        """The median time for one unit of work, in seconds."""
        if self.failure is not None or not self.seconds:
            return None
        return statistics.median(self.seconds) / self.size


class Failed(Exception):
    """The engine cannot run the sample; the message says why."""


def environment() -> dict[str, str]:
    """That of this process, in which this checkout's packages are found first."""
    paths = [str(ROOT), str(ROOT / "runtime"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class Worker:
    """A process that is ready to run one sample on one engine."""

    def __init__(self, column: Column, sample: Sample) -> None:
        self.process = subprocess.Popen(
            [column.python, "-m", "benchmarks.worker", column.engine, sample.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=environment(),
        )

    def answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"ended with status {self.process.wait()}")
        answer: dict[str, float] = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def run(self, size: int) -> dict[str, float]:
        assert self.process.stdin is not None
        try:
            print(size, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise Failed(f"ended with status {self.process.wait()}") from None
        return self.answer()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def suitable_size(worker: Worker, seconds: float) -> int:
    """A size that takes about ``seconds``. Finding it also warms up what compiles as it goes."""
    size = 1
    while True:
        took = worker.run(size)["seconds"]
        if took >= seconds / 4 or size >= LARGEST:
            break
        size = min(size * max(2, min(16, int(seconds / 2 / max(took, 1e-6)))), LARGEST)
    fitting = scaled(size, seconds / took)
    took = worker.run(fitting)["seconds"]
    # Warm, it may have become much faster.
    return fitting if took > seconds / 2 else scaled(fitting, seconds / max(took, 1e-6))


def scaled(size: int, factor: float) -> int:
    return max(1, min(round(size * factor), LARGEST))


def measure(sample: Sample, columns: list[Column], runs: int) -> dict[str, Cell]:
    """The cells of one row, by the column's title."""
    cells = {column.title: Cell() for column in columns}
    workers: dict[str, Worker] = {}
    try:
        for column in columns:
            cell = cells[column.title]
            worker = workers[column.title] = Worker(column, sample)
            with failures_in(cell):
                cell.prepare = worker.answer()["ready"]
                cell.size = suitable_size(worker, column.seconds)
        for _ in range(runs):
            for title, worker in workers.items():
                cell = cells[title]
                if cell.failure is None:
                    with failures_in(cell):
                        answer = worker.run(cell.size)
                        cell.seconds.append(answer["seconds"])
                        cell.result = answer["result"]
        judge(cells, workers.get(REFERENCE))
    finally:
        for worker in workers.values():
            worker.close()
    return cells


@contextmanager
def failures_in(cell: Cell) -> Iterator[None]:
    """Keeps a failure of the engine's in its cell: the others go on."""
    try:
        yield
    except Failed as failure:
        cell.failure = str(failure)


def judge(cells: dict[str, Cell], reference: Worker | None) -> None:
    """Fails what gave another result than wasmtime for the same size."""
    if reference is None or cells[REFERENCE].failure is not None:
        return
    for cell in cells.values():
        if cell.failure is None and cell.result != (want := reference.run(cell.size)["result"]):
            cell.failure = f"wrong result: {cell.result!r}, not {want!r}"
