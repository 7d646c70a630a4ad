"""What modules import, put together by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chiwawa_runtime.engine.instance import Importable
from chiwawa_runtime.run.instance import Instance
from chiwawa_runtime.wasi import Wasi


class Linker(Mapping[str, Mapping[str, Any]]):
    """Imports, by the name of a module and a name, for several instances: each that is made may be
    defined for those that come after it. It is a mapping, and is given wherever imports are.

    >>> linker = chiwawa.Linker()
    >>> linker.define("env", "twice", lambda n: 2 * n)
    >>> library = chiwawa.load('''(module (import "env" "twice" (func $twice (param i32)
    ...   (result i32))) (func (export "four_times") (param i32) (result i32)
    ...   (call $twice (call $twice (local.get 0)))))''')
    >>> linker.define_instance("library", chiwawa.instantiate(library, linker))
    >>> module = chiwawa.load('''(module (import "library" "four_times" (func $f (param i32)
    ...   (result i32))) (export "f" (func $f)))''')
    >>> chiwawa.instantiate(module, linker).exports.f(-10)
    -40
    """

    def __init__(self, imports: Mapping[str, Mapping[str, Importable]] | None = None) -> None:
        """With a copy of ``imports``."""
        self._modules: dict[str, dict[str, Importable]] = {
            module: dict(names) for module, names in (imports or {}).items()
        }

    def define(self, module: str, name: str, item: Importable) -> None:
        """Have ``item`` imported by that name: a Python callable, a ``HostFunction``, or what an
        instance exports. It takes the place of what was there.

        >>> module = chiwawa.load('''(module (import "env" "five" (func $five (result i32)))
        ...   (export "five" (func $five)))''')
        >>> linker = chiwawa.Linker()
        >>> linker.define("env", "five", lambda: 5)
        >>> chiwawa.instantiate(module, linker).call("five")
        5
        """
        self._modules.setdefault(module, {})[name] = item

    def define_instance(self, module: str, instance: Instance) -> None:
        """Have all that ``instance`` exports imported from ``module``.

        >>> library = chiwawa.load('(module (func (export "five") (result i32) (i32.const 5)))')
        >>> linker = chiwawa.Linker()
        >>> linker.define_instance("library", chiwawa.instantiate(library))
        >>> linker
        <linker: library.five>
        """
        self._modules.setdefault(module, {}).update(instance.exports)

    def define_wasi(self, wasi: Wasi | None = None) -> Wasi:
        """Have the functions of ``wasi`` imported (None: of one without arguments, environment and
        directories), under both names that WASI preview 1 has; what they belong to. Its state is of
        one program: each that is made wants another.

        >>> module = chiwawa.load('''(module
        ...   (import "wasi_snapshot_preview1" "args_sizes_get"
        ...     (func $sizes (param i32 i32) (result i32)))
        ...   (memory (export "memory") 1)
        ...   (func (export "arguments") (result i32)
        ...     (drop (call $sizes (i32.const 0) (i32.const 4))) (i32.load (i32.const 0))))''')
        >>> linker = chiwawa.Linker()
        >>> wasi = linker.define_wasi(chiwawa.Wasi(["name", "-v"]))
        >>> instance = chiwawa.instantiate(module, linker)
        >>> instance.call("arguments"), instance.wasi is wasi
        (2, True)
        """
        given = Wasi() if wasi is None else wasi
        for module, functions in given.imports().items():
            self._modules.setdefault(module, {}).update(functions)
        return given

    def __getitem__(self, module: str) -> Mapping[str, Any]:
        return self._modules[module]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __repr__(self) -> str:
        names = (f"{module}.{name}" for module, names in self.items() for name in names)
        return f"<linker: {', '.join(names) or 'nothing'}>"
