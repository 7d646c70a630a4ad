"""The samples' jobs as a Python programmer would write them by hand, for comparison.

Each takes the sample's size and gives the same result. The rule: the same algorithm in good Python
(ranges, tuples, tables of constants made beforehand, ``bit_count``, integers as wide as they like
until the result asks for a mask, the identities that a compiler finds), but no call that would do
the whole work in C (``hashlib``, ``sorted``, assignments to long slices).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from math import sqrt
from struct import Struct
from typing import Any

M32 = 0xFFFFFFFF
M64 = 0xFFFFFFFFFFFFFFFF


def leibniz(terms: int) -> float:
    total = 0.0
    sign = 4.0
    for term in range(terms):
        total += sign / (2 * term + 1)
        sign = -sign
    return total


SOLAR_MASS = 4 * 3.141592653589793 * 3.141592653589793
DAYS = 365.24
BODIES = (
    ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), SOLAR_MASS),
    (
        (4.84143144246472090e00, -1.16032004402742839e00, -1.03622044471123109e-01),
        (1.66007664274403694e-03, 7.69901118419740425e-03, -6.90460016972063023e-05),
        9.54791938424326609e-04 * SOLAR_MASS,
    ),
    (
        (8.34336671824457987e00, 4.12479856412430479e00, -4.03523417114321381e-01),
        (-2.76742510726411110e-03, 4.99852801234917238e-03, 2.30417297573763929e-05),
        2.85885980666130812e-04 * SOLAR_MASS,
    ),
    (
        (1.28943695621391310e01, -1.51111514016986312e01, -2.23307578892655734e-01),
        (2.96460137564761618e-03, 2.37847173959480950e-03, -2.96589568540237556e-05),
        4.36624404335156298e-05 * SOLAR_MASS,
    ),
    (
        (1.53796971148509165e01, -2.59193146099879641e01, 1.79258772950371181e-01),
        (2.68067772490389322e-03, 1.62824170038242295e-03, -9.51592254519715870e-05),
        5.15138902046611451e-05 * SOLAR_MASS,
    ),
)


class Body:
    __slots__ = ("mass", "vx", "vy", "vz", "x", "y", "z")

    def __init__(
        self, at: tuple[float, float, float], speed: tuple[float, float, float], mass: float
    ) -> None:
        self.x, self.y, self.z = at
        self.vx, self.vy, self.vz = (v * DAYS for v in speed)
        self.mass = mass


def energy(steps: int) -> float:
    bodies = [Body(*each) for each in BODIES]
    px = py = pz = 0.0
    for a in bodies:
        px += a.vx * a.mass
        py += a.vy * a.mass
        pz += a.vz * a.mass
    sun = bodies[0]
    sun.vx, sun.vy, sun.vz = -px / SOLAR_MASS, -py / SOLAR_MASS, -pz / SOLAR_MASS
    pairs = [(a, b) for i, a in enumerate(bodies) for b in bodies[i + 1 :]]
    dt = 0.01
    for _ in range(steps):
        for a, b in pairs:
            dx = a.x - b.x
            dy = a.y - b.y
            dz = a.z - b.z
            squared = dx * dx + dy * dy + dz * dz
            magnitude = dt / (squared * sqrt(squared))
            mass = b.mass
            a.vx -= dx * mass * magnitude
            a.vy -= dy * mass * magnitude
            a.vz -= dz * mass * magnitude
            mass = a.mass
            b.vx += dx * mass * magnitude
            b.vy += dy * mass * magnitude
            b.vz += dz * mass * magnitude
        for a in bodies:
            a.x += dt * a.vx
            a.y += dt * a.vy
            a.z += dt * a.vz
    total = 0.0
    for i, a in enumerate(bodies):
        total += 0.5 * a.mass * (a.vx * a.vx + a.vy * a.vy + a.vz * a.vz)
        for b in bodies[i + 1 :]:
            dx = a.x - b.x
            dy = a.y - b.y
            dz = a.z - b.z
            total -= a.mass * b.mass / sqrt(dx * dx + dy * dy + dz * dz)
    return total


# fmt: off
START = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)
K = (
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
)
# fmt: on


WORDS = Struct(">16I")


def compress(state: list[int], block: bytes) -> list[int]:
    # A word is rotated as part of itself twice over: once doubled, each rotation is one shift.
    w = [*WORDS.unpack(block)]
    for i in range(16, 64):
        x = w[i - 15]
        y = w[i - 2]
        xx = x << 32 | x
        yy = y << 32 | y
        s0 = (xx >> 7 ^ xx >> 18) & M32 ^ x >> 3
        s1 = (yy >> 17 ^ yy >> 19) & M32 ^ y >> 10
        w.append((w[i - 16] + s0 + w[i - 7] + s1) & M32)
    a, b, c, d, e, f, g, h = state
    bc = b ^ c
    for k, x in zip(K, w, strict=True):
        ee = e << 32 | e
        # (e & f) ^ (~e & g), in three operations.
        chosen = g ^ e & (f ^ g)
        t = h + ((ee >> 6 ^ ee >> 11 ^ ee >> 25) & M32) + chosen + k + x
        aa = a << 32 | a
        # (a & b) ^ (a & c) ^ (b & c); what a and b are now, b and c are in the next round.
        ab = a ^ b
        majority = b ^ ab & bc
        bc = ab
        # Bits from the 32nd on fall away below.
        u = (aa >> 2 ^ aa >> 13 ^ aa >> 22) + majority
        h, g, f, e, d, c, b, a = g, f, e, (d + t) & M32, c, b, a, (t + u) & M32
    return [(x + y) & M32 for x, y in zip(state, (a, b, c, d, e, f, g, h), strict=True)]


def digest(blocks: int) -> int:
    state = list(START)
    first = 0
    for _ in range(blocks):
        state = compress(state, bytes([(first + i) & 0xFF for i in range(64)]))
        first += 71
    state = compress(state, b"\x80" + bytes(55) + (blocks * 512).to_bytes(8, "big"))
    return state[0]


def sort(numbers: list[int], low: int, high: int) -> None:
    while low < high:
        pivot = numbers[low + (high - low) // 2]
        i, j = low, high
        while i <= j:
            while numbers[i] < pivot:
                i += 1
            while numbers[j] > pivot:
                j -= 1
            if i <= j:
                numbers[i], numbers[j] = numbers[j], numbers[i]
                i += 1
                j -= 1
        sort(numbers, low, j)
        low = i


def quicksort(count: int) -> int:
    seed = 42
    numbers = []
    for _ in range(count):
        seed = (seed * 1664525 + 1013904223) & M32
        numbers.append(seed - (seed >> 31 << 32))
    sort(numbers, 0, count - 1)
    total = 1
    previous = numbers[0]
    for number in numbers:
        if previous > number:
            return 0
        previous = number
        total = (total * 31 + number) & M32
    return total


def sorts(rounds: int) -> int:
    total = 0
    for left in reversed(range(rounds)):
        total = (total * 31 + quicksort(256) + left) & M32
    return total


def primes(limit: int) -> int:
    composite = bytearray(limit)
    count = 0
    for i in range(2, limit):
        if composite[i]:
            continue
        count += 1
        for j in range(i * i, limit, i):
            composite[j] = 1
    return count


def sieves(rounds: int) -> int:
    total = 0
    for _ in range(rounds):
        total = (total * 3 + primes(2048)) & M32
    return total


def fib(n: int) -> int:
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


def fibs(rounds: int) -> int:
    return sum(fib(12) for _ in range(rounds)) & M32


def is_even(n: int) -> bool:
    if n == 0:
        return True
    return is_odd(n - 1)


def is_odd(n: int) -> bool:
    if n == 0:
        return False
    return is_even(n - 1)


def evens(rounds: int) -> int:
    return sum(is_even(n & 63) for n in range(rounds))


def ruler(count: int) -> int:
    total = 0
    for step in range(1, count + 1):
        total += 1
        depth = 1
        while not step & 1:
            step >>= 1
            depth += 1
            total += depth
    return total & M32


def steps_from(case: int) -> tuple[tuple[str, int], ...]:
    """What is done from a case on, until one does not fall into the next, with its constants."""
    if case >= 120:
        return (("*", 31),)
    operations = (("+", case * case + 1), ("^", case * 7919), ("rotate", case % 31 + 1))
    step = operations[case % 3]
    return (step, *steps_from(case + 1)) if case % 4 == 2 else (step,)


CASES = [steps_from(case) for case in range(128)]


def choose(count: int) -> int:
    seed = 1
    total = 0
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) & M32
        for operation, operand in CASES[seed >> 16 & 127]:
            if operation == "+":
                total = (total + operand) & M32
            elif operation == "^":
                total ^= operand
            elif operation == "rotate":
                total = (total << operand | total >> (32 - operand)) & M32
            else:
                total = total * operand & M32
    return total


def rotate(a: int, b: int) -> int:
    b &= 31
    return (a << b | a >> (32 - b)) & M32


def larger(a: int, b: int) -> int:
    return a if a ^ 0x80000000 > b ^ 0x80000000 else b


def mix_operands(a: int, b: int) -> int:
    return OPERATIONS[a & 1](b, a)


OPERATIONS: list[Callable[[int, int], int]] = [
    lambda a, b: (a + b) & M32,
    lambda a, b: (a - b) & M32,
    lambda a, b: a * (b | 1) & M32,
    lambda a, b: a ^ b,
    rotate,
    larger,
    mix_operands,
    lambda a, b: a | b & 0xFFFF,
]


def steps(count: int) -> int:
    value = 0
    seed = 12345
    for _ in range(count):
        seed = (seed * 1664525 + 1013904223) & M32
        value = OPERATIONS[seed >> 29](value, seed)
    return value


def mix(rounds: int) -> int:
    state = 0x9E3779B97F4A7C15
    total = 0
    for _ in range(rounds):
        state ^= state << 13 & M64
        state ^= state >> 7
        state ^= state << 17 & M64
        by = state.bit_count() & 63
        high = state * total >> 64
        total = (total << by | total >> (64 - by)) + high & M64
        by = 64 - total.bit_length() + (state & -state).bit_length() - 1 & 63
        total ^= (state - (state >> 63 << 64)) >> by & M64
    return total


def float_cell() -> tuple[Any, Any]:
    """A place for one float of 32 bits, which is how pure Python rounds to them, and its bits:
    whichever kind is the fastest."""
    if sys.implementation.name == "pypy":
        cell = array("f", [0.0])
        return cell, memoryview(cell).cast("B").cast("I")
    view = memoryview(bytearray(4))
    return view.cast("f"), view.cast("I")


#: What lies beyond it rounds to more than 4 in 32 bits.
FOUR = 4.0 + 2.0**-22


def escape(points: int) -> int:
    f, bits = float_cell()
    seed = 7
    total = 0
    for _ in range(points):
        seed = (seed * 1664525 + 1013904223) & M32
        f[0] = (seed >> 8) * (3.0 / 16777216.0)
        f[0] = f[0] - 2.25
        cx = f[0]
        seed = (seed * 1664525 + 1013904223) & M32
        f[0] = (seed >> 8) * (2.5 / 16777216.0)
        f[0] = f[0] - 1.25
        cy = f[0]
        x = y = 0.0
        steps = 0
        while steps < 50:
            f[0] = x * x
            xx = f[0]
            f[0] = y * y
            yy = f[0]
            if xx + yy > FOUR:
                break
            # Doubling is exact, so that the product alone is rounded.
            f[0] = 2.0 * x * y
            f[0] = f[0] + cy
            y = f[0]
            f[0] = xx - yy
            f[0] = f[0] + cx
            x = f[0]
            steps += 1
        f[0] = x
        total = (total * 31 + (bits[0] ^ steps)) & M32
    return total


PUSH, LOAD, SAVE, ADD, SUB, MUL, XOR, SHIFT, LESS, JUMP, UNLESS, STOP = range(12)
# fmt: off
PROGRAM = bytes((
    LOAD, 0, LOAD, 2, LESS, UNLESS, 30,
    LOAD, 1, PUSH, 33, MUL, LOAD, 0, LOAD, 0, PUSH, 3, SHIFT, ADD, XOR, SAVE, 1,
    LOAD, 0, PUSH, 1, ADD, SAVE, 0,
    LOAD, 0, LOAD, 2, LESS, UNLESS, 39, JUMP, 0,
    STOP,
))
# fmt: on


def execute(n: int) -> int:
    at = 0
    stack: list[int] = []
    variables = [0, 0, n]
    while True:
        op = PROGRAM[at]
        if op == PUSH:
            stack.append(PROGRAM[at + 1])
            at += 2
        elif op == LOAD:
            stack.append(variables[PROGRAM[at + 1]])
            at += 2
        elif op == SAVE:
            variables[PROGRAM[at + 1]] = stack.pop()
            at += 2
        elif op == JUMP:
            at = PROGRAM[at + 1]
        elif op == UNLESS:
            at = at + 2 if stack.pop() else PROGRAM[at + 1]
        elif op == STOP:
            return variables[1]
        else:
            b = stack.pop()
            a = stack[-1]
            if op == ADD:
                a = (a + b) & M32
            elif op == SUB:
                a = (a - b) & M32
            elif op == MUL:
                a = a * b & M32
            elif op == XOR:
                a ^= b
            elif op == SHIFT:
                a >>= b
            else:
                a = int(a < b)
            stack[-1] = a
            at += 1


PIXELS = 4096
POINTS = 1024


def blend(rounds: int) -> int:
    seed = 1
    above, below = bytearray(PIXELS), bytearray(PIXELS)
    for i in range(PIXELS):
        seed = (seed * 1664525 + 1013904223) & M32
        above[i] = seed >> 24
        below[i] = seed >> 16 & 0xFF
    for number in range(rounds):
        number &= 0xFF
        for i in range(PIXELS):
            bright = above[i] + below[i]
            if bright > 255:
                bright = 255
            below[i] = above[i] + bright + 1 >> 1
            above[i] = bright ^ number
    total = 0
    for i in range(PIXELS):
        total = (total * 31 + above[i] + below[i]) & M32
    return total


def smooth(rounds: int) -> float:
    f, _ = float_cell()
    line = [(i * 37 % 101) * 0.25 for i in range(POINTS + 2)]
    for _ in range(rounds):
        following = line[:]
        for i in range(1, POINTS + 1):
            f[0] = line[i - 1] + 2.0 * line[i]
            f[0] = f[0] + line[i + 1]
            f[0] = f[0] * 0.25
            value = f[0]
            following[i] = 20.0 if value > 20.0 else value
        line = following
    total = 0.0
    for i in range(1, POINTS + 1):
        f[0] = total + line[i]
        total = f[0]
    return total


#: By the name of the sample in ``samples/samples.json``.
HANDWRITTEN: dict[str, Callable[[int], int | float]] = {
    "pi": leibniz,
    "nbody": energy,
    "sha256": digest,
    "quicksort": sorts,
    "sieve": sieves,
    "fib": fibs,
    "even-odd": evens,
    "nested-loops": ruler,
    "br_table": choose,
    "switch": execute,
    "indirect": steps,
    "bits": mix,
    "mandelbrot": escape,
    "blend": blend,
    "smooth": smooth,
}
