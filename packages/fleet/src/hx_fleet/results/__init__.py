"""What all results of a run say together."""
