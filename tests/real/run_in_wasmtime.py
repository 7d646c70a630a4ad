"""Run a WASI program with wasmtime: ``python run_in_wasmtime.py MODULE HOST::GUEST… -- ARGV…``.

In a process of its own, so that what the program prints and how it ends are the process's.
"""

from __future__ import annotations

import sys

import wasmtime


def main() -> int:
    split = sys.argv.index("--")
    module, *dirs = sys.argv[1:split]
    features = wasmtime.Config()
    features.wasm_exceptions = True
    engine = wasmtime.Engine(features)
    config = wasmtime.WasiConfig()
    config.argv = sys.argv[split + 1 :]
    config.inherit_stdin()
    config.inherit_stdout()
    config.inherit_stderr()
    for given in dirs:
        host, _, guest = given.partition("::")
        config.preopen_dir(host, guest)
    with wasmtime.Store(engine) as store:
        store.set_wasi(config)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        instance = linker.instantiate(store, wasmtime.Module.from_file(engine, module))
        try:
            instance.exports(store)["_start"](store)
        except wasmtime.ExitTrap as end:
            return int(end.code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
