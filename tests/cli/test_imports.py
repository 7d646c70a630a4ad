"""What a command loads: packages that only some of what chiwawa does needs are loaded for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.cli_helpers import Programs, python

PACKAGES = {"argcomplete", "astor", "dill", "elftools", "lark", "tqdm"}
SUM = ("--invoke", "sum", "--params", "I32(100)")
TRAP = ("--invoke", "divide", "--params", "I32(1)")

LOADED = """
import sys
from chiwawa.commands.cli import main
main(sys.argv[1:])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize(
    ("needed", "command"),
    [
        ("", ("--version",)),
        ("", ("validate", "WASM")),
        ("lark", ("validate", "WAT")),
        ("", ("run", "WASM", *SUM)),
        ("", ("run", "WASM", *SUM, "--cr-at", "10")),
        ("", ("run", "WASM", "--restore", "FILE")),
        ("", ("run", "WASM", *SUM, "--trace", "--monitor", "all")),
        ("", ("run", "WASM", *TRAP)),
        ("lark", ("run", "WAT", *SUM)),
        ("astor", ("run", "WASM", *SUM, "--path", "aot")),
        ("", ("run", "PY", *SUM)),
        ("", ("run", "PY", *SUM, "--path", "interp")),
        ("", ("run", "PY", "--restore", "FILE")),
        ("astor", ("compile", "WASM", "-o", "out.py")),
        ("", ("inspect", "FILE", "WASM")),
        ("", ("diff", "FILE", "FILE", "WASM")),
        ("", ("wasm2wat", "WASM")),
        ("lark", ("wat2wasm", "WAT", "-o", "out.wasm")),
    ],
)
def test_nothing_is_loaded_that_is_not_needed(
    program: Programs, tmp_path: Path, needed: str, command: tuple[str, ...]
) -> None:
    file = tmp_path / "file.bin"
    made = ("-m", "chiwawa", program.wasm, *SUM, "--cr-at", "5", "--cr-file", file)
    assert python(tmp_path, *made).status == 0
    files = {"WASM": program.wasm, "WAT": program.wat, "PY": program.py, "FILE": file}
    outcome = python(tmp_path, "-c", LOADED, *(files.get(word, word) for word in command))
    assert outcome.status == 0, outcome
    assert PACKAGES.intersection(outcome.out.splitlines()[-1].split()) == set(needed.split())
