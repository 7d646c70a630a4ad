"""The trace: a line for each instruction that is about to execute."""
