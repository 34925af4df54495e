"""Example inputs: given, read, or generated and tried."""
