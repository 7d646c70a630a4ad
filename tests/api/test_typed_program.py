"""A program that uses the package, as type checkers see it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import chiwawa
import chiwawa_runtime

PROGRAM = """
from pathlib import Path

import chiwawa


def log(address: int, size: int) -> None:
    print(memory.read(address, size))


module = chiwawa.load('(module (func (export "add") (param i32 i32) (result i32) local.get 0))')
linker = chiwawa.Linker({"env": {"log": log}})
instance: chiwawa.Instance = chiwawa.instantiate(module, linker, path="interp")
memory: chiwawa.AnyMemory = instance.memory("memory")
table: chiwawa.AnyTable = instance.table("table")
count: chiwawa.AnyGlobal = instance.global_("count")
add: chiwawa.Function = instance.func("add")
print(add(2, 3), instance.exports["add"](2, 3), instance.exports.add(2, 3))
for wanted in module.imports:
    if isinstance(wanted.type, chiwawa.FuncType):
        params: tuple[chiwawa.ValType, ...] = wanted.type.params
        print(params, wanted.module, wanted.name, chiwawa.I32 in params)
total = chiwawa.Global(chiwawa.GlobalType(chiwawa.I64, True), 5)
shared = chiwawa.Memory(chiwawa.MemoryType.of(1, 2))
run = instance.start("add", 2, 3)
if not run.resume(fuel=10):
    names: list[str] = [frame.name for frame in run.frames]
    Path("checkpoint.bin").write_bytes(run.checkpoint())
try:
    instance.call("add", 1, 2)
except chiwawa.Stopped as stopped:
    stopped.run.resume()
except chiwawa.Trap as trap:
    print(trap.message)
generated: chiwawa.Bundle = chiwawa.load_generated("add.py")
native: chiwawa.NativeFile = chiwawa.load_native("add.wasm")
print(generated.exports[0].type == native.exports[0].type)
"""
WRONG = '\ninstance.func("add").nothing\nrun.resume(10)\nchiwawa.nothing\n'


@pytest.mark.needs("mypy")
def test_a_program_passes_mypy_strict_and_what_is_wrong_in_it_does_not(tmp_path: Path) -> None:
    packages = [Path(each.__path__[0]) for each in (chiwawa, chiwawa_runtime)]
    assert [package for package in packages if not (package / "py.typed").is_file()] == []
    (tmp_path / "right.py").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(PROGRAM + WRONG, encoding="utf-8")
    # Away from the project's own settings, and silent on what the package imports itself.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-error-summary",
         "right.py", "wrong.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": os.pathsep.join(str(p.parent) for p in packages)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line for line in lines if line.startswith("right.py")] == [], done.stdout
    assert len(lines) == 3, done.stdout + done.stderr
