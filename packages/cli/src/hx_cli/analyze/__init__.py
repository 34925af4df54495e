"""`hx analyze`."""
