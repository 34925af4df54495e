"""What nodes and calls cost: multiply-accumulates, weights, bytes."""
