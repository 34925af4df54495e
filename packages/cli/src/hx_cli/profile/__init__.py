"""`hx profile`."""
