"""Whether a module has an instruction that can make a NaN by arithmetic (spec 4.3.3).

A generated file that is asked for canonical NaNs needs to know that of the module which it embeds,
and has no decoder. So this knows how long each instruction is (spec 5.4), and nothing else of it;
tests hold it against the instruction table. The module is one that was decoded before.
"""

from __future__ import annotations

from chiwawa_runtime.leb import decode_u

#: From ceil to max, of f32 and of f64, and between the two.
_MAKERS = frozenset((*range(0x8D, 0x98), *range(0x9B, 0xA6), 0xB6, 0xBB))
#: How many LEB128 numbers follow the byte of an instruction; none where it is not listed.
_NUMBERS = {
    **dict.fromkeys((0x02, 0x03, 0x04, 0x0C, 0x0D, 0x10), 1),
    0x11: 2,
    **dict.fromkeys(range(0x20, 0x27), 1),
    **dict.fromkeys((0x3F, 0x40, 0x41, 0x42, 0xD0, 0xD2), 1),
}
#: The same after 0xFC and the number that says which instruction it is.
_PREFIXED = {8: 2, 9: 1, 10: 2, 11: 1, 12: 2, 13: 1, 14: 2, 15: 1, 16: 1, 17: 1}
_CODE_SECTION = 10
_BR_TABLE, _SELECT_TYPED, _F32_CONST, _F64_CONST, _PREFIX = 0x0E, 0x1C, 0x43, 0x44, 0xFC
_LOADS_AND_STORES = range(0x28, 0x3F)
#: In the flags of a load or store: a memory's index follows.
_WITH_MEMORY = 0x40


def makes_nans(module: bytes) -> bool:
    """Whether some function of ``module``, a valid binary, has such an instruction."""
    pos = 8
    while pos < len(module):
        section = module[pos]
        size, pos = decode_u(module, pos + 1, 32)
        if section == _CODE_SECTION:
            count, pos = decode_u(module, pos, 32)
            for _ in range(count):
                size, pos = decode_u(module, pos, 32)
                if body_makes_nans(module, pos, pos + size):
                    return True
                pos += size
            return False
        pos += size
    return False


def body_makes_nans(module: bytes, pos: int, end: int) -> bool:
    declarations, pos = decode_u(module, pos, 32)
    pos = after_numbers(module, pos, 2 * declarations)
    while pos < end:
        if module[pos] in _MAKERS:
            return True
        pos = after(module, pos)
    return False


def after(module: bytes, pos: int) -> int:
    """The position after the instruction at ``pos``."""
    code = module[pos]
    pos += 1
    if code in _LOADS_AND_STORES:
        return after_numbers(module, pos, 3 if module[pos] & _WITH_MEMORY else 2)
    if code == _F32_CONST:
        return pos + 4
    if code == _F64_CONST:
        return pos + 8
    if code == _PREFIX:
        which, pos = decode_u(module, pos, 32)
        return after_numbers(module, pos, _PREFIXED.get(which, 0))
    if code in (_BR_TABLE, _SELECT_TYPED):
        count, pos = decode_u(module, pos, 32)
        return after_numbers(module, pos, count + (code == _BR_TABLE))
    return after_numbers(module, pos, _NUMBERS.get(code, 0))


def after_numbers(module: bytes, pos: int, count: int) -> int:
    """The position after ``count`` LEB128 numbers."""
    for _ in range(count):
        while module[pos] & 0x80:
            pos += 1
        pos += 1
    return pos
