"""An embedder's Python state in a checkpoint: written with dill, read only with consent.

Reading a pickle runs whatever it says, so ``load`` is called in one place, where the caller has
said that it trusts the file.
"""

from __future__ import annotations

from collections.abc import Mapping

from chiwawa_runtime.errors import CheckpointError


def dump(carried: Mapping[str, object]) -> bytes:
    """The payload of the section ``chiwawa.host``. Raises CheckpointError for what dill refuses."""
    import dill

    try:
        return bytes(dill.dumps(dict(carried)))
    except Exception as error:
        raise CheckpointError(f"the carried host state cannot be written: {error}") from error


def load(payload: bytes) -> dict[str, object]:
    """What ``dump`` was given. This runs code that the payload names."""
    import dill

    try:
        carried = dill.loads(payload)
    except Exception as error:
        raise CheckpointError(f"the host state cannot be read: {error}") from error
    if not isinstance(carried, dict):
        raise CheckpointError("the host state is no dict of carried values")
    return carried
