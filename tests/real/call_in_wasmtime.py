"""Call an exported function with wasmtime and print its result as JSON:
``python call_in_wasmtime.py MODULE NAME INTEGER…``. What the module imports does nothing."""

from __future__ import annotations

import json
import sys

import wasmtime


def main() -> None:
    file, name, *args = sys.argv[1:]
    config = wasmtime.Config()
    config.wasm_function_references = config.wasm_gc = True
    engine = wasmtime.Engine(config)
    with wasmtime.Store(engine) as store:
        module = wasmtime.Module.from_file(engine, file)
        linker = wasmtime.Linker(engine)
        for wanted in module.imports:
            linker.define_func(wanted.module, wanted.name, wanted.type, lambda *values: None)
        instance = linker.instantiate(store, module)
        print(json.dumps(instance.exports(store)[name](store, *map(int, args))))


if __name__ == "__main__":
    main()
