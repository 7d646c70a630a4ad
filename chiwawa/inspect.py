"""What a checkpoint holds, for people and for programs: ``describe`` makes plain data of a
snapshot, ``render`` makes text of that.

It reads a snapshot and a decoded module, and runs neither. A host's state is counted, never loaded.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from chiwawa.instrument.source_lines import source_lines
from chiwawa.module import Instr, Module, Names
from chiwawa.wat import format_instr
from chiwawa_runtime.checkpoint import sections
from chiwawa_runtime.names import identifier, indexed_label
from chiwawa_runtime.run.uptake import check_module
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.snapshot import (
    ArrayImage,
    ExceptionImage,
    Frame,
    ObjectImage,
    PlannedCall,
    SegmentImage,
    Snapshot,
    StructImage,
    TableImage,
    Value,
)
from chiwawa_runtime.state.types import I32, Limits, StorageType, ValType
from chiwawa_runtime.state.values import format_stored, format_value

#: What ``describe`` returns: dicts, lists, strings, numbers, booleans and None.
Description = dict[str, Any]

_WIDTH = 100
#: So many elements of an array are described.
MOST_ELEMENTS = 64
#: Of a long list, so many items from its start and from its end are shown.
_FIRST, _LAST = 20, 10


def describe(
    snapshot: Snapshot,
    module: Module | None = None,
    data: bytes | None = None,
    linked: Sequence[Module] = (),
) -> Description:
    """``snapshot`` as data for ``json``. With its ``module``, things have names and each frame its
    instruction and, where that is known, its line of source, and so have the frames of instances
    of the ``linked`` modules; with the file's ``data``, there are the sizes of its sections.

    Values are text, ``I32(5)``; a frame's ``stack`` has the deepest operand first. Raises
    CheckpointError if ``module`` is not the one that was stopped.
    """
    if module is not None:
        check_module(snapshot, module.hash)
    names = None if module is None else module.names
    functions = {} if module is None else module.func_names()
    return {
        "module": {"name": snapshot.module_name, "sha256": snapshot.module_hash.hex()},
        "granularity": snapshot.granularity,
        "safepoints": snapshot.safepoints,
        "canonical_nans": snapshot.canonical_nans,
        "instances": describe_instances(snapshot),
        "frames": describe_frames(snapshot.frames, codes_of(snapshot, module, linked)),
        "plan": [describe_call(call, functions) for call in snapshot.plan],
        "memories": [
            {"name": names and names.mems.get(i), **_memory(memory)}
            for i, memory in enumerate(snapshot.memories)
        ],
        "tables": [
            {"name": names and names.tables.get(i), **_table(table)}
            for i, table in enumerate(snapshot.tables)
        ],
        "globals": [
            {
                "name": names and names.globals.get(i),
                "mutable": image.type.mutable,
                "type": str(image.type.type),
                "value": format_value(image.type.type, image.value),
            }
            for i, image in enumerate(snapshot.globals)
        ],
        "segments": [describe_segment(segment) for segment in snapshot.segments],
        "objects": [describe_object(image, names) for image in snapshot.objects],
        "dropped_elems": [i for i, dropped in enumerate(snapshot.dropped_elems) if dropped],
        "dropped_datas": [i for i, dropped in enumerate(snapshot.dropped_datas) if dropped],
        "wasi": None if snapshot.wasi is None else {"bytes": len(snapshot.wasi)},
        "host": None if snapshot.host is None else {"bytes": len(snapshot.host)},
        "monitors": None if snapshot.monitors is None else {"bytes": len(snapshot.monitors)},
        "sections": None
        if data is None
        else [{"name": name, "bytes": size} for name, size in sections(data)],
    }


def describe_instances(snapshot: Snapshot) -> list[Description]:
    """All instances, by number, where there are others than that of the run: what they are of, and
    the addresses of what they have. The fields of ``describe`` beside are of the run's, or of all
    together."""
    if not snapshot.others:
        return []
    return [
        {
            "module": {"name": each.module_name, "sha256": each.module_hash.hex()},
            "granularity": each.granularity,
            "safepoints": each.safepoints,
            "canonical_nans": each.canonical_nans,
            "memories": list(each.spaces.memories),
            "tables": list(each.spaces.tables),
            "globals": list(each.spaces.globals),
            "tags": list(each.spaces.tags),
            "links": [
                {"function": index, "to": {"instance": to.instance, "function": to.index}}
                for index, to in each.spaces.links
            ],
            "dropped_elems": [i for i, dropped in enumerate(each.dropped_elems) if dropped],
            "dropped_datas": [i for i, dropped in enumerate(each.dropped_datas) if dropped],
        }
        for each in snapshot.instances
    ]


class Code:
    """What a module says of places in its functions. Each function is laid out by offset once: a
    deep stack is of few."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.functions = module.func_names()
        self.lines = source_lines(module)
        self.known: dict[int, dict[int, Instr]] = {}

    def instruction(self, function: int, offset: int) -> str | None:
        """The instruction there, as text."""
        if function not in self.known:
            self.known[function] = by_offset(self.module, function)
        instr = self.known[function].get(offset)
        return None if instr is None else format_instr(self.module, instr, function)

    def source(self, function: int, offset: int) -> str | None:
        """The line of source, where that is known."""
        return None if self.lines is None else self.lines.at(function, offset)


def codes_of(snapshot: Snapshot, module: Module | None, linked: Sequence[Module]) -> list[Code]:
    """Of the instances, by number, as far as their modules are given; nothing of the others."""
    known = {each.hash: Code(each) for each in (*linked, *([] if module is None else [module]))}
    nothing = Code(Module())
    return [known.get(each.module_hash, nothing) for each in snapshot.instances]


def describe_frames(frames: Sequence[Frame], codes: Sequence[Code]) -> list[Description]:
    """Frames as ``describe`` has them, in the order given; ``codes`` are those of the instances."""
    described = []
    for frame in frames:
        code = codes[frame.instance]
        local_names = code.module.names.locals.get(frame.function, {})
        described.append(
            {
                "instance": frame.instance,
                "function": frame.function,
                "name": code.functions.get(frame.function),
                "offset": frame.offset,
                "instruction": code.instruction(frame.function, frame.offset),
                "source": code.source(frame.function, frame.offset),
                "locals": [
                    {"name": local_names.get(i), **_typed(*local)}
                    for i, local in enumerate(frame.locals)
                ],
                "stack": [_typed(*operand) for operand in frame.stack],
            }
        )
    return described


def by_offset(module: Module, function: int) -> dict[int, Instr]:
    """The instructions of a function by code offset; none where it is imported or not there."""
    defined = function - (len(module.func_typeidxs()) - len(module.funcs))
    if not 0 <= defined < len(module.funcs):
        return {}
    return {instr.offset: instr for instr in module.funcs[defined].body}


def _typed(valtype: ValType, value: Value) -> Description:
    return {"type": str(valtype), "value": format_value(valtype, value)}


def describe_call(call: PlannedCall, functions: Mapping[int, str]) -> Description:
    """A planned call as ``describe`` has it."""
    return {
        "function": call.function,
        "name": functions.get(call.function),
        "args": [_typed(*arg) for arg in call.args],
    }


def describe_segment(segment: SegmentImage) -> Description:
    """What an element segment holds as ``describe`` has it."""
    return {
        "instance": segment.instance,
        "index": segment.index,
        "type": str(segment.type),
        "elements": [format_value(segment.type, each) for each in segment.elements],
    }


#: What gives a value that is stored as some type as text.
Text = Callable[[StorageType, Any], str]


def describe_object(
    image: ObjectImage, names: Names | None, text: Text = format_stored
) -> Description:
    """An object as ``describe`` has it, its type and its fields with the ``names`` that the run's
    module has for them, and values as ``text`` says them. Of an array there are the first elements,
    those of i8 as hexadecimal ``bytes``."""

    def named(name: str | None, storage: StorageType, value: Value) -> Description:
        return {"name": name, "type": str(storage), "value": text(storage, value)}

    if isinstance(image, ExceptionImage):
        values = [named(None, *each) for each in image.fields]
        return {"kind": "exception", "tag": image.tag, "values": values}
    told = image.type
    own = names is not None and not told.instance
    type_ = {
        "instance": told.instance,
        "index": told.index,
        "name": names.types.get(told.index) if names is not None and own else None,
    }
    if isinstance(image, StructImage):
        known = names.fields.get(told.index, {}) if names is not None and own else {}
        fields = [named(known.get(i), *each) for i, each in enumerate(image.fields)]
        return {"kind": "struct", "type": type_, "values": fields}
    size, storage = len(image.elements), image.storage
    first = image.elements[:MOST_ELEMENTS]
    elements: Description = (
        {"bytes": first.hex()}
        if isinstance(first, bytes)
        else {"elements": [text(storage, each) for each in first]}
    )
    return {
        "kind": "array",
        "type": type_,
        "element": str(storage),
        "size": size,
        **elements,
    }


def stored_in(image: ObjectImage) -> Iterator[tuple[StorageType, Value]]:
    """The fields or elements of an object."""
    if isinstance(image, ArrayImage):
        return ((image.storage, each) for each in image.elements)
    return iter(image.fields)


def _memory(memory: MemoryImage) -> Description:
    used = sum(len(piece.translate(None, b"\0")) for _, piece in memory.pieces())
    return {
        "pages": memory.size // memory.type.page,
        "bytes": memory.size,
        "nonzero_bytes": used,
        **limits_of(memory.type.limits),
    }


def _table(table: TableImage) -> Description:
    return {
        "size": len(table.elements),
        "null": sum(element is None for element in table.elements),
        "type": str(table.type.element),
        **limits_of(table.type.limits),
    }


def limits_of(limits: Limits) -> Description:
    """The limits of a memory or table, and the type of addresses where it is not i32."""
    wide = {} if limits.address is I32 else {"address": str(limits.address)}
    return {"min": limits.min, "max": limits.max, **wide}


# Text.


def render(description: Description) -> str:
    """What ``describe`` returned, as lines of text, the last one ended. Long lists are cut, and it
    is said how many items are left out. Names with odd characters are escaped."""
    lines = [
        f"module       {called(description['module']['name'] or None, '(no name)')}",
        f"sha256       {description['module']['sha256']}",
        f"granularity  {description['granularity']}",
        f"safepoints   {or_unknown(description['safepoints'])}",
    ]
    if description["canonical_nans"]:
        lines.append("NaNs         canonical")
    instances = description["instances"]
    if instances:
        lines += ["", f"linked instances: {len(instances)}, that of the run first"]
        lines += shortened(instances, _instance_lines)
    frames = description["frames"]
    lines += ["", f"frames: {len(frames)}, the youngest first"]
    lines += shortened(frames, _frame_lines)
    if description["plan"]:
        lines += ["", "calls after the oldest frame returns:"]
        lines += shortened(description["plan"], _plan_lines)
    for title, item_lines in (
        ("memories", _memory_lines),
        ("tables", _table_lines),
        ("globals", _global_lines),
        ("segments", _segment_lines),
        ("objects", object_lines),
    ):
        if description[title]:
            lines += ["", f"{title}:", *shortened(description[title], item_lines)]
    lines.append("")
    for kind in ("elems", "datas"):
        dropped = description[f"dropped_{kind}"]
        if dropped:
            lines += wrapped(f"dropped {kind}: ", [str(index) for index in dropped])
    lines.append(f"wasi state: {bytes_or_none(description['wasi'])}")
    lines.append(
        f"host state: {bytes_or_none(description['host'])}"
        + (" (not loaded)" if description["host"] else "")
    )
    if description["monitors"] is not None:
        lines.append(f"monitors: {bytes_or_none(description['monitors'])}")
    if description["sections"] is not None:
        lines += ["", "sections of the file:"]
        width = max(len(str(section["bytes"])) for section in description["sections"])
        lines += [
            f"  {section['bytes']:>{width}} bytes  {section['name']}"
            for section in description["sections"]
        ]
    return "\n".join(lines) + "\n"


def shortened(
    items: Sequence[Description], item_lines: Callable[[int, Description], list[str]]
) -> list[str]:
    """The lines of the first and the last items."""
    count = len(items)
    shown = [*range(count)] if count <= _FIRST + _LAST + 1 else [*range(_FIRST)]
    lines = [line for i in shown for line in item_lines(i, items[i])]
    if len(shown) < count:
        lines.append(f"  … {count - _FIRST - _LAST} left out …")
        lines += [line for i in range(count - _LAST, count) for line in item_lines(i, items[i])]
    return lines


def _instance_lines(index: int, instance: Description) -> list[str]:
    module = instance["module"]
    head = f"  {index}: {called(module['name'] or None, '(no name)')}, sha256 {module['sha256']}"
    passed = or_unknown(instance["safepoints"])
    lines = [head, f"      granularity {instance['granularity']}, {passed} passed"]
    for kind in ("memories", "tables", "globals", "tags"):
        if instance[kind]:
            lines += wrapped(f"      {kind}  ", [str(each) for each in instance[kind]])
    if instance["links"]:
        links = [
            f"{link['function']}={link['to']['instance']}:{link['to']['function']}"
            for link in instance["links"]
        ]
        lines += wrapped("      functions  ", links)
    return lines


def _frame_lines(index: int, frame: Description) -> list[str]:
    head = f"  #{index}  {function_text(frame)} at 0x{frame['offset']:04x}"
    if frame["instance"]:
        head += f" of instance {frame['instance']}"
    if frame["instruction"] is not None:
        head += f": {frame['instruction']}"
    if frame["source"] is not None:
        head += f" at {frame['source']}"
    lines = [head]
    if frame["locals"]:
        lines += wrapped("      locals  ", _named_values(frame["locals"]))
    if frame["stack"]:
        lines += wrapped("      stack   ", [operand["value"] for operand in frame["stack"]])
    return lines


def _plan_lines(index: int, call: Description) -> list[str]:
    arguments = ", ".join(arg["value"] for arg in call["args"])
    return [f"  {function_text(call)} with ({arguments})"]


def _memory_lines(index: int, memory: Description) -> list[str]:
    return [
        f"  {called(memory['name'], str(index))}: {memory['pages']} pages, "
        f"{memory['bytes']} bytes, {memory['nonzero_bytes']} not zero, {limits_text(memory)}"
    ]


def _table_lines(index: int, table: Description) -> list[str]:
    return [
        f"  {called(table['name'], str(index))}: {table['size']} of {table['type']}, "
        f"{table['null']} null, {limits_text(table)}"
    ]


def _global_lines(index: int, image: Description) -> list[str]:
    mutable = "mutable " if image["mutable"] else ""
    return [f"  {called(image['name'], str(index))}: {mutable}{image['value']}"]


def _segment_lines(index: int, segment: Description) -> list[str]:
    of = f" of instance {segment['instance']}" if segment["instance"] else ""
    return wrapped(f"  {segment['index']}{of}: ", segment["elements"])


def object_lines(index: int, image: Description) -> list[str]:
    return wrapped(f"  {index}: ", object_words(image))


def object_words(image: Description) -> list[str]:
    """An object that has been described, in words that a line may end behind."""
    if image["kind"] == "exception":
        return [f"exception of tag {image['tag']}", *_named_values(image["values"])]
    type_ = image["type"]
    head = f"{image['kind']} of type {called(type_['name'], str(type_['index']))}"
    if type_["instance"]:
        head += f" of instance {type_['instance']}"
    if image["kind"] == "struct":
        return [f"{head}:", *_named_values(image["values"])]
    head += f", {image['size']} {image['element']}:"
    if "bytes" in image:
        words = bytes.fromhex(image["bytes"]).hex(" ").split()
    else:
        words = list(image["elements"])
    more = image["size"] > MOST_ELEMENTS
    return [head, *words, *(["…"] if more else [])]


def function_text(described: Description) -> str:
    """The function of a frame or a planned call that has been described."""
    return indexed_label(described["function"], described["name"])


def _named_values(values: Sequence[Description]) -> list[str]:
    return [f"{called(v['name'], str(i))}={v['value']}" for i, v in enumerate(values)]


def called(name: str | None, otherwise: str) -> str:
    """A name as an identifier of the text format, safe to print on a terminal."""
    return otherwise if name is None else identifier(name)


def limits_text(limits: Description) -> str:
    """The limits of a memory or table that has been described."""
    most = "" if limits["max"] is None else f", maximum {limits['max']}"
    wide = f", {limits['address']} addresses" if "address" in limits else ""
    return f"minimum {limits['min']}{most}{wide}"


def or_unknown(number: int | None) -> str:
    """A number that may be None."""
    return "unknown" if number is None else str(number)


def bytes_or_none(part: Description | None) -> str:
    """The size of a part that may not be there."""
    return "none" if part is None else f"{part['bytes']} bytes"


def wrapped(head: str, words: Sequence[str]) -> list[str]:
    """Lines that begin with ``head``, and end behind words where they would be too long."""
    return textwrap.wrap(
        " ".join(words),
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
