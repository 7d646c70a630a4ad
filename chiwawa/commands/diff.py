"""Where two checkpoints differ, for people and for programs: ``compare`` makes plain data of two
snapshots, ``render`` makes text of that.

Values are compared by their bits, so that a zero's sign and a NaN's payload count. Frames are
matched by depth, counted from the oldest, since that is where two stops of one program agree, and
objects by what leads to them (see ``matching``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from chiwawa.commands.matching import Matching
from chiwawa.inspect import (
    Code,
    Description,
    bytes_or_none,
    called,
    codes_of,
    describe_call,
    describe_frames,
    describe_instances,
    describe_object,
    describe_segment,
    function_text,
    limits_of,
    limits_text,
    object_words,
    or_unknown,
    shortened,
    stored_in,
)
from chiwawa.module import Module, Names
from chiwawa_runtime.checkpoint.write import object_bytes
from chiwawa_runtime.run.uptake import check_module
from chiwawa_runtime.state.memory_image import MemoryImage, either
from chiwawa_runtime.state.snapshot import (
    Frame,
    ObjectImage,
    Snapshot,
    TableImage,
    Value,
)
from chiwawa_runtime.state.types import ValType
from chiwawa_runtime.state.values import format_stored, format_value

#: Of a memory, so many ranges are listed; of those beyond, there is the number.
MOST_RANGES = 10_000
#: Fewer equal bytes than this between two that differ do not end a range.
GAP = 16
#: Of a range, so many bytes of each side are shown.
SHOWN = 8
# Where bytes are not all equal, so many are looked through at once.
_SMALL = 1 << 14
_DIFFERING = re.compile(rb"[^\0]+(?:\0{1,%d}[^\0]+)*" % (GAP - 1))

Typed = tuple[ValType, Value]


def compare(a: Snapshot, b: Snapshot, module: Module | None = None) -> Description:
    """How ``b`` differs from ``a``, as data for ``json``. ``equal`` says whether it does at all;
    every other entry is None or an empty list where there is no difference. Pairs are ``{"a": …,
    "b": …}``, with None where one side has no such thing.

    With ``module``, things have names and frames their instructions. Raises CheckpointError where
    one of the two is not of that module.
    """
    if module is not None:
        module_hash = module.hash
        check_module(a, module_hash)
        check_module(b, module_hash)
    names = None if module is None else module.names
    functions = {} if module is None else module.func_names()
    matching = Matching(a, b)
    seen = matching.seen()
    sides = a, b, seen
    differences: Description = {
        "module": _pair(
            *({"name": s.module_name, "sha256": s.module_hash.hex()} for s in (a, b)),
        ),
        "granularity": _pair(a.granularity, b.granularity),
        "safepoints": _pair(a.safepoints, b.safepoints),
        "canonical_nans": _pair(a.canonical_nans, b.canonical_nans),
        "instances": _pair(describe_instances(a), describe_instances(b)),
        "depth": _pair(len(a.frames), len(b.frames)),
        "frames": _frames(
            [codes_of(s, module, ()) for s in (a, b)], *(s.frames[::-1] for s in sides)
        ),
        "plan": [
            {"index": i, **pair}
            for i, pair in _each(
                _told, *([describe_call(call, functions) for call in s.plan] for s in sides)
            )
        ],
        "memories": [
            {"index": i, "name": names and names.mems.get(i), **memory}
            for i, memory in _each(_memory, *(s.memories for s in sides))
        ],
        "tables": [
            {"index": i, "name": names and names.tables.get(i), **table}
            for i, table in _each(_table, *(s.tables for s in sides))
        ],
        "globals": [
            {"index": i, "name": names and names.globals.get(i), **pair}
            for i, pair in _each(
                _told,
                *(
                    [
                        {"mutable": g.type.mutable, "value": format_value(g.type.type, g.value)}
                        for g in s.globals
                    ]
                    for s in sides
                ),
            )
        ],
        "segments": [
            {"index": i, **pair}
            for i, pair in _each(
                _told, *([describe_segment(each) for each in s.segments] for s in sides)
            )
        ],
        "objects": [
            {"number": dict(zip("ab", numbers, strict=True)), **pair}
            for numbers in matching.pairs()
            if (pair := _object(names, *of_each(sides, numbers))) is not None
        ],
        "dropped_elems": [
            {"index": i, **pair} for i, pair in _each(_told, *(s.dropped_elems for s in sides))
        ],
        "dropped_datas": [
            {"index": i, **pair} for i, pair in _each(_told, *(s.dropped_datas for s in sides))
        ],
        "wasi": _bytes(a.wasi, b.wasi),
        "host": _bytes(a.host, b.host),
        "monitors": _bytes(a.monitors, b.monitors),
    }
    return {"equal": not any(differences.values()), **differences}


def _pair(a: Any, b: Any) -> Description | None:
    return None if a == b else {"a": a, "b": b}


def _told(a: Any, b: Any, seen: Any) -> Description | None:
    """A pair, if ``b`` is another than ``a`` also as it is ``seen`` with the numbers that ``a`` has
    for objects."""
    return None if a == seen else {"a": a, "b": b}


def _each(
    difference: Any, a: Sequence[Any], b: Sequence[Any], seen: Sequence[Any]
) -> Iterator[tuple[int, Any]]:
    """What ``difference`` says of the items at each index, where it says anything."""
    for index, items in enumerate(zip_longest(a, b, seen)):
        found = difference(*items)
        if found is not None:
            yield index, found


Sides = tuple[Snapshot, Snapshot, Snapshot]


def of_each(sides: Sides, numbers: tuple[int | None, int | None]) -> list[ObjectImage | None]:
    """The object with its number on each side, if it has one there."""
    of = (*numbers, numbers[1])
    return [None if n is None else s.objects[n] for s, n in zip(sides, of, strict=True)]


def _object(
    names: Names | None, a: ObjectImage | None, b: ObjectImage | None, seen: ObjectImage | None
) -> Any:
    """How two objects that are the same differ: each side, and the fields or elements."""
    values: list[Description] = []
    if a is not None and b is not None and seen is not None:
        # By their bits: a NaN is not equal to itself.
        if object_bytes(a) == object_bytes(seen):
            return None
        texts = ([format_stored(*each) for each in stored_in(image)] for image in (a, b, seen))
        values = [{"index": i, **pair} for i, pair in _each(_told, *texts)]
    sides = (None if each is None else describe_object(each, names) for each in (a, b))
    return {**dict(zip("ab", sides, strict=True)), "values": values}


def _bytes(a: bytes | None, b: bytes | None) -> Description | None:
    """Sizes alone: what is in these is not for people."""
    if a == b:
        return None
    return {
        "a": None if a is None else {"bytes": len(a)},
        "b": None if b is None else {"bytes": len(b)},
    }


# Frames.


def _frames(
    codes: Sequence[Sequence[Code]],
    a: Sequence[Frame],
    b: Sequence[Frame],
    seen: Sequence[Frame],
) -> list[Description]:
    """``codes`` are those of the instances of ``a`` and of ``b``."""
    found = []
    for depth, (left, right, other) in enumerate(zip_longest(a, b, seen)):
        if (
            left is None
            or right is None
            or (left.function, left.instance) != (right.function, right.instance)
        ):
            locals_, stack = [], []
        else:
            names = codes[0][left.instance].module.names
            local_names = names.locals.get(left.function, {})
            locals_ = _values(left.locals, right.locals, other.locals)
            for pair in locals_:
                pair["name"] = local_names.get(pair["index"])
            stack = _values(left.stack, right.stack, other.stack)
            if left.offset == right.offset and not locals_ and not stack:
                continue
        described = {
            side: None if frame is None else describe_frames([frame], known)[0]
            for side, frame, known in (("a", left, codes[0]), ("b", right, codes[1]))
        }
        found.append({"depth": depth, **described, "locals": locals_, "stack": stack})
    return found


def _values(a: Sequence[Typed], b: Sequence[Typed], seen: Sequence[Typed]) -> list[Description]:
    """The locals or operands that differ, by index; the deepest operand has index 0."""
    texts = ([format_value(*typed) for typed in values] for values in (a, b, seen))
    return [{"index": i, **pair} for i, pair in _each(_told, *texts)]


# Tables and memories.


def _table(
    a: TableImage | None, b: TableImage | None, seen: TableImage | None
) -> Description | None:
    sides = [
        None
        if table is None
        else {
            "size": len(table.elements),
            "type": str(table.type.element),
            **limits_of(table.type.limits),
        }
        for table in (a, b)
    ]
    elements: list[Description] = []
    if a is not None and b is not None and seen is not None:
        if a.elements != seen.elements or a.type != seen.type:
            texts = ([format_value(t.type.element, e) for e in t.elements] for t in (a, b, seen))
            elements = [{"index": i, **pair} for i, pair in _each(_told, *texts)]
        if not elements and sides[0] == sides[1]:
            return None
    return {"a": sides[0], "b": sides[1], "elements": elements}


def _memory(
    a: MemoryImage | None, b: MemoryImage | None, seen: MemoryImage | None
) -> Description | None:
    sides = [
        None
        if memory is None
        else {
            "bytes": memory.size,
            **limits_of(memory.type.limits),
        }
        for memory in (a, b)
    ]
    ranges: list[Description] = []
    differing = more = 0
    if a is not None and b is not None:
        for start, end, count in differing_ranges(a, b):
            differing += count
            if len(ranges) == MOST_RANGES:
                more += 1
                continue
            shown = start, min(end, start + SHOWN)
            ranges.append(
                {
                    "start": start,
                    "length": end - start,
                    "a": a.read(*shown).hex(),
                    "b": b.read(*shown).hex(),
                }
            )
        if not ranges and sides[0] == sides[1]:
            return None
    return {
        "a": sides[0],
        "b": sides[1],
        "differing_bytes": differing,
        "ranges": ranges,
        "more_ranges": more,
    }


def differing_ranges(a: MemoryImage, b: MemoryImage) -> Iterator[tuple[int, int, int]]:
    """Where the two differ, as far as both go: start and end of each range, and how many of its
    bytes differ. Ranges with fewer than ``GAP`` equal bytes between them are one."""
    start = end = count = 0
    for left, right, found in _differing(a, b):
        if count and left - end < GAP:
            end, count = right, count + found
            continue
        if count:
            yield start, end, count
        start, end, count = left, right, found
    if count:
        yield start, end, count


def _differing(a: MemoryImage, b: MemoryImage) -> Iterator[tuple[int, int, int]]:
    """As ``differing_ranges``, but ranges end where pieces do."""
    for large, stop in either(a, b):
        lefts, rights = a.read(large, stop), b.read(large, stop)
        if lefts == rights:
            continue
        for small in range(large, stop, _SMALL):
            here = slice(small - large, small - large + _SMALL)
            left, right = lefts[here], rights[here]
            if left == right:
                continue
            # As numbers, so that one operation compares all the bytes.
            xor = int.from_bytes(left, "little") ^ int.from_bytes(right, "little")
            for match in _DIFFERING.finditer(xor.to_bytes(len(left), "little")):
                count = len(match[0].translate(None, b"\0"))
                yield small + match.start(), small + match.end(), count


# Text.


def render(difference: Description, a: str, b: str) -> str:
    """What ``compare`` returned, as lines of text, the last one ended: the left side of each ``|``
    is of ``a``, the right one of ``b``. Long lists are cut, and it is said how many items are left
    out. Nothing is written where nothing differs."""
    if difference["equal"]:
        return ""
    lines = [f"{a} | {b}"]
    module = difference["module"]
    if module is not None:
        lines.append("module: " + _sides(module, _module_text))
    for key, shown in (("granularity", str), ("safepoints", or_unknown)):
        if difference[key] is not None:
            lines.append(f"{key}: " + _sides(difference[key], shown))
    if difference["instances"] is not None:
        lines.append("linked instances: " + _sides(difference["instances"], _instances_text))
    if difference["canonical_nans"] is not None:
        lines.append("canonical NaNs: " + _sides(difference["canonical_nans"], _yes_or_no))
    if difference["depth"] is not None:
        lines.append("depth: " + _sides(difference["depth"], "{} frames".format))
    if difference["frames"]:
        lines += ["", "frames, counted from the oldest:"]
        lines += shortened(difference["frames"], _frame_lines)
    if difference["plan"]:
        lines += ["", "calls after the oldest frame returns:"]
        lines += shortened(difference["plan"], _plan_lines)
    for title, item_lines in (
        ("memories", _memory_lines),
        ("tables", _table_lines),
        ("globals", _global_lines),
        ("segments", _held_lines),
        ("objects", _object_lines),
    ):
        if difference[title]:
            lines += ["", f"{title}:", *shortened(difference[title], item_lines)]
    for kind in ("elems", "datas"):
        if difference[f"dropped_{kind}"]:
            lines += ["", f"dropped {kind}:"]
            lines += shortened(difference[f"dropped_{kind}"], _segment_lines)
    for key, what in (("wasi", "wasi state"), ("host", "host state"), ("monitors", "monitors")):
        if difference[key] is not None:
            lines += ["", f"different {what}: " + _sides(difference[key], bytes_or_none)]
    return "\n".join(lines) + "\n"


def _sides(pair: Description, shown: Any, otherwise: str = "-") -> str:
    """Both sides of a pair; ``otherwise`` stands for one that is not there, where ``shown`` cannot
    say that itself."""
    takes_none = shown in (bytes_or_none, or_unknown)
    a, b = (
        otherwise if pair[side] is None and not takes_none else shown(pair[side])
        for side in ("a", "b")
    )
    return f"{a} | {b}"


def _module_text(module: Description) -> str:
    return f"{called(module['name'] or None, '(no name)')} {module['sha256']}"


def _place(frame: Description) -> str:
    text = f"0x{frame['offset']:04x}"
    if frame["instruction"] is not None:
        text += f": {frame['instruction']}"
    return text if frame["source"] is None else f"{text} at {frame['source']}"


def _frame_text(frame: Description) -> str:
    return f"{function_text(frame)} at {_place(frame)}"


def _frame_lines(index: int, frame: Description) -> list[str]:
    a, b = frame["a"], frame["b"]
    head = f"  #{frame['depth']}  "
    if a is None or b is None or a["function"] != b["function"]:
        return [head + _sides(frame, _frame_text)]
    if a["offset"] == b["offset"]:
        lines = [head + _frame_text(a)]
    else:
        lines = [f"{head}{function_text(a)} at " + _sides(frame, _place)]
    lines += [
        f"      local {called(pair['name'], str(pair['index']))}: " + _sides(pair, str)
        for pair in frame["locals"]
    ]
    lines += [f"      operand {pair['index']}: " + _sides(pair, str) for pair in frame["stack"]]
    return lines


def _plan_lines(index: int, pair: Description) -> list[str]:
    def text(call: Description) -> str:
        return f"{function_text(call)} with ({', '.join(arg['value'] for arg in call['args'])})"

    return [f"  #{pair['index']}  " + _sides(pair, text)]


def _memory_lines(index: int, memory: Description) -> list[str]:
    name = called(memory["name"], str(memory["index"]))
    head = f"  {name}: {memory['differing_bytes']} bytes differ"
    if memory["a"] != memory["b"]:
        head += ", size " + _sides(memory, _size_text(memory, "{bytes} bytes"))
    lines = [head]
    lines += shortened(memory["ranges"], _range_lines)
    if memory["more_ranges"]:
        lines.append(f"    and {memory['more_ranges']} ranges more")
    return lines


def _range_lines(index: int, piece: Description) -> list[str]:
    def text(shown: str) -> str:
        spaced = bytes.fromhex(shown).hex(" ")
        return spaced + (" …" if piece["length"] > SHOWN else "")

    return [f"    0x{piece['start']:08x} +{piece['length']}: " + _sides(piece, text)]


def _table_lines(index: int, table: Description) -> list[str]:
    head = f"  {called(table['name'], str(table['index']))}:"
    if table["a"] != table["b"]:
        head += " size " + _sides(table, _size_text(table, "{size} of {type}"))
    return [head, *shortened(table["elements"], _element_lines)]


def _size_text(pair: Description, form: str) -> Callable[[Description], str]:
    """What shows a side's size, by ``form``, and its limits where those are not the same."""
    a, b = pair["a"], pair["b"]
    if a is not None and b is not None and limits_text(a) == limits_text(b):
        return lambda side: form.format(**side)
    return lambda side: f"{form.format(**side)} ({limits_text(side)})"


def _element_lines(index: int, pair: Description) -> list[str]:
    return [f"    {pair['index']}: " + _sides(pair, str)]


def _global_lines(index: int, pair: Description) -> list[str]:
    def text(side: Description) -> str:
        return ("mutable " if side["mutable"] else "") + str(side["value"])

    return [f"  {called(pair['name'], str(pair['index']))}: " + _sides(pair, text)]


def _held_lines(index: int, pair: Description) -> list[str]:
    def text(segment: Description) -> str:
        where = f" of instance {segment['instance']}" if segment["instance"] else ""
        return " ".join([f"{segment['index']}{where}:", *segment["elements"]])

    return [f"  #{pair['index']}  " + _sides(pair, text)]


def _object_lines(index: int, pair: Description) -> list[str]:
    number = pair["number"]
    same = number["a"] == number["b"]
    head = f"  {number['a'] if same else _sides(number, str)}: "
    if not pair["values"]:
        return [head + _sides(pair, lambda image: " ".join(object_words(image)))]
    return [head + object_words(pair["a"])[0], *shortened(pair["values"], _element_lines)]


def _segment_lines(index: int, pair: Description) -> list[str]:
    return [f"  {pair['index']}: " + _sides(pair, _yes_or_no)]


def _instances_text(instances: Sequence[Description]) -> str:
    """Linked instances, each in a few words."""
    return "; ".join(
        f"{called(each['module']['name'] or None, '(no name)')}, "
        f"{or_unknown(each['safepoints'])} passed"
        for each in instances
    )


def _yes_or_no(flag: bool) -> str:
    return "yes" if flag else "no"
