"""Letting go of what nobody has any more, whichever Python it is."""

import gc


def collect() -> None:
    """PyPy lets go of what others refer to by one more collection each."""
    for _ in range(5):
        gc.collect()
