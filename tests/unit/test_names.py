"""Names: one for each function, wherever it is shown, and none that a terminal obeys."""

from pathlib import Path

import pytest

import chiwawa
from chiwawa import api
from chiwawa.debug.listing import FunctionListing
from chiwawa.inspect import describe, render
from chiwawa.instrument.labels import function_labels
from chiwawa.module import Module
from chiwawa.program import program_of
from chiwawa.source import load
from chiwawa.wat import print_module
from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import Trap
from chiwawa_runtime.names import function_label, identifier, indexed_label, printable, quoted
from chiwawa_runtime.state.program import Program
from tests.path_helpers import each_path

#: The name section's, an export's, the first export's, none.
TEXT = r"""(module
  (func $first (export "other") (loop) (call 1))
  (func (export "second") (loop) (call 2))
  (func (export "\1b[31m\u{202e}") (export "third") (loop) (call 3))
  (func (loop) unreachable))"""
NAMES = {0: "first", 1: "second", 2: "\x1b[31m\u202e"}
SHOWN = ["$first", "$second", r'$"\1b[31m\u{202e}"', "func[3]"]


@pytest.fixture
def module() -> Module:
    return load(TEXT)


def programs(module: Module, folder: Path) -> list[Program]:
    api.compile_file(module, folder / "out.py")
    return [program_of(module), api.load_generated(folder / "out.py").program]


def test_a_name_is_chosen_once_for_both_paths(module: Module, tmp_path: Path) -> None:
    assert module.func_names() == NAMES
    assert [dict(p.function_names) for p in programs(module, tmp_path)] == [NAMES, NAMES]
    assert function_labels(module) == [*NAMES.values(), "func[3]"]


@each_path
def test_a_function_has_one_name_everywhere(module: Module, path: str) -> None:
    with pytest.raises(Trap) as caught:
        chiwawa.instantiate(module, path=path).invoke("other", [])
    places = [str(place).split(" (")[0] for place in caught.value.backtrace]
    assert places == SHOWN[::-1]

    run = chiwawa.start(module, "other", path=path, count=4)
    assert not run.go()
    shown = render(describe(checkpoint.decode(run.checkpoint()), module))
    frames = [line.split(maxsplit=1)[1] for line in shown.splitlines() if line[:3] == "  #"]
    assert len(frames) > 1
    labels = [FunctionListing(module).label(index) for index in range(4)]
    assert [frame.split(" at ")[0] for frame in frames] == labels[len(frames) - 1 :: -1]
    assert labels == [*(f"{name} (function {i})" for i, name in enumerate(SHOWN[:3])), "func[3]"]


def test_labels() -> None:
    assert function_label(3, "fill") == "$fill"
    assert function_label(3, None) == function_label(3, "") == "func[3]"
    assert indexed_label(3, "two words") == '$"two words" (function 3)'
    assert indexed_label(3, None) == "func[3]"


STEERING = [chr(c) for c in (*range(0x20), *range(0x7F, 0xA0))] + list(
    "\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\U000e0001"
)


@pytest.mark.parametrize("character", STEERING, ids=lambda c: f"U+{ord(c):04X}")
def test_no_character_that_a_terminal_obeys_or_hides_is_printed(character: str) -> None:
    name = f"a{character}b"
    for text in (printable(name), quoted(name), identifier(name)):
        assert text.isprintable()
        assert character not in text


@pytest.mark.parametrize("first", range(0, 0x3000, 0x400))
def test_names_go_round_through_the_text_format(first: int) -> None:
    characters = "".join(map(chr, range(first, first + 0x400)))
    exported = "".join(f"\\u{{{ord(c):x}}}" for c in characters)
    module = load(f'(module (import "{exported}" "\\u{{feff}}" (func $"{exported}"))'
                  f' (export "{exported}" (func 0)))')  # fmt: skip
    printed = print_module(module)
    assert all(line.isprintable() for line in printed.splitlines())
    again = load(printed)
    assert again.export_section[0].name == module.export_section[0].name == characters
    assert again.import_section == module.import_section


def test_what_is_readable_stays_readable() -> None:
    assert quoted("grüße, 世界") == '"grüße, 世界"'
    assert quoted('"\\\t\r\n') == r'"\"\\\t\r\n"'
    assert printable("grüße") == "grüße"
