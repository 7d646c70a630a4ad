"""What translating, checkpointing and restoring cost.

Translation is measured on a large module: the functions of the sample ``wc``, C's library among
them, several times over. Checkpoints are measured of a program stopped in a loop with a memory that
is full, so that no run of zeros can be left out.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from benchmarks.samples import SAMPLES

MEBIBYTE = 1 << 20
#: How often the functions of the sample stand in the large module.
COPIES = 5

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


def large_module() -> bytes:
    from chiwawa.binary import encode
    from chiwawa.source import load

    module = load(SAMPLES / "wc.wasm")
    module.funcs = module.funcs * COPIES
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


def costs(runs: int, sizes: tuple[int, ...]) -> Iterator[Cost]:
    yield from translation(runs)
    for mebibytes in sizes:
        yield from checkpoints(mebibytes, runs)


def main(arguments: list[str]) -> None:
    """``python -m benchmarks.costs RUNS MEBIBYTES…``: each cost as a line of JSON."""
    runs, *sizes = map(int, arguments)
    for cost in costs(runs, tuple(sizes)):
        print(json.dumps(asdict(cost)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
