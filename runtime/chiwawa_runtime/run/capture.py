"""From a stopped run to a ``Snapshot``, and back into an instance, with every check that trust in a
file needs.

Nothing is changed until everything has been checked: a refused checkpoint leaves the instance as it
was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.segments import MAX_DEPTH, rise
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.program import CallPoint, Program
from chiwawa_runtime.state.snapshot import (
    Carried,
    Frame,
    FuncIdx,
    GlobalImage,
    PlannedCall,
    Ref,
    Snapshot,
    TableImage,
    Value,
)
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.types import (
    I32,
    I64,
    PAGE,
    FuncType,
    MemoryType,
    NumType,
    RefType,
    ValType,
)

#: What the memories of a checkpoint may take beyond those that its module declares, where nobody
#: says another number: a file of a hundred bytes can say that there are 4 GiB of zeros.
EXTRA_MEMORY = 1 << 30

#: A call by function index, with values as a running program holds them.
RawCall = tuple[int, Sequence[Any]]
#: Values of a snapshot, with their types.
Typed = tuple[tuple[ValType, Value], ...]


class References:
    """References of a running program as those of a snapshot. ``carried`` are host values by the
    name that the embedder carries them under."""

    def __init__(self, instance: ModuleInstance, carried: Mapping[str, object]) -> None:
        self.functions = instance.functions
        self.indices = {id(f): i for i, f in reversed(list(enumerate(instance.functions)))}
        self.names = {id(value): name for name, value in carried.items()}
        self.carried = carried

    def out(self, value: Any, valtype: RefType) -> Ref:
        if value is None:
            return None
        # To an externref a function is as opaque as anything.
        if valtype.heap == "func":
            index = self.indices.get(id(value))
            if index is None:
                raise CheckpointError(
                    f"a reference to {value!r} of another instance cannot be written"
                )
            return FuncIdx(index)
        name = self.names.get(id(value))
        if name is None:
            raise CheckpointError(
                f"a reference to a host value ({type(value).__name__}) cannot be written unless it "
                "is carried"
            )
        return Carried(name)

    def back(self, ref: Value, where: str) -> Any:
        if isinstance(ref, FuncIdx):
            if ref.index >= len(self.functions):
                raise CheckpointError(f"{where} refers to function {ref.index}, which is not there")
            return self.functions[ref.index]
        if isinstance(ref, Carried):
            if ref.name not in self.carried:
                raise CheckpointError(
                    f'{where} refers to the carried value "{ref.name}", which was not given: '
                    "it comes with the checkpoint's host state where that is trusted"
                )
            return self.carried[ref.name]
        return ref

    def typed(self, types: Sequence[ValType], values: Sequence[Any]) -> Typed:
        return self.typing(types)(values)

    def typing(self, types: Sequence[ValType]) -> Callable[[Sequence[Any]], Typed]:
        """What gives values of ``types`` as those of a snapshot: found once for all frames at a
        place, of which a deep program has many."""
        if not types:
            return lambda values: ()
        if all(t is I32 or t is I64 for t in types):
            # A comparison's result may still be a bool.
            return lambda values: tuple(zip(types, map(int, values), strict=True))
        return lambda values: tuple(
            [(t, self.value(t, v)) for t, v in zip(types, values, strict=True)]
        )

    def value(self, valtype: ValType, value: Any) -> Value:
        if isinstance(valtype, RefType):
            return self.out(value, valtype)
        # A comparison's result may still be a bool.
        return int(value) if valtype is I32 or valtype is I64 else value


def capture(
    instance: ModuleInstance,
    frames: Sequence[RawFrame],
    plan: Sequence[RawCall],
    *,
    carried: Mapping[str, object],
    wasi: bytes | None,
    host: bytes | None,
    monitors: bytes | None,
) -> Snapshot:
    """The state of ``instance`` with its activation stopped in ``frames``. Memories are not copied:
    encode the snapshot before the program goes on. Raises CheckpointError."""
    program, engine = instance.program, instance.engine
    refs = References(instance, carried)
    images = []
    granularity = engine.granularity
    known: dict[tuple[int, int], tuple[Callable[..., Typed], Callable[..., Typed]]] = {}
    for position, frame in enumerate(frames):
        key = frame.function, frame.offset
        typing = known.get(key)
        if typing is None:
            points = engine.suspension_points(frame.function)
            stack: tuple[ValType, ...] | None
            if position == 0:
                stack = engine.boundary(frame.function, frame.offset)
                assert stack is not None
                if frame.offset not in points.safepoints:
                    # Restored in the middle of a segment, and not run since.
                    granularity = "instruction"
            else:
                stack = points.calls[frame.offset].stack
            typing = refs.typing(points.locals), refs.typing(stack)
            if position:
                # The youngest stands elsewhere: at the call, it still has the arguments.
                known[key] = typing
        locals_, operands = typing
        images.append(
            Frame(frame.function, frame.offset, locals_(frame.locals), operands(frame.stack))
        )
    return Snapshot(
        module_name=program.name,
        module_hash=program.hash,
        granularity=granularity,
        safepoints=instance.requests.passed,
        frames=tuple(images),
        plan=tuple(
            PlannedCall(index, refs.typed(program.functions[index].params, args))
            for index, args in plan
        ),
        memories=tuple(m.image() for m in instance.memories),
        globals=tuple(
            GlobalImage(g.type, refs.value(g.type.type, g.get())) for g in instance.globals
        ),
        tables=tuple(
            TableImage(t.type, tuple(refs.out(e, t.type.element) for e in t.elements))
            for t in instance.tables
        ),
        dropped_elems=tuple(e.dropped for e in instance.elems),
        dropped_datas=tuple(d.dropped for d in instance.datas),
        wasi=wasi,
        host=host,
        monitors=monitors,
        canonical_nans=engine.canonical_nans,
    )


def check_module(snapshot: Snapshot, module_hash: bytes) -> None:
    """Raises CheckpointError unless ``snapshot`` is of the module whose SHA-256 is given."""
    if snapshot.module_hash != module_hash:
        raise CheckpointError(
            f"this checkpoint is of another module: its sha256 is {snapshot.module_hash.hex()}, "
            f"the given module's {module_hash.hex()}"
        )


def check_sizes(program: Program, snapshot: Snapshot, max_memory: int | None) -> None:
    """Before anything is built: whether the memories of ``snapshot`` can be those of ``program``,
    and take no more than ``max_memory`` bytes together; None: ``EXTRA_MEMORY`` more than the module
    declares. Raises CheckpointError."""
    imported = program.imported(MemoryType)
    if len(snapshot.memories) != len(program.memories) or any(
        image.type != type_
        for image, type_ in zip(
            snapshot.memories[imported:], program.memories[imported:], strict=True
        )
    ):
        raise wrong_shape("memories")
    for image in snapshot.memories:
        limits = image.type.limits
        pages = image.size // PAGE
        if pages < limits.min or (limits.max is not None and pages > limits.max):
            raise CheckpointError(f"a memory of {pages} pages is outside its limits {limits}")
    if max_memory is None:
        max_memory = sum(t.limits.min for t in program.memories) * PAGE + EXTRA_MEMORY
    total = sum(image.size for image in snapshot.memories)
    if total > max_memory:
        raise CheckpointError(
            f"its memories take {total} bytes, more than the {max_memory} allowed: "
            f"--max-memory {total} (restore(…, max_memory={total}) in Python) allows them"
        )


def apply(
    instance: ModuleInstance, snapshot: Snapshot, carried: Mapping[str, object]
) -> tuple[list[RawFrame], list[RawCall]]:
    """Put the state of ``snapshot`` into a fresh ``instance`` of its module; the frames and the
    plan, ready for the engine. Raises CheckpointError, and changes nothing then."""
    program = instance.program
    check_module(snapshot, program.hash)
    refs = References(instance, carried)
    check_shapes(instance, snapshot)
    tables = []
    for index, table in enumerate(snapshot.tables):
        elements = [refs.back(e, f"table {index}") for e in table.elements]
        for element in elements:
            check_reference(table.type.element, element, f"table {index}")
        tables.append(elements)
    values = []
    for index, image in enumerate(snapshot.globals):
        value = refs.back(image.value, f"global {index}")
        check_reference(image.type.type, value, f"global {index}")
        values.append(value)
    frames = check_frames(instance, snapshot.frames, refs)
    plan: list[RawCall] = []
    for call in snapshot.plan:
        if call.function >= len(program.functions):
            raise CheckpointError(f"it plans a call of function {call.function}, not there")
        where = f"the planned call of function {call.function}"
        args = typed_values(program.functions[call.function].params, call.args, refs, where)
        plan.append((call.function, args))
    if not frames and not plan:
        raise CheckpointError("it has neither a frame nor a call to go on with")
    # Everything holds: from here on nothing can fail but memory.
    imported = program.imported(MemoryType)
    for index, (memory, memory_image) in enumerate(
        zip(instance.memories, snapshot.memories, strict=True)
    ):
        memory.reset(memory_image.size, fresh=index >= imported)
        for address, piece in memory_image.pieces(memory_image.used()):
            memory.write(address, piece)
    for instance_table, elements in zip(instance.tables, tables, strict=True):
        instance_table.reset(elements)
    for instance_global, value in zip(instance.globals, values, strict=True):
        instance_global.reset(value)
    for elem, dropped in zip(instance.elems, snapshot.dropped_elems, strict=True):
        if dropped:
            elem.drop()
    for data, dropped in zip(instance.datas, snapshot.dropped_datas, strict=True):
        if dropped:
            data.drop()
    return frames, plan


def check_shapes(instance: ModuleInstance, snapshot: Snapshot) -> None:
    for what, wanted, given in (
        ("memories", [m.type for m in instance.memories], [m.type for m in snapshot.memories]),
        ("tables", [t.type for t in instance.tables], [t.type for t in snapshot.tables]),
        ("globals", [g.type for g in instance.globals], [g.type for g in snapshot.globals]),
    ):
        if wanted != given:
            raise wrong_shape(what)
    for table in snapshot.tables:
        limits = table.type.limits
        size = len(table.elements)
        if size < limits.min or (limits.max is not None and size > limits.max):
            raise CheckpointError(f"a table of {size} elements is outside its limits {limits}")
    if len(snapshot.dropped_elems) != len(instance.elems) or len(snapshot.dropped_datas) != len(
        instance.datas
    ):
        raise CheckpointError("its segments are not those of the module")


def wrong_shape(what: str) -> CheckpointError:
    return CheckpointError(f"its {what} are not those of the module")


def check_reference(valtype: ValType, value: Any, where: str) -> None:
    if isinstance(valtype, RefType) and value is not None:
        is_function = isinstance(value, Function)
        if (valtype.heap == "func") != is_function:
            raise CheckpointError(f"{where} holds a value that is no {valtype}")


def typed_values(
    types: Sequence[ValType],
    values: Sequence[tuple[ValType, Value]],
    refs: References,
    where: str,
) -> list[Any]:
    """Values of a snapshot, which are to be of ``types``, as a program holds them. Raises
    CheckpointError."""
    if tuple(types) != tuple(t for t, _ in values):
        raise CheckpointError(f"{where} has values of other types than the module says")
    result = []
    for valtype, value in values:
        raw = refs.back(value, where)
        check_reference(valtype, raw, where)
        if isinstance(valtype, NumType) and valtype in (I32, I64):
            raw &= (1 << valtype.bits) - 1
        result.append(raw)
    return result


def untyping(types: Sequence[ValType]) -> Callable[[Typed], list[Any] | None]:
    """``typed_values`` for many that are to be of ``types``; what it has to look at closer is
    None."""
    if not types:
        return lambda values: None if values else []
    if not all(t is I32 or t is I64 for t in types):
        return lambda values: None
    wanted = list(types)
    masks = [(1 << t.bits) - 1 for t in wanted]  # type: ignore[union-attr]

    def untyped(values: Typed) -> list[Any] | None:
        if [t for t, _ in values] != wanted:
            return None
        return [v & mask for (_, v), mask in zip(values, masks, strict=True)]  # type: ignore[operator]

    return untyped


@dataclass(frozen=True, slots=True)
class Place:
    """What all frames have in common that stand at one place, above a frame of one function: of a
    deep program there are many."""

    locals: Sequence[ValType]
    stack: Sequence[ValType]
    untyped_locals: Callable[[Typed], list[Any] | None]
    untyped_stack: Callable[[Typed], list[Any] | None]
    #: Whether they count towards the depth of the call stack, and how much deeper their callee is.
    counts: bool
    rise: int


def check_frames(
    instance: ModuleInstance, frames: Sequence[Frame], refs: References
) -> list[RawFrame]:
    """Each frame at a boundary that its function has, with values of its types, and called by the
    frame after it."""
    result: list[RawFrame] = []
    places: list[Place] = []
    known: dict[tuple[int, int, int], Place] = {}
    below: Frame | None = None
    # The function of the frame below; there is none yet.
    callee = -1
    for frame in frames:
        function, offset, locals_, stack, _ = frame
        key = function, offset, callee
        place = known.get(key)
        if place is None:
            place = known[key] = check_place(instance, frame, below)
        raw_locals = place.untyped_locals(locals_)
        if raw_locals is None:
            raw_locals = typed_values(place.locals, locals_, refs, described(frame))
        raw_stack = place.untyped_stack(stack)
        if raw_stack is None:
            raw_stack = typed_values(place.stack, stack, refs, described(frame))
        result.append(RawFrame(function, offset, raw_locals, raw_stack))
        places.append(place)
        below = frame
        callee = function
    check_depth(places)
    return result


def described(frame: Frame) -> str:
    return f"the frame of function {frame.function} at code offset 0x{frame.offset:x}"


def check_place(instance: ModuleInstance, frame: Frame, below: Frame | None) -> Place:
    """Where ``frame`` stands, which has called ``below`` (None: it is the youngest). Raises
    CheckpointError."""
    program, engine = instance.program, instance.engine
    if not program.imported(FuncType) <= frame.function < len(program.functions):
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
        check_callee(call, below, program.functions[below.function], described(frame))
        stack = call.stack
    counts = frame.function in program.recursive
    indirect = call is not None and call.function is None
    return Place(
        points.locals,
        stack,
        untyping(points.locals),
        untyping(stack),
        counts,
        rise(len(points.locals) + len(stack), counts, indirect),
    )


def check_depth(places: Sequence[Place]) -> None:
    """Whether a program's call stack can hold the frames at ``places``, the youngest first: none
    starts where a call would have trapped, since each path would find that out at another time."""
    depth = 0
    for place in reversed(places):
        if place.counts and depth >= MAX_DEPTH:
            raise CheckpointError("its frames are more than the call stack has room for")
        depth += place.rise


def check_callee(call: CallPoint, callee: Frame, functype: FuncType, where: str) -> None:
    by_type = call.function is None and functype == call.type
    if not by_type and callee.function != call.function:
        raise CheckpointError(f"{where} calls another function than {callee.function}")
