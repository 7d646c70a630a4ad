"""Generated files, whose functions are compiled when they are first called."""

from __future__ import annotations

import importlib
import runpy
import sys
import zipfile
from pathlib import Path
from types import CodeType

import pytest

import chiwawa
from chiwawa import api
from chiwawa_runtime.errors import BadInput, Trap

TEXT = """
(module
  (func $called (export "called") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 7))))
    (call $called (i32.sub (local.get 0) (i32.const 1))))
  (func (export "traps") (call $inner))
  (func $inner unreachable)
  (func (export "other") (result i32) (call $called (i32.const 1))))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    target = tmp_path / "generated.py"
    chiwawa.compile_file(chiwawa.load(TEXT), target)
    return target


def test_python_compiles_no_function_with_the_file(file: Path) -> None:
    compiled = compile(file.read_text(), str(file), "exec")
    assert not [constant for constant in compiled.co_consts if isinstance(constant, CodeType)]


def test_a_file_that_is_imported_waits_too(file: Path) -> None:
    bundle = runpy.run_path(str(file))["BUNDLE"]
    instance = bundle.instantiate()
    assert instance.invoke("called", [3]) == [7]
    made = [code.function._made is not None for code in bundle.codes]
    assert made == [True, False, False, False]


def test_a_file_runs_from_a_zip(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(file, "zipped_program.py")
    monkeypatch.syspath_prepend(tmp_path / "all.zip")
    module = importlib.import_module("zipped_program")
    monkeypatch.delitem(sys.modules, "zipped_program")
    assert module.instantiate().invoke("called", [3]) == [7]


def test_a_function_is_source_until_it_is_called(file: Path) -> None:
    bundle = api.load_generated(file)
    waiting = [code.function for code in bundle.codes]
    instance = chiwawa.instantiate(bundle)
    assert instance.invoke("called", [3]) == [7]
    made = [f._made is not None for f in waiting]
    assert made == [True, False, False, False]


def test_its_lines_are_those_of_the_file(file: Path) -> None:
    lines = file.read_text().splitlines()
    for code in api.load_generated(file).codes:
        function = code.function.made()
        assert function.__code__.co_filename == str(file)
        assert lines[function.__code__.co_firstlineno - 1].startswith(f"def {function.__name__}(")


def test_a_trap_says_where_it_was_also_the_first_time(file: Path) -> None:
    instance = chiwawa.instantiate(api.load_generated(file))
    places = []
    for _ in range(2):
        with pytest.raises(Trap, match="unreachable") as caught:
            instance.invoke("traps", [])
        places.append([(p.function, p.offset) for p in caught.value.backtrace])
    assert places[0] == places[1]
    assert [function for function, _ in places[0]] == [2, 1]


@pytest.mark.parametrize("change", ["a line more", "a function less"])
def test_a_file_whose_functions_were_moved_is_refused(file: Path, change: str) -> None:
    text = file.read_text()
    if change == "a line more":
        text = text.replace("\ndef f3_other(", "\n\ndef f3_other(")
    else:
        text = text.replace("\ndef f3_other(", "\n   (")
    file.write_text(text)
    with pytest.raises(BadInput, match="was edited: its lines"):
        chiwawa.instantiate(api.load_generated(file))


def test_a_function_that_python_cannot_compile_is_refused_when_it_is_called(file: Path) -> None:
    head, _, tail = file.read_text().partition("\ndef f3_other(")
    file.write_text(f"{head}\ndef f3_other({tail.replace('if poll:', 'if poll', 1)}")
    instance = chiwawa.instantiate(api.load_generated(file))
    assert instance.invoke("called", [1]) == [7]
    with pytest.raises(BadInput, match="was edited: line"):
        instance.invoke("other", [])
