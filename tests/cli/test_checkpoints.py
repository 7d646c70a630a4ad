"""Checkpoints by command line: how they are asked for, and going on from them."""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
from dataclasses import replace
from pathlib import Path

import pytest

import chiwawa
from chiwawa_runtime import checkpoint
from tests.cli.cli_helpers import (
    LONG,
    UNTIL_TOLD,
    Cli,
    Outcome,
    Programs,
    ended,
    needs_sigusr1,
    one_line,
    programs,
    python,
    spawn,
    until,
)
from tests.path_helpers import PATHS, each_path, next_path, stopping_at

WRITTEN = "chiwawa: checkpoint written to checkpoint.bin\n"
FOUND = "chiwawa: found checkpoint.trigger, from before the program began\n"
SHORT = ("--invoke", "sum", "--params", "I32(100000)")
SHORT_RESULT = "I64(5000050000)\n"

#: Waits for a byte on the standard input, and returns it.
READER = """
(module $reader
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory 1)
  (func (export "read") (result i32)
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.load8_u (i32.const 64))))
"""

#: Removes the directory "folder", then passes some safepoints.
REMOVER = """
(module
  (import "wasi_snapshot_preview1" "path_remove_directory"
    (func $remove (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "folder")
  (func $pass (loop))
  (func (export "remove") (result i32)
    (drop (call $remove (i32.const 3) (i32.const 0) (i32.const 6)))
    (call $pass)
    (i32.const 7)))
"""


@each_path
def test_a_trigger_file_stops_a_program_and_is_removed(
    program: Programs, tmp_path: Path, path: str
) -> None:
    process = spawn(
        tmp_path, "-m", "chiwawa", program.for_path(path), *LONG, "--cr", "--cr-every=.1"
    )
    file, trigger = tmp_path / "checkpoint.bin", tmp_path / "checkpoint.trigger"
    # That it writes by the clock shows that it runs.
    until(file.exists)
    trigger.touch()
    until(lambda: not trigger.exists())
    outcome = ended(process)
    assert outcome.status == 0
    assert outcome.out == ""
    assert outcome.err.endswith(WRITTEN)
    checkpoint.decode(file.read_bytes())


def test_a_trigger_from_before_the_start_counts(
    cli: Cli, program: Programs, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint.trigger").touch()
    outcome = cli(program.wasm, *SHORT, "--cr")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", FOUND + WRITTEN)
    assert os.listdir(tmp_path) == ["checkpoint.bin"]
    snapshot = checkpoint.decode((tmp_path / "checkpoint.bin").read_bytes())
    # The very first safepoint: the function's entry.
    assert [frame.locals[1][1] for frame in snapshot.frames] == [0]


def test_without_cr_a_trigger_is_left_alone(cli: Cli, program: Programs, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.trigger").touch()
    assert cli(program.wasm, *SHORT).out == SHORT_RESULT
    assert os.listdir(tmp_path) == ["checkpoint.trigger"]


def test_a_trigger_that_cannot_be_removed_stops_once(
    cli: Cli, program: Programs, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint.trigger").mkdir()
    outcome = cli(program.wasm, *SHORT, "--cr", "--cr-keep-running")
    assert outcome.out == SHORT_RESULT
    assert outcome.err.count("watched no longer") == 1
    assert outcome.err.count(WRITTEN) == 1


@needs_sigusr1
@each_path
def test_sigusr1_stops_a_program(program: Programs, tmp_path: Path, path: str) -> None:
    process = (
        spawn(tmp_path, program.py, *LONG, "--cr-every=.1")
        if path == "aot"
        else spawn(tmp_path, "-m", "chiwawa", program.wasm, *LONG, "--cr-every=.1")
    )
    until((tmp_path / "checkpoint.bin").exists)
    process.send_signal(signal.SIGUSR1)
    outcome = ended(process)
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err.endswith(WRITTEN)


@needs_sigusr1
@each_path
def test_a_program_that_waits_for_input_is_stopped_at_once(tmp_path: Path, path: str) -> None:
    made = programs(tmp_path, "reader", READER)
    # So that one sees when it runs: the trigger of before the start is met at the first safepoint.
    (tmp_path / "checkpoint.trigger").touch()
    reader, writer = os.pipe()
    options = ("--invoke", "read", "--cr", "--cr-keep-running")
    process = spawn(tmp_path, "-m", "chiwawa", made.for_path(path), *options, stdin=reader)
    os.close(reader)
    file = tmp_path / "checkpoint.bin"
    until(file.exists)
    file.unlink()
    process.send_signal(signal.SIGUSR1)
    until(file.exists)
    os.write(writer, b"*")
    os.close(writer)
    outcome = ended(process)
    assert (outcome.status, outcome.out) == (0, "I32(42)\n")
    other = made.for_path(next_path(path))
    reader, writer = os.pipe()
    os.write(writer, b"+")
    os.close(writer)
    restored = spawn(tmp_path, "-m", "chiwawa", other, "--restore", file, stdin=reader)
    os.close(reader)
    assert ended(restored).out == "I32(43)\n"


@each_path
def test_an_interrupt_ends_it_quietly(program: Programs, tmp_path: Path, path: str) -> None:
    process = spawn(tmp_path, "-m", "chiwawa", program.for_path(path), *LONG, "--cr-every=.1")
    until((tmp_path / "checkpoint.bin").exists)
    process.send_signal(signal.SIGINT)
    outcome = ended(process)
    assert (outcome.status, outcome.out) == (130, "")
    assert set(outcome.err.splitlines(keepends=True)) <= {WRITTEN}


@pytest.mark.parametrize("granularity", ["safepoint", "instruction"])
@pytest.mark.parametrize("number", [1, 2, 3, 1000])
def test_the_nth_safepoint_is_the_same_on_all_paths(
    cli: Cli, program: Programs, tmp_path: Path, number: int, granularity: str
) -> None:
    paths = stopping_at(granularity)
    for path in paths:
        options = ("--cr-at", number, "--cr-file", path, "--granularity", granularity)
        outcome = cli("run", program.wasm, *SHORT, "--path", path, *options)
        assert (outcome.status, outcome.out) == (0, "")
        assert outcome.err == f"chiwawa: checkpoint written to {path}\n"
    assert len({(tmp_path / path).read_bytes() for path in paths}) == 1
    assert checkpoint.decode((tmp_path / "aot").read_bytes()).safepoints == number
    if number != 1000:
        return
    for path in paths:
        for other in PATHS:
            assert cli(program.for_path(other), "--restore", path).out == SHORT_RESULT
    # A generated file by itself goes on only from its own safepoints.
    alone = python(tmp_path, program.py, "--restore", "aot")
    assert alone.out == SHORT_RESULT or "chiwawa run FILE --restore" in one_line(alone)


def test_a_checkpoint_of_every_instruction_goes_on_at_safepoints(
    cli: Cli, program: Programs, tmp_path: Path
) -> None:
    cli(program.wasm, *SHORT, "--cr-at", 1003, "--granularity", "instruction")
    for file in (program.wat, program.wasm, program.py):
        for path in PATHS:
            outcome = cli(
                *("run", file, "--path", path, "--restore", "checkpoint.bin"),
                *("--granularity", "safepoint"),
            )
            assert (outcome.out, outcome.err) == (SHORT_RESULT, "")


def test_safepoints_are_counted_on_after_a_restore(
    cli: Cli, program: Programs, tmp_path: Path
) -> None:
    cli(program.wasm, *SHORT, "--cr-at", 500, "--cr-file", "whole")
    cli(program.wasm, *SHORT, "--cr-at", 200)
    for file in (program.py, program.wat):
        assert cli(file, "--restore", "checkpoint.bin", "--cr-at", 500, "--cr-file", "part").err
        assert (tmp_path / "part").read_bytes() == (tmp_path / "whole").read_bytes()
    assert "200 safepoints are passed already" in one_line(
        cli(program.wasm, "--restore", "checkpoint.bin", "--cr-at", 200)
    )
    (tmp_path / "checkpoint.trigger").touch()
    cli(program.wasm, *SHORT, "--cr")
    assert "were not counted" in one_line(
        cli(program.wasm, "--restore", "checkpoint.bin", "--cr-at", 500)
    )


def test_a_safepoint_never_reached_stops_nothing(
    cli: Cli, program: Programs, tmp_path: Path
) -> None:
    outcome = cli(program.wasm, *SHORT, "--cr-at", 10**9)
    assert (outcome.status, outcome.out, outcome.err) == (
        *(0, SHORT_RESULT),
        "chiwawa: the program has ended after 100000 safepoints: no checkpoint was made\n",
    )
    assert os.listdir(tmp_path) == []


@each_path
def test_a_checkpoint_that_was_never_asked_for_is_said_at_the_end(
    cli: Cli, program: Programs, echo: Programs, path: str
) -> None:
    said = "chiwawa: the program has ended: no checkpoint was made\n"
    file = program.for_path(path)
    assert cli(file, *SHORT, "--cr") == Outcome(0, SHORT_RESULT, said)
    assert cli(echo.for_path(path), "--cr").err == said
    trapped = cli(file, "--invoke", "divide", "--params", "I32(1)", "--cr")
    assert (trapped.status, trapped.out) == (134, "")
    assert trapped.err.startswith(f"{said}trap: integer divide by zero\n")
    cli(file, *SHORT, "--cr-at", 10)
    assert cli(file, "--restore", "checkpoint.bin", "--cr").err == said
    # Where there is one, or none was asked for, there is nothing to say.
    assert cli(file, *SHORT, "--cr-every", 1000).err == ""
    assert cli(file, *SHORT, "--cr-at", 10, "--cr-keep-running").err == WRITTEN


@pytest.mark.parametrize("name", ["c" * 250, "é" * 120])
def test_a_long_name_leaves_room_for_the_temporary_one(
    cli: Cli, program: Programs, tmp_path: Path, name: str
) -> None:
    outcome = cli(program.wasm, *SHORT, "--cr-at", 10, "--cr-file", name)
    assert (outcome.status, outcome.out) == (0, "")
    assert os.listdir(tmp_path) == [name]
    assert cli(program.py, "--restore", name).out == SHORT_RESULT
    for command in (("compile", program.wasm), ("wat2wasm", program.wat)):
        assert cli(*command, "-o", name) == Outcome(0, "", "")
    assert cli(program.wasm, *SHORT, "--monitor", "all", "--monitor-output", name).status == 0


def test_a_name_that_is_too_long_is_found_before_the_program_starts(
    cli: Cli, echo: Programs, tmp_path: Path
) -> None:
    name = "c" * 300
    for option in ("--cr-file", "--monitor-output", "--trace-output", "--collapsed"):
        asked = ("--cr",) if option == "--cr-file" else ("--monitor", "all", "--trace")
        assert "File name too long" in one_line(cli(echo.wasm, *asked, option, name))
    assert "File name too long" in one_line(cli("compile", echo.wasm, "-o", name))
    assert os.listdir(tmp_path) == []


def test_a_program_that_saves_nothing_needs_no_place_for_it(
    cli: Cli, program: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cli(program.wasm, *SHORT) == Outcome(0, SHORT_RESULT, "")
    for options in (["--cr"], ["--cr-at", "5"], ["--cr-every", "5"], ["--cr-file", "other.bin"]):
        assert "cannot be written to" in one_line(cli(program.wasm, *SHORT, *options))


@each_path
def test_keeping_on_running_ends_with_the_result(cli: Cli, program: Programs, path: str) -> None:
    file = program.for_path(path)
    outcome = cli(file, *SHORT, "--cr-at", 100, "--cr-keep-running")
    assert (outcome.status, outcome.out, outcome.err) == (0, SHORT_RESULT, WRITTEN)
    assert cli(file, "--restore", "checkpoint.bin").out == SHORT_RESULT


@each_path
def test_checkpoints_by_the_clock_go_on(tmp_path: Path, path: str) -> None:
    made = programs(tmp_path, "program", UNTIL_TOLD)
    reader, writer = os.pipe()
    options = ("--invoke", "told", "--cr-every", "0.05")
    process = spawn(tmp_path, "-m", "chiwawa", made.for_path(path), *options, stdin=reader)
    os.close(reader)
    file = tmp_path / "checkpoint.bin"
    for _ in range(3):
        until(file.exists)
        data = file.read_bytes()
        file.unlink()
    os.write(writer, b"*")
    os.close(writer)
    outcome = ended(process)
    assert (outcome.status, outcome.out) == (0, "I32(42)\n")
    assert set(outcome.err.splitlines(keepends=True)) == {WRITTEN}
    assert len(outcome.err.splitlines()) >= 3
    file.write_bytes(data)
    reader, writer = os.pipe()
    os.write(writer, b"+")
    os.close(writer)
    other = made.for_path(next_path(path))
    restored = spawn(tmp_path, "-m", "chiwawa", other, "--restore", file, stdin=reader)
    os.close(reader)
    assert ended(restored).out == "I32(43)\n"


def test_a_program_whose_checkpoint_cannot_be_written_goes_on(
    cli: Cli, program: Programs, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "remover.wat").write_text(REMOVER)
    options = ("--dir", ".", "--cr-at", 3, "--cr-file", "folder/c.bin")
    outcome = cli("remover.wat", "--invoke", "remove", *options)
    assert (outcome.status, outcome.out) == (0, "I32(7)\n")
    assert outcome.err == (
        "chiwawa: no checkpoint written, the program goes on: "
        "cannot write folder/c.bin: No such file or directory\n"
        "chiwawa: the program has ended after 3 safepoints: no checkpoint was made\n"
    )


def test_a_place_that_takes_no_checkpoint_is_found_before_the_program_starts(
    cli: Cli, echo: Programs, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    outcome = cli(echo.wasm, "--cr", "--cr-file", "pipe")
    assert one_line(outcome) == "cannot write pipe: not a regular file"


def test_a_wasi_program_goes_on_with_its_arguments(
    cli: Cli, echo: Programs, tmp_path: Path
) -> None:
    for path in PATHS:
        cli(echo.for_path(path), "--cr-at", 5, "--cr-file", path, "--", "a", "b")
    assert len({(tmp_path / path).read_bytes() for path in PATHS}) == 1
    for file in (echo.wat, *map(echo.for_path, PATHS)):
        outcome = cli(file, "--restore", "aot")
        assert (outcome.status, outcome.out, outcome.err) == (3, "echo\na\nb\n", "")


# Files that are refused.


def test_another_programs_checkpoint_is_refused(
    cli: Cli, program: Programs, echo: Programs
) -> None:
    cli(program.wasm, *SHORT, "--cr-at", 10)
    for file in (echo.wasm, echo.py):
        assert "of another module" in one_line(cli(file, "--restore", "checkpoint.bin"))
    assert "of another module" in one_line(cli("inspect", "checkpoint.bin", echo.wasm))


@pytest.mark.parametrize("content", [b"", b"hello", b"\0asm\1\0\0\0", b"(module)"])
def test_a_file_that_is_no_checkpoint_is_refused(
    cli: Cli, program: Programs, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "bad.bin").write_bytes(content)
    assert one_line(cli(program.wasm, "--restore", "bad.bin"))
    assert one_line(cli("inspect", "bad.bin")).startswith("bad.bin: ")


# Host state.


class Payload:
    """Pickled, it is a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


@each_path
def test_host_state_runs_nothing_without_consent_and_travels_on(
    cli: Cli, program: Programs, tmp_path: Path, path: str
) -> None:
    trap = tmp_path / "ran"
    payload = pickle.dumps({"state": Payload(trap)})
    cli(program.wasm, *SHORT, "--cr-at", 100, "--cr-file", "clean")
    snapshot = checkpoint.decode((tmp_path / "clean").read_bytes())
    planted = checkpoint.encode(replace(snapshot, host=payload))
    (tmp_path / "planted").write_bytes(planted)
    file = program.for_path(path)
    assert cli(file, "--restore", "planted").out == SHORT_RESULT
    assert cli("inspect", "planted", program.wasm).status == 0
    # It is carried on, faithfully.
    cli(file, "--restore", "planted", "--cr-at", 200)
    carried = checkpoint.decode((tmp_path / "checkpoint.bin").read_bytes())
    assert carried.host == payload
    assert not trap.exists()
    # With consent it is read: what is not a dict of carried values is refused after it has run.
    outcome = cli(file, "--restore", "planted", "--trust-host-state")
    assert trap.exists()
    assert outcome.out == SHORT_RESULT


def test_carried_state_is_there_with_consent(cli: Cli, program: Programs, tmp_path: Path) -> None:
    module = chiwawa.load(program.wasm)
    run = chiwawa.start(module, "sum", [1000], carry={"notes": [1, {"two": 3}]}, count=10)
    assert not run.go()
    data = run.checkpoint()
    unread = chiwawa.restore(module, data, path="interp")
    assert (unread.carry, unread.instance.host) == ({}, checkpoint.decode(data).host)
    trusted = chiwawa.restore(module, data, path="interp", trust_host_state=True)
    assert trusted.carry == {"notes": [1, {"two": 3}]}
    assert hashlib.sha256(trusted.checkpoint()).digest() == hashlib.sha256(data).digest()


GROWING = """
(module (memory 1)
  (func (export "f") (local i32)
    (drop (memory.grow (i32.const 31)))
    (loop
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get 0) (i32.const 3))))))
"""


@each_path
def test_max_memory_is_what_a_restore_may_build(cli: Cli, tmp_path: Path, path: str) -> None:
    (tmp_path / "growing.wat").write_text(GROWING)
    assert cli("run", "growing.wat", "--invoke", "f", "--path", path, "--cr-at", 3).status == 0
    restore = ("run", "growing.wat", "--path", path, "--restore", "checkpoint.bin")
    for size in ("2M", "2097152", "2048KiB", "1g"):
        assert cli(*restore, "--max-memory", size).status == 0
    assert cli(*restore).status == 0
    refusal = one_line(cli(*restore, "--max-memory", "2047K"))
    assert "its memories take 2097152 bytes, more than the 2096128 allowed" in refusal
    assert "--max-memory 2097152" in refusal
    for wrong in ("much", "-1", "1.5G", "", "2MM"):
        assert "--max-memory" in one_line(cli(*restore, f"--max-memory={wrong}"))
