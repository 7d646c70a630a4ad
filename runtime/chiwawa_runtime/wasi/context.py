"""What an embedder gives a guest of WASI: a process, and the functions that act on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import CheckpointError, ResourceError
from chiwawa_runtime.state.snapshot import Snapshot
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.types import VALTYPE_BY_NAME, FuncType
from chiwawa_runtime.wasi import poll_calls, state
from chiwawa_runtime.wasi.abi import (
    INVAL,
    NOMEM,
    NOTSUP,
    PREVIEW1,
    UNSTABLE,
    Layout,
    WasiError,
    errno_of,
)
from chiwawa_runtime.wasi.functions import FUNCTIONS, NEW_IN_PREVIEW1
from chiwawa_runtime.wasi.guest import Guest
from chiwawa_runtime.wasi.memory_files import MOST, MemoryFiles
from chiwawa_runtime.wasi.module_names import READS_INPUT
from chiwawa_runtime.wasi.process import Dir, Process, Source
from chiwawa_runtime.wasi.signatures import SIGNATURES

#: What a checkpoint begins with, and a Wasi's state does not.
MAGIC = b"\0asm"


class Wasi:
    """The WASI of one guest: what it was given and has open, and the functions that it imports.

    ``args`` has the program's name first. ``env`` maps names to values, or lists ``NAME=VALUE``.
    ``dirs`` become descriptors from 3 on (see ``MemoryFiles`` for what is not on the host), then
    ``sockets`` (host descriptors). ``stdin``,
    ``stdout`` and ``stderr`` are host descriptors or binary file objects, and stay the caller's.
    With ``deterministic`` clocks are virtual and randomness repeats. Raises BadInput for what
    cannot be used.

    >>> module = chiwawa.load('''(module
    ...   (import "wasi_snapshot_preview1" "args_sizes_get"
    ...     (func $sizes (param i32 i32) (result i32)))
    ...   (memory (export "memory") 1)
    ...   (func (export "arguments") (result i32)
    ...     (drop (call $sizes (i32.const 0) (i32.const 4)))
    ...     (i32.load (i32.const 0))))''')
    >>> wasi = chiwawa.Wasi(["program", "argument"])
    >>> chiwawa.instantiate(module, wasi=wasi).invoke("arguments")
    [2]
    """

    def __init__(
        self,
        args: Sequence[str | bytes] = (),
        env: Mapping[str, str] | Sequence[str | bytes] = (),
        dirs: Sequence[Dir] = (),
        stdin: Source = 0,
        stdout: Source = 1,
        stderr: Source = 2,
        *,
        deterministic: bool = False,
        sockets: Sequence[int] = (),
    ) -> None:
        if isinstance(env, Mapping):
            env = [f"{name}={value}" for name, value in env.items()]
        #: What the functions read and change.
        self.process = Process(args, env, (stdin, stdout, stderr), deterministic=deterministic)
        #: The bytes that ``load`` made it of.
        self.loaded: bytes | None = None
        try:
            for host_path, guest_path, read_only in dirs:
                root = self.process.give(host_path, guest_path, read_only)
                self.process.table.add(self.process.preopen(root))
            for index, handle in enumerate(sockets):
                self.process.table.add(self.process.inherit(handle, index))
        except BaseException:
            self.close()
            raise

    def imports(self) -> dict[str, dict[str, HostFunction]]:
        """What an instance may import: the modules ``wasi_snapshot_preview1`` and
        ``wasi_unstable``.

        >>> sorted(chiwawa.Wasi(["program"]).imports())
        ['wasi_snapshot_preview1', 'wasi_unstable']
        """
        return {
            layout.module: {
                name: self._host_function(name, layout)
                for name in FUNCTIONS
                if layout is PREVIEW1 or name not in NEW_IN_PREVIEW1
            }
            for layout in (PREVIEW1, UNSTABLE)
        }

    def _host_function(self, name: str, layout: Layout) -> HostFunction:
        params, results = SIGNATURES[name]
        functype = FuncType(
            tuple(VALTYPE_BY_NAME[t] for t in params), tuple(VALTYPE_BY_NAME[t] for t in results)
        )
        call = self._call(FUNCTIONS[name], layout)
        return HostFunction(functype, call, f"{layout.module}.{name}", True, self, True)

    def _call(self, function: Callable[..., int], layout: Layout) -> Callable[..., int]:
        # Most programs have one instance: its memory is looked up once.
        last: Any = None
        guest: Guest | None = None
        process = self.process

        def call(instance: Any, *args: int) -> int:
            nonlocal last, guest
            if instance is not last or guest is None:
                guest = Guest(instance, layout)
                last = instance
            try:
                return function(process, guest, *args)
            except WasiError as error:
                return error.errno
            except OSError as error:
                return errno_of(error)
            except MemoryError:
                return NOMEM
            except OverflowError:
                # A number that the host has no room for: an offset, a time.
                return INVAL
            except NotImplementedError:
                # Python's word for what this host cannot do with a directory's descriptor.
                return NOTSUP

        return call

    def limit(self, files: int | None, output: int | None) -> None:
        """Let the guest have so many files and the like open that it has opened itself, and write
        so many bytes from here on (see ``Limits``); None: as before. Raises ResourceError where
        more are open, or CheckpointError, if they are a checkpoint's."""
        process = self.process
        if files is not None:
            count = process.table.opened()
            if count > files:
                error = ResourceError if self.loaded is None else CheckpointError
                raise error(
                    f"it has {count} files open, more than the {files} allowed: "
                    f"--max-files {count} (Limits(files={count}) in Python) allows them"
                )
            process.most_files = files
        if output is not None:
            process.output_left = output

    @property
    def memory(self) -> dict[str, MemoryFiles]:
        """The directories in memory that the guest was given, by what it calls them.

        >>> files = chiwawa.MemoryFiles({"/a": b"text"})
        >>> chiwawa.Wasi(["program"], dirs=[(files, "/data", False)]).memory["/data"].contents()
        {'/a': b'text'}
        """
        return {
            os.fsdecode(root.guest_path): root.files
            for root in self.process.roots
            if isinstance(root.files, MemoryFiles)
        }

    def reads_input(self, module: str, name: str, instance: Any, args: Sequence[int]) -> bool:
        """Whether the guest ``instance``, where it calls the function ``name`` with ``args``, reads
        its standard input, or waits until there is some."""
        assert name in READS_INPUT
        asked = [args[0]]
        if name == "poll_oneoff":
            layout = PREVIEW1 if module == PREVIEW1.module else UNSTABLE
            try:
                asked = poll_calls.read_from(Guest(instance, layout), args[0], args[2])
            except WasiError:
                # It has an error then, and reads nothing.
                return False
        entries = self.process.table.entries
        found = [entries[fd] for fd in asked if fd in entries]
        return any(each.stream is not None and each.index == 0 for each in found)

    def on_output(self, wrote: Callable[[int, bytes], object]) -> None:
        """Have ``wrote`` called with what the guest has written to standard output (1) and error
        (2), when it has.

        >>> module = chiwawa.load('''(module
        ...   (import "wasi_snapshot_preview1" "fd_write"
        ...     (func $write (param i32 i32 i32 i32) (result i32)))
        ...   (memory (export "memory") 1)
        ...   (data (i32.const 8) "done")
        ...   (func (export "_start")
        ...     (i32.store (i32.const 0) (i32.const 8))
        ...     (i32.store (i32.const 4) (i32.const 4))
        ...     (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))''')
        >>> import io
        >>> wasi = chiwawa.Wasi(["program"], stdout=io.BytesIO())
        >>> wasi.on_output(lambda stream, data: print(stream, data))
        >>> chiwawa.instantiate(module, wasi=wasi).call("_start")
        1 b'done'
        """
        for index in (1, 2):
            self.process.streams[index].wrote = partial(wrote, index)

    def close(self) -> None:
        """Give every host descriptor back. The guest can do nothing any more."""
        self.process.close()

    def save(self) -> bytes:
        """The state, in canonical bytes without times, host paths or host numbers. Raises
        CheckpointError where something is open that cannot be found again elsewhere.

        >>> wasi = chiwawa.Wasi(["program"], {"HOME": "/"})
        >>> chiwawa.Wasi.load(wasi.save()).save() == wasi.save()
        True
        """
        return state.save(self.process)

    @classmethod
    def load(
        cls,
        data: bytes | Snapshot,
        dirs: Sequence[Dir] = (),
        stdin: Source = 0,
        stdout: Source = 1,
        stderr: Source = 2,
        *,
        sockets: Sequence[int] = (),
        lenient: bool = False,
        most: int = MOST,
    ) -> Wasi:
        """A guest's WASI as ``save`` left it, over what is given now. ``data`` is what that
        returned, or a checkpoint that holds it. Directories are found by their guest paths. Raises
        CheckpointError in one line that names what is missing, of another type, or shorter than it
        was read; with ``lenient`` such a descriptor is closed instead. Files in memory come along
        (``memory``), each directory with at most ``most`` bytes.

        >>> files = chiwawa.MemoryFiles({"/a": b"text"})
        >>> wasi = chiwawa.Wasi(["program"], dirs=[(files, "/", False)])
        >>> chiwawa.Wasi.load(wasi.save()).memory["/"].contents()
        {'/a': b'text'}
        """
        if isinstance(data, bytes) and data.startswith(MAGIC):
            data = checkpoint.decode(data)
        if isinstance(data, Snapshot):
            if data.wasi is None:
                raise CheckpointError("the checkpoint has no WASI state")
            data = data.wasi
        wasi = cls((), (), (), stdin, stdout, stderr)
        try:
            state.load(wasi.process, data, dirs, sockets, lenient, most)
        except BaseException:
            wasi.close()
            raise
        wasi.loaded = data
        return wasi
