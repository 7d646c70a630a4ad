"""What ``run`` gives beside WASI: stubs, and what has programs timed."""

from __future__ import annotations

from pathlib import Path

import pytest

import chiwawa
from tests.cli.cli_helpers import Cli, Programs, one_line, programs
from tests.path_helpers import PATHS, each_path, next_path

TEXT = """
(module $stubs
  (import "env" "log" (func $log (param i32) (result i64)))
  (import "env.more" "a.b" (func $more))
  (import "bench" "start" (func $start))
  (import "bench" "end" (func $end))
  (func (export "count") (param $n i32) (result i32) (local $i i32)
    (call $start)
    (loop $again
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (local.get $n))))
    (call $end)
    (local.get $i))
  (func (export "log") (result i64) (call $log (i32.const 7)))
  (func (export "more") (call $more)))
"""
COUNT = ("--invoke", "count", "--params", "I32(9)")


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return programs(tmp_path_factory.mktemp("stubs"), "stubs", TEXT)


@each_path
@pytest.mark.parametrize("given", [("*",), ("env.log", "env.more.a.b"), ("env.*", "env.more.*")])
def test_what_is_not_called_may_be_missing(
    stubs: Programs, cli: Cli, path: str, given: tuple[str, ...]
) -> None:
    words = [word for each in given for word in ("--stub", each)]
    outcome = cli("run", stubs.for_path(path), "--path", path, *COUNT, *words)
    assert (outcome.status, outcome.out) == (0, "I32(9)\n"), outcome
    assert outcome.err.startswith("chiwawa: bench: 0.")
    assert outcome.err.endswith(" seconds\n")


@each_path
@pytest.mark.parametrize(("name", "label"), [("log", '"env" "log"'), ("more", '"env.more" "a.b"')])
def test_a_stub_that_is_called_is_a_trap_that_names_it(
    stubs: Programs, cli: Cli, path: str, name: str, label: str
) -> None:
    outcome = cli("run", stubs.for_path(path), "--path", path, "--invoke", name, "--stub", "*")
    assert outcome.status == 134
    assert f"the stub {label} was called: nobody gives this import" in outcome.err


def test_a_stub_stands_for_nothing_else(stubs: Programs, cli: Cli) -> None:
    outcome = cli("run", stubs.wasm, *COUNT, "--stub", "env.log")
    assert one_line(outcome) == 'unknown import "env.more" "a.b"'
    outcome = cli("run", stubs.wasm, *COUNT, "--stub", "log")
    assert "a stub is MODULE.NAME, MODULE.* or *, not 'log'" in one_line(outcome)


@each_path
def test_a_program_with_stubs_moves_on(
    stubs: Programs, cli: Cli, path: str, tmp_path: Path
) -> None:
    files = {}
    for each in (path, next_path(path)):
        files[each] = tmp_path / f"{each}.bin"
        stop = ("--cr-at", "5", "--cr-file", files[each])
        outcome = cli("run", stubs.wasm, "--path", each, *COUNT, "--stub", "*", *stop)
        assert outcome.status == 0, outcome
    assert files[path].read_bytes() == files[next_path(path)].read_bytes()
    restore = ("--restore", files[path], "--path", next_path(path))
    assert 'unknown imports "env" "log", ' in one_line(cli("run", stubs.wasm, *restore))
    outcome = cli("run", stubs.wasm, *restore, "--stub", "*")
    # What began before is not known here.
    assert (outcome.status, outcome.out, outcome.err) == (0, "I32(9)\n", ""), outcome


def test_stubs_in_python_are_of_functions_alone() -> None:
    module = chiwawa.load("""(module (import "a" "f" (func)) (import "a" "g" (global i32))
      (export "f" (func 0)))""")
    found = chiwawa.stubs(module, "*")
    assert {name: list(functions) for name, functions in found.items()} == {"a": ["f"]}
    with pytest.raises(chiwawa.UnlinkableError, match='unknown import "a" "g"'):
        chiwawa.instantiate(module, found)
    with pytest.raises(chiwawa.BadInput, match="a stub is MODULE"):
        chiwawa.stubs(module, "f")
    other = chiwawa.load('(module (import "a" "f" (func)) (export "f" (func 0)))')
    for path in PATHS:
        instance = chiwawa.instantiate(other, chiwawa.stubs(other, "a.f"), path=path)
        with pytest.raises(chiwawa.Trap, match='the stub "a" "f" was called'):
            instance.invoke("f")
