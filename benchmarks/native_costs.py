"""What the native path costs beside running: rewriting, stopping, calling the host."""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.costs import MANY_COPIES, large_module, median_time
from benchmarks.samples import SAMPLES

#: WASI programs in C, whose growth is measured: those with C's library in them.
PROGRAMS = ("primes", "wc", "spheres")
#: How often the large module is rewritten whose functions are shared among processors.
LARGE_RUNS = 3
#: How often a run is stopped from another thread.
STOPS = 200
#: How often a host function is called.
CALLS = 200_000

HOST_CALLS = """
(module
  (import "host" "next" (func $next (param i32) (result i32)))
  (func (export "calls") (param $n i32) (result i32)
    (local $value i32)
    (loop $again
      (local.set $value (call $next (local.get $value)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $value)))
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """``value`` in ``unit``, the median of some runs."""

    what: str
    value: float
    unit: str


def rewriting(runs: int) -> Iterator[Figure]:
    from chiwawa.native.module import rewrite
    from chiwawa.native.shares import processors
    from chiwawa.source import load, load_bytes

    module = load_bytes(large_module())
    count = sum(len(func.body) for func in module.funcs)
    seconds = median_time(lambda: rewrite(module, counting=False), runs)
    yield Figure(f"rewrite {count:,} instructions", count / seconds, "instructions/s")
    module = load_bytes(large_module(MANY_COPIES))
    count = sum(func.summary.length for func in module.funcs)
    seconds = median_time(lambda: rewrite(module, counting=False), LARGE_RUNS)
    what = f"rewrite {count:,} instructions, {processors()} processors"
    yield Figure(what, count / seconds, "instructions/s")
    for name in PROGRAMS:
        given = load(SAMPLES / f"{name}.wasm")
        custom = sum(len(each.name) + len(each.data) for each in given.customs)
        grown = len(rewrite(given, counting=False).binary) / (len(given.binary) - custom)
        yield Figure(f"{name}.wasm, rewritten / original", grown, "times the bytes")


def stopping() -> Iterator[Figure]:
    """From a request in one thread until the run stands still in another, without the writing."""
    from chiwawa import load, start

    for name, export in (("pi", "leibniz"), ("quicksort", "sorts"), ("nbody", "energy")):
        run = start(load(SAMPLES / f"{name}.wasm"), export, [(1 << 31) - 1], path="native")
        times = [stopped(run) for _ in range(STOPS)]
        yield Figure(f"stop {name}, median of {STOPS}", statistics.median(times) * 1e3, "ms")
        late = sorted(times)[int(STOPS * 0.99)]
        yield Figure(f"stop {name}, 99 % of them within", late * 1e3, "ms")


def stopped(run: Any) -> float:
    """Let a run go on for a moment; how long it takes to stop it, in seconds."""
    ended: list[float] = []

    def go() -> None:
        if run.go():
            raise AssertionError("it was to run for hours")
        ended.append(time.perf_counter())

    thread = threading.Thread(target=go)
    thread.start()
    time.sleep(0.005)
    asked = time.perf_counter()
    run.requests.ask()
    thread.join()
    run.requests.take()
    return ended[0] - asked


def host_calls(runs: int) -> Iterator[Figure]:
    """Beyond what the function itself takes, and the loop around it."""
    from chiwawa import instantiate, load

    def following(value: int) -> int:
        return value + 1 & 0xFFFFFFFF

    module = load(HOST_CALLS)
    for path in ("native", "aot"):
        instance = instantiate(module, {"host": {"next": following}}, path=path)
        instance.invoke("calls", [CALLS])

        def calls(instance: Any = instance) -> None:
            instance.invoke("calls", [CALLS])

        def itself() -> None:
            value = 0
            for _ in range(CALLS):
                value = following(value)

        beyond = median_time(calls, runs) - median_time(itself, runs)
        yield Figure(f"call of a host function, {path}", beyond / CALLS * 1e6, "µs")


def figures(runs: int) -> Iterator[Figure]:
    yield from rewriting(runs)
    yield from stopping()
    yield from host_calls(runs)


def main(arguments: list[str]) -> None:
    """``python -m benchmarks.native_costs RUNS``: each figure as a line of JSON."""
    for figure in figures(int(arguments[0])):
        print(json.dumps(asdict(figure)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
