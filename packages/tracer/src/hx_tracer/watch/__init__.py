"""What runs while a model is exported or run: calls, ports, operations."""
