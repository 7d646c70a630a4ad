"""The frames of a snapshot, verified: each at a place where its function can stop, with values of
its types, and called by the one beneath it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.segments import MAX_DEPTH, rise
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.run.references import (
    References,
    Typed,
    typed_values,
    untyping,
)
from chiwawa_runtime.state.program import CallPoint
from chiwawa_runtime.state.snapshot import (
    Frame,
)
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.subtyping import comp_matches, null_of
from chiwawa_runtime.state.types import (
    DefType,
    FuncType,
    RefType,
    ValType,
)


@dataclass(frozen=True, slots=True)
class Place:
    """What all frames have in common that stand at one place, above a frame of one function: of a
    deep program there are many."""

    instance: ModuleInstance
    locals: Sequence[ValType]
    stack: Sequence[ValType]
    untyped_locals: Callable[[Typed], list[Any] | None]
    untyped_stack: Callable[[Typed], list[Any] | None]
    #: Whether they count towards the depth of the call stack, whether their callee is imported, and
    #: how much deeper it is.
    counts: bool
    imports: bool
    rise: int


def check_frames(
    instances: Sequence[ModuleInstance], frames: Sequence[Frame], refs: References, most: int
) -> list[RawFrame]:
    """Each frame at a boundary that its function has, with values of its types, and called by the
    frame after it, the oldest by the run of the first instance; none that counts ``most`` deep."""
    result: list[RawFrame] = []
    places: list[Place] = []
    known: dict[tuple[int, ...], Place] = {}
    below: Frame | None = None
    # The function of the frame below; there is none yet.
    callee = -1, -1
    for frame in frames:
        function, offset, locals_, stack, number = frame
        key = function, offset, number, *callee
        place = known.get(key)
        if place is None:
            place = known[key] = check_place(instances, frame, below)
        raw_locals = place.untyped_locals(locals_)
        if raw_locals is None:
            raw_locals = typed_values(place.locals, locals_, refs, described(frame))
        raw_stack = place.untyped_stack(stack)
        if raw_stack is None:
            raw_stack = typed_values(place.stack, stack, refs, described(frame))
        result.append(RawFrame(place.instance, function, offset, raw_locals, raw_stack))
        places.append(place)
        below = frame
        callee = function, number
    if below is not None:
        oldest, callable_ = called_function(instances, below), instances[0].functions
        if oldest not in callable_ and oldest not in led_to(instances, callable_):
            raise CheckpointError(f"{described(below)} is of no function that the run could call")
    check_depth(places, most)
    return result


def described(frame: Frame) -> str:
    where = f" of instance {frame.instance}" if frame.instance else ""
    return f"the frame of function {frame.function}{where} at code offset 0x{frame.offset:x}"


def called_function(instances: Sequence[ModuleInstance], frame: Frame) -> Function:
    return instances[frame.instance].functions[frame.function]


def check_place(instances: Sequence[ModuleInstance], frame: Frame, below: Frame | None) -> Place:
    """Where ``frame`` stands, which has called ``below`` (None: it is the youngest). Raises
    CheckpointError."""
    instance = instances[frame.instance]
    program, engine = instance.program, instance.engine
    imported = program.imported(DefType)
    if not imported <= frame.function < len(program.functions):
        raise CheckpointError(f"{described(frame)} is of no function that the module defines")
    points = engine.suspension_points(frame.function)
    call = points.calls.get(frame.offset)
    if below is None:
        stack = engine.boundary(frame.function, frame.offset)
        if stack is None:
            raise CheckpointError(f"{described(frame)} is at no safepoint")
    else:
        if call is None:
            raise CheckpointError(f"{described(frame)} is at no call")
        callee = called_function(instances, below)
        check_callee(instances, instance, call, callee, described(frame))
        stack = call.stack
    counts = frame.function in program.recursive
    crossing = call is not None and call.may_leave(imported)
    locals_ = points.locals
    unset = engine.unset(frame.function, frame.offset)
    if unset:
        # Null stands for what has no value yet.
        locals_ = tuple(
            null_of(t) if i in unset and isinstance(t, RefType) else t
            for i, t in enumerate(locals_)
        )
    return Place(
        instance,
        locals_,
        stack,
        untyping(locals_),
        untyping(stack),
        counts,
        call is not None and call.function is not None and call.function < imported,
        rise(len(points.locals) + len(stack), counts, crossing),
    )


def check_depth(places: Sequence[Place], most: int) -> None:
    """Whether a program's call stack can hold the frames at ``places``, the youngest first: none
    starts where a call would have trapped, since each path would find that out at another time."""
    depth = deepest = 0
    imported = False
    for place in reversed(places):
        if place.counts or imported:
            deepest = max(depth, deepest)
        depth += place.rise
        imported = place.imports
    if deepest >= MAX_DEPTH:
        raise CheckpointError("its frames are more than the call stack has room for")
    if deepest >= most:
        raise CheckpointError(
            f"its frames are {deepest + 1} deep, more than the {most} allowed: "
            f"--max-depth {deepest + 1} (Limits(depth={deepest + 1}) in Python) allows them"
        )


def check_callee(
    instances: Sequence[ModuleInstance],
    instance: ModuleInstance,
    call: CallPoint,
    callee: Function,
    where: str,
) -> None:
    """That the frame on top of a call which ``instance`` makes can be of ``callee``: that is what
    is called, or what tail calls lead to from there."""
    if call.function is None:
        fits = comp_matches(callee.type, call.type)
    else:
        fits = instance.functions[call.function] is callee
    if not fits:
        called = (
            of_type(instances, call.type)
            if call.function is None
            else [instance.functions[call.function]]
        )
        fits = callee in led_to(instances, called)
    if not fits:
        raise CheckpointError(f"{where} calls another function than {callee.index}")


def of_type(instances: Sequence[ModuleInstance], functype: FuncType) -> Iterator[Function]:
    return (f for each in instances for f in each.functions if comp_matches(f.type, functype))


def led_to(instances: Sequence[ModuleInstance], called: Iterable[Function]) -> set[Function]:
    """What tail calls lead to from functions that are ``called``, and these; nothing, where there
    are no tail calls."""
    found: set[Function] = set()
    work: list[Function] = []

    def add(functions: Iterable[Function]) -> None:
        new = set(functions) - found
        found.update(new)
        work.extend(new)

    if any(each.program.tail_calls for each in instances):
        add(called)
    while work:
        function = work.pop()
        home = function.instance
        if home is None:
            continue
        by_name, by_type = home.program.tail_calls.get(function.index, ((), ()))
        add(home.functions[index] for index in by_name)
        for index in by_type:
            add(of_type(instances, home.program.types[index].functype))
    return found
