"""What translating, checkpointing and restoring cost.

Translation is measured on a large module: the functions of the sample ``wc``, C's library among
them, several times over. Checkpoints are measured of a program stopped in a loop with a memory that
is full, so that no run of zeros can be left out.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
