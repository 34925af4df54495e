"""Evidence by value: the same tensor in a PyTorch run and in a run of the graph."""
