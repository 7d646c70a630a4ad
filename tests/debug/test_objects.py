"""What is in structures, arrays and exceptions, as the debugger shows it."""

from __future__ import annotations

from pathlib import Path

from tests.debug.debug_helpers import Debug
from tests.path_helpers import each_watched_path

OBJECTS = """(module
  (rec (type $node (struct
    (field $value (mut i32)) (field $next (mut (ref null $node))) (field $small i8))))
  (type $row (array (mut i16)))
  (type $bytes (array i8))
  (type $all (struct (field f32) (field funcref) (field externref) (field anyref) (field exnref)))
  (tag $e (param i32 anyref))
  (global $kept (mut anyref) (ref.null any))
  (func $main (export "main") (param $n i32)
    (local $list (ref null $node)) (local $all (ref null $all)) (local $caught exnref)
    (local $out externref) (local $with space i32)
    (loop $l
      (local.set $list (struct.new $node (local.get $n) (local.get $list) (i32.const -2)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (struct.set $node $next
      (struct.get $node $next (struct.get $node $next (local.get $list))) (local.get $list))
    (global.set $kept (array.new $row (i32.const 0xFFFF) (i32.const 70)))
    (local.set $caught (block $h (result i32 anyref exnref)
      (try_table (catch_ref $e $h) (throw $e (i32.const 5) (local.get $list))) (unreachable)))
    (drop) (drop)
    (local.set $out (extern.convert_any (array.new_fixed $bytes 3
      (i32.const 1) (i32.const 255) (i32.const 16))))
    (local.set $all (struct.new $all (f32.const 1.5) (ref.func $main) (local.get $out)
      (ref.i31 (i32.const -3)) (local.get $caught)))
    (nop)))
"""


def shown(debug: Debug, tmp_path: Path, path: str, *commands: str) -> list[str]:
    """What ``print`` says of each where the program is about to end."""
    text = OBJECTS.replace("(local $with space i32)", '(local $"with space" i32)')
    (tmp_path / "objects.wat").write_text(text)
    script = "".join(f"{command}\n" for command in ("c", "back", *commands))
    arguments = ("--invoke", "main", "--params", "I32(3)", "--path", path)
    outcome = debug(script, "objects.wat", *arguments)
    assert (outcome.status, outcome.err) == (0, "")
    return outcome.lines[3:]


@each_watched_path
def test_print_shows_what_is_in_objects(debug: Debug, tmp_path: Path, path: str) -> None:
    assert shown(debug, tmp_path, path, "p $list", "p g0", "p $caught", "p $out", "p $all") == [
        "REF(any <struct with 3 fields>)",
        "  struct of type $node: $value=I32(1) $next=REF(any <struct with 3 fields>) $small=I8(-2)",
        "REF(any <array of 70 i16>)",
        "  array of type $row, 70 i16: " + "I16(-1) " * 7 + "I16(-1)",
        *("  " + " ".join(["I16(-1)"] * 12) for _ in range(4)),
        "  " + " ".join(["I16(-1)"] * 8) + " …",
        "REF(exn <exception with 2 values>)",
        "  exception of tag 0 0=I32(5) 1=REF(any <struct with 3 fields>)",
        "REF(extern <array of 3 i8>)",
        "  array of type $bytes, 3 i8: 01 ff 10",
        "REF(any <struct with 5 fields>)",
        "  struct of type $all: 0=F32(1.5) 1=REF(func 0) 2=REF(extern <array of 3 i8>)"
        " 3=REF(any i31 -3)",
        "  4=REF(exn <exception with 2 values>)",
    ]


@each_watched_path
def test_print_looks_into_what_they_refer_to(debug: Debug, tmp_path: Path, path: str) -> None:
    assert shown(
        debug,
        tmp_path,
        path,
        "p $list $next $value",
        "p $list 1 1 1 0",
        "p g0 69",
        "p $out 1",
        "p $all 4 1 $small",
        "p $with space",
    ) == ["I32(2)", "I32(1)", "I16(-1)", "I8(-1)", "I8(-2)", "I32(0)"]


@each_watched_path
def test_what_is_not_there_is_refused_in_a_line(debug: Debug, tmp_path: Path, path: str) -> None:
    assert shown(
        debug,
        tmp_path,
        path,
        "p $list 3",
        "p $list $nexst",
        "p $list -1",
        "p $n 0",
        "p g0 70",
        "p $all 3 0",
        "p $lisst $next",
        "p g0 $value",
    ) == [
        "error: there is no 3 in it: it has 3 values",
        "error: there is no $nexst in it: it has 3 values",
        "error: there is no -1 in it: it has 3 values",
        "error: there is nothing in it that could be 0",
        "error: there is no 70 in it: it has 70 values",
        "error: there is nothing in it that could be 0",
        "error: there is no local or global $lisst here",
        "error: there is no $value in it: it has 70 values",
    ]
