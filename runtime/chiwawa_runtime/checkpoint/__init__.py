"""The checkpoint file: a ``Snapshot`` as bytes, and back (docs/checkpoint-format.md).

A checkpoint is a Wasm core dump (WebAssembly tool-conventions, Coredump), so ordinary tools open
it. The bytes are canonical: one snapshot has one encoding, and only that one is accepted. This
package knows neither how programs run nor what a module contains: whether a snapshot fits a module
is judged elsewhere.
"""

from chiwawa_runtime.checkpoint.read import decode, sections
from chiwawa_runtime.checkpoint.store_file import check_file, read_file, write_file
from chiwawa_runtime.checkpoint.write import encode, save

__all__ = [
    "check_file",
    "decode",
    "encode",
    "read_file",
    "save",
    "sections",
    "write_file",
]
