"""Tables, text, CSV and JSON, from counts that are made up here."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable

import pytest

from chiwawa.instrument.counting.observed import Observed
from chiwawa.instrument.labels import clipped, function_labels
from chiwawa.instrument.monitors.control import blocks_of
from chiwawa.instrument.monitors.document import csv_text, document, stats_text, text
from chiwawa.instrument.monitors.monitors import MONITORS, table
from chiwawa.instrument.monitors.table import Table, hundredths, percent
from chiwawa.lower.lowered import Spaces, lower
from chiwawa.source import load
from chiwawa_runtime.errors import BadInput

MODULE = load("""
(module $counter
  (import "host" "log" (func $log (param i32)))
  (memory 2)
  (global $total (mut i64) (i64.const 0))
  (func $sum (param $n i32) (result i32) (local $acc i32)   ;; the locals take 3 bytes
    (loop $next
      (local.set $acc (i32.add (local.get $acc) (local.get $n)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $acc))
  (func (export "main") (result i32)
    (call $log (i32.const 7))
    (call $sum (i32.const 100)))
  (func (nop)))
""")
HOSTILE = '=1+1,"\x1b[2J\n\tbell'


def seen() -> Observed:
    """What ``main`` does."""
    observed = Observed(MODULE)
    # loop, get, get, add, set, get, const, sub, tee, br_if, end, get, end.
    observed.counts[1] = [100] * 10 + [0, 1, 0]
    observed.counts[2] = [1, 1, 1, 1, 0]
    observed.arms[1, 0x13] = [1, 99]
    observed.pages[0] = {16: [4, 2], 0: [1, 0]}
    observed.bulk[0, "memory.grow"] = [1, 15]
    main = observed.tree.child(2)
    main.calls, main.instructions = 1, 4
    total = main.child(1)
    total.calls, total.instructions = 1, 1001
    main.child(0).calls = 1
    return observed


def test_a_monitor_needs_what_is_observed() -> None:
    fields = set(Observed.__dataclass_fields__)
    for name, monitor in MONITORS.items():
        assert monitor.name == name
        assert monitor.needs < fields
        assert len(monitor.what) < 60


@pytest.mark.parametrize("name", MONITORS)
def test_a_run_in_which_nothing_happened_has_tables(name: str) -> None:
    found = table(name, Observed(MODULE))
    assert all(len(row) == len(found.columns) for row in found.rows)
    assert text([found]).startswith(f"{name}: {MONITORS[name].what}\n")
    assert csv_text([found]).startswith("monitor,")


def test_a_module_without_functions_has_tables() -> None:
    observed = Observed(load("(module)"))
    for name in MONITORS:
        assert all(
            cell in (None, "all", "total", 0) for row in table(name, observed).rows for cell in row
        )
    assert stats_text(observed) == "instructions executed: 0\n"


def test_a_monitor_that_is_not_there_is_bad_input() -> None:
    with pytest.raises(BadInput, match="unknown monitor 'heat': there are branches, blocks, calls"):
        table("heat", seen())
    with pytest.raises(BadInput, match="unknown monitor 'heat'"):
        document(seen(), ["icount", "heat"])


def test_all_tables_as_text(golden: Callable[[str, str], None]) -> None:
    golden("monitor_tables.txt", text(table(name, seen()) for name in MONITORS))


def test_all_tables_as_csv(golden: Callable[[str, str], None]) -> None:
    golden("monitor_tables.csv", csv_text([table(name, seen()) for name in MONITORS]))


def test_the_document(golden: Callable[[str, str], None]) -> None:
    found = document(seen(), [*MONITORS], lambda function, offset: f"sum.c:{function}{offset}")
    rendered = json.dumps(found, indent=1)
    assert json.loads(rendered) == found
    golden("monitor_document.json", rendered + "\n")


def test_functions_are_called_by_the_name_section_then_by_an_export_then_by_index() -> None:
    assert function_labels(MODULE) == ["log", "sum", "main", "func[3]"]
    exported = load('(module (func (export "") (export "b") (export "a")))')
    assert function_labels(exported) == ["b"]


def test_names_cannot_break_text_or_csv_and_are_whole_in_json() -> None:
    observed = seen()
    module = load(MODULE.binary)
    module.names.funcs[1] = HOSTILE
    observed.module = module
    tables = [table(name, observed) for name in MONITORS]
    shown = text(tables)
    assert "\x1b" not in shown
    assert '=1+1,"\\x1b[2J\\n\\tbell' in shown
    rows = [*csv.reader(csv_text(tables).splitlines(), strict=True)]
    cells = {cell for row in rows for cell in row}
    assert "'=1+1,\"\\x1b[2J\\n\\tbell" in cells
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert document(observed, [])["functions"][1]["name"] == HOSTILE


def test_long_names_and_texts_are_cut_in_rows() -> None:
    observed = seen()
    module = load(MODULE.binary)
    module.names.funcs[1] = "a" * 100_000
    observed.module = module
    for name in MONITORS:
        found = table(name, observed)
        assert max(len(str(cell)) for row in found.rows for cell in row) <= 200
        assert max(map(len, text([found]).splitlines())) < 300


def test_tables_are_parted_by_an_empty_line() -> None:
    tables = [Table("icount", ("name", "count"), [("a", 1)]), Table("memory", ("page",), [])]
    assert text(tables) == (
        "icount: instructions executed, in all and by function\n"
        "name  count\n"
        "a         1\n"
        "\n"
        "memory: reads and writes by page; grow, fill, copy, init\n"
        "(nothing)\n"
    )
    assert csv_text(tables) == "monitor,name,count\nicount,a,1\n\nmonitor,page\n"
    assert text([]) == csv_text([]) == ""


def test_only_the_hottest_instructions_are_in_text_and_all_of_them_in_the_rest() -> None:
    module = load(f"(module (func {'nop ' * 61}))")
    observed = Observed(module, {0: [*range(61), 0]})
    found = table("hotness", observed)
    assert found.note == "10 more"
    lines = text([found]).splitlines()
    assert len(lines) == 1 + 1 + 50 + 1
    assert lines[2].split()[2:5] == ["0x003d", "nop", "60"]
    assert lines[-1] == "(10 more)"
    assert len(csv_text([found]).splitlines()) == 1 + 60
    described = document(observed, ["hotness"])["monitors"]["hotness"]
    assert len(described["rows"]) == 50
    assert described["note"] == "10 more"
    assert len(described["listing"][0]["lines"]) == 62
    assert described["listing"][0]["lines"][60] == {
        "offset": 61,
        "depth": 1,
        "text": "nop",
        "count": 60,
        "source": None,
    }


def test_parts_that_were_not_counted_are_noted() -> None:
    observed = seen()
    observed.gaps = 1
    assert table("icount", observed).note == "1 part of the run went uncounted"
    observed.gaps = 2
    assert text([table("icount", observed)]).endswith("(2 parts of the run went uncounted)\n")
    assert document(observed, ["icount"])["gaps"] == 2


def test_a_loop_stood_at_after_a_branch_back_was_entered_all_the_same() -> None:
    """The run stands at the loop's head, which it has not begun the fourth time."""
    observed = Observed(MODULE, {1: [3] * 10 + [0, 0, 0]}, {(1, 0x13): [0, 3]})
    assert table("loops", observed).rows == [(1, "sum", 3, 1, 1, 3, 3.0)]
    observed.gaps = 1
    assert table("loops", observed).rows == [(1, "sum", 3, 1, 0, 3, None)]


def test_functions_of_other_instances_come_last_among_the_called() -> None:
    module = load("""
    (module (type $f (func)) (table 1 funcref)
      (func $main (call_indirect (type $f) (i32.const 0))))
    """)
    observed = Observed(module, {0: [5, 5, 0]}, targets={(0, 3): {None: 3, 0: 2}})
    assert table("calls", observed).rows == [
        (0, "main", 3, "indirect", 0, "main", 2),
        (0, "main", 3, "indirect", None, "host", 3),
    ]


def test_a_tree_as_deep_as_the_stack_has_tables_and_a_flat_document() -> None:
    observed = Observed(MODULE)
    node = observed.tree
    for _ in range(20_000):
        node = node.child(1)
        node.calls, node.instructions = 1, 2
    found = table("profile", observed)
    assert found.rows[0] == (1, 1, "sum", 1, 2, 40_000, 100.0)
    assert found.rows[-1] == (1, 20_000, "sum", 1, 2, 2, 0.01)
    assert max(map(len, text([found]).splitlines())) < 200
    tree = json.loads(json.dumps(document(observed, ["profile"])))["monitors"]["profile"]["tree"]
    assert tree[:3] == [[-1, -1, 0, 0], [0, 1, 1, 2], [1, 1, 1, 2]]
    assert len(tree) == 20_001


def test_a_share_is_rounded_to_the_nearest_hundredth() -> None:
    assert percent(1, 3) == 33.33
    assert percent(2, 3) == 66.67
    assert percent(1, 20_000) == 0.01
    assert percent(0, 7) == 0.0
    assert percent(0, 0) is None
    assert percent(10**30, 10**30) == 100.0
    assert hundredths(7, 2) == 3.5
    assert clipped("abcdef", 6) == "abcdef"
    assert clipped("abcdefg", 6) == "abcde…"


BLOCKS = load("""
(module
  (import "host" "log" (func $log))
  (func $blocks (param i32)
    block                 ;; 0: nothing branches to its end
      nop                 ;; 1
    end                   ;; 2
    nop                   ;; 3
    loop $again           ;; 4: always a block of its own beginning
      nop                 ;; 5
      call $log           ;; 6: a safepoint
      nop                 ;; 7: after a call
      block $out          ;; 8
        local.get 0       ;; 9
        br_if $again      ;; 10
        br $out           ;; 11
        nop               ;; 12: never reached
      end                 ;; 13
      nop                 ;; 14: come to by a branch
    end                   ;; 15: nothing branches to a loop's end
    nop                   ;; 16
    local.get 0           ;; 17
    if                    ;; 18
      nop                 ;; 19
    else                  ;; 20
    end                   ;; 21
    unreachable))         ;; 22
""")


@pytest.mark.parametrize("everywhere", [False, True])
def test_basic_blocks(everywhere: bool) -> None:
    lowered = lower(Spaces.of(BLOCKS), 1, everywhere=everywhere)
    blocks = blocks_of(lowered)
    if everywhere:
        assert blocks == [(p, p) for p, reached in enumerate(lowered.reached) if reached]
        return
    assert blocks == [
        *((0, 3), (4, 5), (6, 6), (7, 10), (11, 11), (14, 17 + 1), (19, 19), (22, 22)),
    ]


def test_the_blocks_of_a_function_without_boundaries() -> None:
    assert blocks_of(lower(Spaces.of(load("(module (func))")), 0)) == []


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_on_a_narrow_screen_names_give_way_to_the_numbers(width: int) -> None:
    found = Table(
        "coverage",
        ("function", "name", "instructions", "executed", "percent"),
        [(7, "n" * 60, 19, 15, 78.95), (8, "short", 3, 0, 0.0), (None, "total", 22, 15, 68.18)],
    )
    title, head, *rows = text([found], width).splitlines()
    assert title.startswith("coverage: ")
    # All that is no name takes 43 characters here, and a name keeps at least eight.
    most = max(width, 43 + 8)
    assert all(len(line) <= most for line in (head, *rows))
    assert [row.split()[-1] for row in rows] == ["78.95", "0.00", "68.18"]
    assert head.index("percent") + len("percent") == len(rows[0]) == min(most, 43 + 60)
    assert ("…" in rows[0]) == (most < 43 + 60)
    assert "short" in rows[1]
    assert text([found]).splitlines()[2].count("n") == 60
