"""Run a WASI program to its end, moved at so many places from one path to one of all:
``python run_moved.py MODULE FILE SAFEPOINTS MOVES HOST::GUEST… -- ARGV…``.

FILE is the module's translation, and SAFEPOINTS how many the whole run passes.
"""

from __future__ import annotations

import random
import sys

import chiwawa
from chiwawa import api, paths
from chiwawa.execution import Source
from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import WasiExit
from chiwawa_runtime.wasi import Wasi


def main() -> int:
    split = sys.argv.index("--")
    module, file, safepoints, moves, *given = sys.argv[1:split]
    dirs = [(host, guest, False) for host, _, guest in (d.partition("::") for d in given)]
    loaded, generated = chiwawa.load(module), api.load_generated(file)
    module_source = Source(loaded)
    available = [
        name
        for name in paths.available()
        if paths.path(name).refusal(module_source, "safepoint") is None
    ]
    chance = random.Random(module.rpartition("/")[2])
    stops = sorted(chance.sample(range(1, int(safepoints)), int(moves)))
    wasi = Wasi(sys.argv[split + 1 :], {}, dirs, deterministic=True)
    count = stops.pop(0)
    run = api.start(generated, "_start", (), wasi.imports(), wasi=wasi, count=count)
    try:
        while not run.go():
            run.requests.take()
            data = run.checkpoint()
            wasi.close()
            snapshot = checkpoint.decode(data)
            assert checkpoint.encode(snapshot) == data
            assert snapshot.wasi is not None
            wasi = Wasi.load(snapshot.wasi, dirs)
            path = chance.choice(available)
            source = generated if path == "aot" else loaded
            run = api.restore(source, data, wasi.imports(), path=path, wasi=wasi)
            if stops:
                assert run.requests.passed is not None
                run.requests.stop_at(stops.pop(0))
        status = 0
    except WasiExit as end:
        status = end.code
    finally:
        wasi.close()
    assert not stops
    return status


if __name__ == "__main__":
    sys.exit(main())
