"""Which call owns each node, and what became of every call."""
