"""One engine and one sample in a process of its own: ``python -m benchmarks.worker ENGINE SAMPLE``.

It prints a line of JSON when it is ready, and one more for each size that it reads: how long a call
took and what it gave. An error is a line too, and the end.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
import time

from benchmarks.engines import ENGINES
from benchmarks.samples import compute_samples

#: No single call may take longer, in seconds: an engine that hangs must not hold up the others.
LIMIT = 120


def main(engine: str, name: str) -> None:
    lines = sys.stdout
    # What an engine prints is not an answer.
    sys.stdout = sys.stderr
    sample = compute_samples()[name]
    try:
        began = time.perf_counter()
        ready = ENGINES[engine](sample)
        say(lines, {"ready": time.perf_counter() - began})
        for line in sys.stdin:
            size = int(line)
            gc.collect()
            signal.alarm(LIMIT)
            # The processor's time, of all threads: what else the machine does counts less.
            began = time.process_time()
            value = ready(size)
            seconds = time.process_time() - began
            signal.alarm(0)
            say(lines, {"seconds": seconds, "result": sample.normalised(value)})
    except Exception as error:
        say(lines, {"error": f"{type(error).__name__}: {error}".splitlines()[0][:100]})


def say(lines: object, answer: dict[str, object]) -> None:
    print(json.dumps(answer), file=lines, flush=True)  # type: ignore[call-overload]


if __name__ == "__main__":
    main(*sys.argv[1:])
