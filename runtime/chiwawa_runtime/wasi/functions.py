"""The 46 functions: each name and what does it. A function takes the process, the guest and its
own arguments as unsigned ints; it returns an errno, or raises WasiError or OSError."""

from __future__ import annotations

from collections.abc import Callable

from chiwawa_runtime.wasi import (
    descriptor_calls,
    file_calls,
    path_calls,
    poll_calls,
    process_calls,
    socket_calls,
)

FUNCTIONS: dict[str, Callable[..., int]] = {
    "args_get": process_calls.args_get,
    "args_sizes_get": process_calls.args_sizes_get,
    "environ_get": process_calls.environ_get,
    "environ_sizes_get": process_calls.environ_sizes_get,
    "clock_res_get": process_calls.clock_res_get,
    "clock_time_get": process_calls.clock_time_get,
    "fd_advise": file_calls.fd_advise,
    "fd_allocate": file_calls.fd_allocate,
    "fd_close": descriptor_calls.fd_close,
    "fd_datasync": file_calls.fd_datasync,
    "fd_fdstat_get": descriptor_calls.fd_fdstat_get,
    "fd_fdstat_set_flags": file_calls.fd_fdstat_set_flags,
    "fd_fdstat_set_rights": descriptor_calls.fd_fdstat_set_rights,
    "fd_filestat_get": descriptor_calls.fd_filestat_get,
    "fd_filestat_set_size": file_calls.fd_filestat_set_size,
    "fd_filestat_set_times": descriptor_calls.fd_filestat_set_times,
    "fd_pread": file_calls.fd_pread,
    "fd_prestat_get": descriptor_calls.fd_prestat_get,
    "fd_prestat_dir_name": descriptor_calls.fd_prestat_dir_name,
    "fd_pwrite": file_calls.fd_pwrite,
    "fd_read": file_calls.fd_read,
    "fd_readdir": descriptor_calls.fd_readdir,
    "fd_renumber": descriptor_calls.fd_renumber,
    "fd_seek": file_calls.fd_seek,
    "fd_sync": file_calls.fd_sync,
    "fd_tell": file_calls.fd_tell,
    "fd_write": file_calls.fd_write,
    "path_create_directory": path_calls.path_create_directory,
    "path_filestat_get": path_calls.path_filestat_get,
    "path_filestat_set_times": path_calls.path_filestat_set_times,
    "path_link": path_calls.path_link,
    "path_open": path_calls.path_open,
    "path_readlink": path_calls.path_readlink,
    "path_remove_directory": path_calls.path_remove_directory,
    "path_rename": path_calls.path_rename,
    "path_symlink": path_calls.path_symlink,
    "path_unlink_file": path_calls.path_unlink_file,
    "poll_oneoff": poll_calls.poll_oneoff,
    "proc_exit": process_calls.proc_exit,
    "proc_raise": process_calls.proc_raise,
    "sched_yield": process_calls.sched_yield,
    "random_get": process_calls.random_get,
    "sock_accept": socket_calls.sock_accept,
    "sock_recv": socket_calls.sock_recv,
    "sock_send": socket_calls.sock_send,
    "sock_shutdown": socket_calls.sock_shutdown,
}
#: Came after ``wasi_unstable``.
NEW_IN_PREVIEW1 = frozenset({"sock_accept"})
