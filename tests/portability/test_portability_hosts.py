"""The same bytes on other Pythons, two of which are Wasm themselves (docs/portability.md)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import chain
import hosts
import pytest

pytestmark = pytest.mark.slow

#: All but the one that runs the tests, which is what they are held against.
NAMES = ("wasi", "pyodide", "pypy")
#: Those without threads and processes.
WASM = ("wasi", "pyodide")
PATHS = ("interp", "aot")
ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
Find = Callable[[str], hosts.Host]

#: Makes the trigger file itself, and waits for a file `go`, which is there when it goes on.
TRIGGER = r"""
(module $trigger
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get"
    (func $stat (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "checkpoint.trigger")
  (data (i32.const 20) "go")
  (data (i32.const 32) "before\n")
  (data (i32.const 48) "after\n")
  (func $say (param $text i32) (param $length i32)
    (i32.store (i32.const 64) (local.get $text))
    (i32.store (i32.const 68) (local.get $length))
    (drop (call $write (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 80))))
  (func (export "_start")
    (call $say (i32.const 32) (i32.const 7))
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 18) (i32.const 1)
          (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 80))
      (then unreachable))
    (drop (call $close (i32.load (i32.const 80))))
    (loop $wait
      (br_if $wait
        (call $stat (i32.const 3) (i32.const 0) (i32.const 20) (i32.const 2)
          (i32.const 128))))
    (call $say (i32.const 48) (i32.const 6))))
"""


def in_turn(path: str) -> tuple[str, ...]:
    return chain.PATHS if path == "both" else (path,)


@pytest.mark.parametrize("path", [*PATHS, "both"])
def test_a_program_carried_through_four_pythons_prints_what_one_prints(
    host_named: Find, tmp_path: Path, path: str
) -> None:
    among = [host_named(name) for name in ("native", *NAMES)]
    legs = list(chain.legs(tmp_path, among, in_turn(path)))
    printed = [leg.printed for leg in legs]
    assert all(printed)
    assert "".join(printed) == chain.whole(tmp_path, "interp").printed
    for leg in legs[:-1]:
        assert leg.checkpoint == chain.whole(tmp_path, leg.path, leg.stop).checkpoint, leg.host.name


@pytest.mark.needs("wasmtime")
def test_a_program_is_carried_natively_between_this_python_and_pypy(
    host_named: Find, tmp_path: Path
) -> None:
    among = [host_named("pypy"), host_named("native")] * 3
    legs = list(
        chain.legs(tmp_path, among, ("native", "native", "native", "aot", "native", "interp"))
    )
    assert "".join(leg.printed for leg in legs) == chain.whole(tmp_path, "interp").printed
    for leg in legs[:-1]:
        assert leg.checkpoint == chain.whole(tmp_path, "interp", leg.stop).checkpoint, leg.host.name


@pytest.mark.needs("wasmtime")
@pytest.mark.parametrize("name", ["native", "pypy"])
def test_native_instances_are_let_go_in_any_order(
    host_named: Find, tmp_path: Path, name: str
) -> None:
    shutil.copy(Path(__file__).with_name("let_go.py"), tmp_path)
    done = host_named(name).run(tmp_path, "let_go.py")
    assert (done.returncode, done.stdout) == (0, "all gone\n"), done.stderr


def test_each_sample_has_the_same_checkpoints_and_results(host_named: Find, tmp_path: Path) -> None:
    for file in (*SAMPLES.glob("*.wasm"), SAMPLES / "samples.json"):
        shutil.copy(file, tmp_path)
    shutil.copy(Path(__file__).with_name("sweep_samples.py"), tmp_path)
    lines = {}
    for name in ("native", *NAMES):
        done = host_named(name).run(tmp_path, "sweep_samples.py", ".")
        assert not done.returncode, (name, done.stderr)
        lines[name] = [json.loads(line) for line in done.stdout.splitlines()]
    expected = lines["native"]
    assert len(expected) == 2 * len(json.loads((SAMPLES / "samples.json").read_text()))
    for interp, aot in zip(expected[::2], expected[1::2], strict=True):
        assert interp[2:] == aot[2:]
    for name in NAMES:
        assert lines[name] == expected, name


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", NAMES)
def test_a_trigger_file_stops_a_program_also_where_there_are_no_threads(
    host_named: Find, tmp_path: Path, name: str, path: str
) -> None:
    host = host_named(name)
    (tmp_path / "trigger.wat").write_text(TRIGGER)
    options = ("trigger.wat", "--path", path, "--dir", ".::/")
    stopped = host.run(tmp_path, "chiwawa", "run", *options, "--cr")
    assert stopped.stdout == "before\n", stopped
    assert stopped.stderr == "chiwawa: checkpoint written to checkpoint.bin\n"
    assert stopped.returncode == 0
    assert not (tmp_path / "checkpoint.trigger").exists()
    (tmp_path / "go").touch()
    ended = host.run(tmp_path, "chiwawa", "run", *options, "--restore", "checkpoint.bin")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "after\n", "")


@pytest.mark.parametrize("name", NAMES)
def test_a_generated_file_runs_with_the_running_side_alone(
    host_named: Find, tmp_path: Path, name: str
) -> None:
    host = host_named(name)
    shutil.copy(SAMPLES / "recursion.wasm", tmp_path)
    done = host.run(tmp_path, "chiwawa", "compile", "recursion.wasm", "-o", "recursion.py")
    assert (done.returncode, done.stderr) == (0, "")
    here = hosts.this_python().run(
        tmp_path, "chiwawa", "compile", "recursion.wasm", "-o", "here.py"
    )
    assert here.returncode == 0, here
    assert (tmp_path / "recursion.py").read_bytes() == (tmp_path / "here.py").read_bytes()
    call = ("--invoke", "depth", "--params", "I32(100000)")
    alone = hosts.import_path(["chiwawa_runtime"])
    done = host.run(tmp_path, "recursion.py", *call, imports=alone)
    assert (done.returncode, done.stdout, done.stderr) == (0, "I32(100000)\n", "")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", WASM)
def test_ends_other_than_good_are_told(
    host_named: Find, tmp_path: Path, name: str, path: str
) -> None:
    host = host_named(name)
    shutil.copy(SAMPLES / "recursion.wasm", tmp_path)
    call = ("recursion.wasm", "--path", path, "--invoke", "depth", "--params", "I32(1000000)")
    done = host.run(tmp_path, "chiwawa", "run", *call)
    assert done.returncode == (125 if name == "wasi" else 134)
    assert done.stderr.startswith("trap: call stack exhausted\n  at $depth ")
    done = host.run(tmp_path, "chiwawa", "run", "nothing.wasm", "--path", path)
    assert done.returncode == 2
    assert done.stderr == "chiwawa: error: nothing.wasm: No such file or directory\n"
    done = host.run(tmp_path, "chiwawa", "demo")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


#: The scenarios that end otherwise than on Linux, by how their names begin: what the table in
#: docs/portability.md says that the host lacks.
OTHERWISE = {
    "wasi": ("test_appending_writes_at_the_end",),
    "pyodide": (
        "test_appending_writes_at_the_end",
        "test_times_can_be_set_and_kept",
        "test_linking",
        "test_making_symbolic_links",
        "test_a_link_that_the_guest_made",
        "test_a_link_that_is_right_where_it_was_made",
        "test_a_link_to_the_given_directory_itself",
        "test_a_given_directory_that_the_host_moves",
    ),
}

#: It depends on how long the name of the folder is that the test is in.
SOMETIMES = ("test_opening_for_writing_answers_as_documented[ours-path35-0-37]",)


@pytest.mark.parametrize("name", WASM)
def test_wasi_is_on_these_hosts_what_it_is_here_but_for_what_they_lack(
    host_named: Find, tmp_path: Path, name: str
) -> None:
    host = host_named(name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(Path(__file__).with_name("run_scenarios.py"), tmp_path)
    (tmp_path / "tests").mkdir()
    for helper in ("conftest.py", "need_helpers.py"):
        shutil.copy(ROOT / "tests" / helper, tmp_path / "tests")
    shutil.copytree(ROOT / "tests" / "wasi", tmp_path / "tests" / "wasi")
    packages = ("chiwawa", "chiwawa_runtime", "lark", "_pytest", "pluggy", "iniconfig", "packaging")
    done = host.run(tmp_path, "run_scenarios.py", imports=hosts.import_path(packages))
    lines = done.stdout.splitlines()
    failed = {line.split("::")[1] for line in lines if line.startswith("FAILED")}
    assert lines, done.stderr
    assert " passed" in lines[-1], (lines, done.stderr)
    unknown = {test for test in failed if not test.startswith(OTHERWISE[name] + SOMETIMES)}
    assert not unknown
    for start in OTHERWISE[name]:
        assert any(test.startswith(start) for test in failed), f"{start} is as on Linux now"
