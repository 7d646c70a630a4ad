"""From a stopped run to a ``Snapshot``, and back into instances, with every check that trust in a
file needs.

Nothing of the host's is changed until everything has been checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chiwawa_runtime.checkpoint.layout import is_newer
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.segments import MAX_DEPTH, rise
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.run.linking import Linking, check_table_size, fill, wrong_shape
from chiwawa_runtime.run.numbering import Numbering, home_of, types_of
from chiwawa_runtime.state.exceptions import ExceptionInstance, Tag
from chiwawa_runtime.state.program import CallPoint, Program
from chiwawa_runtime.state.snapshot import (
    Carried,
    ExceptionImage,
    Frame,
    FuncIdx,
    GlobalImage,
    IndexSpaces,
    InstanceImage,
    ObjectImage,
    ObjIdx,
    PlannedCall,
    Ref,
    Snapshot,
    TableImage,
    Value,
)
from chiwawa_runtime.state.store import Function, holds
from chiwawa_runtime.state.subtyping import comp_matches, null_of, stated, top
from chiwawa_runtime.state.types import (
    EXNREF,
    FUNCREF,
    I32,
    I64,
    DefType,
    FuncType,
    GlobalType,
    MemoryType,
    NumType,
    RefType,
    TableType,
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
    """References of a running program as those of a snapshot. ``instances`` are the program's, by
    number, ``carried`` host values by the name that the embedder carries them under."""

    def __init__(
        self,
        instances: Sequence[ModuleInstance],
        carried: Mapping[str, object],
        tags: Sequence[Tag] = (),
    ) -> None:
        """``tags`` are the program's, by address."""
        self.instances = instances
        self.addresses = {id(tag): address for address, tag in enumerate(tags)}
        #: What is referred to by number, so far; and the numbers.
        self.objects: list[ExceptionInstance] = []
        self.met: dict[int, int] = {}
        self.numbers = {id(instance): number for number, instance in enumerate(instances)}
        self.names = {id(value): name for name, value in carried.items()}
        self.carried = carried

    def out(self, value: Any, valtype: RefType) -> Ref:
        if value is None:
            return None
        if top(valtype).heap == "any":
            raise CheckpointError(f"a value of type {valtype} cannot be written yet")
        # To an externref a function is as opaque as anything.
        if top(valtype) == FUNCREF:
            number = self.numbers.get(id(home_of(value)))
            if number is None:
                raise CheckpointError(
                    f"a reference to {value!r} cannot be written: no instance imports it"
                )
            return FuncIdx(value.index, number)
        if isinstance(value, ExceptionInstance) and top(valtype) == EXNREF:
            if id(value) not in self.met:
                self.met[id(value)] = len(self.objects)
                self.objects.append(value)
            return ObjIdx(self.met[id(value)])
        name = self.names.get(id(value))
        if name is None:
            raise CheckpointError(
                f"a reference to a host value ({type(value).__name__}) cannot be written unless it "
                "is carried"
            )
        return Carried(name)

    def back(self, ref: Value, where: str) -> Any:
        if isinstance(ref, FuncIdx):
            functions = (
                self.instances[ref.instance].functions if ref.instance < len(self.instances) else ()
            )
            if ref.index >= len(functions):
                raise CheckpointError(f"{where} refers to function {ref.index}, which is not there")
            return functions[ref.index]
        if isinstance(ref, Carried):
            if ref.name not in self.carried:
                raise CheckpointError(
                    f'{where} refers to the carried value "{ref.name}", which was not given: '
                    "it comes with the checkpoint's host state where that is trusted"
                )
            return self.carried[ref.name]
        if isinstance(ref, ObjIdx):
            if ref.index >= len(self.objects):
                raise CheckpointError(f"{where} refers to object {ref.index}, which is not there")
            return self.objects[ref.index]
        return ref

    def images(self) -> Iterator[ObjectImage]:
        """Of all objects met, by number; what one refers to comes behind it, if it was not met."""
        for exception in self.objects:
            address = self.addresses.get(id(exception.tag))
            if address is None:
                raise CheckpointError(f"{exception!r} cannot be written: no instance has its tag")
            params = exception.tag.type.type.params
            yield ExceptionImage(address, self.typed(params, exception.values))

    def take(self, images: Sequence[ObjectImage], tags: Mapping[int, Tag]) -> None:
        """Have references to ``images`` lead to new objects. Raises CheckpointError."""
        for image in images:
            if image.tag not in tags:
                raise CheckpointError("an exception has a tag that no instance has")
            self.objects.append(ExceptionInstance(tags[image.tag], ()))
        for number, (image, exception) in enumerate(zip(images, self.objects, strict=True)):
            params = exception.tag.type.type.params
            values = typed_values(params, image.fields, self, f"exception {number}")
            exception.values = tuple(values)

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
        kept = tuple(map(stated, types))
        return lambda values: tuple(
            [(t, self.value(t, v)) for t, v in zip(kept, values, strict=True)]
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
    beside: Sequence[ModuleInstance] = (),
    carried: Mapping[str, object],
    wasi: bytes | None,
    host: bytes | None,
    monitors: bytes | None,
) -> Snapshot:
    """The state of ``instance`` with its activation stopped in ``frames``, of the instances that
    these and it lead to, and of those ``beside`` it. Memories are not copied: encode the snapshot
    before the program goes on. Raises CheckpointError."""
    numbering = Numbering(instance, beside, frames, (args for _, args in plan))
    refs = References(numbering.instances, carried, numbering.tags)
    # Alone, an instance has all that it imports as often as it imports it.
    linked = len(numbering.instances) > 1 or has_newer(instance, frames, plan)
    memories = numbering.memories if linked else instance.memories
    # Objects are numbered as they are met: globals, tables, frames from the oldest, planned calls.
    globals_ = tuple(
        GlobalImage(as_stated(g.type), refs.value(g.type.type, g.get()))
        for g in (numbering.globals if linked else instance.globals)
    )
    tables = tuple(
        TableImage(as_stated(t.type), tuple(refs.out(e, t.type.element) for e in t.elements))
        for t in (numbering.tables if linked else instance.tables)
    )
    images = []
    known: dict[tuple[ModuleInstance, int, int], tuple[Callable[..., Typed], ...]] = {}
    #: Which instance was restored in the middle of a segment, and has not run since.
    between: ModuleInstance | None = None
    for position in range(len(frames) - 1, -1, -1):
        frame = frames[position]
        key = frame.instance, frame.function, frame.offset
        typing = known.get(key) if position else None
        if typing is None:
            locals_types, stack_types = types_of(frame, youngest=not position)
            typing = with_nulls(refs.typing(locals_types), frame), refs.typing(stack_types)
            if position:
                # The youngest stands elsewhere: at the call, it still has the arguments.
                known[key] = typing
            elif (
                frame.offset
                not in frame.instance.engine.suspension_points(frame.function).safepoints
            ):
                between = frame.instance
        locals_, operands = typing
        number = refs.numbers[id(frame.instance)]
        images.append(
            Frame(
                frame.function, frame.offset, locals_(frame.locals), operands(frame.stack), number
            )
        )
    own, *others = (
        image_of(each, numbering.spaces(each), each is between) for each in numbering.instances
    )
    functions = instance.program.functions
    calls = tuple(
        PlannedCall(index, refs.typed(functions[index].params, args)) for index, args in plan
    )
    return Snapshot(
        module_name=own.module_name,
        module_hash=own.module_hash,
        granularity=own.granularity,
        safepoints=own.safepoints,
        frames=tuple(reversed(images)),
        plan=calls,
        memories=tuple(m.image() for m in memories),
        globals=globals_,
        tables=tables,
        dropped_elems=own.dropped_elems,
        dropped_datas=own.dropped_datas,
        wasi=wasi,
        host=host,
        monitors=monitors,
        canonical_nans=own.canonical_nans,
        spaces=own.spaces if linked else None,
        others=tuple(others),
        objects=tuple(refs.images()),
    )


def with_nulls(typing: Callable[..., Typed], frame: RawFrame) -> Callable[..., Typed]:
    """``typing`` of the locals of frames where ``frame`` stands, with null for those that have no
    value there: whatever is left of one that they had, nobody can see."""
    points = frame.instance.engine.suspension_points(frame.function)
    unset = points.unset.get(frame.offset)
    if unset is None:
        return typing
    return lambda values: typing([None if i in unset else v for i, v in enumerate(values)])


def has_newer(
    instance: ModuleInstance, frames: Sequence[RawFrame], plan: Sequence[RawCall]
) -> bool:
    """Whether anything in the state of ``instance``, alone, is of a type that only the second
    version of the format has."""
    types: set[ValType] = {g.type.type for g in instance.globals}
    types.update(t.type.element for t in instance.tables)
    for function, _ in plan:
        types.update(instance.functions[function].type.params)
    if any(map(is_newer, map(stated, types))):
        return True
    known: set[tuple[int, int]] = set()
    for position, frame in enumerate(frames):
        key = frame.function, frame.offset
        if position and key in known:
            continue
        if position:
            known.add(key)
        locals_, stack = types_of(frame, youngest=not position)
        if any(map(is_newer, map(stated, (*locals_, *stack)))):
            return True
    return False


def image_of(instance: ModuleInstance, spaces: IndexSpaces, between: bool) -> InstanceImage:
    """What an instance has for itself; ``between``: it stands where only another granularity
    does."""
    program, engine = instance.program, instance.engine
    return InstanceImage(
        module_name=program.name,
        module_hash=program.hash,
        granularity="instruction" if between else engine.granularity,
        safepoints=instance.requests.passed,
        dropped_elems=tuple(e.dropped for e in instance.elems),
        dropped_datas=tuple(d.dropped for d in instance.datas),
        canonical_nans=engine.canonical_nans,
        spaces=spaces,
    )


def check_module(snapshot: Snapshot, module_hash: bytes) -> None:
    """Raises CheckpointError unless ``snapshot`` is of the module whose SHA-256 is given."""
    if snapshot.module_hash != module_hash:
        raise CheckpointError(
            f"this checkpoint is of another module: its sha256 is {snapshot.module_hash.hex()}, "
            f"the given module's {module_hash.hex()}"
        )


def check_modules(snapshot: Snapshot, programs: Sequence[Program]) -> None:
    """Raises CheckpointError unless the instances of ``snapshot`` are of ``programs``."""
    instances = snapshot.instances
    check_module(snapshot, programs[0].hash)
    if len(instances) != len(programs):
        raise CheckpointError(
            f"this checkpoint is of {len(instances)} linked instances, and goes on where all their "
            "modules are given (chiwawa run --linked; chiwawa.restore(…, modules=…))"
        )
    for image, program in zip(instances, programs, strict=True):
        if image.module_hash != program.hash:
            raise not_given(image)


def not_given(image: InstanceImage) -> CheckpointError:
    name = f' "{image.module_name}"' if image.module_name else ""
    return CheckpointError(
        f"the module{name} of a linked instance is not given: its sha256 is "
        f"{image.module_hash.hex()}"
    )


def check_sizes(programs: Sequence[Program], snapshot: Snapshot, max_memory: int | None) -> None:
    """Before anything is built: whether the memories of ``snapshot`` can be those of ``programs``,
    its instances' by number, and take no more than ``max_memory`` bytes together; None:
    ``EXTRA_MEMORY`` more than the modules declare. Raises CheckpointError."""
    declared = [0] * len(snapshot.memories)
    for program, image in zip(programs, snapshot.instances, strict=True):
        addresses = image.spaces.memories
        if len(addresses) != len(program.memories):
            raise wrong_shape("memories")
        imported = program.imported(MemoryType)
        for index, (address, type_) in enumerate(zip(addresses, program.memories, strict=True)):
            if index >= imported and snapshot.memories[address].type != type_:
                raise wrong_shape("memories")
            declared[address] = max(declared[address], type_.limits.min * type_.page)
    for memory in snapshot.memories:
        limits = memory.type.limits
        pages = memory.size // memory.type.page
        if pages < limits.min or (limits.max is not None and pages > limits.max):
            raise CheckpointError(f"a memory of {pages} pages is outside its limits {limits}")
    if max_memory is None:
        max_memory = sum(declared) + EXTRA_MEMORY
    total = sum(memory.size for memory in snapshot.memories)
    if total > max_memory:
        raise CheckpointError(
            f"its memories take {total} bytes, more than the {max_memory} allowed: "
            f"--max-memory {total} (restore(…, max_memory={total}) in Python) allows them"
        )


def apply(
    linking: Linking[Any],
    instances: Sequence[ModuleInstance],
    snapshot: Snapshot,
    carried: Mapping[str, object],
) -> tuple[list[RawFrame], list[RawCall]]:
    """Put the state of ``snapshot`` into the new ``instances`` that ``linking`` has made of it; the
    frames and the plan, ready for the engine. Raises CheckpointError, and changes nothing then that
    is the host's."""
    program = instances[0].program
    refs = References(instances, carried)
    refs.take(snapshot.objects, linking.tags())
    check_shapes(linking, instances, snapshot)
    tables = []
    own_tables, own_globals = linking.tables(), linking.globals()
    for index, table in enumerate(snapshot.tables):
        elements = [refs.back(e, f"table {index}") for e in table.elements]
        element_type = own_tables[index].type.element
        for element in elements:
            check_reference(element_type, element, f"table {index}")
        tables.append(elements)
    values = []
    for index, image in enumerate(snapshot.globals):
        value = refs.back(image.value, f"global {index}")
        check_reference(own_globals[index].type.type, value, f"global {index}")
        values.append(value)
    frames = check_frames(instances, snapshot.frames, refs)
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
    memories = linking.memories()
    for address in linking.of_the_host(MemoryType):
        fill(memories[address], snapshot.memories[address], fresh=False)
    for instance_table, elements in zip(own_tables, tables, strict=True):
        instance_table.reset(elements)
    for instance_global, value in zip(own_globals, values, strict=True):
        instance_global.reset(value)
    for instance, image_ in zip(instances, snapshot.instances, strict=True):
        for elem, dropped in zip(instance.elems, image_.dropped_elems, strict=True):
            if dropped:
                elem.drop()
        for data, dropped in zip(instance.datas, image_.dropped_datas, strict=True):
            if dropped:
                data.drop()
    return frames, plan


def check_shapes(
    linking: Linking[Any], instances: Sequence[ModuleInstance], snapshot: Snapshot
) -> None:
    for what, wanted, given in (
        ("memories", linking.memories(), snapshot.memories),
        ("tables", linking.tables(), snapshot.tables),
        ("globals", linking.globals(), snapshot.globals),
    ):
        if [as_stated(each.type) for each in wanted] != [each.type for each in given]:
            raise wrong_shape(what)
    for table in snapshot.tables:
        check_table_size(table.type.limits, len(table.elements))
    for instance, image in zip(instances, snapshot.instances, strict=True):
        segments = len(image.dropped_elems), len(image.dropped_datas)
        if segments != (len(instance.elems), len(instance.datas)):
            raise CheckpointError("its segments are not those of the module")


def as_stated(kind: Any) -> Any:
    """The type of a table or a global, as checkpoints state it; that of a memory as it is."""
    if isinstance(kind, TableType):
        return replace(kind, element=top(kind.element))
    return replace(kind, type=stated(kind.type)) if isinstance(kind, GlobalType) else kind


def check_reference(valtype: ValType, value: Any, where: str) -> None:
    if isinstance(valtype, RefType) and not (
        holds(valtype, value) and (top(valtype) == FUNCREF or not isinstance(value, Function))
    ):
        raise CheckpointError(f"{where} holds a value that is no {valtype}")


def typed_values(
    types: Sequence[ValType],
    values: Sequence[tuple[ValType, Value]],
    refs: References,
    where: str,
) -> list[Any]:
    """Values of a snapshot, which are to be of ``types``, as a program holds them. Raises
    CheckpointError."""
    if [*map(stated, types)] != [t for t, _ in values]:
        raise CheckpointError(f"{where} has values of other types than the module says")
    result = []
    for valtype, (_, value) in zip(types, values, strict=True):
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
    instances: Sequence[ModuleInstance], frames: Sequence[Frame], refs: References
) -> list[RawFrame]:
    """Each frame at a boundary that its function has, with values of its types, and called by the
    frame after it, the oldest by the run of the first instance."""
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
    if below is not None and called_function(instances, below) not in instances[0].functions:
        raise CheckpointError(f"{described(below)} is of no function that the run could call")
    check_depth(places)
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
    if frame.offset in points.unset:
        # Null stands for what has no value yet.
        unset = points.unset[frame.offset]
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


def check_depth(places: Sequence[Place]) -> None:
    """Whether a program's call stack can hold the frames at ``places``, the youngest first: none
    starts where a call would have trapped, since each path would find that out at another time."""
    depth = 0
    imported = False
    for place in reversed(places):
        if (place.counts or imported) and depth >= MAX_DEPTH:
            raise CheckpointError("its frames are more than the call stack has room for")
        depth += place.rise
        imported = place.imports


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
    if not fits and any(each.program.tail_calls for each in instances):
        fits = callee in led_to(instances, instance, call)
    if not fits:
        raise CheckpointError(f"{where} calls another function than {callee.index}")


def led_to(
    instances: Sequence[ModuleInstance], instance: ModuleInstance, call: CallPoint
) -> set[Function]:
    """What ``call`` may be of, and what tail calls lead to from there."""
    found: set[Function] = set()
    work: list[Function] = []

    def add(functions: Iterable[Function]) -> None:
        new = set(functions) - found
        found.update(new)
        work.extend(new)

    def of_type(functype: FuncType) -> Iterator[Function]:
        return (f for each in instances for f in each.functions if comp_matches(f.type, functype))

    add(of_type(call.type) if call.function is None else (instance.functions[call.function],))
    while work:
        function = work.pop()
        home = function.instance
        if home is None:
            continue
        by_name, by_type = home.program.tail_calls.get(function.index, ((), ()))
        add(home.functions[index] for index in by_name)
        for index in by_type:
            add(of_type(home.program.types[index].functype))
    return found
