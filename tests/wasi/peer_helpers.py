"""One guest's view of WASI, over ours or over wasmtime's: call a function, look at the memory.

A scenario is written once against ``Peer`` and run on both.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from chiwawa_runtime.engine.polling import Polling
from chiwawa_runtime.engine.requests import Requests
from chiwawa_runtime.state.memory import Memory
from chiwawa_runtime.state.types import Limits, MemoryType
from chiwawa_runtime.wasi import Wasi
from chiwawa_runtime.wasi.signatures import SIGNATURES

MODULE = "wasi_snapshot_preview1"
#: Where a peer puts what it passes by address; results of its own convenience calls too.
SCRATCH = 1024
BUFFER = 8192
#: Stands for an errno where the function trapped.
TRAPPED = -1


class Backend(Protocol):
    def call(self, name: str, *args: int) -> int: ...
    def read(self, address: int, n: int) -> bytes: ...
    def write(self, address: int, data: bytes) -> None: ...


class Peer:
    """Calls in terms of bytes and ints. What returns values returns an int, the errno, when the
    call fails."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.call = backend.call
        self.read = backend.read
        self.write = backend.write

    def u32(self, address: int = SCRATCH) -> int:
        return int(struct.unpack("<I", self.read(address, 4))[0])

    def u64(self, address: int = SCRATCH) -> int:
        return int(struct.unpack("<Q", self.read(address, 8))[0])

    def put(self, data: bytes, address: int = BUFFER) -> tuple[int, int]:
        self.write(address, data)
        return address, len(data)

    def path_open(
        self,
        dirfd: int,
        path: bytes,
        oflags: int = 0,
        rights: int = 0x1FFFFFFF,
        inheriting: int = 0x1FFFFFFF,
        fdflags: int = 0,
        follow: int = 1,
    ) -> tuple[int, int]:
        """Errno and descriptor."""
        at = self.put(path)
        errno = self.call(
            "path_open", dirfd, follow, *at, oflags, rights, inheriting, fdflags, SCRATCH
        )
        return errno, self.u32() if not errno else -1

    def open(self, dirfd: int, path: bytes, **options: int) -> int:
        errno, fd = self.path_open(dirfd, path, **options)
        assert not errno, (path, errno)
        return fd

    def path(self, name: str, dirfd: int, path: bytes, *rest: int) -> int:
        """A call of the form (fd, path, ...)."""
        return self.call(name, dirfd, *self.put(path), *rest)

    def path_filestat(self, dirfd: int, path: bytes, follow: int = 1) -> tuple[int, bytes]:
        errno = self.call("path_filestat_get", dirfd, follow, *self.put(path), SCRATCH)
        return errno, self.read(SCRATCH, 64)

    def two_paths(self, name: str, fd: int, old: bytes, fd2: int, new: bytes) -> int:
        """path_rename, or path_link without following."""
        self.write(BUFFER, old)
        self.write(BUFFER + 4096, new)
        args = (fd, BUFFER, len(old), fd2, BUFFER + 4096, len(new))
        return (
            self.call(name, *args[:1], 0, *args[1:])
            if name == "path_link"
            else self.call(name, *args)
        )

    def symlink(self, target: bytes, fd: int, path: bytes) -> int:
        self.write(BUFFER, target)
        self.write(BUFFER + 4096, path)
        return self.call("path_symlink", BUFFER, len(target), fd, BUFFER + 4096, len(path))

    def readlink(self, fd: int, path: bytes, n: int = 4000) -> bytes | int:
        errno = self.call("path_readlink", fd, *self.put(path), BUFFER + 4096, n, SCRATCH)
        return errno or self.read(BUFFER + 4096, self.u32())

    def _iovec(self, n: int) -> int:
        self.write(SCRATCH + 8, struct.pack("<II", BUFFER, n))
        return SCRATCH + 8

    def fd_write(self, fd: int, data: bytes) -> tuple[int, int]:
        self.write(BUFFER, data)
        errno = self.call("fd_write", fd, self._iovec(len(data)), 1, SCRATCH)
        return errno, self.u32() if not errno else 0

    def fd_pwrite(self, fd: int, data: bytes, offset: int) -> tuple[int, int]:
        self.write(BUFFER, data)
        errno = self.call("fd_pwrite", fd, self._iovec(len(data)), 1, offset, SCRATCH)
        return errno, self.u32() if not errno else 0

    def fd_read(self, fd: int, n: int = 4096) -> bytes | int:
        errno = self.call("fd_read", fd, self._iovec(n), 1, SCRATCH)
        return errno or self.read(BUFFER, self.u32())

    def fd_pread(self, fd: int, n: int, offset: int) -> bytes | int:
        errno = self.call("fd_pread", fd, self._iovec(n), 1, offset, SCRATCH)
        return errno or self.read(BUFFER, self.u32())

    def seek(self, fd: int, offset: int, whence: int = 0) -> tuple[int, int]:
        errno = self.call("fd_seek", fd, offset & ((1 << 64) - 1), whence, SCRATCH)
        return errno, self.u64() if not errno else -1

    def tell(self, fd: int) -> tuple[int, int]:
        errno = self.call("fd_tell", fd, SCRATCH)
        return errno, self.u64() if not errno else -1

    def fdstat(self, fd: int) -> tuple[int, int, int, int, int]:
        """Errno, file type, flags, rights, inheriting rights."""
        errno = self.call("fd_fdstat_get", fd, SCRATCH)
        if errno:
            return errno, 0, 0, 0, 0
        kind, flags, rights, inheriting = struct.unpack("<BxHxxxxQQ", self.read(SCRATCH, 24))
        return 0, kind, flags, rights, inheriting

    def filestat(self, fd: int) -> tuple[int, bytes]:
        errno = self.call("fd_filestat_get", fd, SCRATCH)
        return errno, self.read(SCRATCH, 64)

    def readdir(
        self, fd: int, cookie: int = 0, size: int = 4096
    ) -> list[tuple[int, int, bytes]] | int:
        """Whole entries that fit in ``size``: next cookie, type and name."""
        errno = self.call("fd_readdir", fd, BUFFER, size, cookie, SCRATCH)
        if errno:
            return errno
        data = self.read(BUFFER, self.u32())
        entries, at = [], 0
        while at + 24 <= len(data):
            following, _ino, length, kind = struct.unpack_from("<QQIB", data, at)
            if at + 24 + length > len(data):
                break
            entries.append((following, kind, data[at + 24 : at + 24 + length]))
            at += 24 + length
        return entries

    def poll(self, *subscriptions: bytes) -> list[tuple[int, int, int, int, int]] | int:
        """Events: userdata, errno, type, bytes, flags."""
        self.write(BUFFER, b"".join(subscriptions))
        errno = self.call("poll_oneoff", BUFFER, BUFFER + 4096, len(subscriptions), SCRATCH)
        if errno:
            return errno
        data = self.read(BUFFER + 4096, 32 * self.u32())
        return [struct.unpack_from("<QHBxxxxxQH", data, at) for at in range(0, len(data), 32)]


#: Makes a guest, of what is given to it.
Make = Callable[..., Peer]


def clock_subscription(userdata: int, clock: int, timeout: int, absolute: bool = False) -> bytes:
    return struct.pack("<QBxxxxxxxIxxxxQQHxxxxxx", userdata, 0, clock, timeout, 0, int(absolute))


def fd_subscription(userdata: int, kind: int, fd: int) -> bytes:
    """``kind`` is 1 to read, 2 to write."""
    return struct.pack("<QBxxxxxxxI28x", userdata, kind, fd)


def passing_on() -> str:
    """A module with every function of WASI, each behind a Wasm function of the same type."""
    lines = ["(module"]
    names = list(SIGNATURES)
    for name in names:
        params, results = SIGNATURES[name]
        kind = f"(param {' '.join(params)}) (result {' '.join(results)})"
        lines.append(f'(import "{MODULE}" "{name}" (func ${name} {kind}))')
    lines.append('(memory (export "memory") 2)')
    for name in names:
        params, results = SIGNATURES[name]
        gets = " ".join(f"(local.get {i})" for i in range(len(params)))
        kind = f"(param {' '.join(params)}) (result {' '.join(results)})"
        lines.append(f'(func (export "{name}") {kind} (call ${name} {gets}))')
    lines.append(")")
    return "\n".join(lines)


@cache
def compiled() -> tuple[Any, Any]:
    import wasmtime

    engine = wasmtime.Engine()
    return engine, wasmtime.Module(engine, passing_on())


class WasmtimeBackend:
    """The functions of wasmtime's WASI, each behind a Wasm function of the same type."""

    def __init__(
        self,
        dirs: Sequence[tuple[Path, str, bool]] = (),
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        stdin: Path | None = None,
        stdout: Path | None = None,
    ) -> None:
        import wasmtime

        self.errors = (wasmtime.WasmtimeError, wasmtime.Trap)
        engine, module = compiled()
        self.store = wasmtime.Store(engine)
        config = wasmtime.WasiConfig()
        config.argv = list(args)
        config.env = list((env or {}).items())
        if stdin is not None:
            config.stdin_file = str(stdin)
        if stdout is not None:
            config.stdout_file = str(stdout)
        for host, guest, read_only in dirs:
            config.preopen_dir(str(host), guest, not read_only)
        self.store.set_wasi(config)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        instance = linker.instantiate(self.store, module)
        self.exports = instance.exports(self.store)

    def close(self) -> None:
        self.store.close()

    def call(self, name: str, *args: int) -> int:
        try:
            return int(self.exports[name](self.store, *args) or 0)
        except self.errors:
            return TRAPPED

    def read(self, address: int, n: int) -> bytes:
        return bytes(self.exports["memory"].read(self.store, address, address + n))

    def write(self, address: int, data: bytes) -> None:
        self.exports["memory"].write(self.store, data, address)


class Instance:
    """What WASI needs of an instance."""

    def __init__(self, memory: Any, requests: Any) -> None:
        self._memory = memory
        self.requests = requests

    def memory(self, _index: int) -> Any:
        return self._memory


class OurBackend:
    """Our functions over a bare memory."""

    def __init__(
        self,
        dirs: Sequence[tuple[Path, str, bool]] = (),
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        stdin: Path | None = None,
        stdout: Path | None = None,
    ) -> None:
        paths = (stdin, os.O_RDONLY), (stdout, os.O_WRONLY | os.O_CREAT), (None, os.O_WRONLY)
        self.handles = [os.open(path or os.devnull, flags) for path, flags in paths]
        self.adopt(Wasi(args, env or {}, dirs, *self.handles))

    def adopt(self, wasi: Wasi, module: str = MODULE) -> None:
        """Go on with another state, the memory as it is."""
        self.wasi = wasi
        self.requests = Requests(Polling({}))
        if not hasattr(self, "memory"):
            self.memory = Memory(MemoryType(Limits(2)))
        self.instance = Instance(self.memory, self.requests)
        self.functions = wasi.imports()[module]

    def call(self, name: str, *args: int) -> int:
        return int(self.functions[name].call(self.instance, *args) or 0)

    def read(self, address: int, n: int) -> bytes:
        return self.memory.read(address, n)

    def write(self, address: int, data: bytes) -> None:
        self.memory.write(address, data)

    def close(self) -> None:
        self.wasi.close()
        for handle in self.handles:
            os.close(handle)
