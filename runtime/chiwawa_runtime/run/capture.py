"""From a stopped run to a ``Snapshot``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from chiwawa_runtime.checkpoint.layout import is_newer
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.run.numbering import Numbering, kept, types_of
from chiwawa_runtime.run.references import References, Typed
from chiwawa_runtime.state.snapshot import (
    Frame,
    GlobalImage,
    IndexSpaces,
    InstanceImage,
    PlannedCall,
    SegmentImage,
    Snapshot,
    TableImage,
)
from chiwawa_runtime.state.subtyping import stated, top
from chiwawa_runtime.state.types import (
    GlobalType,
    TableType,
    ValType,
)

#: A call by function index, with values as a running program holds them.
RawCall = tuple[int, Sequence[Any]]


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
    refs = References(numbering.instances, carried)
    # Alone, an instance has all that it imports as often as it imports it.
    linked = len(numbering.instances) > 1 or has_newer(instance, numbering, frames, plan)
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
    segments = tuple(
        SegmentImage(number, index, top(type_), tuple(refs.out(e, type_) for e in elem.elements))
        for number, each in enumerate(numbering.instances if linked else ())
        for index, elem in kept(each)
        for type_ in (each.program.elems[index].type,)
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
        objects=tuple(refs.objects.images(numbering.tags)),
        segments=segments,
    )


def with_nulls(typing: Callable[..., Typed], frame: RawFrame) -> Callable[..., Typed]:
    """``typing`` of the locals of frames where ``frame`` stands, with null for those that have no
    value there: whatever is left of one that they had, nobody can see."""
    unset = frame.instance.engine.unset(frame.function, frame.offset)
    if not unset:
        return typing
    return lambda values: typing([None if i in unset else v for i, v in enumerate(values)])


def has_newer(
    instance: ModuleInstance,
    numbering: Numbering,
    frames: Sequence[RawFrame],
    plan: Sequence[RawCall],
) -> bool:
    """Whether anything in the state of ``instance``, alone, is of a type that only the second
    version of the format has, or has been made from such a thing."""
    if numbering.externalized:
        return True
    types: set[ValType] = {g.type.type for g in instance.globals}
    types.update(t.type.element for t in instance.tables)
    types.update(instance.program.elems[index].type for index, _ in kept(instance))
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
        dropped_datas=tuple(instance.datas.dropped()),
        canonical_nans=engine.canonical_nans,
        spaces=spaces,
    )


def as_stated(kind: Any) -> Any:
    """The type of a table or a global, as checkpoints state it; that of a memory as it is."""
    if isinstance(kind, TableType):
        return replace(kind, element=top(kind.element))
    return replace(kind, type=stated(kind.type)) if isinstance(kind, GlobalType) else kind
