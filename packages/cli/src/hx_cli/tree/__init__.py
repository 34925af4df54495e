"""`hx tree`."""
