"""What translating, checkpointing, restoring and tracing cost.

Translation is measured on a large module: the functions of the sample ``wc``, C's library among
them, several times over. Checkpoints are measured of a program stopped in a loop with a memory that
is full, so that no run of zeros can be left out. Traces are of calls of the samples, each line with
operands, locals and globals.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.samples import SAMPLES, Sample, compute_samples

if TYPE_CHECKING:
    from chiwawa import Module

MEBIBYTE = 1 << 20
#: How often the functions of the sample stand in the large module.
COPIES = 5
#: The same, where several processors share it.
MANY_COPIES = 100
#: A trace has at least about so many lines.
LINES = 50_000

FULL_MEMORY = """
(module
  (memory {pages})
  (func (export "fill")
    (memory.fill (i32.const 0) (i32.const 0xA5) (i32.const {filled}))
    (loop $forever (br $forever))))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """``seconds`` for ``amount`` of ``unit``, the median of some runs."""

    job: str
    amount: int
    unit: str
    seconds: float

    @property
    def rate(self) -> float:
        """How much of ``unit`` a second."""
        return self.amount / self.seconds


def median_time(job: Callable[[], object], runs: int) -> float:
    """The processor's time for ``job``, in seconds."""
    times = []
    for _ in range(runs):
        began = time.process_time()
        job()
        times.append(time.process_time() - began)
    return statistics.median(times)


def large_module(copies: int = COPIES) -> bytes:
    from chiwawa.binary import encode
    from chiwawa.source import load

    module = load(SAMPLES / "wc.wasm")
    module.funcs = module.funcs * copies
    module.customs.clear()
    return encode(module)


def translation(runs: int) -> Iterator[Cost]:
    from chiwawa.aot import translate
    from chiwawa.source import load_bytes

    binary = large_module()
    module = load_bytes(binary)
    count = sum(len(func.body) for func in module.funcs)
    load_time = median_time(lambda: load_bytes(binary), runs)
    yield Cost("decode and validate", count, "instructions", load_time)
    translate_time = median_time(lambda: translate(module, io.StringIO()), runs)
    yield Cost("translate", count, "instructions", translate_time)


def checkpoints(mebibytes: int, runs: int) -> Iterator[Cost]:
    from chiwawa.api import restore, start
    from chiwawa.source import load

    size = mebibytes * MEBIBYTE
    module = load(FULL_MEMORY.format(pages=size >> 16, filled=size))
    # The first safepoint is the function's entry; at the third the memory is full.
    run = start(module, "fill", count=3)
    if run.go():
        raise AssertionError("it loops for ever")
    run.requests.take()
    saved = run.checkpoint()
    yield Cost("checkpoint", mebibytes, "MiB", median_time(run.checkpoint, runs))
    yield Cost("restore", mebibytes, "MiB", median_time(lambda: restore(module, saved), runs))


def traces(runs: int) -> Iterator[Cost]:
    from chiwawa import Instruments, Tracer, Tracing, instantiate, load

    for sample in compute_samples().values():
        module = load(sample.file)
        size = sample.size * max(1, LINES // executed(module, sample, sample.size))
        lines = executed(module, sample, size)
        for path in ("aot", "interp"):
            with open(os.devnull, "w", encoding="utf-8") as out:
                instruments = Instruments(module, tracer=Tracer(module, Tracing(), out))
                instance = instantiate(module, path=path, instruments=instruments)
                # What is called first is prepared, which is no part of a line.
                instance.invoke(sample.export, [sample.size])
                seconds = median_time(partial(instance.invoke, sample.export, [size]), runs)
            yield Cost(f"trace {sample.name}, {path}", lines, "lines", seconds)


def executed(module: Module, sample: Sample, size: int) -> int:
    """How many instructions a call executes."""
    from chiwawa import Instruments, instantiate

    counters = Instruments(module, monitors=["icount"])
    instantiate(module, instruments=counters).invoke(sample.export, [size])
    return sum(map(sum, counters.observed().counts.values()))


def costs(runs: int, sizes: tuple[int, ...]) -> Iterator[Cost]:
    yield from translation(runs)
    for mebibytes in sizes:
        yield from checkpoints(mebibytes, runs)
    yield from traces(runs)


def main(arguments: list[str]) -> None:
    """``python -m benchmarks.costs RUNS MEBIBYTES…``: each cost as a line of JSON."""
    runs, *sizes = map(int, arguments)
    for cost in costs(runs, tuple(sizes)):
        print(json.dumps(asdict(cost)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
