"""A guest's WASI: what it was given, what it has open, and the functions that it imports."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import BadInput, CheckpointError
from chiwawa_runtime.state.snapshot import Snapshot
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.types import VALTYPE_BY_NAME, FuncType
from chiwawa_runtime.wasi import state
from chiwawa_runtime.wasi.abi import (
    DIRECTORY,
    DIRECTORY_RIGHTS,
    FD_READ,
    FD_WRITE,
    INHERITED_RIGHTS,
    INVAL,
    NOMEM,
    NOTSUP,
    PREVIEW1,
    STREAM_RIGHTS,
    UNSTABLE,
    Layout,
    WasiError,
    errno_of,
)
from chiwawa_runtime.wasi.clocks import Clock, HostClock, VirtualClock
from chiwawa_runtime.wasi.descriptors import OPEN_DIRECTORY, STREAM, Descriptor, Table, joined
from chiwawa_runtime.wasi.entropy import Entropy
from chiwawa_runtime.wasi.functions import FUNCTIONS, NEW_IN_PREVIEW1
from chiwawa_runtime.wasi.guest import Guest
from chiwawa_runtime.wasi.paths import Root, open_root
from chiwawa_runtime.wasi.signatures import SIGNATURES
from chiwawa_runtime.wasi.socket_calls import describe_socket
from chiwawa_runtime.wasi.streams import Stream

#: What a checkpoint begins with, and a Wasi's state does not.
MAGIC = b"\0asm"
#: A directory for the guest: where it is, what the guest calls it, whether it is only to be read.
Dir = tuple[str | os.PathLike[str], str | bytes, bool]
Source = int | BinaryIO | Any


class Wasi:
    """The state of one guest, and its functions.

    ``args`` has the program's name first. ``env`` maps names to values, or lists ``NAME=VALUE``.
    ``dirs`` become descriptors from 3 on, then ``sockets`` (host descriptors). ``stdin``,
    ``stdout`` and ``stderr`` are host descriptors or binary file objects, and stay the caller's.
    With ``deterministic`` clocks are virtual and randomness repeats. Raises BadInput for what
    cannot be used.
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
        self.args = [_string(a, "argument") for a in args]
        self.env = [_string(e, "environment variable") for e in env]
        self.deterministic = deterministic
        self.clock: Clock = VirtualClock() if deterministic else HostClock()
        self.entropy = Entropy(0 if deterministic else None)
        #: The bytes that ``load`` made it of.
        self.loaded: bytes | None = None
        #: Nanoseconds that an interrupted sleep has lasted.
        self.waited = 0
        self.streams = (Stream(stdin), Stream(stdout), Stream(stderr))
        self.roots: list[Root] = []
        self.table = Table()
        for index in range(3):
            self.table.entries[index] = self.stream_descriptor(index)
        try:
            for host_path, guest_path, read_only in dirs:
                self.table.add(self.preopen(self.give(host_path, guest_path, read_only)))
            for index, handle in enumerate(sockets):
                self.table.add(self.inherit(handle, index))
        except BaseException:
            self.close()
            raise

    def stream_descriptor(self, index: int) -> Descriptor:
        """For stream 0, 1 or 2, as a new program has it."""
        stream = self.streams[index]
        rights = STREAM_RIGHTS | (FD_READ if index == 0 else FD_WRITE)
        return Descriptor(
            STREAM,
            stream.filetype,
            rights,
            rights,
            readable=index == 0,
            writable=index != 0,
            stream=stream,
            index=index,
        )

    def give(self, host_path: str | os.PathLike[str], guest_path: str | bytes, ro: bool) -> Root:
        """Another directory below which the guest may open files. Raises BadInput."""
        try:
            handle = open_root(host_path)
            place = os.path.abspath(os.fsencode(host_path))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BadInput(f"cannot open the directory {os.fspath(host_path)}: {reason}") from None
        root = Root(len(self.roots), _string(guest_path, "directory"), handle, ro, place)
        self.roots.append(root)
        return root

    def preopen(self, root: Root) -> Descriptor:
        """The descriptor that tells the guest of ``root``."""
        return Descriptor(
            OPEN_DIRECTORY,
            DIRECTORY,
            DIRECTORY_RIGHTS,
            INHERITED_RIGHTS,
            root.handle,
            root=root,
            preopen=True,
        )

    def inherit(self, handle: int, index: int) -> Descriptor:
        """A descriptor for an inherited socket. The guest's own copy: closing it closes no more."""
        try:
            return describe_socket(os.dup(handle), index)
        except OSError as error:
            raise BadInput(f"descriptor {handle} is no socket: {error.strerror}") from None

    def imports(self) -> dict[str, dict[str, HostFunction]]:
        """What an instance may import: the modules ``wasi_snapshot_preview1`` and
        ``wasi_unstable``."""
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
        return HostFunction(functype, call, f"{layout.module}.{name}", True, self)

    def _call(self, function: Callable[..., int], layout: Layout) -> Callable[..., int]:
        # Most programs have one instance: its memory is looked up once.
        last: Any = None
        guest: Guest | None = None

        def call(instance: Any, *args: int) -> int:
            nonlocal last, guest
            if instance is not last or guest is None:
                guest = Guest(instance, layout)
                last = instance
            try:
                return function(self, guest, *args)
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

    def guest_path(self, descriptor: Descriptor) -> bytes:
        """The path of what is open, as the guest would say it."""
        assert descriptor.root is not None
        return joined(descriptor.root.guest_path.rstrip(b"/"), descriptor.path) or b"/"

    def inode(self, guest_path: bytes) -> int:
        """A number for a file that depends on its path alone."""
        return int.from_bytes(hashlib.sha256(guest_path).digest()[:8], "little")

    def close(self) -> None:
        """Give every host descriptor back. The guest can do nothing any more."""
        for descriptor in self.table.entries.values():
            descriptor.close()
        self.table.entries.clear()
        for root in self.roots:
            if root.handle >= 0:
                os.close(root.handle)
        self.roots.clear()

    def save(self) -> bytes:
        """The state, in canonical bytes without times, host paths or host numbers. Raises
        CheckpointError where something is open that cannot be found again elsewhere."""
        return state.save(self)

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
    ) -> Wasi:
        """A guest's WASI as ``save`` left it, over what is given now. ``data`` is what that
        returned, or a checkpoint that holds it. Directories are found by their guest paths. Raises
        CheckpointError in one line that names what is missing, of another type, or shorter than it
        was read; with ``lenient`` such a descriptor is closed instead."""
        if isinstance(data, bytes) and data.startswith(MAGIC):
            data = checkpoint.decode(data)
        if isinstance(data, Snapshot):
            if data.wasi is None:
                raise CheckpointError("the checkpoint has no WASI state")
            data = data.wasi
        wasi = cls((), (), (), stdin, stdout, stderr)
        try:
            state.load(wasi, data, dirs, sockets, lenient)
        except BaseException:
            wasi.close()
            raise
        wasi.loaded = data
        return wasi


def _string(value: str | bytes, what: str) -> bytes:
    string = os.fsencode(value)
    if b"\0" in string:
        raise BadInput(f"the {what} {string!r} has a zero byte in it")
    return string
