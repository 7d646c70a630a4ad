"""Modules from other people's generators: ``wasm-tools smith`` and binaryen's ``wasm-opt -ttf``.

Both are kept to functions as imports, and to one NaN; and to Wasm 2.0 without vectors, but for the
``FEATURES`` that are asked for.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from chiwawa.binary import encode
from chiwawa.module import Import, Module, TypeUse
from chiwawa_runtime.state.types import VALTYPE_BY_NAME, FuncType, ValType
from tests.need_helpers import need

#: Bytes of seed: more of them, larger modules.
SEED_BYTES = (200, 1200)

OFF = (
    "bulk-memory=true multi-value=true reference-types=true saturating-float-to-int=true "
    "sign-extension-ops=true compact-imports=false custom-descriptors=false "
    "custom-page-sizes=false exceptions=false extended-const=false gc=false memory64=false "
    "relaxed-simd=false shared-everything-threads=false simd=false tail-call=false "
    "threads=false wide-arithmetic=false"
)
SMITH = [
    *(f"--{name}-enabled={value}" for name, value in (item.split("=") for item in OFF.split())),
    "--canonicalize-nans=true",
    "--export-everything=true",
    "--generate-custom-sections=false",
    "--max-funcs=8",
    "--min-funcs=2",
    "--max-imports=2",
    "--max-memories=1",
    "--max-tables=2",
    "--max-types=8",
    "--max-instructions=120",
    "--max-memory32-bytes=262144",
    "--max-table-elements=100",
    "--max-data-segments=4",
    "--max-element-segments=4",
    "--memory-max-size-required=true",
    "--table-max-size-required=true",
    "--min-exports=1",
]
#: What smith is asked for beside that, by what it is called here.
FEATURES: dict[str, tuple[str, ...]] = {
    "simd": ("simd-enabled=true", "relaxed-simd-enabled=true"),
    "exceptions": ("exceptions-enabled=true", "max-tags=4"),
    "constants": ("extended-const-enabled=true",),
    "memories": ("max-memories=3",),
    "memory64": ("memory64-enabled=true", "max-memory64-bytes=262144", "max-memories=3"),
    "tail-calls": ("tail-call-enabled=true",),
    "gc": ("gc-enabled=true", "max-types=20"),
    "threads": ("threads-enabled=true",),
    "page-sizes": ("custom-page-sizes-enabled=true", "max-memories=3"),
    "wide-arithmetic": ("wide-arithmetic-enabled=true",),
}
#: The same of -ttf, as far as it knows the same of them.
TTF_FEATURES: dict[str, tuple[str, ...]] = {
    "simd": ("--enable-simd", "--enable-relaxed-simd"),
    "exceptions": ("--enable-exception-handling", "--enable-reference-types"),
    "gc": ("--enable-gc", "--enable-reference-types"),
    "tail-calls": ("--enable-tail-call",),
    "threads": ("--enable-threads",),
}
#: The features that -ttf may use: Wasm 2.0 without vectors, and without references, of which
#: binaryen has held a different view.
TTF = [
    "--mvp-features",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--denan",
    "-ttf",
]


def seed_bytes(seed: int | str) -> bytes:
    rng = random.Random(seed)
    return rng.randbytes(rng.randint(*SEED_BYTES))


def importable(folder: Path) -> Path:
    """A module that lists the imports that smith may use: the hosts of ``generator_helpers``."""
    from tests.nodiff.generator_helpers import HOSTS

    def valtypes(names: tuple[str, ...]) -> tuple[ValType, ...]:
        return tuple(VALTYPE_BY_NAME[n] for n in names)

    path = folder / "importable.wasm"
    if not path.exists():
        module = Module()
        for name, params, results in HOSTS:
            module.types.append(FuncType(valtypes(params), valtypes(results)))
            module.import_section.append(Import("env", name, TypeUse(len(module.types) - 1)))
        path.write_bytes(encode(module))
    return path


def smith(seed: int | str, folder: Path, *features: str) -> bytes | None:
    """A module of wasm-smith's, which may use these FEATURES, or None where the seed makes none."""
    program = need("wasm-tools")
    wanted = [f"--{option}" for feature in features for option in FEATURES[feature]]
    replaced = {option.partition("=")[0] for option in wanted}
    options = [option for option in SMITH if option.partition("=")[0] not in replaced]
    done = subprocess.run(
        [program, "smith", *options, *wanted, f"--available-imports={importable(folder)}"],
        input=seed_bytes(seed),
        capture_output=True,
        check=False,
        timeout=300,
    )
    return done.stdout if done.returncode == 0 and done.stdout[:4] == b"\0asm" else None


def ttf(seed: int | str, folder: Path, *features: str) -> bytes | None:
    """A module of binaryen's, which may use these TTF_FEATURES."""
    program = need("wasm-opt")
    source, out = folder / "seed.bin", folder / "ttf.wasm"
    source.write_bytes(seed_bytes(seed))
    wanted = [option for feature in features for option in TTF_FEATURES[feature]]
    done = subprocess.run(
        [program, *TTF[:1], *wanted, *TTF[1:], str(source), "-o", str(out)],
        capture_output=True,
        check=False,
        timeout=300,
    )
    return out.read_bytes() if done.returncode == 0 else None


def with_standard_exceptions(module: bytes, folder: Path) -> bytes:
    """``module``, which handles exceptions by the older instructions, with ``try_table``, for an
    engine that has no other."""
    given, out = folder / "older.wasm", folder / "standard.wasm"
    given.write_bytes(module)
    features = [*TTF[:1], *TTF_FEATURES["exceptions"], *TTF[1:-2]]
    command = [need("wasm-opt"), *features, "--translate-to-exnref", str(given), "-o", str(out)]
    subprocess.run(command, capture_output=True, check=True, timeout=300)
    return out.read_bytes()
