"""A call as a graph of its own."""
