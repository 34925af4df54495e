"""`hx nodes`."""
