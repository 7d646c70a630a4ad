"""What holds of the inner form: of all that is made, and what is broken is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from chiwawa.aot.ir import Block, Br, BrTable, Call, If, Loop, Plain, Poll, Step
from chiwawa.aot.ir_checker import check
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Site, Sites
from chiwawa.meanings.fold import call, name
from chiwawa.source import load
from tests.nodiff.generator_helpers import Generator, seeded
from tests.unit.aot.form_helpers import form, forms, function_label, plain

SAMPLES = sorted((Path(__file__).parents[3] / "samples").glob("*.wasm"))
#: A function with a bit of everything, and functions that it calls.
FIELDS = """
    (import "h" "next" (func $next (param i32) (result i32)))
    (memory 1)
    (func $two (param i32) (result i32 i32) (loop) (local.get 0) (local.get 0))
    (func (param i32) (result i32) (local i32)
      (block $done (result i32)
        (loop $again
          (br_if $done (i32.const 3) (i32.load (local.get 0)))
          drop
          (i32.add (call $two (local.get 1)))
          (local.set 1 (call $next (i32.const 1)))
          (if (local.get 1)
            (then (local.set 1 (call $next (i32.const 2))) (br $again))
            (else (drop (call $next (i32.const 4)))))
          drop
          (block (block (br_table 0 1 (local.get 1))) (local.set 0 (i32.const 5))))
        (local.get 1)))"""

Kind = TypeVar("Kind", bound=Step)


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_it_holds_of_the_samples(path: Path, everywhere: bool) -> None:
    for steps, lowered in forms(load(path), everywhere=everywhere):
        check(steps, lowered)


@pytest.mark.parametrize("seed", range(20))
def test_it_holds_of_generated_modules(seed: int) -> None:
    module = load(Generator(seeded(f"form {seed}"), (30, 60, 120)[seed % 3]).module())
    for everywhere in (False, True):
        for steps, lowered in forms(module, everywhere=everywhere):
            check(steps, lowered)


def seeing_everything(lowered: Lowered) -> Sites:
    """At each boundary, sites that see all its operands and locals, and may assign to them."""
    at = {}
    locals_ = [f"l{i}" for i in range(len(lowered.locals))]
    for position, reached in enumerate(lowered.reached):
        if reached:
            operands = [f"s{i}" for i in range(lowered.heights[position])]
            source = f"see({', '.join([*operands, *locals_])})"
            at[position] = [Site("count()"), Site(source, reads=True, writes=True)]
    return Sites(at, entry="enter()", exit="leave()")


@pytest.mark.parametrize("seed", range(6))
def test_it_holds_with_sites_and_of_what_they_see(seed: int) -> None:
    module = load(Generator(seeded(f"sites {seed}"), 60).module())
    for steps, lowered in forms(module, sites_of=seeing_everything):
        check(steps, lowered)


def found(steps: list[Step], kind: type[Kind]) -> list[Kind]:
    """The steps of a kind in a tree, in turn."""
    result: list[Kind] = []
    for step in steps:
        if isinstance(step, kind):
            result.append(step)
        match step:
            case If(then=then, orelse=orelse):
                result += found([*then, *orelse], kind)
            case Loop(body=body) | Block(body=body):
                result += found(body, kind)
    return result


def around(steps: list[Step], wanted: Step) -> list[Step]:
    """The list that a step stands in."""
    lists = [steps]
    for choice in found(steps, If):
        lists += [choice.then, choice.orelse]
    lists += [construct.body for construct in (*found(steps, Loop), *found(steps, Block))]
    (result,) = [each for each in lists if any(step is wanted for step in each)]
    return result


def insert(steps: list[Step], before: Step, *added: Step) -> None:
    place = around(steps, before)
    index = next(i for i, step in enumerate(place) if step is before)
    place[index:index] = added


def remove(steps: list[Step], step: Step) -> None:
    place = around(steps, step)
    place[:] = [other for other in place if other is not step]


def shared_label(steps: list[Step], lowered: Lowered) -> None:
    inner, outer = found(steps, Block)[-1], found(steps, Block)[0]
    inner.label = outer.label


def kinds_of_labels(steps: list[Step], lowered: Lowered) -> None:
    loop = found(steps, Loop)[0]
    place = around(steps, loop)
    place[place.index(loop)] = Block(loop.label, loop.body)


def swapped_constructs(steps: list[Step], lowered: Lowered) -> None:
    outer, inner = found(steps, Block)[-2:]
    outer.label, inner.label = inner.label, outer.label


def branch_aside(steps: list[Step], lowered: Lowered) -> None:
    table = found(steps, BrTable)[0]
    insert(steps, steps[-1], If(name("l0"), [Br(table.labels[0])], [], 900, 900))


def branch_out_of_another_function(steps: list[Step], lowered: Lowered) -> None:
    found(steps, Br)[-1].label = function_label()


def table_out_of_the_function(steps: list[Step], lowered: Lowered) -> None:
    table = found(steps, BrTable)[0]
    table.labels = (*table.labels, lowered.function)


def return_without_a_value(steps: list[Step], lowered: Lowered) -> None:
    found(steps, Br)[-1].value = None


def branch_with_a_value(steps: list[Step], lowered: Lowered) -> None:
    found(steps, Br)[0].value = name("l0")


def exit_of_a_loop(steps: list[Step], lowered: Lowered) -> None:
    next(br for br in found(steps, Br) if br.label.loops).exits = True


def steps_behind_a_branch(steps: list[Step], lowered: Lowered) -> None:
    steps.append(plain("l0 = 1"))


def no_return(steps: list[Step], lowered: Lowered) -> None:
    steps.pop()


def end_that_is_not_reached(steps: list[Step], lowered: Lowered) -> None:
    found(steps, Loop)[0].label.leaves = False


def poll_out_of_turn(steps: list[Step], lowered: Lowered) -> None:
    first, second = found(steps, Poll)[1:3]
    second.offset = first.offset


def second_arm_before_the_first(steps: list[Step], lowered: Lowered) -> None:
    next(choice for choice in found(steps, If) if choice.orelse).else_offset = 1


def end_before_the_second_arm(steps: list[Step], lowered: Lowered) -> None:
    choice = next(choice for choice in found(steps, If) if choice.orelse)
    choice.end_offset = choice.else_offset


def choice_with_places_in_it(steps: list[Step], lowered: Lowered) -> None:
    choice = next(choice for choice in found(steps, If) if choice.orelse)
    choice.else_offset = choice.end_offset = 0


def poll_too_few(steps: list[Step], lowered: Lowered) -> None:
    remove(steps, found(steps, Poll)[-1])


def poll_where_no_boundary_is(steps: list[Step], lowered: Lowered) -> None:
    insert(steps, steps[-1], Poll(lowered.body[-1].offset))


def loop_that_starts_with_something_else(steps: list[Step], lowered: Lowered) -> None:
    insert(steps, found(steps, Loop)[0].body[0], plain("l0 = 1"))


def call_where_the_body_has_none(steps: list[Step], lowered: Lowered) -> None:
    found(steps, Call)[0].offset = lowered.body[3].offset


def results_into_other_operands(steps: list[Step], lowered: Lowered) -> None:
    found(steps, Call)[0].targets = ["s1", "s2"]


def operand_that_was_not_assigned(steps: list[Step], lowered: Lowered) -> None:
    insert(steps, steps[-1], plain("l0 = s3"))


def operand_assigned_in_one_arm_alone(steps: list[Step], lowered: Lowered) -> None:
    insert(steps, steps[-1], If(name("l0"), [plain("s3 = 1")], [], 900, 900), plain("l0 = s3"))


def operand_that_waits_unassigned(steps: list[Step], lowered: Lowered) -> None:
    # That beneath the arguments of the first call in the loop.
    place = found(steps, Loop)[0].body
    place[:] = [s for s in place if not (isinstance(s, Plain) and "s0" in assigned_by(s))]


def assigned_by(step: Plain) -> list[str]:
    node: Any = step.node
    return [target.id for target in getattr(node, "targets", ())]


def results_read_before_a_call(steps: list[Step], lowered: Lowered) -> None:
    insert(steps, steps[0], plain("l0 = results[0]"))


def local_that_is_not_there(steps: list[Step], lowered: Lowered) -> None:
    insert(steps, steps[-1], plain("l9 = 1"))


def variable_of_the_structures(steps: list[Step], lowered: Lowered) -> None:
    insert(steps, steps[-1], plain("pc = 0"))


def trap_without_an_offset(steps: list[Step], lowered: Lowered) -> None:
    next(step for step in found(steps, Plain) if step.offset is not None).offset = None


def two_traps_in_a_statement(steps: list[Step], lowered: Lowered) -> None:
    insert(steps, steps[-1], plain("l0 = l0 // l1 % l1", 5))


def trap_in_a_test(steps: list[Step], lowered: Lowered) -> None:
    found(steps, If)[0].test = call("i32_div_s", name("l0"), name("l1"))


def trap_in_an_argument(steps: list[Step], lowered: Lowered) -> None:
    found(steps, Call)[0].value.args[0] = call("i32_trunc_s", name("l0"))


BREAKS: list[tuple[str, Callable[[list[Step], Lowered], None]]] = [
    ("labels: its label is another's", shared_label),
    ("labels: its label is another's", kinds_of_labels),
    ("labels: it does not lie in what is around it", swapped_constructs),
    ("branches: it leads to nothing around it", branch_aside),
    ("branches: it leads out of another function", branch_out_of_another_function),
    ("branches: a table leads out of the function", table_out_of_the_function),
    ("branches: a value where none is taken, or none", return_without_a_value),
    ("branches: a value where none is taken, or none", branch_with_a_value),
    ("branches: it exits a loop", exit_of_a_loop),
    ("ends: nothing gets here", steps_behind_a_branch),
    ("ends: something falls off the end of the function", no_return),
    ("ends: whether its end is reached is said wrongly", end_that_is_not_reached),
    ("places: ", poll_out_of_turn),
    ("places: ", second_arm_before_the_first),
    ("places: ", end_before_the_second_arm),
    ("places: there are places in a choice without one", choice_with_places_in_it),
    ("safepoints: polls are at", poll_too_few),
    ("safepoints: there is no boundary there", poll_where_no_boundary_is),
    ("safepoints: a loop does not start with its safepoint", loop_that_starts_with_something_else),
    ("safepoints: the body has no call there", call_where_the_body_has_none),
    ("safepoints: its results go elsewhere", results_into_other_operands),
    ("variables: s3 may not have been assigned", operand_that_was_not_assigned),
    ("variables: s3 may not have been assigned", operand_assigned_in_one_arm_alone),
    ("variables: s0 may not have been assigned", operand_that_waits_unassigned),
    ("variables: results may not have been assigned", results_read_before_a_call),
    ("variables: there is no local l9", local_that_is_not_there),
    ("variables: pc is not for steps", variable_of_the_structures),
    ("traps: it can trap in 1 places", trap_without_an_offset),
    ("traps: it can trap in 2 places", two_traps_in_a_statement),
    ("traps: what it tests or gives can trap", trap_in_a_test),
    ("traps: an argument can trap", trap_in_an_argument),
]


@pytest.mark.parametrize(
    ("message", "break_it"), BREAKS, ids=[break_it.__name__ for _, break_it in BREAKS]
)
def test_what_is_broken_is_found(
    message: str, break_it: Callable[[list[Step], Lowered], None]
) -> None:
    steps, lowered = form(FIELDS)
    check(steps, lowered)
    break_it(steps, lowered)
    with pytest.raises(AssertionError) as caught:
        check(steps, lowered)
    assert str(caught.value).startswith(message)


def test_the_results_of_a_construct_are_in_their_variables_behind_it() -> None:
    steps, lowered = form("(func (param i32) (result i32) (block (result i32) (local.get 0)))")
    check(steps, lowered)
    found(steps, Block)[0].body.pop()
    # What it returns would be found too.
    found(steps, Br)[0].value = name("l0")
    with pytest.raises(AssertionError, match="variables: s0 may not have been assigned\nblock L0"):
        check(steps, lowered)


def test_what_a_branch_takes_along_is_in_its_variables() -> None:
    steps, lowered = form(
        """(func (param i32) (result i32)
             (block (result i32) (drop (br_if 0 (i32.const 5) (local.get 0))) (local.get 0)))"""
    )
    check(steps, lowered)
    (taken, *_) = [step for step in found(steps, Plain) if "s0" in assigned_by(step)]
    remove(steps, taken)
    with pytest.raises(AssertionError, match="variables: s0 may not have been assigned\nbr "):
        check(steps, lowered)
