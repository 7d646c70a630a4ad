"""Damaged modules: read, or refused in one of the ways that there are; never anything else."""

import random
from pathlib import Path

import pytest

from chiwawa.binary import decode, encode
from chiwawa.validate import validate
from chiwawa_runtime.errors import BadInput

SAMPLES = [
    path
    for path in sorted((Path(__file__).parents[3] / "samples").glob("*.wasm"))
    if path.stat().st_size < 30_000
]
MUTANTS = 2000


def mutant(data: bytes, chance: random.Random) -> bytes:
    """``data`` cut short, or with some bits flipped, bytes overwritten, repeated or removed."""
    if chance.random() < 0.2:
        return data[: chance.randrange(len(data))]
    out = bytearray(data)
    # The contents of debugging sections decide nothing: leave most of the damage to the front.
    span = len(out) if chance.random() < 0.5 else min(len(out), 400)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(span)
        match chance.randrange(4):
            case 0 | 1:
                out[at] ^= 1 << chance.randrange(8)
            case 2:
                out[at] = chance.choice((0x00, 0x0B, 0x7F, 0x80, 0xFF, 0xFC))
            case _:
                out[at : at + chance.randrange(6)] = out[at : at + 1] * chance.randrange(6)
        span = min(span, len(out))
    return bytes(out)


@pytest.mark.parametrize("part", range(4))
def test_a_damaged_module_is_accepted_or_refused(part: int) -> None:
    chance = random.Random(part)
    originals = [path.read_bytes() for path in SAMPLES]
    accepted = 0
    for _ in range(MUTANTS // 4):
        data = mutant(chance.choice(originals), chance)
        message = ""
        try:
            module = decode(data)
            validate(module)
        except BadInput as error:
            message = str(error)
        else:
            accepted += 1
            validate(decode(encode(module)))
        assert "\n" not in message
    assert accepted
