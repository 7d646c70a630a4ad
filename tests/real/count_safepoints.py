"""Run a generated WASI file to its end and say how many safepoints it passed:
``python count_safepoints.py FILE REPORT HOST::GUEST… -- ARGV…``.

In a process of its own, so that what the program prints and what memory it takes are the process's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from chiwawa import api
from chiwawa_runtime.errors import WasiExit
from chiwawa_runtime.wasi import Wasi


def main() -> int:
    split = sys.argv.index("--")
    file, report, *dirs = sys.argv[1:split]
    given = [(host, guest, False) for host, _, guest in (d.partition("::") for d in dirs)]
    wasi = Wasi(sys.argv[split + 1 :], {}, given, deterministic=True)
    run = api.start(
        api.load_generated(file), "_start", (), wasi.imports(), wasi=wasi, count=1 << 62
    )
    status = 0
    try:
        run.go()
    except WasiExit as end:
        status = end.code
    finally:
        wasi.close()
    assert run.requests.passed is not None
    Path(report).write_text(str(run.requests.passed))
    return status


if __name__ == "__main__":
    sys.exit(main())
