"""`hx debug`."""
