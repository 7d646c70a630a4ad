"""The text format (spec 6) and scripts: ``parse_module``, ``print_module``, ``parse_script``."""

from chiwawa.wat.parser import parse_module, parse_source
from chiwawa.wat.printer import format_instr, print_module
from chiwawa.wat.script import parse_script

__all__ = ["format_instr", "parse_module", "parse_script", "parse_source", "print_module"]
