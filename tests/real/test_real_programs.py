"""Programs that others wrote and compiled: they run, and they travel.

Each prints on the AOT path what it prints with wasmtime, and ends as it would have when it is
stopped half-way and continued on the other path.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real import building
from tests.real.moving import Job, Programs, travels
from tests.real.taking import SOURCES, Taking

pytestmark = pytest.mark.slow


def source(name: str) -> tuple[str, bytes]:
    return name, (SOURCES / name).read_bytes()


def test_the_shell_of_sqlite_makes_a_database(
    taking: Taking, programs: Programs, tmp_path: Path
) -> None:
    wasm = building.sqlite(taking)
    args = ("-batch", "-vfs", "unix-none", "/made.db", ".read /script.sql")
    job = Job(wasm, args, files=(source("script.sql"),), expected=b"50|1275|3.642857|00003|00975\n")
    travels(job, programs, tmp_path)


def test_lua_runs_a_script(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    wasm = building.lua(taking)
    job = Job(wasm, ("/script.lua",), files=(source("script.lua"),), expected=b"\n12 144\n")
    travels(job, programs, tmp_path)
