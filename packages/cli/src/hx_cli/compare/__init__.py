"""`hx compare`."""
