"""Sessions with the debugger, from scripts of commands."""

from __future__ import annotations

from pathlib import Path

import pytest

import chiwawa
from chiwawa.instrument import Instruments
from chiwawa_runtime.checkpoint import decode
from tests.debug.debug_helpers import Debug
from tests.nodiff.moving_state_helpers import MovingState, use_other_state
from tests.path_helpers import PATHS, each_path

FILL = ("--invoke", "fill", "--params", "I32(3)")
FIB = ("--invoke", "fib", "--params", "I32(10)")


@each_path
def test_stepping_goes_into_calls_and_next_past_them(debug: Debug, demo: Path, path: str) -> None:
    script = "step 5\nstep\nbacktrace\nback\nnext\np\n\n"
    outcome = debug(script, demo, *FILL, "--path", path)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.lines == [
        "1: $fill (function 1) at 0x0001: loop",
        "6: $fill (function 1) at 0x000a: call $store",
        "7: $store (function 0) at 0x0001: local.get $at",
        "-> #0  $store (function 0) at 0x0001: local.get $at",
        "   #1  $fill (function 1) at 0x000a: call $store",
        "6: $fill (function 1) at 0x000a: call $store",
        "14: $fill (function 1) at 0x000c: local.get $n",
        "stack   empty",
        "locals  $n=I32(3)",
    ]


def test_an_empty_line_steps_again_but_prints_nothing_again(debug: Debug, demo: Path) -> None:
    assert debug("s 2\n\n\n", demo, *FILL).lines[1:] == [
        "3: $fill (function 1) at 0x0005: i32.const 4",
        "5: $fill (function 1) at 0x0008: local.get $n",
        "7: $store (function 0) at 0x0001: local.get $at",
    ]
    assert debug("p l0\n\nb 1\n\n", demo, *FILL).lines[1:] == [
        "I32(3)",
        "breakpoint 1: $fill (function 1) at 0x0001: loop",
    ]


@each_path
def test_a_breakpoint_stops_each_time_and_a_temporary_one_once(
    debug: Debug, demo: Path, path: str
) -> None:
    script = "b $store+0x0d\ntb store\nc\nc\nc\nbreak\nc\ndelete 1\nc\nbreak\n"
    outcome = debug(script, demo, *FILL, "--path", path)
    stop = "$store (function 0) at 0x000d: global.set $total"
    assert outcome.lines == [
        "1: $fill (function 1) at 0x0001: loop",
        f"breakpoint 1: {stop}",
        "breakpoint 2: $store (function 0) at 0x0001: local.get $at",
        "breakpoint 2",
        "7: $store (function 0) at 0x0001: local.get $at",
        "breakpoint 1",
        f"13: {stop}",
        "breakpoint 1",
        f"32: {stop}",
        f"breakpoint 1: {stop}",
        "breakpoint 1",
        f"51: {stop}",
        "the program has ended: I32(3)",
        "there are no breakpoints",
    ]


def test_a_breakpoint_that_is_set_again_stops_at_once(debug: Debug, demo: Path) -> None:
    script = "tb store+0xd\nc\ntb store\nc\ntb store+0xd\nc\n"
    counts = [line.split(":")[0] for line in debug(script, demo, *FILL).lines if "global" in line]
    assert counts == ["breakpoint 1", "13", "breakpoint 3", "32"]


@each_path
def test_finish_of_a_recursive_call_waits_for_its_own_frame(
    debug: Debug, demo: Path, path: str
) -> None:
    script = "b fib\nc\nc\nd 1\nbt\nframe 1\nfinish\nbt\np\nfinish\n"
    outcome = debug(script, demo, *FIB, "--path", path)
    assert outcome.lines[-9:] == [
        "-> #0  $fib (function 2) at 0x0001: local.get $n",
        "   #1  $fib (function 2) at 0x0010: call $fib",
        "   #2  $fib (function 2) at 0x0010: call $fib",
        "-> #1  $fib (function 2) at 0x0010: call $fib",
        "986: $fib (function 2) at 0x0012: local.get $n",
        "-> #0  $fib (function 2) at 0x0012: local.get $n",
        "stack   I32(34)",
        "locals  $n=I32(10)",
        "the program has ended: I32(55)",
    ]


def test_finish_goes_on_where_a_call_that_comes_last_returns_to(debug: Debug, demo: Path) -> None:
    outcome = debug("b fib\nc\nd 1\nfinish\np stack\n", demo, "--invoke", "tail")
    assert outcome.lines[-2:] == [
        "49: $tail (function 4) at 0x0007: i32.add",
        "stack   I32(40) I32(2)",
    ]


@each_path
def test_back_over_a_write_the_old_byte_is_there_again(debug: Debug, demo: Path, path: str) -> None:
    script = "goto 9\nx 12 4\ns\nx 12 4\nback\nx 12 4\np stack\nback 100\nback\nx 12 4\n"
    assert debug(script, demo, *FILL, "--path", path).lines[1:] == [
        "9: $store (function 0) at 0x0005: i32.store",
        "0x0000000c  00 00 00 00                                      ....",
        "10: $store (function 0) at 0x0008: global.get $total",
        "0x0000000c  03 00 00 00                                      ....",
        "9: $store (function 0) at 0x0005: i32.store",
        "0x0000000c  00 00 00 00                                      ....",
        "stack   I32(12) I32(3)",
        "this is the beginning",
        "1: $fill (function 1) at 0x0001: loop",
        "this is the beginning",
        "1: $fill (function 1) at 0x0001: loop",
        "0x0000000c  00 00 00 00                                      ....",
    ]


@each_path
def test_every_boundary_is_the_same_backwards(debug: Debug, demo: Path, path: str) -> None:
    forwards = debug("p\np globals\ns\n" * 58, demo, *FILL, "--path", path).lines
    seen = [forwards[i : i + 4] for i in range(0, 4 * 58, 4)]
    backwards = debug("c\n" + "back\np\np globals\n" * 58, demo, *FILL, "--path", path).lines[2:]
    assert [backwards[i : i + 4] for i in range(0, 4 * 58, 4)] == seen[::-1]


@each_path
def test_watches_stop_after_a_change(debug: Debug, demo: Path, path: str) -> None:
    script = "watch 8\nwatch $total\nwatch $n\nc\nc\nc\nd 2\nc\nd 3\nc\n"
    assert debug(script, demo, *FILL, "--path", path).lines[1:] == [
        "watch 1: 0x00000008 +4",
        "watch 2: $total",
        "watch 3: $n of $fill (function 1)",
        "watch 2: $total: I32(0) -> I32(1)",
        "14: $fill (function 1) at 0x000c: local.get $n",
        "watch 3: $n of $fill (function 1): I32(3) -> I32(2)",
        "18: $fill (function 1) at 0x0013: local.get $n",
        "watch 1: 0x00000008 +4: 00 00 00 00 -> 02 00 00 00",
        "29: $store (function 0) at 0x0008: global.get $total",
        "watch 3: $n of $fill (function 1): I32(2) -> I32(1)",
        "37: $fill (function 1) at 0x0013: local.get $n",
        "the program has ended: I32(3)",
    ]


def test_a_watch_of_a_local_ends_with_its_frame(debug: Debug, demo: Path) -> None:
    script = "b store\nc\nwatch $at\nd 1\nc\nbreak\n"
    assert debug(script, demo, *FILL).lines[4:] == [
        "watch 2: $at of $store (function 0)",
        "watch 2: $at of $store (function 0) is gone, and so is the watch",
        "14: $fill (function 1) at 0x000c: local.get $n",
        "there are no breakpoints",
    ]


@each_path
def test_going_on_backwards_finds_what_came_last(debug: Debug, demo: Path, path: str) -> None:
    script = "c\nb store\nwatch 8\nrc\nrc\nrc\nrc\nrc\nc\n"
    assert debug(script, demo, *FILL, "--path", path).lines[4:] == [
        "breakpoint 1",
        "45: $store (function 0) at 0x0001: local.get $at",
        "watch 2: 0x00000008 +4: 00 00 00 00 -> 02 00 00 00",
        "29: $store (function 0) at 0x0008: global.get $total",
        "breakpoint 1",
        "26: $store (function 0) at 0x0001: local.get $at",
        "breakpoint 1",
        "7: $store (function 0) at 0x0001: local.get $at",
        "this is the beginning",
        "1: $fill (function 1) at 0x0001: loop",
        "breakpoint 1",
        "7: $store (function 0) at 0x0001: local.get $at",
    ]


@each_path
def test_a_trap_leaves_the_program_before_its_instruction(
    debug: Debug, demo: Path, path: str
) -> None:
    script = "c\np\nback 4\nx 3 1\nc\nbreak\nrun\n"
    assert debug(script, demo, "--invoke", "divide", "--path", path).lines[1:] == [
        "trap: integer divide by zero",
        "7: $divide (function 7) at 0x0010: i32.div_u",
        "stack   I32(1) I32(0)",
        "locals  none",
        "3: $divide (function 7) at 0x0005: i32.store8",
        "0x00000003  00                                               .",
        "trap: integer divide by zero",
        "7: $divide (function 7) at 0x0010: i32.div_u",
        "there are no breakpoints",
        "1: $divide (function 7) at 0x0001: i32.const 3",
    ]


@each_path
def test_a_checkpoint_is_one_that_run_restores(
    debug: Debug, demo: Path, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    script = "goto 29\ncheckpoint here.bin\nc\nrestore here.bin\nx 8 4\nback\np $n\nc\n"
    assert debug(script, demo, *FILL, "--path", path).lines[1:] == [
        "29: $store (function 0) at 0x0008: global.get $total",
        "checkpoint written to here.bin",
        "the program has ended: I32(3)",
        "29: $store (function 0) at 0x0008: global.get $total",
        "0x00000008  02 00 00 00                                      ....",
        "this is the beginning",
        "29: $store (function 0) at 0x0008: global.get $total",
        "error: there is no local or global $n here",
        "the program has ended: I32(3)",
    ]
    module = chiwawa.load(demo)
    for other in PATHS:
        run = chiwawa.restore(module, Path("here.bin").read_bytes(), path=other)
        assert run.go()
        assert run.results == [3]
    outcome = debug("c\n", demo, "--restore", "here.bin", "--path", path)
    assert outcome.lines[0].startswith("29: $store")


@each_path
def test_a_checkpoint_of_a_run_is_debugged_from_there(debug: Debug, demo: Path, path: str) -> None:
    module = chiwawa.load(demo)
    run = chiwawa.start(module, "fill", [3], path="aot", count=3)
    assert not run.go()
    Path("run.bin").write_bytes(run.checkpoint())
    script = "i\ns 2\nback\nback\nback\ncheckpoint again.bin\nc\n"
    outcome = debug(script, demo, "--restore", "run.bin", "--path", path)
    assert outcome.lines[0] == "1: $fill (function 1) at 0x0001: loop"
    assert outcome.lines[2] == "the boundaries before the first were not counted"
    assert decode(Path("again.bin").read_bytes()).safepoints is None
    assert outcome.lines[-2:] == [
        "checkpoint written to again.bin",
        "the program has ended: I32(3)",
    ]


@each_path
def test_what_monitors_counted_is_right_after_going_back(
    debug: Debug, demo: Path, path: str
) -> None:
    module = chiwawa.load(demo)

    def counted(instruments: Instruments, run: chiwawa.Run) -> dict[int, list[int]]:
        assert run.go()
        return instruments.observed().counts

    straight = Instruments(module, monitors=["icount"])
    run = chiwawa.start(module, "fill", [3], instruments=straight)
    expected = counted(straight, run)
    first = Instruments(module, monitors=["icount"])
    run = chiwawa.start(module, "fill", [3], count=3, instruments=first)
    assert not run.go()
    Path("counted.bin").write_bytes(run.checkpoint())
    script = "s 9\nback 5\nn\nb store\nc\nrc\nback\ns 3\ncheckpoint again.bin\n"
    assert debug(script, demo, "--restore", "counted.bin", "--path", path).status == 0
    last = Instruments(module, monitors=["icount"])
    run = chiwawa.restore(module, Path("again.bin").read_bytes(), instruments=last)
    assert counted(last, run) == expected
    assert last.observed().gaps == 0


def test_bad_commands_print_a_line_and_the_session_goes_on(debug: Debug, demo: Path) -> None:
    Path("bad.bin").write_bytes(b"nothing of use")
    script = """\
frobnicate \x1b[31m
break nowhere
break fill+4
break fill+9999999
break 99
delete 7
watch 65534 4
watch 70000
watch s0
step 0
step x
back 0
p nothing
p l9
p s0
x
x 0 1 1
x 0 99999999
x 99999999
frame 5
finish now
checkpoint
checkpoint nofolder/file
restore bad.bin
restore missing.bin
help nothing
goto 1000000
"""
    outcome = debug(script, demo, *FILL)
    assert outcome.status == 0
    assert "\x1b" not in "".join(outcome.lines)
    errors = [line for line in outcome.lines if line.startswith("error: ")]
    assert len(errors) == script.count("\n") - 1
    assert "error: $fill (function 1) has no boundary at 0x0004: the nearest are at " in errors[2]
    assert outcome.lines[0].startswith("1: $fill")
    assert outcome.lines[1:] == [*errors, "the program has ended: I32(3)"]


def test_what_has_ended_says_so(debug: Debug, demo: Path) -> None:
    outcome = debug("c\nc\ns\nn\nfin\np\nbt\nlist\ncheckpoint a\ngoto 99\ni\n", demo, *FILL)
    assert outcome.status == 0
    assert all("ended" in line for line in outcome.lines[1:-3])
    assert debug("s\nback\nrc\nc\nrun\n", demo, "--invoke", "nothing").lines[0] == (
        "the program has ended"
    )


def test_the_listing_marks_where_it_is(debug: Debug, demo: Path) -> None:
    outcome = debug("b fill+0xa\ns\nlist\nlist store\n", demo, *FILL)
    assert outcome.lines[3:] == [
        "$fill (function 1):",
        "    0x0001  loop",
        "->  0x0003    local.get $n",
        "    0x0005    i32.const 4",
        "    0x0007    i32.mul",
        "    0x0008    local.get $n",
        "  * 0x000a    call $store",
        "    0x000c    local.get $n",
        "   … 8 more",
        "$store (function 0):",
        "    0x0001  local.get $at",
        "    0x0003  local.get $value",
        "    0x0005  i32.store",
        "    0x0008  global.get $total",
        "    0x000a  i32.const 1",
        "    0x000c  i32.add",
        "    0x000d  global.set $total",
        "    0x000f  end",
    ]


def test_values_have_several_names(debug: Debug, demo: Path) -> None:
    script = "goto 9\np s0\np s1\np l0\np $at\np at\np g0\np $total\np globals\np memory\nx l0 2\n"
    assert debug(script, demo, *FILL).lines[2:] == [
        "I32(12)",
        "I32(3)",
        "I32(12)",
        "I32(12)",
        "I32(12)",
        "I32(0)",
        "I32(0)",
        "$total: mutable I32(0)",
        "memory $ram: 1 pages, 65536 bytes",
        "0x0000000c  00 00                                            ..",
    ]


def test_options_that_mean_nothing_here_are_refused(debug: Debug, demo: Path) -> None:
    for options in (["--cr"], ["--cr-at", "5"], ["--granularity", "safepoint"]):
        outcome = debug("c\n", demo, *FILL, *options)
        assert (outcome.status, outcome.lines) == (2, [])
        assert options[0] in outcome.err
    for options in (["--trace"], ["--monitor", "icount"], ["--stats"]):
        outcome = debug("c\n", demo, *FILL, *options)
        assert (outcome.status, outcome.lines) == (2, [])
        assert "traces and monitors" in outcome.err
    assert debug("", demo).status == 2
    assert debug("", "missing.wasm").status == 2


def test_a_generated_file_is_debugged_by_its_module(debug: Debug, demo: Path) -> None:
    chiwawa.compile_file(chiwawa.load(demo), "demo.py")
    assert debug("c\n", "demo.py", *FILL).lines[-1] == "the program has ended: I32(3)"


def test_help_names_every_command(debug: Debug, demo: Path) -> None:
    lines = debug("help\n", demo, *FILL).lines
    names = [line.split()[0] for line in lines[1:-1]]
    assert {"break", "step", "back", "rcontinue", "checkpoint", "quit"} <= set(names)
    for name in names:
        (said,) = debug(f"help {name}\n", demo, *FILL).lines[1:]
        assert said.startswith(name)


@each_path
def test_a_program_whose_state_is_elsewhere_is_debugged_the_same(
    debug: Debug, demo: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "watch 8 4\nwatch g0\nc\nc\nc\nx 0 40\np globals\np g0\np memory\nrc\nback 3\nx 65530\n"
    )
    ours = debug(script, demo, *FILL, "--path", path)
    use_other_state(monkeypatch)
    assert debug(script, demo, *FILL, "--path", path) == ours
    assert MovingState.looked > 0
    assert "0x00000008 +4: 00 00 00 00 -> 02 00 00 00" in "\n".join(ours.lines)
