"""Programs of several modules in the debugger: stepping, stops and going back in all of them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from chiwawa_runtime import checkpoint
from tests.debug.debug_helpers import Debug, Outcome
from tests.path_helpers import IN_PYTHON, PATHS, each_path

LIBRARY = """(module $library
  (memory (export "memory") 1)
  (table (export "table") 2 funcref)
  (global $calls (mut i32) (i32.const 0))
  (elem (i32.const 0) $add)
  (func $store (param $at i32) (param $value i32)
    (i32.store (local.get $at) (local.get $value)))
  (func $add (export "add") (param $n i32) (result i32) (local $twice i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (local.set $twice (i32.mul (local.get $n) (i32.const 2)))
    (call $store (i32.const 8) (local.get $twice))
    (local.get $twice)))"""
#: Calls back into what it is given to call, by the table that it shares.
MIDDLE = """(module $middle
  (import "library" "table" (table 2 funcref))
  (type $add (func (param i32) (result i32)))
  (func $through (export "through") (param $n i32) (result i32)
    (i32.add (i32.const 1) (call_indirect (type $add) (local.get $n) (i32.const 0)))))"""
PROGRAM = """(module $program
  (import "library" "add" (func $add (param i32) (result i32)))
  (import "middle" "through" (func $through (param i32) (result i32)))
  (import "library" "memory" (memory 1))
  (global $sum (mut i32) (i32.const 0))
  (func $one (param $n i32) (result i32)
    (i32.add (call $add (local.get $n)) (call $through (local.get $n))))
  (func $main (export "main") (param $n i32) (result i32)
    (loop $on
      (global.set $sum (i32.add (global.get $sum) (call $one (local.get $n))))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $on (local.get $n)))
    (global.get $sum)))"""
#: Of 4: 4 * (4 + 3 + 2 + 1) + 4.
RESULT = "the program has ended: I32(44)"
RUN = (
    *("program.wat", "--invoke", "main", "--params", "I32(4)"),
    *("--preload", "library=library.wat", "--preload", "middle=middle.wat"),
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in (("library", LIBRARY), ("middle", MIDDLE), ("program", PROGRAM)):
        (tmp_path / f"{name}.wat").write_text(text)
    return tmp_path


def on(debug: Debug, path: str, *commands: str, run: tuple[str, ...] = RUN) -> list[str]:
    outcome: Outcome = debug("\n".join(commands) + "\n", *run, "--path", path)
    assert (outcome.status, outcome.err) == (0, "")
    return outcome.lines


def stepped(debug: Debug, path: str) -> list[str]:
    """Each boundary's line, in turn."""
    lines = on(debug, path, *["step"] * 300)
    return lines[: lines.index(RESULT)]


@each_path
def test_stepping_goes_through_all_instances(files: Path, debug: Debug, path: str) -> None:
    lines = stepped(debug, path)
    assert lines == stepped(debug, "interp")
    assert [line.partition(":")[0] for line in lines] == [str(n + 1) for n in range(len(lines))]
    assert sum("library:$add (function 1) at" in line for line in lines) > 50
    assert sum("middle:$through (function 0) at" in line for line in lines) > 10
    # From the end one comes back to each of them.
    far = len(lines)
    places = [far, far // 2, 1, far - 1, 7, 8, 9, 10]
    back = on(debug, path, "continue", *[f"goto {n}" for n in places])
    assert back[2:] == [lines[n - 1] for n in places]
    assert on(debug, path, "continue", "back", f"back {far - 1}", "back")[2:] == [
        lines[-1],
        lines[0],
        "this is the beginning",
        lines[0],
    ]


@each_path
def test_breakpoints_stop_before_their_instruction_in_any_instance(
    files: Path, debug: Debug, path: str
) -> None:
    lines = stepped(debug, "interp")

    def arrivals(start: str) -> list[str]:
        return [line for line in lines if line.partition(": ")[2].startswith(start)]

    store = arrivals("library:$store (function 0) at 0x0001:")
    through = arrivals("middle:$through (function 0) at 0x0001:")
    assert (len(store), len(through)) == (8, 4)
    said = on(debug, path, "break library:$store", *["continue"] * 9, *["rcontinue"] * 8)
    assert said[1] == "breakpoint 1: library:$store (function 0) at 0x0001: local.get $at"
    stops = [line for line in said[2:] if not line.startswith("breakpoint")]
    assert stops == [*store, RESULT, *reversed(store)]
    # By an offset, and by the instance's number.
    said = on(debug, path, "tbreak 2:0+0x01", "break $one+0x01", "continue", "continue", "info")
    assert said[3:7] == ["breakpoint 2", arrivals("$one")[0], "breakpoint 1", through[0]]
    assert "breakpoint 2: $one (function 2) at 0x0001: local.get $n" in said
    instances = [line for line in said if line.startswith("instance ")]
    assert instances == ["instance 0: $program", "instance 1: library", "instance 2: middle"]
    # What is stepped out of is not come to again.
    said = on(debug, path, "break library:store", "continue", "finish", "backtrace")
    assert said[-3].startswith("-> #0  library:$add (function 1) at 0x0017")
    assert said[-2].startswith("   #1  $one (function 2) at 0x0003")
    said = on(debug, path, "break library:store", "continue", "finish", "finish", "print")
    assert said[-2] == "stack   I32(8)"


@each_path
def test_next_passes_all_that_is_called(files: Path, debug: Debug, path: str) -> None:
    said = on(debug, path, "break $one", "continue", *["next"] * 5, "print")
    stops = [line.partition(": ")[2] for line in said[3:] if line[:1].isdigit()]
    assert stops == [
        "$one (function 2) at 0x0001: local.get $n",
        "$one (function 2) at 0x0003: call $add",
        "$one (function 2) at 0x0005: local.get $n",
        "$one (function 2) at 0x0007: call $through",
        "$one (function 2) at 0x0009: i32.add",
        "$main (function 3) at 0x0009: i32.add",
    ]
    assert said[-2] == "stack   I32(0) I32(17)"


@each_path
def test_what_is_looked_at_is_of_the_frames_instance(files: Path, debug: Debug, path: str) -> None:
    said = on(
        *(debug, path, "break library:store", "continue", "print globals", "print"),
        *("x 8 4", "frame 2", "print globals", "print $n", "print $calls", "list"),
    )
    at = said.index("breakpoint 1")
    assert said[at + 2 : at + 6] == [
        "library:$calls: mutable I32(1)",
        "stack   empty",
        "locals  $at=I32(8) $value=I32(8)",
        "0x00000008  00 00 00 00                                      ....",
    ]
    assert said[at + 7 : at + 10] == [
        "$sum: mutable I32(0)",
        "I32(4)",
        "error: there is no local or global $calls here",
    ]
    assert "->  0x0003  call $add" in said


@each_path
def test_watches_see_what_any_instance_changes(files: Path, debug: Debug, path: str) -> None:
    said = on(debug, path, "watch 8", *["continue"] * 5, *["rcontinue"] * 4)
    changes = [line for line in said if line.startswith("watch 1: 0x00000008 +4: ")]
    texts = [f"0{n} 00 00 00" for n in (0, 8, 6, 4, 2)]
    ahead = [f"watch 1: 0x00000008 +4: {a} -> {b}" for a, b in itertools.pairwise(texts)]
    assert changes == [*ahead, *reversed(ahead)]
    said = on(
        *(debug, path, "tbreak library:add", "continue", "watch g0", "watch $twice"),
        *("continue", "continue", "continue", "continue"),
    )
    assert said[4:6] == ["watch 2: library:$calls", "watch 3: $twice of library:$add (function 1)"]
    noted = [line for line in said[6:] if line.startswith("watch")]
    assert noted == [
        "watch 2: library:$calls: I32(0) -> I32(1)",
        "watch 3: $twice of library:$add (function 1): I32(0) -> I32(8)",
        "watch 3: $twice of library:$add (function 1) is gone, and so is the watch",
        "watch 2: library:$calls: I32(1) -> I32(2)",
    ]


@each_path
def test_a_checkpoint_of_a_linked_program_is_that_of_run(
    files: Path, debug: Debug, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from chiwawa.commands.cli import main

    said = on(debug, path, "break library:store", "continue", "checkpoint mine.bin", "continue")
    count = next(line for line in said if "library:$store" in line and line[0].isdigit())
    own = checkpoint.decode((files / "mine.bin").read_bytes())
    assert [frame.instance for frame in own.frames] == [1, 1, 0, 0]
    # The boundaries of the program itself are counted in it, as run counts them.
    assert own.safepoints is not None
    assert own.safepoints < int(count.partition(":")[0])
    for other in PATHS:
        status = main(["run", *RUN[:1], *RUN[5:], "--restore", "mine.bin", "--path", other])
        assert (status, capfd.readouterr().out) == (0, "I32(44)\n")
    # It is where a session can begin, forwards and back.
    run = (*RUN[:1], *RUN[5:], "--restore", "mine.bin")
    said = on(debug, path, "continue", "back", "goto 1", "backtrace", run=run)
    assert said[1] == RESULT
    assert said[-4].startswith("-> #0  library:$store (function 0) at 0x0001")


@pytest.mark.parametrize("path", IN_PYTHON)
def test_its_checkpoints_are_those_of_the_same_boundary_on_every_path(
    files: Path, debug: Debug, path: str
) -> None:
    found = set()
    for each in ("interp", path):
        on(
            debug,
            each,
            "goto 20",
            "checkpoint there.bin",
            "continue",
            "goto 20",
            "checkpoint b.bin",
        )
        found |= {(files / name).read_bytes() for name in ("there.bin", "b.bin")}
    assert len(found) == 1


TRAPPING = """(module $library
  (func $divide (export "divide") (param $by i32) (result i32)
    (i32.div_u (i32.const 100) (local.get $by))))"""
CRASHING = """(module $program
  (import "library" "divide" (func $divide (param i32) (result i32)))
  (func (export "_start") (local $n i32)
    (local.set $n (i32.const 3))
    (loop $on
      (drop (call $divide (local.get $n)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $on))))"""


@each_path
def test_one_comes_to_the_trap_and_to_a_breakpoint_at_it(
    tmp_path: Path, debug: Debug, path: str
) -> None:
    from chiwawa.commands.cli import main

    (tmp_path / "library.wat").write_text(TRAPPING)
    (tmp_path / "program.wat").write_text(CRASHING)
    run = ("program.wat", "--preload", "library=library.wat")
    said = on(debug, path, "continue", "print", "back 3", "continue", run=run)
    assert said[1] == said[-2] == "trap: integer divide by zero"
    assert said[2] == said[-1]
    assert said[2].endswith("library:$divide (function 0) at 0x0006: i32.div_u")
    assert said[3] == "stack   I32(100) I32(0)"
    # The last arrival at the breakpoint is before the trap.
    said = on(debug, path, "break library:0+0x06", *["continue"] * 5, "rcontinue", run=run)
    stops = [line for line in said[2:] if line[0].isdigit()]
    assert len(stops) == 6
    assert stops[3] == stops[4]
    assert stops[5] == stops[2]
    assert main(["run", *run, "--path", path, "--record", "1"]) == 134
    from_dump = ("program.wat", "--linked", "library.wat", "--restore", "core.bin")
    said = on(debug, path, "backtrace", "print $by", "continue", run=from_dump)
    assert said[1] == "-> #0  library:$divide (function 0) at 0x0006: i32.div_u"
    assert said[3:5] == ["I32(0)", "trap: integer divide by zero"]
    before = (*from_dump[:3], "--restore", "core.before.bin", "--replay", "core.calls")
    said = on(debug, path, "break library:divide", *["continue"] * 5, "back 2", run=before)
    assert "trap: integer divide by zero" in said


@each_path
def test_stubs_are_there_in_the_debugger(tmp_path: Path, debug: Debug, path: str) -> None:
    (tmp_path / "stubbed.wat").write_text(
        '(module (import "env" "log" (func $log (param i32)))'
        ' (func (export "_start") (i32.const 5) (call $log)))'
    )
    said = on(debug, path, "continue", "print", run=("stubbed.wat", "--stub", "env.*"))
    assert said[1] == 'trap: the stub "env" "log" was called: nobody gives this import'
    assert "$log" in said[2]


def test_what_is_named_must_be_there(files: Path, debug: Debug) -> None:
    said = on(
        *(debug, "interp", "break nobody:store", "break library:nothing", "break $add"),
        *("break 7:0", "break library:1+0x02", "break library:add+0x03"),
    )
    assert said[1:] == [
        "error: there is no function nobody:store",
        "error: there is no function library:nothing",
        "error: $add (function 0) is imported: it has no instructions",
        "error: there is no function 7:0",
        "error: library:$add (function 1) has no boundary at 0x0002: the nearest are at 0x0003",
        "breakpoint 1: library:$add (function 1) at 0x0003: global.get $calls",
    ]


@each_path
def test_one_goes_back_over_many_arrivals(files: Path, debug: Debug, path: str) -> None:
    """A breakpoint in a loop is met often between the moments that are kept."""
    run = (*RUN[:4], "I32(3000)", *RUN[5:])
    said = on(
        *(debug, path, "goto 60000", "break library:store", "rcontinue", "rcontinue"),
        *("continue", "watch 8", "rcontinue", "delete 1", "rcontinue"),
        run=run,
    )
    stops = [line for line in said[1:] if line[0].isdigit()]
    counts = [int(line.partition(":")[0]) for line in stops]
    assert counts[0] == 60_000
    assert all("library:$store" in line for line in stops[1:4])
    assert 60_000 > counts[1] > counts[2] > 59_900
    assert counts[3] == counts[1]
    # Between the two the bytes have changed.
    assert counts[1] > counts[4] > counts[2]
    assert counts[4] > counts[5]


BY_TABLE = """(module $program
  (import "library" "table" (table 2 funcref))
  (type $add (func (param i32) (result i32)))
  (func (export "_start")
    (drop (call_indirect (type $add) (i32.const 7) (i32.const 0)))))"""


@each_path
def test_what_only_a_table_leads_to_is_debugged_as_well(
    files: Path, debug: Debug, path: str
) -> None:
    (files / "program.wat").write_text(BY_TABLE)
    run = ("program.wat", "--preload", "library=library.wat")
    said = on(
        *(debug, path, "break library:store", "continue", "print", "finish", "back 2"),
        *("watch 8", "continue"),
        run=run,
    )
    assert said[4] == "stack   empty"
    assert said[5] == "locals  $at=I32(8) $value=I32(14)"
    assert "library:$add (function 1) at 0x0017" in said[6]
    assert "library:$store (function 0) at 0x0003" in said[7]
    assert said[9] == "watch 2: library:0x00000008 +4: 00 00 00 00 -> 0e 00 00 00"


@each_path
def test_instances_of_one_module_are_told_apart(files: Path, debug: Debug, path: str) -> None:
    (files / "program.wat").write_text("""(module
      (import "a" "add" (func $a (param i32) (result i32)))
      (import "b" "add" (func $b (param i32) (result i32)))
      (func (export "_start")
        (drop (call $a (i32.const 1)))
        (drop (call $b (i32.const 2)))
        (drop (call $a (i32.const 3)))))""")
    run = ("program.wat", "--preload", "a=library.wat", "--preload", "b=library.wat")
    said = on(
        *(debug, path, "break b:store", "continue", "print $value", "checkpoint there.bin"),
        *("watch g0", "continue", "goto 9", "print g0", "restore there.bin", "print g0", "run"),
        run=run,
    )
    assert said[3].endswith("b:$store (function 0) at 0x0001: local.get $at")
    assert said[4] == "I32(4)"
    assert said[6] == "watch 2: b:$calls"
    assert said[7] == "the program has ended"
    assert said[9] == "I32(1)"
    assert said[12] == "I32(1)"
    said = on(debug, path, "print $value", "back", "watch g0", run=(*run, "--restore", "there.bin"))
    assert said[0].endswith("b:$store (function 0) at 0x0001: local.get $at")
    assert said[1] == "I32(4)"


SAYING = r"""(module $library
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (func (export "echo") (result i32)
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.load8_u (i32.const 16))))"""
ECHOING = """(module $program (import "library" "echo" (func $echo (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $on (br_if $on (i32.ne (call $echo) (i32.const 33))))))"""


@each_path
@pytest.mark.parametrize("given", [(), ("--dir", ".")], ids=["nothing", "a directory"])
def test_what_a_preloaded_module_reads_and_writes_is_so_once(
    tmp_path: Path, debug: Debug, path: str, given: tuple[str, ...]
) -> None:
    (tmp_path / "library.wat").write_text(SAYING)
    (tmp_path / "program.wat").write_text(ECHOING)
    (tmp_path / "input").write_text("abc!")
    run = ("program.wat", "--preload", "library=library.wat", "--stdin", "input", *given)
    said = on(
        *(debug, path, "break library:2+0x14", "continue", "continue", "rcontinue", "back 2"),
        *("delete 1", "continue", "back 5", "continue"),
        run=run,
    )
    # What is written stands before the line that is said next.
    assert said[3].endswith("library:$echo (function 2) at 0x0014: call $write")
    assert said[4] == "abreakpoint 1"
    assert said[6:8] == ["breakpoint 1", said[3]]
    assert said[9:] == ["bc!the program has ended", said[10], "the program has ended"]


GREETING = r"""(module $library
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\06\00\00\00")
  (data (i32.const 16) "hello\n")
  (func (export "_initialize")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "echo") (result i32) (i32.const 33)))"""


@each_path
@pytest.mark.parametrize("given", [(), ("--dir", ".")], ids=["nothing", "a directory"])
def test_what_a_preloaded_module_says_at_its_start_is_said_by_each_run(
    tmp_path: Path, debug: Debug, path: str, given: tuple[str, ...]
) -> None:
    (tmp_path / "library.wat").write_text(GREETING)
    (tmp_path / "program.wat").write_text(ECHOING)
    run = ("program.wat", "--preload", "library=library.wat", *given)
    said = on(debug, path, "step", "step", "back 100", "run", "continue", "run", run=run)
    assert [at for at, line in enumerate(said) if line == "hello"] == [0, 6, 9], said


@each_path
def test_a_linked_program_is_debugged_from_its_record(
    tmp_path: Path, debug: Debug, path: str
) -> None:
    from chiwawa.commands.cli import main

    (tmp_path / "library.wat").write_text(
        SAYING.replace("fd_read", "random_get", 1)
        .replace(
            "(func $read (param i32 i32 i32 i32) (result i32))",
            "(func $read (param i32 i32) (result i32))",
        )
        .replace(
            "(call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))",
            "(call $read (i32.const 16) (i32.const 1))",
        )
    )
    (tmp_path / "program.wat").write_text(ECHOING)
    run = ("program.wat", "--preload", "library=library.wat")
    assert main(["run", *run, "--path", path, "--record-calls", "calls.rec"]) == 0
    replay = (*run, "--replay", "calls.rec")
    said = on(debug, path, "continue", "back", "goto 20", "continue", run=replay)
    assert said[-1] == "the program has ended"
    counts = [line.partition(":")[0] for line in said if line[:1].isdigit()]
    assert counts[0] == "1"


def test_a_restored_program_has_canonical_nans_in_all_instances(files: Path, debug: Debug) -> None:
    from chiwawa.commands.cli import main

    stop = ("--cr-at", "3", "--cr-file", "early.bin")
    assert main(["run", *RUN, *stop]) == 0
    early = checkpoint.decode((files / "early.bin").read_bytes())
    assert not any(each.canonical_nans for each in early.instances)
    restored = (*RUN[:1], *RUN[5:], "--restore", "early.bin")
    on(debug, "interp", "step", "checkpoint later.bin", run=restored)
    later = checkpoint.decode((files / "later.bin").read_bytes())
    assert all(each.canonical_nans for each in later.instances)
