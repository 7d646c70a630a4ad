"""The calling-context tree as collapsed stacks and as speedscope's JSON, on trees made by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chiwawa.instrument.counting.observed import Node, Observed
from chiwawa.instrument.monitors.flamegraphs import LONGEST, MAX_CALLS, collapsed, speedscope
from chiwawa.source import load_bytes

MODULE = load_bytes(
    b"""(module
  (import "host" "tick" (func $tick))
  (func $main)
  (func $fib)
  (func (export "odd; name\\t\\1b[1m"))
  (func))"""
)
TICK, MAIN, FIB, ODD, UNNAMED = range(5)


def observed(*rows: tuple[tuple[int, ...], int]) -> Observed:
    """What was observed where the functions of each row began so many instructions, the calls made
    in the order given."""
    tree = Node(-1)
    for path, instructions in rows:
        node = tree
        for function in path:
            node = node.child(function)
        node.calls += 1
        node.instructions += instructions
    return Observed(MODULE, tree=tree)


def chain(length: int, *functions: int) -> Observed:
    """Calls ``length`` deep, of ``functions`` in turn, each of which begins one instruction."""
    tree = node = Node(-1)
    for depth in range(length):
        node = node.child(functions[depth % len(functions)])
        node.calls = node.instructions = 1
    return Observed(MODULE, tree=tree)


SMALL = observed(
    ((MAIN, FIB, FIB), 100),
    ((MAIN, FIB), 23),
    ((MAIN, TICK), 0),
    ((MAIN,), 5),
    ((ODD, UNNAMED), 7),
)


def test_a_line_is_a_chain_of_calls_and_the_instructions_of_its_last() -> None:
    assert collapsed(SMALL) == (
        "main 5\n"
        "main;fib 23\n"
        "main;fib;fib 100\n"
        # ODD began none itself. Its name has no semicolon, space, tab or escape left.
        "odd__name__[1m;func[4] 7\n"
    )


def test_calls_made_in_another_order_give_the_same_text() -> None:
    other = observed(
        ((ODD, UNNAMED), 7),
        ((MAIN,), 5),
        ((MAIN, TICK), 0),
        ((MAIN, FIB, FIB), 100),
        ((MAIN, FIB), 23),
    )
    assert collapsed(other) == collapsed(SMALL)
    assert speedscope(other, "t") == speedscope(SMALL, "t")


def test_speedscope_has_a_sample_for_each_context() -> None:
    file = json.loads(speedscope(SMALL, "small"))
    check(file)
    assert file["name"] == "small"
    names = [frame["name"] for frame in file["shared"]["frames"]]
    assert names == ["main", "fib", "odd; name\\t\\x1b[1m", "func[4]"]
    (profile,) = file["profiles"]
    assert profile["samples"] == [[0], [0, 1], [0, 1, 1], [2, 3]]
    assert profile["weights"] == [5, 23, 100, 7]
    assert profile["endValue"] == 135


def test_nothing_observed_is_an_empty_profile() -> None:
    assert collapsed(observed()) == ""
    file = json.loads(speedscope(observed(), ""))
    check(file)
    assert file["profiles"][0]["samples"] == []


def test_what_lies_too_deep_is_summed_up_by_function() -> None:
    lines = collapsed(chain(100_000, MAIN, FIB)).splitlines()
    assert len(lines) == MAX_CALLS + 2
    assert lines[MAX_CALLS - 1].count(";") == MAX_CALLS - 1
    deeper = (100_000 - MAX_CALLS) // 2
    assert lines[-2].endswith(f";main;fib;[deeper];main {deeper}")
    assert lines[-1].endswith(f";main;fib;[deeper];fib {deeper}")
    assert sum(int(line.rsplit(" ", 1)[1]) for line in lines) == 100_000


def test_speedscope_of_a_deep_tree_loses_no_instruction() -> None:
    file = json.loads(speedscope(chain(100_000, FIB), "deep"))
    check(file)
    (profile,) = file["profiles"]
    assert sum(profile["weights"]) == profile["endValue"] == 100_000
    assert file["shared"]["frames"] == [{"name": "fib"}, {"name": "[deeper]"}]
    assert profile["samples"][-1] == [0] * MAX_CALLS + [1, 0]


def test_each_deep_branch_is_summed_up_where_it_is() -> None:
    deep = (FIB,) * MAX_CALLS
    found = observed(((MAIN, *deep, FIB), 3), ((MAIN, *deep, ODD), 4), ((ODD, *deep), 5))
    lines = [line.replace("fib;" * (MAX_CALLS - 1), "…") for line in collapsed(found).splitlines()]
    assert lines == [
        "main;…[deeper];fib 3",
        "main;…[deeper];odd__name__[1m 4",
        "odd__name__[1m;…[deeper];fib 5",
    ]


def test_a_long_name_is_cut() -> None:
    module = load_bytes(b'(module (func (export "%s")))' % (b"n" * 100_000))
    tree = Node(-1)
    tree.child(0).instructions = 1
    assert collapsed(Observed(module, tree=tree)) == "n" * LONGEST + " 1\n"


@pytest.mark.parametrize("title", ["</script>", "\ud800", "tïtle\x00"])
def test_any_title_can_be_written(title: str) -> None:
    text = speedscope(SMALL, title)
    text.encode()
    check(json.loads(text))


def check(file: dict[str, Any]) -> None:
    """``file`` is valid by speedscope's schema, as far as a sampled profile goes."""
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert {"$schema", "shared", "profiles"} <= file.keys()
    assert file.keys() <= {
        *("$schema", "shared", "profiles", "name", "activeProfileIndex", "exporter")
    }
    assert isinstance(file["name"], str)
    assert isinstance(file["exporter"], str)
    assert file["activeProfileIndex"] in range(len(file["profiles"]))
    frames = file["shared"]["frames"]
    for frame in frames:
        assert frame.keys() == {"name"}
        assert isinstance(frame["name"], str)
    for profile in file["profiles"]:
        assert profile.keys() == {
            *("type", "name", "unit", "startValue", "endValue", "samples", "weights")
        }
        assert (profile["type"], profile["unit"]) == ("sampled", "none")
        assert isinstance(profile["name"], str)
        assert profile["startValue"] == 0
        assert len(profile["samples"]) == len(profile["weights"])
        assert sum(profile["weights"]) == profile["endValue"]
        for sample in profile["samples"]:
            assert sample
            assert all(index in range(len(frames)) for index in sample)
