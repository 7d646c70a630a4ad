"""The command ``run``: its options, what it does, and how it tells people what went wrong."""
