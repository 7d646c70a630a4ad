"""Traces and monitors by command line: how they are asked for, and what comes out, and where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chiwawa.instrument.monitors.monitors import MONITORS
from chiwawa_runtime import checkpoint
from tests.cli.cli_helpers import (
    HANGS,
    LONG,
    Cli,
    Outcome,
    Programs,
    ended,
    environment,
    one_line,
    programs,
    python,
    spawn,
    until,
)
from tests.path_helpers import PATHS, WATCHED, each_watched_path, next_path

WRITTEN = "chiwawa: checkpoint written to checkpoint.bin\n"

#: Adds 3, 2 and 1 by calls, and writes "hi" where it is told to.
TRACED = r"""
(module $test
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "hi\n")
  (global $g (mut i32) (i32.const 7))
  (func $add (export "plus") (param $a i32) (param $b i32) (result i32)
    (i32.add (local.get $a) (local.get $b)))
  (func $main (export "main") (param $n i32) (result i32) (local $s i32)
    (loop $again
      (local.set $s (call $add (local.get $s) (local.get $n)))
      (i32.store (i32.const 8) (local.get $s))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.load (i32.const 8)))
  (func $say (export "say") (param $fd i32)
    (i32.store (i32.const 0) (i32.const 100))
    (i32.store (i32.const 4) (i32.const 3))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 12))))
  (func (export "talk")
    (call $say (i32.const 2)) (call $say (i32.const 1)) (call $say (i32.const 2)))
  (func (export "_start") (drop (call $main (i32.const 3))) (call $say (i32.const 1)))
  (func $fail (export "fail") (param i32) (result i32)
    (i32.div_u (call $main (local.get 0)) (i32.const 0))))
"""
#: ``--trace-events store call --trace-resource pc locals`` of _start.
STORES_AND_CALLS = """\
[PC:5+0003 | Instr:call $main | Locals:[]]
[PC:2+0009 | Instr:call $add | Locals:[I32(3), I32(0)]]
[PC:2+0011 | Instr:i32.store | Locals:[I32(3), I32(3)]]
[PC:2+0009 | Instr:call $add | Locals:[I32(2), I32(3)]]
[PC:2+0011 | Instr:i32.store | Locals:[I32(2), I32(5)]]
[PC:2+0009 | Instr:call $add | Locals:[I32(1), I32(5)]]
[PC:2+0011 | Instr:i32.store | Locals:[I32(1), I32(6)]]
[PC:5+0008 | Instr:call $say | Locals:[]]
[PC:3+0006 | Instr:i32.store | Locals:[I32(1)]]
[PC:3+000d | Instr:i32.store | Locals:[I32(1)]]
[PC:3+0018 | Instr:call $write | Locals:[I32(1)]]
"""
ADDED = [
    {"func": 1, "offset": 5, "instr": "i32.add", "stack": [f"I32({a})", f"I32({b})"]}
    for a, b in ((0, 3), (3, 2), (5, 1))
]


@pytest.fixture(scope="session")
def test(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return programs(tmp_path_factory.mktemp("test"), "test", TRACED)


def same(outcome: Outcome, out: str, err: str, status: int = 0) -> None:
    assert (outcome.status, outcome.out, outcome.err) == (status, out, err)


# Traces.


SELECTION = ("--trace-events", "store", "call", "--trace-resource", "pc", "locals")


@each_watched_path
@pytest.mark.parametrize("kind", ["wasm", "wat", "py"])
def test_a_selection_is_traced_before_it_executes(
    cli: Cli, test: Programs, kind: str, path: str
) -> None:
    outcome = cli("run", getattr(test, kind), "--path", path, "--trace", *SELECTION)
    same(outcome, "hi\n", STORES_AND_CALLS)


def test_the_command_line_of_the_documentation_in_a_process(test: Programs, tmp_path: Path) -> None:
    outcome = python(
        test.wasm.parent,
        *("-m", "chiwawa", "run", "test.wasm", "--trace"),
        *("--trace-events", "store", "call", "--trace-resource", "pc", "locals"),
    )
    same(outcome, "hi\n", STORES_AND_CALLS)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "FILE", "--trace", "--trace-events", "store,call", "--trace-resource=pc,locals"),
        ("run", "--trace", *SELECTION, "FILE"),
        ("run", *SELECTION, "--trace", "FILE"),
        ("--trace", *SELECTION, "FILE"),
        ("FILE", *SELECTION),
        ("FILE", *SELECTION, "--"),
        ("FILE", "--trace-events", "store", "--trace-events", "call,", "--trace-resource",
         "pc", "locals,pc", "--trace"),
    ],
)  # fmt: skip
def test_a_selection_can_be_written_in_many_ways(
    cli: Cli, test: Programs, arguments: tuple[str, ...]
) -> None:
    words = [test.wasm if word == "FILE" else word for word in arguments]
    same(cli(*words), "hi\n", STORES_AND_CALLS)


@each_watched_path
@pytest.mark.parametrize("function", ["add", "1", "plus", "pl*", "[ab]d?", "add,plus", "add 1"])
def test_functions_go_by_name_index_export_and_pattern(
    cli: Cli, test: Programs, path: str, function: str
) -> None:
    outcome = cli(
        *("run", test.wasm, "--path", path, "--trace-func", *function.split(" ")),
        *("--trace-events", "arithmetic", "--trace-resource", "pc", "stack"),
        *("--trace-format", "jsonl"),
    )
    assert (outcome.status, outcome.out) == (0, "hi\n")
    assert [json.loads(line) for line in outcome.err.splitlines()] == ADDED


@each_watched_path
def test_json_lines_have_the_keys_that_were_asked_for(cli: Cli, test: Programs, path: str) -> None:
    every = ("pc", "stack", "locals", "globals", "memory")
    options = ("--path", path, "--trace-format", "jsonl", "--trace")
    keys: set[tuple[str, ...]] = set()
    outcome = cli("run", test.wasm, *options, "--trace-resource", *every)
    for line in outcome.err.splitlines():
        keys.add(tuple(json.loads(line)))
    whole = ("func", "offset", "instr", "stack", "locals", "globals")
    assert keys == {whole, (*whole, "memory")}
    default = cli("run", test.wasm, *options)
    assert {tuple(json.loads(line)) for line in default.err.splitlines()} == {whole}
    assert len(default.err.splitlines()) == len(outcome.err.splitlines())


@each_watched_path
def test_a_trace_in_a_file_leaves_both_streams_alone(
    cli: Cli, test: Programs, tmp_path: Path, path: str
) -> None:
    (tmp_path / "trace").write_text("what was there before, and is longer than the trace" * 100)
    options = ("--path", path, *SELECTION, "--trace-output", "trace")
    same(cli(test.wasm, *options), "hi\n", "")
    assert (tmp_path / "trace").read_text() == STORES_AND_CALLS


@each_watched_path
def test_all_that_came_before_a_call_of_the_host_is_written_before_the_host_writes(
    test: Programs, tmp_path: Path, path: str
) -> None:
    command = [sys.executable, "-m", "chiwawa", str(test.wasm), "--path", path, "--invoke", "talk"]
    options = ["--trace-events", "call", "--trace-resource", "pc"]
    done = subprocess.run(
        [*command, *options],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=HANGS,
        check=True,
    )
    calls = [f"[PC:4+{offset:04x} | Instr:call $say]\n" for offset in (3, 7, 11)]
    # The call itself may have to be taken back until it has happened.
    write = "hi\n[PC:3+0018 | Instr:call $write]\n"
    assert done.stdout == "".join(call + write for call in calls)


@each_watched_path
def test_a_trace_ends_with_what_trapped(cli: Cli, test: Programs, path: str) -> None:
    call = ("--invoke", "fail", "--params", "I32(1)")
    outcome = cli(test.wasm, "--path", path, *call, "--trace-func", "fail")
    lines = outcome.err.splitlines()
    assert lines[3].startswith("[PC:6+0007 | Instr:i32.div_u | Stack:[I32(1), I32(0)]")
    assert lines[4] == "trap: integer divide by zero"
    assert outcome.status == 134


@each_watched_path
def test_a_trace_goes_on_after_a_checkpoint(
    cli: Cli, test: Programs, tmp_path: Path, path: str
) -> None:
    other = next_path(path, WATCHED)
    for number in range(1, 7):
        first = cli(test.wasm, "--path", path, *SELECTION, "--cr-at", number)
        assert WRITTEN in first.err
        second = cli(test.py, "--path", other, "--restore", "checkpoint.bin", *SELECTION)
        assert first.err.replace(WRITTEN, "") + second.err == STORES_AND_CALLS
        assert first.out + second.out == "hi\n"


# Monitors.


def found(cli: Cli, *arguments: object, status: int = 0, monitors: str = "all") -> dict[str, Any]:
    """The document of a run."""
    options = ("--monitor", monitors, "--json", "--monitor-output", "run.json")
    outcome = cli(*arguments, *options)
    assert outcome.status == status, outcome
    document = json.loads(Path("run.json").read_text())
    os.unlink("run.json")
    assert isinstance(document, dict)
    return document


def icount(document: dict[str, Any]) -> int:
    columns = document["monitors"]["icount"]["columns"]
    at = columns.index("instructions")
    # The first row is of all functions.
    total, *each = [row[at] for row in document["monitors"]["icount"]["rows"]]
    assert total == sum(each)
    assert isinstance(total, int)
    return total


CALLS = [
    ((), 0),
    (("--invoke", "main", "--params", "I32(9)"), 0),
    (("--invoke", "fail", "--params", "I32(5)"), 134),
]


@pytest.mark.parametrize(("call", "status"), CALLS)
def test_all_ways_to_run_find_the_same(
    cli: Cli, test: Programs, call: tuple[str, ...], status: int
) -> None:
    whole = found(cli, test.wasm, *call, status=status)
    assert list(whole["monitors"]) == list(MONITORS)
    assert whole["gaps"] == 0
    assert icount(whole)
    for file in (test.wat, test.wasm, test.py):
        for path in PATHS:
            again = found(cli, "run", file, "--path", path, *call, status=status)
            assert again == whole


def test_a_program_that_asks_to_end_is_counted_to_there(cli: Cli, echo: Programs) -> None:
    whole = found(cli, echo.wasm, status=1)
    assert found(cli, echo.py, status=1) == whole
    names = {row[0] for row in whole["monitors"]["opcodes"]["rows"]}
    assert "i32.load8_u" in names


@pytest.mark.parametrize(
    "options",
    [
        ("--monitor", "icount,calls"),
        ("--monitor", "icount", "calls"),
        ("--monitor", "icount", "--monitor", "calls"),
        ("--monitor=icount,calls", "--monitor", "icount"),
    ],
)
def test_several_monitors_can_be_named_in_many_ways(
    cli: Cli, test: Programs, options: tuple[str, ...]
) -> None:
    plain = cli(test.wasm, "--monitor", "icount,calls")
    assert plain.err.startswith("icount: ")
    assert "\ncalls: " in plain.err
    same(cli(*options, test.wasm), "hi\n", plain.err)
    same(cli("run", test.py, *options), "hi\n", plain.err)


@pytest.mark.parametrize("form", [(), ("--csv",), ("--json",)])
def test_tables_are_on_stderr_or_in_a_file(
    cli: Cli, test: Programs, tmp_path: Path, form: tuple[str, ...]
) -> None:
    shown = cli(test.wasm, "--monitor", "all", *form)
    assert shown.out == "hi\n"
    same(cli(test.wasm, "--monitor", "all", *form, "--monitor-output", "tables"), "hi\n", "")
    assert (tmp_path / "tables").read_text() == shown.err
    if form == ("--json",):
        assert json.loads(shown.err)["chiwawa"] == "run"
    elif form:
        assert shown.err.startswith("monitor,")
    assert os.listdir(tmp_path) == ["tables"]


@each_watched_path
def test_stats_and_profiles_need_no_monitor(
    cli: Cli, test: Programs, tmp_path: Path, path: str
) -> None:
    outcome = cli(
        *(test.wasm, "--path", path, "--stats"),
        *("--collapsed", "stacks", "--speedscope", "scope.json"),
    )
    total = icount(found(cli, test.wasm))
    assert str(total) in outcome.err.splitlines()[0].replace(",", "")
    stacks = dict(line.rsplit(" ", 1) for line in Path("stacks").read_text().splitlines())
    assert sum(map(int, stacks.values())) == total
    assert stacks["_start;main;add"] == "9"
    scope = json.loads(Path("scope.json").read_text())
    assert scope["profiles"][0]["endValue"] == total


@each_watched_path
def test_an_interrupt_leaves_what_was_counted(program: Programs, tmp_path: Path, path: str) -> None:
    options = ("--path", path, "--monitor", "icount,profile", "--json", "--monitor-output", "run")
    process = spawn(
        *(tmp_path, "-m", "chiwawa", "run", program.wasm, *LONG, *options),
        *("--cr-every", ".1", "--collapsed", "stacks", "--trace-func", "nothing"),
    )
    until((tmp_path / "checkpoint.bin").exists)
    process.send_signal(signal.SIGINT)
    outcome = ended(process)
    assert (outcome.status, outcome.out) == (130, "")
    assert set(outcome.err.splitlines(keepends=True)) <= {WRITTEN}
    document = json.loads((tmp_path / "run").read_text())
    assert icount(document) > 0
    assert sum(row[3] for row in document["monitors"]["profile"]["tree"]) == icount(document)
    assert (tmp_path / "stacks").read_text() == f"forever {icount(document)}\n"


# Over several machines.


@each_watched_path
@pytest.mark.parametrize("number", [1, 2, 5, 6])
def test_totals_on_the_other_path_are_those_of_one_run(
    cli: Cli, test: Programs, path: str, number: int
) -> None:
    other = next_path(path, WATCHED)
    whole = found(cli, test.wasm)
    stopped = found(cli, "run", test.wasm, "--path", path, "--cr-at", number)
    assert icount(stopped) < icount(whole)
    restored = ("--path", other, "--restore", "checkpoint.bin")
    assert found(cli, "run", test.py, *restored) == whole
    # Both paths write the same.
    written = Path("checkpoint.bin").read_bytes()
    found(cli, "run", test.py, "--path", other, "--cr-at", number)
    assert Path("checkpoint.bin").read_bytes() == written


def test_counts_travel_unread_where_nobody_asks_for_them(
    cli: Cli, test: Programs, tmp_path: Path
) -> None:
    found(cli, test.wasm, "--cr-at", 2)
    before = checkpoint.decode((tmp_path / "checkpoint.bin").read_bytes())
    # A leg without a module's source, one of each path of the toolchain.
    legs: list[tuple[object, ...]] = [(test.py,), ("-m", "chiwawa", test.wasm)]
    for number, leg in enumerate(legs, 3):
        outcome = python(tmp_path, *leg, "--restore", "checkpoint.bin", "--cr-at", number)
        assert outcome.err == WRITTEN
        after = checkpoint.decode((tmp_path / "checkpoint.bin").read_bytes())
        assert after.safepoints == number
    document = found(cli, test.wasm, "--restore", "checkpoint.bin")
    # What those legs did was counted by nobody, and this is said.
    assert document["gaps"] >= 1
    assert icount(document) < icount(found(cli, test.wasm))
    shown = cli(test.wasm, "--restore", "checkpoint.bin", "--monitor", "icount")
    assert "uncounted" in shown.err
    assert before.safepoints == 2


def test_a_run_that_was_not_counted_from_its_start_says_so(cli: Cli, test: Programs) -> None:
    cli(test.wasm, "--cr-at", 3)
    for path in PATHS:
        document = found(cli, "run", test.py, "--path", path, "--restore", "checkpoint.bin")
        assert document["gaps"] == 1
        assert "uncounted" in document["monitors"]["icount"]["note"]
    # And so does one that counted something else.
    found(cli, test.wasm, "--cr-at", 3, monitors="branches")
    assert found(cli, test.wasm, "--restore", "checkpoint.bin")["gaps"] == 1
    assert found(cli, test.wasm, "--restore", "checkpoint.bin", monitors="branches")["gaps"] == 0


def test_a_damaged_section_is_one_line_and_only_where_it_is_wanted(
    cli: Cli, test: Programs, tmp_path: Path
) -> None:
    import dataclasses

    found(cli, test.wasm, "--cr-at", 3)
    snapshot = checkpoint.decode((tmp_path / "checkpoint.bin").read_bytes())
    damaged = dataclasses.replace(snapshot, monitors=b"\0\x01\x1f\xff\xff\xff\xff\x0f")
    (tmp_path / "bad").write_bytes(checkpoint.encode(damaged))
    for file in (test.wasm, test.py):
        options = ("--monitor", "icount", "--trace-output", "trace", "--collapsed", "stacks")
        message = one_line(cli("run", file, "--restore", "bad", *options))
        assert message.startswith("the monitors' counts in the checkpoint: ")
        assert sorted(os.listdir(tmp_path)) == ["bad", "checkpoint.bin"]
        assert cli(file, "--restore", "bad").out == "hi\n"


# What cannot be.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--monitor", "icuont"), "unknown monitor 'icuont': there are all, "),
        (("--monitor", ","), "--monitor names nothing"),
        (("--monitor",), "--monitor names nothing"),
        (("--trace-events", "stores"), "unknown trace event 'stores': there are all, "),
        (("--trace-resource", "pc", "stak"), "unknown trace resource 'stak': there are pc, "),
        (("--trace-events",), "--trace-events names nothing"),
        (("--trace-func", "nobody"), "--trace-func: no function 'nobody' is defined"),
        (("--trace-func", "write"), "--trace-func: no function 'write' is defined"),
        (("--trace-func", "0"), "--trace-func: no function '0' is defined"),
        (("--trace-func", "x\ny"), "--trace-func: no function 'x\\ny' is defined"),
        (("--trace-format", "xml"), "argument --trace-format: invalid choice: 'xml'"),
        (("--trace-format", "jsonl"), "--trace-format needs --trace"),
        (("--json",), "need --monitor"),
        (("--csv", "--stats"), "need --monitor"),
        (("--monitor-output", "x"), "need --monitor"),
        (("--json", "--csv", "--monitor", "all"), "not allowed with argument"),
        (("--monitor", "all", "--monitor-output", "no/x"), "there is no directory"),
        (("--monitor", "all", "--monitor-output", "."), "it is a directory"),
        (("--collapsed", "no/x"), "--collapsed no/x: there is no directory"),
        (("--speedscope", "no/x"), "--speedscope no/x: there is no directory"),
        (("--trace-output", "no/x"), "--trace-output no/x: there is no directory"),
        (("--trace-output", "."), "--trace-output .: it is a directory"),
        (("--collapsed", "x", "--speedscope", "./x"), "--collapsed writes there"),
        (("--trace-output", "x", "--collapsed", "x"), "--trace-output writes there"),
        (("--trace", "--invoke", "nobody", "--trace-output", "x"), "no exported function"),
        (("--monitor", "all", "--monitor-output", "x", "--params", "I32(1)"), "needs --invoke"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_leaves_nothing(
    cli: Cli, test: Programs, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    for file in (test.wasm, test.py):
        assert message in one_line(cli("run", file, *options))
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@each_watched_path
@pytest.mark.parametrize(
    "options",
    [
        ("--trace-output", "/dev/full"),
        ("--monitor", "icount", "--monitor-output", "/dev/full"),
        ("--collapsed", "/dev/full"),
        ("--speedscope", "/dev/full"),
    ],
)
def test_a_full_disk_is_one_line(
    cli: Cli, test: Programs, path: str, options: tuple[str, ...]
) -> None:
    outcome = cli("run", test.wasm, "--path", path, *options)
    assert outcome.status == 2
    assert outcome.err == "chiwawa: error: /dev/full: No space left on device\n"
    # A trap is said all the same.
    failing = ("--invoke", "fail", "--params", "I32(5)")
    outcome = cli("run", test.wasm, "--path", path, *failing, *options)
    assert outcome.status == 134
    first, second, *_ = outcome.err.splitlines()
    assert first == "chiwawa: error: /dev/full: No space left on device"
    assert second == "trap: integer divide by zero"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_one_file_that_fails_takes_no_other_with_it(
    cli: Cli, test: Programs, tmp_path: Path
) -> None:
    outcome = cli(
        *("run", test.wasm, "--monitor", "icount", "--monitor-output", "/dev/full"),
        *("--trace-output", "/dev/full", "--speedscope", "/dev/full", "--collapsed", "stacks"),
    )
    line = "chiwawa: error: /dev/full: No space left on device\n"
    assert (outcome.status, set(outcome.err.splitlines(keepends=True))) == (2, {line})
    assert "main;add 9" in (tmp_path / "stacks").read_text()


def test_a_long_trace_on_a_full_disk_stops_the_program(cli: Cli, program: Programs) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    for path in WATCHED:
        outcome = cli("run", program.wasm, "--path", path, *LONG, "--trace-output", "/dev/full")
        assert one_line(outcome) == "/dev/full: No space left on device"


def test_a_reader_that_leaves_early_ends_the_program(program: Programs, tmp_path: Path) -> None:
    process = spawn(tmp_path, "-m", "chiwawa", program.wasm, "--trace", *LONG)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("[PC:9+")
    process.stderr.close()
    assert process.wait(HANGS) in (141, 120)
    process.stdout.close()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "options",
    [("--trace",), ("--monitor", "all"), ("--stats",), ("--collapsed", "x"), ("--trace-func", "f")],
)
def test_a_generated_file_alone_says_what_takes_the_toolchain(
    test: Programs, tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert "chiwawa run FILE" in one_line(python(tmp_path, test.py, *options))
    assert os.listdir(tmp_path) == []


# What the help says.


def test_the_help_names_all_that_there_is(cli: Cli) -> None:
    text = " ".join(cli("run", "--help").out.split())
    listed = text.partition("count: ")[2].partition(", or all")[0].split(", ")
    assert listed == list(MONITORS)
    assert "pc, stack, locals, globals, memory (default: all but memory)" in text


def test_the_help_of_an_event_or_resource_is_true(cli: Cli, test: Programs) -> None:
    every = cli(test.wasm, "--trace").err
    same(cli(test.wasm, "--trace-events", "all"), "hi\n", every)
    named = ("--trace-resource", "pc", "stack", "locals", "globals")
    same(cli(test.wasm, *named), "hi\n", every)
    for event in ("all", "store", "load", "call", "branch"):
        assert cli(test.wasm, "--trace-events", event).err


# Names that a module has.


@each_watched_path
def test_a_name_breaks_no_line_of_a_backtrace_or_an_error(
    cli: Cli, tmp_path: Path, path: str
) -> None:
    (tmp_path / "bad.wat").write_text(
        r"""(module (func $"bad\nname\t\1b[31m" (export "run\nning") unreachable))"""
    )
    outcome = cli("run", "bad.wat", "--path", path, "--invoke", "run\nning", "--trace")
    line, trap, place = outcome.err.splitlines()
    assert line.startswith("[PC:0+0001 | Instr:unreachable")
    assert trap == "trap: unreachable"
    assert place == r'  at $"bad\nname\t\1b[31m" (function 0, code offset 0x1)'
    message = one_line(cli("run", "bad.wat", "--path", path))
    assert message.endswith(r"the module exports run\nning")
    # A place in a source still has lines of its own.
    (tmp_path / "wrong.wat").write_text("(module\n\t(func nope))")
    outcome = cli("run", "wrong.wat", "--monitor", "all")
    assert outcome.status == 2
    assert [line.strip() for line in outcome.err.splitlines()][1:] == ["(func nope))", "^"]


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no pseudo-terminals")
def test_tables_fit_the_terminal(tmp_path: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    name = "long_" * 20
    (tmp_path / "long.wat").write_text(f'(module (func ${name} (export "_start") (nop)))')
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 72, 0, 0))
    command = [sys.executable, "-m", "chiwawa", "run", "long.wat", "--monitor", "coverage"]
    subprocess.run(command, cwd=tmp_path, env=environment(), stderr=slave, check=True, timeout=60)
    os.close(slave)
    _, head, row, total = os.read(master, 4096).decode().splitlines()
    os.close(master)
    assert max(map(len, (head, row, total))) == 72
    assert row.endswith("100.00")
    written = [*command, "--monitor-output", "out.txt"]
    subprocess.run(written, cwd=tmp_path, env=environment(), check=True, timeout=60)
    assert len((tmp_path / "out.txt").read_text().splitlines()[1]) > 72
