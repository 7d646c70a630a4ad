"""A function as every path sees it: what validation says of it, its safepoints, and what
instruments ask for at its boundaries."""
