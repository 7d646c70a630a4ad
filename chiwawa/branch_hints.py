"""Branch hints: which way a conditional branch goes mostly (the code metadata of the branch hinting
proposal). Nothing here heeds them. In a module's text they are annotations, in its binary a custom
section that gives code offsets.
"""

from __future__ import annotations

from chiwawa.module import Module
from chiwawa_runtime.checkpoint.leb import decode_u, encode_u
from chiwawa_runtime.errors import MalformedError

#: The name of the section, and of the annotation.
NAME = "metadata.code.branch_hint"
#: Of functions, by index: whether the branch at a place is likely.
Hints = dict[int, dict[int, bool]]


def hints_of(module: Module) -> Hints | None:
    """The hints of ``module``, each place being the number of instructions before it. None where
    its section says something else than hints for its instructions."""
    data = next((custom.data for custom in module.customs if custom.name == NAME), None)
    if data is None:
        return module.hints
    try:
        by_offset = read_hints(data)
    except MalformedError:
        return None
    imported = len(module.func_typeidxs()) - len(module.funcs)
    found: Hints = {}
    for function, hints in by_offset.items():
        if not 0 <= function - imported < len(module.funcs):
            return None
        body = module.funcs[function - imported].body
        places = {instr.offset: place for place, instr in enumerate(body)}
        if any(o not in places or not body[places[o]].op.hinted for o in hints):
            return None
        found[function] = {places[offset]: likely for offset, likely in hints.items()}
    return found


def read_hints(data: bytes) -> Hints:
    """What the section's contents say, each place being a code offset. MalformedError where they
    say nothing, or two things of one place."""
    pos = 0

    def u32() -> int:
        nonlocal pos
        value, pos = decode_u(data, pos, 32)
        return value

    found: Hints = {}
    for _ in range(u32()):
        function = u32()
        hints: dict[int, bool] = {}
        for _ in range(u32()):
            offset, size, likely = u32(), u32(), u32()
            if size != 1 or likely > 1 or offset in hints:
                raise MalformedError("no branch hint", offset=pos)
            hints[offset] = bool(likely)
        if function in found:
            raise MalformedError("function hinted at twice", offset=pos)
        found[function] = hints
    if pos != len(data):
        raise MalformedError("section size mismatch", offset=pos)
    return found


def write_hints(hints: Hints) -> bytes:
    """The section's contents, each place being a code offset."""
    out = [encode_u(len(hints))]
    for function in sorted(hints):
        out += [encode_u(function), encode_u(len(hints[function]))]
        for offset in sorted(hints[function]):
            out.append(encode_u(offset) + bytes((1, hints[function][offset])))
    return b"".join(out)
