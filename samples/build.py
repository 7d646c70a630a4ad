"""Builds every sample's ``.wasm`` from the source beside it: ``python samples/build.py [NAME…]``.

Text is assembled by chiwawa itself. C is compiled by the clang that ``ziglang`` (on PyPI, the extra
``samples``) carries: programs with a ``main`` against WASI's libc, kernels without any libc and for
the first Wasm, so that the peers in the benchmarks can run them. Of the custom sections only the
names are kept, because a backtrace and an inspected checkpoint show them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent
PROGRAMS = ("primes", "spheres", "wc")
PROGRAM_FLAGS = ("-target", "wasm32-wasi", "-O2")
KERNEL_FLAGS = (
    *("-target", "wasm32-freestanding", "-mcpu=mvp", "-O2", "-nostdlib"),
    *("-Wl,--no-entry", "-Wl,-z,stack-size=4096"),
)
#: Kernels with vectors.
SIMD = ("pixels",)


def assemble(source: Path) -> bytes:
    """The binary of a ``.wat`` file."""
    import chiwawa

    return chiwawa.load(source).binary


def compile_c(source: Path) -> bytes:
    """The binary of a ``.c`` file."""
    flags = PROGRAM_FLAGS if source.stem in PROGRAMS else KERNEL_FLAGS
    if source.stem in SIMD:
        flags = (*flags, "-mcpu=mvp+simd128", "-O3")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out.wasm")
        command = [sys.executable, "-m", "ziglang", "cc", *flags, "-o", str(output), source.name]
        subprocess.run(command, check=True, cwd=source.parent)
        return only_names(output.read_bytes())


def only_names(binary: bytes) -> bytes:
    """``binary`` without its custom sections, but for the name section, reduced to the names of
    functions and globals (its subsections 1 and 7)."""
    kept = bytearray(binary[:8])
    for start, at, end in parts(binary, 8):
        if binary[start] == 0:
            size, name = uleb(binary, at)
            if binary[name : name + size] != b"name":
                continue
            body = binary[at : name + size]
            for substart, _, subend in parts(binary[:end], name + size):
                if binary[substart] in (1, 7):
                    body += binary[substart:subend]
            kept += b"\0" + encoded(len(body)) + body
        else:
            kept += binary[start:end]
    return bytes(kept)


def parts(binary: bytes, at: int) -> list[tuple[int, int, int]]:
    """Of each (sub)section from ``at`` on: where its id, its content and the next one are."""
    found = []
    while at < len(binary):
        size, content = uleb(binary, at + 1)
        found.append((at, content, content + size))
        at = content + size
    return found


def uleb(binary: bytes, at: int) -> tuple[int, int]:
    """The unsigned LEB128 number at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = binary[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def encoded(value: int) -> bytes:
    """``value`` as an unsigned LEB128 number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def build(source: Path) -> bytes:
    return assemble(source) if source.suffix == ".wat" else compile_c(source)


def main(names: list[str]) -> None:
    sources = sorted([*SAMPLES.glob("*.wat"), *SAMPLES.glob("*.c")])
    for source in sources:
        if not names or source.stem in names:
            binary = build(source)
            source.with_suffix(".wasm").write_bytes(binary)
            print(f"{source.name}: {len(binary):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
