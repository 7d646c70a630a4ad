"""The numbers of WASI preview 1: errnos, rights, file types, flags, and where the structures of
``wasi_snapshot_preview1`` and of the older ``wasi_unstable`` differ.

The source is the document of ``wasi_snapshot_preview1``; nothing here does anything.
"""

from __future__ import annotations

import errno as host
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct

from chiwawa_runtime.wasi import module_names

# Errnos.
SUCCESS = 0
TOO_BIG = 1
ACCES = 2
ADDRINUSE = 3
ADDRNOTAVAIL = 4
AFNOSUPPORT = 5
AGAIN = 6
ALREADY = 7
BADF = 8
BADMSG = 9
BUSY = 10
CANCELED = 11
CHILD = 12
CONNABORTED = 13
CONNREFUSED = 14
CONNRESET = 15
DEADLK = 16
DESTADDRREQ = 17
DOM = 18
DQUOT = 19
EXIST = 20
FAULT = 21
FBIG = 22
HOSTUNREACH = 23
IDRM = 24
ILSEQ = 25
INPROGRESS = 26
INTR = 27
INVAL = 28
IO = 29
ISCONN = 30
ISDIR = 31
LOOP = 32
MFILE = 33
MLINK = 34
MSGSIZE = 35
MULTIHOP = 36
NAMETOOLONG = 37
NETDOWN = 38
NETRESET = 39
NETUNREACH = 40
NFILE = 41
NOBUFS = 42
NODEV = 43
NOENT = 44
NOEXEC = 45
NOLCK = 46
NOLINK = 47
NOMEM = 48
NOMSG = 49
NOPROTOOPT = 50
NOSPC = 51
NOSYS = 52
NOTCONN = 53
NOTDIR = 54
NOTEMPTY = 55
NOTRECOVERABLE = 56
NOTSOCK = 57
NOTSUP = 58
NOTTY = 59
NXIO = 60
OVERFLOW = 61
OWNERDEAD = 62
PERM = 63
PIPE = 64
PROTO = 65
PROTONOSUPPORT = 66
PROTOTYPE = 67
RANGE = 68
ROFS = 69
SPIPE = 70
SRCH = 71
STALE = 72
TIMEDOUT = 73
TXTBSY = 74
XDEV = 75
NOTCAPABLE = 76

# The host's own numbers differ between systems. A later name wins where two share a number.
_FROM_HOST: dict[int, int] = {
    host.E2BIG: TOO_BIG,
    host.EACCES: ACCES,
    host.EADDRINUSE: ADDRINUSE,
    host.EADDRNOTAVAIL: ADDRNOTAVAIL,
    host.EAFNOSUPPORT: AFNOSUPPORT,
    host.EALREADY: ALREADY,
    host.EBADF: BADF,
    host.EBUSY: BUSY,
    host.ECHILD: CHILD,
    host.ECONNABORTED: CONNABORTED,
    host.ECONNREFUSED: CONNREFUSED,
    host.ECONNRESET: CONNRESET,
    host.EDEADLK: DEADLK,
    host.EDESTADDRREQ: DESTADDRREQ,
    host.EDOM: DOM,
    host.EDQUOT: DQUOT,
    host.EEXIST: EXIST,
    host.EFAULT: FAULT,
    host.EFBIG: FBIG,
    host.EHOSTUNREACH: HOSTUNREACH,
    host.EILSEQ: ILSEQ,
    host.EINPROGRESS: INPROGRESS,
    host.EINTR: INTR,
    host.EINVAL: INVAL,
    host.EIO: IO,
    host.EISCONN: ISCONN,
    host.EISDIR: ISDIR,
    host.ELOOP: LOOP,
    host.EMFILE: MFILE,
    host.EMLINK: MLINK,
    host.EMSGSIZE: MSGSIZE,
    host.ENAMETOOLONG: NAMETOOLONG,
    host.ENETDOWN: NETDOWN,
    host.ENETRESET: NETRESET,
    host.ENETUNREACH: NETUNREACH,
    host.ENFILE: NFILE,
    host.ENOBUFS: NOBUFS,
    host.ENODEV: NODEV,
    host.ENOENT: NOENT,
    host.ENOEXEC: NOEXEC,
    host.ENOLCK: NOLCK,
    host.ENOMEM: NOMEM,
    host.ENOPROTOOPT: NOPROTOOPT,
    host.ENOSPC: NOSPC,
    host.ENOSYS: NOSYS,
    host.ENOTCONN: NOTCONN,
    host.ENOTDIR: NOTDIR,
    host.ENOTEMPTY: NOTEMPTY,
    host.ENOTSOCK: NOTSOCK,
    host.EOPNOTSUPP: NOTSUP,
    host.ENOTTY: NOTTY,
    host.ENXIO: NXIO,
    host.EOVERFLOW: OVERFLOW,
    host.EPERM: PERM,
    host.EPIPE: PIPE,
    host.EPROTO: PROTO,
    host.EPROTONOSUPPORT: PROTONOSUPPORT,
    host.EPROTOTYPE: PROTOTYPE,
    host.ERANGE: RANGE,
    host.EROFS: ROFS,
    host.ESPIPE: SPIPE,
    host.ESRCH: SRCH,
    host.ESTALE: STALE,
    host.ETIMEDOUT: TIMEDOUT,
    host.ETXTBSY: TXTBSY,
    host.EXDEV: XDEV,
    host.EAGAIN: AGAIN,
}


def errno_of(error: OSError) -> int:
    """The WASI errno for what the host said; EIO where WASI has no word for it."""
    return IO if error.errno is None else _FROM_HOST.get(error.errno, IO)


class WasiError(Exception):
    """A function fails with ``errno``; never seen outside of this package."""

    def __init__(self, errno: int) -> None:
        super().__init__(errno)
        self.errno = errno


# Rights.
FD_DATASYNC = 1 << 0
FD_READ = 1 << 1
FD_SEEK = 1 << 2
FD_FDSTAT_SET_FLAGS = 1 << 3
FD_SYNC = 1 << 4
FD_TELL = 1 << 5
FD_WRITE = 1 << 6
FD_ADVISE = 1 << 7
FD_ALLOCATE = 1 << 8
PATH_CREATE_DIRECTORY = 1 << 9
PATH_CREATE_FILE = 1 << 10
PATH_LINK_SOURCE = 1 << 11
PATH_LINK_TARGET = 1 << 12
PATH_OPEN = 1 << 13
FD_READDIR = 1 << 14
PATH_READLINK = 1 << 15
PATH_RENAME_SOURCE = 1 << 16
PATH_RENAME_TARGET = 1 << 17
PATH_FILESTAT_GET = 1 << 18
PATH_FILESTAT_SET_SIZE = 1 << 19
PATH_FILESTAT_SET_TIMES = 1 << 20
FD_FILESTAT_GET = 1 << 21
FD_FILESTAT_SET_SIZE = 1 << 22
FD_FILESTAT_SET_TIMES = 1 << 23
PATH_SYMLINK = 1 << 24
PATH_REMOVE_DIRECTORY = 1 << 25
PATH_UNLINK_FILE = 1 << 26
POLL_FD_READWRITE = 1 << 27
SOCK_SHUTDOWN = 1 << 28
SOCK_ACCEPT = 1 << 29

ALL_RIGHTS = (1 << 30) - 1
#: What applies to each kind of file; a right that does not apply is not granted, nor missed.
FILE_RIGHTS = (
    FD_DATASYNC
    | FD_READ
    | FD_SEEK
    | FD_FDSTAT_SET_FLAGS
    | FD_SYNC
    | FD_TELL
    | FD_WRITE
    | FD_ADVISE
    | FD_ALLOCATE
    | FD_FILESTAT_GET
    | FD_FILESTAT_SET_SIZE
    | FD_FILESTAT_SET_TIMES
    | POLL_FD_READWRITE
)
DIRECTORY_RIGHTS = (
    PATH_CREATE_DIRECTORY
    | PATH_CREATE_FILE
    | PATH_LINK_SOURCE
    | PATH_LINK_TARGET
    | PATH_OPEN
    | FD_READDIR
    | PATH_READLINK
    | PATH_RENAME_SOURCE
    | PATH_RENAME_TARGET
    | PATH_FILESTAT_GET
    | PATH_FILESTAT_SET_SIZE
    | PATH_FILESTAT_SET_TIMES
    | FD_FILESTAT_GET
    | FD_FILESTAT_SET_TIMES
    | PATH_SYMLINK
    | PATH_REMOVE_DIRECTORY
    | PATH_UNLINK_FILE
)
# Without seek and tell, so that a C library may take a character device for a terminal.
STREAM_RIGHTS = FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE
SOCKET_RIGHTS = STREAM_RIGHTS | FD_READ | FD_WRITE | SOCK_SHUTDOWN
LISTENER_RIGHTS = STREAM_RIGHTS | SOCK_ACCEPT
#: What files opened below a preopened directory may have.
INHERITED_RIGHTS = FILE_RIGHTS | DIRECTORY_RIGHTS

# File types.
UNKNOWN = 0
BLOCK_DEVICE = 1
CHARACTER_DEVICE = 2
DIRECTORY = 3
REGULAR_FILE = 4
SOCKET_DGRAM = 5
SOCKET_STREAM = 6
SYMBOLIC_LINK = 7

# Flags of a descriptor.
APPEND = 1
DSYNC = 2
NONBLOCK = 4
RSYNC = 8
SYNC = 16
ALL_FDFLAGS = 31

# Flags of path_open.
CREAT = 1
OPEN_DIRECTORY = 2
EXCL = 4
TRUNC = 8
ALL_OFLAGS = 15

SYMLINK_FOLLOW = 1

# Flags of *_set_times.
ATIM = 1
ATIM_NOW = 2
MTIM = 4
MTIM_NOW = 8
ALL_FSTFLAGS = 15

# Clocks.
REALTIME = 0
MONOTONIC = 1
PROCESS_CPUTIME = 2
THREAD_CPUTIME = 3

# Events and subscriptions.
EVENT_CLOCK = 0
EVENT_FD_READ = 1
EVENT_FD_WRITE = 2
ABSTIME = 1
HANGUP = 1

# Sockets.
RECV_PEEK = 1
RECV_WAITALL = 2
RECV_DATA_TRUNCATED = 1
SHUT_RD = 1
SHUT_WR = 2

FDSTAT = Struct("<BxHxxxxQQ")
PRESTAT = Struct("<BxxxI")
DIRENT = Struct("<QQIBxxx")
EVENT = Struct("<QHBxxxxxQHxxxxxx")
IOVEC = Struct("<II")


@dataclass(frozen=True, slots=True)
class Filestat:
    dev: int
    ino: int
    filetype: int
    nlink: int
    size: int
    atim: int
    mtim: int
    ctim: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the two versions differ.

    ``subscription`` reads userdata and tag; at ``body`` follow a clock (``clock`` reads id,
    timeout, precision and flags) or a descriptor (u32). ``whences`` has start, current and end in
    the order of their numbers.
    """

    module: str
    filestat: Callable[[Filestat], bytes]
    subscription_size: int
    body: int
    clock: Struct
    whences: tuple[str, str, str]


_FILESTAT = Struct("<QQBxxxxxxxQQQQQ")
_FILESTAT_UNSTABLE = Struct("<QQBxxxIQQQQ")


def _filestat(s: Filestat) -> bytes:
    return _FILESTAT.pack(s.dev, s.ino, s.filetype, s.nlink, s.size, s.atim, s.mtim, s.ctim)


def _filestat_unstable(s: Filestat) -> bytes:
    nlink = min(s.nlink, 0xFFFFFFFF)
    return _FILESTAT_UNSTABLE.pack(s.dev, s.ino, s.filetype, nlink, s.size, s.atim, s.mtim, s.ctim)


PREVIEW1 = Layout(
    module=module_names.PREVIEW1,
    filestat=_filestat,
    subscription_size=48,
    body=16,
    clock=Struct("<IxxxxQQH"),
    whences=("start", "current", "end"),
)
# An older clock subscription names itself a second time, before the clock's id.
UNSTABLE = Layout(
    module=module_names.UNSTABLE,
    filestat=_filestat_unstable,
    subscription_size=56,
    body=16,
    clock=Struct("<xxxxxxxxIxxxxQQH"),
    whences=("current", "end", "start"),
)
