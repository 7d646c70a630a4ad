"""From a ``Snapshot`` back into instances, with every check that trust in a file needs.

Nothing of the host's is changed until everything has been checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance, exceeding
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.run.capture import RawCall, as_stated
from chiwawa_runtime.run.frames import check_frames
from chiwawa_runtime.run.linking import Linking, check_table_size, fill, wrong_shape
from chiwawa_runtime.run.numbering import kept
from chiwawa_runtime.run.objects import other_types
from chiwawa_runtime.run.references import References, typed_values
from chiwawa_runtime.state.host_limits import Limits
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import (
    InstanceImage,
    Snapshot,
)
from chiwawa_runtime.state.subtyping import top
from chiwawa_runtime.state.table import ElemSegment
from chiwawa_runtime.state.types import (
    MemoryType,
)

#: What the memories of a checkpoint may take beyond those that its module declares, where nobody
#: says another number: a file of a hundred bytes can say that there are 4 GiB of zeros.
EXTRA_MEMORY = 1 << 30


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


def check_sizes(programs: Sequence[Program], snapshot: Snapshot, limits: Limits) -> None:
    """Before anything is built: whether the memories of ``snapshot`` can be those of ``programs``,
    its instances' by number, and they and its tables take no more than ``limits`` allow, all
    together; where they say nothing of memories, ``EXTRA_MEMORY`` more than the modules declare.
    Raises CheckpointError."""
    max_memory = limits.memory
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
        own = memory.type.limits
        pages = memory.size // memory.type.page
        if pages < own.min or (own.max is not None and pages > own.max):
            raise CheckpointError(f"a memory of {pages} pages is outside its limits {own}")
    if max_memory is None:
        max_memory = sum(declared) + EXTRA_MEMORY
    total = sum(memory.size for memory in snapshot.memories)
    if total > max_memory:
        raise CheckpointError(exceeding("memory", total, max_memory))
    elements = sum(len(table.elements) for table in snapshot.tables)
    if limits.table is not None and elements > limits.table:
        raise CheckpointError(exceeding("table", elements, limits.table))


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
    refs.objects.take(snapshot.objects, linking.tags())
    check_shapes(linking, instances, snapshot)
    tables = []
    own_tables, own_globals = linking.tables(), linking.globals()
    for index, table in enumerate(snapshot.tables):
        element_type = own_tables[index].type.element
        tables.append(refs.held_all(element_type, table.elements, f"table {index}"))
    values = []
    for index, image in enumerate(snapshot.globals):
        values.append(refs.held(own_globals[index].type.type, image.value, f"global {index}"))
    segments = check_segments(instances, snapshot, refs)
    frames = check_frames(instances, snapshot.frames, refs, instances[0].most)
    plan: list[RawCall] = []
    for call in snapshot.plan:
        if call.function >= len(program.functions):
            raise CheckpointError(f"it plans a call of function {call.function}, not there")
        where = f"the planned call of function {call.function}"
        args = typed_values(program.functions[call.function].params, call.args, refs, where)
        plan.append((call.function, args))
    # Everything holds: from here on nothing can fail but memory.
    memories = linking.memories()
    for address in linking.of_the_host(MemoryType):
        fill(memories[address], snapshot.memories[address], fresh=False)
    for instance_table, elements in zip(own_tables, tables, strict=True):
        instance_table.reset(elements)
    for instance_global, value in zip(own_globals, values, strict=True):
        instance_global.reset(value)
    for elem, elements in segments:
        elem.elements = elements
    for instance, image_ in zip(instances, snapshot.instances, strict=True):
        for elem, dropped in zip(instance.elems, image_.dropped_elems, strict=True):
            if dropped:
                elem.drop()
        instance.datas.drop(image_.dropped_datas)
    return frames, plan


def check_segments(
    instances: Sequence[ModuleInstance], snapshot: Snapshot, refs: References
) -> list[tuple[ElemSegment, list[Any]]]:
    """The element segments that hold what the snapshot says, each with that. Raises
    CheckpointError."""
    if snapshot.spaces is None:
        return []
    result = []
    images = {(each.instance, each.index): each for each in snapshot.segments}
    for number, (instance, told) in enumerate(zip(instances, snapshot.instances, strict=True)):
        for index, elem in kept(instance):
            if told.dropped_elems[index]:
                continue
            where = f"element segment {index}" + (f" of instance {number}" if number else "")
            image = images.pop((number, index), None)
            type_ = instance.program.elems[index].type
            if image is None or len(image.elements) != len(elem.elements):
                raise CheckpointError(f"{where} has not the elements that the module says")
            if image.type != top(type_):
                raise other_types(where)
            elements = refs.held_all(type_, image.elements, where)
            if not elem.takes(elements):
                raise CheckpointError(f"{where} has other elements than this path can give it")
            result.append((elem, elements))
    if images:
        raise CheckpointError("its segments are not those of the module")
    return result


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
