"""What an embedder sees of a trap that nobody catches."""

from __future__ import annotations

import traceback

import pytest

from chiwawa import Trap, instantiate, load
from chiwawa_runtime.errors import FIRST, LAST
from tests.path_helpers import each_path

TEXT = """(module
  (import "h" "f" (func $f))
  (memory 1)
  (func $load (drop (i32.load (i32.const -1))))
  (func $host (export "host") (call $f))
  (func $main (export "main") (call $load))
  (func $down (export "down") (param i32)
    (if (local.get 0)
      (then (call $down (i32.sub (local.get 0) (i32.const 1))))
      (else unreachable))))"""


def trap_of(path: str, name: str, *args: int) -> Trap:
    def f() -> None:
        raise Trap("of the host")

    instance = instantiate(load(TEXT), {"h": {"f": f}}, path=path)
    with pytest.raises(Trap) as caught:
        instance.invoke(name, args)
    return caught.value


@each_path
def test_its_text_and_pythons_traceback_end_with_the_frames_of_the_program(path: str) -> None:
    trap = trap_of(path, "main")
    assert trap.message == "out of bounds memory access"
    lines = [
        "out of bounds memory access",
        "  at $load (function 1, code offset 0x3)",
        "  at $main (function 3, code offset 0x1)",
    ]
    assert str(trap).splitlines() == lines
    shown = "".join(traceback.format_exception(trap)).splitlines()
    assert shown[-3:] == [f"chiwawa_runtime.errors.Trap: {lines[0]}", *lines[1:]]


@each_path
def test_a_trap_that_a_host_function_raises_shows_them_too(path: str) -> None:
    assert str(trap_of(path, "host")).splitlines() == [
        "of the host",
        "  at $host (function 2, code offset 0x1)",
    ]


@each_path
def test_of_a_deep_program_the_ends_are_shown(path: str) -> None:
    trap = trap_of(path, "down", 5000)
    lines = str(trap).splitlines()
    assert len(trap.backtrace) == 5001
    assert len(lines) == 1 + FIRST + 1 + LAST
    assert lines[1 + FIRST] == f"  … {5001 - FIRST - LAST} frames left out …"
    assert lines[1] == f"  at {trap.backtrace[0]}"
    assert lines[-1] == f"  at {trap.backtrace[-1]}"


def test_a_trap_that_has_been_nowhere_is_its_message() -> None:
    assert str(Trap("unreachable")) == "unreachable"
