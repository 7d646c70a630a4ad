"""Each monitor on a small program whose numbers are worked out here by hand.

A code offset counts from the start of the body: where there are no locals, the first instruction is
at 1. The offsets are written beside the instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest

from chiwawa import api
from chiwawa.instrument import Instruments
from chiwawa.instrument.counting.observed import Observed
from chiwawa.instrument.monitors.document import document, stats_text, text
from chiwawa.instrument.monitors.monitors import MONITORS, table
from chiwawa.instrument.monitors.table import Row
from chiwawa.module import Module
from chiwawa.source import load
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.errors import Trap
from tests.path_helpers import WATCHED, each_watched_path, next_path

GRANULARITIES = ("safepoint", "instruction")


@dataclass(frozen=True)
class Case:
    """The export ``main`` of ``source``, called with ``args``, and what ``monitor`` finds."""

    monitor: str
    source: str
    args: tuple[int, ...]
    rows: list[Row]


BRANCHES = Case(
    "branches",
    """
    (module
      (func $main (export "main") (param $n i32)
        loop $next                     ;; 01
          block $two                   ;; 03
            block $one                 ;; 05
              block $zero              ;; 07
                local.get $n           ;; 09
                i32.const 3            ;; 0b
                i32.rem_u              ;; 0d
                br_table $zero $one $two  ;; 0e
              end                      ;; 13
              nop                      ;; 14
            end                        ;; 15
            nop                        ;; 16
          end                          ;; 17
          local.get $n                 ;; 18
          i32.const 1                  ;; 1a
          i32.and                      ;; 1c
          if                           ;; 1d
            nop                        ;; 1f
          else                         ;; 20
            nop                        ;; 21
            nop                        ;; 22
          end                          ;; 23
          local.get $n                 ;; 24
          i32.const 1                  ;; 26
          i32.sub                      ;; 28
          local.tee $n                 ;; 29
          br_if $next                  ;; 2b
        end                            ;; 2d
        local.get $n                   ;; 2e, which is 0 by now
        if                             ;; 30
          nop                          ;; 32
        end                            ;; 33
        i32.const 7                    ;; 34
        if                             ;; 36
        else                           ;; 38
          nop                          ;; 39
        end                            ;; 3a
        i32.const 7                    ;; 3b
        if                             ;; 3d
        end                            ;; 3f
        i32.const 3                    ;; 40
        local.set $n                   ;; 42
        local.get $n                   ;; 44
        if                             ;; 46
          loop $spin                   ;; 48
            local.get $n               ;; 4a
            i32.const 1                ;; 4c
            i32.sub                    ;; 4e
            local.tee $n               ;; 4f
            br_if $spin                ;; 51
          end
        end))
    """,
    (10,),
    # n goes from 10 down to 1. n % 3 is 0 for 9, 6, 3; 1 for 10, 7, 4, 1; 2 for 8, 5, 2.
    # Five of the ten are odd. The branch back is taken for all but the last.
    # Then: an if that is not taken; one that is, seen only by its else, which is not; one with
    # nothing in it; and one that is taken once, into a loop that goes round three times.
    [
        (0, "main", 0x0E, "br_table 0 1 2", "0", 3, 7, 30.0),
        (0, "main", 0x0E, "br_table 0 1 2", "1", 4, 6, 40.0),
        (0, "main", 0x0E, "br_table 0 1 2", "default", 3, 7, 30.0),
        (0, "main", 0x1D, "if", None, 5, 5, 50.0),
        (0, "main", 0x2B, "br_if 0", None, 9, 1, 90.0),
        (0, "main", 0x30, "if", None, 0, 1, 0.0),
        (0, "main", 0x36, "if", None, 1, 0, 100.0),
        (0, "main", 0x3D, "if", None, None, None, None),
        (0, "main", 0x46, "if", None, 1, 0, 100.0),
        (0, "main", 0x51, "br_if 0", None, 2, 1, 66.67),
    ],
)

BLOCKS = Case(
    "blocks",
    """
    (module
      (func $less (param $n i32) (result i32)
        local.get $n      ;; 01
        i32.const 1       ;; 03
        i32.sub)          ;; 05
      (func $step (param $n i32) (result i32)
        block $out        ;; 01
          local.get $n    ;; 03
          i32.eqz         ;; 05
          br_if $out      ;; 06
          nop             ;; 08
          local.get $n    ;; 09
          call $less      ;; 0b
          local.set $n    ;; 0d
        end               ;; 0f
        local.get $n)     ;; 10
      (func $main (export "main")
        i32.const 0       ;; 01
        call $step        ;; 03
        drop              ;; 05
        i32.const 1       ;; 06
        call $step        ;; 08
        drop              ;; 0a
        i32.const 2       ;; 0b
        call $step        ;; 0d
        drop))            ;; 0f
    """,
    (),
    # $step is called with 0, 1, 2: it leaves early once, and calls $less twice. A block ends with
    # what control can leave by, a call included, and begins where the branch leads.
    [
        (0, "less", 0x01, 0x05, 3, 2),
        (1, "step", 0x01, 0x06, 4, 3),
        (1, "step", 0x08, 0x0B, 3, 2),
        (1, "step", 0x0D, 0x0D, 1, 2),
        (1, "step", 0x10, 0x10, 1, 3),
        (2, "main", 0x01, 0x03, 2, 1),
        (2, "main", 0x05, 0x08, 3, 1),
        (2, "main", 0x0A, 0x0D, 3, 1),
        (2, "main", 0x0F, 0x0F, 1, 1),
    ],
)

CALLS = Case(
    "calls",
    """
    (module
      (type $taking (func (param i32)))
      (import "host" "log" (func $log (type $taking)))
      (table 3 funcref)
      (elem (i32.const 0) $log $one $two)
      (func $one (type $taking))
      (func $two (type $taking)
        local.get 0       ;; 01
        call $log)        ;; 03
      (func $main (export "main") (param $n i32)
        loop $next        ;; 01
          local.get $n    ;; 03
          local.get $n    ;; 05
          i32.const 3     ;; 07
          i32.rem_u       ;; 09
          call_indirect (type $taking)  ;; 0a
          local.get $n    ;; 0d
          i32.const 1     ;; 0f
          i32.sub         ;; 11
          local.tee $n    ;; 12
          br_if $next     ;; 14
        end               ;; 16
        i32.const 9       ;; 17
        call $two         ;; 19
        local.get $n      ;; 1b, which is 0 by now
        if                ;; 1d
          i32.const 9     ;; 1f
          call $one       ;; 21
        end))
    """,
    (7,),
    # n goes from 7 down to 1, and n % 3 is 1, 0, 2, 1, 0, 2, 1: element 0 is called twice,
    # element 1 three times, element 2 twice. Then $two is called once more, in all three times.
    # The last call is never come to.
    [
        (2, "two", 0x03, "direct", 0, "log", 3),
        (3, "main", 0x0A, "indirect", 0, "log", 2),
        (3, "main", 0x0A, "indirect", 1, "one", 3),
        (3, "main", 0x0A, "indirect", 2, "two", 2),
        (3, "main", 0x19, "direct", 2, "two", 1),
    ],
)

COVERAGE = Case(
    "coverage",
    """
    (module
      (func $never nop nop)
      (func $empty)
      (func $main (export "main") (result i32)
        i32.const 1
        if (result i32)
          i32.const 10
        else
          i32.const 20
          i32.const 2
          i32.mul
        end
        return
        i32.const 5))
    """,
    (),
    # Of $main's 8 instructions, the one after the return cannot be reached; of the 7 that can, the
    # else arm's 3 are not. 4 of 7 is 57.142…%, and 4 of all 9 is 44.444…%.
    [
        (0, "never", 2, 0, 0.0),
        (1, "empty", 0, 0, None),
        (2, "main", 7, 4, 57.14),
        (None, "total", 9, 4, 44.44),
    ],
)

GLOBALS = Case(
    "globals",
    """
    (module
      (global $sum (mut i32) (i32.const 0))
      (global $step i32 (i32.const 2))
      (global (export "ratio") f64 (f64.const 0.5))
      (global (mut i64) (i64.const 0))
      (func $main (export "main") (param $n i32) (result i32)
        loop $next
          (global.set $sum (i32.add (global.get $sum) (global.get $step)))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))
        end
        global.get $sum))
    """,
    (4,),
    # Four times round, each time reading both and writing one; then one more read.
    [
        (0, "sum", "i32", "yes", 5, 4),
        (1, "step", "i32", "no", 4, 0),
        (2, "ratio", "f64", "no", 0, 0),
        (3, "global[3]", "i64", "yes", 0, 0),
    ],
)

HOTNESS = Case(
    "hotness",
    """
    (module
      (func $less (param $n i32) (result i32)
        local.get $n      ;; 01
        i32.const 1       ;; 03
        i32.sub)          ;; 05
      (func $main (export "main") (param $n i32)
        nop               ;; 01
        loop $next        ;; 02
          local.get $n    ;; 04
          call $less      ;; 06
          local.tee $n    ;; 08
          br_if $next     ;; 0a
        end))
    """,
    (3,),
    # Three times round: each instruction of $less and of the loop is begun three times, the nop
    # once. 3 of 3 * 8 + 1 = 25 is 12%, 1 is 4%.
    [
        (0, "less", 0x01, "local.get $n", 3, 12.0),
        (0, "less", 0x03, "i32.const 1", 3, 12.0),
        (0, "less", 0x05, "i32.sub", 3, 12.0),
        (1, "main", 0x02, "loop", 3, 12.0),
        (1, "main", 0x04, "local.get $n", 3, 12.0),
        (1, "main", 0x06, "call $less", 3, 12.0),
        (1, "main", 0x08, "local.tee $n", 3, 12.0),
        (1, "main", 0x0A, "br_if 0", 3, 12.0),
        (1, "main", 0x01, "nop", 1, 4.0),
    ],
)

FIB = """
    (module
      (func $fib (param $n i32) (result i32)
        (if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (local.get $n))))
        (i32.add
          (call $fib (i32.sub (local.get $n) (i32.const 1)))
          (call $fib (i32.sub (local.get $n) (i32.const 2)))))
      (func $main (export "main") (result i32)
        (call $fib (i32.const 5))))
    """

ICOUNT = Case(
    "icount",
    FIB,
    (),
    # Of fib(5) 15 calls are made: 8 that return at once and 7 that call two more. The first begin
    # get, const, lt_u, if, get, return: 6. The others begin the first four of these, then get,
    # const, sub, call, twice, and add: 13. 8 * 6 + 7 * 13 = 139, and $main begins 2.
    # 139 of 141 is 98.581…%.
    [
        (None, "all", 141, 100.0),
        (0, "fib", 139, 98.58),
        (1, "main", 2, 1.42),
    ],
)

LOOPS = Case(
    "loops",
    """
    (module
      (func $main (export "main") (param $i i32) (local $j i32)  ;; the locals take 3 bytes
        loop $outer         ;; 03
          local.get $i      ;; 05
          local.set $j      ;; 07
          loop $inner       ;; 09
            local.get $j    ;; 0b
            i32.const 1     ;; 0d
            i32.sub         ;; 0f
            local.tee $j    ;; 10
            br_if $inner    ;; 12
          end               ;; 14
          local.get $i      ;; 15
          i32.const 1       ;; 17
          i32.sub           ;; 19
          local.tee $i      ;; 1a
          br_if $outer      ;; 1c
        end                 ;; 1e
        i32.const 4         ;; 1f
        local.set $j        ;; 21
        loop $table         ;; 23
          block $done       ;; 25
            local.get $j    ;; 27
            i32.const 1     ;; 29
            i32.sub         ;; 2b
            local.tee $j    ;; 2c
            i32.eqz         ;; 2e
            br_table $table $done  ;; 2f: 0e 01 01 00
          end               ;; 33
        end                 ;; 34
        i32.const 2         ;; 35
        local.set $j        ;; 37
        loop $plain         ;; 39
          local.get $j      ;; 3b
          if                ;; 3d
            local.get $j    ;; 3f
            i32.const 1     ;; 41
            i32.sub         ;; 43
            local.set $j    ;; 44
            br $plain       ;; 46
          end               ;; 48
        end))
    """,
    (3,),
    # $outer goes round for i = 3, 2, 1; $inner i times each, 6 in all, entered 3 times. $table goes
    # round while j is 4, 3, 2, 1. $plain branches back for j = 2 and 1, and is done at 0.
    [
        (0, "main", 0x03, 1, 1, 3, 3.0),
        (0, "main", 0x09, 2, 3, 6, 2.0),
        (0, "main", 0x23, 1, 1, 4, 4.0),
        (0, "main", 0x39, 1, 1, 3, 3.0),
    ],
)

MEMORY = Case(
    "memory",
    """
    (module
      (memory $ram 2)
      (memory $other 1)
      (data $bytes "abcd")
      (func $main (export "main") (result i32)
        (i32.store (i32.const 0) (i32.const 1))
        (i64.store (i32.const 65528) (i64.const -1))
        (drop (i32.load8_u (i32.const 65536)))
        (drop (i32.load offset=65536 (i32.const 4)))
        (i32.store8 $other (i32.const 9) (i32.const 1))
        (drop (memory.grow (i32.const 1)))
        (memory.fill (i32.const 131068) (i32.const 7) (i32.const 8))
        (memory.fill (i32.const 0) (i32.const 7) (i32.const 0))
        (memory.copy (i32.const 16) (i32.const 65536) (i32.const 32))
        (memory.init $bytes (i32.const 10) (i32.const 0) (i32.const 4))
        (memory.size)))
    """,
    (),
    # Page 0 is written by the first two stores, the copy and the init: 4. Page 1 is written by half
    # of the first fill: 1; it is read by two loads and the copy: 3. Page 2, which grow made, is
    # written by the other half of that fill: 1. The second fill touches nothing.
    [
        (0, "page", 0, "0x0", 0, 4, None, None, None),
        (0, "page", 1, "0x10000", 3, 1, None, None, None),
        (0, "page", 2, "0x20000", 0, 1, None, None, None),
        (1, "page", 0, "0x0", 0, 1, None, None, None),
        (0, "memory.copy", None, None, None, None, 1, 32, "bytes"),
        (0, "memory.fill", None, None, None, None, 2, 8, "bytes"),
        (0, "memory.grow", None, None, None, None, 1, 1, "pages"),
        (0, "memory.init", None, None, None, None, 1, 4, "bytes"),
    ],
)

OPCODES = Case(
    "opcodes",
    FIB,
    (),
    # As for icount: 8 short calls of $fib and 7 long ones.
    # local.get 8 * 2 + 7 * 3, i32.const 8 * 1 + 7 * 3 + 1, call 7 * 2 + 1, lt_u and if 15 each,
    # sub 7 * 2, return 8, add 7: 141 in all, of which 37 is 26.241…%, and so on.
    [
        ("local.get", 37, 26.24),
        ("i32.const", 30, 21.28),
        ("call", 15, 10.64),
        ("i32.lt_u", 15, 10.64),
        ("if", 15, 10.64),
        ("i32.sub", 14, 9.93),
        ("return", 8, 5.67),
        ("i32.add", 7, 4.96),
    ],
)

PROFILE = Case(
    "profile",
    """
    (module
      (import "host" "log" (func $log (param i32)))
      (func $b nop nop)
      (func $a
        i32.const 1
        call $log
        call $b)
      (func $main (export "main")
        call $a
        call $a
        call $b
        nop))
    """,
    (),
    # $main begins 4 itself. $a begins 3, twice; $b begins 2, twice from $a and once from $main;
    # the host's function none. 4 + 6 + 4 + 2 = 16.
    [
        (3, 1, "main", 1, 4, 16, 100.0),
        (1, 2, "b", 1, 2, 2, 12.5),
        (2, 2, "a", 2, 6, 10, 62.5),
        (0, 3, "log", 2, 0, 0, 0.0),
        (1, 3, "b", 2, 4, 4, 25.0),
    ],
)

CASES = {
    case.monitor: case
    for case in (
        *(BRANCHES, BLOCKS, CALLS, COVERAGE, GLOBALS, HOTNESS),
        *(ICOUNT, LOOPS, MEMORY, OPCODES, PROFILE),
    )
}


@cache
def module_of(name: str) -> Module:
    return load(CASES[name].source)


def imports() -> Imports:
    return {"host": {"log": lambda value: None}}


def observe(
    name: str,
    path: str,
    granularity: str = "safepoint",
    stop: int | None = None,
    monitors: tuple[str, ...] | None = None,
) -> Observed | None:
    """What was seen of the case ``name``. With ``stop``, it is stopped at that safepoint and
    continued from a checkpoint on the other path; None where it ends before."""
    module, args = module_of(name), CASES[name].args
    wanted = [name] if monitors is None else [*monitors]
    instruments = Instruments(module, monitors=wanted)
    run = api.start(
        module,
        "main",
        args,
        imports(),
        path=path,
        granularity=granularity,
        count=stop,
        instruments=instruments,
    )
    finished = run.go()
    if stop is not None:
        if finished:
            return None
        data = run.checkpoint()
        instruments = Instruments(module, monitors=wanted)
        other = next_path(path, WATCHED)
        run = api.restore(module, data, imports(), path=other, instruments=instruments)
        finished = run.go()
    assert finished
    return instruments.observed()


def test_each_monitor_has_a_case() -> None:
    assert list(CASES) == list(MONITORS)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@each_watched_path
@pytest.mark.parametrize("name", CASES)
def test_a_monitor_finds_what_was_worked_out(name: str, path: str, granularity: str) -> None:
    observed = observe(name, path, granularity)
    assert observed is not None
    assert table(name, observed).rows == CASES[name].rows


@pytest.mark.parametrize("name", CASES)
def test_a_monitors_text(name: str, golden: Callable[[str, str], None]) -> None:
    observed = observe(name, "interp")
    assert observed is not None
    golden(f"monitor_{name}.txt", text([table(name, observed)]))


@pytest.mark.parametrize("granularity", GRANULARITIES)
@each_watched_path
@pytest.mark.parametrize("name", CASES)
def test_a_checkpoint_on_the_way_to_the_other_path_changes_no_table(
    name: str, path: str, granularity: str
) -> None:
    stops = (1, 2, 3, 5, 8, 13, 21) if granularity == "safepoint" else (1, 4, 9, 15, 40)
    for stop in stops:
        observed = observe(name, path, granularity, stop)
        if observed is None:
            break
        assert table(name, observed).rows == CASES[name].rows, stop


@pytest.mark.parametrize("name", CASES)
def test_all_monitors_together_find_the_same_as_each_alone(name: str) -> None:
    documents = []
    for path in WATCHED:
        observed = observe(name, path, monitors=tuple(MONITORS))
        assert observed is not None
        assert table(name, observed).rows == CASES[name].rows
        documents.append(document(observed, [*MONITORS]))
    assert documents[0] == documents[1]


#: After the trap, four instructions of its block are left over.
TRAPPING = """(module (func (export "main") (param i32) (result i32)
  (i32.add (i32.add (i32.div_u (i32.const 1) (local.get 0)) (i32.const 3)) (i32.const 4))))"""


@pytest.mark.parametrize("monitors", [["profile"], ["icount"], ["icount", "profile"]])
@each_watched_path
def test_what_a_trap_keeps_from_running_is_not_counted(path: str, monitors: list[str]) -> None:
    module = load(TRAPPING.encode())
    instruments = Instruments(module, monitors=monitors)
    run = api.start(module, "main", [0], path=path, instruments=instruments)
    with pytest.raises(Trap):
        run.go()
    observed = instruments.observed()
    if "icount" in monitors:
        assert observed.counts == {0: [1, 1, 1, 0, 0, 0, 0, 0]}
    if "profile" in monitors:
        assert [node.instructions for node in observed.tree.walk()] == [0, 3]


@each_watched_path
def test_stats(path: str) -> None:
    """The numbers are those of the case of ``opcodes``."""
    observed = observe("opcodes", path)
    assert observed is not None
    assert stats_text(observed) == (
        "instructions executed: 141\n"
        "opcode     count\n"
        "local.get     37\n"
        "i32.const     30\n"
        "call          15\n"
        "i32.lt_u      15\n"
        "if            15\n"
        "i32.sub       14\n"
        "return         8\n"
        "i32.add        7\n"
    )
