"""Programs, and Python processes, that the tests of the command line run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import chiwawa
from tests.path_helpers import PATHS

ROOT = Path(__file__).resolve().parents[2]

#: Seconds after which something is taken to hang, on however slow a machine.
HANGS = 300.0

#: Everything that the tests of ``run`` call.
PROGRAM = """
(module $program
  (func $sum (export "sum") (param $n i32) (result i64) (local $s i64)
    (loop $again
      (local.set $s (i64.add (local.get $s) (i64.extend_i32_u (local.get $n))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (local.get $n)))
    (local.get $s))
  (func (export "same") (param i32 i64 f32 f64) (result i32 i64 f32 f64)
    local.get 0 local.get 1 local.get 2 local.get 3)
  (func (export "nothing"))
  (func (export "null") (param funcref) (result funcref) local.get 0)
  (elem declare func $sum)
  (func (export "function") (result funcref) (ref.func $sum))
  (func $divide (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func $middle (param i32) (result i32) (call $divide (local.get 0) (i32.const 0)))
  (func (export "divide") (param i32) (result i32) (call $middle (local.get 0)))
  (func $deep (export "deep") (param i32) (result i32)
    (i32.add (i32.const 1) (call $deep (local.get 0))))
  (func $forever (export "forever") (local $rounds i64)
    (loop $again
      (local.set $rounds (i64.add (local.get $rounds) (i64.const 1)))
      (br $again))))
"""
#: A call of it that goes on until it is stopped from outside.
LONG = ("--invoke", "forever")

#: Goes round until there is a byte to be read from the standard input, and returns it.
UNTIL_TOLD = """
(module $until_told
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_set_flags"
    (func $set_flags (param i32 i32) (result i32)))
  (memory 1)
  (func (export "told") (result i32)
    (drop (call $set_flags (i32.const 0) (i32.const 4 (; nonblock ;))))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 1))
    (loop $again
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br_if $again (i32.eqz (i32.load8_u (i32.const 64)))))
    (i32.load8_u (i32.const 64))))
"""

#: A WASI program that prints its arguments, one a line, and ends with their number.
ECHO = r"""
(module $echo
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $at i32) (local $end i32)
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 64) (i32.const 1024)))
    (local.set $at (i32.const 1024))
    (local.set $end (i32.add (local.get $at) (i32.load (i32.const 4))))
    (loop $byte
      (if (i32.eqz (i32.load8_u (local.get $at)))
        (then (i32.store8 (local.get $at) (i32.const 10))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $byte (i32.lt_u (local.get $at) (local.get $end))))
    (i32.store (i32.const 16) (i32.const 1024))
    (i32.store (i32.const 20) (i32.load (i32.const 4)))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))
    (call $exit (i32.load (i32.const 0)))))
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Programs:
    """The same program as text, binary, generated file and rewritten module, which is there where
    it can be run."""

    wat: Path
    wasm: Path
    py: Path
    native: Path

    def for_path(self, path: str) -> Path:
        """The file that is run on this path where nobody names one."""
        return {"interp": self.wasm, "aot": self.py, "native": self.native}[path]


def programs(folder: Path, name: str, text: str) -> Programs:
    ends = (".wat", ".wasm", ".py", "_native.wasm")
    made = Programs(*(folder / f"{name}{end}" for end in ends))
    made.wat.write_text(text)
    module = chiwawa.load(made.wat)
    made.wasm.write_bytes(module.binary)
    chiwawa.compile_file(module, made.py)
    if "native" in PATHS:
        chiwawa.compile_native(module, made.native)
    return made


Cli = Callable[..., Outcome]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "runtime")])}


def spawn(folder: Path, *command: object, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """Python with these arguments, running."""
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=environment(),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def ended(process: subprocess.Popen[str], seconds: float = HANGS) -> Outcome:
    """How it ended, by itself."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Outcome(process.returncode, out, err)


def python(folder: Path, *command: object) -> Outcome:
    return ended(spawn(folder, *command))


def until(condition: Callable[[], bool], seconds: float = HANGS) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def one_line(outcome: Outcome) -> str:
    """The line of an error: nothing else was printed, and the status is that of bad input."""
    assert outcome.status == 2, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("chiwawa: error: ")
    assert outcome.err.count("\n") == 1
    assert outcome.err.endswith("\n")
    return outcome.err.removeprefix("chiwawa: error: ").rstrip("\n")


needs_sigusr1 = pytest.mark.skipif(
    not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1"
)
