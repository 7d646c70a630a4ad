"""Run by each host: every sample's call, stopped in the middle and continued on the other path.

``python sweep_samples.py MODULES`` prints a line of JSON for each call in ``samples.json`` and each
path: how many safepoints it passes, the digest of the checkpoint in the middle, and the results.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import chiwawa

OTHER = {"interp": "aot", "aot": "interp"}


def line(folder: Path, sample: dict[str, object], path: str) -> list[object]:
    module = chiwawa.load(folder / str(sample["file"]))
    export, args = str(sample["export"]), sample["args"]
    assert isinstance(args, list)
    run = chiwawa.start(module, export, args, path=path, count=sys.maxsize)
    assert run.go()
    total = run.requests.passed
    assert total is not None
    data = b""
    if total:
        run = chiwawa.start(module, export, args, path=path, count=(total + 1) // 2)
        assert not run.go()
        data = run.checkpoint()
        run = chiwawa.restore(module, data, path=OTHER[path])
        assert run.go()
    # JSON has words for NaNs, but not for which.
    results = [r.hex() if isinstance(r, float) else r for r in run.results]
    return [sample["name"], path, total, hashlib.sha256(data).hexdigest(), results]


def main(modules: str) -> None:
    folder = Path(modules)
    for sample in json.loads((folder / "samples.json").read_text()):
        for path in OTHER:
            print(json.dumps(line(folder, sample, path)))


if __name__ == "__main__":
    main(*sys.argv[1:])
