"""Programs that others wrote and compiled: they run, and they travel.

Each prints on the AOT path what it prints with wasmtime, and ends as it would have when it is
stopped half-way and continued on the other path, and when it is moved often.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import chiwawa
from chiwawa_runtime.errors import Trap
from tests.real import build_helpers
from tests.real.moving_helpers import HERE, Job, Programs, travels
from tests.real.package_helpers import SOURCES, Taking, build

pytestmark = pytest.mark.slow


#: Line and column of the error in program.ts.
THROWN = (53, 14)


def called(wasm: Path, name: str, args: list[int]) -> list[int | float]:
    """What wasmtime says, i64 as unsigned."""
    worker = (HERE / "call_in_wasmtime.py", wasm, name, *args)
    told = json.loads(build(sys.executable, *worker, cwd=wasm.parent))
    return [told & (2**64 - 1) if isinstance(told, int) else told]


def source(name: str) -> tuple[str, bytes]:
    return name, (SOURCES / name).read_bytes()


def test_the_shell_of_sqlite_makes_a_database(
    taking: Taking, programs: Programs, tmp_path: Path
) -> None:
    wasm = build_helpers.sqlite(taking)
    args = ("-batch", "-vfs", "unix-none", "/made.db", ".read /script.sql")
    job = Job(wasm, args, files=(source("script.sql"),), expected=b"50|1275|3.642857|00003|00975\n")
    travels(job, programs, tmp_path)


def test_lua_runs_a_script(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    wasm = build_helpers.lua(taking)
    job = Job(wasm, ("/script.lua",), files=(source("script.lua"),), expected=b"\n12 144\n")
    travels(job, programs, tmp_path)


def test_icepll_finds_a_setting(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    job = Job(
        build_helpers.yowasp(taking, "icepll"), ("-i", "12", "-o", "48"), expected=b"DIVF: 63"
    )
    travels(job, programs, tmp_path)


def test_icebram_makes_contents(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    job = Job(build_helpers.yowasp(taking, "icebram"), ("-g", "-s", "7", "16", "256"))
    travels(job, programs, tmp_path)


def test_a_program_in_go_runs(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    job = Job(build_helpers.go(taking), (), expected=b"primes 46 4227\n")
    travels(job, programs, tmp_path)


def test_a_module_in_assemblyscript_computes(taking: Taking, tmp_path: Path) -> None:
    """It exports functions, and imports one that is told why it aborts."""
    wasm = build_helpers.assemblyscript(taking)
    module = chiwawa.load(wasm)
    aborted: list[tuple[int, ...]] = []

    def abort(message: int, file: int, line: int, column: int) -> None:
        aborted.append((line, column))

    imports = {"env": {"abort": abort}}
    calls = [("areas", [60]), ("hash", [40])]
    results = [called(wasm, name, args) for name, args in calls]
    for path, other in (("aot", "interp"), ("interp", "aot")):
        instance = chiwawa.instantiate(module, imports, path=path)
        assert [instance.invoke(name, args) for name, args in calls] == results
        for (name, args), result in zip(calls, results, strict=True):
            whole = chiwawa.start(module, name, args, imports, path=path, count=1 << 62)
            assert whole.go()
            passed = whole.requests.passed
            assert passed is not None
            half = chiwawa.start(module, name, args, imports, path=path, count=passed // 2)
            assert not half.go()
            rest = chiwawa.restore(module, half.checkpoint(), imports, path=other)
            assert rest.go()
            assert rest.results == result
        assert instance.invoke("fails", [2]) == [2]
        with pytest.raises(Trap, match="unreachable"):
            instance.invoke("fails", [3])
    assert aborted == [THROWN, THROWN]


def test_a_program_in_rust_runs(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    files = (("words.txt", b"The cat and the dog\nand the bird\n"),)
    job = Job(build_helpers.rust(taking), (), files=files, expected=b"   the 3\n", status=3)
    travels(job, programs, tmp_path)


def test_cpython_runs_a_script(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    """A Python script inside Wasm inside Python."""
    script = "print(sum(range(10)))"
    job = Job(
        build_helpers.cpython(taking), ("-c", script), expected=b"45\n", moves=0, most_memory=1500
    )
    travels(job, programs, tmp_path)
