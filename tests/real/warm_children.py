"""Children of one checkpoint of CPython, in one process, each given another line to run: what each
prints, in turn.

    python warm_children.py MODULE CHECKPOINT PATH COUNT
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import chiwawa
from chiwawa_runtime import checkpoint


def main(file: str, saved: str, path: str, count: int) -> None:
    module = chiwawa.load(file)
    snapshot = checkpoint.decode(Path(saved).read_bytes())
    for number in range(count):
        out = io.BytesIO()
        given = io.BytesIO(b"print(json.dumps({'square': %d ** 2}))" % number)
        wasi = chiwawa.Wasi.load(snapshot, (), given, out, out)
        run = chiwawa.restore(module, snapshot, wasi=wasi, path=path)
        try:
            run.go()
        except chiwawa.WasiExit as ended:
            print(ended.code, out.getvalue().decode(), end="", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
