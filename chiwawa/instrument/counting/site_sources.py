"""The lines of source that count, with what takes them back."""

from __future__ import annotations

from chiwawa.lower.sites import Site


def adding(counter: str, amount: int, reads: bool = False) -> Site:
    """A site that adds to ``counter``; whether it ``reads`` operands."""
    return Site(f"{counter} += {amount}", reads=reads, undo=f"{counter} -= {amount}")


def calling(source: str, reads: bool = True) -> Site:
    """A site that calls something with 1, and with -1 to undo it, where ``source`` has ``{}``."""
    return Site(source.format(1), reads=reads, undo=source.format(-1))
