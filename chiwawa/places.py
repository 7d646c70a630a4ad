"""Where in a text the parts of a module stand.

A module is validated in its binary form, in which there is no text left, so whoever reads the text
notes the place of each field and instruction: four bytes each, in the order of the text, which the
binary keeps.
"""

from __future__ import annotations

from array import array

from chiwawa_runtime.errors import Field


class Places:
    """``fields`` has the places of the fields of each kind (``func``, ``elem`` …), by their index
    among those that the module defines. ``code`` has those of the instructions in them, one field
    after the other, and ``starts`` where in ``code`` each field begins. Places are in characters
    from the start of ``text``."""

    __slots__ = ("code", "fields", "starts", "text")

    def __init__(self) -> None:
        self.text = ""
        self.fields: dict[str, array[int]] = {}
        self.code: dict[str, array[int]] = {}
        self.starts: dict[str, array[int]] = {}

    def begin(self, kind: str, at: int) -> array[int]:
        """Note the next field of a kind; what is returned takes its instructions' places."""
        if kind not in self.fields:
            self.fields[kind] = array("I")
            self.code[kind] = array("I")
            self.starts[kind] = array("I")
        code = self.code[kind]
        self.fields[kind].append(at)
        self.starts[kind].append(len(code))
        return code

    def find(self, field: Field, position: int | None) -> int | None:
        """The place of a field, or of the instruction in it that has so many before it."""
        places = self.fields.get(field.kind)
        if places is None or field.index >= len(places):
            return None
        if position is None:
            return places[field.index]
        return self.code[field.kind][self.starts[field.kind][field.index] + position]
