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


def test_icepll_finds_a_setting(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    job = Job(building.yowasp(taking, "icepll"), ("-i", "12", "-o", "48"), expected=b"DIVF: 63")
    travels(job, programs, tmp_path)


def test_icebram_makes_contents(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    job = Job(building.yowasp(taking, "icebram"), ("-g", "-s", "7", "16", "256"))
    travels(job, programs, tmp_path)


def test_a_program_in_go_runs(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    job = Job(building.go(taking), (), expected=b"primes 46 4227\n")
    travels(job, programs, tmp_path)


def test_a_program_in_rust_runs(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    files = (("words.txt", b"The cat and the dog\nand the bird\n"),)
    job = Job(building.rust(taking), (), files=files, expected=b"   the 3\n", status=3)
    travels(job, programs, tmp_path)
