"""Large and deep texts: what they cost grows with their size alone, whatever is in them.

Nothing here is timed. What takes the square of its size would take hours.
"""

import tracemalloc

import pytest

from chiwawa.source import load
from chiwawa.wat import parse_module, print_module
from chiwawa_runtime.errors import BadInput

MANY = 20_000
LABELS = "".join(f"(block $l{n} (br $l0) " for n in range(MANY))

READ = {
    "annotations of parentheses": f"(module (@a {'(' * MANY}{')' * MANY}))",
    "annotations in annotations": f"(module {'(@a ' * MANY}{')' * MANY})",
    "annotations beside each other": f"(module {'(@a (x))(;;)' * MANY})",
    "comments in comments": f"(module {'(;' * MANY}{';)' * MANY})",
    "a comment of lone characters": f"(; {'; ( ' * MANY};)",
    "lines of comments": ";; x\n" * MANY,
    "blocks": f"(func {'(block ' * MANY}{')' * MANY})",
    "labels": f"(func {LABELS}{')' * MANY})",
    "operands": f"(func (drop {'(i32.eqz ' * MANY}(i32.const 0){')' * MANY}))",
    "ifs": f"(func {'(if (i32.const 0) (then ' * MANY}{'))' * MANY})",
    "conditions": f"(func (if {'(block (result i32) ' * MANY}(i32.const 0){')' * MANY} (then)))",
    "flat blocks": f"(func {'block ' * MANY}{'end ' * MANY})",
    "zeros": f"(func (drop (i32.const {'0' * MANY}1)))",
    "digits of a float": f"(func (drop (f64.const 0.{'1' * MANY}e-3)))",
    "hexadecimal digits of a float": f"(func (drop (f64.const 0x{'f' * MANY}p-{'4' * 6})))",
    "a small exponent": f"(func (drop (f64.const 1e-{'9' * MANY})))",
    "names": "".join(f"(func $f{n})" for n in range(MANY // 5)),
    "types named early": "(func (type 1))" + "(func (param i32))" * (MANY // 5) + "(func (type 0))",
}


@pytest.mark.parametrize("name", READ)
def test_what_is_large_is_read(name: str) -> None:
    parse_module(READ[name])


REFUSED = {
    "parentheses": f"{'(' * MANY}{')' * MANY}",
    "open parentheses": "(" * MANY,
    "closing parentheses": f"(module){')' * MANY}",
    "open annotations": f"(@a {'(' * MANY}",
    "open comments": "(;" * MANY,
    "offsets": f"(data {'(offset ' * MANY}{')' * MANY})",
    "references": f"(func (param {'(ref ' * MANY}{')' * MANY}))",
    "unknown words": f"(func {'(foo ' * MANY}{')' * MANY})",
    "an integer": f"(func (i32.const {'1' * MANY}))",
    "an integer with underscores": f"(func (i32.const {'1_' * MANY}1))",
    "a float": f"(func (f32.const {'1' * MANY}))",
    "an exponent": f"(func (f64.const 0x1p{'9' * MANY}))",
    "a payload": f"(func (f64.const nan:0x{'1' * MANY}))",
    "an index": f"(func (call {'1' * MANY}))",
    "a size": f"(memory {'1' * MANY})",
    "an offset": f"(func (i32.load offset={'1' * MANY}))",
    "an alignment": f"(func (i32.load align={'1' * MANY}))",
    "an escape": '(data "\\u{' + "1" * MANY + '}")',
    "signs": f"(func (i32.const {'+' * MANY}))",
    "quotes": "(data " + '"' * MANY + ")",
    "dots": "." * MANY,
    "a type error": f"(func (drop (i64.eqz (i32.const 1))){'(block)' * MANY})",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_large_and_wrong_is_refused_in_its_place(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(REFUSED[name].encode())
    assert caught.value.line == 1
    assert caught.value.column is not None


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('(memory 1) (data "' + "\\00" * MANY + '")', True),
        ('(memory 1) (data "' + "\\u{1F600}" * MANY + '")', True),
        ('(memory 1) (data "' + "\\00" * MANY, False),
        ('(memory 1) (data "' + "a\\x" * MANY + '")', False),
        ("(func " + "0a" * MANY + ")", False),
        ("(; " + "; ( " * MANY + ";)", True),
        (";; x\n" * MANY, True),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_long_token_takes_no_more_than_a_few_times_its_length(text: str, right: bool) -> None:
    load("(module)")
    tracemalloc.start()
    try:
        load(text.encode())
    except BadInput:
        assert not right
    else:
        assert right
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * len(text)


def test_deep_labels_are_printed() -> None:
    module = load(READ["labels"])
    printed = print_module(module)
    assert printed.count("br $l0\n") == MANY
    assert load(printed).binary == module.binary


def test_labels_of_one_name_hide_each_other() -> None:
    module = load(
        "(func (block $a (block $b (block $a (br $a) (br $b) (br 2)) (br $a)) (br $a)) (block $a))"
    )
    printed = print_module(module)
    assert [line.strip() for line in printed.splitlines() if "br " in line] == [
        "br $a",
        "br $b",
        "br 2",
        "br $a",
        "br $a",
    ]
    assert load(printed).binary == module.binary
