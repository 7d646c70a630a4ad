"""What a program holds, and what it is made of: values and their types, memories, tables, globals,
functions as values. Nothing here knows how functions run."""
