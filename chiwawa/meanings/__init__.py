"""What instructions mean, as Python expressions: made from the rows of the instruction table, kept
small, written as source."""
