"""The debugger: a program at a prompt, forwards and back.

Time is counted in boundaries, each of which is a place to stop. Going back is going forward: the
nearest checkpoint that was kept on the way is restored, and the program run again from there.
"""

from chiwawa.debug.prompt import debug

__all__ = ["debug"]
