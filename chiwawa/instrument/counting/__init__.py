"""What monitors have counted: how often each instruction ran, and what it was given."""
