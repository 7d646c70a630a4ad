"""Source lines from DWARF: as compilers write it, as it is written by hand, and broken."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import chiwawa
from chiwawa.commands.cli import main
from chiwawa.instrument.source_lines import source_lines, with_sources
from chiwawa.module import Custom, Module
from chiwawa.source import load, load_bytes
from chiwawa_runtime.errors import Location
from tests.need_helpers import need
from tests.path_helpers import each_watched_path

# What a compiler writes. The lines that are asked for below have names.

INNER = """\
static int inner(int a, int b) {
    int c = a + 1;

    return c / b; /* divides */
}
"""
MAIN = """\
#include "sub/inner.h"

__attribute__((noinline)) int divide(int a, int b) {
    if (a > 100)
        a -= 7;
    return inner(a, b) * 3;
}

__attribute__((export_name("run")))
int run(int a, int b) {
    int total = 0;
    for (int i = 0; i < a; i++)
        total += divide(i, b - i); /* calls */
    return total;
}
"""


def line_of(source: str, mark: str) -> int:
    return next(i for i, line in enumerate(source.splitlines(), 1) if mark in line)


DIVIDES = f"sub/inner.h:{line_of(INNER, 'divides')}"
CALLS = f"main.c:{line_of(MAIN, 'calls')}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("ziglang")
    made = tmp_path_factory.mktemp("compiled")
    (made / "sub").mkdir()
    (made / "sub" / "inner.h").write_text(INNER)
    (made / "main.c").write_text(MAIN)
    return made


@pytest.fixture(scope="module", params=[4, 5], ids=["dwarf4", "dwarf5"])
def compiled(request: pytest.FixtureRequest, folder: Path) -> Path:
    target = folder / f"main{request.param}.wasm"
    options = ["-O1", f"-gdwarf-{request.param}", "-target", "wasm32-freestanding", "-nostdlib"]
    command = [sys.executable, "-m", "ziglang", "cc", *options, "-Wl,--no-entry", "main.c"]
    done = subprocess.run(
        [*command, "-o", str(target)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target


def place_of(module: Module, name: str) -> tuple[int, int]:
    """The first instruction of that name."""
    imported = len(module.func_typeidxs()) - len(module.funcs)
    return next(
        (imported + index, instr.offset)
        for index, func in enumerate(module.funcs)
        for instr in func.body
        if instr.op.name == name
    )


def test_an_instruction_has_the_line_that_the_compiler_made_it_from(compiled: Path) -> None:
    module = load(compiled)
    lines = source_lines(module)
    assert lines is not None
    assert lines.at(*place_of(module, "i32.div_s")) == DIVIDES
    assert lines.at(*place_of(module, "call")) == CALLS
    assert lines.problem is None


@each_watched_path
def test_a_trap_names_the_lines_that_it_passed_through(
    compiled: Path, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--invoke", "run", "--params", "I32(5),I32(3)", "--path", path]
    assert main(["run", str(compiled), *options]) == 134
    message, *frames = capfd.readouterr().err.splitlines()
    assert message == "trap: integer divide by zero"
    assert [frame.rpartition(" at ")[2] for frame in frames] == [DIVIDES, CALLS]


def test_a_generated_file_names_them_where_the_toolchain_runs_it(
    compiled: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "main.py"
    chiwawa.compile_file(load(compiled), file)
    assert main(["run", str(file), "--invoke", "run", "--params", "I32(5),I32(3)"]) == 134
    frames = capfd.readouterr().err.splitlines()[1:]
    assert [frame.rpartition(" at ")[2] for frame in frames] == [DIVIDES, CALLS]


def test_a_checkpoint_is_listed_with_the_lines_where_it_was_taken(
    compiled: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "c.bin")
    options = ["--params", "I32(5),I32(9)", "--granularity", "instruction", "--cr-at", "20"]
    assert main(["run", str(compiled), "--invoke", "run", *options, "--cr-file", file]) == 0
    capfd.readouterr()
    assert main(["inspect", file, str(compiled), "--json"]) == 0
    frames = json.loads(capfd.readouterr().out)["frames"]
    assert frames[0]["source"].startswith(("main.c:", "sub/inner.h:"))
    assert frames[-1]["source"].startswith("main.c:")
    assert main(["inspect", file, str(compiled)]) == 0
    text = capfd.readouterr().out
    assert all(f" at {frame['source']}\n" in text for frame in frames)


# By hand.

WAT = """
(module
  (import "host" "nothing" (func))
  (func (export "first") (result i32) (i32.const 1))
  (func (export "second") (param i32) (result i32)
    (local i64)
    (i32.div_s (i32.const 1) (local.get 0))))
"""
OPERANDS = bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
PATH, DIRECTORY = 1, 2
STRING, UDATA = 0x08, 0x0F


def sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def program(rows: list[tuple[int, int, int]], *, directory: str, names: bytes) -> bytes:
    """A line program: of each row address, file and line, the last one only an end."""
    head = bytes([1, 1, 1, 0xFB, 14, 13]) + OPERANDS
    head += bytes([1, PATH, STRING, 1]) + directory.encode() + b"\0" + names
    code = b"\0\x05\x02" + struct.pack("<I", rows[0][0])
    address, line = rows[0][0], 1
    for at, file, now in rows[:-1]:
        code += bytes([2, at - address, 4, file, 3, (now - line) & 0x7F, 1])
        address, line = at, now
    code += bytes([2, rows[-1][0] - address, 0, 1, 1])
    return sized(struct.pack("<HBB", 5, 4, 0) + sized(head) + code)


NAMES = bytes([2, PATH, STRING, DIRECTORY, UDATA, 3]) + b"a.c\0\0b.h\0\0/usr/c.h\0\0"
ABBREVIATIONS = bytes([1, 0x11, 0, 0x10, 0x17, 0x11, 0x01, 0x12, 0x06, 0, 0, 0])


def unit(at: int, low: int, size: int) -> bytes:
    """A unit whose line program is at ``at`` in its section."""
    return sized(struct.pack("<HBBI", 5, 1, 4, 0) + b"\x01" + struct.pack("<III", at, low, size))


def with_dwarf(line: bytes, info: bytes, abbreviations: bytes = ABBREVIATIONS) -> Module:
    module = load_bytes(load(WAT).binary)
    sections = {".debug_line": line, ".debug_info": info, ".debug_abbrev": abbreviations}
    return replace(module, customs=[Custom(name, data, 11) for name, data in sections.items()])


def starts(module: Module) -> list[int]:
    assert all(func.at is not None for func in module.funcs)
    return [func.at or 0 for func in module.funcs]


FIRST, SECOND = starts(load_bytes(load(WAT).binary))


def test_a_body_starts_after_its_size_counted_from_the_sections_contents() -> None:
    # The number of bodies, the first one's size, and itself.
    assert FIRST == 2
    assert SECOND == 2 + 4 + 1


def table() -> tuple[bytes, bytes]:
    """The lines of both functions, in a unit each."""
    first = program([(FIRST, 0, 7), (FIRST + 4, 0, 7)], directory="/src", names=NAMES)
    rows = [(SECOND, 0, 20), (SECOND + 3, 1, 21), (SECOND + 5, 2, 22), (SECOND + 7, 0, 0)]
    second = program([*rows, (SECOND + 9, 0, 0)], directory="/src", names=NAMES)
    return first + second, unit(0, FIRST, 4) + unit(len(first), SECOND, 9)


def test_a_place_has_the_row_that_begins_last_before_it() -> None:
    lines = source_lines(with_dwarf(*table()))
    assert lines is not None
    assert lines.at(1, 1) == "a.c:7"
    assert lines.at(2, 3) == "b.h:21"
    assert lines.at(2, 4) == "b.h:21"
    assert lines.at(2, 5) == "/usr/c.h:22"
    # Line 0 is that of no source, and the program ends at the last row.
    assert lines.at(2, 7) is None
    assert lines.at(2, 9) is None
    # Nothing is known of what is imported, or not there.
    assert lines.at(0, 0) is None
    assert lines.at(3, 0) is None
    assert lines.problem is None


def test_units_that_do_not_say_where_their_code_is_are_read_too() -> None:
    abbreviations = bytes([1, 0x11, 0, 0x10, 0x17, 0, 0, 0])
    line, _ = table()
    at = line.index(struct.pack("<HBB", 5, 4, 0), 8) - 4
    info = b"".join(
        sized(struct.pack("<HBBI", 5, 1, 4, 0) + b"\x01" + struct.pack("<I", start))
        for start in (0, at)
    )
    lines = source_lines(with_dwarf(line, info, abbreviations))
    assert lines is not None
    assert (lines.at(1, 1), lines.at(2, 3)) == ("a.c:7", "b.h:21")


def test_lines_of_code_that_the_linker_left_out_are_not_those_of_other_code() -> None:
    left_out = program([(0, 0, 99), (SECOND + 20, 0, 99)], directory="/src", names=NAMES)
    line, _ = table()
    after = unit(0, 0, SECOND + 20) + unit(len(left_out), FIRST, 4)
    lines = source_lines(with_dwarf(left_out + line, after))
    assert lines is not None
    assert lines.at(1, 1) == "a.c:7"
    assert lines.at(2, 3) is None
    assert lines.problem is None


def test_a_module_without_dwarf_has_no_lines() -> None:
    module = load(WAT)
    place = Location(1, 1, "first")
    assert source_lines(module) is None
    assert with_sources(module, [place]) == (place,)


def test_a_place_shows_its_line_last() -> None:
    (place,) = with_sources(with_dwarf(*table()), [Location(2, 4, "second")])
    assert str(place) == "$second (function 2, code offset 0x4) at b.h:21"


def test_a_place_in_another_module_has_that_ones_lines() -> None:
    with_lines, without = with_dwarf(*table()), load("(module (func) (func) (func))")
    places = [Location(2, 4, None, module=each.hash) for each in (with_lines, without)]
    for one, other in ((with_lines, without), (without, with_lines)):
        sources = [place.source for place in with_sources(one, places, [other])]
        assert sources == ["b.h:21", None]


# Broken.


def test_a_path_cannot_make_a_terminal_do_something() -> None:
    names = bytes([2, PATH, STRING, DIRECTORY, UDATA, 1]) + b"\x1b[2J\n\xff.c\0\0"
    line = program([(FIRST, 0, 7), (FIRST + 4, 0, 7)], directory="/src", names=names)
    lines = source_lines(with_dwarf(line, unit(0, FIRST, 4)))
    assert lines is not None
    assert lines.at(1, 1) == "\\x1b[2J\\n\N{REPLACEMENT CHARACTER}.c:7"


@pytest.mark.parametrize("part", ["directories", "files"])
def test_entries_of_no_bytes_are_refused(part: str) -> None:
    many = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
    names = b"\0" + many if part == "files" else b""
    line = program([(FIRST, 0, 7), (FIRST + 4, 0, 7)], directory="/src", names=names)
    if part == "directories":
        flags = bytes([1, PATH, 0x19]) + many
        line = line.replace(bytes([1, PATH, STRING, 1]) + b"/src\0", flags)
    lines = source_lines(with_dwarf(line, unit(0, FIRST, 4)))
    assert lines is not None
    assert lines.at(1, 1) is None
    assert lines.problem == "broken DWARF: DWARFError: a line program has files without names"


def test_a_unit_that_is_broken_does_not_take_others_with_it() -> None:
    line, info = table()
    lines = source_lines(with_dwarf(line, info + unit(len(line) + 5, 1000, 4)))
    assert lines is not None
    assert lines.at(1, 1) == "a.c:7"
    broken = source_lines(with_dwarf(line, info.replace(unit(0, FIRST, 4), unit(9999, FIRST, 4))))
    assert broken is not None
    assert broken.at(1, 1) is None
    assert broken.problem is not None
    assert "\n" not in broken.problem
    assert broken.at(2, 3) == "b.h:21"


@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_broken_only_lines_are_missing(seed: int) -> None:
    choose = random.Random(seed)
    parts = [bytearray(part) for part in (*table(), ABBREVIATIONS)]
    for _ in range(1 + choose.randrange(4)):
        part = choose.choice(parts)
        if not part:
            continue
        place = choose.randrange(len(part))
        if choose.randrange(8) == 0:
            del part[place:]
        else:
            part[place] = choose.choice((0, 0x7F, 0x80, 0xFF, choose.randrange(256)))
    lines = source_lines(with_dwarf(*map(bytes, parts)))
    assert lines is not None
    for function in range(4):
        for offset in range(10):
            shown = lines.at(function, offset)
            assert shown is None or shown.isprintable()


def test_a_broken_section_that_a_compiler_wrote_does_no_harm(compiled: Path) -> None:
    module = load(compiled)
    choose = random.Random(1)
    for _ in range(40):
        customs = list(module.customs)
        place = choose.choice(
            [i for i, c in enumerate(customs) if c.name.startswith(".debug_") and c.data]
        )
        data = bytearray(customs[place].data)
        for _ in range(3):
            data[choose.randrange(len(data))] = choose.randrange(256)
        customs[place] = replace(customs[place], data=bytes(data))
        lines = source_lines(replace(module, customs=customs))
        assert lines is not None
        for index in range(len(module.funcs)):
            for offset in range(0, 60, 7):
                lines.at(index, offset)
