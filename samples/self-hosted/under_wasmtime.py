"""``python under_wasmtime.py PYTHON.wasm CODE FOLDER PATH ARGS…``: a Python for WASI under wasmtime
that executes CODE, with FOLDER as /work and the folders of PATH to import from.

It ends with the status that the Python inside ends with.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import wasmtime


def translated(engine: wasmtime.Engine, file: Path) -> wasmtime.Module:
    """The module, translated to machine code once and kept beside it."""
    kept = file.with_suffix(".cwasm")
    try:
        return wasmtime.Module.deserialize_file(engine, str(kept))
    except (wasmtime.WasmtimeError, OSError):
        module = wasmtime.Module.from_file(engine, str(file))
    fresh = kept.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(module.serialize())
    fresh.replace(kept)
    return module


def main(file: str, code: str, folder: str, path: str, *arguments: str) -> int:
    engine = wasmtime.Engine()
    module = translated(engine, Path(file))
    config = wasmtime.WasiConfig()
    config.argv = ["python", "-c", code, *arguments]
    imports = {place: f"/python{i}" for i, place in enumerate(path.split(os.pathsep))}
    config.env = [
        ("PYTHONPATH", ":".join(imports.values())),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONSAFEPATH", "1"),
    ]
    config.preopen_dir(folder, "/work")
    for place, name in imports.items():
        config.preopen_dir(place, name, False)
    config.inherit_stdin()
    config.inherit_stdout()
    config.inherit_stderr()
    store = wasmtime.Store(engine)
    store.set_wasi(config)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    start = linker.instantiate(store, module).exports(store)["_start"]
    try:
        start(store)  # type: ignore[operator]
    except wasmtime.ExitTrap as ended:
        return ended.code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
