"""``--path auto``: the fastest path that can run the program as it is to be run."""

from __future__ import annotations

import pytest

from chiwawa import instantiate, load, paths
from chiwawa.commands.cli import main
from tests.path_helpers import PATHS

needs_native = pytest.mark.skipif("native" not in PATHS, reason="needs wasmtime")
RUN = ("run", "samples/recursion.wasm", "--invoke", "fib", "--params", "I32(9)", "--path", "auto")
OWN_NAME = '(module (func (export "chiwawa:f") (result i32) (i32.const 7)))'


def ran(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    assert main([*RUN, *options]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[-1] == "I32(34)" or "--stats" in options
    return output.err.splitlines()


@needs_native
def test_it_is_native_where_that_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys) == ["chiwawa: running on the path native"]


@needs_native
def test_it_is_another_where_native_cannot_stop_so(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = ran(capsys, "--granularity", "instruction")
    assert line.startswith("chiwawa: running on the path aot: the native path stops at safepoints")


def test_it_is_another_where_wasmtime_is_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    native = paths.path("native")
    monkeypatch.setattr(type(native), "lacks", lambda self: "the native path needs wasmtime")
    assert ran(capsys) == ["chiwawa: running on the path aot: the native path needs wasmtime"]


def test_python_has_it_too_and_takes_another_for_a_module_that_native_refuses() -> None:
    assert instantiate(load(OWN_NAME), path="auto").invoke("chiwawa:f") == [7]
