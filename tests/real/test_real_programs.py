"""Programs that others wrote and compiled: they run, and they travel.

Each prints on the AOT path what it prints with wasmtime, and ends as it would have when it is
stopped half-way and continued on each other path, and when it is moved often.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import chiwawa
from chiwawa_runtime.errors import Trap
from tests.path_helpers import PATHS
from tests.real import build_helpers
from tests.real.moving_helpers import (
    HERE,
    Job,
    Leg,
    Programs,
    files_in,
    leg,
    running,
    travels,
)
from tests.real.package_helpers import SOURCES, Taking, build

pytestmark = pytest.mark.slow


#: How many safepoints what is natively half-way passes in Python.
WALKED = 100_000
#: Where CPython has started and computes, in safepoints.
COMPUTING = 6_000_000
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


def test_a_program_in_c_has_vectors(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    expected = b"15: 501 letters, energy 8047.2822\n"
    job = Job(build_helpers.vectors_in_c(taking), (), expected=expected)
    travels(job, programs, tmp_path)


def test_icepll_finds_a_setting(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    job = Job(
        build_helpers.yowasp(taking, "icepll"), ("-i", "12", "-o", "48"), expected=b"DIVF: 63"
    )
    travels(job, programs, tmp_path)


def test_icebram_makes_contents(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    job = Job(build_helpers.yowasp(taking, "icebram"), ("-g", "-s", "7", "16", "256"))
    travels(job, programs, tmp_path)


def test_icebram_of_today_handles_exceptions(
    taking: Taking, programs: Programs, tmp_path: Path
) -> None:
    job = Job(build_helpers.yowasp_now(taking, "icebram"), ("-g", "-s", "7", "16", "256"), moves=5)
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
    for path in PATHS:
        instance = chiwawa.instantiate(module, imports, path=path)
        assert [instance.invoke(name, args) for name, args in calls] == results
        for (name, args), result in zip(calls, results, strict=True):
            whole = chiwawa.start(module, name, args, imports, path=path, count=1 << 62)
            assert whole.go()
            passed = whole.requests.passed
            assert passed is not None
            half = chiwawa.start(module, name, args, imports, path=path, count=passed // 2)
            assert not half.go()
            for other in PATHS:
                rest = chiwawa.restore(module, half.checkpoint(), imports, path=other)
                assert rest.go()
                assert rest.results == result
        assert instance.invoke("fails", [2]) == [2]
        with pytest.raises(Trap, match="unreachable"):
            instance.invoke("fails", [3])
    assert aborted == [THROWN] * len(PATHS)


def test_a_program_in_rust_runs(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    files = (("words.txt", b"The cat and the dog\nand the bird\n"),)
    job = Job(build_helpers.rust(taking), (), files=files, expected=b"   the 3\n", status=3)
    travels(job, programs, tmp_path)


#: What the program in Rust is told that it may use.
OF_RUST = ("simd128", "bulk-memory", "nontrapping-fptoint", "sign-ext", "multivalue")


def test_a_program_in_rust_has_vectors(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    wasm = build_helpers.rust(taking, "vectors.rs", *OF_RUST)
    travels(Job(wasm, (), expected=b"2147483647\n"), programs, tmp_path)


def test_a_module_in_moonbit_has_its_objects_collected(taking: Taking) -> None:
    """Structures that are subtypes of others, arrays of them, and calls by what is in them."""
    wasm = build_helpers.moonbit(taking)
    module = chiwawa.load(wasm)
    results = called(wasm, "run", [300])
    among = running(wasm)
    for path in among:
        whole = chiwawa.start(module, "run", [300], path=path, count=1 << 62)
        assert whole.go()
        assert whole.results == results
        passed = whole.requests.passed
        assert passed is not None
        for part in range(1, 6):
            some = chiwawa.start(module, "run", [300], path=path, count=passed * part // 6)
            assert not some.go()
            data = some.checkpoint()
            for other in among:
                rest = chiwawa.restore(module, data, path=other)
                assert rest.checkpoint() == data
                assert rest.go()
                assert rest.results == results


def test_cpython_runs_a_script(taking: Taking, programs: Programs, tmp_path: Path) -> None:
    """A Python script inside Wasm inside Python."""
    script = "print(sum(range(10)))"
    job = Job(
        build_helpers.cpython(taking), ("-c", script), expected=b"45\n", moves=0, most_memory=1500
    )
    travels(job, programs, tmp_path)


#: Computes for a while, and tells of it as it goes.
PRIMES = """
found = []
for n in range(2, 6000):
    if all(n % p for p in found if p * p <= n):
        found.append(n)
        if len(found) % 100 == 0:
            print(len(found), n, flush=True)
print(sum(found))
"""


@pytest.mark.needs("wasmtime")
def test_cpython_computes_natively_and_is_moved(taking: Taking, tmp_path: Path) -> None:
    """Stopped while it computes, carried on in Python for a while, and back."""
    wasm = build_helpers.cpython(taking)

    def run(title: str, path: str, *options: object) -> Leg:
        took = leg(title, tmp_path, "-m", "chiwawa", "run", wasm, "--path", path, *options)
        assert took.status == 0, took.err[-2000:]
        return took

    script = ("--argv0", "python", "--", "-c", PRIMES)
    whole = run("whole", "native", *script)
    assert whole.out.splitlines()[-1] == b"2174734"
    legs = [run("stopped", "native", "--cr-at", COMPUTING, "--cr-file", "a.bin", *script)]
    onward = ("--restore", "a.bin", "--cr-at", COMPUTING + WALKED, "--cr-file", "b.bin")
    legs.append(run("in Python", "aot", *onward))
    legs.append(run("the rest", "native", "--restore", "b.bin"))
    assert legs[0].out
    assert legs[2].out
    assert b"".join(each.out for each in legs) == whole.out


#: Imports what takes long, and then runs what it reads.
READY = """
import argparse, dataclasses, datetime, json, os, random, re, sys
exec(sys.stdin.read())
sys.stdout.flush()
os._exit(3)
"""
#: How many start from one file. On the interpreter each takes seconds to compile its line.
CHILDREN = {"native": 20, "aot": 20, "interp": 3}


@pytest.mark.needs("wasmtime")
def test_cpython_is_saved_after_its_imports_and_has_children(
    taking: Taking, tmp_path: Path
) -> None:
    wasm = build_helpers.cpython(taking)
    run = ("-m", "chiwawa", "run", wasm, "--path", "native", "--argv0", "python")
    stop = ("--cr-at", "stdin", "--cr-file", "warm.bin", "--", "-c", READY)
    saved = leg("saved", tmp_path, *run, *stop, stdin=b"raise SystemExit('it is read later')")
    assert (saved.status, saved.out) == (0, b""), saved.err[-2000:]
    for path, count in CHILDREN.items():
        children = (HERE / "warm_children.py", wasm, tmp_path / "warm.bin", path, count)
        took = leg(f"{count} children, {path}", tmp_path, *children)
        expected = [f'3 {{"square": {number**2}}}' for number in range(count)]
        assert took.out.decode().splitlines() == expected, took.err[-2000:]


def test_sqlite_keeps_a_database_in_memory_between_calls(taking: Taking) -> None:
    module = chiwawa.load(build_helpers.database(taking))
    saved = []
    for path in PATHS:
        wasi = chiwawa.Wasi(deterministic=True)
        instance = chiwawa.instantiate(module, wasi=wasi, path=path)
        instance.exports._initialize()
        assert instance.exports.begin() == 0
        for number in range(1, 101):
            assert instance.exports.put(number) == 0
        assert instance.exports.total(0) == 105_050
        saved.append(instance.checkpoint())
    assert saved.count(saved[0]) == len(saved)
    for path in PATHS:
        for added in (1000, 2000):
            wasi = chiwawa.Wasi.load(saved[0])
            child = chiwawa.restore_instance(module, saved[0], wasi=wasi, path=path)
            assert child.checkpoint() == saved[0]
            assert child.exports.total(99**2) == 2_199
            assert child.exports.put(added) == 0
            assert child.exports.put(100) == 1
            assert child.exports.total(99**2) == 3_199 + added


#: Makes flip-flops and adders.
DESIGN = b"""
module counter(input clk, input reset, input [3:0] step, output reg [7:0] count);
  always @(posedge clk) count <= reset ? 8'd0 : count + step;
endmodule
"""
SYNTHESIS = "read_verilog /files/design.v; synth -flatten; write_verilog -noattr /files/made.v"
#: Where it is stopped, in safepoints.
STOPPED = 1_000_000


@pytest.mark.needs("wasmtime")
def test_yosys_synthesises_natively_and_is_moved(taking: Taking, tmp_path: Path) -> None:
    """A large program: compiled once, it starts from the cache. Stopped in the middle, it is
    carried on in Python for a while, and goes back."""
    wasm, share = build_helpers.yosys(taking)

    def run(title: str, place: Path, path: str, *options: object) -> Leg:
        given = [f"{share}::/share:ro", f"{place / 'files'}::/files", f"{place / 'tmp'}::/tmp"]
        dirs = [part for each in given for part in ("--dir", each)]
        took = leg(title, place, "-m", "chiwawa", "run", wasm, "--path", path, *dirs, *options)
        assert took.status == 0, took.err[-2000:]
        return took

    def place(name: str) -> Path:
        (tmp_path / name / "files").mkdir(parents=True)
        (tmp_path / name / "tmp").mkdir()
        (tmp_path / name / "files" / "design.v").write_bytes(DESIGN)
        return tmp_path / name

    start = ("--argv0", "yosys")
    script = ("--", "-q", "-p", SYNTHESIS)
    run("compiled", place("first"), "native", *start, "--", "-V")
    again = run("from the cache", place("again"), "native", *start, "--", "-V")
    assert b"Yosys 0.36" in again.out
    there = place("whole")
    run("whole", there, "native", *start, *script)
    made = files_in(there)["made.v"]
    assert b"module counter" in made
    there = place("moved")
    # It counts: the other variant is compiled, too.
    run("stopped", there, "native", *start, "--cr-at", STOPPED, "--cr-file", "a.bin", *script)
    onward = ("--restore", "a.bin", "--cr-at", STOPPED + WALKED, "--cr-file", "b.bin")
    run("in Python", there, "aot", *onward)
    run("the rest", there, "native", "--restore", "b.bin")
    assert files_in(there)["made.v"] == made
