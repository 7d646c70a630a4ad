"""A host in JavaScript stops a rewritten module in Node, and Python finishes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chiwawa import api
from chiwawa.source import load
from tests.cli.cli_helpers import HANGS, environment
from tests.need_helpers import need
from tests.path_helpers import PATHS

SAMPLE = Path(__file__).parents[3] / "samples" / "native-node"
#: The host asks the program to stop when it has said so many lines.
STOP_AFTER = 12
LAST = 3000


def run(*command: object) -> str:
    """What a command prints."""
    return subprocess.run(
        [str(word) for word in command],
        env=environment(),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=HANGS,
        check=True,
    ).stdout


@pytest.mark.needs("wasmtime")
def test_node_stops_what_python_finishes(tmp_path: Path) -> None:
    node = need("node")
    module = SAMPLE / "count.wat"
    rewritten, state = tmp_path / "count_native.wasm", tmp_path / "state.json"
    run(sys.executable, "-m", "chiwawa", "compile", module, "-o", rewritten)
    host = (node, SAMPLE / "host.mjs", rewritten, "count", LAST)
    whole = run(*host)
    first = run(*host, "--stop-after", STOP_AFTER, "--state", state)
    assert len(first.splitlines()) == STOP_AFTER

    said: list[str] = []

    def say(number: int, steps: int) -> None:
        said.append(f"{number} takes {steps} steps\n")
        if len(said) == STOP_AFTER:
            stopped.requests.ask()

    # Stopped at the same place in Python, it has the same state.
    stopped = api.start(load(module), "count", (LAST,), {"host": {"say": say}}, path="interp")
    assert not stopped.go()
    assert "".join(said) == first
    for path in PATHS:
        written = tmp_path / f"{path}.bin"
        finish = (sys.executable, SAMPLE / "finish.py", module, state, "--path", path)
        assert first + run(*finish, "--checkpoint", written) == whole
        assert written.read_bytes() == stopped.checkpoint()
