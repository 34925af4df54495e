"""`hx modules`."""
